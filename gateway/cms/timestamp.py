"""Time-stamps (RFC 3161, RFC 5816): requests, tokens, responses, written and read.

`parse_token` checks every rule of RFC 3161 2.4.2 that needs no trust: one signer, a TSTInfo inside, the signer's
certificate named under the signature. `pki` judges whether the service may be believed; the digests' strength
too, for that depends on the time. Local variables bear the names of the RFC's fields.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from functools import lru_cache
from typing import Final, TypeVar

from gateway.cms import algorithms, attributes
from gateway.cms.attributes import fields, only_child
from gateway.cms.certificate import Certificate
from gateway.cms.signed_reader import SignedData, parse_signed, verify
from gateway.der import ber, build, walk
from gateway.der.walk import DerMalformed, Tlv
from gateway.errors import GatewayError, Reason

TOKEN_OCTETS_MAX: Final = 262_144  # with a chain of four and its CRLs; real ones are 2,000 to 10,000
REQUEST_OCTETS_MAX: Final = 8_192
SERIAL_OCTETS_MAX: Final = 20  # RFC 3161 2.4.2: up to 160 bits
NONCE_OCTETS_MAX: Final = 64  # no bound in the RFC; a nonce is some 8 octets
READABLE: Final = frozenset({"sha256", "sha384", "sha512"})  # digests of stamped octets

T = TypeVar("T")

_VERSION_1: Final = build.integer(1)
_GRANTED: Final = build.sequence(build.integer(0))

_REASONS: Final = {Reason.SIGNATURE_ALTERED: Reason.TIMESTAMP_ALTERED,
                   Reason.SIGNATURE_WEAK_ALGORITHM: Reason.TIMESTAMP_WEAK_ALGORITHM,
                   Reason.SIGNATURE_WEAK_KEY: Reason.TIMESTAMP_WEAK_ALGORITHM,
                   Reason.SIGNATURE_ALGORITHM_UNKNOWN: Reason.SIGNATURE_ALGORITHM_UNKNOWN}


class Failure(IntEnum):
    """PKIFailureInfo (RFC 3161 2.4.2): the number of the bit."""

    BAD_ALG = 0
    BAD_REQUEST = 2
    BAD_DATA_FORMAT = 5
    TIME_NOT_AVAILABLE = 14
    UNACCEPTED_POLICY = 15
    UNACCEPTED_EXTENSION = 16
    ADD_INFO_NOT_AVAILABLE = 17
    SYSTEM_FAILURE = 25


@dataclass(frozen=True, slots=True)
class TimestampRequest:
    """A TimeStampReq. `digest_name`: of `cms.algorithms`, dotted if unknown. `policy`: dotted, None: any.

    `cert_req`: the certificates are to be enclosed in the token. `extensions`: their OIDs.
    """

    imprint: bytes
    digest_name: str
    policy: str | None = None
    nonce: int | None = None
    cert_req: bool = True
    extensions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TimestampToken:
    """A TimeStampToken. `gen_time`: aware, UTC. `accuracy_s`: seconds, 0.0 where not stated.

    `signed` holds exactly one SignerInfo, `signed.content` the TSTInfo. `der`: the token itself.
    """

    der: bytes = field(repr=False)
    imprint: bytes
    digest_name: str
    gen_time: datetime
    accuracy_s: float
    serial: int
    policy: str
    nonce: int | None
    ordering: bool
    signed: SignedData = field(repr=False)


@dataclass(frozen=True, slots=True)
class TimestampResponse:
    """A TimeStampResp. `status`: PKIStatus (0 granted, 1 granted with changes, 2 rejected, …).

    `failures`: numbers of the bits set. `token`: DER, there if and only if granted.
    """

    status: int
    text: tuple[str, ...]
    failures: tuple[int, ...]
    token: bytes | None = field(repr=False)


# --- requests ---


def build_request(imprint: bytes, digest_name: str, *, policy: str | None = None, nonce: int | None = None,
                  cert_req: bool = True) -> bytes:
    """DER TimeStampReq for a digest made with `digest_name` (hashlib's)."""
    return build.sequence(
        build.integer(1), message_imprint(imprint, digest_name), build.oid(policy) if policy else b"",
        build.integer(nonce) if nonce is not None else b"", build.boolean(True) if cert_req else b"")


def message_imprint(imprint: bytes, digest_name: str) -> bytes:
    """DER MessageImprint."""
    return build.sequence(algorithms.identifier(algorithms.DIGEST_OIDS[digest_name], build.null()),
                          build.octet_string(imprint))


def parse_request(octets: bytes) -> TimestampRequest:
    """Reads a DER TimeStampReq. TIMESTAMP_MALFORMED; the strength of its digest is for the service to judge."""
    if len(octets) > REQUEST_OCTETS_MAX:
        raise GatewayError(Reason.TIMESTAMP_MALFORMED, f"a request of {len(octets)} octets")
    return _malformed(_parse_request, octets)


def _parse_request(octets: bytes) -> TimestampRequest:
    rest = fields(octets, walk.single(octets), 2, 6)
    if walk.decode_integer(octets, rest.pop(0)) != 1:
        raise DerMalformed("a request of an unknown version")
    digest_name, imprint = _imprint(octets, rest.pop(0))
    policy = walk.decode_oid(octets, rest.pop(0)) if rest and rest[0].tag == walk.OID else None
    nonce = _bounded(octets, rest.pop(0), NONCE_OCTETS_MAX) if rest and rest[0].tag == walk.INTEGER else None
    cert_req = walk.decode_boolean(octets, rest.pop(0)) if rest and rest[0].tag == walk.BOOLEAN else False
    extensions = _extensions(octets, rest.pop(0)) if rest and rest[0].tag == 0xA0 else ()
    if rest:
        raise DerMalformed("a request with fields that do not belong there")
    return TimestampRequest(imprint, digest_name, policy, nonce, cert_req, tuple(oid for oid, _ in extensions))


# --- tokens ---


def build_tst_info(imprint: bytes, *, policy: bytes, serial: int, gen_time: datetime, accuracy: bytes,
                   nonce: int | None = None) -> bytes:
    """DER TSTInfo. `imprint`: DER MessageImprint, `policy`: DER OID, `accuracy`: DER Accuracy; constant for a service.

    genTime has its fraction of a second (RFC 3161 2.4.2 allows one).
    """
    return build.sequence(
        _VERSION_1, policy, imprint, build.integer(serial), _gen_time(gen_time), accuracy,
        build.integer(nonce) if nonce is not None else b"")


def _gen_time(at: datetime) -> bytes:
    """`build.generalized_time` with its fraction, where all stamps of one second share the digits before it."""
    fraction = b".%06d" % at.microsecond if at.microsecond else b""
    return build.tlv(walk.GENERALIZED_TIME, _digits(at.replace(microsecond=0)), fraction.rstrip(b"0"), b"Z")


@lru_cache(maxsize=8)
def _digits(second: datetime) -> bytes:
    return build.generalized_time(second)[2:-1]


def build_accuracy(milliseconds: int) -> bytes:
    """DER Accuracy; its millis field is of 1 to 999."""
    seconds, millis = divmod(milliseconds, 1000)
    return build.sequence(build.integer(seconds) if seconds else b"",
                          build.retag(0x80, build.integer(millis)) if millis else b"")


def parse_token(octets: bytes) -> TimestampToken:
    """Reads a TimeStampToken (ContentInfo, DER or BER) that fills `octets`. TIMESTAMP_MALFORMED."""
    if len(octets) > TOKEN_OCTETS_MAX:
        raise GatewayError(Reason.TIMESTAMP_MALFORMED, f"a token of {len(octets)} octets")
    return _malformed(_parse_token, octets)


def _parse_token(octets: bytes) -> TimestampToken:
    signed = parse_signed(octets)
    if signed.content_type != algorithms.TST_INFO or signed.content is None:
        raise DerMalformed("a SignedData without a TSTInfo")
    if len(signed.signer_infos) != 1:
        raise DerMalformed(f"a token with {len(signed.signer_infos)} signers")
    if not attributes.first_certificates(signed.signer_infos[0].attributes):
        raise DerMalformed("a token that does not name its signer's certificate (RFC 3161 2.4.2, RFC 5816 2.2)")
    info = signed.content
    rest = fields(info, walk.single(info), 5, 10)
    if walk.decode_integer(info, rest.pop(0)) != 1:
        raise DerMalformed("a TSTInfo of an unknown version")
    policy = walk.decode_oid(info, rest.pop(0))
    digest_name, imprint = _imprint(info, rest.pop(0))
    serial = _bounded(info, rest.pop(0), SERIAL_OCTETS_MAX + 1)
    gen_time = walk.decode_time(info, walk.expect(rest.pop(0), walk.GENERALIZED_TIME))
    accuracy_s = _accuracy(info, rest.pop(0)) if rest and rest[0].tag == walk.SEQUENCE else 0.0
    ordering = walk.decode_boolean(info, rest.pop(0)) if rest and rest[0].tag == walk.BOOLEAN else False
    nonce = _bounded(info, rest.pop(0), NONCE_OCTETS_MAX) if rest and rest[0].tag == walk.INTEGER else None
    if rest and rest[0].tag == 0xA0:  # tsa: a hint, not an identity (RFC 3161 2.4.2)
        only_child(info, rest.pop(0))
    extensions = _extensions(info, rest.pop(0)) if rest and rest[0].tag == 0xA1 else ()
    if rest:
        raise DerMalformed("a TSTInfo with fields that do not belong there")
    if any(critical for _, critical in extensions):
        raise DerMalformed("a TSTInfo with a critical extension")
    return TimestampToken(octets, imprint, digest_name, gen_time, accuracy_s, serial, policy, nonce, ordering, signed)


def verify_token(token: TimestampToken, certificate: Certificate, digest_of: Callable[[str], bytes], *,
                 at: datetime) -> Reason | None:
    """Why this token does not prove that the stamped octets existed, or None: the imprint, then the signature.

    `digest_of`: digest of the stamped octets under a hashlib name. `at`: for the table of algorithms.
    SIGNATURE_ALGORITHM_UNKNOWN is "not decidable"; every other answer is "no". Usage, path and revocation of
    `certificate` are for `pki`.
    """
    fault = algorithms.allowed("digest", token.digest_name, at)
    if fault is Reason.SIGNATURE_WEAK_ALGORITHM:
        return Reason.TIMESTAMP_WEAK_ALGORITHM
    if fault is not None or token.digest_name not in READABLE:
        return Reason.SIGNATURE_ALGORITHM_UNKNOWN
    if digest_of(token.digest_name) != token.imprint:
        return Reason.TIMESTAMP_IMPRINT
    content = token.signed.content or b""
    reason = verify(token.signed.signer_infos[0], certificate, lambda name: _digest(name, content), at=at,
                    content_type=algorithms.TST_INFO, certificate_named=True)
    return None if reason is None else _REASONS.get(reason, Reason.TIMESTAMP_MALFORMED)


# --- responses ---


def build_response(token: bytes) -> bytes:
    """DER TimeStampResp that grants `token`."""
    return build.sequence(_GRANTED, token)


def build_rejection(failure: Failure, text: str = "") -> bytes:
    """DER TimeStampResp that refuses: PKIStatus 2."""
    bits = 1 << (31 - failure)
    octets = bits.to_bytes(4, "big").rstrip(b"\0")
    unused = (octets[-1] & -octets[-1]).bit_length() - 1
    return build.sequence(build.sequence(
        build.integer(2), build.sequence(build.utf8(text)) if text else b"",
        build.tlv(walk.BIT_STRING, bytes((unused,)), octets)))


def parse_response(octets: bytes) -> TimestampResponse:
    """Reads a TimeStampResp (DER or BER) that fills `octets`. TIMESTAMP_MALFORMED; the token in it is not read."""
    if len(octets) > TOKEN_OCTETS_MAX:
        raise GatewayError(Reason.TIMESTAMP_MALFORMED, f"a response of {len(octets)} octets")
    return _malformed(lambda given: ber.tolerant(_parse_response, given), octets)


def _parse_response(octets: bytes) -> TimestampResponse:
    info, *token = fields(octets, walk.single(octets), 1, 2)
    rest = fields(octets, info, 1, 3)
    status = walk.decode_integer(octets, rest.pop(0))
    text: tuple[str, ...] = ()
    failures: tuple[int, ...] = ()
    if rest and rest[0].tag == walk.SEQUENCE:
        text = tuple(walk.content(octets, walk.expect(part, walk.UTF8_STRING)).decode("utf-8", "replace")
                     for part in fields(octets, rest.pop(0), 0, 16))
    if rest and rest[0].tag == walk.BIT_STRING:
        failures = _bits(walk.content(octets, rest.pop(0)))
    if rest or not 0 <= status <= 5 or (status <= 1) != bool(token):
        raise DerMalformed("a response whose status and token do not fit")
    return TimestampResponse(status, text, failures, walk.whole(octets, token[0]) if token else None)


def token_of(octets: bytes) -> bytes:
    """The DER token out of a TimeStampResp or out of itself.

    TIMESTAMP_MALFORMED for neither; TIMESTAMP_REFUSED where the response grants none.
    """
    try:
        response = parse_response(octets)
    except GatewayError:
        parse_token(octets)
        return octets
    if response.token is None:
        raise GatewayError(Reason.TIMESTAMP_REFUSED, f"status {response.status}, failures {response.failures}")
    return response.token


# --- parts ---


def _malformed(parse: Callable[[bytes], T], octets: bytes) -> T:
    try:
        return parse(octets)
    except GatewayError as error:
        raise GatewayError(Reason.TIMESTAMP_MALFORMED, error.detail) from None


def _imprint(octets: bytes, tlv: Tlv) -> tuple[str, bytes]:
    """Digest name and digest of a MessageImprint; of a known digest, the length must fit (RFC 3161 2.4.1)."""
    algorithm, hashed = fields(octets, tlv, 2)
    name = algorithms.digest_name(algorithms.read_identifier(octets, algorithm))
    imprint = walk.content(octets, walk.expect(hashed, walk.OCTET_STRING))
    if len(imprint) != algorithms.DIGEST_OCTETS.get(name, len(imprint)):
        raise DerMalformed(f"an imprint of {len(imprint)} octets does not fit {name}")
    return name, imprint


def _bounded(octets: bytes, tlv: Tlv, octets_max: int) -> int:
    number = walk.decode_integer(octets, tlv)
    if tlv.end - tlv.body > octets_max:
        raise DerMalformed(f"a number of {tlv.end - tlv.body} octets")
    return number


def _accuracy(octets: bytes, tlv: Tlv) -> float:
    """Seconds. Each of the three fields is optional, millis and micros are 1 to 999."""
    total, last = 0.0, -1
    for part in fields(octets, tlv, 0, 3):
        place = {walk.INTEGER: 0, 0x80: 1, 0x81: 2}.get(part.tag, -1)
        if place <= last:
            raise DerMalformed("an accuracy with fields that do not belong there")
        last = place
        number = walk.decode_integer(octets, part._replace(tag=walk.INTEGER))
        if not 0 <= number <= (86_400, 999, 999)[place]:
            raise DerMalformed("an accuracy out of its range")
        total += number / (1, 1e3, 1e6)[place]
    return total


def _extensions(octets: bytes, tlv: Tlv) -> tuple[tuple[str, bool], ...]:
    """(OID, critical) of each Extension in an IMPLICIT Extensions."""
    found: list[tuple[str, bool]] = []
    for extension in walk.children(octets, tlv, 16):
        parts = fields(octets, extension, 2, 3)
        critical = len(parts) == 3 and walk.decode_boolean(octets, parts[1])
        found.append((walk.decode_oid(octets, parts[0]), critical))
    return tuple(found)


def _bits(content: bytes) -> tuple[int, ...]:
    """The numbers of the bits set in a named BIT STRING of at most 64 bits."""
    if not 1 <= len(content) <= 9 or content[0] > 7:
        raise DerMalformed("the failure information is not a bit string")
    return tuple(8 * index + bit for index, octet in enumerate(content[1:]) for bit in range(8) if octet << bit & 0x80)


def _digest(name: str, octets: bytes) -> bytes:
    return hashlib.new(name, octets).digest()
