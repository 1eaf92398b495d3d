"""Header protection read (RFC 9788 4, RFC 9787; RFC 8551 3.1 and draft-autocrypt-lamps-protected-headers as practised).

What counts is inside: fields for readers are taken from the payload, once each, and the fields outside instead of
them, or beside them, is not shown. Nothing else is promoted: no status or trace field, no Bcc, no second From. An
HP-Outer field is the author's word about the outside: it explains a hidden subject and excuses no other difference.

Modes: 'cipher' and 'clear' (hp=), 'v1' (protected-headers="v1": only the fields that are inside count, the others
stay as they are outside, because such mailers copied few), 'wrapped' (the payload is a message/rfc822), 'none'.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.errors import GatewayError
from gateway.mime.addresses import mailboxes
from gateway.mime.entity import Entity, Limits, parse_entity
from gateway.mime.header import Field, Headers
from gateway.mime.params import format_field
from gateway.mime.smime_forms import NotSmime, detect
from gateway.mime.trace import without_tags
from gateway.mime.words import decode_octets, decode_words, encode_unstructured, unfold
from gateway.model.address import fold
from gateway.smime import legacy_display as display

Mode = Literal["none", "clear", "cipher", "v1", "wrapped"]

# For readers: user-facing (RFC 9787 1.1.2), or what an answer is made from.
_READER = frozenset({
    "from", "sender", "reply-to", "followup-to", "to", "cc", "date", "subject", "message-id", "in-reply-to",
    "references", "keywords", "comments", "importance", "priority", "x-priority", "sensitivity", "organization",
    "user-agent", "x-mailer", "thread-topic"})
# One that is missing inside was added on the way, where the author copied all fields (RFC 9788 5.2: MUST).
_NOT_FROM_OUTSIDE = frozenset({
    "sender", "reply-to", "followup-to", "to", "cc", "subject", "in-reply-to", "references", "keywords", "comments"})
# An author may hide these (RFC 9788 3.2); who wrote and who gets the answer is never explained away.
_HIDEABLE = frozenset({"subject", "keywords", "comments", "date", "to", "cc", "message-id", "in-reply-to",
                       "references", "user-agent", "x-mailer", "organization", "thread-topic"})
# May occur more often: RFC 5322 3.6.5; a second To or Cc is against 3.6.3, and all its readers are the author's word.
_SEVERAL = frozenset({"keywords", "comments", "to", "cc"})
_MARKS = ("hp", "protected-headers", display.MARK)
HP_OUTER_MAX = 1_000
_WIDE = Limits(100_000, 1_000_000, 1 << 30, 1 << 30, 1 << 30)  # it has been parsed under the caller's limits before


@dataclass(frozen=True, slots=True)
class ProtectedHeaders:
    """What the reader is to be shown, and how it differs from the outside. Names as written, without doubles.

    `headers`: the header section inside, as it is. `promoted`: its fields for readers, each name once; they take
    the place of every outer field in `replaces` (lower case), with those that were added outside on the way.
    `payload`: the content to be shown, without legacy display and marks; what was signed is the caller's.
    `differs`: names whose outer value is another than the one shown, hidden subjects included; `unexpected`: those
    of them that the author did not announce: changed on the way. `ignored`: names inside that are not for readers.
    `repeated`: names that may occur once and occurred more often inside; the first was taken.
    """

    mode: Mode
    headers: Headers
    payload: Entity
    promoted: tuple[Field, ...]
    replaces: frozenset[str]
    differs: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()


def unprotect(
    payload: Entity, outer: Headers, *, encrypted: bool = True, tags: Sequence[str] = (),
) -> ProtectedHeaders | None:
    """The protected fields of `payload` (the entity inside all layers of a message with the header `outer`).

    None where nothing is protected. `encrypted`: whether a layer was encrypted, for only then an HP-Outer counts.
    `tags`: our subject tags, taken out of a protected subject too. Never raises for what a mail holds.
    """
    mode, source = _mode(payload, outer)
    if mode == "none":
        return None
    notes = _Notes()
    inner = [field for field in source.headers.fields if not _is_structural(field.lower) and field.lower != "hp-outer"]
    reader = _choose(inner, notes)
    announced = _announced(source.headers) if encrypted and mode == "cipher" else {}
    _compare(reader, outer, announced, mode, notes)
    replaces = frozenset(field.lower for field in reader) | (_NOT_FROM_OUTSIDE if mode != "v1" else frozenset())
    return ProtectedHeaders(
        mode, source.headers, _shown(source, reader, mode), tuple(_without_tags(field, tags) for field in reader),
        replaces, tuple(notes.differs.values()), tuple(notes.unexpected.values()), tuple(notes.ignored.values()),
        tuple(notes.repeated.values()))


class _Notes:
    """The notes beside the message; lists of names as written, without doubles."""

    def __init__(self) -> None:
        self.promoted: dict[str, str] = {}
        self.differs: dict[str, str] = {}
        self.unexpected: dict[str, str] = {}
        self.ignored: dict[str, str] = {}
        self.repeated: dict[str, str] = {}


def _is_structural(lower: str) -> bool:
    return lower.startswith("content-") or lower == "mime-version"


def _mode(root: Entity, outside: Headers) -> tuple[Mode, Entity]:
    """How the payload protects header fields, and the entity that carries them."""
    if len(root.headers.all("content-type")) == 1:  # two of them: it is unknown which one counts
        hp = root.content_type.params.get("hp", "").lower()
        if hp == "cipher":
            return "cipher", root
        if hp == "clear":
            return "clear", root
        if root.type == "message/rfc822" and root.children and _is_wrapped(root, outside):
            return "wrapped", root.children[0]
        if root.content_type.params.get("protected-headers", "").lower() == "v1":
            return "v1", root
    return "none", root


def _is_wrapped(root: Entity, outside: Headers) -> bool:
    """Whether a message/rfc822 payload is the message itself (RFC 8551 3.1), and not one that is forwarded.

    `forwarded=no` says so. Without a word, only where it is the same author's and the same Message-ID or Date: the
    two forms cannot be distinguished by themselves, and a forwarded mail must not lend its From to this one
    (RFC 9788 4.10.1). The payload has structural fields only, the inner message no layer of its own.
    """
    inner = root.children[0]
    if any(not _is_structural(field.lower) for field in root.headers.fields):
        return False
    if "hp" in inner.content_type.params or not isinstance(detect(inner), NotSmime):
        return False
    forwarded = root.content_type.params.get("forwarded", "").lower()
    if forwarded:
        return forwarded == "no"
    same_id = any(
        (one := outside.first(name)) is not None and (other := inner.headers.first(name)) is not None
        and one.unfolded == other.unfolded for name in ("message-id", "date"))
    authors = _authors(outside)
    return same_id and authors is not None and authors == _authors(inner.headers)


def _authors(headers: Headers) -> frozenset[str] | None:
    fields = headers.all("from")
    try:
        found = frozenset(fold(box.address) for field in fields for box in mailboxes(field.value))
    except GatewayError:
        return None
    return found or None


def _choose(inner: Sequence[Field], notes: _Notes) -> list[Field]:
    """The fields to be promoted, in their order, each name once, but for those in `_SEVERAL`."""
    chosen: list[Field] = []
    for field in inner:
        if field.lower not in _READER:
            notes.ignored.setdefault(field.lower, field.name)
        elif field.lower in notes.promoted and field.lower not in _SEVERAL:
            notes.repeated.setdefault(field.lower, field.name)
        else:
            notes.promoted.setdefault(field.lower, field.name)
            chosen.append(field)
    return chosen


def _announced(headers: Headers) -> dict[str, list[str]]:
    """HP-Outer (RFC 9788 2.2): lower-case name to the values that the author put outside."""
    found: dict[str, list[str]] = {}
    for field in headers.all("hp-outer")[:HP_OUTER_MAX]:
        name, colon, value = unfold(field.value).partition(b":")
        if colon:
            text = _squeeze(decode_words(decode_octets(value)))
            found.setdefault(decode_octets(name.strip()).lower(), []).append(text)
    return found


def _squeeze(text: str) -> str:
    return " ".join(text.split())


def _compare(
    reader: Sequence[Field], outside: Headers, announced: dict[str, list[str]], mode: Mode, notes: _Notes,
) -> None:
    names = {field.lower: field.name for field in reader}
    if mode != "v1":  # all fields were copied: one that is only outside was added
        for field in outside.fields:
            if field.lower in _NOT_FROM_OUTSIDE:
                names.setdefault(field.lower, field.name)
    shown: dict[str, list[str]] = {}
    for field in reader:
        shown.setdefault(field.lower, []).append(_squeeze(field.text))
    has_announcements = bool(announced)
    for lower, name in names.items():
        there = [_squeeze(field.text) for field in outside.all(lower)]
        here = shown.get(lower, [])
        if _same(lower, there, here):
            continue
        notes.differs[lower] = name
        is_announced = has_announcements and lower in _HIDEABLE and there == announced.get(lower, [])
        if not is_announced and not (mode == "v1" and lower == "subject"):
            notes.unexpected[lower] = name


def _same(lower: str, there: list[str], here: list[str]) -> bool:
    """Equal text; for addresses equal mailboxes, since hops rewrite spaces and quotes."""
    if there == here:
        return True
    if lower not in ("from", "to", "cc", "reply-to", "sender", "followup-to"):
        return False
    boxes: Callable[[list[str]], list[tuple[str, str]]] = lambda values: [  # noqa: E731
        (box.name, fold(box.address)) for value in values for box in mailboxes(value)]
    try:
        return len(there) == len(here) and boxes(there) == boxes(here)
    except GatewayError:
        return False


def _without_tags(field: Field, tags: Sequence[str]) -> Field:
    """A subject that lost our tags; `raw` and `value` are new, the span still says where it came from."""
    stripped = without_tags(field, tags) if field.lower == "subject" and tags else None
    if stripped is None:
        return field
    raw = encode_unstructured(field.name, stripped)
    return field._replace(raw=raw, value=raw[len(field.name) + 1:-2])


def _shown(source: Entity, reader: Sequence[Field], mode: Mode) -> Entity:
    """The content without legacy display and without the marks, which mean nothing outside of a layer."""
    splices = display.remove(source, reader) if mode in ("cipher", "clear") else []
    for part in (source, *display.main_body_parts(source)):
        field = part.headers.first("content-type")
        known = part.content_type.params
        if field is None or not any(name in known for name in _MARKS):
            continue
        params = {name: value for name, value in known.items() if name not in _MARKS}
        splices.append((field.start, field.end, format_field(field.name, part.type, params)))
    unique = list(dict.fromkeys(splices))
    return source if not unique else parse_entity(display.apply(source.octets, unique, source.start, source.end), _WIDE)
