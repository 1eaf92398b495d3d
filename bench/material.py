"""What all contenders work on: keys, certificates and mails, made new for every run, in one directory.

RSA-2048 signer and recipient, certificates issued by a P-256 intermediate, SHA-256. Mails of 5 KiB (a code), 100 KiB
and 1 MiB (a statement with a base64 PDF), canonical: CRLF, lines of 76 octets.
"""

import base64
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.authority import ca
from gateway.authority.ca import Authority, Naming, PrivateKey, Purpose
from gateway.cms.certificate import Certificate, parse_certificate

SIZES = {"5K": 5 << 10, "100K": 100 << 10, "1M": 1 << 20}
SENDER, RECIPIENT = "bank@bank.example", "customer@customer.example"


@dataclass(frozen=True)
class Holder:
    """A certificate and its private key."""

    certificate: Certificate
    key: PrivateKey

    @property
    def rsa(self) -> RSAPrivateKey:
        """The key, known to be RSA."""
        assert isinstance(self.key, RSAPrivateKey)
        return self.key

    @property
    def key_pem(self) -> bytes:
        """Unencrypted PKCS#8."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True)
class Material:
    """`entities`: the MIME entity of each size."""

    home: Path
    root: Certificate
    chain: Certificate
    signer: Holder
    recipient: Holder
    stamper: Holder
    entities: dict[str, bytes]


def make(home: Path) -> Material:
    """Makes everything and leaves in `home` what the C and Java loops read."""
    start = datetime.now(UTC) - timedelta(days=1)
    end = start + timedelta(days=365)
    root = ca.create_root(Naming("Bench Root", "Bench", "DE"), ca.generate_signing_key("p-256"), start, end)
    issuer = ca.create_intermediate(root, Naming("Bench Mail CA", "Bench", "DE"), ca.generate_signing_key("p-256"),
                                    start, end)

    def holder(under: Authority, purpose: Purpose, algorithm: str, name: str, email: str = "") -> Holder:
        key = ca.generate_key(algorithm)
        der = ca.issue(under, Naming(name, emails=(email,) if email else ()), key.public_key(),
                       ca.profile_for(purpose, key.public_key()), start, end)
        return Holder(parse_certificate(der), key)

    material = Material(
        home, parse_certificate(root.der), parse_certificate(issuer.der),
        holder(issuer, Purpose.SIGN, "rsa-2048", "Bench Bank", SENDER),
        holder(issuer, Purpose.DECRYPT, "rsa-2048", "Bench Customer", RECIPIENT),
        holder(root, Purpose.STAMP, "p-256", "Bench Time Stamping Unit"),
        {name: entity(octets) for name, octets in SIZES.items()})
    for name, certificate in (("signer", material.signer.certificate), ("recipient", material.recipient.certificate),
                              ("chain", material.chain), ("root", material.root)):
        (home / f"{name}.pem").write_bytes(certificate.x509.public_bytes(Encoding.PEM))
    for name, owner in (("signer", material.signer), ("recipient", material.recipient)):
        (home / f"{name}.key").write_bytes(owner.key_pem)
    for name, octets in material.entities.items():
        (home / f"entity-{name}").write_bytes(octets)
    return material


def entity(octets: int) -> bytes:
    """A MIME entity of about this size: a text, and beyond 8 KiB a base64 attachment."""
    text = b"Dear customer,\r\n\r\nthis is what you asked for. Please tell nobody.\r\n"
    if octets <= 8 << 10:
        lines = text + b"0123456789 abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ .,-\r\n" * (octets // 71)
        return b"Content-Type: text/plain; charset=us-ascii\r\n\r\n" + lines[:octets - 2] + b"\r\n"
    attachment = base64.encodebytes(os.urandom(octets * 57 // 78)).replace(b"\n", b"\r\n")
    return (b'Content-Type: multipart/mixed; boundary="bench-boundary"\r\n\r\n'
            b"--bench-boundary\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n" + text +
            b'\r\n--bench-boundary\r\nContent-Type: application/pdf; name="statement.pdf"\r\n'
            b"Content-Transfer-Encoding: base64\r\n\r\n" + attachment + b"\r\n--bench-boundary--\r\n")
