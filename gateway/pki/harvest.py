"""Learns from a verified mail how to write to its sender: a certificate to encrypt to, and the program's capabilities.

The rules, in the order of the code:

1. Only a verified signer counts whose address is the From: a signature around the whole of the mail, inside any
   encryption. For a certificate it must be unrevoked on fresh data, as for every act.
2. The age. A mail states what held when it was signed: the signer's own time, but never after the time-stamp or the
   reception. A mail without such a time, or older than a week, counts for nothing: a mail captured long ago must not
   restore what its sender has given up since.
3. The certificate is the one that the signed attributes name (RFC 8551 2.5.3), else the signer's own. No signature
   covers the other enclosed certificates, so they are not searched.
4. It is judged as any recipient's certificate is: address, validity, strength, usage, path, revocation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.cms import preference
from gateway.cms.certificate import Certificate
from gateway.errors import GatewayError, Reason
from gateway.model.address import fold
from gateway.model.lookup import CertificateRow, Found, Unusable
from gateway.model.mailbox import same_mailbox
from gateway.pki.identity import SignedContent, VerifiedSigner
from gateway.pki.path.verdicts import believe
from gateway.pki.revocation.verdict import Revocation
from gateway.pki.select import select
from gateway.pki.trust import TrustSet

AGE_MAX: Final = timedelta(days=7)  # mail servers try for five days (RFC 5321 4.5.4.1)
CAPABILITIES_OCTETS_MAX: Final = 4_096  # the longest seen have 300


@dataclass(frozen=True, slots=True)
class Announcement:
    """What one mail states. `signer`: the signer who states it.

    `encrypt_to` None: it names none that was enclosed. `capabilities` None: it says nothing of its program.
    `fresh`: the signer was unrevoked at reception, on fresh data.
    """

    address: str
    at: datetime
    signer: Certificate
    capabilities: bytes | None
    encrypt_to: Certificate | None
    enclosed: tuple[Certificate, ...]
    fresh: bool

    def speaks_of(self, row: CertificateRow, rows: Sequence[CertificateRow]) -> bool:
        """Whether the signer may state what the holder of `row` reads. `rows`: all that the store has for the address.

        The signer may do so for their own certificate, and for the one named in the mail if both are bound to one
        customer or, merely found, have one issuer and subject: a third person must not change how the bank writes to a
        customer.
        """
        if row.sha256 == self.signer.sha256:
            return True
        if self.encrypt_to is None or row.sha256 != self.encrypt_to.sha256:
            return False
        if row.customer is not None:
            return any(one.sha256 == self.signer.sha256 and one.customer == row.customer for one in rows)
        return self.encrypt_to.issued_to == self.signer.issued_to


def announcement_of(signed: SignedContent, from_: str) -> Announcement | None:
    """Steps 1 to 3; None if no signer who counts announces anything. `from_`: the From of the mail."""
    for signer in signed.signers:
        if signer.matches_from and any(same_mailbox(from_, email) for email in signer.emails):
            at = _announced_at(signer, signed.judged_at)
            return None if at is None else _announcement(signer, from_, at)
    return None


def _announced_at(signer: VerifiedSigner, received: datetime) -> datetime | None:
    """2."""
    claimed = signer.info.signing_time
    if claimed is None and not signer.stamped:
        return None
    at = signer.signed_at if claimed is None else min(claimed, signer.signed_at, received)
    return at if received - at <= AGE_MAX else None


def _announcement(signer: VerifiedSigner, from_: str, at: datetime) -> Announcement:
    """3."""
    capabilities = signer.info.capabilities
    if capabilities is not None and len(capabilities) > CAPABILITIES_OCTETS_MAX:
        capabilities = None
    certificate: Certificate | None = signer.certificate
    if preference.is_named(signer.info.attributes):
        try:
            certificate = preference.preferred(signer.info.attributes, (*signer.enclosed, signer.certificate))
        except GatewayError:
            certificate = None
    return Announcement(from_, at, signer.certificate, capabilities, certificate, signer.enclosed, signer.fresh)


def usable(announcement: Announcement, now: datetime, trust: TrustSet, revocation: Revocation
           ) -> tuple[Certificate, ...] | Reason:
    """4: the certificate and the issuers that lead to its root, without that; or why it is not one to write to.

    `revocation`: as it is judged for recipients.
    """
    certificate = announcement.encrypt_to
    if certificate is None:
        return Reason.CERTIFICATE_ABSENT
    row = CertificateRow(certificate.sha256, certificate.der, tuple(map(fold, certificate.emails)),
                         certificate.not_before, certificate.not_after)
    answer = select((row,), announcement.address, now, trust, revocation=revocation, extra=announcement.enclosed)
    if not isinstance(answer, Found):
        return answer.losers[0].reason if isinstance(answer, Unusable) else Reason.REVOCATION_UNAVAILABLE
    way = believe(certificate, now, now, "recipient", trust, revocation, announcement.enclosed).path
    return tuple(one for one in way.path if way.anchor is None or one != way.anchor.certificate)
