"""Held mail judged again: which, and what becomes of it. Truth: design 2.2 (nothing held is lost by a job)."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.errors import Reason
from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.model.outcome import Outcome, RecipientOutcome, Settled
from gateway.model.record import EvidenceRecord
from gateway.pipeline.background.rejudge import judge_again, undecided
from gateway.ports.hold import HeldRow
from tests.support.pki import NOW

TO = "support@bank.example"
MAIL = Mail(b"Subject: x\r\n\r\n", Envelope("anna@customer.example", (Recipient(TO),)),
            Origin(ours=False, client=None, peer="127.0.0.1", listener="inbound", received_at=NOW, incident="12ab"))


def row(**changes: Any) -> HeldRow:
    values: dict[str, Any] = {
        "hold_id": "h1", "kind": "hold", "at": NOW, "direction": "inbound", "sender": "anna@customer.example",
        "recipients": (TO,), "subject": "", "rule": "r", "reason": "policy.held", "state": "waiting", "size": 1,
        "incident": "12ab"}
    return HeldRow(**values | changes)


def record(signature: Reason | None, *signers: Reason | None) -> EvidenceRecord:
    facts = {"verdicts": {"signature": ["indeterminate", signature], "signers": [{"reason": one} for one in signers]}}
    return EvidenceRecord(NOW, "12ab", "k", "m", "inbound", None, "a", TO, "r", (), "hold", Settled.HELD, (), (), "",
                          None, "", facts)


@dataclass
class Held:
    """A hold store in hand; see ports.hold.Hold."""

    rows: tuple[HeldRow, ...] = (row(),)
    settled: list[tuple[str, str]] = field(default_factory=list)

    def list(self, *, state: str = "waiting", query: object = None) -> tuple[HeldRow, ...]:
        return tuple(one for one in self.rows if one.state == state)

    def get(self, hold_id: str) -> tuple[HeldRow, Mail]:
        return next(one for one in self.rows if one.hold_id == hold_id), MAIL

    def settle(self, hold_id: str, state: str) -> None:
        self.settled.append((hold_id, state))

    def put(self, *args: object, **more: object) -> str:
        raise AssertionError


@dataclass
class Records:
    """See ports.evidence.Evidence."""

    records: tuple[EvidenceRecord, ...]

    def find(self, key: str) -> tuple[EvidenceRecord, ...]:
        return tuple(one for one in self.records if one.incident == key)


@pytest.mark.parametrize(("held", "records", "is_one"), [
    (row(), (record(Reason.REVOCATION_UNAVAILABLE),), True),
    (row(), (record(Reason.PATH_ISSUER_MISSING),), True),
    (row(), (record(None, None, Reason.REVOCATION_UNAVAILABLE),), True),
    (row(kind="quarantine"), (record(Reason.REVOCATION_UNAVAILABLE),), True),
    (row(), (record(Reason.SIGNATURE_ALTERED, Reason.SIGNATURE_ALTERED),), False),  # a rule holds it for people
    (row(), (record(None),), False),
    (row(), (), False),
    (row(direction="outbound"), (record(Reason.REVOCATION_UNAVAILABLE),), False),
    (row(state="released"), (record(Reason.REVOCATION_UNAVAILABLE),), False),
    (row(incident=""), (record(Reason.REVOCATION_UNAVAILABLE),), False),
    (row(incident="other"), (record(Reason.REVOCATION_UNAVAILABLE),), False)])
def test_only_what_could_not_be_decided_is_judged_again(held: HeldRow, records: tuple[EvidenceRecord, ...], is_one: bool
                                                        ) -> None:
    assert list(undecided(Held((held,)), Records(records))) == ([held] if is_one else [])  # type: ignore[arg-type]


def outcome(answer: Settled, *settled: Settled) -> Outcome:
    return Outcome("12ab", answer, tuple(RecipientOutcome(TO, one) for one in settled or (answer,)))


@pytest.mark.parametrize(("rehearsed", "real", "leaves"), [
    (outcome(Settled.TAKEN), outcome(Settled.TAKEN), True),
    (outcome(Settled.TAKEN, Settled.TAKEN, Settled.SERVED), outcome(Settled.TAKEN), True),
    (outcome(Settled.TAKEN, Settled.HELD), None, False),
    (outcome(Settled.TAKEN, Settled.TAKEN, Settled.HELD), None, False),
    (outcome(Settled.REFUSED), None, False),  # no mail is lost by a job
    (outcome(Settled.LATER), None, False),
    # A certificate has gone between try and earnest: what was held anew is one mail, not two.
    (outcome(Settled.TAKEN), outcome(Settled.TAKEN, Settled.HELD), True),
    (outcome(Settled.TAKEN, Settled.TAKEN, Settled.TAKEN), outcome(Settled.TAKEN, Settled.TAKEN, Settled.HELD), True),
    (outcome(Settled.TAKEN), outcome(Settled.LATER), False),
    (outcome(Settled.TAKEN), outcome(Settled.REFUSED), False)])
def test_what_is_decided_leaves_and_all_else_stays(rehearsed: Outcome, real: Outcome | None, leaves: bool) -> None:
    held, went = Held(), []

    def handle(mail: Mail) -> Outcome:
        went.append(mail)
        assert real is not None
        return real

    found = judge_again(held.rows[0], held, lambda mail: rehearsed, handle)
    assert (found is not None, held.settled) == (leaves, [("h1", "released")] if leaves else [])
    assert went == ([MAIL] if real is not None else [])
