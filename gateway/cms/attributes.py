"""Attributes of a SignerInfo: their names, how we write them, how we read them.

RFC 5652 11 (contentType, messageDigest, signingTime), RFC 5035 and RFC 5816 (signingCertificate and V2), RFC 6211
(CMSAlgorithmProtection), RFC 8551 2.5 (smimeCapabilities, encryption key preference), RFC 3161 appendix A
(signature-time-stamp). Countersignatures are neither written nor read.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from gateway.cms import algorithms, names
from gateway.cms.algorithms import AlgorithmIdentifier, ContentCipher
from gateway.cms.certificate import Certificate
from gateway.der import build, walk
from gateway.der.walk import DerMalformed, Tlv
from gateway.errors import GatewayError

CONTENT_TYPE: Final = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST: Final = "1.2.840.113549.1.9.4"
SIGNING_TIME: Final = "1.2.840.113549.1.9.5"
SMIME_CAPABILITIES: Final = "1.2.840.113549.1.9.15"
ALGORITHM_PROTECTION: Final = "1.2.840.113549.1.9.52"
ENCRYPTION_KEY_PREFERENCE: Final = "1.2.840.113549.1.9.16.2.11"
SIGNING_CERTIFICATE: Final = "1.2.840.113549.1.9.16.2.12"
SIGNATURE_TIME_STAMP: Final = "1.2.840.113549.1.9.16.2.14"
SIGNING_CERTIFICATE_V2: Final = "1.2.840.113549.1.9.16.2.47"
MS_ENCRYPTION_KEY_PREFERENCE: Final = "1.3.6.1.4.1.311.16.4"  # the same preference, in the form that Outlook reads

ATTRIBUTES_MAX: Final = 64  # of one SignerInfo; the richest CAdES profile has under 20
CERTIFICATE_HASHES_MAX: Final = 64  # of one signingCertificate; a path has under 10
KEPT_OCTETS_MAX: Final = 512  # longer attributes are read again each time: the cache stays under 2 MiB
VALUES_MAX: Final = 16  # of one attribute; only time-stamps come in numbers


def fields(octets: bytes, tlv: Tlv, least: int, most: int | None = None) -> list[Tlv]:
    """The elements of a SEQUENCE that has `least` to `most` (default: exactly `least`) of them. DerMalformed."""
    most = least if most is None else most
    try:
        parts = walk.children(octets, walk.expect(tlv, walk.SEQUENCE), most)
    except GatewayError as error:  # the limit is no limit of resources here
        raise DerMalformed(error.detail) from None
    if len(parts) < least:
        raise DerMalformed(f"{len(parts)} elements where at least {least} are expected")
    return parts


def only_child(octets: bytes, parent: Tlv) -> Tlv:
    """The one element inside `parent`, which is EXPLICIT. DerMalformed."""
    child = walk.read(octets, parent.body, parent.end)
    if child.end != parent.end:
        raise DerMalformed("more than one element where one is expected")
    return child


def identifier(octets: bytes, tlv: Tlv) -> AlgorithmIdentifier:
    """An AlgorithmIdentifier of bounded length. DerMalformed."""
    if tlv.end - tlv.start > KEPT_OCTETS_MAX:
        raise DerMalformed("an algorithm with absurdly long parameters")
    return algorithms.read_identifier(octets, tlv)


def attribute(oid: str, *values: bytes) -> bytes:
    """One Attribute with these DER values (RFC 5652 5.3)."""
    return build.sequence(build.oid(oid), build.set_of(*values))


def issuer_and_serial(certificate: Certificate) -> bytes:
    """IssuerAndSerialNumber (RFC 5652 10.2.4)."""
    return build.sequence(certificate.issuer_der, build.integer(certificate.serial))


def signing_certificate_v2(certificate: Certificate) -> bytes:
    """The attribute that ties the signature to one certificate: SHA-256 (the default) and issuerSerial (RFC 5035 4)."""
    general_names = build.sequence(build.context(4, certificate.issuer_der))  # directoryName: EXPLICIT, a CHOICE
    ess_cert_id = build.sequence(build.octet_string(bytes.fromhex(certificate.sha256)),
                                 build.sequence(general_names, build.integer(certificate.serial)))
    return attribute(SIGNING_CERTIFICATE_V2, build.sequence(build.sequence(ess_cert_id)))


def algorithm_protection(digest_algorithm: bytes, signature_algorithm: bytes) -> bytes:
    """Both AlgorithmIdentifiers once more, under the signature (RFC 6211 2)."""
    return attribute(ALGORITHM_PROTECTION, build.sequence(digest_algorithm, build.retag(0xA1, signature_algorithm)))


def encryption_key_preference(certificate: Certificate) -> tuple[bytes, bytes]:
    """Which enclosed certificate answers are to be encrypted to: RFC 8551 2.5.3, and Microsoft's form of it."""
    which = issuer_and_serial(certificate)
    return (attribute(ENCRYPTION_KEY_PREFERENCE, build.retag(0xA0, which)),
            attribute(MS_ENCRYPTION_KEY_PREFERENCE, which))


