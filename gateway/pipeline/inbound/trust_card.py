"""The trust card: what the gateway says of an inbound mail, signed, so that a back office need not believe a header.

A JWS in compact form (RFC 7515, ES256 of RFC 7518) in the field Sealgate-Trust-Card, folded: take out all white space
before reading it. It binds the verdicts to the body and to the fields that say whose and what it is, as delivered, in
the relaxed form of DKIM (RFC 6376 3.4.2, 3.4.4), which survives what mail servers do to spaces. A back office checks
all of it, or ignores it: `read` is how.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key

from gateway.errors import GatewayError, Reason
from gateway.mime.header import parse_headers
from gateway.model.address import fold
from gateway.model.verdict import Verdicts
from gateway.pipeline.inbound.status import EMAILS_MAX, NAME_CHARACTERS_MAX, believed

FIELD: Final = "Sealgate-Trust-Card"
TYPE: Final = "sealgate-card+jwt"
# Who wrote, who gets the answer, whose case it is, and what the body is: another boundary would show other parts under
# the same octets. A field that is not there is bound as well: adding it makes another message.
BOUND_FIELDS: Final = (
    "from", "sender", "reply-to", "mail-reply-to", "mail-followup-to", "to", "cc", "subject", "date", "message-id",
    "in-reply-to", "references", "content-type", "content-transfer-encoding")
_COLUMNS: Final = 76
_CARD_OCTETS_MAX: Final = 65_536
_HALF: Final = 32  # octets of r and of s for P-256 (RFC 7518 3.4)


@dataclass(frozen=True, slots=True)
class CardIssuer:
    """Who issues cards. `sign` gives a DER ECDSA signature with SHA-256; `kid` names its key (RFC 7638)."""

    issuer: str
    kid: str
    sign: Callable[[bytes], bytes]
    lifetime_s: int

    def field(self, octets: bytes, verdicts: Verdicts, recipients: Sequence[str], at: datetime) -> bytes:
        """The whole header field for a message as it is delivered to these envelope recipients."""
        issued, jti = int(at.timestamp()), secrets.token_urlsafe(16)
        header = {"alg": "ES256", "typ": TYPE, "kid": self.kid}
        claims = {
            "iss": self.issuer,
            "iat": issued,
            "exp": issued + self.lifetime_s,
            "jti": jti,
            "rcpt": sorted(_named(address, jti) for address in recipients),
            **_verdict_fields(verdicts),
            **bound(octets),
        }
        signed = b".".join(_encoded(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        r, s = decode_dss_signature(self.sign(signed))
        card = signed + b"." + _encoded(r.to_bytes(_HALF, "big") + s.to_bytes(_HALF, "big"))
        lines = [card[start : start + _COLUMNS] for start in range(0, len(card), _COLUMNS)]
        return FIELD.encode() + b":\r\n " + b"\r\n ".join(lines) + b"\r\n"


def thumbprint(public: bytes) -> str:
    """The JWK thumbprint (RFC 7638) of a P-256 key, DER SubjectPublicKeyInfo. CONFIG_INVALID for any other key."""
    numbers = _p256(public).public_numbers()
    jwk = {
        "crv": "P-256",
        "kty": "EC",
        "x": _encoded(numbers.x.to_bytes(_HALF, "big")).decode(),
        "y": _encoded(numbers.y.to_bytes(_HALF, "big")).decode(),
    }
    return _encoded(hashlib.sha256(json.dumps(jwk, separators=(",", ":"), sort_keys=True).encode()).digest()).decode()


def bound(octets: bytes) -> dict[str, str]:
    """The two hashes that bind a card to a message: `bh` over its body, `hh` over all fields named in BOUND_FIELDS."""
    headers = parse_headers(octets)
    relaxed = []
    for name in BOUND_FIELDS:
        for field in headers.all(name):
            value = _one_space(field.value.replace(b"\r\n", b"").replace(b"\t", b" ")).strip()
            relaxed.append(name.encode() + b":" + value + b"\r\n")
    digest = hashlib.sha256()
    for piece in relaxed_body(octets, headers.body_offset):
        digest.update(piece)
    heads = hashlib.sha256(b"".join(relaxed)).digest()
    return {"bh": _encoded(digest.digest()).decode(), "hh": _encoded(heads).decode()}


def relaxed_body(octets: bytes, start: int = 0, piece_octets: int = 1 << 20) -> Iterator[bytes]:
    """RFC 6376 3.4.4, in pieces: runs of white space are one space, none before a line end, no empty lines at the end.

    By whole lines, about `piece_octets` at a time: of a body of 50 MB the form is there nowhere as a whole.
    """
    written, line_ends = False, b""  # of lines that may be the last ones
    while start < len(octets):
        end = octets.find(b"\n", start + piece_octets) + 1 or len(octets)
        piece = _one_space(octets[start:end].replace(b"\t", b" ")).replace(b" \r\n", b"\r\n")
        piece = piece if piece.endswith(b"\r\n") else piece.rstrip(b" ")
        text = piece.rstrip(b"\r\n")
        if text:
            yield line_ends
            yield text
            written, line_ends = True, b""
        line_ends += piece[len(text) :]
        start = end
    if written:
        yield b"\r\n"


def read(octets: bytes, public: bytes, at: datetime, recipient: str | None = None) -> Mapping[str, Any]:
    """The claims of a message's card, after everything was checked; what a back office does.

    `public`: DER SubjectPublicKeyInfo. GatewayError SIGNATURE_NOT_SIGNED without exactly one card,
    SIGNATURE_MALFORMED, SIGNATURE_ALTERED (signature, body or fields), SIGNATURE_EXPIRED, RECIPIENT_UNKNOWN if the
    card is for other recipients.
    """
    cards = parse_headers(octets).all(FIELD)
    if len(cards) != 1:
        raise GatewayError(Reason.SIGNATURE_NOT_SIGNED, f"{len(cards)} trust cards")
    header, claims, signed, signature = _parsed(b"".join(cards[0].value.split()))
    if header.get("alg") != "ES256" or header.get("typ") != TYPE or len(signature) != 2 * _HALF:
        raise GatewayError(Reason.SIGNATURE_MALFORMED, "no trust card of this kind")
    r, s = int.from_bytes(signature[:_HALF], "big"), int.from_bytes(signature[_HALF:], "big")
    try:
        _p256(public).verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise GatewayError(Reason.SIGNATURE_ALTERED, "the card's signature") from None
    if any(claims.get(name) != value for name, value in bound(octets).items()):
        raise GatewayError(Reason.SIGNATURE_ALTERED, "the message is not the one of the card")
    if not int(claims["iat"]) <= at.timestamp() < int(claims["exp"]):
        raise GatewayError(Reason.SIGNATURE_EXPIRED, "the card's time")
    if recipient is not None and _named(recipient, str(claims["jti"])) not in claims["rcpt"]:
        raise GatewayError(Reason.RECIPIENT_UNKNOWN, "the card is for other recipients")
    return claims


def _named(address: str, jti: str) -> str:
    """A recipient in a card: who knows the address finds it, and blind copies do not read each other's."""
    return _encoded(hashlib.sha256(f"{jti}\0{fold(address)}".encode("utf-8", "surrogateescape")).digest()).decode()


