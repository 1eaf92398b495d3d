"""An answer for each recipient (LMTP): none waits for another, nothing is reported twice, and retries of one are known.

Truth: RFC 2033 4.2 and rule 6 of `pipeline.run`; copies are counted at the next hop.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.next_hop.dry_run import NoJournal
from gateway.errors import GatewayError, Reason
from gateway.model.mail import Envelope, Mail
from gateway.model.outcome import Outcome, Settled
from gateway.ports.journal import JournalRow, JournalState
from gateway.ports.next_hop import HopReply
from tests.support.bank import Context, ScriptedHop, context

ANNA, BEN, NOBODY = "anna@customer.example", "ben@customer.example", "nobody@nowhere.example"
CODE = (b"From: otp@bank.example\r\nTo: %b\r\nSubject: Your code\r\n%bDate: Thu, 26 Nov 2026 12:00:00 +0000\r\n\r\n"
        b"4711\r\n")


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Context]:
    """With `partial: refuse_all`, the default: it must not count here."""
    with context(tmp_path / "bank") as made:
        assert made.gateway.context.partial == "refuse_all"
        yield made


def send(bank: Context, *to: str, shown: str = ANNA, mark: str = "m1", queue_id: str | None = "4XyZ",
         each: bool = True) -> Outcome:
    message_id = f"Message-ID: <{mark}@bank.example>\r\n".encode() if mark else b""
    mail: Mail = bank.send(CODE % (shown.encode(), message_id), *to)
    return bank.gateway.handle(
        replace(mail, origin=replace(mail.origin, answers_each=each, queue_id=queue_id)))


def settled(outcome: Outcome) -> dict[str, Settled]:
    return {one.address: one.settled for one in outcome.recipients}


def copies(bank: Context, address: str) -> int:
    return sum(address in recipients for recipients, _, _ in bank.outbound.taken)


def test_a_refusal_is_its_own(bank: Context) -> None:
    outcome = send(bank, ANNA, NOBODY, shown=f"{ANNA}, {NOBODY}")
    assert settled(outcome) == {ANNA: Settled.TAKEN, NOBODY: Settled.REFUSED}
    reasons = {one.address: one.reason for one in outcome.recipients}
    assert reasons == {ANNA: None, NOBODY: Reason.CERTIFICATE_ABSENT}
    assert len(bank.outbound.taken) == 1
    assert bank.inbound.taken == [], "no report: the client is told and tells"


def test_over_smtp_it_would_have_been_everybodys(bank: Context) -> None:
    outcome = send(bank, ANNA, NOBODY, shown=f"{ANNA}, {NOBODY}", each=False)
    assert set(settled(outcome).values()) == {Settled.REFUSED}
    assert bank.outbound.taken == []


@pytest.mark.parametrize(("code", "expected"), [(550, Settled.REFUSED), (451, Settled.LATER)])
def test_what_the_next_hop_says_of_one_is_its_own(bank: Context, code: int, expected: Settled) -> None:
    """In one group: both are shown, and read the same."""
    bank.outbound.codes[BEN] = code
    outcome = send(bank, ANNA, BEN, shown=f"{ANNA}, {BEN}")
    assert settled(outcome) == {ANNA: Settled.TAKEN, BEN: expected}
    assert copies(bank, ANNA) == 1
    assert bank.inbound.taken == []


def test_all_refused_is_each_its_own_reason(bank: Context) -> None:
    bank.outbound.codes[ANNA] = 550
    outcome = send(bank, ANNA, NOBODY, shown=f"{ANNA}, {NOBODY}")
    assert {one.address: one.reason for one in outcome.recipients} == {
        ANNA: Reason.NEXT_HOP_REFUSED, NOBODY: Reason.CERTIFICATE_ABSENT}


@pytest.mark.parametrize("mark", ["m1", ""], ids=["Message-ID", "none"])
def test_the_one_that_is_missing_comes_alone(bank: Context, mark: str) -> None:
    bank.outbound.codes[BEN] = 451
    send(bank, ANNA, BEN, mark=mark)  # Ben is hidden: two groups
    bank.outbound.codes.clear()
    assert settled(send(bank, BEN, mark=mark)) == {BEN: Settled.TAKEN}
    assert (copies(bank, ANNA), copies(bank, BEN)) == (1, 1)


@pytest.mark.parametrize("again", [(ANNA, BEN), (BEN,), (ANNA,)])
def test_who_heard_no_answer_comes_again_for_any_of_them(bank: Context, again: tuple[str, ...]) -> None:
    send(bank, ANNA, BEN)
    assert set(settled(send(bank, *again)).values()) == {Settled.DISCARDED}, "answered 250, not sent"
    assert (copies(bank, ANNA), copies(bank, BEN)) == (1, 1)


def test_another_queue_id_is_another_mail(bank: Context) -> None:
    send(bank, ANNA, BEN)
    assert settled(send(bank, ANNA, queue_id="4Other")) == {ANNA: Settled.TAKEN}
    assert copies(bank, ANNA) == 2


def test_without_a_message_id_what_was_answered_may_rightly_come_again(bank: Context) -> None:
    """A heartbeat with the same octets every hour; queue ids are used again. One recipient was deferred the first time:

    the other has its 250 all the same, so its row counts no more.
    """
    bank.outbound.codes[BEN] = 451
    send(bank, ANNA, BEN, mark="")
    assert settled(send(bank, ANNA, mark="")) == {ANNA: Settled.TAKEN}
    assert copies(bank, ANNA) == 2


def test_a_group_that_stands_in_the_journal_is_claimed(bank: Context) -> None:
    """Somebody else works on this mail: a retry of one of its recipients waits, whatever it looks like now."""
    send(bank, ANNA, BEN)
    key = bank.gateway.context.evidence.find("m1@bank.example")[0].message_key
    bank.gateway.context.journal.claim(key, (ANNA, BEN))
    try:
        outcome = send(bank, BEN)
    finally:
        bank.gateway.context.journal.release(key, acknowledged=True)
    assert outcome.answer is Settled.LATER
    assert outcome.reason is Reason.JOURNAL_IN_PROGRESS
    assert copies(bank, BEN) == 1


def test_one_recipient_of_a_new_mail_writes_nothing_down(bank: Context) -> None:
    """Its answer is the next hop's: no row, so no fsync."""
    send(bank, ANNA)
    key = bank.gateway.context.evidence.find("m1@bank.example")[0].message_key
    assert bank.gateway.context.journal.rows(key) == ()


