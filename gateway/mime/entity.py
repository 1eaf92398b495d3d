"""MIME structure as spans of one buffer (RFC 2045, RFC 2046, RFC 2231), cut exactly and in one pass.

The CRLF before a delimiter belongs to the delimiter (RFC 2046 5.1.1); a delimiter is a whole line, so that a
boundary which is the beginning of another one cuts nothing; where two levels use the same boundary the outer one
owns it; an outer delimiter ends every part inside. The walk keeps a stack instead of recursing and touches every
octet once, at any depth: its cost is linear in the octets and in the lines that begin with '--'.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from gateway.errors import GatewayError, Reason
from gateway.mime.header import FIELDS_MAX, HEADER_OCTETS_MAX, Headers, parse_headers
from gateway.mime.params import (
    KEPT_OCTETS_MAX,
    PLAIN,
    RFC822,
    ContentType,
    parse_content_type,
    parse_parameters,
)
from gateway.mime.transfer import decode_span

Span = tuple[int, int]
BOUNDARY_MAX = 250  # RFC 2046 5.1.1 says 70; longer ones are seen


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one parse. `depth_max`: entities inside each other (Postfix stops at 100 too).

    `header_octets_max` and `fields_max` are of one header section, `all_fields_max` of all of them together.
    """

    depth_max: int = 100
    parts_max: int = 10_000
    header_octets_max: int = HEADER_OCTETS_MAX
    fields_max: int = FIELDS_MAX
    all_fields_max: int = 100_000


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True, eq=False)
class Entity:
    """One entity: octets[start:end]; its header before `body_start`, its body from there to `end`.

    `children`: parts of a multipart, or the one message inside a message/rfc822. `preamble` and `epilogue` are
    spans of a multipart's text before the first and behind the last delimiter. `closed`: the close-delimiter was
    there. `cte` in lower case, '7bit' where absent; `disposition` 'attachment', 'inline', … or None.
    """

    octets: bytes
    start: int
    body_start: int
    end: int
    headers: Headers
    content_type: ContentType
    cte: str
    children: tuple["Entity", ...] = ()
    preamble: Span | None = None
    epilogue: Span | None = None
    closed: bool = False
    depth: int = 0

    @property
    def type(self) -> str:
        """'text/plain', in lower case."""
        return self.content_type.full

    @property
    def raw(self) -> bytes:
        """Header and body, exactly as in the buffer."""
        return self.octets[self.start:self.end]

    @property
    def body(self) -> bytes:
        """The body as received, still in its transfer encoding."""
        return self.octets[self.body_start:self.end]

    @property
    def is_multipart(self) -> bool:
        """By its type, whether or not parts were found."""
        return self.content_type.type == "multipart"

    @property
    def disposition(self) -> str | None:
        """The disposition type in lower case, None if not given."""
        field = self.headers.first("content-disposition")
        return None if field is None else parse_parameters(field.value)[0].lower() or None

    @property
    def filename(self) -> str | None:
        """The name of the file: Content-Disposition's, else Content-Type's `name`."""
        field = self.headers.first("content-disposition")
        if field is not None:
            name = parse_parameters(field.value)[1].get("filename")
            if name is not None:
                return name
        return self.content_type.params.get("name")

    def walk(self) -> Iterator["Entity"]:
        """This entity and everything inside it, in the order of the octets."""
        waiting = [self]
        while waiting:
            entity = waiting.pop()
            yield entity
            waiting.extend(reversed(entity.children))


class _Frame:
    """An entity that is not finished yet."""

    __slots__ = ("body_start", "boundary", "children", "closed", "content_type", "cte", "epilogue_start", "headers",
                 "kind", "needle", "preamble_end", "start")

    def __init__(self, start: int, headers: Headers, content_type: ContentType, cte: str) -> None:
        self.start = start
        self.headers = headers
        self.body_start = headers.body_offset
        self.content_type = content_type
        self.cte = cte
        self.kind: Literal["leaf", "message", "multipart"] = "leaf"
        self.boundary: bytes | None = None
        self.needle = b"\n--"
        self.children: list[Entity] = []
        self.preamble_end: int | None = None
        self.epilogue_start: int | None = None
        self.closed = False


