"""SignedData, read and verified (RFC 5652 5), stricter than the RFC where attackers live.

`parse_signed` only reads; `verify` is arithmetic and the rules below for one SignerInfo and the certificate that it
names. Whether anybody believes that certificate is for `pki`. The rules, in the order in which they are tried:

 1. Algorithms: the content digest and the signature algorithm are known, of our table, and not weak; the digest of
    the signature is that of the content (RFC 8933, RFC 4056 3), SHA-512 for Ed25519 (RFC 8419 3.1).
 2. Signed attributes are there. Without them a victim's signed attributes could be passed off as signed content.
 3. Each type occurs once (RFC 5652 5.3).
 4. Exactly one contentType, equal to what is asked for; exactly one messageDigest (RFC 5652 11.1, 11.2).
 5. signingCertificateV2 and signingCertificate name this certificate where they are present (RFC 5035 5.4).
 6. CMSAlgorithmProtection repeats both algorithms where it is present (RFC 6211 2).
 7. The certificate's key is of the right kind and not too small; one bound to PSS signs by PSS alone (RFC 4055 1.2).
 8. The content has the digest that messageDigest says.
 9. The signature verifies over the attributes as sent, with the tag of a SET OF, or over their DER encoding
    (RFC 5652 5.4). Both are the same for all but a few programs, such as Outlook for Mac.

RFC 5754, RFC 4056, RFC 8419, RFC 6211, RFC 5035, RFC 5816, RFC 8933. BER is read through `der.ber`.
"""

import hashlib
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_public_key

from gateway.cms import algorithms, attributes, content_info, names
from gateway.cms.algorithms import AlgorithmIdentifier, SignatureAlgorithm
from gateway.cms.attributes import Attribute, CertificateHash, fields, only_child
from gateway.cms.certificate import Certificate, parse_certificate
from gateway.cms.signed import bound_to_pss
from gateway.der import ber, build, walk
from gateway.der.walk import DerMalformed, Tlv
from gateway.errors import GatewayError, Reason

SIGNERS_MAX: Final = 32  # of one SignedData; each costs a public-key operation
CERTIFICATES_MAX: Final = 256  # enclosed in one SignedData
DIGEST_ALGORITHMS_MAX: Final = 64

START_OCTETS_KEPT: Final = 128  # a version, a digest or two, id-data
CERTIFICATES_OCTETS_KEPT: Final = 16_384  # longer paths are read again each time: the cache stays under 16 MiB

_SIGNED_DATA: Final = build.oid(algorithms.SIGNED_DATA)
_NO_CONTENT: Final = build.sequence(build.oid(algorithms.DATA))  # the EncapsulatedContentInfo of a detached signature
_PKCS1: Final = padding.PKCS1v15()
_HASHES: Final = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
_READABLE_DIGESTS: Final = frozenset(_HASHES)
_NAMING_DIGESTS: Final = _READABLE_DIGESTS | {"sha1"}  # SHA-1 as an identifier: RFC 2634's first form


class SignerInfo(NamedTuple):
    """One SignerInfo. The signer is named by `issuer` (DER Name) and `serial`, or by `ski`; the others are None.

    `digest_name`, `signature_algorithm.name`: of `cms.algorithms`, dotted OIDs where unknown; the two identifiers are
    what stood there. `signed_attrs`: the attributes as sent, with the tag of a SET OF, None where there is none.
    `unsigned`: as found, unchecked. `timestamps`: the DER TimeStampTokens.
    """

    issuer: bytes | None
    serial: int | None
    ski: bytes | None
    digest_identifier: AlgorithmIdentifier
    digest_name: str
    signature_identifier: AlgorithmIdentifier
    signature_algorithm: SignatureAlgorithm
    signed_attrs: bytes | None
    attributes: tuple[Attribute, ...]
    signature: bytes
    unsigned: tuple[Attribute, ...]
    timestamps: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"SignerInfo(serial={self.serial}, ski={self.ski!r}, {self.signature_algorithm.name})"

    @property
    def signer(self) -> tuple[bytes | None, int | None, bytes | None]:
        """Issuer, serial, key identifier: equal for SignerInfos that name the same certificate in the same way."""
        return self.issuer, self.serial, self.ski

    @property
    def signing_time(self) -> datetime | None:
        """What the signer says of the time; None where it says nothing, or nothing readable. No proof of anything."""
        try:
            value = attributes.single(self.attributes, attributes.SIGNING_TIME)
            return None if value is None else attributes.time_of(value)
        except GatewayError:
            return None

    @property
    def capabilities(self) -> bytes | None:
        """DER SMIMECapabilities of the signer; None where there are none."""
        try:
            return attributes.single(self.attributes, attributes.SMIME_CAPABILITIES)
        except GatewayError:
            return None

    def names(self, certificate: Certificate) -> bool:
        """Whether this SignerInfo's sid is of `certificate`."""
        if self.ski is not None:
            return certificate.ski == self.ski
        return certificate.serial == self.serial and names.same(certificate.issuer_der, self.issuer)


