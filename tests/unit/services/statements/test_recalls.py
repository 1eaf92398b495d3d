"""What a recall or a replacement does with what is still held. Truth: hold store, next hop, the run's own items."""

import sqlite3
import threading
from contextlib import ExitStack, suppress
from functools import partial

import pytest

from gateway.errors import GatewayError, Reason
from gateway.model.lookup import Customer
from gateway.model.outcome import Outcome, RecipientOutcome, Settled
from gateway.pipeline.background.rejudge import in_hand
from gateway.ports.journal import JournalState
from gateway.ports.next_hop import HopReply
from gateway.ports.services.statements.rows import ItemState, RunRow, RunState
from gateway.services.statements import work
from tests.support.statements import RUN, address, number, plain_rows
from tests.unit.services.statements.conftest import CLIENT

LATE = Customer("79", "Late", ("late@crowd.example",), "retail")
ROWS = [*plain_rows(2), {"customer": "79", "account": "DE0279", "file": "1.pdf"}]


@pytest.fixture
def first(desk) -> RunRow:
    """Two have their statement, one waits for a certificate."""
    desk.store.customers.put([LATE])
    run = desk.send(desk.files(ROWS))
    assert desk.states(run) == ["sent", "sent", "held"]
    desk.hop.taken.clear()
    return run


def held(desk) -> list[tuple[str, str]]:
    return [(row.recipients[0], state) for state in ("waiting", "released", "rejected")
            for row in desk.store.hold.list(state=state)]


def test_what_is_held_does_not_leave_and_nobody_hears_of_it(desk, first) -> None:
    run = desk.go(desk.runs.recall(first.id, CLIENT))
    assert run.state is RunState.DONE
    assert desk.served == [address(0), address(1)]
    assert held(desk) == [("late@crowd.example", "rejected")]
    item = desk.items(first)[2]
    assert (item.state, item.detail) == (ItemState.CANCELLED, "recalled before it left")


def test_its_statement_may_be_sent_by_another_run(desk, first) -> None:
    desk.go(desk.runs.recall(first.id, CLIENT))
    again = desk.send(desk.files(ROWS, name="again"))
    assert desk.states(again) == ["repeated", "repeated", "held"]


def test_who_has_got_it_meanwhile_is_told(desk, first) -> None:
    [row] = desk.store.hold.list()
    desk.store.hold.settle(row.hold_id, "released")
    run = desk.go(desk.runs.recall(first.id, CLIENT))
    assert desk.states(run) == ["sent", "sent", "held"]  # he has no certificate yet
    assert desk.items(first)[2].state is ItemState.HELD


def killed(desk, mail):
    """After the next hop has taken it, before that is written down."""
    assert [row.state for row in desk.store.journal.rows(f"held as {mail.origin.held_as}")] == [JournalState.SENDING]
    raise KeyboardInterrupt


def taken_in_part(_desk, mail):
    return Outcome("", Settled.LATER, (RecipientOutcome("a@crowd.example", Settled.TAKEN, reply="250 ok"),
                                       RecipientOutcome("b@crowd.example", Settled.LATER, reply="451 later")))


def no_answer(_desk, mail):
    return Outcome("", Settled.LATER, (RecipientOutcome("a@crowd.example", Settled.LATER, reply=""),))


def not_taken(_desk, mail):
    return Outcome("", Settled.LATER, (RecipientOutcome("a@crowd.example", Settled.LATER, reply="451 later"),))


@pytest.mark.parametrize(("handle", "told"), [(killed, True), (taken_in_part, True), (no_answer, True),
                                              (not_taken, False)])
def test_who_may_have_got_it_when_it_was_let_go_is_told(desk, first, handle, told: bool) -> None:
    [row] = desk.store.hold.list()
    for again in (handle, not_taken):  # the doubt stays
        with suppress(KeyboardInterrupt), in_hand(desk.store.journal, row.hold_id) as hand:
            hand.let_go(partial(again, desk), desk.store.hold.get(row.hold_id)[1])
    run = desk.go(desk.runs.recall(first.id, CLIENT))
    assert desk.states(run) == ["sent", "sent", *["held"] * told]
    assert desk.items(first)[2].state is (ItemState.HELD if told else ItemState.CANCELLED)
    assert ("late@crowd.example", "rejected") in held(desk)


