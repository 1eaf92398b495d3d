"""OCSP: the question about one certificate, and the answer, authenticated and judged (RFC 6960, RFC 9654 nonces).

Steps for an answer, in the order of the code:

1. the response is DER with everything in its place; it is a success, and a basic one
2. its signature is by an algorithm of the table (`pki.revocation.signatures`)
3. who answers: the issuer by its own key; a responder that this very issuer has delegated (id-kp-OCSPSigning); or one
   of the bank's own configured responders. It names itself by its name or by the SHA-1 of its key
   (`pki.revocation.authorised_signers`)
4. the nonce is that of the question, where the answer has one; whether it must have one is for the caller to say
5. of its single answers the one about this certificate: issuer's name and key by SHA-1 or SHA-2 (as an identifier
   SHA-1 does no harm: a second issuer with both hashes would break far more), and the serial number
6. its times: thisUpdate is not in the future, nextUpdate has not passed
7. a `good` about a certificate that has expired says nothing, unless the responder keeps such ones (archiveCutoff)
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from gateway.cms import algorithms
from gateway.cms.algorithms import AlgorithmIdentifier
from gateway.cms.certificate import Certificate, parse_certificate
from gateway.der import build, walk
from gateway.der.walk import DerMalformed, Tlv
from gateway.errors import GatewayError, Reason
from gateway.pki.revocation.authorised_signers import responder_fault
from gateway.pki.revocation.entries import REASON_NAMES, authority_id
from gateway.pki.revocation.scope import name_hash
from gateway.pki.revocation.signatures import check_algorithm, signed_by_key
from gateway.pki.revocation.verdict import RevocationData
from gateway.pki.trust import TrustSet
from gateway.ports.revocation import AnswerStatus, StoredAnswer

OCTETS_MAX: Final = 262_144  # an answer with a chain of certificates has under 10,000
SINGLES_MAX: Final = 256
CERTIFICATES_MAX: Final = 8
EXTENSIONS_MAX: Final = 16
NONCE_OCTETS: Final = 32  # RFC 9654 2.1: up to 128, 32 by default
SKEW: Final = timedelta(minutes=5)

_BASIC: Final = "1.3.6.1.5.5.7.48.1.1"
_NONCE: Final = "1.3.6.1.5.5.7.48.1.2"
_ARCHIVE_CUTOFF: Final = "1.3.6.1.5.5.7.48.1.6"
_HASHES: Final = ("sha1", "sha256", "sha384", "sha512")
_REFUSALS: Final = {1: "malformedRequest", 2: "internalError", 3: "tryLater", 5: "sigRequired", 6: "unauthorized"}


class CertId(NamedTuple):
    """Whom a single answer is about."""

    digest: str
    name: bytes
    key: bytes
    serial: int


class Single(NamedTuple):
    """One single answer, not verified yet."""

    id: CertId
    status: AnswerStatus
    revoked_at: datetime | None
    reason: str | None
    this_update: datetime
    next_update: datetime | None
    archive_cutoff: datetime | None


class OcspResponse(NamedTuple):
    """A basic response, not verified yet. `responder`: Name (DER) or SHA-1 of a key."""

    responder_name: bytes | None
    responder_key: bytes | None
    produced_at: datetime
    singles: tuple[Single, ...]
    nonce: bytes | None
    certificates: tuple[Certificate, ...]
    algorithm: AlgorithmIdentifier
    signature: bytes
    signed: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a responder says of one certificate, authenticated. Times are aware, UTC."""

    authority: str
    serial: int
    status: AnswerStatus
    this_update: datetime
    next_update: datetime | None
    produced_at: datetime
    revoked_at: datetime | None
    reason: str | None
    responder: str

    def stored(self, fetched_at: datetime) -> StoredAnswer:
        """As it goes into the store."""
        return StoredAnswer(self.authority, self.serial, self.status, self.this_update, self.next_update,
                            self.revoked_at, self.reason, fetched_at)


def build_request(certificate: Certificate, issuer: Certificate, nonce: bytes | None = None, *,
                  digest: str = "sha1") -> bytes:
    """The DER of an unsigned OCSPRequest about one certificate. `nonce`: fresh random octets, None: without one.

    `digest` names the issuer: most responders know SHA-1 only (RFC 5019 2.1.1).
    """
    request = build.sequence(build.sequence(_cert_id(certificate, issuer, digest)))
    extensions = b""
    if nonce is not None:
        extensions = build.context(2, build.sequence(build.sequence(
            build.oid(_NONCE), build.octet_string(build.octet_string(nonce)))))
    return build.sequence(build.sequence(request, extensions))


