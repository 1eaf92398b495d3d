"""What the types cannot say: everything in which the settings contradict themselves."""

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
    """Everything in which the settings contradict themselves. Opens no file: that is for `sealgate check`."""
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
        yield ("statements", "bounces"), "this is the mailbox of `codes`", "a mailbox belongs to one service"
    yield from fallbacks.check(settings.fallbacks, frozenset(senders))
    yield from repeated("policies", list(map(str, settings.policies)))
    yield from _hold(settings.hold)
    yield from _limits(settings.limits)
    yield from _waiting(settings)


def _bank(bank: Bank) -> Iterator[Finding]:
    for number, domain in enumerate(bank.domains):
        if not domain or "@" in domain or domain.startswith(".") or "." not in domain.strip("."):
            yield ("bank", "domains", number), f"`{domain}` is no domain", "such as bank.example"
    yield from repeated("bank", [fold(domain) for domain in bank.domains], "domains")
    if not bank.hostname or "@" in bank.hostname or " " in bank.hostname:
        yield ("bank", "hostname"), f"`{bank.hostname}` is no host name", "such as mail.bank.example"
    if bank.postmaster and "@" not in bank.postmaster:
        yield ("bank", "postmaster"), f"`{bank.postmaster}` is no mail address", "such as postmaster@bank.example"
    for field in ("name", "contact"):
        if not all(char.isprintable() for char in getattr(bank, field)):
            yield ("bank", field), "it has a line end or another control character", "write it on one line"
    if not is_time_zone(bank.time_zone):
        yield ("bank", "time_zone"), f"the time zone `{bank.time_zone}` is unknown", "write UTC or Europe/Berlin"
    own = fold(bank.authserv_id or bank.hostname)
    for number, identity in enumerate(bank.trusted_authserv_ids):
        if fold(identity) == own:
            yield ("bank", "trusted_authserv_ids", number), f"`{identity}` is our own id", (
                "ours is stripped from outside: give the filter another one")


def _listener(at: strictyaml.Path, listener: Listener) -> Iterator[Finding]:
    if listener.tls == "none":
        for name in ("certificate", "key", "client_ca"):
            if getattr(listener, name) is not None:
                yield (*at, name), f"`{name}` without TLS", "write tls: starttls or implicit, or take it out"
        if listener.tls_required:
            yield (*at, "tls_required"), "`tls_required` without TLS", "write tls: starttls"
    else:
        for name in ("certificate", "key"):
            if getattr(listener, name) is None:
                yield (*at, "tls"), f"`tls: {listener.tls}` without `{name}`", f"name a PEM file in {name}"
    yield from networks((*at, "trusted_peers"), listener.trusted_peers)
    if listener.protocol == "lmtp" and listener.port == SMTP_PORT:
        yield (*at, "protocol"), "LMTP on port 25, where everybody speaks SMTP (RFC 2033 5)", "choose another port"
    for name in ("xforward_peers", "xclient_peers"):
        yield from networks((*at, name), getattr(listener, name))
        yield from _too_many((*at, name), getattr(listener, name))


def _too_many(at: strictyaml.Path, given: Sequence[str]) -> Iterator[Finding]:
    """Whoever is in such a network says who he is, and is believed: these are single mail servers, not the world."""
    for number, text in enumerate(given):
        try:
            network = ip_network(text)
        except ValueError:
            continue  # told as no network
        if network.prefixlen < (BELIEVED_PREFIX_MIN if network.version == IPV4 else BELIEVED_PREFIX_MIN_IPV6):
            yield (*at, number), f"`{text}`: whoever is in there could say that it is any client of the bank", (
                "name the mail servers in front alone, such as 127.0.0.0/8")


def _ports(settings: Settings) -> Iterator[Finding]:
    """No two want the same address."""
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
            yield at, f"{host} port {port} is {taken[fold(host), port]}", "choose another port"
        taken.setdefault((fold(host), port), whose)


def _clients(settings: Settings) -> Iterator[Finding]:
    """Each client can be told from every other, by something that only it has."""
    seen: dict[tuple[str, str], str] = {}
    for number, client in enumerate(settings.clients):
        at: strictyaml.Path = ("clients", number)
        yield from networks((*at, "networks"), client.networks)
        if not (client.networks or client.tls_certificates or client.logins or client.token_file):
            yield at, f"nothing tells client `{client.name}` from a stranger", (
                "give it networks, tls_certificates, logins or token_file")
        yield from fingerprints((*at, "tls_certificates"), client.tls_certificates)
        if bool(client.header) is not (client.header_file is not None):
            yield at, "`header` and `header_file` belong together", "name both, or none"
        if client.header and not _FIELD.fullmatch(client.header):
            yield (*at, "header"), f"`{client.header}` is no field of the bank's own", (
                "it is taken out of every mail, so its name begins with X-: such as X-Bank-Route")
        if client.logins and settings.passwords is None and not _others_log_in(settings):
            yield (*at, "logins"), "logins without `passwords`", "name the password file of `sealgate client add`"
        for kind in ("networks", "tls_certificates", "logins"):
            for place, text in enumerate(getattr(client, kind)):
                other = seen.setdefault((kind, text), client.name)
                if other != client.name:
                    yield (*at, kind, place), f"`{text}` is already client `{other}`", "one client each"
        yield from patterns((*at, "from"), client.from_addresses)


def _others_log_in(settings: Settings) -> bool:
    """Whether somebody in front of us asks for passwords and tells us the login: Postfix's milter, or a proxy."""
    return settings.milter is not None or any(listener.xclient_peers for listener in settings.listeners)


def _hold(hold: HoldSettings) -> Iterator[Finding]:
    if hold.archive_key is not None and hold.archive_certificate is None:
        yield ("hold", "archive_key"), "an archive key without `archive_certificate`", "name its certificate"
    if hold.archive_passphrase_file is not None and hold.archive_key is None:
        yield ("hold", "archive_passphrase_file"), "a passphrase without `archive_key`", "name the key, or take it out"


def _waiting(settings: Settings) -> Iterator[Finding]:
    """Mails that wait for time-stamping services over HTTP must leave workers for others."""
    waiting = sum(stamper.in_flight_max for stamper in settings.stampers if stamper.kind == "http")
    if waiting >= settings.limits.workers_max:
        yield ("stampers",), (
            f"the http stampers may hold {waiting} mails at once (in_flight_max), and there are "
            f"{settings.limits.workers_max} workers: a slow service would stop all mail"), (
            "lower in_flight_max, or raise limits.workers_max")


def _limits(limits: Limits) -> Iterator[Finding]:
    if limits.octets_in_flight_max < limits.message_octets_max:
        yield ("limits", "octets_in_flight_max"), "less than message_octets_max: such a mail could never come in", (
            f"at least {limits.message_octets_max}")
    told = "connections_per_peer_max" in limits.model_fields_set
    if told and limits.connections_per_peer_max > limits.connections_max:
        yield ("limits", "connections_per_peer_max"), "more than connections_max", f"at most {limits.connections_max}"
