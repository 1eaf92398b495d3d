"""Who signed these octets, and may they be believed? One layer of signatures, signer by signer.

For every SignerInfo, in the order of the code:

1. the signer's certificate: enclosed, or known to the bank
2. time first: t is genTime + accuracy of the earliest time-stamp that is believed (`pki.timestamps`), else reception
3. the signature itself, by the strict rules of `cms.signed_reader`, algorithms by the one table at t
4. the path to a root for signers at t
5. revocation at t, from the bank's own data

Then by signer: all SignerInfos of one certificate together are one signer, valid if one of them is valid and
none is false; what cannot be decided beside a valid one is ignored, alone it stays undecided. That all signers
must be valid, and which layer counts, is for `smime.verdict` to say.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from gateway.cms.certificate import Certificate
from gateway.cms.signed_reader import SignedData, SignerInfo, find_certificate, verify
from gateway.errors import Reason
from gateway.model.mailbox import same_mailbox
from gateway.model.verdict import SignerVerdict, Status, TimestampVerdict
from gateway.pki.content import Content
from gateway.pki.level import level_of
from gateway.pki.path.verdicts import believe
from gateway.pki.revocation.verdict import Revocation
from gateway.pki.timestamps import judge_token, readable
from gateway.pki.trust import TrustSet
from gateway.ports.certificates import Bindings

TOKENS_MAX: Final = 4  # time-stamps at one SignerInfo

_FOR_SIGNATURES: Final = {
    Reason.CERTIFICATE_EXPIRED: Reason.SIGNATURE_EXPIRED,
    Reason.CERTIFICATE_NOT_YET_VALID: Reason.SIGNATURE_NOT_YET_VALID,
    Reason.CERTIFICATE_REVOKED: Reason.SIGNATURE_REVOKED,
    Reason.CERTIFICATE_ON_HOLD: Reason.SIGNATURE_ON_HOLD,
    Reason.CERTIFICATE_WEAK_KEY: Reason.SIGNATURE_WEAK_KEY,
    Reason.CERTIFICATE_WEAK_ALGORITHM: Reason.SIGNATURE_WEAK_ALGORITHM,
    Reason.CERTIFICATE_WRONG_USAGE: Reason.SIGNATURE_WRONG_USAGE,
    Reason.CERTIFICATE_ALGORITHM_UNKNOWN: Reason.SIGNATURE_ALGORITHM_UNKNOWN,
}
_UNDECIDED: Final = frozenset({Reason.SIGNATURE_ALGORITHM_UNKNOWN, Reason.SIGNATURE_CERTIFICATE_MISSING})


@dataclass(frozen=True, slots=True)
class JudgedSigner:
    """One signer of one layer. `fresh`: nothing on the path is revoked at reception, on fresh data.

    `info`, `enclosed`: of a valid one, its SignerInfo and the certificates beside it.
    """

    verdict: SignerVerdict
    certificate: Certificate | None
    content: Content
    fresh: bool = False
    info: SignerInfo | None = None
    enclosed: tuple[Certificate, ...] = ()

    def speaks_for(self, address: str | None) -> bool:
        """Whether `address` is one of the certificate's; ASCII case does not matter, nothing else is folded."""
        return (address is not None and self.certificate is not None
                and any(same_mailbox(email, address) for email in self.certificate.emails))


