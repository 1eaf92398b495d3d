"""Structured MIME fields: `Content-Type`, `Content-Disposition`, their parameters (RFC 2045 5.1, RFC 2183, RFC 2231).

Reading is forgiving and linear: comments skipped, values with spaces where quotes are missing, continuations and
charsets of RFC 2231, encoded words inside values as many mailers write them. The first of equal names counts.
Writing is strict: tokens where possible, quotes else, RFC 2231 for what is not ASCII or too long for a line.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import unquote_to_bytes

from gateway.mime.words import codec_of, decode_as, decode_octets, decode_words, unfold

VALUE_OCTETS_MAX = 100_000  # octets behind are not examined
PARAMETERS_MAX = 200
CONTINUATIONS_MAX = 500
KEPT_OCTETS_MAX = 256  # of a value whose reading is kept: the cache stays under 1 MiB
_NEVER_CUT = frozenset({"boundary", "charset", "protocol", "micalg", "type", "start", "report-type", "smime-type"})
_QUOTED = frozenset({"boundary", "charset", "hp", "protected-headers", "hp-legacy-display", "protocol"})
_PLAIN_OCTETS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_")
_TSPECIALS = frozenset('()<>@,;:\\"/[]?= \t')
# Single letters, so that a search is linear for any text.
_STOP = re.compile(r'[";(]')
_STOP_IN_QUOTES = re.compile(r'["\\]')
_STOP_IN_COMMENT = re.compile(r"[()\\]")


@dataclass(frozen=True, slots=True)
class ContentType:
    """`type` and `subtype` in lower case; `params`: lower-case name to decoded value."""

    type: str
    subtype: str
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def full(self) -> str:
        """'text/plain'."""
        return f"{self.type}/{self.subtype}"


PLAIN = ContentType("text", "plain", {"charset": "us-ascii"})
RFC822 = ContentType("message", "rfc822")


def parse_content_type(value: bytes, default: ContentType = PLAIN) -> ContentType:
    """The field's raw value read; one that cannot be read at all is text/plain (RFC 2045 5.2)."""
    known, params = _kept_content_type(value) if len(value) <= KEPT_OCTETS_MAX else _content_type(value)
    return known or ContentType(default.type, default.subtype, params)


def _content_type(value: bytes) -> tuple[ContentType | None, Mapping[str, str]]:
    main, read = parse_parameters(value)
    params = MappingProxyType(read)  # what is kept is shared
    kind, slash, subtype = main.lower().partition("/")
    kind, subtype = kind.strip(), subtype.strip()
    if not slash or not _is_token(kind) or not _is_token(subtype):
        return None, params
    return ContentType(kind, subtype, params), params


_kept_content_type = lru_cache(maxsize=512)(_content_type)  # a sender's mails differ in nothing but the boundary


