"""Opened mail never leaves the house in a bounce: mail with a null sender that returns content is cut to header fields.

Whoever writes bounces (reports, notifications, old mailers' plain multiparts) encloses the mail as a message, in
whatever transfer encoding; that form is cut, wherever it stands.
"""

from collections.abc import Iterator

from gateway.mime.build import headers_only, leaf
from gateway.mime.entity import Entity, decode
from gateway.pipeline.facts import Message

_MESSAGES = frozenset({"message/rfc822", "message/global"})


def without_returned_content(octets: bytes, message: Message) -> bytes:
    """A null-sender mail with every enclosed message cut to text/rfc822-headers (RFC 6522 4).

    Anything else is unchanged. Sealed reports do not come here.
    """
    if message.facts.sender:
        return octets
    pieces: list[bytes] = []
    position = 0
    for part in _enclosed(message.entity):
        inner = part.children[0].raw if part.children else decode(part)
        kept = _kept(message) if part is message.entity else b""
        cut = leaf("text/rfc822-headers", headers_only(inner), encoding="7bit")
        pieces += [octets[position : part.start], kept, cut]
        position = part.end
    return b"".join((*pieces, octets[position:])) if pieces else octets


def _enclosed(root: Entity) -> Iterator[Entity]:
    """The outermost enclosed messages, in the order of the octets."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.type in _MESSAGES:
            yield part
        else:
            waiting.extend(reversed(part.children))


def _kept(message: Message) -> bytes:
    """The mail's own fields where the mail itself is the enclosed message: all but those of its body."""
    return b"".join(field.raw for field in message.headers.fields if not field.lower.startswith("content-"))
