"""A small PKI for tests, made anew in every process: nothing is fetched, no key lies in the repository.

    pki = get_pki()
    anna = pki.signer("rsa-2048")            # Person: certificate, key, chain; one per algorithm and process
    bert = pki.recipient("x25519", email="bert@customer.example")
    late = pki.signer("p-256", not_after=LONG_AGO)

Also `KeyRing`, the simplest `ports.keys.Keys`, over these very objects.
"""

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    pkcs12,
)

from gateway.authority import ca
from gateway.authority.ca import Authority, Naming, PrivateKey, Profile, Purpose
from gateway.cms.certificate import Certificate, parse_certificate
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import SignScheme, UnwrapScheme
from gateway.ports.keys import KeyInfo, KeyPurpose

START = datetime(2025, 1, 1, tzinfo=UTC)
END = datetime(2045, 1, 1, tzinfo=UTC)
LONG_AGO = datetime(2025, 6, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)

ALGORITHMS_SIGN = ("rsa-2048", "rsa-3072", "p-256", "p-384", "p-521", "ed25519")
ALGORITHMS_ENCRYPT = ("rsa-2048", "rsa-3072", "p-256", "p-384", "p-521", "x25519")
PASSWORD = b"demo"

_HASHES = {"sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512}


@cache
def key(algorithm: str, which: int = 0) -> PrivateKey:
    """One key per algorithm, number and process; making RSA keys is what tests would wait for."""
    return ca.generate_key(algorithm)


def pem(der: bytes, label: str = "CERTIFICATE") -> bytes:
    """DER octets as PEM text."""
    text = base64.b64encode(der)
    lines = [text[start:start + 64] for start in range(0, len(text), 64)]
    return b"-----BEGIN %s-----\n%s\n-----END %s-----\n" % (label.encode(), b"\n".join(lines), label.encode())


@dataclass(frozen=True, eq=False)
class Person:
    """A certificate with its private key (`key`: a cryptography object) and issuers (DER, without the root)."""

    name: str
    der: bytes = field(repr=False)
    key: PrivateKey = field(repr=False)
    chain_der: tuple[bytes, ...] = field(repr=False)

    @cached_property
    def certificate(self) -> Certificate:
        """As the gateway reads it."""
        return parse_certificate(self.der)

    @cached_property
    def chain(self) -> tuple[Certificate, ...]:
        """The intermediates as the gateway reads them."""
        return tuple(parse_certificate(der) for der in self.chain_der)

    @property
    def email(self) -> str:
        """The first address in the certificate."""
        return self.certificate.emails[0]

    @property
    def pem(self) -> bytes:
        """The certificate alone."""
        return pem(self.der)

    @property
    def chain_pem(self) -> bytes:
        """Certificate and intermediates."""
        return self.pem + b"".join(pem(der) for der in self.chain_der)

    @property
    def key_pem(self) -> bytes:
        """Unencrypted PKCS#8."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def p12(self, password: bytes = PASSWORD, *, old: bool = False) -> bytes:
        """PKCS#12 with AES-256 and a SHA-256 MAC; `old`: PBE-SHA1-3DES with a SHA-1 MAC, as Windows still writes."""
        if not old:
            return ca.write_p12(self.name, self.key, self.der, self.chain_der, password)
        encryption = (PrivateFormat.PKCS12.encryption_builder().kdf_rounds(2048)
                      .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC).hmac_hash(hashes.SHA1())
                      .build(password))
        assert not isinstance(self.key, x25519.X25519PrivateKey)
        return pkcs12.serialize_key_and_certificates(
            self.name.encode(), self.key, x509.load_der_x509_certificate(self.der),
            [x509.load_der_x509_certificate(der) for der in self.chain_der] or None, encryption)

    def write(self, directory: Path) -> tuple[Path, Path, Path]:
        """Writes NAME.crt.pem, NAME.key.pem and NAME.chain.pem (the intermediates) for command-line peers."""
        stem = self.name.replace(" ", "_").replace("@", "_at_")
        paths = tuple(directory / f"{stem}.{kind}.pem" for kind in ("crt", "key", "chain"))
        for path, octets in zip(paths, (self.pem, self.key_pem, b"".join(map(pem, self.chain_der))), strict=True):
            path.write_bytes(octets)
        return paths[0], paths[1], paths[2]

    def sign(self, scheme: SignScheme, octets: bytes) -> bytes:
        """The raw signature."""
        return raw_sign(self.key, scheme, octets)


