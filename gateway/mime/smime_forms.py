"""The MIME shapes of S/MIME (RFC 8551 3, RFC 1847): recognised however they are labelled, written in one way.

Reading: `multipart/signed` with exactly two parts gives the signed octets as received (the CRLF before the
delimiter is not part of them) and the signature; every other CMS object is one `Cms`, whether its label is
application/pkcs7-mime, x-pkcs7-mime, octet-stream with a .p7m name, or wrong altogether but its first octets are
a CMS ContentInfo. Mime labels decide nothing about what a CMS object is: the object itself does.
"""

import re
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from gateway.mime.entity import (
    DEFAULT_LIMITS,
    Entity,
    Limits,
    boundary_of,
    content_type_of,
    encoding_of,
    parse_entity,
)
from gateway.mime.header import parse_headers
from gateway.mime.params import ContentType, format_field
from gateway.mime.transfer import base64_lines, decode_base64, decode_quoted_printable, decode_span

_SIGNATURE_TYPES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature"})
_CMS_TYPES = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"}) | _SIGNATURE_TYPES
_LABELS = frozenset({"content-type", "content-transfer-encoding"})
LABEL_OCTETS_MAX = 1024  # of a signature's header section; longer ones are left to the whole tree
PLAIN_HEADER_OCTETS_MAX = 16_384  # of a root's header section; longer ones are read field by field
FIELD_OCTETS_MIN = 3  # 'a:' and a line end
_FIELD = re.compile(rb"[!-9;-~]{1,199}+:[^\n]*+\n(?:[ \t][^\n]*+\n)*+")  # possessive: linear for any octets
_PLAIN_HEADER = re.compile(rb"(?:%b)*+\r?\n" % _FIELD.pattern)  # as `parse_headers` reads it, without the limits
_LABEL_LINES = tuple(b"\n%b:" % name.encode() for name in sorted(_LABELS))
_NAMES = (".p7m", ".p7s", ".p7z", ".p7c")
_VAGUE_TYPES = frozenset({"application/octet-stream", "application/x-octet-stream", "binary/octet-stream",
                          "application/x-unknown", "application/unknown", "application/x-msdownload"})

# contentType of a ContentInfo (RFC 5652 3, RFC 5083 2, RFC 3274 1.3): id-data … under 1.2.840.113549.1.7 and 1.9.16.1
_OIDS = (bytes.fromhex("06092a864886f70d0107"), bytes.fromhex("060b2a864886f70d0109100109"),
         bytes.fromhex("060b2a864886f70d0109100117"))


class Detached(NamedTuple):
    """multipart/signed: `content` exactly as signed (also octets[start:end] of the buffer), `signature` DER or BER.

    `micalg` as written, lower case, '' if absent: reported, never trusted.
    """

    content: bytes
    signature: bytes
    micalg: str
    start: int
    end: int


class Cms(NamedTuple):
    """One CMS object, DER or BER as it came. `label`: media type as written; `smime_type`: its parameter or ''."""

    der: bytes
    label: str
    smime_type: str


@dataclass(frozen=True, slots=True)
class NotSmime:
    """No S/MIME layer at the root of this entity."""


SmimeForm = Detached | Cms | NotSmime


def detect(source: Entity | bytes, limits: Limits = DEFAULT_LIMITS) -> SmimeForm:
    """The S/MIME layer that the root of `source` is.

    Raises INPUT_LIMIT_EXCEEDED where `source` are octets beyond `limits`.
    """
    if isinstance(source, Entity):
        entity = source
    else:
        form = glance(source, limits)
        if form is not None:
            return form
        entity = parse_entity(source, limits)
    if entity.type == "multipart/signed":
        return _detached(entity)
    if entity.is_multipart or entity.children:
        return NotSmime()
    if entity.type in _CMS_TYPES or (entity.type in _VAGUE_TYPES and _name_says_cms(entity)):
        return Cms(_object(entity), entity.type, entity.content_type.params.get("smime-type", "").lower())
    if entity.content_type.type != "text" and _looks_like_cms(entity):
        return Cms(_object(entity), entity.type, "")
    return NotSmime()


