"""What a front end still holds and changes: its answer to its client is its own, so the journal must not count it sent.

Truth: RFC 5321 4.2.5 and 4.5.4.1 (who has no 250 has not sent it, and comes again); the promise of `pipeline.in_place`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gateway.demo import openssl
from gateway.model.mail import Envelope, Recipient
from gateway.model.outcome import Outcome, Settled
from gateway.ports.journal import JournalState
from tests.support.bank import Context, context

ANNA, BEN = "anna@customer.example", "ben@customer.example"
MAIL = (b"From: otp@bank.example\r\nTo: anna@customer.example, ben@customer.example\r\nSubject: Your code\r\n"
        b"Message-ID: <m1@bank.example>\r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\n\r\n4711\r\n")
INBOUND = b"From: anna@customer.example\r\nTo: support@bank.example\r\nSubject: Question\r\n"


@dataclass
class ListenerContext:
    """Puts in place whatever it is offered."""

    placed: list[bytes] = field(default_factory=list)

    def take(self, octets: bytes, envelope: Envelope) -> bool:
        del envelope
        self.placed.append(octets)
        return True


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Context]:
    with context(tmp_path / "bank") as made:
        yield made


@pytest.fixture
def front() -> ListenerContext:
    return ListenerContext()


def send(bank: Context, front: ListenerContext, *to: str) -> Outcome:
    return bank.gateway.handle_in_place(bank.send(MAIL, *to), front.take)


def in_the_journal(bank: Context, front: ListenerContext, *in_doubt: str) -> str:
    """The mail's key, after an attempt that needed the journal: it came in several groups then, and all were deferred.

    `in_doubt`: who may have it since.
    """
    send(bank, front, ANNA, BEN)
    front.placed.clear()
    key = bank.gateway.context.evidence.find("m1@bank.example")[0].message_key
    journal = bank.gateway.context.journal
    assert journal.rows(key) == ()
    journal.claim(key, (ANNA, BEN))
    if in_doubt:
        journal.sending(key, in_doubt)
    journal.release(key, acknowledged=False, unanswered=in_doubt)
    return key


def test_everybody_is_in_place(bank: Context, front: ListenerContext) -> None:
    assert send(bank, front, ANNA, BEN).answer is Settled.TAKEN
    assert len(front.placed) == 1
    assert bank.outbound.taken == []


def test_a_front_end_that_would_report_more_than_it_may_keeps_nothing(bank: Context, front: ListenerContext) -> None:
    """Postfix cannot be told another NOTIFY for the mail that it holds, so that is sent anew."""
    mail = bank.receive(INBOUND + openssl.sign(b"Hello\r\n", bank.bank.people["anna"]), "support@bank.example")
    asked = replace(mail, envelope=replace(mail.envelope, recipients=(
        Recipient("support@bank.example", ("SUCCESS", "FAILURE")),)))
    for one, placed in ((mail, 1), (asked, 0)):
        front.placed.clear()
        assert bank.gateway.handle_in_place(one, front.take).answer is Settled.TAKEN
        assert len(front.placed) == placed
    ((_, _, envelope),) = bank.inbound.taken
    assert envelope.recipients[0].notify == ("FAILURE",)


@pytest.mark.parametrize("attempts", [2, 3])
def test_who_comes_again_has_not_got_it(bank: Context, front: ListenerContext, attempts: int) -> None:
    """Another filter deferred what we had put in place, and the mail stands in the journal from before."""
    in_the_journal(bank, front)
    for _ in range(attempts):
        outcome = send(bank, front, ANNA, BEN)
        assert [one.settled for one in outcome.recipients] == [Settled.TAKEN, Settled.TAKEN]
    assert len(front.placed) == attempts
    assert bank.outbound.taken == []


def test_who_may_have_it_and_gets_it_in_place_is_counted(bank: Context, front: ListenerContext) -> None:
    key = in_the_journal(bank, front, ANNA)
    assert send(bank, front, ANNA, BEN).answer is Settled.TAKEN
    states = {row.recipient: (row.state, row.resent) for row in bank.gateway.context.journal.rows(key)}
    assert states[ANNA] == (JournalState.SENDING, 1)
    assert states[BEN] == (JournalState.PLANNED, 0)


def test_who_has_it_already_gets_no_copy(bank: Context, front: ListenerContext) -> None:
    """Then it is not everybody's any more, and the rest leaves by the next hop, under the journal."""
    key = in_the_journal(bank, front)
    bank.gateway.context.journal.claim(key, (ANNA,))
    bank.gateway.context.journal.taken(key, (ANNA,), "250 ok")
    bank.gateway.context.journal.release(key, acknowledged=False)
    outcome = send(bank, front, ANNA, BEN)
    assert {one.address: one.settled for one in outcome.recipients} == {ANNA: Settled.DISCARDED, BEN: Settled.TAKEN}
    assert not front.placed
    assert [to for to, _, _ in bank.outbound.taken] == [(BEN,)]
