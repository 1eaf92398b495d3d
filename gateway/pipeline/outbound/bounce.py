"""Opened mail never leaves the bank in a bounce: mail with a null sender that returns content is cut to header fields.

Programs that write bounces (reports, notifications, old mailers' plain multiparts) enclose the mail as a message, in
any transfer encoding, or as its header fields. Both forms are cut wherever they are. A report's text for people is cut
to TEXT_OCTETS_MAX, because it may quote the mail.
"""

from collections.abc import Iterator
from typing import Final

from gateway.mime.build import headers_only, leaf
from gateway.mime.entity import Entity, decode, parse_entity
from gateway.pipeline.facts import Message

TEXT_OCTETS_MAX: Final = 8_192  # Postfix writes one of about 1,000 octets
_MESSAGES: Final = frozenset({"message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers"})


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
    for part, cut in _cuts(root):
        pieces += [octets[position : part.start], _kept(part) if part is root else b"", cut]
        position = part.end
    return b"".join((*pieces, octets[position:])) if pieces else octets


def _cuts(root: Entity) -> Iterator[tuple[Entity, bytes]]:
    """The outermost enclosed messages and long texts with what takes their place, in the order of the octets."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.type in _MESSAGES:
            inner = part.children[0].raw if part.children else decode(part)
            yield part, leaf("text/rfc822-headers", headers_only(inner), encoding="7bit")
            continue
        children = list(part.children)
        if part.type == "multipart/report" and children and len(children[0].raw) > TEXT_OCTETS_MAX:
            yield children[0], _shortened(children.pop(0))
        waiting.extend(reversed(children))


def _shortened(part: Entity) -> bytes:
    """The beginning of a report's text for people; of several forms the first."""
    text = next(one for one in part.walk() if not one.children)
    charset = text.content_type.params.get("charset", "utf-8")
    return leaf("text/plain" if text.type != "text/html" else text.type, decode(text)[:TEXT_OCTETS_MAX],
                params={"charset": charset}, encoding="base64")


def _kept(root: Entity) -> bytes:
    """The mail's own fields where the mail itself is the enclosed message: all but those of its body."""
    return b"".join(field.raw for field in root.headers.fields if not field.lower.startswith("content-"))
