"""Certificates that the bank makes itself: roots, intermediates, people, time-stamping units.

The profile is that of the S/MIME Baseline Requirements as far as a private authority can follow it: one purpose per
key, emailProtection as the sole extended usage, addresses in the subjectAltName, key identifiers on both sides,
128-bit serials. Encoding is left to `cryptography`.

RFC 5280 (certificates), RFC 8398 (SmtpUTF8Mailbox), RFC 8410 (Ed25519, X25519), RFC 3161 2.3 (time-stamping unit),
RFC 7292 (PKCS#12). Used by the demo and the tests; may be imported by `app`, `cli`, `demo`.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.der import build
from gateway.errors import GatewayError, Reason

SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
"""What can issue."""

PrivateKey = SigningKey | x25519.X25519PrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | x25519.X25519PublicKey

_CURVES: dict[str, type[ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1]] = {
    "p-256": ec.SECP256R1, "p-384": ec.SECP384R1, "p-521": ec.SECP521R1,
}
_CURVE_HASHES: dict[str, type[hashes.SHA256 | hashes.SHA384 | hashes.SHA512]] = {
    "secp256r1": hashes.SHA256, "secp384r1": hashes.SHA384, "secp521r1": hashes.SHA512,
}
_SMTP_UTF8_MAILBOX = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")  # RFC 8398 3
_USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
           "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")


class Purpose(StrEnum):
    """What one key is for; a key has exactly one."""

    SIGN = "sign"
    DECRYPT = "decrypt"
    STAMP = "stamp"
    ISSUE = "issue"


@dataclass(frozen=True, slots=True)
class Profile:
    """The usages of one certificate. `extended` holds dotted OIDs; empty leaves the extension out.

    `usage` uses the field names of `cryptography.x509.KeyUsage`; empty leaves the extension out.
    """

    usage: frozenset[str]
    extended: tuple[str, ...] = ()
    extended_critical: bool = False
    is_ca: bool = False
    path_length: int | None = None


@dataclass(frozen=True, slots=True)
class Authority:
    """An issuer at work: its certificate (DER), its key, and its own issuers up to, but without, the root."""

    der: bytes
    key: SigningKey
    chain: tuple[bytes, ...] = ()
    certificate: x509.Certificate = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Parses the certificate once."""
        object.__setattr__(self, "certificate", x509.load_der_x509_certificate(self.der))


@dataclass(frozen=True, slots=True)
class Naming:
    """Whom a certificate names. `emails` go to the subjectAltName, non-ASCII local parts as SmtpUTF8Mailbox."""

    common_name: str
    organization: str = ""
    country: str = ""
    emails: tuple[str, ...] = ()


def generate_key(algorithm: str) -> PrivateKey:
    """A new key: 'rsa-2048' (any size from 2048), 'p-256', 'p-384', 'p-521', 'ed25519' or 'x25519'.

    GatewayError(USAGE) for anything else.
    """
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm]())
    if algorithm == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == "x25519":
        return x25519.X25519PrivateKey.generate()
    family, _, bits = algorithm.partition("-")
    if family == "rsa" and bits.isascii() and bits.isdigit() and 2048 <= int(bits) <= 8192:  # NIST SP 800-131A floor
        return rsa.generate_private_key(public_exponent=65537, key_size=int(bits))
    raise GatewayError(Reason.USAGE, f"no such key algorithm: {algorithm}")


def generate_signing_key(algorithm: str) -> SigningKey:
    """Like `generate_key`, for keys that can sign. GatewayError(USAGE) for 'x25519'."""
    key = generate_key(algorithm)
    if isinstance(key, x25519.X25519PrivateKey):
        raise GatewayError(Reason.USAGE, f"{algorithm} cannot sign")
    return key


def profile_for(purpose: Purpose, public_key: PublicKey, *, path_length: int | None = None) -> Profile:
    """The usages of a certificate of this purpose for this kind of key."""
    if purpose is Purpose.ISSUE:
        return Profile(frozenset({"key_cert_sign", "crl_sign"}), is_ca=True, path_length=path_length)
    if purpose is Purpose.STAMP:  # RFC 3161 2.3: the sole extended usage, and critical
        return Profile(frozenset({"digital_signature"}), (ExtendedKeyUsageOID.TIME_STAMPING.dotted_string,),
                       extended_critical=True)
    if purpose is Purpose.SIGN:
        usage = frozenset({"digital_signature"})
    else:  # RFC 8551 4.4.2, RFC 5480 3, RFC 8410 5
        usage = frozenset({"key_encipherment" if isinstance(public_key, rsa.RSAPublicKey) else "key_agreement"})
    return Profile(usage, (ExtendedKeyUsageOID.EMAIL_PROTECTION.dotted_string,))