class SignedData(NamedTuple):
    """One SignedData. `content` None: detached. `certificates`, `crls`: DER as found; other forms are passed over."""

    content_type: str
    content: bytes | None
    certificates: tuple[bytes, ...]
    crls: tuple[bytes, ...]
    signer_infos: tuple[SignerInfo, ...]

    def __repr__(self) -> str:
        return f"SignedData({self.content_type}, {self.signer_infos})"

    def certificate_values(self) -> tuple[Certificate, ...]:
        """The enclosed certificates that can be read; malformed ones are passed over."""
        found: list[Certificate] = []
        for der in self.certificates:
            try:
                found.append(parse_certificate(der))
            except GatewayError:
                continue
        return tuple(found)


def parse_signed(octets: bytes) -> SignedData:
    """Reads a ContentInfo that holds a SignedData (DER or BER) and fills `octets`.

    GatewayError SIGNATURE_MALFORMED for what is none, INPUT_LIMIT_EXCEEDED beyond the limits above.
    """
    try:
        return ber.tolerant(_parse, octets)
    except GatewayError as error:
        if error.reason is Reason.INPUT_LIMIT_EXCEEDED:
            raise
        raise GatewayError(Reason.SIGNATURE_MALFORMED, error.detail) from None


def form_fault(signed: SignedData, *, detached: bool) -> Reason | None:
    """Why the SignedData of a mail is of the wrong form, or None. `detached`: it is in a multipart/signed.

    There, a content of its own would be a second message that some reader shows (RFC 8551 3.5.3); elsewhere a
    missing one leaves nothing to be signed. Both hold id-data (RFC 8551 2.4.2).
    """
    if signed.content_type != algorithms.DATA:
        return Reason.SIGNATURE_MALFORMED
    if signed.signer_infos and (signed.content is None) != detached:
        return Reason.SIGNATURE_MALFORMED
    return None


def is_content_of(signed: SignedData, digest_of: Callable[[str], bytes]) -> bool:
    """Whether a SignerInfo's messageDigest is that of the content whose digests `digest_of` gives; no key is needed."""
    for info in signed.signer_infos:
        try:
            value = attributes.single(info.attributes, attributes.MESSAGE_DIGEST)
        except GatewayError:
            continue
        if info.digest_name in _READABLE_DIGESTS and value == build.octet_string(digest_of(info.digest_name)):
            return True
    return False


def find_certificate(info: SignerInfo, candidates: Iterable[Certificate]) -> Certificate | None:
    """The candidate that the SignerInfo names; among several the one that signingCertificate(V2) means."""
    named = [candidate for candidate in candidates if info.names(candidate)]
    if len(named) > 1:
        for candidate in named:
            if _certificate_fault(info, candidate) is None:
                return candidate
    return named[0] if named else None


