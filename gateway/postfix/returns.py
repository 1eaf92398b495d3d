"""Doors back from the gateway: no loop, no other client enters there, nothing is lost or added on the way."""

from collections.abc import Iterator

from gateway.model.finding import Finding
from gateway.postfix.configuration import Service, narrow, refusals
from gateway.postfix.form import NAMES, Role, Site

_LOOPBACK = ("127.", "[::1]", "::1", "localhost")
_REFUSING = frozenset({"reject", "defer", "reject_unauth_destination", "defer_unauth_destination"})


def there(site: Site) -> Iterator[Finding]:
    """A next hop on this machine is a door of this Postfix, or of another server."""
    hops = site.settings.next_hops
    known = {role for _, roles in site.returns for role in roles}
    for role, hop in (("outbound", hops.outbound), ("inbound", hops.inbound)):
        if role not in known and hop.host.startswith(_LOOPBACK):
            yield Finding("warning", f"next_hops.{role}", f"No service of this Postfix listens on port {hop.port}, so "
                          "another program receives the gateway's mail, or none does. Add the service from "
                          "conf/postfix, or correct the port")


def loops(site: Site) -> Iterator[Finding]:
    """What comes back is filtered no second time."""
    for back, roles in site.returns:
        for way in site.ways(back):
            place = site.postfix.place(way.parameter, back)
            if way.to is not None or way.form == "milter":
                yield Finding("error", place, f"{back.key} accepts mail from the gateway and sends it to the gateway "
                              f"again ({NAMES[way.form]}), which makes a loop. Run `postconf -P "
                              f"'{back.key}/{way.parameter}='`")
            elif "outbound" in roles:
                yield Finding("warning", place, f"Sealed mail goes to another filter (port {way.at.port}) after the "
                              "gateway. Changes by that filter break signatures. Place the filter before the gateway")
            else:
                yield Finding("warning", place, f"Opened mail goes to another filter (port {way.at.port}) after the "
                              "gateway. Make sure that this filter passes it to a service that relays nothing, as "
                              f"{back.key} does")


def strangers(site: Site) -> Iterator[Finding]:
    """Who else may come in there."""
    for back, roles in site.returns:
        if "outbound" in roles:
            yield from _open_to_others(site, back)
        if not any(_REFUSING & refusals(site.postfix.words(f"smtpd_{what}_restrictions", back))
                   for what in ("client", "relay", "recipient")):
            yield Finding("error", f"master.cf {back.key}", "This service rejects no client, so it is an open relay "
                          f"after the gateway. Set `-o smtpd_relay_restrictions={_restrictions(roles)}`")
        elif roles == {"inbound"} and _relays(site, back):
            yield Finding("error", site.postfix.place("smtpd_relay_restrictions", back), f"{back.key} accepts opened "
                          "mail and relays for mynetworks, so opened mail could leave unencrypted. Set `-o "
                          "smtpd_relay_restrictions=reject_unauth_destination -o mynetworks=`")


def _open_to_others(site: Site, back: Service) -> Iterator[Finding]:
    host = back.endpoint.host
    networks = site.postfix.words("mynetworks", back)
    wide = tuple(one for one in networks if not narrow(one))
    loopback = host.startswith(_LOOPBACK) or site.postfix.value("inet_interfaces") in ("loopback-only", "127.0.0.1")
    clients = refusals(site.postfix.words("smtpd_client_restrictions", back))
    closed = {"reject", "permit_mynetworks"} <= clients or "permit_tls_clientcerts" in clients
    if not loopback and (wide or not closed):
        whom = ", ".join(wide) or "everybody"
        yield Finding("error", f"master.cf {back.key}", f"Every host from {whom} that reaches this service can send "
                      "to the internet past the gateway, unencrypted. Bind it to 127.0.0.1, or set `-o mynetworks=` "
                      "to the gateway's own address and `-o smtpd_client_restrictions=permit_mynetworks,reject`")
    elif loopback and "permit_tls_clientcerts" not in clients:
        yield Finding("ok", f"master.cf {back.key}", "Only local processes reach this service. If users have "
                      "accounts on this machine, admit only the gateway's user: `nft add rule inet filter output "
                      f"oif lo tcp dport {back.endpoint.port} meta skuid != sealgate reject`")


def _restrictions(roles: frozenset[Role]) -> str:
    return "permit_mynetworks,reject" if "outbound" in roles else "reject_unauth_destination"


