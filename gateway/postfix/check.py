"""All checks of `sealgate check --postfix` in their order."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from gateway.errors import GatewayError
from gateway.model.finding import Finding
from gateway.postfix import around, copies, delivery, doors, fields, milters, passage, returns, services, whole
from gateway.postfix.configuration import Configuration
from gateway.postfix.form import NAMES, Site
from gateway.postfix.reading import milter_actions, read
from gateway.settings import Settings

CHECKS: Final[tuple[Callable[[Site], Iterator[Finding]], ...]] = (
    doors.ports, doors.doors, doors.silent_milters, doors.some_clients_unseen, doors.other_names,
    returns.there, returns.loops, returns.strangers, returns.sizes, returns.size_in_place,
    returns.rewriting,
    copies.unseen_by_milter, copies.opened_leaving, copies.once,
    delivery.aliases_of_local, delivery.forwards, delivery.programs, delivery.servers, delivery.own_routes,
    delivery.filters, delivery.fall_backs,
    delivery.unknown_users, delivery.notices, delivery.other_recipients,
    milters.beside_the_gateway, milters.behind_the_gateway, fields.wrong_field, fields.changed_behind,
    around.dead_milter, around.actions_elsewhere, around.unread_tables, around.policy_services, around.fall_backs,
    around.other_destinations, around.routes, around.other_instances,
    passage.patience, passage.milter_socket, passage.speed_adjust, passage.protocol,
    services.bounces_of_its_own,
    whole.routed_addresses, whole.bounces, whole.line_ends, whole.compatibility,
)


def postfix(settings: Settings, directory: Path | None = None) -> Iterator[Finding]:
    """Every path by which mail could leave past the gateway, with its remedy. None: the usual directory."""
    try:
        configuration = read(directory)
    except GatewayError as trouble:
        yield Finding("error", "postfix", trouble.detail)
        return
    asked = {socket: milter_actions(socket, configuration.value("queue_directory"))
             for socket in sorted(milters.others(Site(configuration, settings)))}
    answered = {socket: actions for socket, actions in asked.items() if actions is not None}
    yield from findings(configuration, settings, answered)


def findings(
    configuration: Configuration, settings: Settings, milter_actions: Mapping[str, int] | None = None,
) -> Iterator[Finding]:
    """Of a configuration that was read, and of what other milters say that they may do."""
    site = Site(configuration, settings, milter_actions or {})
    forms = ", ".join(NAMES[form] for form in sorted(site.forms)) or "none: Postfix does not use the gateway"
    yield Finding("ok", "postfix", f"forms in use: {forms}")
    for check in CHECKS:
        yield from check(site)
