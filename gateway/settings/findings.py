"""Contradictions between settings, which the types cannot express."""

import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from typing import Final

from gateway import strictyaml
from gateway.model.address import fold, same_address
from gateway.model.mail import GATEWAY_CLIENT
from gateway.settings import api, codes, deployment, fallbacks, http, keys, sources, statements, trust
from gateway.settings.base import Finding, fingerprints, is_time_zone, names, networks, patterns, repeated
from gateway.settings.sections import Bank, HoldSettings, Limits, Listener, Settings

SMTP_PORT: Final = 25
IPV4: Final = 4
BELIEVED_PREFIX_MIN: Final = 8  # a bank's own 10.0.0.0/8, or the loopback
BELIEVED_PREFIX_MIN_IPV6: Final = 32  # what a provider gets

_FIELD = re.compile(r"[Xx]-[A-Za-z0-9-]{1,70}")


def findings(settings: Settings) -> Iterator[Finding]:
    """All contradictions between settings. Opens no file: `sealgate check` does that."""
    for kind, named in (("listeners", settings.listeners), ("clients", settings.clients), ("keys", settings.keys),
                        ("stampers", settings.stampers), ("tokens", settings.tokens), ("escrow", settings.escrow)):
        taken = {"listeners": (deployment.MILTER,), "clients": (GATEWAY_CLIENT,)}.get(kind, ())
        yield from names(kind, [section.name for section in named], taken=taken)
    yield from _bank(settings.bank)
    for number, listener in enumerate(settings.listeners):
        yield from _listener(("listeners", number), listener)
    yield from _ports(settings)
    yield from _clients(settings)
    clients = [client.name for client in settings.clients]
    senders = [*clients, GATEWAY_CLIENT]
    yield from keys.check(settings.tokens, settings.keys, settings.stampers, senders)
    yield from names("sources", [source.name for source in settings.sources], taken=(sources.STORE,))
    yield from sources.check(settings.sources, settings.lookups)
    yield from trust.check(settings.trust, settings.fetch, settings.reports)
    yield from http.check(settings.http, settings.stampers)
    yield from deployment.check(settings.milter)
    yield from api.check(settings.api, [(number, client.callback_url, client.callback_secret_file)
                                        for number, client in enumerate(settings.clients)])
    yield from codes.check(settings.codes)
    yield from statements.check(settings.statements, frozenset(clients))
    if settings.codes is not None and settings.statements is not None and same_address(
            settings.codes.bounces, settings.statements.bounces):
        yield ("statements", "bounces"), "`codes.bounces` has the same mailbox", (
            "use a separate mailbox for each service")
    yield from fallbacks.check(settings.fallbacks, frozenset(senders))
    yield from repeated("policies", list(map(str, settings.policies)))
    yield from _hold(settings.hold)
    yield from _limits(settings.limits)
    yield from _waiting(settings)


def _bank(bank: Bank) -> Iterator[Finding]:
    for number, domain in enumerate(bank.domains):
        if not domain or "@" in domain or domain.startswith(".") or "." not in domain.strip("."):
            yield ("bank", "domains", number), f"`{domain}` is not a valid mail domain", (
                "write a domain such as bank.example")
    yield from repeated("bank", [fold(domain) for domain in bank.domains], "domains")
    if not bank.hostname or "@" in bank.hostname or " " in bank.hostname:
        yield ("bank", "hostname"), f"`{bank.hostname}` is not a valid host name", (
            "write a name such as mail.bank.example")
    if bank.postmaster and "@" not in bank.postmaster:
        yield ("bank", "postmaster"), f"`{bank.postmaster}` is not a valid mail address", (
            "write an address such as postmaster@bank.example")
    for field in ("name", "contact"):
        if not all(char.isprintable() for char in getattr(bank, field)):
            yield ("bank", field), "it has a line end or another control character", "write it on one line"
    if not is_time_zone(bank.time_zone):
        yield ("bank", "time_zone"), f"the time zone `{bank.time_zone}` is unknown", "write UTC or Europe/Berlin"
    own = fold(bank.authserv_id or bank.hostname)
    for number, identity in enumerate(bank.trusted_authserv_ids):
        if fold(identity) == own:
            yield ("bank", "trusted_authserv_ids", number), f"`{identity}` is the gateway's own authserv-id", (
                "configure another authserv-id in the filter, and name it here: results with the gateway's id are "
                "removed")


def _listener(at: strictyaml.Path, listener: Listener) -> Iterator[Finding]:
    if listener.tls == "none":
        for name in ("certificate", "key", "client_ca"):
            if getattr(listener, name) is not None:
                yield (*at, name), f"`{name}` has no effect without TLS", (
                    f"write tls: starttls or tls: implicit, or remove `{name}`")
        if listener.tls_required:
            yield (*at, "tls_required"), "`tls_required` has no effect without TLS", "write tls: starttls"
    else:
        for name in ("certificate", "key"):
            if getattr(listener, name) is None:
                yield (*at, "tls"), f"`tls: {listener.tls}` needs `{name}`", f"set `{name}` to a PEM file"
    yield from networks((*at, "trusted_peers"), listener.trusted_peers)
    if listener.protocol == "lmtp" and listener.port == SMTP_PORT:
        yield (*at, "protocol"), "LMTP must not use port 25, which is for SMTP (RFC 2033 section 5)", (
            "choose another port")
    for name in ("xforward_peers", "xclient_peers"):
        yield from networks((*at, name), getattr(listener, name))
        yield from _too_many((*at, name), getattr(listener, name))