def _is_token(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and _TSPECIALS.isdisjoint(text)


def parse_parameters(value: bytes, codec: str = "latin_1") -> tuple[str, dict[str, str]]:
    """(main value, parameters) of a structured field's raw value. `codec`: see `words.decode_octets`."""
    text = decode_octets(unfold(value[:VALUE_OCTETS_MAX]), codec)
    pieces = pieces_of(text)
    main = pieces[0].strip() if pieces else ""
    plain: dict[str, str] = {}
    parts: dict[str, dict[int, tuple[str, bool]]] = {}
    for piece in pieces[1:PARAMETERS_MAX + 1]:
        name, equals, raw = piece.partition("=")
        name = name.strip().lower()
        if not equals or not name:
            continue
        content = _unquote(raw.strip())
        base, star, rest = name.partition("*")
        if not star:
            plain.setdefault(name, decode_words(content) if "=?" in content else content)
            continue
        number = rest.removesuffix("*")
        if rest == "":
            parts.setdefault(base, {}).setdefault(0, (content, True))
        elif number.isascii() and number.isdigit() and len(number) <= 3:  # see CONTINUATIONS_MAX
            parts.setdefault(base, {}).setdefault(int(number), (content, rest.endswith("*")))
    for base, numbered in parts.items():
        plain[base] = _join(numbered)
    return main, plain


def pieces_of(text: str) -> list[str]:
    """`text` cut at the semicolons outside quotes and comments; comments dropped."""
    if '"' not in text and "(" not in text:
        return text.split(";")
    pieces: list[str] = []
    current: list[str] = []
    position = 0
    while stop := _STOP.search(text, position):
        at = stop.start()
        current.append(text[position:at])
        letter = text[at]
        if letter == '"':
            position = _behind_quotes(text, at)
            current.append(text[at:position])
        elif letter == "(":
            position = _behind_comment(text, at)
        else:
            pieces.append("".join(current))
            current = []
            position = at + 1
    current.append(text[position:])
    pieces.append("".join(current))
    return pieces


def _behind_quotes(text: str, at: int) -> int:
    """Behind the quotes that open at `at`, the end of `text` if they never close."""
    position = at + 1
    while stop := _STOP_IN_QUOTES.search(text, position):
        position = stop.end()
        if text[position - 1] == '"':
            return position
        position += 1  # what a backslash quotes
    return len(text)


def _behind_comment(text: str, at: int) -> int:
    """Behind the comment that opens at `at`, with any nesting; the end of `text` if it never closes."""
    depth, position = 1, at + 1
    while stop := _STOP_IN_COMMENT.search(text, position):
        position = stop.end()
        letter = text[position - 1]
        if letter == "\\":
            position += 1
            continue
        depth += 1 if letter == "(" else -1
        if not depth:
            return position
    return len(text)


def _unquote(text: str) -> str:
    if not text.startswith('"'):
        return text
    end = len(text) - 1 if len(text) > 1 and text.endswith('"') else len(text)
    inner = text[1:end]
    if "\\" not in inner:
        return inner
    out: list[str] = []
    position = 0
    while position < len(inner):
        if inner[position] == "\\" and position + 1 < len(inner):
            position += 1
        out.append(inner[position])
        position += 1
    return "".join(out)


def _join(numbered: dict[int, tuple[str, bool]]) -> str:
    """Continuations put together (RFC 2231 3, 4): the charset is in piece 0, pieces end at the first gap."""
    codec: str | None = "utf_8"
    octets = bytearray()
    for index in range(min(len(numbered), CONTINUATIONS_MAX)):
        if index not in numbered:
            break
        content, extended = numbered[index]
        if not extended:
            octets += content.encode("utf-8", "replace")
            continue
        if index == 0 and content.count("'") >= 2:  # charset'language'value
            charset, _, content = content.split("'", 2)
            codec = codec_of(charset)
        octets += unquote_to_bytes(content)
    return decode_as(bytes(octets), codec, "replace") if codec else decode_octets(bytes(octets))


def format_parameter(name: str, value: str) -> list[str]:
    """`name=value` ready to be joined by ';': one piece, or several for what needs RFC 2231 continuations."""
    if not value.isprintable():
        value = "".join(c for c in value if c >= " " and c != "\x7f")
    # A backslash before the closing quote misleads some readers (CPython's email package).
    plain = value.isascii() and "=?" not in value and not value.endswith("\\")
    if plain and (len(name) + len(value) < 70 or name in _NEVER_CUT):  # a line of 78
        if value and name not in _QUOTED and _TSPECIALS.isdisjoint(value):
            return [f"{name}={value}"]
        return [name + '="' + value.replace("\\", "\\\\").replace('"', '\\"') + '"']
    encoded = [
        chr(octet) if octet in _PLAIN_OCTETS else f"%{octet:02X}"
        for octet in value.encode("utf-8", "replace")
    ]
    pieces: list[str] = []
    line = "utf-8''"
    for letter in encoded:
        if len(line) + len(letter) > 60:  # leaves room for the name
            pieces.append(line)
            line = ""
        line += letter
    pieces.append(line)
    if len(pieces) == 1:
        return [f"{name}*={pieces[0]}"]
    return [f"{name}*{number}*={piece}" for number, piece in enumerate(pieces)]


def format_field(name: str, main: str, params: Mapping[str, str]) -> bytes:
    """A whole structured field `Name: main; a=b` CRLF, one parameter a line where 78 would be passed."""
    line = f"{name}: {main}"
    lines: list[str] = []
    for key, value in params.items():
        for piece in format_parameter(key, value):
            line += ";"
            if len(line) + 1 + len(piece) > 77:  # 78 with the ';' that may follow
                lines.append(line)
                line = ""
            line += f" {piece}"
    lines.append(line)
    return "\r\n".join(lines).encode("ascii", "replace") + b"\r\n"
