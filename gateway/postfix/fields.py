"""Header fields that Postfix changes in place of another, or not at all, when the gateway's milter asks for it.

Until 2023-12-13 Postfix left out the first field of a mail when it counted the one that a milter names, where it meant
its own Received (its HISTORY of that day; cleanup/cleanup_milter.c). That is the first one unless a site takes it away
or puts another field before it.
"""

import re
from collections.abc import Iterator
from typing import Final

from gateway.model.finding import Finding
from gateway.postfix.configuration import Service, words
from gateway.postfix.form import Site
from gateway.postfix.tables import lines

_REPAIRED: Final = {(3, 5): 23, (3, 6): 13, (3, 7): 9, (3, 8): 4}  # patch levels; every version from 3.9 on
_REPAIRED_FROM: Final = (3, 9)
_OWN: Final = "received"
_MOVES: Final = re.compile(r"\s(IGNORE|STRIP|PREPEND)\b", re.IGNORECASE)  # header_checks(5)
_CHANGES: Final = re.compile(r"\s(IGNORE|STRIP|REPLACE|PREPEND)\b", re.IGNORECASE)
_ACCESS: Final = tuple(f"smtpd_{what}_restrictions" for what in (
    "client", "helo", "sender", "relay", "recipient", "data", "end_of_data"))
_PREPENDS: Final = re.compile(r"\sPREPEND\s", re.IGNORECASE)  # access(5)
# The names with which a pattern begins: `/^X-A:`, `/^(To|Cc):`. With any other beginning it may be any field.
_NAMES: Final = re.compile(r"[^\w\s]\^\(?(?:\?:)?([A-Za-z0-9|-]+)")


def wrong_field(site: Site) -> Iterator[Finding]:
    """What makes an old Postfix change another field than the gateway's milter names."""
    version = site.postfix.value("mail_version")
    if not _is_old(version):
        return
    found = (one for door in _milter_doors(site) for one in _first_fields(site, door))
    for place, what in dict.fromkeys(found):
        yield Finding("error", place, f"{what}: Postfix {version} then changes other fields than the gateway names, "
                      "and a Subject that the gateway removes leaves unencrypted. Update Postfix (3.9, or 3.8.4, "
                      "3.7.9, 3.6.13, 3.5.23), or use the after-queue form (conf/postfix/after-queue.*)")


def changed_behind(site: Site) -> Iterator[Finding]:
    """Checks of the fields that milters write: what the gateway takes out could stay."""
    found = [(site.postfix.place("milter_header_checks", cleanup), f"{action[1].upper()} in {table}")
             for cleanup in map(site.postfix.cleanup, _milter_doors(site))
             for table, line in lines(site.postfix, "milter_header_checks", cleanup)
             if (action := _CHANGES.search(line))]
    for place, what in dict.fromkeys(found):
        yield Finding("error", place, f"{what} changes fields that the gateway writes: a field that the gateway "
                      "removes may stay, unencrypted. Remove the line from milter_header_checks")


def _first_fields(site: Site, door: Service) -> Iterator[tuple[str, str]]:
    """Place and text of what makes another field the first one."""
    postfix, cleanup = site.postfix, site.postfix.cleanup(door)
    if "no_header_body_checks" not in postfix.words("receive_override_options", door):
        for table, line in lines(postfix, "header_checks", cleanup):
            if (action := _MOVES.search(line)) and _may_be_own(line):
                yield postfix.place("header_checks", cleanup), f"{action[1].upper()} of Received in {table}"
    if _OWN in (one.lower() for one in postfix.words("message_drop_headers", cleanup)):
        yield postfix.place("message_drop_headers", cleanup), "Received is in the list"
    for parameter in (*_ACCESS, *postfix.words("smtpd_restriction_classes")):
        for table, line in lines(postfix, parameter, door):
            if _PREPENDS.search(line):
                yield postfix.place(parameter, door), f"PREPEND in {table}"
        if any((words(word) or ("",))[0] == "check_policy_service" for word in postfix.words(parameter, door)):
            yield postfix.place(parameter, door), "a policy service may answer PREPEND"


def _milter_doors(site: Site) -> Iterator[Service]:
    """Those whose mail the gateway's milter changes."""
    for door in site.doors:
        if any(way.form == "milter" and way.to is not None for way in site.ways(door)):
            yield door


def _is_old(version: str) -> bool:
    """Whether this version counts wrongly. One that is not known is taken for new."""
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    if found is None:
        return False
    branch, patch = (int(found[1]), int(found[2])), int(found[3] or 0)
    return branch < _REPAIRED_FROM and patch < _REPAIRED.get(branch, patch + 1)


def _may_be_own(line: str) -> bool:
    """Whether a line of regexp_table(5) or pcre_table(5) may match a Received field."""
    if line.startswith("!"):
        return True
    found = _NAMES.match(line)
    return found is None or any(_OWN.startswith(name.lower()) or name.lower().startswith(_OWN)
                                for name in found[1].split("|"))
