"""The legacy display (RFC 9788 4.5.3, 5.2.2, 5.2.3): hidden header fields repeated in the text for today's readers.

Written into the main body parts (RFC 9787 7.1) only, marked hp-legacy-display="1". When read, it is taken out only
where every line of it repeats a protected field: a part that merely claims to begin with a display hides nothing.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.errors import GatewayError, Reason
from gateway.mime.canonical import lines_fit
from gateway.mime.entity import Entity, decode
from gateway.mime.header import Field
from gateway.mime.params import ContentType, format_field
from gateway.mime.transfer import base64_lines, decode_span, is_exact, quoted_printable
from gateway.mime.words import NOT_ASCII_LIKE, clean, codec_of, decode_as

MARK = "hp-legacy-display"
_CLASS = "header-protection-legacy-display"
_DISPLAY_OCTETS_MAX = 100_000

Splice = tuple[int, int, bytes]  # octets[start:end] become these


def main_body_parts(root: Entity) -> list[Entity]:
    """The parts that a reader sees as the message (RFC 9787 7.1): all alternatives, else a multipart's first."""
    found: list[Entity] = []
    waiting = [root]
    while waiting:
        entity = waiting.pop()
        if entity.type == "multipart/alternative":
            waiting.extend(reversed(entity.children))
        elif entity.is_multipart and entity.type not in ("multipart/signed", "multipart/encrypted"):
            waiting.extend(entity.children[:1])
        elif entity.type in ("text/plain", "text/html") and entity.disposition != "attachment":
            found.append(entity)
    return found


@dataclass(frozen=True, slots=True)
class Display:
    """How to put a display into an entity: `splices` of its body. `root_type` and `root_encoding` (a whole field):

    what its own header must say, None where it stays; the caller writes that header.
    """

    splices: tuple[Splice, ...]
    root_type: ContentType | None = None
    root_encoding: bytes | None = None


def add(root: Entity, shown: Sequence[tuple[str, str]]) -> Display:
    """How to put `shown` (name, text) into the main body parts of `root`.

    A part whose charset or transfer encoding we cannot write is left alone: the display is a courtesy.
    """
    splices: list[Splice] = []
    root_type: ContentType | None = None
    root_encoding: bytes | None = None
    for part in main_body_parts(root):
        if part is not root and part.body_start == part.headers.end:
            continue  # no empty line behind its header: there is no body to begin with a display
        made = _decorated(part, shown)
        if made is None:
            continue
        body, encoding, content_type = made
        splices.append((part.body_start, part.end, body))
        if part is root:
            root_type = content_type
            root_encoding = None if _is_labelled(part, encoding) else _encoding_field(encoding)
        else:
            splices.extend(_header_splices(part, content_type, encoding))
    return Display(tuple(splices), root_type, root_encoding)


def _decorated(part: Entity, shown: Sequence[tuple[str, str]]) -> tuple[bytes, str, ContentType] | None:
    charset = part.content_type.params.get("charset", "us-ascii")
    codec = codec_of(charset)
    if codec is None or codec.startswith(NOT_ASCII_LIKE) or part.cte not in ("7bit", "quoted-printable", "base64"):
        return None
    if not is_exact(part.octets, part.body_start, part.end, part.cte):
        return None  # readers decode a damaged encoding in several ways, and it stays as it is
    lines = [f"{name}: {' '.join(clean(text).split())}" for name, text in shown]
    params = {name: value for name, value in part.content_type.params.items() if name != MARK}
    if part.headers.first("content-type") is None:
        params.clear()  # the author set no charset, so none is set here
    if part.type == "text/html":
        content = _into_html(decode(part), lines)
    else:
        block = "\r\n".join(lines) + "\r\n\r\n"
        content = decode(part)
        try:
            head = block.encode(codec)
        except UnicodeEncodeError:
            if not _is_ascii_text(content, codec):
                return None  # naming another charset would change what a reader makes of the text
            head = block.encode("utf_8")
            params["charset"] = "utf-8"
        content = head + content
    params[MARK] = "1"
    encoding = part.cte
    if encoding == "7bit" and not (content.isascii() and lines_fit(content)):
        encoding = "quoted-printable"
    if encoding == "quoted-printable":
        body = quoted_printable(content)
    elif encoding == "base64":
        body = base64_lines(content)
        if not part.body.endswith(b"\r\n"):
            body = body.removesuffix(b"\r\n")
    else:
        body = content
    if encoding != "base64" and part.body.endswith(b"\r\n") and not body.endswith(b"\r\n"):
        body += b"=\r\n" if encoding == "quoted-printable" else b"\r\n"
    if encoding != "7bit" and decode_span(body, 0, len(body), encoding) != content:
        raise GatewayError(Reason.INTERNAL, "the legacy display changed the content of a part", retry=True)
    return body, encoding, ContentType(part.content_type.type, part.content_type.subtype, params)


def _is_ascii_text(content: bytes, codec: str) -> bool:
    """Whether the text is the same in ASCII and in UTF-8: ISO 2022 has ASCII octets, too, and means other letters."""
    try:
        return content.isascii() and content.decode(codec) == content.decode("ascii")
    except UnicodeDecodeError:
        return False


def _into_html(content: bytes, lines: Sequence[str]) -> bytes:
    """The element first in <body>; ASCII with character references, so that any charset takes it."""
    text = "\r\n".join(html.escape(line, quote=False) for line in lines).encode("ascii", "xmlcharrefreplace")
    element = b'<div class="' + _CLASS.encode("ascii") + b'">\r\n<pre>' + text + b"</pre></div>"
    place = _after_body_tag(content)
    after = content[place:]
    return content[:place] + element + (b"" if after.startswith(b"--") else b"\r\n") + after  # never a new delimiter


