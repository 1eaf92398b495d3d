"""Opened mail never leaves the house in a bounce: a report that returns content is cut to header fields."""

from gateway.mime.build import headers_only, leaf
from gateway.pipeline.facts import Message


def without_returned_content(octets: bytes, message: Message) -> bytes:
    """A null-sender delivery report with its returned message cut to text/rfc822-headers (RFC 6522 4).

    Anything else is unchanged. Sealed reports do not come here.
    """
    if message.facts.sender or message.facts.kind != "dsn":
        return octets
    for part in message.entity.children:
        if part.type in ("message/rfc822", "message/global") and part.children:
            cut = leaf("text/rfc822-headers", headers_only(part.children[0].raw), encoding="7bit")
            return octets[: part.start] + cut + octets[part.end :]
    return octets
