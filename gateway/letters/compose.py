"""Words and documents to a whole message: multipart/alternative for text and HTML, multipart/related for HTML and its
logo, multipart/mixed for attachments.

Everything comes out 7-bit with CRLF (mime.build). With a `seed` the boundaries are derived from it, so that the same
letter made again is the same octets: a mail that comes a second time is known by them.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from gateway.letters.letterhead import LOGO_ID
from gateway.letters.write import Letter
from gateway.mime import build
from gateway.mime.words import encode_unstructured


@dataclass(frozen=True, slots=True)
class Attachment:
    """A document. `media_type` such as application/pdf."""

    filename: str
    media_type: str
    octets: bytes


@dataclass(frozen=True, slots=True)
class Heading:
    """The header fields of a letter. Addresses without brackets; `message_id` with them; `at` aware.

    `name`: shown beside From, '' = none. `more`: further whole fields, CRLF included.
    """

    from_: str
    to: tuple[str, ...]
    message_id: str
    at: datetime
    name: str = ""
    reply_to: str = ""
    more: tuple[bytes, ...] = ()


def compose(letter: Letter, heading: Heading, attachments: Sequence[Attachment] = (), seed: bytes | None = None
            ) -> bytes:
    """The message."""
    return build.message(_fields(letter, heading), body(letter, attachments, seed))


def body(letter: Letter, attachments: Sequence[Attachment] = (), seed: bytes | None = None) -> bytes:
    """The entity of a message: text and HTML, with the logo beside it (RFC 2387), and the documents."""
    boundaries = _boundaries(seed)
    entity = build.text(letter.text)
    if letter.html is not None:
        page = build.text(letter.html, "html")
        if letter.logo:
            logo = build.leaf("image/png", letter.logo, filename="logo.png", disposition="inline",
                              fields=(f"Content-ID: <{LOGO_ID}>\r\n".encode("ascii"),))
            page = build.multipart("related", [page, logo], params={"type": "text/html"}, boundary=next(boundaries))
        entity = build.multipart("alternative", [entity, page], boundary=next(boundaries))
    if attachments:
        parts = [entity, *(build.leaf(one.media_type, one.octets, filename=one.filename) for one in attachments)]
        entity = build.multipart("mixed", parts, boundary=next(boundaries))
    return entity


def _fields(letter: Letter, heading: Heading) -> list[bytes]:
    fields = [build.date_field(heading.at), _address("From", heading.from_, heading.name),
              f"To: {', '.join(heading.to)}\r\n".encode()]
    if heading.reply_to:
        fields.append(f"Reply-To: {heading.reply_to}\r\n".encode())
    return [*fields, encode_unstructured("Subject", letter.subject),
            f"Message-ID: {heading.message_id}\r\n".encode("ascii"),
            f"Content-Language: {letter.language}\r\n".encode("ascii"), *heading.more]


def _address(field: str, address: str, name: str) -> bytes:
    name = " ".join(name.split())  # a line end would begin another field
    if not name:
        return f"{field}: {address}\r\n".encode()
    if name.isascii():
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'{field}: "{quoted}" <{address}>\r\n'.encode()
    encoded = encode_unstructured(field, name).rstrip(b"\r\n")
    return encoded + f"\r\n <{address}>\r\n".encode()


def _boundaries(seed: bytes | None) -> Iterator[str | None]:
    for number in count():
        yield None if seed is None else f"=_{hashlib.sha256(seed + b'%d' % number).hexdigest()[:40]}"