def _relays(site: Site, back: Service) -> bool:
    """Whether any client may relay to the internet there."""
    relay = set(site.postfix.words("smtpd_relay_restrictions", back)) | set(
        site.postfix.words("smtpd_recipient_restrictions", back))
    return "permit_mynetworks" in relay and bool(site.postfix.words("mynetworks", back))


def sizes(site: Site) -> Iterator[Finding]:
    """A sealed mail is up to 1.9 times as large as what went in; the gateway takes what the front takes."""
    fronts = {door.key: site.postfix.number("message_size_limit", door) for door in site.doors
              if any(way.to for way in site.ways(door))}
    if not fronts:
        return
    largest, unlimited = max(fronts.values()), 0 in fronts.values()
    most = site.settings.limits.message_octets_max
    if unlimited or largest > most:
        yield Finding("warning", "main.cf message_size_limit", f"Postfix accepts {largest or 'any number of'} octets, "
                      f"the gateway {most} (limits.message_octets_max), so mail between these sizes bounces. Run "
                      f"`postconf -e message_size_limit={most}`, or raise limits.message_octets_max")
    for back, _ in site.returns:
        # smtpd reads it to announce SIZE, cleanup to refuse: what counts is the lower of the two.
        cleanup = site.postfix.cleanup(back)
        for service in (back, cleanup):
            behind = site.postfix.number("message_size_limit", service)
            if behind and (unlimited or behind < 2 * largest):
                needed = 2 * (largest or most)
                remedy = (f"Run `postconf -P '{back.key}/message_size_limit={needed}'`" if service is back else
                          f"Give {back.key} its own cleanup service: `postconf -M 'sealgate-back/unix=sealgate-back "
                          f"unix n - n - 0 cleanup -o message_size_limit={needed}'` and `postconf -P "
                          f"'{back.key}/cleanup_service_name=sealgate-back'`")
                yield Finding("error", site.postfix.place("message_size_limit", service), "The size limit is "
                              f"{behind} octets after the gateway ({service.key if service else 'cleanup'} for "
                              f"{back.key}) and {largest or 'none'} before it. A sealed mail is up to 1.9 times as "
                              f"large and would be rejected. {remedy}")
                break


def size_in_place(site: Site) -> Iterator[Finding]:
    """A milter's new body is written behind the old one: the queue file holds both, and cleanup(8) counts it."""
    reported: set[str] = set()
    for door in site.doors:
        cleanup, front = site.postfix.cleanup(door), site.postfix.number("message_size_limit", door)
        limit = site.postfix.number("message_size_limit", cleanup)
        milter = any(way.form == "milter" and way.to is not None for way in site.ways(door))
        if (milter and limit and (not front or limit < 3 * front)
                and cleanup is not None and cleanup.key not in reported):
            reported.add(cleanup.key)
            yield Finding("error", site.postfix.place("message_size_limit", cleanup), f"{cleanup.key} accepts {limit} "
                          f"octets for a mail as received and as sealed together, but {front or 'any number'} may "
                          "arrive. Large mail is rejected and never sealed. Run `postconf -P "
                          f"'{cleanup.key}/message_size_limit={3 * (front or limit)}'`")


def rewriting(site: Site) -> Iterator[Finding]:
    """Postfix does not rewrite signed mail."""
    named = [one for one in ("header_checks", "body_checks", "mime_header_checks", "nested_header_checks")
             if site.postfix.value(one)]
    rewriting_maps = [one for one in ("canonical_maps", "sender_canonical_maps", "masquerade_domains")
                      if site.postfix.value(one)]
    for back, roles in site.returns:
        options = site.postfix.words("receive_override_options", back)
        if named and "no_header_body_checks" not in options:
            yield Finding("warning", f"master.cf {back.key}", f"Postfix applies {', '.join(named)} to mail that the "
                          "gateway has sealed or opened. Set `-o receive_override_options=…,no_header_body_checks`")
        if rewriting_maps and "outbound" in roles and "no_address_mappings" not in options:
            yield Finding("warning", f"master.cf {back.key}", f"Postfix applies {', '.join(rewriting_maps)} to the "
                          "From of signed mail, and the signature then names another address. Rewrite addresses "
                          "before the gateway, or set `-o receive_override_options=…,no_address_mappings` here")
