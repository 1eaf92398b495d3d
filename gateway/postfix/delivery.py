"""Checks how Postfix delivers opened mail: forwards, programs and servers behind local(8), virtual(8) and pipe(8).

Mail that these agents send on is queued again without a content filter or milter, so it leaves the bank in clear.
postconf(5) lists what local(8) tries, in this order: aliases, ~/.forward, mailbox_transport_maps, mailbox_transport,
mailbox_command_maps, mailbox_command, the mailbox itself, fallback_transport_maps, fallback_transport, luser_relay.
"""

import re
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Final

from gateway.model.finding import Finding
from gateway.postfix.configuration import Service, endpoint, words
from gateway.postfix.form import Site
from gateway.postfix.own_domains import CLASSES, names_ours, routed_as_strangers
from gateway.postfix.tables import aliases, destinations, entries, head

_MAPPED: Final = ("virtual_alias_maps", "recipient_canonical_maps", "canonical_maps")
_TLS_REQUIRED: Final = frozenset({"encrypt", "dane-only", "fingerprint", "verify", "secure"})
_INTERNAL: Final = tuple(map(ip_network, ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128",
                                          "fc00::/7", "fe80::/10")))
_NOTICES: Final = {
    "bounce_notice_recipient": frozenset({"bounce"}), "2bounce_notice_recipient": frozenset({"2bounce"}),
    "delay_notice_recipient": frozenset({"delay"}),
    "error_notice_recipient": frozenset({"resource", "software", "protocol", "policy", "data"}),
}
# Of each class of domains, what delivers its mail and what lists them.
_CLASSES: Final = {transport: domains for domains, transport in CLASSES.items() if transport}
_DOMAIN: Final = re.compile(r"[a-z0-9-]+\.[a-z]{2,}")
_EXAMINE: Final = "Verify that it does not, then list it in `postfix_examined` of sealgate.yaml"


def aliases_of_local(site: Site) -> Iterator[Finding]:
    """Destinations of aliases(5), with those in :include: files: addresses outside, programs, files, unread lists."""
    outside, unread, files = [], [], []
    programs = {}
    for where, kind, text in aliases(site.postfix):
        name = f"{text} ({where})"
        if kind == "address" and not _inside(site, text):
            outside.append(name)
        elif kind == "unread":
            unread.append(name)
        elif kind == "program" and _runs_commands(site, where):
            programs[name] = text
        elif kind == "file" and text != "/dev/null":
            files.append(name)
    if outside:
        yield Finding("error", "main.cf alias_maps", f"The aliases lead to {head(tuple(outside))}: local(8) sends "
                      "opened mail there unencrypted, past every filter. Remove those addresses, or make them "
                      "mailboxes of the bank")
    if unread:
        yield Finding("error", "main.cf alias_maps", f"This check cannot read {head(tuple(unread))}. An outside "
                      "address in it would receive opened mail unencrypted. Run this check as a user with read "
                      "access, create the table (`newaliases`), or remove it from alias_maps")
    for name, command in programs.items():
        yield from _program(site, "main.cf alias_maps", name, command)
    if files:
        yield Finding("warning", "main.cf alias_maps", f"local(8) appends opened mail to {head(tuple(files))}. "
                      "Restrict read access to these files")


def _runs_commands(site: Site, where: str) -> bool:
    """local(8) runs commands of aliases by default, of included files only where the site allows it."""
    kind = "include" if where.startswith(":include:") else "alias"
    return kind in site.postfix.words("allow_mail_to_commands")


def programs(site: Site) -> Iterator[Finding]:
    """mailbox_command(_maps): local(8) gives opened mail to a program, which may send it anywhere."""
    for agent in _local_agents(site):
        place = partial(site.postfix.place, service=agent)
        command = site.postfix.value("mailbox_command", agent)
        if command:
            yield from _program(site, place("mailbox_command"), command, command)
        for user, program in entries(site.postfix, "mailbox_command_maps", agent):
            yield from _program(site, place("mailbox_command_maps"), f"{program} (for {user})", program)
        yield from _unread(site, "mailbox_command_maps", agent)


def forwards(site: Site) -> Iterator[Finding]:
    """forward_path: each user of the machine sends opened mail wherever their .forward says."""
    for agent in _local_agents(site):
        path = site.postfix.value("forward_path", agent)
        if path:
            yield Finding("error", site.postfix.place("forward_path", agent), "Each user can send opened mail to any "
                          f"address or program with {path.split(',')[0]}, unencrypted, past every filter. Run "
                          "`postconf -e forward_path=`")