def test_what_was_given_up_before_is_not_told_of(desk, first) -> None:
    """So it stands, too, when planning dies between the hold store and the run."""
    [row] = desk.store.hold.list()
    desk.store.hold.settle(row.hold_id, "rejected")
    desk.go(desk.runs.recall(first.id, CLIENT))
    assert desk.served == [address(0), address(1)]


def test_what_somebody_has_in_hand_for_a_moment_does_not_end_a_recall(desk, first) -> None:
    [row] = desk.store.hold.list()
    hand = ExitStack()
    hand.enter_context(in_hand(desk.store.journal, row.hold_id))
    threading.Timer(1.0, hand.close).start()
    assert desk.go(desk.runs.recall(first.id, CLIENT)).state is RunState.DONE
    assert held(desk) == [("late@crowd.example", "rejected")]


def test_what_somebody_lets_go_at_this_moment_is_waited_for(desk, first, monkeypatch) -> None:
    monkeypatch.setattr("gateway.services.statements.withdraw.HAND_S", 0.4)
    [row] = desk.store.hold.list()
    run = desk.runs.recall(first.id, CLIENT)
    with in_hand(desk.store.journal, row.hold_id), pytest.raises(GatewayError) as caught:
        desk.go(run)
    assert (caught.value.reason, caught.value.retry) == (Reason.JOURNAL_IN_PROGRESS, True)
    assert not desk.served
    assert desk.go(run).state is RunState.DONE
    assert held(desk) == [("late@crowd.example", "rejected")]


def test_of_a_mail_that_left_in_part_the_rest_stays_and_all_are_told(desk) -> None:
    desk.store.customers.put([Customer(number(1), "Both", (address(1), "late@crowd.example"), "retail")])
    first = desk.send(desk.files([ROWS[1]]))
    item = desk.items(first)[0]
    assert (item.state, item.detail[:8]) == (ItemState.SENT, "held as ")
    desk.hop.taken.clear()
    desk.go(desk.runs.recall(first.id, CLIENT))
    assert desk.served == [address(1)]
    assert sorted(held(desk)) == [("late@crowd.example", "rejected"), ("late@crowd.example", "waiting")]  # its notice


def test_who_may_have_it_is_told(desk, monkeypatch) -> None:
    """Cancelled while nobody knew whether two mails had left."""
    run = desk.take(desk.files(ROWS[:2]))

    def lost(octets, envelope, before_dot, **_how):
        to = tuple(one.address for one in envelope.recipients)
        before_dot(to)
        return tuple(HopReply(one, 0, "") for one in to)

    with monkeypatch.context() as while_lost:
        while_lost.setattr(desk.hop, "deliver", lost)
        desk.prepare = lambda _worker: threading.Timer(1.0, desk.runs.cancel, [run.id]).start()
        desk.go(run)
    assert [one.detail for one in desk.items(run)] == ["it may have left"] * 2
    desk.prepare = lambda _worker: None
    desk.go(desk.runs.recall(run.id, CLIENT))
    assert desk.served == [address(0), address(1)]


def test_a_refusal_after_a_try_that_nobody_answered_may_have_left(desk, monkeypatch) -> None:
    monkeypatch.setattr(work, "AGAIN_S", 0.0)
    monkeypatch.setattr("gateway.app.statements.runs.IDLE_S", 0.01)
    tries = []

    def deliver(octets, envelope, before_dot, **_how):
        to = tuple(one.address for one in envelope.recipients)
        tries.append(to)
        if len(tries) > 1:
            return tuple(HopReply(one, 550, "no") for one in to)
        before_dot(to)
        return tuple(HopReply(one, 0, "") for one in to)

    with monkeypatch.context() as while_odd:
        while_odd.setattr(desk.hop, "deliver", deliver)
        run = desk.send(desk.files(ROWS[:1]))
    assert [(one.state, one.detail) for one in desk.items(run)] == [(ItemState.REFUSED, "it may have left")]
    assert desk.states(desk.send(desk.files(ROWS[:1], name="again"))) == ["repeated"]
    desk.go(desk.runs.recall(run.id, CLIENT))
    assert desk.served == [address(0)]