def glance(octets: bytes, limits: Limits = DEFAULT_LIMITS) -> Detached | Cms | None:
    """The result of `detect`, if the header of the root and its own delimiters suffice; else None.

    Nearly all S/MIME is labelled and shaped as RFC 8551 wants. Then nothing inside the parts decides, for an outer
    delimiter ends every part inside: neither their headers nor their '--' lines are read, which at 1 MiB are nine
    tenths of the work. Raises INPUT_LIMIT_EXCEEDED where the root's header is beyond `limits`.
    """
    content_type, encoding, body_start = _labels(octets, limits)
    kind = content_type.full
    if kind in _CMS_TYPES:
        der = _cms_octets(octets, body_start, len(octets), encoding)
        return Cms(der, kind, content_type.params.get("smime-type", "").lower())
    if kind != "multipart/signed" or _protocol(content_type) not in _SIGNATURE_TYPES:
        return None
    parts = _two_parts(octets, body_start, boundary_of(content_type))
    if parts is None:
        return None
    start, end, second, second_end = parts
    behind = octets.find(b"\r\n\r\n", second, min(second_end, second + LABEL_OCTETS_MAX)) + 4
    label, encoding, at = _kept_labels(octets[second:behind])  # no mail program ever varies them
    if label.full not in _SIGNATURE_TYPES:
        return None
    signature = _cms_octets(octets, second + at, second_end, encoding)
    return Detached(octets[start:end], signature, _micalg(content_type), start, end)


def _labels(octets: bytes, limits: Limits) -> tuple[ContentType, str, int]:
    """Content-Type, transfer encoding and end of the root's header section.

    Nearly all are short and plain: one search proves it, two more find the labels, and those alone are read, which
    saves 5 of 9 us.
    """
    plain = _PLAIN_HEADER.match(octets, 0, PLAIN_HEADER_OCTETS_MAX)
    if plain is None or plain.end() > min(limits.header_octets_max, limits.fields_max * FIELD_OCTETS_MIN):
        headers = parse_headers(octets, octets_max=limits.header_octets_max,
                                fields_max=limits.fields_max, only=_LABELS)
        return content_type_of(headers), encoding_of(headers), headers.body_offset
    end = plain.end()
    lower = b"\n" + octets[:end].lower()
    found = b""
    for needle in _LABEL_LINES:
        at = lower.find(needle)
        if at >= 0 and (field := _FIELD.match(octets, at)) is not None:
            found += field[0]
    content_type, encoding, _ = (_kept_labels if len(found) <= LABEL_OCTETS_MAX else _read_labels)(found)
    return content_type, encoding, end


def _read_labels(header: bytes) -> tuple[ContentType, str, int]:
    headers = parse_headers(header, only=_LABELS)
    return content_type_of(headers), encoding_of(headers), headers.body_offset


_kept_labels = lru_cache(maxsize=512)(_read_labels)


def _two_parts(octets: bytes, body_start: int, boundary: bytes) -> tuple[int, int, int, int] | None:
    """The spans of exactly two parts between delimiters that are written plainly and closed; None for all others."""
    if not boundary:
        return None
    needle = b"\n--" + boundary
    size = len(needle)
    first = octets.find(needle, max(body_start - 1, 0))  # the line end before the body may be the delimiter's own
    second = octets.find(needle, first + size + 1)  # and so may the one behind a delimiter
    third = octets.find(needle, second + size + 1)
    if not 0 < first < second < third:
        return None
    for mark, tail in ((first, b"\r\n"), (second, b"\r\n"), (third, b"--")):
        if octets[mark - 1] != 13 or octets[mark + size:mark + size + 2] != tail:  # CR
            return None
    if octets[third + size + 2:third + size + 4] not in (b"", b"\r\n"):
        return None
    start, signature = first + size + 2, second + size + 2
    return start, max(start, second - 1), signature, max(signature, third - 1)


def _protocol(content_type: ContentType) -> str:
    return content_type.params.get("protocol", "").strip().lower()


def _micalg(content_type: ContentType) -> str:
    return content_type.params.get("micalg", "").strip().lower()


def _detached(entity: Entity) -> Detached | NotSmime:
    if len(entity.children) != 2:  # RFC 1847 2.1: exactly two
        return NotSmime()
    content, signature = entity.children
    protocol = _protocol(entity.content_type)
    labelled = signature.type in _SIGNATURE_TYPES
    if protocol and protocol not in _SIGNATURE_TYPES and not labelled:
        return NotSmime()  # OpenPGP, or something newer
    if not labelled and not (signature.type in _VAGUE_TYPES | _CMS_TYPES
                             and (_name_says_cms(signature) or _looks_like_cms(signature))):
        return NotSmime()
    return Detached(content.raw, _object(signature), _micalg(entity.content_type), content.start, content.end)


def _name_says_cms(entity: Entity) -> bool:
    return (entity.filename or "").strip().lower().endswith(_NAMES)


