"""Checks the other milters of this Postfix: what they do to mail that the gateway's milter does not learn of.

Postfix asks its milters one after the other, and none of them learns what another did to the envelope. A milter
declares at the start of each connection which changes it may ask for (SMFIC_OPTNEG); `reading.milter_actions` asks.
"""

from collections.abc import Iterator
from typing import Final

from gateway.model.finding import Finding
from gateway.postfix.configuration import Service, option, words
from gateway.postfix.form import Site

# libmilter/mfapi.h: SMFIF_CHGBODY and so on.
CHANGE_BODY: Final = 0x02
ADD_RECIPIENT: Final = 0x04 | 0x80
DELETE_RECIPIENT: Final = 0x08
QUARANTINE: Final = 0x20

_AFTER_QUEUE: Final = (
    "Switch this off in the milter and list the milter in `postfix_examined` of sealgate.yaml. Or use the "
    "after-queue form (conf/postfix/after-queue.*), which sees the mail after all milters (docs/milter.md)")


def others(site: Site) -> frozenset[str]:
    """Sockets of the milters that a finding needs to know about, as smtpd_milters has them."""
    beside = {milter for door in site.doors for milter, _, _ in _beside(site, door)}
    behind = {milter for back, _ in site.returns for milter in site.postfix.words("smtpd_milters", back)
              if not site.is_gateways_milter(milter)}
    return frozenset(_socket(one) for one in beside | behind)


def beside_the_gateway(site: Site) -> Iterator[Finding]:
    """Milters in the same list as the gateway's."""
    reported: set[tuple[str, str, bool]] = set()
    for door in site.doors:
        for milter, place, before in _beside(site, door):
            if (milter, place, before) in reported:
                continue
            reported.add((milter, place, before))
            if before:
                yield from _default_action(site, door, milter)
            yield from _of_one(site, milter, place, before=before)


def behind_the_gateway(site: Site) -> Iterator[Finding]:
    """Milters where mail comes back: a recipient that one adds gets opened mail, a new body breaks signatures."""
    for back, roles in site.returns:
        place = site.postfix.place("smtpd_milters", back)
        for milter in site.postfix.words("smtpd_milters", back):
            socket = _socket(milter)
            if site.is_gateways_milter(milter) or socket in site.settings.postfix_examined:
                continue
            actions = site.milter_actions.get(socket)
            if "inbound" in roles and (actions is None or actions & ADD_RECIPIENT):
                yield Finding("error", place, f"{_knowledge(socket, actions)} add recipients to opened mail at "
                              f"{back.key}: their copies leave unencrypted. Run `postconf -P "
                              f"'{back.key}/smtpd_milters='`, or switch this off in the milter and list the milter "
                              "in `postfix_examined` of sealgate.yaml")
            if actions is not None and actions & CHANGE_BODY:
                yield Finding("warning", place, f"{_knowledge(socket, actions)} change the body of mail that the "
                              f"gateway has signed ({back.key}), which breaks the signature. Place it before the "
                              "gateway")


def _beside(site: Site, door: Service) -> Iterator[tuple[str, str, bool]]:
    """Each other milter of a door that leads to the gateway's: its text, its place, whether Postfix asks it first."""
    if not any(way.form == "milter" and way.to is not None for way in site.ways(door)):
        return
    parameter, reader = site.milters(door)
    before = True
    for milter in site.postfix.words(parameter, reader):
        if site.is_gateways_milter(milter):
            before = False
        else:
            yield milter, site.postfix.place(parameter, reader), before


def _default_action(site: Site, door: Service, milter: str) -> Iterator[Finding]:
    _, reader = site.milters(door)
    own = option(milter, "default_action")
    place = site.postfix.place(*site.milters(door)) if own else site.postfix.place("milter_default_action", reader)
    if (own or site.postfix.value("milter_default_action", reader)) == "quarantine":
        yield Finding("error", place, f"While {_socket(milter)} is down, Postfix puts mail on HOLD before the gateway "
                      "has seen it, and `postsuper -H` sends it unencrypted. Set `default_action=tempfail` for this "
                      "milter")


def _of_one(site: Site, milter: str, place: str, *, before: bool) -> Iterator[Finding]:
    socket = _socket(milter)
    if socket in site.settings.postfix_examined:
        yield Finding("ok", place, f"{socket} is another milter; it is listed in postfix_examined")
        return
    actions = site.milter_actions.get(socket)
    known = actions if actions is not None else ADD_RECIPIENT | DELETE_RECIPIENT | QUARANTINE
    harm = []
    if before and known & QUARANTINE:
        harm.append("put mail on HOLD before the gateway has seen it, and `postsuper -H` sends it unencrypted")
    if known & ADD_RECIPIENT:
        harm.append("add recipients that the gateway does not see: they receive internal mail unencrypted")
    if known & DELETE_RECIPIENT:
        harm.append("remove recipients, who still receive the copies that the gateway sends through its next hops")
    order = "before" if before else "after"
    if harm:
        yield Finding("error", place, f"{_knowledge(socket, actions)} ({order} the gateway) {'; '.join(harm)}. "
                      f"{_AFTER_QUEUE}")
    elif not before and known & CHANGE_BODY:
        yield Finding("warning", place, f"{_knowledge(socket, actions)} change the body of mail that the gateway has "
                      "signed, which breaks the signature. Place it before the gateway")
    else:
        yield Finding("ok", place, f"{socket} is another milter ({order} the gateway); it holds no mail and changes no "
                      "recipients")


def _knowledge(socket: str, actions: int | None) -> str:
    if actions is None:
        return f"{socket} does not answer this check, so it may"
    return f"{socket} declares that it may"


def _socket(milter: str) -> str:
    return (words(milter) or ("",))[0]