def verify(info: SignerInfo, certificate: Certificate, digest_of: Callable[[str], bytes], *, at: datetime,
           content_type: str = algorithms.DATA, certificate_named: bool = False) -> Reason | None:
    """Why this signature must not be believed, or None: the numbered rules of the module.

    `digest_of` gives the digest of the content under a hashlib name. `at`: for the table of algorithms.
    `content_type`: what contentType must say. `certificate_named`: signingCertificate or V2 must be present.
    SIGNATURE_ALGORITHM_UNKNOWN is "not decidable"; every other answer is "no".
    """
    fault = _algorithm_fault(info, at)  # 1
    if fault is not None:
        return fault
    if info.signed_attrs is None:  # 2
        return Reason.SIGNATURE_ATTRIBUTES
    try:
        message_digest = _message_digest(info, content_type)  # 3, 4
        if message_digest is None:
            return Reason.SIGNATURE_ATTRIBUTES
        fault = _certificate_fault(info, certificate, required=certificate_named)  # 5
        if fault is not None:
            return fault
        if not _algorithms_protected(info):  # 6
            return Reason.SIGNATURE_ATTRIBUTES
    except GatewayError:
        return Reason.SIGNATURE_ATTRIBUTES
    fault = algorithms.allowed("signing_key", certificate.key_algorithm, at)  # 7
    if fault is not None:
        return fault
    if bound_to_pss(certificate) and info.signature_algorithm.salt_octets is None:
        return Reason.SIGNATURE_CERTIFICATE_MISMATCH
    key = public_key(certificate.spki)
    if key is None:
        return Reason.SIGNATURE_ALGORITHM_UNKNOWN
    if digest_of(info.digest_name) != message_digest:  # 8
        return Reason.SIGNATURE_ALTERED
    fault = arithmetic_fault(key, info.signature_algorithm, info.signature, info.signed_attrs)  # 9
    if fault is Reason.SIGNATURE_ALTERED:
        encoded = attributes.der(info.attributes)
        if encoded != info.signed_attrs:
            return arithmetic_fault(key, info.signature_algorithm, info.signature, encoded)
    return fault


@lru_cache(maxsize=4096)
def public_key(spki: bytes) -> PublicKeyTypes | None:
    """The key of a DER SubjectPublicKeyInfo, the last few thousand kept; None if such a key is not supported."""
    try:
        return load_der_public_key(spki)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None


# --- the rules ---


def _algorithm_fault(info: SignerInfo, at: datetime) -> Reason | None:
    algorithm = info.signature_algorithm
    if Reason.SIGNATURE_WEAK_ALGORITHM in (algorithms.allowed("digest", info.digest_name, at),
                                           algorithms.allowed("signature", algorithm.name, at)):
        return Reason.SIGNATURE_WEAK_ALGORITHM
    if info.digest_name not in _READABLE_DIGESTS or algorithm.scheme is None:
        return Reason.SIGNATURE_ALGORITHM_UNKNOWN
    if algorithm.digest != info.digest_name:
        return Reason.SIGNATURE_MALFORMED
    return None


def _message_digest(info: SignerInfo, content_type: str) -> bytes | None:
    """The value of messageDigest if the attributes are as they must be, None if not. DerMalformed likewise."""
    values = dict(info.attributes)
    if len(values) != len(info.attributes):
        return None
    digests = values.get(attributes.MESSAGE_DIGEST, ())
    if len(digests) != 1 or values.get(attributes.CONTENT_TYPE) != (build.oid(content_type),):
        return None
    times = values.get(attributes.SIGNING_TIME)
    if times is not None:
        if len(times) != 1:
            return None
        attributes.time_of(times[0])
    return walk.content(digests[0], walk.single(digests[0], walk.OCTET_STRING))


def _certificate_fault(info: SignerInfo, certificate: Certificate, *, required: bool = False) -> Reason | None:
    """Rule 5. A hash by an algorithm that we do not know is passed over only if another one fits."""
    try:
        named = attributes.first_certificates(info.attributes)
    except GatewayError:
        return Reason.SIGNATURE_ATTRIBUTES
    if not named:
        return Reason.SIGNATURE_ATTRIBUTES if required else None
    for which in named:
        if not _is_named(which, certificate):
            return Reason.SIGNATURE_CERTIFICATE_MISMATCH
    return None


def _is_named(which: CertificateHash, certificate: Certificate) -> bool:
    if which.digest_name not in _NAMING_DIGESTS:
        return False
    digest = bytes.fromhex(certificate.sha256) if which.digest_name == "sha256" \
        else hashlib.new(which.digest_name, certificate.der, usedforsecurity=False).digest()
    return which.matches(certificate, digest)