def _looks_like_cms(entity: Entity) -> bool:
    """By the first octets only: a big attachment is not decoded to find out that it is none."""
    head = entity.octets[entity.body_start:min(entity.end, entity.body_start + 200)]
    if entity.cte == "base64":
        return sniff_cms(decode_base64(head))
    if entity.cte == "quoted-printable":
        return sniff_cms(decode_quoted_printable(head))
    return sniff_cms(head)


def sniff_cms(octets: bytes) -> bool:
    """Whether `octets` begin like a CMS ContentInfo (DER or BER): SEQUENCE, then a content type that we know."""
    if len(octets) < 20 or octets[0] != 0x30:  # SEQUENCE, length, OID
        return False
    length_octets = octets[1] & 0x7F if octets[1] & 0x80 else 0
    return octets[2 + length_octets:].startswith(_OIDS)


def _object(entity: Entity) -> bytes:
    return _cms_octets(entity.octets, entity.body_start, entity.end, entity.cte)


def _cms_octets(octets: bytes, start: int, end: int, encoding: str) -> bytes:
    """The object in a body, also where it was sent as PEM, or as base64 without saying so."""
    octets = decode_span(octets, start, end, encoding)
    if octets.startswith(b"\x30"):
        return octets
    text = octets.lstrip()
    if text.startswith(b"-----BEGIN "):
        return decode_base64(text[text.find(b"\n") + 1:text.find(b"-----END ")])
    if text.startswith(b"MI"):
        inner = decode_base64(text)
        if sniff_cms(inner):
            return inner
    return octets


# Writing.

_SIGNATURE_HEADER = (
    b'Content-Type: application/pkcs7-signature; name="smime.p7s"\r\n'
    b"Content-Transfer-Encoding: base64\r\n"
    b'Content-Disposition: attachment; filename="smime.p7s"\r\n\r\n')
_PREAMBLE = b"This is an S/MIME signed message\r\n"


def new_boundary() -> str:
    """A boundary that no content can hold but by guessing 120 bits."""
    return "=_" + secrets.token_hex(15)


def multipart_signed(content: bytes, signature_der: bytes, micalg: str) -> tuple[bytes, bytes]:
    """(header fields, body) of a multipart/signed around `content`, an entity in canonical form (RFC 8551 3.5.3).

    `micalg`: 'sha-256', 'sha-384', 'sha-512' (RFC 8551 3.5.3.2). The header fields end in CRLF, without the empty line.
    """
    header, *body = _signed_pieces(content, signature_der, micalg)
    return header, b"".join(body)


def signed_entity(content: bytes, signature_der: bytes, micalg: str) -> bytes:
    """The same in one piece, so that a large content is copied once."""
    header, *body = _signed_pieces(content, signature_der, micalg)
    return b"".join((header, b"\r\n", *body))


@lru_cache(maxsize=8)  # there are three of them
def _signed_header(micalg: str) -> tuple[bytes, bytes]:
    """The Content-Type of a multipart/signed before and behind its boundary."""
    boundary = new_boundary()
    header, _, quote = format_field("Content-Type", "multipart/signed", {
        "protocol": "application/pkcs7-signature", "micalg": micalg, "boundary": boundary,
    }).partition(boundary.encode("ascii"))
    return header, quote


def _signed_pieces(content: bytes, signature_der: bytes, micalg: str) -> tuple[bytes, ...]:
    """The header fields, then the pieces of the body."""
    boundary = new_boundary().encode("ascii")
    line = b"--" + boundary
    header, quote = _signed_header(micalg)
    return (header + boundary + quote, _PREAMBLE, b"\r\n", line, b"\r\n", content, b"\r\n", line, b"\r\n",
            _SIGNATURE_HEADER, base64_lines(signature_der), b"\r\n", line, b"--\r\n")


def pkcs7_mime(der: bytes, smime_type: str, name: str = "smime.p7m", outer: bytes = b"") -> bytes:
    """The entity around one CMS object: header fields, empty line, base64 (RFC 8551 3.2).

    `smime_type`: 'enveloped-data', 'authEnveloped-data', 'signed-data', 'compressed-data' (RFC 8551 3.2.2).
    `outer`: whole fields before its own.
    """
    return base64_lines(der, outer + (
        f'Content-Type: application/pkcs7-mime; smime-type={smime_type};\r\n name="{name}"\r\n'
        "Content-Transfer-Encoding: base64\r\n"
        f'Content-Disposition: attachment; filename="{name}"\r\n\r\n'.encode("ascii")))
