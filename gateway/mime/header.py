"""Header sections as spans of octets: fields found, looked up, decoded; edits by splice (RFC 5322 2.2, 3.6).

Octets are the truth: a field keeps its place in the buffer and nothing is ever written back from a parsed form.
Lines may end in CRLF or in LF alone (content of foreign CMS objects does); what the gateway writes ends in CRLF.
Names are matched with white space before the colon stripped (RFC 5322 4.5.8): `Subject :` is a Subject, so that
nothing hides from the rules behind a space.
"""

import re
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from gateway.errors import GatewayError, Reason
from gateway.mime.addresses import format_mailboxes, mailboxes
from gateway.mime.words import NOT_ASCII_LIKE, codec_of, decode_octets, decode_words, encode_unstructured, unfold

__all__ = [
    "Field", "Headers", "append_fields", "closed", "decode_words", "encode_unstructured", "format_mailboxes",
    "mailboxes", "matcher", "parse_headers", "prepend_fields", "read_on", "remove_fields", "replace_field", "splice",
]

HEADER_OCTETS_MAX = 1 << 20  # Postfix's header_size_limit is a tenth of it
FIELDS_MAX = 5_000
NAME_OCTETS_MAX = 998  # with the blanks behind it: what a line can hold (RFC 5322 2.1.1)
NAME_OCTETS_KEPT = 200  # longer names are not kept in memory
CHARSET_OCTETS_MAX = 65_536  # of the body, in which the first text part says its charset

_CHARSET = re.compile(rb"charset[ \t]{0,8}=[ \t]{0,8}\"?([0-9A-Za-z_.:-]{1,40})", re.IGNORECASE)
_LINE_ENDS = frozenset(b"\r\n")
_BLANKS = frozenset(b" \t")
_HYPHEN = ord("-")
_NAME_OCTETS = bytes(range(33, 58)) + bytes(range(59, 127))  # RFC 5322 2.2: printable, no colon
_NO_FIELD = b"-\r\n"
_NO_NAME_OCTETS = bytes(range(33)) + b":" + bytes(range(127, 256))


class Field(NamedTuple):
    """One field. `raw` is the whole field with its line end; `value` the raw value, still folded, without it.

    `start` and `end` are offsets of `raw` in the buffer that was parsed. `codec`: of 8-bit octets that are no UTF-8.
    A tuple, because every mail makes dozens:
    a third of what a frozen dataclass costs.
    """

    name: str
    lower: str
    raw: bytes
    value: bytes
    start: int
    end: int
    codec: str = "latin_1"

    @property
    def text(self) -> str:
        """The value unfolded, with encoded words decoded."""
        return decode_words(decode_octets(unfold(self.value), self.codec))

    @property
    def seen(self) -> str:
        """As `text`, with words in unknown charsets decoded as well: what some reader may show."""
        return decode_words(decode_octets(unfold(self.value), self.codec), guess=True)

    @property
    def unfolded(self) -> str:
        """The value on one line, encoded words left alone."""
        return decode_octets(unfold(self.value), self.codec)


_new = tuple.__new__  # Field(…) costs twice as much


@dataclass(frozen=True, slots=True)
class Headers:
    """A header section. `start`, `end`: offsets of its fields; `body_offset`: behind the empty line.

    `broken`: the section ended at a line that is neither a field nor empty; the body begins with that line.
    """

    fields: tuple[Field, ...]
    start: int
    end: int
    body_offset: int
    broken: bool = False

    def all(self, name: str) -> tuple[Field, ...]:
        """Every field of that name, in order; `name` in any case."""
        lower = name.lower()
        return tuple([field for field in self.fields if field.lower == lower])  # a generator costs twice as much

    def first(self, name: str) -> Field | None:
        """The first field of that name."""
        lower = name.lower()
        for field in self.fields:
            if field.lower == lower:
                return field
        return None

    def text(self, name: str) -> str | None:
        """The first such field's decoded value, None if there is none."""
        field = self.first(name)
        return None if field is None else field.text

    def texts(self, name: str) -> tuple[str, ...]:
        """Every such field's decoded value."""
        return tuple(field.text for field in self.all(name))

    def mapping(self) -> dict[str, tuple[str, ...]]:
        """Lower-case name to decoded values, in order: for the rules' facts."""
        gathered: dict[str, list[str]] = {}
        for field in self.fields:
            gathered.setdefault(field.lower, []).append(field.text)
        return {name: tuple(values) for name, values in gathered.items()}


