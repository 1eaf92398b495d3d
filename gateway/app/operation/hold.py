"""Held mail is released or rejected by a person or a client: the same acts for commands and the HTTP API."""

from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Final

from gateway.app import Gateway
from gateway.app.store import Store
from gateway.model.audit.acts import Act
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome, Settled
from gateway.pipeline.background.rejudge import in_hand
from gateway.ports.hold import HeldRow, held_act

_DONE: Final = frozenset({Settled.TAKEN, Settled.HELD, Settled.SERVED, Settled.REPORTED, Settled.DISCARDED})


@dataclass(frozen=True, slots=True)
class Release:
    """The result for a held mail that was released."""

    row: HeldRow
    outcome: Outcome

    @property
    def is_done(self) -> bool:
        """False: it was rejected or deferred, and is still held."""
        return self.outcome.answer in _DONE


def release(gateway: Gateway, hold_id: str) -> Release:
    """Processes a held mail again without the rule that held it; it stays held unless all recipients are completed.

    GatewayError USAGE if it is not waiting, KEY_UNAVAILABLE without the archive key, JOURNAL_IN_PROGRESS (retry) if
    another process has it, a missing approval, STORE_UNAVAILABLE (retry).
    """
    store = gateway.store
    with in_hand(store.journal, hold_id) as hand:
        row, mail = store.hold.get(hold_id)
        with store.audit.carrying_out(_release_act(row, mail)) as carried:
            outcome = hand.let_go(partial(gateway.handle, released=True), mail)
            done = Release(row, outcome)
            if done.is_done:
                store.hold.settle(hold_id, "released")
                carried.recorded = True
            else:
                carried.failure = str(outcome.reason or outcome.answer)
    return done


def reject(store: Store, hold_id: str) -> None:
    """Deletes the body of a held mail. Errors as of `release`, but no archive key is needed."""
    with in_hand(store.journal, hold_id):
        store.hold.settle(hold_id, "rejected")


def _release_act(row: HeldRow, mail: Mail) -> Act:
    """With the digest of the content: an approval is for this mail."""
    act = held_act("hold.release", row)
    return replace(act, details={**act.details, "sha256": sha256(mail.octets).hexdigest()})