class Unreachable(ScriptedHop):
    """No session is to be had."""

    def deliver(self, octets: bytes, envelope: Envelope,
                before_dot: Callable[[tuple[str, ...]], None] | None = None, *,
                all_or_none: bool = False) -> tuple[HopReply, ...]:
        raise GatewayError(Reason.NEXT_HOP_UNAVAILABLE, "away", retry=True)


def test_who_may_have_it_stays_in_doubt_until_he_is_answered(bank: Context) -> None:
    """An attempt whose answer nobody heard; then one for somebody else, one that came to nothing, and one that went."""
    send(bank, ANNA)
    key = bank.gateway.context.evidence.find("m1@bank.example")[0].message_key
    journal = bank.gateway.context.journal
    journal.claim(key, (ANNA, BEN))
    journal.sending(key, (ANNA,))
    journal.release(key, acknowledged=False, unanswered=(ANNA,))
    send(bank, BEN)
    bank.gateway.use(replace(bank.gateway.context, outbound_hop=Unreachable()))
    assert send(bank, ANNA, BEN).reason is Reason.NEXT_HOP_UNAVAILABLE
    states = {row.recipient: (row.state, row.resent) for row in journal.rows(key)}
    assert states == {ANNA: (JournalState.SENDING, 0), BEN: (JournalState.TAKEN, 0)}


class Away(NoJournal):
    """A database that nobody can reach."""

    def rows(self, message_key: str, *, unacknowledged_only: bool = False) -> tuple[JournalRow, ...]:
        raise GatewayError(Reason.STORE_UNAVAILABLE, "away", retry=True)

    def claim(self, message_key: str, recipients: tuple[str, ...], *,
              unacknowledged_only: bool = False) -> tuple[JournalRow, ...]:
        raise GatewayError(Reason.STORE_UNAVAILABLE, "away", retry=True)


@pytest.mark.parametrize("each", [True, False], ids=["LMTP", "SMTP"])
def test_without_the_journal_one_group_goes_on_and_several_wait(bank: Context, each: bool) -> None:
    """Several need it: a retry could not know who has the mail."""
    bank.gateway.use(replace(bank.gateway.context, journal=Away()))
    assert send(bank, ANNA, each=each).answer is Settled.TAKEN
    assert send(bank, ANNA, BEN, shown=f"{ANNA}, {BEN}", each=each).answer is Settled.TAKEN
    sent = len(bank.outbound.taken)
    outcome = send(bank, ANNA, BEN, each=each)  # Ben is hidden: two groups
    assert (outcome.answer, outcome.reason) == (Settled.LATER, Reason.STORE_UNAVAILABLE)
    bank.outbound.codes[BEN] = 451
    if each:  # taken in part: the rest would have to be known
        outcome = send(bank, ANNA, BEN, shown=f"{ANNA}, {BEN}")
        assert set(settled(outcome).values()) == {Settled.LATER}
    assert len(bank.outbound.taken) == sent


def test_strangers_mail_likewise(bank: Context) -> None:
    bank.inbound.codes["nobody@bank.example"] = 550
    octets = b"From: eve@else.example\r\nTo: support@bank.example\r\nMessage-ID: <i@else.example>\r\n\r\nhi\r\n"
    mail = bank.receive(octets, "support@bank.example", "nobody@bank.example", sender="eve@else.example")
    outcome = bank.gateway.handle(replace(mail, origin=replace(mail.origin, answers_each=True)))
    assert settled(outcome) == {"support@bank.example": Settled.TAKEN, "nobody@bank.example": Settled.REFUSED}
    assert len(bank.inbound.taken) == 1, "and no report to a stranger"
    assert bank.outbound.taken == []
