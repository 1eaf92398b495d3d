"""SignedData, written (RFC 5652 5, RFC 8551 2).

Everything that a signer never changes is DER prepared once per profile; a signature then costs the primitive and the
joining of a dozen pieces. Signed attributes are always there, and always the same ones in the same order: contentType,
messageDigest, signingTime, signingCertificateV2 (RFC 5035), CMSAlgorithmProtection (RFC 6211), and for mail
smimeCapabilities and the encryption key preference (RFC 8551 2.5). The digest of the attributes is that of the content
(RFC 8933). RFC 5754 (RSA, ECDSA with SHA-2), RFC 4056 (PSS), RFC 8419 (Ed25519), RFC 3161 appendix A (time-stamp).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Final

from gateway.cms import algorithms, attributes
from gateway.cms.certificate import Certificate
from gateway.der import build, walk
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import SignScheme

_MICALG: Final = {"sha256": "sha-256", "sha384": "sha-384", "sha512": "sha-512"}  # RFC 8551 3.5.3.2
_SIGNED_DATA: Final = build.oid(algorithms.SIGNED_DATA)
_RSA_PSS: Final = build.oid(algorithms.RSA_PSS)
_STAMP_OID: Final = build.oid(attributes.SIGNATURE_TIME_STAMP)
_KEY_FAMILIES: Final = {"rsa": "rsa", "ecdsa": "p-", "ed25519": "ed25519"}


@dataclass(frozen=True, slots=True)
class SignerProfile:
    """One way to sign. `chain`: the issuers to enclose, without the root.

    `encryption_certificate`: the certificate to which answers are to be encrypted; enclosed too. None: not stated.
    `content_type`: dotted; attributes that speak to mail programs are written for id-data alone.
    `enclose` False leaves all certificates out (time-stamp tokens without certReq).
    """

    certificate: Certificate
    chain: tuple[Certificate, ...]
    scheme: SignScheme
    encryption_certificate: Certificate | None = None
    content_type: str = algorithms.DATA
    enclose: bool = True


@dataclass(frozen=True, slots=True)
class PreparedSigner:
    """The constant DER of one profile, made by `prepare`. The octets are pieces for `sign` to join."""

    profile: SignerProfile
    digest_name: str
    head: bytes = field(repr=False)  # version and digestAlgorithms
    content_type: bytes = field(repr=False)  # the eContentType OID
    certificates: bytes = field(repr=False)
    signer: bytes = field(repr=False)  # version, sid, digestAlgorithm
    signature_algorithm: bytes = field(repr=False)
    constant: tuple[bytes, ...] = field(repr=False)  # the signed attributes without time and digest
    before_time: bytes = field(repr=False)  # from the first octet of the SET OF to the UTCTime's 13 octets
    before_digest: bytes = field(repr=False)
    after_digest: bytes = field(repr=False)

    @property
    def micalg(self) -> str:
        """The value of multipart/signed's parameter."""
        return _MICALG[self.digest_name]

    def signed_attributes(self, digest: bytes, at: datetime) -> bytes:
        """The DER SET OF that is signed, for a content with this digest, at this (aware) time."""
        time = _time(at)
        if len(time) == 15:  # UTCTime; its two header octets are in the template
            return b"".join((self.before_time, time[2:], self.before_digest, digest, self.after_digest))
        return build.set_of(*self.constant, *_variable(time, digest))


@lru_cache(maxsize=256)
def prepare(profile: SignerProfile) -> PreparedSigner:
    """The constant parts for `profile`; the same profile gives the same object.

    GatewayError(KEY_WRONG_PURPOSE) if the certificate's key cannot do the scheme.
    """
    _check_key(profile)
    scheme, certificate = profile.scheme, profile.certificate
    digest_algorithm = algorithms.digest_identifier(scheme.digest)
    signature_algorithm = algorithms.signature_identifier(scheme)
    constant = _constant_attributes(profile, digest_algorithm, signature_algorithm)
    # Two values that occur nowhere else mark the holes of the template.
    time, digest = b"\x17\x0d000000000000Z", b"\xa5" * algorithms.DIGEST_OCTETS[scheme.digest]
    template = build.set_of(*constant, *_variable(time, digest))
    time_at, digest_at = template.index(time) + 2, template.index(digest)
    enclosed = {certificate, *profile.chain, profile.encryption_certificate} if profile.enclose else set()
    sorted_certificates = sorted(found.der for found in enclosed if found is not None)
    return PreparedSigner(
        profile=profile,
        digest_name=scheme.digest,
        head=build.integer(1 if profile.content_type == algorithms.DATA else 3) + build.set_of(digest_algorithm),
        content_type=build.oid(profile.content_type),
        certificates=build.context(0, *sorted_certificates) if sorted_certificates else b"",
        signer=build.integer(1) + attributes.issuer_and_serial(certificate) + digest_algorithm,
        signature_algorithm=signature_algorithm,
        constant=constant,
        before_time=template[:time_at],
        before_digest=template[time_at + 13:digest_at],
        after_digest=template[digest_at + len(digest):],
    )


