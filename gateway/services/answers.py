"""Finds whether a mail is a person's reply to a mail of the gateway, and to which one."""

import re
from collections.abc import Iterator
from typing import Final

from gateway.mime.entity import Entity
from gateway.mime.header import Headers
from gateway.pipeline.facts import kind_of
from gateway.services.verp import Verp

IDS_MAX: Final = 20  # of one mail; RFC 5322 3.6.4 lets a thread's References grow without end
FIELD_OCTETS_MAX: Final = 8_192
_MESSAGE_ID = re.compile(r"<([^<>\s]{3,250})>")
_MACHINES: Final = frozenset({"dsn", "mdn", "auto_reply", "list"})
# RFC 3834 5 says Auto-Submitted; these are the fields of programs before it; some still write them.
_OF_MACHINES: Final = frozenset({"x-autoreply", "x-autorespond", "x-autoreply-from", "x-mail-autoreply", "x-vacation"})


def by_machine(entity: Entity) -> bool:
    """Whether no person wrote this: absence notices, receipts, lists, calendars' answers (RFC 3834, 8098, 2919, 5546).

    Programs that say nothing of the kind look like people; so an answer alone never proves anything.
    """
    headers = entity.headers
    if kind_of(headers, entity) in _MACHINES or any(field.lower in _OF_MACHINES for field in headers.fields):
        return True
    if (headers.text("precedence") or "").strip().lower() in ("bulk", "junk", "list", "auto_reply"):
        return True
    return any(part.type == "text/calendar" for part in entity.walk())


def answered(headers: Headers, returns: Verp) -> str | None:
    """The id of the gateway's mail that this one answers (In-Reply-To, References: RFC 5322 3.6.4), or None."""
    return next((found for one in _ids(headers) if (found := returns.read_message_id(one)) is not None), None)


def _ids(headers: Headers) -> Iterator[str]:
    """The nearest ones first: In-Reply-To, then References from its end."""
    direct = [one for field in headers.all("in-reply-to") for one in _written(field.unfolded)]
    thread = [one for field in headers.all("references") for one in reversed(_written(field.unfolded))]
    yield from (direct + thread)[:IDS_MAX]


def _written(value: str) -> list[str]:
    return _MESSAGE_ID.findall(value[-FIELD_OCTETS_MAX:])