def _algorithms_protected(info: SignerInfo) -> bool:
    value = attributes.single(info.attributes, attributes.ALGORITHM_PROTECTION)
    return value is None or (len(value) <= 2 * attributes.KEPT_OCTETS_MAX
                             and _protects(value, info.digest_identifier, info.signature_identifier))


@lru_cache(maxsize=512)
def _protects(value: bytes, digest: AlgorithmIdentifier, signature: AlgorithmIdentifier) -> bool:
    parts = fields(value, walk.single(value), 2)
    if parts[1].tag != 0xA1:  # [1] signatureAlgorithm; [2] would be a MAC
        return False
    second = build.retag(walk.SEQUENCE, walk.whole(value, parts[1]))
    return (_same(attributes.identifier(value, parts[0]), digest)
            and _same(attributes.identifier(second, walk.single(second)), signature))


def _same(one: AlgorithmIdentifier, other: AlgorithmIdentifier) -> bool:
    """Equal, where NULL and absent parameters are: both occur in one message (RFC 6211 3)."""
    return one == other or (one.oid == other.oid and algorithms.no_parameters(one) and algorithms.no_parameters(other))


def arithmetic_fault(key: PublicKeyTypes, algorithm: SignatureAlgorithm, signature: bytes,
                     octets: bytes) -> Reason | None:
    """Why this is no signature of `key` over `octets`, or None. The algorithm has a scheme: it is of our table."""
    family = str(algorithm.scheme).partition("-")[0]
    digest = _HASHES[algorithm.digest]
    try:
        if family == "rsa" and isinstance(key, rsa.RSAPublicKey):
            scheme: padding.AsymmetricPadding = _PKCS1
            if algorithm.salt_octets is not None:
                scheme = padding.PSS(padding.MGF1(digest), algorithm.salt_octets)
            key.verify(signature, octets, scheme, digest)
        elif family == "ecdsa" and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, octets, ec.ECDSA(digest))
        elif family == "ed25519" and isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, octets)
        else:
            return Reason.SIGNATURE_CERTIFICATE_MISMATCH
    except (InvalidSignature, ValueError):
        return Reason.SIGNATURE_ALTERED
    except UnsupportedAlgorithm:
        return Reason.SIGNATURE_ALGORITHM_UNKNOWN
    return None


# --- reading ---


def _content_info(octets: bytes) -> tuple[bytes, Tlv]:
    """DER of the content type, and the content, both as yet unseen."""
    kind, explicit = fields(octets, walk.single(octets), 2)
    return walk.whole(octets, kind), only_child(octets, walk.expect(explicit, 0xA0))


def _parse(octets: bytes) -> SignedData:
    kind, body = content_info.usual(octets) or _content_info(octets)
    if kind != _SIGNED_DATA:
        raise DerMalformed("this is not SignedData")
    parts = fields(octets, body, 4, 6)
    start = octets[parts[0].start:parts[2].end]
    content_type, content = (_kept_start if len(start) <= START_OCTETS_KEPT and start.endswith(_NO_CONTENT)
                             else _start)(start)
    certificates: tuple[bytes, ...] = ()
    crls: tuple[bytes, ...] = ()
    rest = parts[3:]
    if rest[0].tag == 0xA0:
        enclosed = rest.pop(0)
        certificates = (_kept_sequences if enclosed.end - enclosed.start <= CERTIFICATES_OCTETS_KEPT
                        else _sequences)(octets[enclosed.start:enclosed.end])
    if rest and rest[0].tag == 0xA1:
        lists = rest.pop(0)
        crls = _sequences(octets[lists.start:lists.end])
    if len(rest) != 1:
        raise DerMalformed("a SignedData without its set of signers")
    signers = walk.children(octets, walk.expect(rest[0], walk.SET), SIGNERS_MAX)
    return SignedData(content_type, content, certificates, crls,
                      tuple([_signer_info(octets, signer) for signer in signers]))