def _cert_id(certificate: Certificate, issuer: Certificate, digest: str) -> bytes:
    return build.sequence(
        algorithms.identifier(algorithms.DIGEST_OIDS[digest], build.null()),
        build.octet_string(_hashed(digest, issuer.subject_der)), build.octet_string(_hashed(digest, _key_of(issuer))),
        build.integer(certificate.serial))


def _hashed(digest: str, octets: bytes) -> bytes:
    return hashlib.new(digest, octets, usedforsecurity=False).digest()


def _key_of(certificate: Certificate) -> bytes:
    """The key's own octets, without algorithm, tag and unused bits (RFC 6960 4.1.1)."""
    spki = certificate.spki
    key = walk.children(spki, walk.single(spki, walk.SEQUENCE), limit=2)[1]
    return walk.decode_bit_string(spki, key)


def read_answer(der: bytes, certificate: Certificate, issuer: Certificate, trust: TrustSet, at: datetime,
                nonce: bytes | None = None, data: RevocationData | None = None) -> Answer:
    """The answer about `certificate`, authenticated at the aware time `at`.

    `nonce`: that of the question; an answer with another one is refused, one without any is taken by its times
    (many responders answer from a store of answers made before: RFC 9654 4). `data`: whether a delegated responder
    was revoked itself.
    GatewayError REVOCATION_MALFORMED, _REFUSED, _WEAK_ALGORITHM, _UNTRUSTED, _ALTERED, _STALE, _FUTURE.
    """
    response = parse_response(der)
    responder = responder_of(response, issuer, trust, at, data)
    if nonce is not None and response.nonce is not None and response.nonce != nonce:
        raise GatewayError(Reason.REVOCATION_UNTRUSTED, "the answer is to another question (nonce)")
    single = single_about(response, certificate, issuer)
    if single is None:
        raise GatewayError(Reason.REVOCATION_REFUSED, "the answer is not about this certificate")
    check_times(single, at)
    status = single.status
    if status == "good" and single.this_update > certificate.not_after and not (
            single.archive_cutoff is not None and single.archive_cutoff <= certificate.not_after):
        status = "unknown"
    return Answer(authority_id(issuer), certificate.serial, status, single.this_update, single.next_update,
                  response.produced_at, single.revoked_at, single.reason, responder.subject)


def check_times(single: Single, at: datetime) -> None:
    """6. Whether the answer is in force at `at`. GatewayError REVOCATION_FUTURE, REVOCATION_STALE."""
    if single.this_update > at + SKEW:
        raise GatewayError(Reason.REVOCATION_FUTURE, f"thisUpdate is {single.this_update:%Y-%m-%dT%H:%M:%SZ}")
    if single.next_update is not None and single.next_update < at - SKEW:
        raise GatewayError(Reason.REVOCATION_STALE, f"nextUpdate was {single.next_update:%Y-%m-%dT%H:%M:%SZ}")


def responder_of(response: OcspResponse, issuer: Certificate, trust: TrustSet, at: datetime,
                 data: RevocationData | None = None) -> Certificate:
    """2. and 3. The signer of the answer, if authorised by `issuer`.

    GatewayError REVOCATION_WEAK_ALGORITHM, _MALFORMED (unknown algorithm), _UNTRUSTED, _ALTERED.
    """
    check_algorithm(response.algorithm, at)
    fault = "no known certificate has the responder's name or key"
    altered = False
    for candidate in dict.fromkeys((issuer, *trust.ocsp_responders, *response.certificates)):
        if not _is_named(response, candidate):
            continue
        if not signed_by_key(response.algorithm, response.signature, response.signed, candidate):
            altered = True
            continue
        fault = responder_fault(candidate, issuer, trust, at, data)
        if not fault:
            return candidate
        altered = False
        break
    if altered:
        raise GatewayError(Reason.REVOCATION_ALTERED, "the signature of the answer is not its responder's")
    raise GatewayError(Reason.REVOCATION_UNTRUSTED, fault)


def _is_named(response: OcspResponse, candidate: Certificate) -> bool:
    if response.responder_key is not None:
        return _hashed("sha1", _key_of(candidate)) == response.responder_key
    return name_hash(candidate.subject_der) == name_hash(response.responder_name or b"")


