"""Aliases and automatic copies: applied once, and never past the gateway."""

from collections.abc import Iterable, Iterator

from gateway.model.finding import Finding
from gateway.postfix.configuration import Service
from gateway.postfix.form import Site
from gateway.postfix.tables import head, outside

_MAPS = ("virtual_alias_maps", "recipient_bcc_maps", "sender_bcc_maps", "recipient_canonical_maps", "canonical_maps")


def _leading_out(site: Site, doors: Iterable[Service]) -> Iterator[tuple[str, str, Service]]:
    """Each parameter that adds or exchanges recipients with some outside: its place, whom, and a door where it counts.

    The door's cleanup(8) reads it, out of main.cf or its own line of master.cf.
    """
    domains = tuple(site.domains)
    visited: set[str] = set()
    for door in doors:
        cleanup = site.postfix.cleanup(door)
        for parameter in (*_MAPS, "always_bcc"):
            place = site.postfix.place(parameter, cleanup)
            if place in visited:
                continue
            visited.add(place)
            if parameter != "always_bcc":
                found = head(outside(site.postfix, parameter, domains, cleanup))
            else:
                found = site.postfix.value(parameter, cleanup)
                if "@" not in found or found.rpartition("@")[2].lower() in site.domains:
                    found = ""
            if found:
                yield place, found, door


def unseen_by_milter(site: Site) -> Iterator[Finding]:
    """A milter sees addresses before these are applied: no rule decides about the recipients that they add."""
    if "milter" not in site.forms:
        return
    for place, whom, _ in _leading_out(site, site.doors):
        yield Finding("error", place, f"Mail is copied or redirected to {whom} after the milter has seen the "
                      "recipients. The copies leave under the rules of another recipient, or unencrypted. Use the "
                      "after-queue form instead of the milter (conf/postfix/after-queue.*); it sees the final "
                      "recipients")


def opened_leaving(site: Site) -> Iterator[Finding]:
    """Mail that was opened for a mailbox of the bank does not leave for the internet."""
    backs = [back for back, roles in site.returns if "inbound" in roles
             and "no_address_mappings" not in site.postfix.words("receive_override_options", back)]
    already = {place for place, _, _ in _leading_out(site, site.doors)} if "milter" in site.forms else set()
    for place, whom, back in _leading_out(site, backs):
        if place not in already:
            yield Finding("error", place, f"Opened mail from the gateway ({back.key}) is copied or redirected to "
                          f"{whom}, unencrypted. Remove those addresses. Or give the recipient a rule with `form: "
                          "as_received`, so that its mail stays sealed, and set `-o "
                          f"receive_override_options=…,no_address_mappings` at {back.key}")


def once(site: Site) -> Iterator[Finding]:
    """With a filter behind the queue, mail passes cleanup(8) twice: mapped in front or on the way back, not both."""
    named = [one for one in (*_MAPS, "always_bcc") if site.postfix.value(one)]
    if not named:
        return
    mapped_behind = any("no_address_mappings" not in site.postfix.words("receive_override_options", back)
                        for back, _ in site.returns)
    for door in site.doors:
        if not any(way.form == "filter" and way.to is not None for way in site.ways(door)):
            continue
        in_front = "no_address_mappings" not in site.postfix.words("receive_override_options", door)
        about = f"master.cf {door.key}"
        if in_front and mapped_behind:
            yield Finding("error", about, f"Postfix applies {', '.join(named)} here and again to mail from the "
                          "gateway, so automatic copies arrive twice. Run `postconf -P "
                          f"'{door.key}/receive_override_options=no_address_mappings'`")
        elif not in_front and site.returns and not mapped_behind:
            yield Finding("warning", about, f"Postfix never applies {', '.join(named)}: no_address_mappings is set "
                          "here and at the services that accept mail from the gateway. Remove it at one of them")