def parse_headers(  # each is one bound of the walk
    octets: bytes,
    *,
    start: int = 0,
    end: int | None = None,
    strict: bool = False,
    stop_line: Callable[[bytes], bool] | None = None,
    octets_max: int = HEADER_OCTETS_MAX,
    fields_max: int = FIELDS_MAX,
    only: Container[str] | None = None,
) -> Headers:
    """The header section that begins at `start`.

    A line that is no field ends the section (`broken`), as in Postfix; MAIL_MALFORMED when `strict`, and for a name
    of more than NAME_OCTETS_MAX: programs differ in whether that line is a field. Raises INPUT_LIMIT_EXCEEDED beyond
    `octets_max` or `fields_max`. `stop_line` gets every line that starts with '--':
    where it answers yes (a boundary), the section ends before that line. `only`: lower-case names of the fields that
    are wanted; the others are read over for half the price.
    """
    stop = len(octets) if end is None else end
    limit = min(stop, start + octets_max + 1)
    fields: list[Field] = []
    position = start
    body_offset = stop
    broken = False
    count = 0
    while position < stop:
        line_end = octets.find(b"\n", position, limit) + 1 or _last_line_end(limit, stop, octets_max)
        first = octets[position]
        if first in _LINE_ENDS and not octets[position:line_end].strip(b"\r\n"):
            body_offset = line_end
            break
        if first == _HYPHEN and stop_line is not None and stop_line(octets[position:line_end]):
            body_offset = position
            break
        colon = octets.find(b":", position, line_end)
        names = None
        if colon > position:
            names = (_kept_names if colon - position <= NAME_OCTETS_KEPT else _long_names)(octets[position:colon])
        if names is None:
            if strict:
                raise GatewayError(Reason.MAIL_MALFORMED, f"line {count + 1} of the header is not a header field")
            broken = True
            body_offset = position
            break
        while line_end < stop and octets[line_end] in _BLANKS:
            line_end = octets.find(b"\n", line_end, limit) + 1 or _last_line_end(limit, stop, octets_max)
        if only is None or names[1] in only:
            raw = octets[position:line_end]
            value = raw[colon + 1 - position:-2] if raw.endswith(b"\r\n") \
                else raw[colon + 1 - position:].removesuffix(b"\n").removesuffix(b"\r")
            fields.append(_new(Field, (*names, raw, value, position, line_end, "latin_1")))
        count += 1
        if count > fields_max:
            raise GatewayError(Reason.INPUT_LIMIT_EXCEEDED, f"more than {fields_max} header fields")
        position = line_end
    if not all(map(_is_ascii, fields)) and (codec := _charset_near(octets, start, body_offset, stop)) is not None:
        fields = [field if field.raw.isascii() else field._replace(codec=codec) for field in fields]
    return Headers(tuple(fields), start, min(position, stop), body_offset, broken)


def _is_ascii(field: Field) -> bool:
    return field.raw.isascii()


def _charset_near(octets: bytes, start: int, body_offset: int, stop: int) -> str | None:
    """The codec of the first charset that the header or the parts behind it name; None where that says nothing."""
    found = _CHARSET.search(octets, start, min(stop, body_offset + CHARSET_OCTETS_MAX))
    codec = None if found is None else codec_of(found[1].decode("ascii", "replace"))
    return None if codec is None or codec.startswith(NOT_ASCII_LIKE) else codec


def _last_line_end(limit: int, stop: int, octets_max: int) -> int:
    """Where a line without a line end ends."""
    if limit < stop:
        raise GatewayError(Reason.INPUT_LIMIT_EXCEEDED, f"header section longer than {octets_max} octets")
    return stop


def _names(octets: bytes) -> tuple[str, str] | None:
    """A field's name as written and in lower case; None if these octets are no name."""
    name = octets.rstrip(b" \t")
    if not name or name.translate(None, _NAME_OCTETS):
        return None
    text = name.decode("ascii")
    return text, text.lower()


_kept_names = lru_cache(maxsize=1024)(_names)  # all mails have the same hundred names


def _long_names(octets: bytes) -> tuple[str, str] | None:
    names = _names(octets)
    if names is not None and len(octets) > NAME_OCTETS_MAX:
        raise GatewayError(Reason.MAIL_MALFORMED, f"a header field name of more than {NAME_OCTETS_MAX} octets")
    return names