# What the gateway reads, the most wished for first (RFC 8551 2.5.2). Parameters as the RFC of each algorithm wants
# them in a capability: none for AES-CBC (RFC 3565 4.1) and AES-GCM (RFC 5084 3.2).
_SIMPLE: Final = (
    ContentCipher.AES256_GCM.oid,  # authenticated: before CBC
    ContentCipher.AES128_GCM.oid,
    ContentCipher.AES256_CBC.oid,
    ContentCipher.AES128_CBC.oid,
    "1.2.840.10045.4.3.2",    # ecdsa-with-SHA256
    algorithms.ED25519,
    "1.2.840.113549.1.1.11",  # sha256WithRSAEncryption
)
_SHA256: Final = algorithms.identifier(algorithms.DIGEST_OIDS["sha256"], build.null())
_RSAES_OAEP_SHA256: Final = algorithms.identifier(  # RFC 3560 4: the id with the parameters that we read
    algorithms.RSA_OAEP,
    build.sequence(build.context(0, _SHA256), build.context(1, algorithms.identifier(algorithms.MGF1, _SHA256))))
_WRAPS: Final = tuple(algorithms.identifier(oid) for oid in (
    "2.16.840.1.101.3.4.1.45",  # id-aes256-wrap
    "2.16.840.1.101.3.4.1.5",   # id-aes128-wrap
))
_AGREEMENTS: Final = {  # RFC 5753 7.3, RFC 8418 3: the scheme with the key wrap as its parameter
    "p-256": "1.3.132.1.11.1",               # dhSinglePass-stdDH-sha256kdf
    "p-384": "1.3.132.1.11.2",               # dhSinglePass-stdDH-sha384kdf
    "p-521": "1.3.132.1.11.3",               # dhSinglePass-stdDH-sha512kdf
    "x25519": "1.2.840.113549.1.9.16.3.19",  # dhSinglePass-stdDH-hkdf-sha256
}


def smime_capabilities(encryption_certificate: Certificate | None) -> bytes:
    """What may be written to us: ciphers and signatures always, key management as the encryption key can do it."""
    keys: tuple[bytes, ...] = ()
    if encryption_certificate is not None:
        algorithm = encryption_certificate.key_algorithm
        if algorithm.startswith("rsa"):
            keys = (_RSAES_OAEP_SHA256, algorithms.identifier(algorithms.RSA))
        elif algorithm in _AGREEMENTS:
            keys = tuple(algorithms.identifier(_AGREEMENTS[algorithm], wrap) for wrap in _WRAPS)
    return attribute(SMIME_CAPABILITIES, build.sequence(*map(algorithms.identifier, _SIMPLE), *keys))


class Attribute(NamedTuple):
    """One attribute as read: its values are whole DER elements."""

    oid: str
    values: tuple[bytes, ...]


class CertificateHash(NamedTuple):
    """One ESSCertID or ESSCertIDv2: the digest's name (an OID if unknown) and what it named.

    `serial` None: there is no issuerSerial. `issuer`: DER Name, None where it is no single directoryName.
    """

    digest_name: str
    digest: bytes
    issuer: bytes | None = None
    serial: int | None = None

    def matches(self, certificate: Certificate, digest: bytes) -> bool:
        """Whether this names `certificate`, whose digest under `digest_name` is `digest`."""
        if digest != self.digest:
            return False
        return self.serial is None or (self.serial == certificate.serial and (
            self.issuer is None or names.same(self.issuer, certificate.issuer_der)))


