"""Held mail is judged again when what was missing may be known now: a revocation list, an answer, an issuer.

Only mail from the world is judged again, and only such as could not be decided for that reason: what a rule holds for
people to look at waits for people. Each is tried first with nothing leaving the house; if it would be held once more,
or refused, it simply stays: no mail is lost by a job. Else it goes the whole way, as not released: every rule is asked
again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import structlog

from gateway.errors import Reason
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome, Settled
from gateway.ports.evidence import Evidence
from gateway.ports.hold import HeldRow, Hold
from gateway.ports.journal import Journal

log = structlog.get_logger("sealgate.hold")

UNDECIDED: Final = frozenset({Reason.REVOCATION_UNAVAILABLE, Reason.PATH_ISSUER_MISSING})
_DONE: Final = frozenset({Settled.TAKEN, Settled.SERVED, Settled.REPORTED, Settled.DISCARDED})

Handle = Callable[[Mail], Outcome]


def undecided(hold: Hold, evidence: Evidence) -> Iterator[HeldRow]:
    """Waiting mail from the world that was held while its signature could not be decided; the oldest first."""
    for row in hold.list():
        if row.direction == "inbound" and row.incident and any(
                _undecided(record.facts) for record in evidence.find(row.incident)):
            yield row


@contextmanager
def in_hand(journal: Journal, hold_id: str) -> Iterator[None]:
    """Nobody else lets this mail go meanwhile. GatewayError JOURNAL_IN_PROGRESS (retry) if somebody is just at it."""
    key = f"held as {hold_id}"
    journal.claim(key, ())
    try:
        yield
    finally:
        journal.release(key, acknowledged=True)


def take_back(hold: Hold, journal: Journal, hold_id: str) -> bool:
    """Whether this mail has not left, and will not: what waits is given up, and nobody is told.

    GatewayError USAGE if nothing was held as that; JOURNAL_IN_PROGRESS (retry) if somebody is just at it.
    """
    with in_hand(journal, hold_id):
        state = hold.row(hold_id).state
        if state == "waiting":
            hold.settle(hold_id, "rejected")
            log.info("held mail taken back", hold_id=hold_id)
    return state != "released"


def judge_again(row: HeldRow, hold: Hold, rehearse: Handle, handle: Handle) -> Outcome | None:
    """The outcome if the mail is decided now (it left the hold store), None if it stays.

    What is held anew in earnest, although it was not in the try, is in the hold store by itself: the mail that it came
    from is done, or both would leave one day. `rehearse` is `handle` with nothing leaving the house.
    GatewayError(KEY_UNAVAILABLE) without the archive key.
    """
    _, mail = hold.get(row.hold_id)
    if not _decided(rehearse(mail), _DONE):
        return None
    outcome = handle(mail)
    if not _decided(outcome, _DONE | {Settled.HELD}):
        return None
    hold.settle(row.hold_id, "released")
    return outcome


def _decided(outcome: Outcome, ends: frozenset[Settled]) -> bool:
    return outcome.answer is Settled.TAKEN and all(one.settled in ends for one in outcome.recipients)


def _undecided(facts: dict[str, Any]) -> bool:
    """Of recorded facts (`policy.recorded`)."""
    verdicts = facts.get("verdicts")
    if not isinstance(verdicts, dict):
        return False
    signers = verdicts.get("signers") or ()
    reasons = [verdicts.get("signature", [None, None])[1], *(one.get("reason") for one in signers)]
    return any(reason in UNDECIDED for reason in reasons)
