"""Entities and messages made from nothing: leaves, multiparts, wrapped messages, delivery reports.

Everything here comes out 7-bit, lines of at most 998 octets, CRLF, so that it may be signed as it is.
RFC 2045, RFC 2046; delivery status reports RFC 3462 (now 6522) and RFC 3464; headers-only returns RFC 6522 4.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Literal

from gateway.mime.header import parse_headers
from gateway.mime.params import format_field
from gateway.mime.smime_forms import new_boundary
from gateway.mime.transfer import base64_lines, quoted_printable
from gateway.mime.words import encode_unstructured

Encoding = Literal["7bit", "quoted-printable", "base64"]


def leaf(
    content_type: str, body: bytes, *, params: Mapping[str, str] | None = None, encoding: Encoding = "base64",
    filename: str | None = None, disposition: str | None = None, fields: Sequence[bytes] = (),
) -> bytes:
    """One part: header fields, empty line, body in `encoding`. `fields`: whole further fields, CRLF included.

    `body` for '7bit' must have that form; for 'quoted-printable' it is text with CRLF line ends.
    """
    encoded = {"7bit": lambda: body, "quoted-printable": lambda: quoted_printable(body),
               "base64": lambda: base64_lines(body)}[encoding]()
    header = [format_field("Content-Type", content_type, params or {}),
              f"Content-Transfer-Encoding: {encoding}\r\n".encode("ascii")]
    if disposition or filename is not None:
        header.append(format_field("Content-Disposition", disposition or "attachment",
                                   {} if filename is None else {"filename": filename}))
    return b"".join((*header, *fields, b"\r\n", encoded))


def text(content: str, subtype: str = "plain") -> bytes:
    """A text part in UTF-8; line ends of any kind become CRLF."""
    body = content.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n").encode("utf-8", "replace")
    if not body.endswith(b"\r\n"):
        body += b"\r\n"
    plain = body.isascii() and max(map(len, body.split(b"\r\n"))) <= 78 and b"\0" not in body
    return leaf(f"text/{subtype}", body, params={"charset": "utf-8"}, encoding="7bit" if plain else "quoted-printable")


def multipart(subtype: str, parts: Sequence[bytes], *, params: Mapping[str, str] | None = None,
              fields: Sequence[bytes] = (), boundary: str | None = None) -> bytes:
    """A multipart entity around whole entities; the boundary is random unless given."""
    boundary = boundary or new_boundary()
    line = b"--" + boundary.encode("ascii")
    pieces = [format_field("Content-Type", f"multipart/{subtype}", {**(params or {}), "boundary": boundary}),
              *fields, b"\r\n"]
    for part in parts:
        pieces += (line, b"\r\n", part, b"\r\n")
    pieces += (line, b"--\r\n")
    return b"".join(pieces)


def wrap_rfc822(message_octets: bytes, *, filename: str | None = None, disposition: str | None = None) -> bytes:
    """A message/rfc822 part around a whole message, which stays as it is (it must be 7-bit to be signed)."""
    header = [b"Content-Type: message/rfc822\r\n"]
    if not message_octets.isascii():
        header.append(b"Content-Transfer-Encoding: 8bit\r\n")
    if disposition or filename is not None:
        header.append(format_field("Content-Disposition", disposition or "attachment",
                                   {} if filename is None else {"filename": filename}))
    return b"".join((*header, b"\r\n", message_octets))


def message(fields: Sequence[bytes], entity: bytes) -> bytes:
    """A whole message: `fields` (each with CRLF), MIME-Version, then the entity with its own Content fields."""
    return b"".join((*fields, b"MIME-Version: 1.0\r\n", entity))


def date_field(at: datetime) -> bytes:
    """The Date field (RFC 5322 3.3) of an aware time."""
    return f"Date: {format_datetime(at)}\r\n".encode("ascii")


@dataclass(frozen=True, slots=True)
class Status:
    """One recipient in a delivery report. `status` '5.7.1'; `diagnostic` e.g. a reply, without 'smtp;'."""

    recipient: str
    action: Literal["failed", "delayed", "delivered", "relayed", "expanded"]
    status: str
    diagnostic: str | None = None
    original: str | None = None
    remote: str | None = None


def report(explanation: str, reporting_mta: str, statuses: Sequence[Status], original: bytes | None, *,
           arrived_at: datetime | None = None, envelope_id: str | None = None) -> bytes:
    """A multipart/report; report-type=delivery-status (RFC 3464). Of the message `original` only the header goes in.

    What the header of an original says stays octet by octet where it is 7-bit; other octets become '?'.
    """
    groups = [[("Reporting-MTA", f"dns; {reporting_mta}")]]
    if envelope_id:
        groups[0].insert(0, ("Original-Envelope-Id", envelope_id))
    if arrived_at is not None:
        groups[0].append(("Arrival-Date", format_datetime(arrived_at)))
    for one in statuses:
        kind = "rfc822" if one.recipient.isascii() else "utf-8"
        group = [("Final-Recipient", f"{kind}; {one.recipient}"), ("Action", one.action), ("Status", one.status)]
        if one.original:
            group.insert(0, ("Original-Recipient", one.original))
        if one.remote:
            group.append(("Remote-MTA", f"dns; {one.remote}"))
        if one.diagnostic:
            group.append(("Diagnostic-Code", f"smtp; {one.diagnostic}"))
        groups.append(group)
    body = b"\r\n".join(
        b"".join(encode_unstructured(name, value) for name, value in group) for group in groups)
    parts = [text(explanation), leaf("message/delivery-status", body, encoding="7bit")]
    if original is not None:
        parts.append(leaf("text/rfc822-headers", headers_only(original), encoding="7bit"))
    return multipart("report", parts, params={"report-type": "delivery-status"})


def headers_only(octets: bytes) -> bytes:
    """The header section of a message for a report: 7-bit, CRLF, no line over 998."""
    headers = parse_headers(octets)
    section = octets[headers.start:headers.end].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = section.translate(bytes(o if 0 < o < 128 else 63 for o in range(256))).split(b"\n")
    return b"\r\n".join(line[:998] for line in lines)