@pytest.mark.parametrize("bounces", [True, False])
def test_what_was_held_at_an_earlier_try_stays_too(desk, monkeypatch, *, bounces: bool) -> None:
    monkeypatch.setattr(work, "AGAIN_S", 0.0)
    if not bounces:  # return paths name no item
        monkeypatch.setattr("gateway.app.statements.runs._waiting", lambda *_given: {})
    desk.store.customers.put([Customer(number(1), "Both", (address(1), "late@crowd.example"), "retail")])
    desk.hop.codes[address(1)] = 451
    run = desk.take(desk.files([ROWS[1]]))
    monkeypatch.setattr("gateway.app.statements.runs.IDLE_S", 0.01)
    deliver = desk.hop.deliver

    def once(*given, **named):
        replies = deliver(*given, **named)
        desk.hop.codes.clear()
        return replies

    monkeypatch.setattr(desk.hop, "deliver", once)
    desk.go(run)
    item = desk.items(run)[0]
    assert (item.state, item.tries, item.detail[:8], item.reply[:4]) == (ItemState.SENT, 2, "held as ", "250 ")
    desk.go(desk.runs.recall(run.id, CLIENT))
    assert sorted(held(desk)) == [("late@crowd.example", "rejected"), ("late@crowd.example", "waiting")]  # its notice


def test_what_a_killed_process_held_stays_too(desk, monkeypatch) -> None:
    """It was held, and nobody wrote that down: the next process holds it once more."""
    desk.store.customers.put([LATE])

    def prepare(worker) -> None:
        send = worker.gateway.outbound.send

        def crashing(mail, **more):
            send(mail, **more)
            raise KeyboardInterrupt

        monkeypatch.setattr(worker.gateway.outbound, "send", crashing, raising=False)

    run = desk.take(desk.files(ROWS[2:]))
    monkeypatch.setattr("threading.excepthook", lambda *_: None)
    desk.settings = _one_thread(desk.settings)
    desk.prepare, desk.rounds_max = prepare, 1
    desk.go(run)
    desk.store.database.write(lambda c: c.exec_driver_sql("UPDATE statement_chunk SET owner = NULL") and None)
    desk.prepare, desk.rounds_max = lambda _worker: None, 3
    desk.go(run)
    assert held(desk) == [("late@crowd.example", "waiting")] * 2
    desk.go(desk.runs.recall(run.id, CLIENT))
    assert held(desk) == [("late@crowd.example", "rejected")] * 2
    assert not desk.served


def _one_thread(settings):
    return settings.model_copy(update={"statements": settings.statements.model_copy(update={"threads": 1})})


def test_who_may_have_got_it_at_a_try_before_it_was_held_is_told(desk, first) -> None:
    resent = "UPDATE statement_item SET resent = 1 WHERE row = 3"
    desk.store.database.write(lambda c: c.exec_driver_sql(resent) and None)
    run = desk.go(desk.runs.recall(first.id, CLIENT))
    assert desk.states(run) == ["sent", "sent", "held"]
    assert sorted(held(desk)) == [("late@crowd.example", "rejected"), ("late@crowd.example", "waiting")]  # its notice


def test_what_is_held_for_whom_a_query_names_no_more_stays_too(desk) -> None:
    home = desk.bank.home / "statements"
    desk.store.customers.put([LATE])
    with sqlite3.connect(home / "core.db") as core:
        core.execute("CREATE TABLE due (customer TEXT, account TEXT, file TEXT)")
        core.executemany("INSERT INTO due VALUES (:customer, :account, :file)", ROWS)
    url = home / "core.url"
    url.write_text(f"sqlite:///{home / 'core.db'}\n")
    url.chmod(0o600)
    sql = "source: {{sql: {{url_file: core.url, query: SELECT * FROM due ORDER BY account}}}}"
    first = desk.send(desk.files(ROWS, text=RUN.replace("source: {{csv: {source}}}", sql)))
    core.execute("DELETE FROM due WHERE customer = '79'")
    core.commit()
    core.close()
    desk.go(desk.runs.recall(first.id, CLIENT))
    assert held(desk) == [("late@crowd.example", "rejected")]
    assert [one.detail for one in desk.items(first) if one.customer == "79"] == ["recalled before it left"]


