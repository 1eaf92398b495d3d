"""The message key: identifies a retry as the same mail, with any fields that hops added on top.

A milter sees a mail when Postfix has completed it: a Message-Id with the queue id of this attempt and the Date of this
attempt are behind all fields of its author, in this order (Postfix, cleanup_message.c). Both differ at the next
attempt, as do the fields of a filter in front of the gateway. The key contains none of them. If no field remains by
which the author distinguished the mail, only an unacknowledged transaction is the same mail (`identified`).
"""

import hashlib
from collections.abc import Iterator
from typing import Final

from gateway.mime.header import Field, Headers
from gateway.mime.trace import is_trace
from gateway.model.mail import Mail
from gateway.ports.hold import held_key

_ID_OCTETS_MIN: Final = 6  # Postfix's queue ids have ten and more; a shorter one could occur anywhere
_IDS: Final = frozenset({"message-id", "resent-message-id"})
_DATES: Final = frozenset({"date", "resent-date"})
_BEHIND_THE_DATE: Final = frozenset({"from", "resent-from", "to"})  # what else Postfix completes
_FILTERS: Final = ("x-spam", "x-rspamd-", "x-virus-")


def message_key(mail: Mail, headers: Headers, way: str) -> str:
    """SHA-256 (hex) over direction, client, reverse-path and the message without its trace fields.

    Groups and recipients are not part of it: they change when a certificate appears. A queue id is added where
    the front end has one, never used alone: queue ids are reused. A mail out of the hold store is another one: the
    journal knows the first as held. Its key begins with `held_key`, for the journal keeps its rows as long as it is
    held. `headers`: of `mail.octets`.
    """
    digest = hashlib.sha256()
    for part in (way, mail.origin.client or "", mail.envelope.reverse_path, mail.origin.queue_id or ""):
        digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
    passing = _of_this_attempt(headers, mail.origin.attempt_id)
    digest.update(b"".join([field.raw for number, field in enumerate(headers.fields)
                            if number not in passing and not is_trace(field.lower)]))
    digest.update(memoryview(mail.octets)[headers.body_offset :])
    own = digest.hexdigest()
    return f"{held_key(mail.origin.held_as)} {own}" if mail.origin.held_as else own


def identified(mail: Mail, headers: Headers) -> bool:
    """Whether the author identified this mail: it has their own Message-ID, and no Date that may be Postfix's."""
    passing = _of_this_attempt(headers, mail.origin.attempt_id)
    if any(headers.fields[number].lower in _DATES for number in passing):
        return False
    return bool([number for number, field in enumerate(headers.fields)
                 if field.lower == "message-id" and number not in passing and field.value.strip()])


def _of_this_attempt(headers: Headers, attempt_id: str | None) -> frozenset[int]:
    """Which fields a mail server in front, or a filter of its, wrote for this attempt alone; by their number."""
    mark = (attempt_id or "").encode("utf-8", "surrogateescape")
    if len(mark) < _ID_OCTETS_MIN:
        return frozenset()
    fields = headers.fields
    found = {number for number, field in enumerate(fields) if _by_filter(field) or _holds(field.value, mark)}
    ids = [number for number in found if fields[number].lower in _IDS]
    if ids:
        found.update(number for number in range(min(ids), len(fields)) if fields[number].lower in _DATES)
    else:
        found.update(_last_date(fields))
    return frozenset(found)


def _by_filter(field: Field) -> bool:
    return field.lower.startswith(_FILTERS)


def _holds(value: bytes, mark: bytes) -> bool:
    """Whether it occurs there as a word of its own."""
    at = value.find(mark)
    if at < 0:
        return False
    before, after = value[at - 1 : at] if at else b"", value[at + len(mark) : at + len(mark) + 1]
    return not before.isalnum() and not after.isalnum()


def _last_date(fields: tuple[Field, ...]) -> Iterator[int]:
    """A Date where Postfix would have put it, of a mail whose Message-ID is its author's."""
    for number in range(len(fields) - 1, -1, -1):
        lower = fields[number].lower
        if lower in _DATES:
            yield number
        elif lower not in _BEHIND_THE_DATE and not is_trace(lower) and not _by_filter(fields[number]):
            return