def _after_body_tag(content: bytes) -> int:
    lower = content[:1 << 20].lower()
    for tag in (b"<body", b"</head", b"<html"):
        start = lower.find(tag)
        if start >= 0:
            end = lower.find(b">", start)
            if end >= 0:
                return end + 1
    return 0


def _header_splices(part: Entity, content_type: ContentType, encoding: str) -> list[Splice]:
    new = {"content-type": format_field("Content-Type", content_type.full, content_type.params)}
    if not _is_labelled(part, encoding):
        new["content-transfer-encoding"] = _encoding_field(encoding)
    splices: list[Splice] = []
    added = b""
    for lower, raw in new.items():
        present = part.headers.all(lower)
        if not present:
            added += raw
        for number, field in enumerate(present):  # of several, some readers take the last
            splices.append((field.start, field.end, b"" if number else raw))
    if added:
        splices.append((part.start, part.start, added))
    return splices


def _is_labelled(part: Entity, encoding: str) -> bool:
    """Whether the part says this encoding in a form that every reader understands (`quoted-printable;` is none)."""
    fields = part.headers.all("content-transfer-encoding")
    if not fields:
        return encoding == "7bit"
    return len(fields) == 1 and fields[0].unfolded.lower() == encoding


def _encoding_field(encoding: str) -> bytes:
    return f"Content-Transfer-Encoding: {encoding}\r\n".encode("ascii")


def apply(octets: bytes, splices: Sequence[Splice], start: int = 0, end: int | None = None) -> bytes:
    """octets[start:end] with the splices inside that range made; they do not overlap."""
    pieces: list[bytes | memoryview] = []
    view = memoryview(octets)
    position = start
    stop = len(octets) if end is None else end
    for first, last, new in sorted(splices, key=lambda splice: splice[:2]):
        pieces += (view[position:first], new)
        position = last
    pieces.append(view[position:stop])
    return b"".join(pieces)


# Reading.


def remove(root: Entity, protected: Sequence[Field]) -> list[Splice]:
    """How to take out the displays of `root`'s main body parts that repeat nothing but `protected` fields."""
    known = {(field.lower, _squeeze(field.text)) for field in protected}
    splices: list[Splice] = []
    for part in main_body_parts(root):
        if part.content_type.params.get(MARK) != "1":
            continue
        if not is_exact(part.octets, part.body_start, part.end, part.cte):
            continue
        content = decode(part)
        rest = _without_html(content, known) if part.type == "text/html" else _without_text(part, content, known)
        if rest is None:
            continue
        body = _encoded_again(part, rest)
        if decode_span(body, 0, len(body), part.cte) == rest:
            splices.append((part.body_start, part.end, body))
    return splices


def _squeeze(text: str) -> str:
    return " ".join(text.split())


def _encoded_again(part: Entity, content: bytes) -> bytes:
    if part.cte == "base64":
        body = base64_lines(content)
        return body if part.body.endswith(b"\r\n") else body.removesuffix(b"\r\n")
    if part.cte == "quoted-printable":
        return quoted_printable(content)
    return content


def _repeats(lines: Sequence[str], known: set[tuple[str, str]]) -> bool:
    """Whether every line is 'Name: text' of a known field; lines that begin with a space continue the one before."""
    joined: list[str] = []
    for line in lines:
        if line[:1] in (" ", "\t") and joined:
            joined[-1] += line
        else:
            joined.append(line)
    pairs = [line.partition(":") for line in joined]
    return bool(pairs) and all(
        colon and (name.strip().lower(), _squeeze(value)) in known for name, colon, value in pairs)


def _without_text(part: Entity, content: bytes, known: set[tuple[str, str]]) -> bytes | None:
    newline = b"\r\n\r\n" if b"\r\n" in content[:_DISPLAY_OCTETS_MAX] else b"\n\n"
    end = content.find(newline, 0, _DISPLAY_OCTETS_MAX)
    if end < 0:
        return None
    codec = codec_of(part.content_type.params.get("charset", "us-ascii")) or "utf_8"
    block = decode_as(content[:end], "utf_8" if codec == "ascii" else codec, "replace")
    return content[end + len(newline):] if _repeats(block.splitlines(), known) else None


def _without_html(content: bytes, known: set[tuple[str, str]]) -> bytes | None:
    """Without the element, if it is the first thing in <body>, of the form of RFC 9788 5.2.3, and repeats fields."""
    place = _after_body_tag(content)
    start = place + len(content[place:place + 1000]) - len(content[place:place + 1000].lstrip())
    head = content[start:start + _DISPLAY_OCTETS_MAX]
    lower = head.lower()
    if not lower.startswith(b"<div") or _CLASS.encode("ascii") not in lower[:lower.find(b">") + 1]:
        return None
    end = lower.find(b"</div>")
    if end < 0:
        return None
    inside = head[lower.find(b">") + 1:end].strip()
    inside_lower = inside.lower()
    if inside_lower.startswith(b"<pre>") and inside_lower.endswith(b"</pre>"):
        inside = inside[5:-6]
    if b"<" in inside:
        return None
    text = html.unescape(inside.decode("utf-8", "replace")).strip("\r\n")
    if not _repeats(text.splitlines(), known):
        return None
    after = start + end + len(b"</div>")
    after += len(content[after:after + 2]) - len(content[after:after + 2].lstrip(b"\r\n"))
    return content[:start] + content[after:]