def single_about(response: OcspResponse, certificate: Certificate, issuer: Certificate) -> Single | None:
    """The single answer about this certificate: the newest, where there are several. None: there is none."""
    found = [single for single in response.singles
             if single.id.serial == certificate.serial and names_issuer(single.id, issuer)]
    return max(found, key=lambda single: (single.this_update, single.status == "revoked"), default=None)


def names_issuer(cert_id: CertId, issuer: Certificate) -> bool:
    """Whether the single answer is about a certificate of `issuer`."""
    return (cert_id.name == _hashed(cert_id.digest, issuer.subject_der)
            and cert_id.key == _hashed(cert_id.digest, _key_of(issuer)))


# --- reading ----------------------------------------------------------------------------------------------------------


def parse_response(der: bytes) -> OcspResponse:
    """Reads an OCSPResponse that fills `der`. GatewayError REVOCATION_MALFORMED; REVOCATION_REFUSED where the

    responder says no (retry where it says: later).
    """
    if len(der) > OCTETS_MAX:
        raise GatewayError(Reason.REVOCATION_MALFORMED, f"an answer of {len(der)} octets")
    try:
        return _response(der)
    except GatewayError as error:
        if error.reason is Reason.REVOCATION_REFUSED:
            raise
        raise GatewayError(Reason.REVOCATION_MALFORMED, error.detail) from None


def _response(der: bytes) -> OcspResponse:
    parts = walk.children(der, walk.single(der, walk.SEQUENCE), limit=2)
    status = walk.decode_integer(der, parts[0], walk.ENUMERATED) if parts else 0
    if status:
        status_name = _REFUSALS.get(status, f"status {status}")
        raise GatewayError(Reason.REVOCATION_REFUSED, f"the responder says {status_name}", retry=status in {2, 3})
    if len(parts) != 2:
        raise DerMalformed("a success without an answer")
    body = walk.children(der, _inner(der, walk.expect(parts[1], 0xA0), walk.SEQUENCE), limit=2)
    if len(body) != 2 or walk.decode_oid(der, body[0]) != _BASIC:
        raise DerMalformed("an unsupported response type")
    basic = walk.content(der, walk.expect(body[1], walk.OCTET_STRING))
    fields = walk.children(basic, walk.single(basic, walk.SEQUENCE), limit=4)
    if not 3 <= len(fields) <= 4:
        raise DerMalformed("an answer without its signature")
    certificates: tuple[Certificate, ...] = ()
    if len(fields) == 4:
        certificates = _certificates(basic, _inner(basic, walk.expect(fields[3], 0xA0), walk.SEQUENCE))
    name, key, produced_at, singles, nonce = _data(basic, walk.expect(fields[0], walk.SEQUENCE))
    return OcspResponse(name, key, produced_at, singles, nonce, certificates,
                        algorithms.read_identifier(basic, fields[1]), walk.decode_bit_string(basic, fields[2]),
                        walk.whole(basic, fields[0]))


def _inner(octets: bytes, explicit: Tlv, tag: int | None = None) -> Tlv:
    """The one element in an explicit tag."""
    inner = walk.read(octets, explicit.body, explicit.end)
    if inner.end != explicit.end:
        raise DerMalformed("a tag that holds more than one element")
    return inner if tag is None else walk.expect(inner, tag)


def _certificates(octets: bytes, sequence: Tlv) -> tuple[Certificate, ...]:
    """Those that can be read; broken ones do no harm to the others."""
    found = []
    for part in walk.children(octets, sequence, limit=CERTIFICATES_MAX):
        try:
            found.append(parse_certificate(walk.whole(octets, part)))
        except GatewayError:
            continue
    return tuple(found)


def _data(octets: bytes, data: Tlv) -> tuple[bytes | None, bytes | None, datetime, tuple[Single, ...], bytes | None]:
    fields = walk.children(octets, data, limit=5)
    if fields and fields[0].tag == 0xA0 and walk.decode_integer(octets, _inner(octets, fields.pop(0))) != 0:
        raise DerMalformed("an answer of an unknown version")
    if len(fields) < 3:
        raise DerMalformed("an answer without its fields")
    name, key = None, None
    if fields[0].tag == 0xA1:
        name = walk.whole(octets, _inner(octets, fields[0], walk.SEQUENCE))
    else:
        key = walk.content(octets, _inner(octets, walk.expect(fields[0], 0xA2), walk.OCTET_STRING))
    produced_at = walk.decode_time(octets, walk.expect(fields[1], walk.GENERALIZED_TIME))
    singles = tuple(_single(octets, part) for part in walk.children(
        octets, walk.expect(fields[2], walk.SEQUENCE), limit=SINGLES_MAX))
    nonce = None
    if len(fields) == 4:
        extensions = _extensions(octets, walk.expect(fields[3], 0xA1), frozenset({_NONCE}))
        if _NONCE in extensions:
            nonce = _nonce(extensions[_NONCE])
    return name, key, produced_at, singles, nonce