class Pki:
    """Root (P-256) -> intermediate (P-256) -> people; a time-stamping root of its own -> tsa."""

    def __init__(self, label: str = "Test Bank") -> None:
        """`label` goes into the issuers' names, so that two PKIs can be told apart."""
        self.root = ca.create_root(Naming(f"{label} Root", label, "DE"), ca.generate_signing_key("p-256"), START, END)
        self.intermediate = ca.create_intermediate(
            self.root, Naming(f"{label} Mail CA", label, "DE"), ca.generate_signing_key("p-256"), START, END)
        self.tsa_root = ca.create_root(
            Naming(f"{label} Time Root", label, "DE"), ca.generate_signing_key("p-256"), START, END)
        self._people: dict[tuple[Any, ...], Person] = {}

    @property
    def root_certificate(self) -> Certificate:
        """The anchor for signers and recipients."""
        return parse_certificate(self.root.der)

    @property
    def tsa_root_certificate(self) -> Certificate:
        """The anchor for time-stamps."""
        return parse_certificate(self.tsa_root.der)

    @property
    def root_pem(self) -> bytes:
        """The anchor for signers and recipients."""
        return pem(self.root.der)

    @property
    def tsa_root_pem(self) -> bytes:
        """The anchor for time-stamps."""
        return pem(self.tsa_root.der)

    def signer(self, algorithm: str = "rsa-2048", *, email: str | None = None, **options: Any) -> Person:
        """Somebody who signs. Options as in `person`."""
        return self.person(Purpose.SIGN, algorithm, email=email or f"sign-{algorithm}@bank.example", **options)

    def recipient(self, algorithm: str = "rsa-2048", *, email: str | None = None, **options: Any) -> Person:
        """Somebody who decrypts. Options as in `person`."""
        return self.person(Purpose.DECRYPT, algorithm, email=email or f"enc-{algorithm}@customer.example", **options)

    def stamper(self, algorithm: str = "p-256", **options: Any) -> Person:
        """A time-stamping unit under `tsa_root`."""
        return self.person(Purpose.STAMP, algorithm, email="", issuer=self.tsa_root, name="Test Time Stamping Unit",
                           **options)

    def person(self, purpose: Purpose, algorithm: str, *, email: str = "", emails: tuple[str, ...] = (),
               name: str = "", issuer: Authority | None = None, not_before: datetime = START,
               not_after: datetime = END, which: int = 0, profile: Profile | None = None, serial: int | None = None,
               policies: tuple[str, ...] = (),
               extensions: tuple[tuple[x509.ExtensionType, bool], ...] = ()) -> Person:
        """One certificate; the same arguments give the same person. `which` selects another key and certificate."""
        issuer = issuer or self.intermediate
        addresses = emails or ((email,) if email else ())
        cache_key = (purpose, algorithm, addresses, name, issuer.der, not_before, not_after, which, profile, serial,
                     policies, extensions)
        if cache_key not in self._people:
            private = key(f"{algorithm}", which if purpose is Purpose.SIGN else which + 1000)
            der = ca.issue(issuer, Naming(name or (addresses[0] if addresses else "nobody"), emails=addresses),
                           private.public_key(), profile or ca.profile_for(purpose, private.public_key()),
                           not_before, not_after, serial=serial, policies=policies, extensions=extensions)
            is_root = issuer.certificate.issuer == issuer.certificate.subject
            chain = issuer.chain if is_root else (issuer.der, *issuer.chain)
            self._people[cache_key] = Person(name or "-".join(addresses) or "nobody", der, private, chain)
        return self._people[cache_key]


@cache
def get_pki(label: str = "Test Bank") -> Pki:
    """The process's PKI of this label."""
    return Pki(label)