def read_on(octets: bytes, headers: Headers) -> Headers:
    """`headers` of the message `octets`, with the lines behind a section that ended early read as fields.

    Many readers (Exchange, Dovecot) pass over a line that is no field and go on up to the empty line. Octets that no
    name has are passed over too: some readers do not see a byte order mark. Nothing is raised; at most
    HEADER_OCTETS_MAX and FIELDS_MAX are read. The same object where the section is whole.
    """
    if not headers.broken:
        return headers
    fields = list(headers.fields)
    position = headers.body_offset
    stop = min(len(octets), position + HEADER_OCTETS_MAX)
    while position < stop and len(fields) < FIELDS_MAX:
        line_end = octets.find(b"\n", position, stop) + 1 or stop
        if octets[position] in _LINE_ENDS and not octets[position:line_end].strip(b"\r\n"):
            break
        colon = octets.find(b":", position, line_end)
        while line_end < stop and octets[line_end] in _BLANKS:
            line_end = octets.find(b"\n", line_end, stop) + 1 or stop
        name = octets[position:max(colon, position)].translate(None, _NO_NAME_OCTETS)[:NAME_OCTETS_MAX].decode("ascii")
        if name:
            raw = octets[position:line_end]
            value = raw[colon + 1 - position:].removesuffix(b"\n").removesuffix(b"\r")
            fields.append(Field(name, name.lower(), raw, value, position, line_end))
        position = line_end
    return replace(headers, fields=tuple(fields))


def closed(octets: bytes) -> bytes:
    """The message with an empty line where its header ended early; the very same octets where it is whole.

    So that no reader takes lines of the body for fields that the gateway did not judge.
    """
    headers = parse_headers(octets, only=())
    return octets[:headers.end] + b"\r\n" + octets[headers.end:] if headers.broken else octets


# Edits: each takes a whole message (or entity) and gives a new one; nothing but the named fields changes.


def matcher(names: Iterable[str]) -> Callable[[str], bool]:
    """Whether a lower-case field name is one of `names`; a name that ends in '*' is a prefix."""
    lowered = [name.lower() for name in names]
    exact = frozenset(name for name in lowered if not name.endswith("*"))
    prefixes = tuple(name[:-1] for name in lowered if name.endswith("*"))
    return lambda lower: lower in exact or (bool(prefixes) and lower.startswith(prefixes))


def remove_fields(octets: bytes, which: Iterable[str] | Callable[[Field], bool]) -> bytes:
    """`octets` without the fields named in `which` ('Sealgate-*' is a prefix) or chosen by it as a predicate.

    Also without those that only some readers see; see `read_on`.
    """
    headers = read_on(octets, parse_headers(octets))
    if callable(which):
        chosen = which
    else:
        named = matcher(which)
        def chosen(field: Field) -> bool:
            return named(field.lower)
    return splice(octets, headers, [(field, b"") for field in headers.fields if chosen(field)])


def splice(octets: bytes, headers: Headers, changes: Iterable[tuple[Field, bytes]]) -> bytes:
    """`octets` with fields of `headers`, in their order, each replaced by whole fields or by nothing.

    The very same octets without changes. A header that ended early still ends there: where the line that ended it is
    changed, another one that is no field takes its place, or the lines behind it would become fields.
    """
    pieces: list[bytes] = []
    position = 0
    for field, raw in changes:
        ended = headers.broken and field.start == headers.end
        pieces += [octets[position:field.start], _NO_FIELD if ended else b"", raw]
        position = field.end
    return b"".join((*pieces, octets[position:])) if pieces else octets


def prepend_fields(octets: bytes, *raw_fields: bytes) -> bytes:
    """`octets` with whole fields (each ending in CRLF) put before the first: where trace fields belong.

    A header that ended early gets its empty line: a line of blanks would continue the last of the new fields.
    """
    return b"".join(raw_fields) + closed(octets)


def append_fields(octets: bytes, *raw_fields: bytes) -> bytes:
    """`octets` with whole fields (each ending in CRLF) put behind the last."""
    headers = parse_headers(octets)
    return _insert(octets, headers, b"".join(raw_fields))


def _insert(octets: bytes, headers: Headers, added: bytes) -> bytes:
    before = octets[:headers.end]
    if before and not before.endswith(b"\n"):
        before += b"\r\n"
    if headers.broken:
        added += b"\r\n"
    return before + added + octets[headers.end:]


def replace_field(octets: bytes, name: str, raw: bytes) -> bytes:
    """`octets` with every field of that name replaced by the one `raw` field (CRLF included), at the first's place.

    Put behind the last field where there was none.
    """
    headers = parse_headers(octets)
    present = headers.all(name)
    if not present:
        return _insert(octets, headers, raw)
    return splice(octets, headers, [(field, b"" if number else raw) for number, field in enumerate(present)])