def _verdict_fields(verdicts: Verdicts) -> dict[str, object]:
    signer = believed(verdicts.signature)
    fields: dict[str, object] = {
        "verdict": str(verdicts.verdict),
        "why": [str(reason) for reason in verdicts.why],
        "signature": str(verdicts.signature.status),
        "decryption": verdicts.decryption.status,
    }
    if verdicts.coverage is not None:
        fields["covers"] = {"headers": verdicts.coverage.headers, "age_s": verdicts.coverage.age_s,
                          "date_gap_s": verdicts.coverage.date_gap_s}
    if signer is not None:
        fields["signer"] = {
            "status": str(signer.status),
            "subject": signer.subject and signer.subject[:NAME_CHARACTERS_MAX],
            "emails": [email[:NAME_CHARACTERS_MAX] for email in signer.emails[:EMAILS_MAX]],
            "level": list(signer.level),
            "matches_from": signer.matches_from,
            "certificate": hashlib.sha256(signer.certificate).hexdigest() if signer.certificate else None,
            "timestamp": str(signer.timestamp.status),
        }
    return fields


def _one_space(octets: bytes) -> bytes:
    """Runs of spaces as one; halves them, so that a megabyte of spaces takes twenty rounds."""
    while b"  " in octets:
        octets = octets.replace(b"  ", b" ")
    return octets


def _encoded(octets: bytes) -> bytes:
    """Base64url without padding (RFC 7515 2)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=")


def _parsed(card: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    parts = card.split(b".")
    if len(parts) != 3 or len(card) > _CARD_OCTETS_MAX:
        raise GatewayError(Reason.SIGNATURE_MALFORMED, "no compact JWS")
    try:
        header, claims, signature = (base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)) for part in parts)
        read_header, read_claims = json.loads(header), json.loads(claims)
    except (ValueError, RecursionError):
        raise GatewayError(Reason.SIGNATURE_MALFORMED, "no compact JWS") from None
    if not isinstance(read_header, dict) or not isinstance(read_claims, dict):
        raise GatewayError(Reason.SIGNATURE_MALFORMED, "no compact JWS")
    return read_header, read_claims, parts[0] + b"." + parts[1], signature


def _p256(public: bytes) -> ec.EllipticCurvePublicKey:
    key = load_der_public_key(public)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise GatewayError(Reason.CONFIG_INVALID, "a trust card is signed with a P-256 key")
    return key