def create_root(naming: Naming, key: SigningKey, not_before: datetime, not_after: datetime) -> Authority:
    """A self-signed root over `key`. GatewayError(USAGE) for names and times that no certificate can carry."""
    profile = profile_for(Purpose.ISSUE, key.public_key())
    with _usage():
        builder = _builder(naming, key.public_key(), profile, not_before, not_after)
        return Authority(_sign(builder, _name(naming), key), key)


def create_intermediate(issuer: Authority, naming: Naming, key: SigningKey, not_before: datetime, not_after: datetime,
                        *, path_length: int | None = 0,
                        extensions: Sequence[tuple[x509.ExtensionType, bool]] = ()) -> Authority:
    """An authority below `issuer`; its `chain` is what must be enclosed so that others find the way to the root.

    `extensions` are (value, critical) pairs, for name constraints and the like.
    """
    profile = profile_for(Purpose.ISSUE, key.public_key(), path_length=path_length)
    der = issue(issuer, naming, key.public_key(), profile, not_before, not_after, extensions=extensions)
    chain = issuer.chain if issuer.certificate.issuer == issuer.certificate.subject else (issuer.der, *issuer.chain)
    return Authority(der, key, chain)


def issue(issuer: Authority, naming: Naming, public_key: PublicKey, profile: Profile,
          not_before: datetime, not_after: datetime, *, serial: int | None = None,
          policies: Sequence[str] = (), extensions: Sequence[tuple[x509.ExtensionType, bool]] = ()) -> bytes:
    """The DER certificate for `public_key`. `serial` None draws 126 random bits; `policies` are dotted OIDs.

    GatewayError(USAGE) for names, times and extensions that no certificate can carry.
    """
    with _usage():
        builder = _builder(naming, public_key, profile, not_before, not_after, serial)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        if policies:
            builder = builder.add_extension(x509.CertificatePolicies(
                [x509.PolicyInformation(x509.ObjectIdentifier(policy), None) for policy in policies]), critical=False)
        for value, critical in extensions:
            builder = builder.add_extension(value, critical=critical)
        return _sign(builder, issuer.certificate.subject, issuer.key)


def write_p12(name: str, key: PrivateKey, der: bytes, chain: Sequence[bytes], password: bytes) -> bytes:
    """A PKCS#12 file (AES-256, PBKDF2, SHA-256 MAC) with key, certificate and chain, all under `password`."""
    if isinstance(key, x25519.X25519PrivateKey):
        raise GatewayError(Reason.USAGE, "x25519 keys cannot be put into PKCS#12 by this library")
    return pkcs12.serialize_key_and_certificates(
        name.encode(), key, x509.load_der_x509_certificate(der),
        [x509.load_der_x509_certificate(issuer) for issuer in chain] or None, BestAvailableEncryption(password))


@contextmanager
def _usage() -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError) as error:  # what `cryptography` says to an empty name, a too long one, turned times
        raise GatewayError(Reason.USAGE, str(error)) from None


def _builder(naming: Naming, public_key: PublicKey, profile: Profile,
             not_before: datetime, not_after: datetime, serial: int | None = None) -> x509.CertificateBuilder:
    builder = (x509.CertificateBuilder().subject_name(_name(naming)).public_key(public_key)
               .serial_number(serial if serial is not None else _serial())
               .not_valid_before(not_before).not_valid_after(not_after)
               .add_extension(x509.BasicConstraints(profile.is_ca, profile.path_length), critical=True)
               .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False))
    if profile.usage:
        builder = builder.add_extension(
            x509.KeyUsage(**{usage: usage in profile.usage for usage in _USAGES}), critical=True)
    if profile.extended:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([x509.ObjectIdentifier(usage) for usage in profile.extended]),
            critical=profile.extended_critical)
    if naming.emails:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_mailbox(email) for email in naming.emails]), critical=False)
    return builder


def _sign(builder: x509.CertificateBuilder, issuer: x509.Name, key: SigningKey) -> bytes:
    builder = builder.issuer_name(issuer)
    if isinstance(key, ed25519.Ed25519PrivateKey):
        certificate = builder.sign(key, None)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        certificate = builder.sign(key, _CURVE_HASHES[key.curve.name]())
    else:
        certificate = builder.sign(key, hashes.SHA256())
    return certificate.public_bytes(Encoding.DER)


def _serial() -> int:
    """Positive, 16 octets long, the top bit clear (RFC 5280 4.1.2.2)."""
    return secrets.randbits(127) | 1 << 126


def _name(naming: Naming) -> x509.Name:
    parts = ((NameOID.COUNTRY_NAME, naming.country), (NameOID.ORGANIZATION_NAME, naming.organization),
             (NameOID.COMMON_NAME, naming.common_name))
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value])


def _mailbox(email: str) -> x509.GeneralName:
    if email.isascii():
        return x509.RFC822Name(email)
    return x509.OtherName(_SMTP_UTF8_MAILBOX, build.utf8(email))