class _Walk:
    """One parse: the stack of open entities and the boundaries that they listen for."""

    def __init__(self, octets: bytes, limits: Limits, end: int) -> None:
        self.octets = octets
        self.limits = limits
        self.end = end
        self.stack: list[_Frame] = []
        self.listening: dict[bytes, int] = {}  # boundary -> place in the stack
        self.parts = 0
        self.fields = 0
        self.root: Entity | None = None

    def open(self, start: int) -> int:
        """Begin an entity at `start`, and the message inside it if it is one. Gives where to search on."""
        while True:
            parent = self.stack[-1] if self.stack else None
            self.parts += 1
            if self.parts > self.limits.parts_max:
                raise GatewayError(Reason.INPUT_LIMIT_EXCEEDED, f"more than {self.limits.parts_max} parts")
            if len(self.stack) > self.limits.depth_max:
                raise GatewayError(Reason.INPUT_LIMIT_EXCEEDED, f"parts nested deeper than {self.limits.depth_max}")
            headers = parse_headers(
                self.octets, start=start, end=self.end,
                stop_line=self._is_delimiter if self.listening else None,
                octets_max=self.limits.header_octets_max,
                fields_max=min(self.limits.fields_max, self.limits.all_fields_max - self.fields))
            self.fields += len(headers.fields)
            default = RFC822 if parent is not None and parent.content_type.full == "multipart/digest" else PLAIN
            frame = _Frame(start, headers, content_type_of(headers, default), encoding_of(headers))
            if parent is not None:
                frame.needle = parent.needle
            self.stack.append(frame)
            if frame.content_type.full in ("message/rfc822", "message/global") and frame.cte in _IDENTITY:
                frame.kind = "message"
                start = frame.body_start
                continue
            if frame.content_type.type == "multipart":
                self._listen(frame)
            # The line end before the body may be the one before a delimiter (an empty body, an empty preamble).
            return max(frame.body_start - 1, 0)

    def _listen(self, frame: _Frame) -> None:
        frame.kind = "multipart"
        boundary = boundary_of(frame.content_type)
        if boundary and boundary not in self.listening:
            frame.boundary = boundary
            line = b"\n--" + boundary
            frame.needle = _common(frame.needle, line) if self.listening else line
            self.listening[boundary] = len(self.stack) - 1

    def _is_delimiter(self, line: bytes) -> bool:
        return self._match(line) is not None

    def _match(self, line: bytes) -> tuple[int, bool] | None:
        """(place in the stack, whether it closes) of a line that starts with '--'."""
        name = line[2:].rstrip(b" \t\r\n")
        place = self.listening.get(name)
        if place is not None:
            return place, False
        if name.endswith(b"--"):
            place = self.listening.get(name[:-2])
            if place is not None:
                return place, True
        return None

    def close_down_to(self, place: int, end: int) -> None:
        """Finish every entity above `place`; they all end at `end`."""
        while len(self.stack) - 1 > place:
            frame = self.stack.pop()
            if frame.boundary is not None and not frame.closed:
                del self.listening[frame.boundary]
            entity = self._finish(frame, end, len(self.stack))
            if self.stack:
                self.stack[-1].children.append(entity)
            else:
                self.root = entity

    def _finish(self, frame: _Frame, end: int, depth: int) -> Entity:
        end = max(end, frame.start)
        body_start = min(frame.body_start, end)
        preamble: Span | None = None
        epilogue: Span | None = None
        if frame.kind == "multipart":
            preamble_end = end if frame.preamble_end is None else frame.preamble_end
            preamble = (body_start, max(body_start, preamble_end))
            if frame.epilogue_start is not None:
                epilogue = (min(frame.epilogue_start, end), end)
        return Entity(
            self.octets, frame.start, body_start, end, frame.headers, frame.content_type, frame.cte,
            tuple(frame.children), preamble, epilogue, frame.closed, depth)

    def run(self, start: int) -> Entity:
        """Parse from `start` to the end."""
        octets, end = self.octets, self.end
        position = self.open(start)
        while self.listening:
            needle = self.stack[-1].needle
            newline = octets.find(needle, position, end)
            if newline < 0:
                break
            line_start = newline + 1
            line_end = octets.find(b"\n", line_start, min(end, line_start + 1000))
            line_end = min(end, line_start + 1000) if line_end < 0 else line_end + 1
            match = self._match(octets[line_start:line_end])
            if match is None:
                position = line_end - 1 if octets[line_end - 1:line_end] == b"\n" else line_end
                continue
            position = self._delimiter(match, newline, line_end)
        self.close_down_to(-1, end)
        assert self.root is not None  # noqa: S101 - closing the whole stack makes it
        return self.root

    def _delimiter(self, match: tuple[int, bool], newline: int, line_end: int) -> int:
        place, closes = match
        before = newline - 1 if newline > 0 and self.octets[newline - 1] == 13 else newline  # CR
        self.close_down_to(place, before)
        frame = self.stack[place]
        if frame.preamble_end is None:
            frame.preamble_end = before
        if not closes:
            return self.open(line_end)
        frame.closed = True
        frame.epilogue_start = line_end
        if frame.boundary is not None:
            del self.listening[frame.boundary]
        frame.needle = self.stack[place - 1].needle if place else b"\n--"
        return line_end - 1


