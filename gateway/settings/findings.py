"""Contradictions between settings, which the types cannot express."""

from collections.abc import Iterator

from gateway import strictyaml
from gateway.model.address import fold
from gateway.model.mail import GATEWAY_CLIENT
from gateway.settings.base import Finding, names, repeated
from gateway.settings.sections import (
    api,
    bank,
    clients,
    codes,
    database,
    fallbacks,
    hold,
    http,
    keys,
    limits,
    listeners,
    milter,
    sources,
    stampers,
    statements,
    trust,
)
from gateway.settings.settings import Settings


def findings(settings: Settings) -> Iterator[Finding]:
    """All contradictions: in each section, then between sections. Opens no file: `sealgate check` does that."""
    for kind, named in (("listeners", settings.listeners), ("clients", settings.clients), ("keys", settings.keys),
                        ("stampers", settings.stampers), ("tokens", settings.tokens), ("escrow", settings.escrow),
                        ("sources", settings.sources)):
        taken = {"listeners": (milter.MILTER,), "clients": (GATEWAY_CLIENT,), "sources": (sources.STORE,)}.get(kind, ())
        yield from names(kind, [section.name for section in named], taken=taken)
    own = [client.name for client in settings.clients]
    senders = [*own, GATEWAY_CLIENT]
    yield from bank.check(settings.bank)
    yield from listeners.check(settings.listeners)
    yield from clients.check(settings.clients, logins_are_checked=_logins_are_checked(settings))
    yield from keys.check(settings.tokens, settings.keys, senders)
    yield from stampers.check(settings.stampers, settings.tokens)
    yield from sources.check(settings.sources, settings.lookups)
    yield from trust.check(settings.trust, settings.fetch, settings.reports)
    yield from http.check(settings.http, settings.stampers)
    yield from milter.check(settings.milter)
    yield from api.check(settings.api)
    yield from codes.check(settings.codes)
    yield from statements.check(settings.statements, frozenset(own))
    yield from fallbacks.check(settings.fallbacks, frozenset(senders))
    yield from hold.check(settings.hold)
    yield from database.check_retention(settings.retention, settings.fallbacks.hold_days)
    yield from limits.check(settings.limits)
    yield from database.check(settings.four_eyes, settings.persons)
    yield from repeated("policies", list(map(str, settings.policies)))
    yield from _ports(settings)
    yield from _mailboxes(settings)
    yield from _waiting(settings)


def _logins_are_checked(settings: Settings) -> bool:
    """By the gateway, or by a preceding server that passes the login on: Postfix by milter, or a proxy."""
    return settings.passwords is not None or settings.milter is not None or any(
        listener.xclient_peers for listener in settings.listeners)


def _ports(settings: Settings) -> Iterator[Finding]:
    """No two sockets may have the same address and port."""
    ports: list[tuple[str, strictyaml.Path, str, int]] = [
        ("another listener", ("listeners", number, "port"), listener.host, listener.port)
        for number, listener in enumerate(settings.listeners)]
    if settings.milter is not None:
        ports += [("the milter", ("milter", "socket"), *address) for address in settings.milter.addresses]
    ports += [(f"`{name}`", (name, "port"), section.host, section.port) for name, section in (
        ("http", settings.http), ("metrics", settings.metrics), ("api", settings.api)) if section is not None]
    taken: dict[tuple[str, int], str] = {}
    for whose, at, host, port in ports:
        if port and (fold(host), port) in taken:
            yield at, f"{host} port {port} is already used by {taken[fold(host), port]}", "choose another port"
        taken.setdefault((fold(host), port), whose)


def _mailboxes(settings: Settings) -> Iterator[Finding]:
    """Each service has its own mailbox."""
    codes, statements = settings.codes, settings.statements
    if codes is not None and statements is not None and fold(codes.bounces) == fold(statements.bounces) != "":
        yield ("statements", "bounces"), "`codes.bounces` has the same mailbox", (
            "use a separate mailbox for each service")


def _waiting(settings: Settings) -> Iterator[Finding]:
    """Requests to time-stamping services over HTTP must leave workers for other mails."""
    waiting = sum(stamper.in_flight_max for stamper in settings.stampers if stamper.kind == "http")
    if waiting >= settings.limits.workers_max:
        yield ("stampers",), (
            f"the http stampers can occupy {waiting} workers (sum of in_flight_max), and limits.workers_max is "
            f"{settings.limits.workers_max}: a slow service would delay all mail"), (
            "decrease in_flight_max, or increase limits.workers_max")