@dataclass(frozen=True, slots=True)
class Judge:
    """The bank's trust and how it looks for revocation: one for the gateway and for `inspect` alike.

    `revocation` is for signers, `stampers` for time-stamping services (None: as for signers). `known`: signers'
    certificates that the bank has, for signatures that enclose none. `registered`: which certificates the bank has
    bound to its customers; GatewayError(STORE_UNAVAILABLE, retry) comes through where the store does not answer.
    """

    trust: TrustSet
    revocation: Revocation = field(default_factory=Revocation)
    known: tuple[Certificate, ...] = ()
    stampers: Revocation | None = None
    registered: Bindings | None = None

    @property
    def _of_stampers(self) -> Revocation:
        return self.revocation if self.stampers is None else self.stampers

    def signed(self, data: SignedData, content: Content, layer: int, received: datetime) -> tuple[JudgedSigner, ...]:
        """Every signer of this layer over exactly `content`; () where it has no SignerInfo at all.

        Never raises for what the data hold; `parse_signed` has bounded their number.
        """
        enclosed = readable(data.certificates)
        grouped: dict[object, list[JudgedSigner]] = {}
        for info in data.signer_infos:
            judged = self._one(info, enclosed, content, layer, received)
            # 1'. without a certificate the SignerInfo's identifier names the signer
            key = judged.certificate or info.signer
            grouped.setdefault(key, []).append(judged)
        return tuple(_combined(group) for group in grouped.values())

    def timestamp(self, token: bytes, subject: Content | None, received: datetime) -> TimestampVerdict:
        """A token alone (`subject`: the octets that it claims to cover)."""
        return judge_token(token, subject, received, self.trust, self._of_stampers)

    def _one(self, info: SignerInfo, enclosed: tuple[Certificate, ...], content: Content, layer: int,
             received: datetime) -> JudgedSigner:
        # 1. the certificate
        certificate = find_certificate(info, (*enclosed, *self.known, *self.trust.intermediates))
        # 2. time first
        stamp = self._stamp(info, received, enclosed)
        at = received
        if stamp.status is Status.VALID and stamp.time is not None:
            at = stamp.time + timedelta(seconds=stamp.accuracy_s or 0.0)
        verdict = SignerVerdict(
            layer, Status.VALID, None, signing_time=info.signing_time, judged_at=at, timestamp=stamp,
            algorithm=info.signature_algorithm.name)
        if certificate is None:
            return JudgedSigner(_failed(verdict, Reason.SIGNATURE_CERTIFICATE_MISSING), None, content)
        verdict = replace(verdict, subject=certificate.subject, emails=certificate.emails, issuer=certificate.issuer,
                          serial=f"{certificate.serial:x}", certificate=certificate.der)
        # 3. the signature
        reason = verify(info, certificate, content.digest, at=at)
        if reason is not None:
            return JudgedSigner(_failed(verdict, reason), certificate, content)
        # 4. the path at t
        believed = believe(certificate, at, received, "signer", self.trust, self.revocation, enclosed)
        found = believed.path
        if found.reason is not None:
            reason = _FOR_SIGNATURES.get(found.reason, found.reason)
            verdict = replace(verdict, path_end=found.end.der if found.end is not None else None)
            return JudgedSigner(replace(verdict, status=found.status, reason=reason), certificate, content)
        # 5. revocation at t
        revoked = believed.revoked
        if revoked.reason is not None:
            reason = _FOR_SIGNATURES.get(revoked.reason, revoked.reason)
            return JudgedSigner(replace(verdict, status=revoked.status, reason=reason), certificate, content)
        notes = (revoked.note,) if revoked.note is not None else ()
        row = self.registered.binding(certificate.sha256) if self.registered is not None else None
        level = level_of(certificate, found, self.trust, row)
        return JudgedSigner(replace(verdict, level=level, notes=notes), certificate, content, believed.fresh, info,
                            enclosed)

    def _stamp(self, info: SignerInfo, received: datetime, enclosed: Sequence[Certificate]) -> TimestampVerdict:
        """The token that counts: the earliest that is believed, else the first one, for the report."""
        subject = Content(info.signature)
        verdicts = [judge_token(token, subject, received, self.trust, self._of_stampers, enclosed)
                    for token in info.timestamps[:TOKENS_MAX]]
        believed = [v for v in verdicts if v.status is Status.VALID and v.time is not None]
        if believed:
            return min(believed, key=_claimed)
        return verdicts[0] if verdicts else TimestampVerdict()


def _claimed(stamp: TimestampVerdict) -> datetime:
    assert stamp.time is not None  # noqa: S101 - the caller has sorted the others out
    return stamp.time + timedelta(seconds=stamp.accuracy_s or 0.0)


def _failed(verdict: SignerVerdict, reason: Reason) -> SignerVerdict:
    return replace(verdict, status=Status.INDETERMINATE if reason in _UNDECIDED else Status.INVALID, reason=reason)


def _combined(group: list[JudgedSigner]) -> JudgedSigner:
    """One signer out of all SignerInfos of one certificate: a false one decides, then a valid one."""
    for status in (Status.INVALID, Status.VALID):
        for judged in group:
            if judged.verdict.status is status:
                return judged
    return group[0]