def unknown_users(site: Site) -> Iterator[Finding]:
    """luser_relay: mail for unknown users goes to one destination, in the syntax of aliases(5)."""
    for agent in _local_agents(site):
        place = site.postfix.place("luser_relay", agent)
        for kind, text in destinations(site.postfix.value("luser_relay", agent)):
            if kind == "address" and not _inside(site, text):
                yield Finding("error", place, f"local(8) sends opened mail for unknown users to {text}, unencrypted, "
                              "past every filter. Run `postconf -e luser_relay=`")
            elif kind == "program":
                yield from _program(site, place, text, text)


def notices(site: Site) -> Iterator[Finding]:
    """Notices to the postmaster hold header fields of opened mail (postconf(5) notify_classes)."""
    for parameter, classes in _NOTICES.items():
        to = site.postfix.value(parameter)
        if classes & set(site.postfix.words("notify_classes")) and "@" in to and not _inside(site, to):
            yield Finding("error", f"main.cf {parameter}", f"Postfix sends header fields of opened mail to {to}, "
                          f"unencrypted, past every filter. Run `postconf -e {parameter}=postmaster`")


def servers(site: Site) -> Iterator[Finding]:
    """Transports that deliver mail of the bank's domains: inside the bank, or by mandatory TLS."""
    for agent in _local_agents(site):
        for parameter in ("mailbox_transport", "fallback_transport"):
            value = site.postfix.value(parameter, agent)
            yield from _handed_over(site, site.postfix.place(parameter, agent), value)
            maps = f"{parameter}_maps"
            for _, one in entries(site.postfix, maps, agent):
                yield from _handed_over(site, site.postfix.place(maps, agent), one)
            yield from _unread(site, maps, agent)
    for parameter in _CLASSES:
        yield from _handed_over(site, f"main.cf {parameter}", _with_next_hop(site, parameter))
    for key, value in entries(site.postfix, "transport_maps"):
        if _routes_ours(site, key):
            for route in _routes(site, value):
                yield from _handed_over(site, "main.cf transport_maps", route)
    yield from _unread(site, "transport_maps", None)
    relay = site.postfix.value("relay_transport")
    if _takes_relayhost(site, relay):
        for _, value in entries(site.postfix, "sender_dependent_relayhost_maps"):
            yield from _handed_over(site, "main.cf sender_dependent_relayhost_maps", f"{relay}:{value}")
        yield from _unread(site, "sender_dependent_relayhost_maps", None)


def filters(site: Site) -> Iterator[Finding]:
    """content_filter and smtpd_proxy_filter where opened mail comes back: inside the bank, or by mandatory TLS."""
    for back in _doors_of_opened_mail(site):
        transport, _, hop = site.postfix.value("content_filter", back).partition(":")
        yield from _handed_over(site, site.postfix.place("content_filter", back),
                                f"{transport}:{hop or site.postfix.value('default_filter_nexthop')}")
        proxy = site.postfix.value("smtpd_proxy_filter", back)
        if proxy and not _is_internal(site, proxy):
            yield Finding("error", site.postfix.place("smtpd_proxy_filter", back), f"{back.key} sends opened "
                          f"mail to {proxy} without TLS, so the mail leaves the bank unencrypted. If the host is the "
                          "bank's, list its name in `postfix_examined` of sealgate.yaml. Otherwise run "
                          f"`postconf -P '{back.key}/smtpd_proxy_filter='`")


def _doors_of_opened_mail(site: Site) -> tuple[Service, ...]:
    return tuple(back for back, roles in site.returns if "inbound" in roles)


def own_routes(site: Site) -> Iterator[Finding]:
    """The bank's own domains have a class or a route: else opened mail leaves as if it were for strangers."""
    for domain, parameter, route in routed_as_strangers(site):
        name, _, hop = route.partition(":")
        transport = site.postfix.transport(name)
        if transport is not None and transport.command in ("smtp", "lmtp") and hop and not _in_clear_outside(
                site, transport, words(hop)):
            continue
        yield Finding("error", f"main.cf {parameter}", f"{domain} is a domain of the bank, but is not in "
                      "mydestination, virtual_mailbox_domains, relay_domains or transport_maps. Postfix rejects "
                      "opened mail for it, or sends it to the route of outside domains "
                      f"({route if hop else 'its MX'}), unencrypted. Add the domain to relay_domains, and its mail "
                      "server to transport_maps")


def _routes(site: Site, value: str) -> Iterator[str]:
    """A value of transport(5) with its transport: where it names none, that of each class of the bank's domains."""
    if not value.startswith(":"):
        yield value
        return
    for parameter, domains in _CLASSES.items():
        if names_ours(site, domains):
            yield site.postfix.value(parameter).partition(":")[0] + value


