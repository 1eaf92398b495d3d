"""Held mail is judged again when what was missing may be known now: a revocation list, an answer, an issuer.

Only mail from the world is judged again, and only such as could not be decided for that reason: what a rule holds for
people to look at waits for people. Each is tried first with nothing leaving the house; if it would be held once more,
or refused, it simply stays: no mail is lost by a job. Else it goes the whole way, as not released: every rule is asked
again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog

from gateway.errors import Reason
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome, Settled
from gateway.ports.evidence import Evidence
from gateway.ports.hold import HeldRow, Hold
from gateway.ports.journal import Journal, JournalState

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


@dataclass(slots=True)
class Hand:
    """Who has a held mail in hand. `in_doubt`: it may have left, to somebody at least, although it waits."""

    journal: Journal
    hold_id: str
    in_doubt: bool

    def let_go(self, handle: Handle, mail: Mail) -> Outcome:
        """`handle(mail)`. That it may leave is written down before: whoever is killed in the midst leaves the doubt."""
        self.journal.sending(_key(self.hold_id), (self.hold_id,))
        known, self.in_doubt = self.in_doubt, True
        outcome = handle(mail)
        self.in_doubt = known or any(one.settled is Settled.TAKEN or one.reply == "" for one in outcome.recipients)
        return outcome


def _key(hold_id: str) -> str:
    return f"held as {hold_id}"


@contextmanager
def in_hand(journal: Journal, hold_id: str) -> Iterator[Hand]:
    """Nobody else lets this mail go meanwhile. GatewayError JOURNAL_IN_PROGRESS (retry) if somebody is just at it."""
    rows = journal.claim(_key(hold_id), (hold_id,))
    hand = Hand(journal, hold_id, any(row.state is JournalState.SENDING for row in rows))
    try:
        yield hand
    finally:
        journal.release(_key(hold_id), acknowledged=True, unanswered=(hold_id,) if hand.in_doubt else ())


def take_back(hold: Hold, journal: Journal, hold_id: str) -> bool:
    """Whether this mail has not left, and will not: what waits is given up, and nobody is told. False also in doubt.

    GatewayError USAGE if nothing was held as that; JOURNAL_IN_PROGRESS (retry) if somebody is just at it.
    """
    with in_hand(journal, hold_id) as hand:
        state = hold.row(hold_id).state
        if state == "waiting":
            hold.settle(hold_id, "rejected")
            log.info("hold.recalled", hold_id=hold_id)
    return state != "released" and not hand.in_doubt


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
    """Of recorded facts (`policy.recorded.facts`)."""
    verdicts = facts.get("verdicts")
    if not isinstance(verdicts, dict):
        return False
    signers = verdicts.get("signers") or ()
    reasons = [verdicts.get("signature", [None, None])[1], *(one.get("reason") for one in signers)]
    return any(reason in UNDECIDED for reason in reasons)