def _common(one: bytes, other: bytes) -> bytes:
    """The beginning that both share: every boundary in question starts with it, so the search may skip the rest."""
    length = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        length += 1
    return one[:length]


def boundary_of(content_type: ContentType) -> bytes:
    """The boundary of a multipart, b'' where it has none that counts."""
    boundary = content_type.params.get("boundary", "").rstrip().encode("utf-8", "replace")
    return boundary if len(boundary) <= BOUNDARY_MAX else b""


_IDENTITY = frozenset({"7bit", "8bit", "binary"})


def content_type_of(headers: Headers, default: ContentType = PLAIN) -> ContentType:
    """The Content-Type of a header section, `default` where it has none."""
    field = headers.first("content-type")
    return default if field is None else parse_content_type(field.value, default)


def encoding_of(headers: Headers) -> str:
    """The Content-Transfer-Encoding of a header section in lower case, '7bit' where it has none."""
    field = headers.first("content-transfer-encoding")
    if field is None:
        return "7bit"
    return _kept_encoding(field.value) if len(field.value) <= KEPT_OCTETS_MAX else _encoding(field.value)


# Names that no standard has and mails do: all mean octets as they are, and a charset's name is a frequent mistake.
_MEANT = {"7-bit": "7bit", "7bits": "7bit", "7 bit": "7bit", "plain": "7bit", "text": "7bit", "text/plain": "7bit",
          "none": "7bit", "ascii": "7bit", "us-ascii": "7bit", "8-bit": "8bit", "8bits": "8bit", "8 bit": "8bit",
          "utf-8": "8bit", "utf8": "8bit", "iso-8859-1": "8bit", "windows-1252": "8bit"}


def _encoding(value: bytes) -> str:
    name = parse_parameters(value)[0].lower() or "7bit"
    return _MEANT.get(name, name)


_kept_encoding = lru_cache(maxsize=64)(_encoding)  # there are five of them


def parse_entity(
    octets: bytes, limits: Limits = DEFAULT_LIMITS, *, start: int = 0, end: int | None = None,
) -> Entity:
    """The tree of the message or entity octets[start:end].

    Raises INPUT_LIMIT_EXCEEDED beyond `limits`; everything else, however broken, has a tree: what is no header
    is body, a multipart without delimiters has no children.
    """
    return _Walk(octets, limits, len(octets) if end is None else end).run(start)


def decode(entity: Entity) -> bytes:
    """The body with its transfer encoding undone (RFC 2045 6): what a reader gets. Unknown encodings: as received."""
    return decode_span(entity.octets, entity.body_start, entity.end, entity.cte)
