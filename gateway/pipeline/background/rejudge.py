"""Judges held mail again when missing data may be there now: a revocation list, an OCSP answer, an issuer.

Only inbound mail is judged again, and only mail that could not be decided for that reason: mail that a rule holds for
people waits for people. Each mail first goes through a dry run. If it would be held once more, or rejected, it stays:
a job loses no mail. Otherwise it goes the whole way, as not released: every rule is asked again.
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
from gateway.ports.hold import HeldRow, Hold, held_key
from gateway.ports.journal import Journal, JournalState

log = structlog.get_logger("sealgate.hold")

UNDECIDED: Final = frozenset({Reason.REVOCATION_UNAVAILABLE, Reason.PATH_ISSUER_MISSING})
_DONE: Final = frozenset({Settled.TAKEN, Settled.SERVED, Settled.REPORTED, Settled.DISCARDED})

Handle = Callable[[Mail], Outcome]


def undecided(hold: Hold, evidence: Evidence) -> Iterator[HeldRow]:
    """Held inbound mail whose signature could not be decided; the oldest first."""
    for row in hold.list():
        if row.direction == "inbound" and row.incident and any(
                _undecided(record.facts) for record in evidence.find(row.incident)):
            yield row


@dataclass(slots=True)
class Hand:
    """The claim of one process on a held mail. `in_doubt`: some recipient may have got it although it is held."""

    journal: Journal
    hold_id: str
    in_doubt: bool

    def let_go(self, handle: Handle, mail: Mail) -> Outcome:
        """`handle(mail)`. The journal records before that it may leave: a process that is killed leaves the doubt."""
        self.journal.sending(held_key(self.hold_id), (self.hold_id,))
        known, self.in_doubt = self.in_doubt, True
        outcome = handle(mail)
        self.in_doubt = known or any(one.settled is Settled.TAKEN or one.reply == "" for one in outcome.recipients)
        return outcome


@contextmanager
def in_hand(journal: Journal, hold_id: str) -> Iterator[Hand]:
    """Claims the mail. GatewayError JOURNAL_IN_PROGRESS (retry) if another process has the claim."""
    rows = journal.claim(held_key(hold_id), (hold_id,))
    hand = Hand(journal, hold_id, any(row.state is JournalState.SENDING for row in rows))
    try:
        yield hand
    finally:
        journal.release(held_key(hold_id), acknowledged=True, unanswered=(hold_id,) if hand.in_doubt else ())


def take_back(hold: Hold, journal: Journal, hold_id: str) -> bool:
    """Deletes a held mail without a report. Whether it has not left, and will not; False also in doubt.

    GatewayError USAGE if there is no such held mail; JOURNAL_IN_PROGRESS (retry) if another process has the claim.
    """
    with in_hand(journal, hold_id) as hand:
        state = hold.row(hold_id).state
        if state == "waiting":
            hold.settle(hold_id, "rejected")
            log.info("hold.recalled", hold_id=hold_id)
    return state != "released" and not hand.in_doubt


def judge_again(row: HeldRow, hold: Hold, rehearse: Handle, handle: Handle) -> Outcome | None:
    """The outcome if the mail is decided now and is not held any more; None if it stays. `rehearse`: `handle`, dry run.

    If the live attempt holds the mail again, although the dry run did not, the hold store has a second copy: the first
    is settled, or both would be sent one day. GatewayError(KEY_UNAVAILABLE) without the archive key.
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
