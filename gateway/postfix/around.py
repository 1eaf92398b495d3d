"""Actions and fall-backs of Postfix that lead mail past the gateway."""

from collections.abc import Iterator
from itertools import pairwise

from gateway.model.finding import Finding
from gateway.postfix.configuration import Service, endpoint, option, words
from gateway.postfix.form import Site
from gateway.postfix.services import to_service
from gateway.postfix.tables import TABLES, Action, actions, entries

_CHECKS = ("header_checks", "mime_header_checks", "nested_header_checks", "body_checks", "milter_header_checks")
_ACCESS = tuple(f"smtpd_{what}_restrictions" for what in (
    "client", "helo", "sender", "relay", "recipient", "data", "end_of_data", "etrn"))
_DEAD_MILTER_GOOD = frozenset({"tempfail", "shutdown", "reject"})


def dead_milter(site: Site) -> Iterator[Finding]:
    """What happens to mail while the gateway's milter is away: nothing but waiting."""
    if "milter" not in site.forms:
        return
    for door in site.doors:
        parameter, reader = site.milters(door)
        for milter in site.postfix.words(parameter, reader):
            if not site.is_gateways_milter(milter):
                continue
            own = option(milter, "default_action")
            action = own or site.postfix.value("milter_default_action", reader)
            place = site.postfix.place(parameter if own else "milter_default_action", reader)
            if action not in _DEAD_MILTER_GOOD:
                why = ("holds the mail unsealed, and `postsuper -H` sends it unencrypted" if action == "quarantine"
                       else "lets the mail through unencrypted")
                yield Finding("error", place, f"While the gateway is down, the milter action `{action}` {why} "
                              f"({door.key}). Set `milter_default_action=tempfail`")


def actions_elsewhere(site: Site) -> Iterator[Finding]:
    """FILTER, REDIRECT and BCC in tables of checks and of access. (HOLD holds what the gateway has sealed already.)"""
    reported: set[tuple[Action, str]] = set()
    for service, parameter, opened in _readers(site):
        for action in actions(site.postfix, _tables(site, parameter, service)):
            text = _description(site, action, opened=opened)
            if text and (action, text) not in reported:
                reported.add((action, text))
                yield Finding("error", site.postfix.place(parameter, service), text)


def _readers(site: Site) -> Iterator[tuple[Service | None, str, bool]]:
    """Each service with each of its lists of tables, and whether opened mail comes there."""
    access = (*_ACCESS, *site.postfix.words("smtpd_restriction_classes"))
    yield from ((None, parameter, False) for parameter in (*_CHECKS, *access))
    for door in site.doors:
        yield from ((door, parameter, False) for parameter in access)
        yield from ((site.postfix.cleanup(door), parameter, False) for parameter in _CHECKS)
    for back, roles in site.returns:
        opened = "inbound" in roles
        yield from ((back, parameter, opened) for parameter in access)
        if "no_header_body_checks" not in site.postfix.words("receive_override_options", back):
            yield from ((site.postfix.cleanup(back), parameter, opened) for parameter in _CHECKS)


def unread_tables(site: Site) -> Iterator[Finding]:
    """Tables of checks and of access that this check cannot read: of other users, or in a directory service."""
    reported: set[str] = set()
    for service, parameter, _ in _readers(site):
        for table in _tables(site, parameter, service):
            kind = table.removeprefix("proxy:").partition(":")[0]
            if kind in TABLES and table not in reported and site.postfix.table(table) is None:
                reported.add(table)
                yield Finding("warning", site.postfix.place(parameter, service),
                              f"This check cannot read {table}. A FILTER action in it would send mail past the "
                              "gateway, unencrypted. Run this check as a user with read access to the table")


def policy_services(site: Site) -> Iterator[Finding]:
    """Programs that answer check_policy_service with any action of access(5); smtpd(8) in front of a proxy takes none

    that leads elsewhere.
    """
    reported: set[str] = set()
    for service, parameter, _ in _readers(site):
        named = site.postfix.words(parameter, service)
        for before, word in pairwise(named):
            address = (words(word) or ("",))[0]
            if before.lower() != "check_policy_service" or address in reported:
                continue
            reported.add(address)
            place = site.postfix.place(parameter, service)
            if address in site.settings.postfix_examined:
                yield Finding("ok", place, f"{address} is a policy service; it is listed in postfix_examined")
            else:
                yield Finding("warning", place, f"The policy service {address} can answer FILTER, REDIRECT or BCC, "
                              "and so send mail past the gateway, unencrypted. Verify that it does not, then list "
                              f"it in `postfix_examined` of sealgate.yaml (`{address}`)")