def sign(prepared: PreparedSigner, *, content: bytes | None, digest: bytes, at: datetime,
         raw_sign: Callable[[bytes], bytes], stamp: Callable[[bytes], bytes | None] | None = None) -> bytes:
    """The DER ContentInfo with one SignerInfo.

    `content` None: detached. `digest`: of the content, under `prepared.digest_name`. `raw_sign` gets the DER of the
    signed attributes and returns the signature value. `stamp` gets the signature VALUE and returns the DER
    TimeStampToken over its digest, or None where the mail may go without. What either raises passes through.
    """
    if len(digest) != algorithms.DIGEST_OCTETS[prepared.digest_name]:
        raise GatewayError(Reason.INTERNAL, f"a digest of {len(digest)} octets is not {prepared.digest_name}")
    signed = prepared.signed_attributes(digest, at)
    signature = raw_sign(signed)
    header = build.header
    info = [prepared.signer, b"\xa0", signed[1:], prepared.signature_algorithm,  # [0] IMPLICIT
            header(walk.OCTET_STRING, len(signature)), signature]
    token = None if stamp is None else stamp(signature)
    if token is not None:
        info += _unsigned(token)
    info_length = sum(map(len, info))
    info_header = header(walk.SEQUENCE, info_length)
    signers_header = header(walk.SET, len(info_header) + info_length)
    body = [prepared.head, *_encapsulated(prepared.content_type, content), prepared.certificates,
            signers_header, info_header, *info]
    length = sum(map(len, body))
    data_header = header(walk.SEQUENCE, length)
    length += len(data_header)
    explicit = header(0xA0, length)
    length += len(explicit) + len(_SIGNED_DATA)
    return b"".join((header(walk.SEQUENCE, length), _SIGNED_DATA, explicit, data_header, *body))


def certificates_only(certificates: tuple[Certificate, ...]) -> bytes:
    """A degenerate SignedData that only carries certificates: a .p7b or .p7c file (RFC 8551 3.8)."""
    enclosed = sorted({certificate.der for certificate in certificates})
    return build.sequence(_SIGNED_DATA, build.context(0, build.sequence(
        build.integer(1), build.set_of(), build.sequence(build.oid(algorithms.DATA)),
        build.context(0, *enclosed), build.set_of())))


def bound_to_pss(certificate: Certificate) -> bool:
    """Whether the key's own identifier is id-RSASSA-PSS: it signs by PSS and does nothing else (RFC 4055 1.2)."""
    return _RSA_PSS in certificate.spki[:24]  # two headers of at most six octets, then the OID


def _check_key(profile: SignerProfile) -> None:
    family = profile.scheme.value.partition("-")[0]
    if not profile.certificate.key_algorithm.startswith(_KEY_FAMILIES[family]) \
            or (bound_to_pss(profile.certificate) and not profile.scheme.startswith("rsa-pss")):
        raise GatewayError(Reason.KEY_WRONG_PURPOSE,
                           f"a key of {profile.certificate.key_algorithm} cannot sign by {profile.scheme}")


def _constant_attributes(profile: SignerProfile, digest_algorithm: bytes,
                         signature_algorithm: bytes) -> tuple[bytes, ...]:
    constant = (
        attributes.attribute(attributes.CONTENT_TYPE, build.oid(profile.content_type)),
        attributes.signing_certificate_v2(profile.certificate),
        attributes.algorithm_protection(digest_algorithm, signature_algorithm),
    )
    if profile.content_type != algorithms.DATA:
        return constant
    preference = profile.encryption_certificate
    return (*constant, attributes.smime_capabilities(preference),
            *(attributes.encryption_key_preference(preference) if preference is not None else ()))


def _variable(time: bytes, digest: bytes) -> tuple[bytes, bytes]:
    return (attributes.attribute(attributes.SIGNING_TIME, time),
            attributes.attribute(attributes.MESSAGE_DIGEST, build.octet_string(digest)))


def _unsigned(token: bytes) -> tuple[bytes, ...]:
    """UnsignedAttributes [1] with the one attribute, in pieces."""
    header = build.header
    values = header(walk.SET, len(token))
    length = len(_STAMP_OID) + len(values) + len(token)
    one = header(walk.SEQUENCE, length)
    return header(0xA1, len(one) + length), one, _STAMP_OID, values, token


def _encapsulated(content_type: bytes, content: bytes | None) -> tuple[bytes, ...]:
    """EncapsulatedContentInfo in pieces, so that a large content is copied once."""
    header = build.header
    if content is None:
        return header(walk.SEQUENCE, len(content_type)), content_type
    octets = header(walk.OCTET_STRING, len(content))
    explicit = header(0xA0, len(octets) + len(content))
    length = len(content_type) + len(explicit) + len(octets) + len(content)
    return header(walk.SEQUENCE, length), content_type, explicit, octets, content


@lru_cache(maxsize=8)
def _time_of_second(at: datetime) -> bytes:
    return build.time(at)


def _time(at: datetime) -> bytes:
    """Time in whole seconds; all mails of one second share one text."""
    return _time_of_second(at.replace(microsecond=0))
