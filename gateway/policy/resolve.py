"""Settles a decision that encrypts by the look-up of the certificate, and compares the protection of two decisions.

`without_certificate` applies to Absent only: Unusable and Conflict always reject, and Unavailable always defers.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from gateway.errors import Reason
from gateway.model.decision import Decision, End, Needs, Step
from gateway.model.facts import NotAsked, RecipientFacts
from gateway.model.fallbacks import CERTAIN, FALLBACKS
from gateway.model.lookup import (
    Absent,
    CertificateAnswer,
    CertificateRow,
    Found,
    Loser,
    Unavailable,
    Unusable,
    reason_of,
)


class NoParams(BaseModel):
    """Of a step that has none."""

    model_config = ConfigDict(frozen=True)


_ANY_ROW: Final = CertificateRow("", b"", (), datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC))
DEVICE_BOUND: Final = replace(_ANY_ROW, device_bound=True)  # represents any such row
# Without an encryption these have nothing to add to.
_WITH_ENCRYPT = frozenset({"encrypt", "escrow"})
_NO_PARAMS: Final = NoParams()


def with_certificate(decision: Decision, to: RecipientFacts) -> Decision | Needs:
    """The final decision once the recipient's certificate is known; unchanged if it does not encrypt."""
    params = _params(decision.steps, "encrypt")
    if params is None:
        return decision
    answer = _answer(params, to)
    if isinstance(answer, NotAsked):
        return Needs("certificate", params.certificates)
    if isinstance(answer, Absent):
        return _fall_back(decision, params.without_certificate)
    if not isinstance(answer, Found):
        return _end(decision, "defer" if isinstance(answer, Unavailable) else "reject", reason_of(answer))
    if params.certificates == "enrolled" and not answer.enrolled:
        return _end(decision, "reject", Reason.CERTIFICATE_NOT_ENROLLED)
    return decision


def used(decision: Decision, to: RecipientFacts) -> CertificateAnswer | NotAsked:
    """The look-up that a decision to encrypt depends on; NotAsked where it does not encrypt."""
    params = _params(decision.steps, "encrypt")
    if params is None:
        return NotAsked()
    return _answer(params, to)


def _answer(params: Any, to: RecipientFacts) -> CertificateAnswer | NotAsked:
    """What `encrypt` with these parameters may use. Keys of any device are rejected by name where it says so."""
    answer = to.enrolled if params.certificates == "enrolled" else to.certificate
    if not params.device_bound or not isinstance(answer, Found):
        return answer
    rows = tuple(row for row in answer.rows if row.device_bound)
    others = answer.rows if rows else answer.rows or (_ANY_ROW,)
    losers = answer.losers + tuple(
        Loser(row, Reason.CERTIFICATE_NOT_DEVICE_BOUND) for row in others if not row.device_bound)
    return replace(answer, rows=rows, losers=losers) if rows else Unusable(losers)


def enrolled_of(answer: CertificateAnswer) -> CertificateAnswer:
    """What the store alone says where `answer` comes from it: certificates that are merely found lose by name."""
    if isinstance(answer, Found) and not answer.enrolled:
        return Unusable(tuple(Loser(row, Reason.CERTIFICATE_NOT_ENROLLED) for row in answer.rows or (_ANY_ROW,)))
    return answer


def _fall_back(decision: Decision, name: str) -> Decision:
    """Absent: every source answered, and none has a certificate. What is not in the table of fallbacks rejects.

    A rule that holds all its mail needs no fallback: an operator looks into what it holds.
    """
    fallback = FALLBACKS.get(name)
    if fallback is None:
        return _end(decision, "reject", Reason.CERTIFICATE_ABSENT)
    if fallback.held:
        return replace(decision, end=End("hold", text=decision.end.text), reason=Reason.CERTIFICATE_ABSENT,
                       fallback=fallback.name if decision.end.kind == "deliver" else None)
    steps = tuple(step for step in decision.steps if step.verb not in _WITH_ENCRYPT)
    dropped = tuple(step.verb for step in decision.steps if step.verb in _WITH_ENCRYPT)
    replacement = (Step(fallback.name, _NO_PARAMS),) if fallback.encrypts else ()
    return replace(decision, steps=steps + replacement, dropped=dropped, fallback=fallback.name)


def _end(decision: Decision, kind: Any, reason: Reason) -> Decision:
    return replace(decision, steps=(), end=End(kind, text=decision.end.text), reason=reason)


def lowers(one: Decision, other: Decision) -> bool:
    """Whether `one` protects in any respect less than `other`. Both as the rules say, before certificates."""
    if one.end.kind not in ("deliver", "hand_to"):
        return False
    if other.end.kind not in ("deliver", "hand_to"):
        return True
    return any(mine < theirs for mine, theirs in zip(_strength(one.steps), _strength(other.steps), strict=True))


def sealed(decision: Decision) -> bool:
    """Whether the mail leaves signed and encrypted or not at all, before certificates."""
    signed, _, _, encrypted, *_ = _strength(decision.steps)
    return signed == 1 and encrypted == CERTAIN


def _strength(steps: tuple[Step, ...]) -> tuple[int, ...]:
    """Signed; stamped, surely; header fields protected; encrypted, or how else; to bound certificates only; to keys on

    one device only.
    """
    verbs = {step.verb for step in steps}
    stamp, encrypt = _params(steps, "stamp"), _params(steps, "encrypt")
    fallback = None if encrypt is None else FALLBACKS.get(encrypt.without_certificate)
    return (
        int("sign" in verbs),
        0 if stamp is None else 1 if stamp.if_unavailable == "send_unstamped" else 2,
        int("protect_headers" in verbs),
        0 if encrypt is None else CERTAIN if fallback is None else fallback.strength,
        int(encrypt is not None and encrypt.certificates == "enrolled"),
        int(encrypt is not None and encrypt.device_bound),
    )


def _params(steps: tuple[Step, ...], verb: str) -> Any:
    for step in steps:  # asked seven times of a mail: a generator would cost three times as much
        if step.verb == verb:
            return step.params
    return None
