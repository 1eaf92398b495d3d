"""May a time-stamp token be believed? (RFC 3161 2.3, 2.4.2, appendix B; RFC 5816; ETSI EN 319 102-1 5.4)

1. the token can be read, and has exactly one signature: the service's
2. it is about these octets: the imprint, by a digest that is not on the never-list
3. its signature, by the strict rules of every CMS signature
4. its time is not in the future
5. its certificate is a time-stamper's, below an anchor for stampers, then and at reception: no revocation list names
   a service whose certificate has expired any more, so that its token alone proves nothing
6. not revoked: then, nor at any time for a reason that leaves its key in doubt (`pki.revocation.verdict`)

A token that fails is reported and ignored: it neither helps nor harms the signature that carries it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from gateway.cms.certificate import Certificate, parse_certificate
from gateway.cms.signed_reader import find_certificate
from gateway.cms.timestamp import TimestampToken, parse_token, verify_token
from gateway.errors import GatewayError, Reason
from gateway.model.verdict import Status, TimestampVerdict
from gateway.pki.content import Content
from gateway.pki.path import validation as path
from gateway.pki.path.verdicts import believe
from gateway.pki.revocation.verdict import Revocation
from gateway.pki.trust import Anchor, TrustSet

SKEW: Final = timedelta(minutes=5)  # how far two well-kept clocks may be apart

_PATH: Final = {Reason.CERTIFICATE_EXPIRED: Reason.TIMESTAMP_EXPIRED,
                Reason.CERTIFICATE_NOT_YET_VALID: Reason.TIMESTAMP_EXPIRED,
                Reason.PATH_EXPIRED: Reason.TIMESTAMP_EXPIRED,
                Reason.CERTIFICATE_WRONG_USAGE: Reason.TIMESTAMP_WRONG_USAGE,
                Reason.CERTIFICATE_WEAK_KEY: Reason.TIMESTAMP_WEAK_ALGORITHM,
                Reason.CERTIFICATE_WEAK_ALGORITHM: Reason.TIMESTAMP_WEAK_ALGORITHM}
_UNDECIDED: Final = frozenset({Reason.PATH_TRUST_ANCHOR_MISSING, Reason.PATH_ISSUER_MISSING,
                               Reason.SIGNATURE_ALGORITHM_UNKNOWN, Reason.CERTIFICATE_ALGORITHM_UNKNOWN,
                               Reason.SIGNATURE_CERTIFICATE_MISSING, Reason.REVOCATION_UNAVAILABLE,
                               Reason.TIMESTAMP_SUBJECT_MISSING})


def judge_token(der: bytes, subject: Content | None, received: datetime, trust: TrustSet, revocation: Revocation,
                extra: Sequence[Certificate] = ()) -> TimestampVerdict:
    """The verdict on one token over `subject` (None: what it is about is not at hand, which is indeterminate).

    `received`: when the judged thing came in. Never raises for what the token holds.
    """
    # 1. readable
    try:
        token = parse_token(der)
    except GatewayError:
        return TimestampVerdict(Status.INVALID, Reason.TIMESTAMP_MALFORMED)
    enclosed = (*readable(token.signed.certificates), *extra)
    signer = _signer(token, enclosed, trust)
    reason, anchor = _judge(token, signer, subject, received, trust, revocation, enclosed)
    status = Status.VALID if reason is None else Status.INDETERMINATE if reason in _UNDECIDED else Status.INVALID
    return TimestampVerdict(status, reason, token.gen_time, token.accuracy_s, signer.subject if signer else None,
                            anchor.stamper if anchor else None)


def readable(ders: Sequence[bytes]) -> tuple[Certificate, ...]:
    """The certificates among enclosed ones that can be read; broken ones do no harm to the others."""
    found = []
    for der in ders[:64]:
        try:
            found.append(parse_certificate(der))
        except GatewayError:
            continue
    return tuple(dict.fromkeys(found))


def _signer(token: TimestampToken, enclosed: Sequence[Certificate], trust: TrustSet) -> Certificate | None:
    candidates = (*enclosed, *(anchor.certificate for anchor in trust.stampers), *trust.intermediates)
    return find_certificate(token.signed.signer_infos[0], candidates)


def _judge(token: TimestampToken, signer: Certificate | None, subject: Content | None, received: datetime,
           trust: TrustSet, revocation: Revocation,
           enclosed: Sequence[Certificate]) -> tuple[Reason | None, Anchor | None]:
    if signer is None:
        return Reason.SIGNATURE_CERTIFICATE_MISSING, None
    # 2. about these octets, 3. the signature
    reason = verify_token(token, signer, subject.digest if subject is not None else lambda _: token.imprint,
                          at=token.gen_time)
    if reason is not None:
        return reason, None
    # 4. the time
    if token.gen_time - timedelta(seconds=token.accuracy_s) > received + SKEW:
        return Reason.TIMESTAMP_FUTURE, None
    # 5. the path, then and at reception
    believed = believe(signer, min(token.gen_time, received), received, "stamper", trust, revocation, enclosed)
    then = believed.path
    if then.reason is not None:
        return _path_reason(then.reason), then.anchor
    now = path.validate(signer, received, "stamper", trust, enclosed)
    if now.reason is not None:
        return _path_reason(now.reason), then.anchor
    # 6. revocation
    revoked = believed.revoked
    if revoked.status is Status.INVALID:
        return Reason.TIMESTAMP_UNTRUSTED, then.anchor
    if revoked.reason is not None:
        return revoked.reason, then.anchor
    return (Reason.TIMESTAMP_SUBJECT_MISSING if subject is None else None), then.anchor


def _path_reason(reason: Reason) -> Reason:
    return _PATH.get(reason, reason if reason in _UNDECIDED else Reason.TIMESTAMP_UNTRUSTED)
