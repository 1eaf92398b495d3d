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
    """A milter sees addresses before these are applied; the recipients that they make are decided by nobody."""
    if "milter" not in site.forms:
        return
    for place, whom, _ in _leading_out(site, site.doors):
        yield Finding("error", place, f"leads to {whom}, and the milter sees recipients before that: "
                      "their copies leave by the rules of another recipient, or in clear. The milter form is not "
                      "possible here: use the after-queue form (conf/postfix/after-queue.*), which sees final "
                      "recipients")


def opened_leaving(site: Site) -> Iterator[Finding]:
    """What was opened for a mailbox of ours is not handed on to the world."""
    backs = [back for back, roles in site.returns if "inbound" in roles
             and "no_address_mappings" not in site.postfix.words("receive_override_options", back)]
    already = {place for place, _, _ in _leading_out(site, site.doors)} if "milter" in site.forms else set()
    for place, whom, back in _leading_out(site, backs):
        if place not in already:
            yield Finding("error", place, f"leads to {whom}, and is applied where opened mail comes "
                          f"back ({back.key}): it leaves in clear. Take those addresses out, or give "
                          "the recipient a rule with `form: as_received`, so that its mail stays sealed, and say "
                          f"`-o receive_override_options=…,no_address_mappings` at {back.key}")


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
            yield Finding("error", about, f"{', '.join(named)} are applied here and again on the way back: automatic "
                          "copies come twice. "
                          f"`postconf -P '{door.key}/receive_override_options=no_address_mappings'`")
        elif not in_front and site.returns and not mapped_behind:
            yield Finding("warning", about, f"{', '.join(named)} are applied nowhere: no_address_mappings stands in "
                          "front and at the doors back; leave it at one of them")