def _nonce(value: bytes) -> bytes:
    """An OCTET STRING inside the extension; older responders (RFC 2560) repeat bare octets."""
    try:
        return walk.content(value, walk.single(value, walk.OCTET_STRING))
    except GatewayError:
        return value


def _extensions(octets: bytes, explicit: Tlv, processed: frozenset[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for extension in walk.children(octets, _inner(octets, explicit, walk.SEQUENCE), limit=EXTENSIONS_MAX):
        parts = walk.children(octets, walk.expect(extension, walk.SEQUENCE), limit=3)
        if len(parts) < 2:
            raise DerMalformed("an extension without its value")
        oid = walk.decode_oid(octets, parts[0])
        if oid in found:
            raise DerMalformed(f"extension {oid} is repeated")
        if len(parts) == 3 and walk.decode_boolean(octets, parts[1]) and oid not in processed:
            raise DerMalformed(f"the critical extension {oid} is unknown here")
        found[oid] = walk.content(octets, walk.expect(parts[-1], walk.OCTET_STRING))
    return found


def _single(octets: bytes, tlv: Tlv) -> Single:
    fields = walk.children(octets, walk.expect(tlv, walk.SEQUENCE), limit=5)
    if len(fields) < 3:
        raise DerMalformed("a single answer without its fields")
    status, revoked_at, reason = _status(octets, fields[1])
    this_update = walk.decode_time(octets, walk.expect(fields[2], walk.GENERALIZED_TIME))
    rest = fields[3:]
    next_update = None
    if rest and rest[0].tag == 0xA0:
        next_update = walk.decode_time(octets, _inner(octets, rest.pop(0), walk.GENERALIZED_TIME))
    cutoff = None
    if rest and rest[0].tag == 0xA1:
        extensions = _extensions(octets, rest.pop(0), frozenset({_ARCHIVE_CUTOFF}))
        if _ARCHIVE_CUTOFF in extensions:
            value = extensions[_ARCHIVE_CUTOFF]
            cutoff = walk.decode_time(value, walk.single(value, walk.GENERALIZED_TIME))
    if rest:
        raise DerMalformed("a single answer with fields that none has")
    return Single(_read_id(octets, fields[0]), status, revoked_at, reason, this_update, next_update, cutoff)


def _read_id(octets: bytes, tlv: Tlv) -> CertId:
    fields = walk.children(octets, walk.expect(tlv, walk.SEQUENCE), limit=4)
    if len(fields) != 4:
        raise DerMalformed("a certificate identifier without its four fields")
    digest = algorithms.digest_name(algorithms.read_identifier(octets, fields[0]))
    if digest not in _HASHES:
        raise DerMalformed(f"an issuer named by {digest}")
    name, key = (walk.content(octets, walk.expect(field, walk.OCTET_STRING)) for field in fields[1:3])
    return CertId(digest, name, key, walk.decode_integer(octets, walk.expect(fields[3], walk.INTEGER)))


def _status(octets: bytes, tlv: Tlv) -> tuple[AnswerStatus, datetime | None, str | None]:
    if tlv.tag == 0x80:
        return "good", None, None
    if tlv.tag == 0x82:
        return "unknown", None, None
    fields = walk.children(octets, walk.expect(tlv, 0xA1), limit=2)
    if not fields:
        raise DerMalformed("revoked, but not since when")
    revoked_at = walk.decode_time(octets, walk.expect(fields[0], walk.GENERALIZED_TIME))
    reason = None
    if len(fields) == 2:
        number = walk.decode_integer(octets, _inner(octets, walk.expect(fields[1], 0xA0)), walk.ENUMERATED)
        reason = REASON_NAMES.get(number)
        if reason is None:
            raise DerMalformed("a reason that none is")
    return "revoked", revoked_at, reason