def parse(octets: bytes, parent: Tlv) -> tuple[Attribute, ...]:
    """The Attributes inside a SET OF (any tag), as sent: in any order. DerMalformed, INPUT_LIMIT_EXCEEDED."""
    elements = [octets[start:end] for _, start, _, end in walk.children(octets, parent, ATTRIBUTES_MAX)]
    found = [_kept(element) if len(element) <= KEPT_OCTETS_MAX else _attribute(element) for element in elements]
    return tuple(found)


def der(found: Iterable[Attribute]) -> bytes:
    """The DER encoding of the SET OF these attributes: types and values in the order of X.690 11.6."""
    return build.set_of(*(attribute(one.oid, *one.values) for one in found))


def _attribute(octets: bytes) -> Attribute:
    kind, values = fields(octets, walk.single(octets), 2)
    return Attribute(walk.decode_oid(octets, kind), tuple([
        octets[start:end] for _, start, _, end in walk.children(octets, walk.expect(values, walk.SET), VALUES_MAX)]))


_kept = lru_cache(maxsize=2048)(_attribute)  # most attributes of a signer never change from mail to mail


def single(attributes: Iterable[Attribute], oid: str) -> bytes | None:
    """The one value of the one attribute of this type; None where there is none.

    DerMalformed if there are several of either (RFC 5652 11 forbids it for every attribute read here).
    """
    value: bytes | None = None
    for found in attributes:
        if found.oid == oid:
            if value is not None or len(found.values) != 1:
                raise DerMalformed(f"attribute {oid} does not have exactly one value")
            value = found.values[0]
    return value


def every(attributes: Iterable[Attribute], oid: str) -> tuple[bytes, ...]:
    """All values of all attributes of this type."""
    return tuple(value for found in attributes if found.oid == oid for value in found.values)


def first_certificates(found: Iterable[Attribute]) -> tuple[CertificateHash, ...]:
    """The signer's certificate as signingCertificateV2 and signingCertificate name it: up to two hashes, mostly one.

    Only the first ESSCertID of each is the signer's; the others restrict the path (RFC 5035 5.4). DerMalformed.
    """
    found = tuple(found)
    newer, older = single(found, SIGNING_CERTIFICATE_V2), single(found, SIGNING_CERTIFICATE)
    return (*(() if newer is None else (_first(newer, newer=True),)),
            *(() if older is None else (_first(older, newer=False),)))


def _first(value: bytes, *, newer: bool) -> CertificateHash:
    read = _kept_first_certificate if len(value) <= KEPT_OCTETS_MAX else _first_certificate
    return read(value, newer=newer)


def _first_certificate(value: bytes, *, newer: bool) -> CertificateHash:
    certificates = fields(value, fields(value, walk.single(value), 1, 2)[0], 1, CERTIFICATE_HASHES_MAX)
    return _certificate_hash(value, certificates[0], newer=newer)


_kept_first_certificate = lru_cache(maxsize=1024)(_first_certificate)


def _certificate_hash(octets: bytes, tlv: Tlv, *, newer: bool) -> CertificateHash:
    """ESSCertIDv2 if `newer`, else ESSCertID, which is SHA-1."""
    parts = fields(octets, tlv, 1, 3)
    name = "sha256" if newer else "sha1"
    if newer and parts and parts[0].tag == walk.SEQUENCE:
        name = algorithms.digest_name(identifier(octets, parts.pop(0)))
    if not 1 <= len(parts) <= 2:
        raise DerMalformed("an ESSCertID without its hash")
    digest = walk.content(octets, walk.expect(parts[0], walk.OCTET_STRING))
    if len(parts) == 1:
        return CertificateHash(name, digest)
    general_names, serial = fields(octets, parts[1], 2)
    names = walk.children(octets, walk.expect(general_names, walk.SEQUENCE), CERTIFICATE_HASHES_MAX)
    issuer = walk.content(octets, names[0]) if len(names) == 1 and names[0].tag == 0xA4 else None  # directoryName
    return CertificateHash(name, digest, issuer, walk.decode_integer(octets, serial))


def time_of(value: bytes) -> datetime:
    """The value of signingTime. DerMalformed."""
    return walk.decode_time(value, walk.single(value))
