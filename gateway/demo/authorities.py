"""The demo's authorities: a root, a mail authority below it, what they issue and what they take back.

Their keys are in DIR/pki, so that a bank made yesterday can have a certificate revoked today.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import AuthorityInformationAccessOID

from gateway.authority import ca
from gateway.authority.ca import Authority, Naming, Profile, Purpose, SigningKey
from gateway.authority.crl import RevokedEntry, build_crl
from gateway.cms.certificate import parse_certificate
from gateway.demo.world import Lists
from gateway.errors import GatewayError, Reason
from gateway.setup.files import key_pem, pem, write

MAIL_EKU: Final = "1.3.6.1.5.5.7.3.4"
_YEAR: Final = timedelta(days=365)
_LIST_LIFE: Final = timedelta(days=7)


@dataclass(slots=True)
class Authorities:
    """`lists_port`: where their lists are published on 127.0.0.1. `revoked`: serial numbers, with their date."""

    root: Authority
    mail: Authority
    lists_port: int
    revoked: list[RevokedEntry] = field(default_factory=list)
    published: int = 0

    @classmethod
    def make(cls, pki: Path, lists_port: int, now: datetime) -> "Authorities":
        """New ones, written to `pki`."""
        begin = now - timedelta(days=1)
        root_key = ca.generate_signing_key("p-256")
        root = ca.create_root(Naming("Sealgate Demo Root", "Demo Bank", "DE"), root_key, begin, now + 10 * _YEAR)
        mail_key = ca.generate_signing_key("p-256")
        mail = ca.create_intermediate(
            root,
            Naming("Sealgate Demo Mail CA", "Demo Bank", "DE"),
            mail_key,
            begin,
            now + 5 * _YEAR,
            extensions=_places(lists_port, "root", issuer=False),
        )
        write(pki / "root.pem", pem(root.der))
        write(pki / "chain.pem", pem(mail.der))
        write(pki / "root.key.pem", key_pem(root_key), mode=0o600)
        write(pki / "chain.key.pem", key_pem(mail_key), mode=0o600)
        return cls(root, mail, lists_port)

    @classmethod
    def load(cls, pki: Path, lists_port: int) -> "Authorities":
        """Those of an earlier day. GatewayError(USAGE) if there are none."""
        try:
            root, mail = (
                Authority(
                    x509.load_pem_x509_certificate((pki / f"{name}.pem").read_bytes()).public_bytes(Encoding.DER),
                    _signing(load_pem_private_key((pki / f"{name}.key.pem").read_bytes(), None)),
                )
                for name in ("root", "chain")
            )
        except (OSError, ValueError):
            raise GatewayError(
                Reason.USAGE,
                f"{pki} was made by another version of the demo; remove the directory, or name another one with --home",
            ) from None
        return cls(root, Authority(mail.der, mail.key, (mail.der,)), lists_port)

    def service(self, name: str, address: str, purpose: Purpose, key: SigningKey, now: datetime) -> bytes:
        """A certificate (DER) of the bank itself."""
        naming = Naming(f"Demo Bank {name}", "Demo Bank", "DE", (address,) if address else ())
        return ca.issue(
            self.mail,
            naming,
            key.public_key(),
            ca.profile_for(purpose, key.public_key()),
            now - timedelta(hours=1),
            now + 2 * _YEAR,
            extensions=_places(self.lists_port, "mail"),
        )

    def person(self, name: str, address: str, key: SigningKey, now: datetime) -> bytes:
        """A certificate (DER) of a person who signs and decrypts with one key, as customers do."""
        profile = Profile(frozenset({"digital_signature", "key_encipherment"}), (MAIL_EKU,))
        return ca.issue(
            self.mail,
            Naming(name, "", "DE", (address,)),
            key.public_key(),
            profile,
            now - timedelta(hours=1),
            now + 2 * _YEAR,
            extensions=_places(self.lists_port, "mail"),
        )

    def revoke(self, der: bytes, at: datetime) -> None:
        """Adds it to the next list that is published."""
        self.revoked.append(RevokedEntry(parse_certificate(der).serial, at))

    def publish(self, lists: Lists, now: datetime) -> tuple[bytes, bytes]:
        """Both authorities' lists (DER), root's first, signed now."""
        self.published += 1
        number = int(now.timestamp()) * 10 + self.published  # grows from day to day, too
        made = tuple(
            build_crl(authority, entries, number=number, this_update=now, next_update=now + _LIST_LIFE)
            for authority, entries in ((self.root, ()), (self.mail, tuple(self.revoked)))
        )
        for name, der in zip(("root", "mail"), made, strict=True):
            lists.put(f"/{name}.crl", "application/pkix-crl", der)
        lists.put("/mail.cer", "application/pkix-cert", self.mail.der)
        return made[0], made[1]


def _places(port: int, name: str, *, issuer: bool = True) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    """Where the list of the issuer `name`, and the issuer's own certificate, are to be had."""
    at = f"http://127.0.0.1:{port}/{name}"
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(f"{at}.crl")], None, None, None)
    found: list[tuple[x509.ExtensionType, bool]] = [(x509.CRLDistributionPoints([point]), False)]
    if issuer:
        found.append(
            (
                x509.AuthorityInformationAccess(
                    [
                        x509.AccessDescription(
                            AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(f"{at}.cer")
                        )
                    ]
                ),
                False,
            )
        )
    return tuple(found)


def _signing(key: object) -> ec.EllipticCurvePrivateKey:
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError  # noqa: TRY004 - reported as a fault of the file that it came from
    return key
