"""What a file is, found by its content alone, never by its name.

Looks at a bounded beginning and at the first elements of DER; what it answers is a guess that the reader of that
kind then confirms or refuses. `ocsp` is an OCSP response (RFC 6960), `crl` a revocation list (RFC 5280 5); both are
judged alone: whether an authorised signer signed it, and whether it is in force.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import pybase64

from gateway.cms import algorithms
from gateway.cms.private_keys import is_pkcs12
from gateway.der import walk
from gateway.errors import GatewayError
from gateway.mime.header import parse_headers
from gateway.smime.layers import content_type

Kind = Literal["mail", "cms", "timestamp", "pdf", "certificate", "pkcs12", "ocsp", "crl", "unknown"]

_MAIL_FIELDS: Final = frozenset({
    "from", "to", "cc", "subject", "date", "message-id", "received", "return-path", "mime-version", "content-type",
    "sender", "reply-to", "delivered-to", "dkim-signature", "content-transfer-encoding", "content-disposition"})
_CMS_TYPES: Final = frozenset({
    algorithms.DATA, algorithms.SIGNED_DATA, algorithms.ENVELOPED_DATA, algorithms.AUTH_ENVELOPED_DATA,
    algorithms.COMPRESSED_DATA})
_PEM_LABELS: Final[dict[bytes, Kind]] = {
    b"CERTIFICATE": "certificate", b"X509 CERTIFICATE": "certificate", b"TRUSTED CERTIFICATE": "certificate",
    b"CMS": "cms", b"PKCS7": "cms", b"SIGNED MESSAGE": "cms", b"ENCRYPTED MESSAGE": "cms",  # the last two: gpgsm's
    b"X509 CRL": "crl"}
_VERSION: Final = 0xA0  # [0] EXPLICIT
_HEAD: Final = 65_536  # octets in which a kind must show itself


class Found(NamedTuple):
    """`kind`, and the octets to read it from: the DER inside a PEM file, else the file itself."""

    kind: Kind
    octets: bytes


def kind_of(octets: bytes) -> Found:
    """The kind of a whole file that is not empty."""
    head = octets[:_HEAD]
    if head[:1024].lstrip().startswith(b"%PDF-"):  # ISO 32000-2 implementation note: within the first 1024 octets
        return Found("pdf", octets)
    if octets[0] == walk.SEQUENCE:
        return Found(_der_kind(octets), octets)
    if not head.lstrip().startswith(b"-----BEGIN ") and _looks_like_mail(head):
        return Found("mail", octets)
    return _pem(octets, head) or _bare_base64(octets) or Found("unknown", octets)


def _looks_like_mail(head: bytes) -> bool:
    """Header fields that every mail program knows, before anything that is no field."""
    if head.startswith(b"From "):  # the first line of an mbox
        head = head[head.find(b"\n") + 1:]
    try:
        fields = parse_headers(head).fields
    except GatewayError:
        return False
    return any(field.lower in _MAIL_FIELDS for field in fields)


def _pem(octets: bytes, head: bytes) -> Found | None:
    start = head.find(b"-----BEGIN ")
    while start >= 0:
        label = head[start + 11:head.find(b"-----", start + 11)]
        kind = _PEM_LABELS.get(label)
        if kind == "certificate":
            return Found(kind, octets)
        if kind is not None:
            body = octets[octets.find(b"\n", start) + 1:octets.find(b"-----END ", start)]
            try:
                der = pybase64.b64decode(b"".join(body.split()), validate=True)
            except ValueError:
                return None
            return Found(_der_kind(der), der) if der[:1] == b"\x30" else None
        start = head.find(b"-----BEGIN ", start + 11)
    return None


def _bare_base64(octets: bytes) -> Found | None:
    """DER in base64 and nothing else, as some programs save an attachment: 'MI' is a SEQUENCE of some length."""
    if not octets.lstrip().startswith(b"MI"):
        return None
    try:
        der = pybase64.b64decode(b"".join(octets.split()), validate=True)
    except ValueError:
        return None
    kind = _der_kind(der)
    return None if kind == "unknown" else Found(kind, der)


def _der_kind(octets: bytes) -> Kind:
    try:
        kind = content_type(octets)
    except GatewayError:
        return _der_kind_without_type(octets)
    if kind == algorithms.SIGNED_DATA and _encapsulates_tst_info(octets):
        return "timestamp"
    return "cms" if kind in _CMS_TYPES else "unknown"


def _encapsulates_tst_info(octets: bytes) -> bool:
    """By the first octets: eContentType is before anything that can be large."""
    return _TST_INFO in octets[:256]


_TST_INFO: Final = bytes.fromhex("060b2a864886f70d0109100104")  # id-ct-TSTInfo (RFC 3161 2.4.2)


def _der_kind_without_type(octets: bytes) -> Kind:
    if is_pkcs12(octets):
        return "pkcs12"
    try:
        top = walk.single(octets, walk.SEQUENCE)
        children = walk.children(octets, top, limit=4)
        first = children[0] if children else None
        if first is None:
            return "unknown"
        if first.tag == walk.ENUMERATED:  # OCSPResponseStatus (RFC 6960 4.2.1)
            return "ocsp"
        if first.tag == walk.SEQUENCE and len(children) == 3:
            parts = walk.children(octets, first, limit=16)
            return "certificate" if _is_tbs_certificate(parts) else "crl" if _is_tbs_list(parts) else "unknown"
        if first.tag == walk.SEQUENCE and len(children) <= 2:
            status = walk.read(octets, first.body, first.end)
            return "timestamp" if status.tag == walk.INTEGER else "unknown"
    except GatewayError:
        pass
    return "unknown"


def _is_tbs_certificate(parts: Sequence[walk.Tlv]) -> bool:
    """RFC 5280 4.1: version is [0], and left away in version 1; lists and requests, as outside, have none."""
    if parts and parts[0].tag == _VERSION:
        return True
    return len(parts) >= 6 and [part.tag for part in parts[:6]] == [walk.INTEGER, *[walk.SEQUENCE] * 5]


def _is_tbs_list(parts: Sequence[walk.Tlv]) -> bool:
    """RFC 5280 5.1: algorithm and issuer, then a time, where a certificate has a pair of them."""
    tags = [part.tag for part in parts if part.tag != walk.INTEGER][:3]
    return tags[:2] == [walk.SEQUENCE] * 2 and tags[2:] in ([walk.UTC_TIME], [walk.GENERALIZED_TIME])