def other_recipients(site: Site) -> Iterator[Finding]:
    """smtp_generic_maps: the address that the bank's mail server gets in place of the recipient's."""
    for transport in _clients_of_opened_mail(site):
        parameter = f"{transport.command}_generic_maps"
        place = site.postfix.place(parameter, transport)
        found = [f"{value} (for {key})" for key, value in entries(site.postfix, parameter, transport)
                 if _may_be_ours(site, key) and not _inside(site, value if "@" in value else key)]
        if found:
            yield Finding("error", place, f"{transport.key} gives opened mail another recipient: "
                          f"{head(tuple(found))}. The next server sends it there, unencrypted. Run `postconf -P "
                          f"'{transport.key}/{parameter}='`")
        yield from _unread(site, parameter, transport)


def _may_be_ours(site: Site, key: str) -> bool:
    """Whether this key of generic(5) is of the bank: an address, `@domain`, a user of any domain, or a pattern."""
    return key.startswith(("/", "!/")) or "@" not in key or _inside(site, key)


def _clients_of_opened_mail(site: Site) -> tuple[Service, ...]:
    """The smtp(8) and lmtp(8) services by which opened mail goes on."""
    used = [site.postfix.value(parameter) for parameter, domains in _CLASSES.items() if names_ours(site, domains)]
    used += [route for key, value in entries(site.postfix, "transport_maps") if _routes_ours(site, key)
             for route in _routes(site, value)]
    used += [site.postfix.value("content_filter", back) for back in _doors_of_opened_mail(site)]
    for agent in _local_agents(site):
        used += [site.postfix.value(one, agent) for one in ("mailbox_transport", "fallback_transport")]
    found = (site.postfix.transport(name) for name in dict.fromkeys(one.partition(":")[0] for one in used))
    return tuple(one for one in found if one is not None and one.command in ("smtp", "lmtp"))


def fall_backs(site: Site) -> Iterator[Finding]:
    """Where opened mail goes while a mail server of the bank is away."""
    for transport in _clients_of_opened_mail(site):
        parameter = f"{transport.command}_fallback_relay"
        outside = _in_clear_outside(site, transport, site.postfix.words(parameter, transport))
        if outside:
            yield Finding("error", site.postfix.place(parameter, transport), "While the bank's mail server is down, "
                          f"{transport.key} sends its opened mail to {head(outside)}, unencrypted. Run `postconf -P "
                          f"'{transport.key}/{parameter}='`")


def _with_next_hop(site: Site, parameter: str) -> str:
    """Mail of relay_domains without a next hop of its own goes to `relayhost` (postconf(5) relay_transport)."""
    value = site.postfix.value(parameter)
    if parameter == "relay_transport" and _takes_relayhost(site, value):
        return f"{value}:{site.postfix.value('relayhost')}"
    return value


def _takes_relayhost(site: Site, relay_transport: str) -> bool:
    return ":" not in relay_transport and names_ours(site, "relay_domains")


def _routes_ours(site: Site, key: str) -> bool:
    """Whether this key of transport_maps is of the bank: an address or a domain of it.

    Or one for many domains (transport(5): `*`, `.parent`), where no key is more precise.
    """
    ours = site.domains
    if key.startswith(("/", "!/")):
        return _may_match_ours(site, key)
    domain = key.lower().rpartition("@")[2]
    bare = domain.lstrip(".")
    if bare in ours:
        return True
    if domain == "*":
        matched = ours
    elif domain.startswith(".") or "transport_maps" in site.postfix.words("parent_domain_matches_subdomains"):
        matched = frozenset(one for one in ours if one.endswith(f".{bare}"))
    else:
        return False
    keys = {one.lower() for one, _ in entries(site.postfix, "transport_maps")}
    return bool(matched - keys)


def _may_match_ours(site: Site, pattern: str) -> bool:
    """Whether a pattern of regexp_table(5) may match an address of the bank; one that names other domains alone does

    not. What is no pattern for Python may be one for Postfix.
    """
    text = pattern.rpartition("/")[0].lstrip("!").removeprefix("/").lower()
    ours = site.domains
    plain = text.replace("\\", "")
    if any(domain in plain for domain in ours) or not _DOMAIN.search(plain):
        return True
    try:
        matches = any(re.search(text, f"someone@{domain}") for domain in ours)
    except re.error:
        return True
    return matches != pattern.startswith("!")


