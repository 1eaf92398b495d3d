"""The answer of an outside directory as rows: bounded, and nothing dropped, because that would look like absence.

Octets that are no certificate become a row too. `pki.select` refuses it by name (certificate.malformed), so that junk
in a directory is Unusable: were it dropped, the address would be Absent, the one answer that may let a mail leave in
clear. RFC 8551 3.8 (bundles), RFC 4523 (certificates in LDAP).
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from gateway.cms.certificate import Certificate, bundled, parse_certificate
from gateway.errors import GatewayError, Reason
from gateway.model.address import fold
from gateway.model.lookup import CertificateRow

CERTIFICATES_MAX: Final = 100  # in one answer
OCTETS_MAX: Final = 1_048_576  # 1 MiB in one answer

_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)  # validity of what cannot be read


class Unanswered(GatewayError):  # noqa: N818 - what it is: a question without an answer
    """CERTIFICATE_UNAVAILABLE for this one question, by a source that works: no reason to leave it alone.

    Else the owner of a domain with broken signatures could delay all mail that needs the same source.
    """

    def __init__(self, source: str, why: str) -> None:
        """`why`: for the log."""
        super().__init__(Reason.CERTIFICATE_UNAVAILABLE, f"{source}: {why}", retry=True)


def unavailable(source: str, why: str) -> GatewayError:
    """The one way in which a directory fails: no answer now, perhaps later."""
    return GatewayError(Reason.CERTIFICATE_UNAVAILABLE, f"{source}: {why}", retry=True)


def rows_of(values: Iterable[bytes], source: str) -> tuple[CertificateRow, ...]:
    """A row for each certificate in `values`, each once: DER certificates, or bundles of them (P7B in DER or BER).

    Issuers that accompany others in a bundle are left out. CERTIFICATE_UNAVAILABLE (retry) for more than
    CERTIFICATES_MAX or OCTETS_MAX: who answers with so much does not answer the question.
    """
    rows: dict[bytes, CertificateRow] = {}
    octets = 0
    for value in values:
        octets += len(value)
        if octets > OCTETS_MAX:
            raise Unanswered(source, f"an answer of more than {OCTETS_MAX} octets")
        for row in _value(value, source):
            rows[row.der] = row
            if len(rows) > CERTIFICATES_MAX:
                raise Unanswered(source, f"an answer of more than {CERTIFICATES_MAX} certificates")
    return tuple(rows.values())


def _value(value: bytes, source: str) -> list[CertificateRow]:
    """A damaged member of a bundle never hides the others."""
    try:
        members = bundled(value)
    except GatewayError:
        members = ()
    rows: list[CertificateRow] = []
    for der in members:
        try:
            certificate = parse_certificate(der)
        except GatewayError:
            rows.append(_junk(der, source))
            continue
        if len(members) == 1 or not certificate.is_ca or certificate.emails:
            rows.append(_row(certificate, source))
    return rows or [_junk(value, source)]


def _row(certificate: Certificate, source: str) -> CertificateRow:
    return CertificateRow(
        certificate.sha256, certificate.der, tuple(map(fold, certificate.emails)), certificate.not_before,
        certificate.not_after, source=source)


def _junk(octets: bytes, source: str) -> CertificateRow:
    return CertificateRow(sha256(octets).hexdigest(), octets, (), _NEVER, _NEVER, source=source)