def raw_sign(private: PrivateKey, scheme: SignScheme, octets: bytes) -> bytes:
    """A signature over `octets` by a cryptography key object."""
    digest = _HASHES[scheme.digest]()
    if isinstance(private, rsa.RSAPrivateKey):
        if scheme.value.startswith("rsa-pss"):
            return private.sign(octets, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        assert scheme.value.startswith("rsa-pkcs1")
        return private.sign(octets, padding.PKCS1v15(), digest)
    if isinstance(private, ec.EllipticCurvePrivateKey):
        assert scheme.value.startswith("ecdsa")
        return private.sign(octets, ec.ECDSA(digest))
    assert isinstance(private, ed25519.Ed25519PrivateKey)
    assert scheme is SignScheme.ED25519
    return private.sign(octets)


def raw_decrypt(private: PrivateKey, scheme: UnwrapScheme, wrapped: bytes) -> bytes:
    """An RSA-wrapped key unwrapped. GatewayError(DECRYPTION_FAILED) for every fault of the input alike."""
    assert isinstance(private, rsa.RSAPrivateKey)
    scheme_padding: padding.AsymmetricPadding
    if scheme is UnwrapScheme.RSA_PKCS1:
        scheme_padding = padding.PKCS1v15()
    else:
        scheme_padding = padding.OAEP(padding.MGF1(_HASHES[scheme.mask_digest]()), _HASHES[scheme.digest](), None)
    try:
        return private.decrypt(wrapped, scheme_padding)
    except (ValueError, UnsupportedAlgorithm):
        raise GatewayError(Reason.DECRYPTION_FAILED) from None


def raw_agree(private: PrivateKey, peer_public: bytes) -> bytes:
    """The raw shared secret with a peer's DER SubjectPublicKeyInfo."""
    try:
        peer = load_der_public_key(peer_public)
        if isinstance(private, x25519.X25519PrivateKey) and isinstance(peer, x25519.X25519PublicKey):
            return private.exchange(peer)
        if isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(peer, ec.EllipticCurvePublicKey):
            return private.exchange(ec.ECDH(), peer)
    except (ValueError, UnsupportedAlgorithm):
        pass
    raise GatewayError(Reason.DECRYPTION_FAILED)


class KeyRing:
    """`ports.keys.Keys` over people: key ids are the names under which they were added."""

    def __init__(self, **people: tuple[Person, KeyPurpose]) -> None:
        """KeyRing(bank=(person, "sign"), box=(other, "decrypt"))."""
        self.people = people
        self.calls: list[tuple[str, str]] = []

    def _key(self, key_id: str, *purposes: KeyPurpose) -> PrivateKey:
        if key_id not in self.people:
            raise GatewayError(Reason.KEY_UNAVAILABLE, key_id, retry=True)
        person, purpose = self.people[key_id]
        if purpose not in purposes:
            raise GatewayError(Reason.KEY_WRONG_PURPOSE, key_id)
        return person.key

    def sign(self, key_id: str, scheme: SignScheme, to_be_signed: bytes) -> bytes:
        """See ports.keys.Keys."""
        self.calls.append(("sign", key_id))
        return raw_sign(self._key(key_id, "sign", "stamp", "issue"), scheme, to_be_signed)

    def decrypt(self, key_id: str, scheme: UnwrapScheme, wrapped: bytes) -> bytes:
        """See ports.keys.Keys."""
        self.calls.append(("decrypt", key_id))
        return raw_decrypt(self._key(key_id, "decrypt"), scheme, wrapped)

    def agree(self, key_id: str, peer_public: bytes) -> bytes:
        """See ports.keys.Keys."""
        self.calls.append(("agree", key_id))
        return raw_agree(self._key(key_id, "decrypt"), peer_public)

    def public(self, key_id: str) -> KeyInfo:
        """See ports.keys.Keys."""
        person, purpose = self.people.get(key_id) or (None, None)
        if person is None or purpose is None:
            raise GatewayError(Reason.KEY_UNAVAILABLE, key_id, retry=True)
        return KeyInfo(key_id, frozenset({purpose}), person.certificate.key_algorithm,
                       person.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    def health(self) -> tuple[str, ...]:
        """See ports.keys.Keys."""
        return ()


class CertificateKey:
    """The cms reader's `RecipientKey` over one person: unwraps and agrees in memory."""

    def __init__(self, person: Person) -> None:
        """Its certificate is the person's."""
        self.certificate = person.certificate
        self._key = person.key

    def unwrap(self, scheme: UnwrapScheme, wrapped: bytes) -> bytes:
        """See cms.enveloped_reader.RecipientKey."""
        return raw_decrypt(self._key, scheme, wrapped)

    def agree(self, peer_public: bytes) -> bytes:
        """See cms.enveloped_reader.RecipientKey."""
        return raw_agree(self._key, peer_public)


def encrypted_key_pem(person: Person, password: bytes = PASSWORD) -> bytes:
    """PKCS#8 under a password, as PEM."""
    return person.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