def _description(site: Site, action: Action, *, opened: bool) -> str:
    what = f"{action.name} {action.argument}".strip() + f" in {action.table}"
    if action.name == "FILTER":
        places = tuple(map(endpoint, words(action.argument.partition(":")[2])))
        if places and all(any(at.reaches(one.host, one.port) for one in site.settings.listeners) for at in places):
            return ""
        return (f"{what} replaces content_filter, so this mail bypasses the gateway, unencrypted. Remove the line, or "
                "name the gateway in it")
    outside = action.argument.rpartition("@")[2].lower() not in site.domains
    if outside and "milter" in site.forms:
        return (f"{what} gives the mail a recipient that the milter does not see. Remove the line, or use the "
                "after-queue form (conf/postfix/after-queue.*)")
    if outside and opened:
        return f"{what} sends opened mail to that address, unencrypted, past every filter. Remove the line"
    return ""


def _tables(site: Site, parameter: str, service: Service | None) -> tuple[str, ...]:
    return tuple(one for one in site.postfix.words(parameter, service) if ":" in one)


def fall_backs(site: Site) -> Iterator[Finding]:
    """While the gateway is away, mail waits or goes to another node of the gateway, and to nothing else."""
    for name, role in sorted({(way.transport, way.to or "") for door in site.doors for way in site.ways(door)
                              if way.form == "filter" and way.to is not None}):
        transport = site.postfix.transport(name)
        if transport is None:
            yield Finding("error", "main.cf content_filter",
                          f"master.cf has no transport `{name}`, so mail is never delivered. Add its lines from "
                          "conf/postfix/after-queue.master.cf")
            continue
        parameter = f"{transport.command}_fallback_relay"
        relays = site.postfix.words(parameter, transport)
        if not all(site.leads_to_gateway(endpoint(one), "outbound" if role == "outbound" else "inbound")
                   for one in relays):
            yield Finding("error", site.postfix.place(parameter, transport), "While the gateway is down, Postfix "
                          "sends its mail to that relay, unencrypted. Run `postconf -P "
                          f"'{transport.key}/{parameter}='`")


def other_destinations(site: Site) -> Iterator[Finding]:
    """A filter with several destinations: each is a node of the gateway, known by the listener's port."""
    for door in site.doors:
        for way in site.ways(door):
            for at in way.others if way.to is not None else ():
                place, where = site.postfix.place(way.parameter, door), f"[{at.host}]:{at.port}"
                if site.leads_to_gateway(at, way.to):
                    yield Finding("ok", place, f"{where} must be another node of the gateway. Run `sealgate check` "
                                  "there")
                else:
                    yield Finding("error", place, f"While the gateway is down, Postfix sends its mail to {where}, "
                                  f"unencrypted: no {way.to} listener of sealgate.yaml has this port. Remove {where}")


def routes(site: Site) -> Iterator[Finding]:
    """The gateway as a smart host: what comes back from it is routed to it again."""
    ports = {one.port for one in site.settings.listeners}
    named = [(parameter, site.postfix.value(parameter)) for parameter in (
        "relayhost", "default_transport", "relay_transport", "local_transport", "virtual_transport")]
    named += [(parameter, value) for parameter in ("transport_maps", "sender_dependent_relayhost_maps")
              for key, value in entries(site.postfix, parameter) if not to_service(site, key, value)]
    reported: set[str] = set()
    for parameter, value in named:
        if any(endpoint(one).port in ports for one in words(value.partition(" ")[0])) and parameter not in reported:
            reported.add(parameter)
            yield Finding("error", f"main.cf {parameter}", f"This route sends mail to the gateway ({value}). Mail "
                          "from the gateway is routed there again, and mail on other routes leaves unencrypted. Set "
                          "content_filter at the services that accept mail instead "
                          "(conf/postfix/after-queue.master.cf)")


def other_instances(site: Site) -> Iterator[Finding]:
    """A second Postfix on the machine has doors of its own."""
    for directory in site.postfix.words("multi_instance_directories"):
        yield Finding("warning", "main.cf multi_instance_directories", "This machine runs another Postfix. Run "
                      f"`sealgate check --postfix --postfix-dir {directory}`")