def _start(octets: bytes) -> tuple[str, bytes | None]:
    """Content type and content, from version, digests and EncapsulatedContentInfo."""
    version, digests, encapsulated = walk.children(octets, Tlv(walk.SEQUENCE, 0, 0, len(octets)))
    if not 1 <= walk.decode_integer(octets, version) <= 5:
        raise DerMalformed("a SignedData of an unknown version")
    walk.children(octets, walk.expect(digests, walk.SET), DIGEST_ALGORITHMS_MAX)
    parts = fields(octets, encapsulated, 1, 2)
    content_type = walk.decode_oid(octets, parts[0])
    if len(parts) == 1:
        return content_type, None
    value = only_child(octets, walk.expect(parts[1], 0xA0))
    return content_type, walk.content(octets, walk.expect(value, walk.OCTET_STRING))


_kept_start = lru_cache(maxsize=64)(_start)  # of detached signatures alone: no content of a mail is kept


def _sequences(octets: bytes) -> tuple[bytes, ...]:
    """X.509 certificates and CRLs; attribute certificates and other forms bear context tags and are passed over."""
    parts = walk.children(octets, walk.single(octets), CERTIFICATES_MAX)
    return tuple([octets[start:end] for tag, start, _, end in parts if tag == walk.SEQUENCE])


_kept_sequences = lru_cache(maxsize=512)(_sequences)  # a signer encloses the same ones in all mails


def _signer_info(octets: bytes, tlv: Tlv) -> SignerInfo:
    parts = fields(octets, tlv, 5, 7)
    head = octets[parts[0].start:parts[2].end]
    issuer, serial, ski, digest_algorithm, digest_name = (
        _kept_signer_head if len(head) <= attributes.KEPT_OCTETS_MAX else _signer_head)(head)
    rest = parts[3:]
    signed_attrs: bytes | None = None
    found: tuple[Attribute, ...] = ()
    if rest[0].tag == 0xA0:
        signed = rest.pop(0)
        found = attributes.parse(octets, signed)
        signed_attrs = b"\x31" + octets[signed.start + 1:signed.end]  # what is signed is the SET OF (RFC 5652 5.4)
    if len(rest) not in (2, 3):
        raise DerMalformed("a SignerInfo without its signature")
    named = octets[rest[0].start:rest[0].end]
    signature_identifier, signature_algorithm = (
        _kept_signature_algorithm if len(named) <= algorithms.IDENTIFIER_OCTETS_KEPT
        else _signature_algorithm)(named, digest_name)
    signature = walk.content(octets, walk.expect(rest[1], walk.OCTET_STRING))
    unsigned = attributes.parse(octets, walk.expect(rest[2], 0xA1)) if len(rest) == 3 else ()
    return SignerInfo(
        issuer, serial, ski, digest_algorithm, digest_name, signature_identifier, signature_algorithm, signed_attrs,
        found, signature, unsigned,
        attributes.every(unsigned, attributes.SIGNATURE_TIME_STAMP) if unsigned else ())


def _signer_head(octets: bytes) -> tuple[bytes | None, int | None, bytes | None, AlgorithmIdentifier, str]:
    """Issuer, serial, key identifier, digest algorithm and its name, from a SignerInfo's first three fields."""
    version, sid, digest = walk.children(octets, Tlv(walk.SEQUENCE, 0, 0, len(octets)))
    if walk.decode_integer(octets, version) not in (1, 3):
        raise DerMalformed("a SignerInfo of an unknown version")
    digest_algorithm = attributes.identifier(octets, digest)
    digest_name = algorithms.digest_name(digest_algorithm)
    if sid.tag == 0x80:  # [0] IMPLICIT SubjectKeyIdentifier
        return None, None, walk.content(octets, sid), digest_algorithm, digest_name
    issuer, serial = fields(octets, sid, 2)
    return (walk.whole(octets, walk.expect(issuer, walk.SEQUENCE)), walk.decode_integer(octets, serial), None,
            digest_algorithm, digest_name)


def _signature_algorithm(octets: bytes, digest_name: str) -> tuple[AlgorithmIdentifier, SignatureAlgorithm]:
    identifier = attributes.identifier(octets, walk.single(octets))
    return identifier, algorithms.signature_algorithm(identifier, digest_name)


_kept_signature_algorithm = lru_cache(maxsize=512)(_signature_algorithm)
_kept_signer_head = lru_cache(maxsize=1024)(_signer_head)  # most senders write more than once
