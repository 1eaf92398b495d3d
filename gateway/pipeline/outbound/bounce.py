"""Opened mail never leaves the bank in a bounce: mail with a null sender that returns content is cut to header fields.

Programs that write bounces (reports, notifications, old mailers' plain multiparts) enclose the mail as a message, in
any transfer encoding, or as its header fields. Others (qmail, old Exim and sendmail) write it into their text, or
attach it as a file. All these forms are cut wherever they are. A report's text for people is cut to TEXT_OCTETS_MAX,
because it may quote the mail in some other form.
"""

import re
from collections.abc import Iterator
from typing import Final

from gateway.mime.build import headers_only, leaf
from gateway.mime.entity import Entity, decode, parse_entity
from gateway.mime.header import parse_headers
from gateway.pipeline.facts import Message

TEXT_OCTETS_MAX: Final = 8_192  # Postfix writes one of about 1,000 octets
SEARCHED_OCTETS_MAX: Final = 1 << 20  # of a text: an enclosed message begins behind some lines for each recipient
_MESSAGES: Final = frozenset({"message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"})
_IDENTITY: Final = frozenset({"7bit", "8bit", "binary"})
# Lines of a message in a text, also quoted or indented.
_LINE: Final = re.compile(rb"([>|: \t]*)(?:([A-Za-z][A-Za-z0-9-]{1,75}):(?![^ \t\r\n]))?[^\n]*\n?")
_AUTHOR: Final = re.compile(rb"^[>|: \t]*(?:from|received|return-path):", re.IGNORECASE | re.MULTILINE)
_AUTHORS: Final = frozenset({b"from", b"received", b"return-path"})
_FIELDS: Final = _AUTHORS | {b"to", b"cc", b"subject", b"date", b"message-id", b"mime-version", b"reply-to", b"sender"}
_FIELDS_MIN: Final = 3  # of them in one block: people's words have a line or two with a colon


def without_returned_content(octets: bytes, message: Message) -> bytes:
    """A null-sender mail with every enclosed message cut to text/rfc822-headers (RFC 6522 4), its text to a length.

    `octets` may differ from those of `message`, in header fields. Anything else is unchanged. Sealed reports do not
    come here.
    """
    if message.facts.sender:
        return octets
    root = message.entity if message.entity.octets is octets else parse_entity(octets)
    pieces: list[bytes] = []
    position = 0
    for start, end, cut in _cuts(root):
        pieces += [octets[position:start], cut]
        position = end
    return b"".join((*pieces, octets[position:])) if pieces else octets


def _cuts(root: Entity) -> Iterator[tuple[int, int, bytes]]:
    """Spans with what takes their place, in the order of the octets: enclosed messages (the outermost), long texts."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        head = _kept(part) if part is root else b""
        if part.type in _MESSAGES:
            inner = part.children[0].raw if part.children else decode(part)
            yield part.start, part.end, head + leaf("text/rfc822-headers", headers_only(inner), encoding="7bit")
            continue
        children = list(part.children)
        if part.type == "multipart/report" and children and len(children[0].raw) > TEXT_OCTETS_MAX:
            first = children.pop(0)
            yield first.start, first.end, _shortened(first)
        elif not children and not part.is_multipart:
            yield from _cut_content(part, head)
        waiting.extend(reversed(children))


def _cut_content(part: Entity, head: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Of a text in which a message is enclosed, or a file that is one."""
    content = decode(part)
    body = body_of_enclosed(content)
    if body is None:
        return
    if part.content_type.type != "text":
        if parse_headers(content, only=()).body_offset == body:
            yield part.start, part.end, head + leaf("text/rfc822-headers", headers_only(content), encoding="7bit")
    elif part.cte in _IDENTITY:
        yield part.body_start + body, part.end, b""
    else:
        params = {"charset": part.content_type.params.get("charset", "utf-8")}
        yield part.start, part.end, head + leaf(part.type, content[:body], params=params)


def body_of_enclosed(text: bytes) -> int | None:
    """Where the body of a message begins that a program has written into a text; None where there is none.

    Its header is known by _FIELDS_MIN fields in one block that an empty line ends, in the first SEARCHED_OCTETS_MAX.
    """
    if _AUTHOR.search(text, 0, SEARCHED_OCTETS_MAX) is None:
        return None
    names: set[bytes] = set()
    in_block = False
    for line in _LINE.finditer(text, 0, SEARCHED_OCTETS_MAX):
        name = line[2]
        if name is not None:
            names.add(name.lower())
            in_block = True
        elif not line[0].strip(b">|: \t\r\n"):
            if len(names & _FIELDS) >= _FIELDS_MIN and names & _AUTHORS:
                return line.end() if line.end() < len(text) else None
            names, in_block = set(), False
        elif not (in_block and line[1]):
            names, in_block = set(), False
    return None


def _shortened(part: Entity) -> bytes:
    """The beginning of a report's text for people; of several forms the first."""
    text = next(one for one in part.walk() if not one.children)
    charset = text.content_type.params.get("charset", "utf-8")
    return leaf("text/plain" if text.type != "text/html" else text.type, decode(text)[:TEXT_OCTETS_MAX],
                params={"charset": charset}, encoding="base64")


def _kept(root: Entity) -> bytes:
    """The mail's own fields where the mail itself is the enclosed message: all but those of its body."""
    return b"".join(field.raw for field in root.headers.fields if not field.lower.startswith("content-"))
