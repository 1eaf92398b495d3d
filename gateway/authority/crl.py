"""Revocation lists that the bank's own authorities sign (RFC 5280 5): full, delta and indirect ones.

Encoding is left to `cryptography`. Used by the demo and the tests; may be imported by `app`, `cli`, `demo`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.authority.ca import Authority
from gateway.errors import GatewayError, Reason


@dataclass(frozen=True, slots=True)
class RevokedEntry:
    """One entry. `reason`: a name of RFC 5280 5.3.1 ('keyCompromise', 'removeFromCRL', …), None: none is given.

    `invalidity`: since when the key must be taken for lost. `issuer`: of the certificate, in indirect lists.
    """

    serial: int
    at: datetime
    reason: str | None = None
    invalidity: datetime | None = None
    issuer: x509.Name | None = None


@dataclass(frozen=True, slots=True)
class IssuingPoint:
    """The scope of the list (RFC 5280 5.2.5). `urls`: of its distribution point; `reasons` empty: all."""

    urls: tuple[str, ...] = ()
    users_only: bool = False
    authorities_only: bool = False
    attributes_only: bool = False
    indirect: bool = False
    reasons: frozenset[x509.ReasonFlags] = frozenset()


def build_crl(issuer: Authority, entries: Sequence[RevokedEntry], number: int | None, this_update: datetime,
              next_update: datetime, *, base: int | None = None, point: IssuingPoint | None = None,
              extensions: Sequence[tuple[x509.ExtensionType, bool]] = ()) -> bytes:
    """The DER of a list. `base`: the number of the list that this delta builds on. `extensions`: (value, critical).

    GatewayError(USAGE) for what no list can say.
    """
    try:
        builder = (x509.CertificateRevocationListBuilder().issuer_name(issuer.certificate.subject)
                   .last_update(this_update).next_update(next_update)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
                                  critical=False))
        if number is not None:
            builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        if base is not None:
            builder = builder.add_extension(x509.DeltaCRLIndicator(base), critical=True)
        if point is not None:
            builder = builder.add_extension(_issuing_point(point), critical=True)
        for value, critical in extensions:
            builder = builder.add_extension(value, critical=critical)
        for entry in entries:
            builder = builder.add_revoked_certificate(_entry(entry))
        digest = None if isinstance(issuer.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        signed = builder.sign(issuer.key, digest)
    except (ValueError, TypeError) as error:
        raise GatewayError(Reason.USAGE, str(error)) from None
    return signed.public_bytes(Encoding.DER)


def _issuing_point(point: IssuingPoint) -> x509.IssuingDistributionPoint:
    return x509.IssuingDistributionPoint(
        full_name=[x509.UniformResourceIdentifier(url) for url in point.urls] or None, relative_name=None,
        only_contains_user_certs=point.users_only, only_contains_ca_certs=point.authorities_only,
        only_some_reasons=point.reasons or None, indirect_crl=point.indirect,
        only_contains_attribute_certs=point.attributes_only)


def _entry(entry: RevokedEntry) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(entry.serial).revocation_date(entry.at)
    if entry.reason is not None:
        builder = builder.add_extension(x509.CRLReason(x509.ReasonFlags(entry.reason)), critical=False)
    if entry.invalidity is not None:
        builder = builder.add_extension(x509.InvalidityDate(entry.invalidity.replace(tzinfo=None)), critical=False)
    if entry.issuer is not None:
        builder = builder.add_extension(x509.CertificateIssuer([x509.DirectoryName(entry.issuer)]), critical=True)
    return builder.build()
