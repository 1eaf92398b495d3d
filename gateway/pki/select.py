"""Which certificates a mail to one address is encrypted to, and why the others lose.

The rules of the field, in the order of the code:

1. the certificate names the address: rfc822Name, SmtpUTF8Mailbox, else the subject's e-mailAddress; never the
   common name; ASCII case and the spelling of an internationalised domain do not matter
2. it is valid now, strong, for encryption, and its path leads to a root for recipients; the bank's own trust of
   the row replaces the path, never anything else; revocation as its mode says, and where it is required but not
   known the answer is Unavailable: a good certificate must not be refused, nor a revoked one used, for want of a list
3. those bound to a customer exclude all that were merely found, even where they are unusable themselves:
   a stranger's certificate must not step in the day the customer's own one expires
4. where the policy wants enrolled ones, found ones lose by name
5. several usable ones of one owner: encrypt to all of them. Different owners (not the same customer; for found
   ones not the same issuer and subject): Conflict, for one of them would read the other's mail

An expired, weak, mis-issued or untrusted certificate never hides a good one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from gateway.cms.certificate import Certificate, parse_certificate
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import (
    Absent,
    CertificateAnswer,
    CertificateRow,
    Conflict,
    Found,
    Loser,
    Unavailable,
    Unusable,
    Want,
)
from gateway.model.mailbox import in_ascii
from gateway.model.verdict import Status
from gateway.pki.path.verdicts import believe
from gateway.pki.revocation.verdict import Revocation
from gateway.pki.trust import TrustSet

__all__ = ["Want", "select"]


@dataclass(frozen=True, slots=True)
class _Candidate:
    row: CertificateRow
    certificate: Certificate

    @property
    def owner(self) -> tuple[object, ...]:
        """The key in which owners differ."""
        if self.row.customer is not None:
            return ("customer", self.row.customer)
        return ("name", *self.certificate.issued_to)

    @property
    def owner_text(self) -> str:
        """The owner for people: customer number, or subject and issuer."""
        if self.row.customer is not None:
            return self.row.customer
        return f"{self.certificate.subject} (issued by {self.certificate.issuer})"


def select(rows: Sequence[CertificateRow], address: str, at: datetime, trust: TrustSet, want: Want = "any", *,
           revocation: Revocation | None = None, extra: Sequence[Certificate] = ()) -> CertificateAnswer:
    """The answer for `address` out of everything that one source knows.

    `extra`: certificates that may complete a path, and are no anchors.
    Unavailable only where nothing stands against the best there is but what may be known in a while: revocation that
    is required, an issuer that is being fetched.
    """
    rows = tuple({row.sha256: row for row in reversed(rows)}.values())[::-1]
    if not rows:
        return Absent()
    losers: list[Loser] = []
    good: list[_Candidate] = []
    waiting: list[Loser] = []
    bound = any(row.customer is not None for row in rows)
    for row in rows:
        judged = _judge(row, address, at, trust, revocation or Revocation(), extra)
        if isinstance(judged, _Fault) and not judged.may_pass:
            losers.append(Loser(row, judged.reason))
        elif bound and row.customer is None:
            losers.append(Loser(row, Reason.CERTIFICATE_DISPLACED))
        elif want == "enrolled" and row.customer is None:
            losers.append(Loser(row, Reason.CERTIFICATE_NOT_ENROLLED))
        elif isinstance(judged, _Fault):
            waiting.append(Loser(row, judged.reason))
        else:
            good.append(_Candidate(row, judged))
    losers += waiting
    if not good:
        why = f"not known yet of {len(waiting)} certificate{'s' if len(waiting) > 1 else ''}: " + ", ".join(
            dict.fromkeys(str(loser.reason) for loser in waiting))
        return Unavailable(why, tuple(losers)) if waiting else Unusable(tuple(losers))
    owners = {candidate.owner: candidate.owner_text for candidate in good}
    if len(owners) > 1:
        return Conflict(tuple(owners.values()), tuple(losers))
    return Found(tuple(candidate.row for candidate in good), enrolled=bound, losers=tuple(losers))


class _Fault(NamedTuple):
    """Why a certificate loses. `may_pass`: the same question may have a better answer in a while."""

    reason: Reason
    may_pass: bool = False


def _judge(row: CertificateRow, address: str, at: datetime, trust: TrustSet,
           revocation: Revocation, extra: Sequence[Certificate]) -> Certificate | _Fault:
    try:
        certificate = parse_certificate(row.der)
    except GatewayError as error:
        return _Fault(error.reason)
    # 1. the address
    if in_ascii(address) not in {in_ascii(email) for email in certificate.emails}:
        return _Fault(Reason.CERTIFICATE_ADDRESS_MISMATCH)
    # 2. the certificate and its path
    if row.trust == "distrusted":
        return _Fault(Reason.CERTIFICATE_DISTRUSTED)
    believed = believe(certificate, at, at, "recipient", trust, revocation, extra, vouched=row.trust == "trusted")
    if believed.path.reason is not None:
        lacking = believed.path.end if believed.path.reason is Reason.PATH_ISSUER_MISSING else None
        return _Fault(believed.path.reason,
                      lacking is not None and trust.known is not None and trust.known.awaits_issuer(lacking))
    if believed.revoked.status is not Status.VALID:
        reason = believed.revoked.reason or Reason.CERTIFICATE_REVOKED
        return _Fault(reason, reason is Reason.REVOCATION_UNAVAILABLE)
    return certificate
