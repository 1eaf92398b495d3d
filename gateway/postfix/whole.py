"""What belongs to no door: addresses that mean another mailbox, line ends, bounces, compatibility."""

from collections.abc import Iterator

from gateway.model.finding import Finding
from gateway.postfix.form import Site

_COMPATIBLE = (3, 6)


def routed_addresses(site: Site) -> Iterator[Finding]:
    """`v%evil@bank`, `evil!v@bank` and `"v@evil"@bank` are mailboxes of no person."""
    for parameter in ("allow_percent_hack", "swap_bangpath"):
        if site.postfix.value(parameter) != "no":
            yield Finding("error", f"main.cf {parameter}", "Postfix can rewrite an address of the bank to an outside "
                          f"address, so opened mail for it leaves unencrypted. Run `postconf -e {parameter}=no`")
    if site.postfix.yes("allow_untrusted_routing"):
        yield Finding("error", "main.cf allow_untrusted_routing", "Postfix relays `user@elsewhere@bank` for unknown "
                      "hosts. Run `postconf -e allow_untrusted_routing=no`")


def bounces(site: Site) -> Iterator[Finding]:
    """Opened mail does not go back with its body."""
    if site.postfix.number("bounce_size_limit") != 1 and any(key.purpose == "decrypt" for key in site.settings.keys):
        yield Finding("error", "main.cf bounce_size_limit", "A bounce may return opened mail to its sender, "
                      "unencrypted. Run `postconf -e bounce_size_limit=1`")
    for back, roles in site.returns:
        dropped = {one.lower() for one in site.postfix.words("smtpd_discard_ehlo_keywords", back)}
        if "inbound" in roles and "dsn" in dropped:
            yield Finding("error", site.postfix.place("smtpd_discard_ehlo_keywords", back), "Without DSN the gateway "
                          "cannot ask for bounces without the opened body (RET=HDRS). Remove dsn from the list")
    if site.postfix.yes("soft_bounce"):
        yield Finding("warning", "main.cf soft_bounce", "Postfix retries mail that the gateway rejects for days "
                      "instead of bouncing it. Run `postconf -e soft_bounce=no`")


def line_ends(site: Site) -> Iterator[Finding]:
    """SMTP smuggling: a bare line feed ends no message."""
    reported: set[str] = set()
    for door in site.doors:
        if door.command != "smtpd" or site.postfix.value("smtpd_forbid_bare_newline", door) in (
                "yes", "normalize", "reject"):
            continue
        place = site.postfix.place("smtpd_forbid_bare_newline", door)
        if place not in reported:
            reported.add(place)
            yield Finding("error", place, "A mail can hide another mail behind bare line feeds, which this Postfix "
                          "accepts and the gateway rejects. Run `postconf -e smtpd_forbid_bare_newline=normalize`")


def compatibility(site: Site) -> Iterator[Finding]:
    """Defaults of old versions, which relay for whole subnets."""
    level = tuple(int(one) for one in site.postfix.value("compatibility_level").split(".") if one.isdigit())
    if level < _COMPATIBLE:
        networks = site.postfix.value("mynetworks")
        yield Finding("warning", "main.cf compatibility_level", "Defaults of an old version are in force (mynetworks "
                      f"= {networks}). Run `postconf -e compatibility_level=3.6`, then `postfix check`")