def test_of_two_versions_only_the_one_that_left_is_told_of(desk) -> None:
    rows = [{**ROWS[0], "edition": "1", "to": ""}, {**ROWS[0], "edition": "2", "to": "late@crowd.example"}]
    text = RUN.replace("document: file", "document: file, version: edition, address: to")
    first = desk.send(desk.files(rows, text=text))
    assert desk.states(first) == ["sent", "held"]
    desk.hop.taken.clear()
    desk.go(desk.runs.recall(first.id, CLIENT))
    assert desk.served == [address(0)]
    assert held(desk) == [("late@crowd.example", "rejected")]


def test_what_is_held_stays_whatever_has_become_of_the_source(desk, first) -> None:
    (desk.bank.home / "statements" / "run.csv").unlink()
    assert desk.go(desk.runs.recall(first.id, CLIENT)).state is RunState.STOPPED
    assert held(desk) == [("late@crowd.example", "rejected")]
    assert not desk.served  # whom to tell stands in the source alone


def replacing(desk, first) -> RunRow:
    rows = [{**row, "edition": "2"} for row in ROWS]
    files = desk.files(rows, text=RUN.replace("document: file", "document: file, version: edition"), name="better")
    return desk.runs.replace(first.id, CLIENT, files.file.read_text(), base=files.file.parent)


def test_of_what_is_replaced_the_held_one_does_not_leave(desk, first) -> None:
    [old] = desk.store.hold.list()
    run = desk.go(replacing(desk, first))
    assert desk.states(run) == ["sent", "sent", "held"]
    [new] = desk.store.hold.list()
    assert (new.hold_id != old.hold_id, desk.store.hold.row(old.hold_id).state) == (True, "rejected")
    item = desk.items(first)[2]
    assert (item.state, item.detail) == (ItemState.CANCELLED, "replaced before it left")
    assert desk.states(desk.send(desk.files(ROWS, name="again"))) == ["repeated"] * 3


def killed_at_once(*_given):
    raise KeyboardInterrupt


def test_nothing_that_replaces_leaves_before_what_is_held_stays(desk, first) -> None:
    """A process that is killed between plan and hold store leaves a run that is still planned."""
    run = replacing(desk, first)
    [old] = desk.store.hold.list()
    with pytest.MonkeyPatch.context() as crashing:
        crashing.setattr("gateway.services.statements.drive.withdraw", killed_at_once)
        with suppress(KeyboardInterrupt):
            desk.go(run)
    assert (desk.book.runs.run(run.id).state, desk.served) == (RunState.PLANNING, [])
    assert desk.go(run).state is RunState.DONE
    assert desk.store.hold.row(old.hold_id).state == "rejected"


def test_whom_the_replacement_does_not_name_keeps_what_is_held(desk, first) -> None:
    rows = [{**row, "edition": "2"} for row in ROWS[:2]]
    files = desk.files(rows, text=RUN.replace("document: file", "document: file, version: edition"), name="better")
    desk.go(desk.runs.replace(first.id, CLIENT, files.file.read_text(), base=files.file.parent))
    assert held(desk) == [("late@crowd.example", "waiting")]


def test_whoever_has_the_replacement_is_not_told_to_throw_it_away(desk, first) -> None:
    rows = [{**ROWS[0], "edition": "2"}]
    files = desk.files(rows, text=RUN.replace("document: file", "document: file, version: edition"), name="better")
    second = desk.go(desk.runs.replace(first.id, CLIENT, files.file.read_text(), base=files.file.parent))
    assert desk.states(second) == ["sent"]
    desk.hop.taken.clear()
    desk.go(desk.runs.recall(first.id, CLIENT))
    assert desk.served == [address(1)]
    desk.hop.taken.clear()
    desk.go(desk.runs.recall(second.id, CLIENT))
    assert desk.served == [address(0)]