def _handed_over(site: Site, place: str, value: str) -> Iterator[Finding]:
    """Of `transport:nexthop`. Nothing to say of a transport without a line in master.cf: its mail waits."""
    name, _, rest = value.partition(":")
    transport = site.postfix.transport(name)
    if transport is None:
        return
    if transport.command == "pipe":
        yield from _program(site, place, f"{transport.key}: {transport.program}", transport.program)
    elif transport.command in ("smtp", "lmtp"):
        outside = _in_clear_outside(site, transport, words(rest))
        if outside:
            yield Finding("error", place, f"{transport.key} sends opened mail to {head(outside)} and does not require "
                          "TLS, so the mail leaves the bank unencrypted. If the host is the bank's, list its name "
                          "in `postfix_examined` of sealgate.yaml. Otherwise run `postconf -P "
                          f"'{transport.key}/{transport.command}_tls_security_level=secure'`")


def _in_clear_outside(site: Site, transport: Service, next_hops: tuple[str, ...]) -> tuple[str, ...]:
    """Those next hops that are outside the bank and for which TLS is not mandatory."""
    security = site.postfix.value(f"{transport.command}_tls_security_level", transport)
    policies = {key.lower(): value.split()[0].lower() for key, value in entries(
        site.postfix, f"{transport.command}_tls_policy_maps", transport)}
    return tuple(one for one in next_hops if not _is_internal(site, one)
                 and next((policies[key] for key in _policy_keys(one) if key in policies), security)
                 not in _TLS_REQUIRED)


def _policy_keys(next_hop: str) -> Iterator[str]:
    """The keys of smtp_tls_policy_maps for it, the most precise first: `.parent` only where it is a bare domain."""
    yield next_hop.lower()
    if not next_hop.startswith("[") and ":" not in next_hop:
        labels = next_hop.lower().split(".")
        yield from (f".{'.'.join(labels[first:])}" for first in range(1, len(labels)))


def _is_internal(site: Site, next_hop: str) -> bool:
    """A socket in a directory, an address that no internet router passes on, a name of the bank or of no public domain

    (without a dot; RFC 6762 `local`, ICANN's `internal`), or a host that the operator has examined.
    """
    if next_hop.startswith("unix:"):
        return True
    host = _host(next_hop).lower()
    try:
        address = ip_address(host)
    except ValueError:
        ours = [*site.domains, site.postfix.value("myhostname"), "localhost", "local", "internal"]
        if "." not in host or host in site.settings.postfix_examined:
            return True
        return any(host == one.lower() or host.endswith(f".{one.lower()}") for one in ours if one)
    return any(address in network for network in _INTERNAL)


def _host(next_hop: str) -> str:
    """Of `[HOST]:PORT`, `HOST:PORT`, or a host alone."""
    bare = next_hop.removeprefix("inet:")
    if bare.startswith("["):
        return bare[1:].partition("]")[0]
    return endpoint(bare).host or bare.partition(":")[0]


def _program(site: Site, place: str, name: str, command: str) -> Iterator[Finding]:
    """An error until the operator has examined the program, an OK finding afterwards."""
    path = command.strip().lstrip("|\"' ").split()[0] if command.strip("|\"' ") else ""
    if path in site.settings.postfix_examined:
        yield Finding("ok", place, f"{name} receives opened mail; it is listed in postfix_examined")
    else:
        yield Finding("error", place, f"The program {name} receives opened mail and can send it to any address, "
                      f"unencrypted, past every filter. {_EXAMINE} (`{path}`)")


def _unread(site: Site, parameter: str, agent: Service | None) -> Iterator[Finding]:
    for table in site.postfix.words(parameter, agent):
        if ":" not in table or site.postfix.table(table) is not None:
            continue
        place = site.postfix.place(parameter, agent)
        if table in site.settings.postfix_examined:
            yield Finding("ok", place, f"{table} routes opened mail; it is listed in postfix_examined")
        else:
            yield Finding("error", place, f"This check cannot read {table}. An outside server or a program in it "
                          "would receive opened mail unencrypted. Run this check as a user with read access, or "
                          f"move the table to a file. {_EXAMINE} (`{table}`)")


def _inside(site: Site, address: str) -> bool:
    domain = address.rpartition("@")[2].lower()
    return domain in site.domains or domain in map(str.lower, site.postfix.words("mydestination"))


def _local_agents(site: Site) -> tuple[Service, ...]:
    """The local(8) services that opened mail can reach: by local_transport, or by any other route."""
    routes = [value for _, value in entries(site.postfix, "transport_maps")]
    routes += [site.postfix.value(one) for one in ("virtual_transport", "relay_transport", "default_transport")]
    mapped = any(site.postfix.value(one) for one in _MAPPED)
    if names_ours(site, "mydestination") or (mapped and site.postfix.words("mydestination")):
        routes.append(site.postfix.value("local_transport"))
    named = {route.partition(":")[0] for route in routes}
    return tuple(one for one in site.postfix.services
                 if one.kind == "unix" and one.command == "local" and one.name in named)