def _too_many(at: strictyaml.Path, given: Sequence[str]) -> Iterator[Finding]:
    """Hosts in these networks can claim to be any client, so the networks must be small: single mail servers."""
    for number, text in enumerate(given):
        try:
            network = ip_network(text)
        except ValueError:
            continue  # reported as not valid
        if network.prefixlen < (BELIEVED_PREFIX_MIN if network.version == IPV4 else BELIEVED_PREFIX_MIN_IPV6):
            yield (*at, number), f"`{text}` is too large: any host in it could claim to be any client of the bank", (
                "name only the mail servers that pass mail to the gateway, such as 127.0.0.0/8")


def _ports(settings: Settings) -> Iterator[Finding]:
    """No two sockets may have the same address and port."""
    wanted: list[tuple[str, strictyaml.Path, str, int]] = [
        ("another listener's", ("listeners", number, "port"), listener.host, listener.port)
        for number, listener in enumerate(settings.listeners)]
    if settings.milter is not None:
        wanted += [("the milter's", ("milter", "socket"), *address) for address in settings.milter.addresses]
    wanted += [(f"that of `{name}`", (name, "port"), section.host, section.port) for name, section in (
        ("http", settings.http), ("metrics", settings.metrics), ("api", settings.api)) if section is not None]
    taken: dict[tuple[str, int], str] = {}
    for whose, at, host, port in wanted:
        if port and (fold(host), port) in taken:
            yield at, f"{host} port {port} is already {taken[fold(host), port]}", "choose another port"
        taken.setdefault((fold(host), port), whose)


def _clients(settings: Settings) -> Iterator[Finding]:
    """Each client is identified by something that no other client has."""
    seen: dict[tuple[str, str], str] = {}
    for number, client in enumerate(settings.clients):
        at: strictyaml.Path = ("clients", number)
        yield from networks((*at, "networks"), client.networks)
        if not (client.networks or client.tls_certificates or client.logins or client.token_file):
            yield at, f"client `{client.name}` cannot be identified", (
                "set networks, tls_certificates, logins or token_file for it")
        yield from fingerprints((*at, "tls_certificates"), client.tls_certificates)
        if bool(client.header) is not (client.header_file is not None):
            yield at, "`header` and `header_file` must be set together", "set both, or neither"
        if client.header and not _FIELD.fullmatch(client.header):
            yield (*at, "header"), f"`{client.header}` is not a valid name for this header field", (
                "the field is removed from every mail, so its name must begin with X-, such as X-Bank-Route")
        if client.logins and settings.passwords is None and not _others_log_in(settings):
            yield (*at, "logins"), "`logins` needs `passwords`", (
                "set `passwords` to the file that `sealgate client add` writes")
        for kind in ("networks", "tls_certificates", "logins"):
            for place, text in enumerate(getattr(client, kind)):
                other = seen.setdefault((kind, text), client.name)
                if other != client.name:
                    yield (*at, kind, place), (
                        f"`{text}` already identifies client `{other}`"), "remove it from one of the two clients"
        yield from patterns((*at, "from"), client.from_addresses)


def _others_log_in(settings: Settings) -> bool:
    """Whether a preceding server authenticates and passes the login on: Postfix by milter, or a proxy."""
    return settings.milter is not None or any(listener.xclient_peers for listener in settings.listeners)


def _hold(hold: HoldSettings) -> Iterator[Finding]:
    if hold.archive_key is not None and hold.archive_certificate is None:
        yield ("hold", "archive_key"), "`archive_key` needs `archive_certificate`", "set `archive_certificate`"
    if hold.archive_passphrase_file is not None and hold.archive_key is None:
        yield ("hold", "archive_passphrase_file"), (
            "`archive_passphrase_file` needs `archive_key`"), "set `archive_key`, or remove the passphrase"


def _waiting(settings: Settings) -> Iterator[Finding]:
    """Requests to time-stamping services over HTTP must leave workers for other mails."""
    waiting = sum(stamper.in_flight_max for stamper in settings.stampers if stamper.kind == "http")
    if waiting >= settings.limits.workers_max:
        yield ("stampers",), (
            f"the http stampers can occupy {waiting} workers (sum of in_flight_max), and limits.workers_max is "
            f"{settings.limits.workers_max}: a slow service would delay all mail"), (
            "decrease in_flight_max, or increase limits.workers_max")


def _limits(limits: Limits) -> Iterator[Finding]:
    if limits.octets_in_flight_max < limits.message_octets_max:
        yield ("limits", "octets_in_flight_max"), (
            f"octets_in_flight_max is less than message_octets_max ({limits.message_octets_max}): "
            "the largest mail would always be deferred"), f"write {limits.message_octets_max} or more"
    told = "connections_per_peer_max" in limits.model_fields_set
    if told and limits.connections_per_peer_max > limits.connections_max:
        yield ("limits", "connections_per_peer_max"), (
            f"connections_per_peer_max is greater than connections_max ({limits.connections_max})"), (
            f"write {limits.connections_max} or less")
