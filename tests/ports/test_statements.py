"""The contract of StatementStore, over both kinds of database. Truth: each sentence of ports/services/statements/."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from gateway.adapters.db.engine.claim_owner import here
from gateway.adapters.db.statements.store import statement_store
from gateway.adapters.db.tables.api import callback
from gateway.adapters.db.tables.statements import statement_chunk
from gateway.errors import GatewayError, Reason
from gateway.ports.services.statements.rows import Chunk, Delivery, ItemState, NewItem, RunRow, RunState, Settlement
from tests.support.pki import NOW

S = ItemState


@pytest.fixture
def store(database):
    return statement_store(database)


def a_run(run: str = "run1", **changes) -> RunRow:
    return replace(RunRow(run, "statement", "core-banking", "October", "2026-10", RunState.NEW, "{}", "", "", None, NOW,
                          None, None, "", ""), **changes)


def new(row: int, *, run_series: bytes | None = None, version: str = "1", holder: int = 0) -> NewItem:
    return NewItem(row, holder, f"c{row}", run_series if run_series is not None else b"series %d" % row, version)


def planned(store, run: str = "run1", rows: int = 3, **changes) -> Chunk:
    """A running run of one chunk."""
    store.runs.add(a_run(run, **changes))
    store.runs.change(run, [RunState.NEW], RunState.PLANNING)
    chunk = Chunk(run, 0, 10, 1, rows)
    store.plans.plan(chunk, [new(row) for row in range(1, rows + 1)], NOW)
    store.runs.begin(run, rows, NOW)
    return chunk


def states(store, run: str = "run1") -> list[ItemState]:
    return [one.state for one in store.results.items(run)]


def test_a_run_is_kept_as_it_was_given(store) -> None:
    run = a_run(reason="run.changed", about="x", started_at=NOW)
    store.runs.add(run)
    assert store.runs.run("run1") == run
    assert store.runs.run("run2") is None


def test_runs_come_newest_first_and_by_client(store) -> None:
    for number in range(3):
        store.runs.add(a_run(f"r{number}", created_at=NOW + timedelta(seconds=number), client=f"c{number % 2}"))
    assert [one.id for one in store.runs.runs()] == ["r2", "r1", "r0"]
    assert [one.id for one in store.runs.runs(client="c0", limit=1)] == ["r2"]
    store.runs.add(a_run("r11", created_at=NOW + timedelta(seconds=1)))
    assert [one.id for one in store.runs.runs()] == ["r2", "r1", "r11", "r0"]
    for last, number in (("r2", 2), ("r1", 1), ("r11", 1), ("r0", 0)):
        rest = store.runs.runs(before=(NOW + timedelta(seconds=number), last))
        order = ["r2", "r1", "r11", "r0"]
        assert [one.id for one in rest] == order[order.index(last) + 1:]


def test_a_change_of_a_run_is_filed_for_its_client_once(store, database) -> None:
    database.called = frozenset({"c0"})
    for number in range(2):
        store.runs.add(a_run(f"run{number}", client=f"c{number}", state=RunState.NEW))
        store.runs.change(f"run{number}", (RunState.NEW,), RunState.PLANNING)
        store.runs.begin(f"run{number}", 0, NOW)
        for _ in range(2):
            store.runs.change(f"run{number}", (RunState.RUNNING, RunState.PAUSED), RunState.PAUSED,
                              reason="run.changed")
        store.runs.change(f"run{number}", (RunState.PAUSED,), RunState.RUNNING)
        for _ in range(2):
            assert store.runs.finish(f"run{number}", NOW)
    with database.read() as connection:
        rows = connection.execute(select(callback).order_by(callback.c.id)).all()
    bodies = [json.loads(row.body) for row in rows]
    filed = [(row.client, row.kind, body["state"], body.get("reason"))
             for row, body in zip(rows, bodies, strict=True)]
    assert filed == [
        ("c0", "run.started", "running", None), ("c0", "run.paused", "paused", "run.changed"),
        ("c0", "run.resumed", "running", None), ("c0", "run.done", "done", None)]


def test_a_run_moves_only_from_where_it_is(store) -> None:
    store.runs.add(a_run())
    assert not store.runs.change("run1", [RunState.RUNNING], RunState.PAUSED)
    assert store.runs.change("run1", [RunState.NEW], RunState.STOPPED, reason="run.threshold", detail="3 %")
    assert store.runs.finish("run1", NOW)
    run = store.runs.run("run1")
    assert (run.state, run.reason, run.detail, run.ended_at) == (RunState.STOPPED, "run.threshold", "3 %", NOW)


def test_a_statement_is_of_one_item_whatever_its_run(store) -> None:
    planned(store)
    store.runs.add(a_run("run2"))
    items = [new(1), new(2, version="2"), new(9), new(10, run_series=b"series 9")]
    repeated = store.plans.plan(Chunk("run2", 0, 0, 1, 3), items, NOW)
    assert repeated == 2
    assert [(one.state, one.reason) for one in store.results.items("run2")] == [
        (S.REPEATED, "statement.sent_before"), (S.PLANNED, ""), (S.PLANNED, ""), (S.REPEATED, "statement.sent_before")]


def test_a_refused_or_bounced_statement_may_go_with_another_run(store) -> None:
    planned(store)
    claimed = store.work.claim("run1", NOW)
    refused, bounced, sent = (one.id for one in store.work.todo(claimed))
    store.work.note(claimed, [Settlement(refused, S.REFUSED, reason="pdf.missing", free=True),
                              Settlement(bounced, S.SENT),
                              Settlement(sent, S.SENT)], (), NOW)
    assert store.results.bounced(f"run1-{bounced}", "5.1.1", "no such user", True, NOW)
    store.runs.add(a_run("run2"))
    store.plans.plan(Chunk("run2", 0, 0, 1, 3), [new(1), new(2), new(3)], NOW)
    assert states(store, "run2") == [S.PLANNED, S.PLANNED, S.REPEATED]


def test_rows_that_cannot_go_are_refused_at_once(store) -> None:
    store.runs.add(a_run())
    store.plans.plan(Chunk("run1", 0, 0, 1, 1), [NewItem(1, 0, "", b"", "", "statement.row", "no CSV")], NOW)
    [item] = store.results.items("run1")
    assert (item.state, item.reason, item.detail) == (S.REFUSED, "statement.row", "no CSV")
    assert store.work.next_due("run1") is None
    assert store.work.claim("run1", NOW) is None


def test_planning_goes_on_where_it_ended(store) -> None:
    store.runs.add(a_run())
    assert store.plans.planned_up_to("run1") is None
    for number in range(2):
        store.plans.plan(Chunk("run1", number, number * 100, 1 + number * 5, 5), [new(1 + number * 5)], NOW)
    assert store.plans.planned_up_to("run1") == Chunk("run1", 1, 100, 6, 5)


def test_planning_a_chunk_twice_is_not_possible(store) -> None:
    planned(store)
    with pytest.raises(GatewayError) as caught:
        store.plans.plan(Chunk("run1", 0, 10, 1, 3), [new(1)], NOW)
    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert len(list(store.results.items("run1"))) == 3


def test_a_paused_run_does_not_begin_when_it_is_planned(store) -> None:
    store.runs.add(a_run(state=RunState.PLANNING))
    store.runs.change("run1", [RunState.PLANNING], RunState.PAUSED)
    store.runs.begin("run1", 7, NOW)
    run = store.runs.run("run1")
    assert (run.state, run.rows, run.started_at) == (RunState.PAUSED, 7, NOW)


def test_a_chunk_is_claimed_once_and_given_back(store) -> None:
    planned(store)
    chunk = store.work.claim("run1", NOW)
    assert (chunk.number, chunk.offset, chunk.rows) == (0, 10, 3)
    assert chunk.token
    assert store.work.claim("run1", NOW) is None
    store.work.release(chunk, NOW, due_at=NOW + timedelta(minutes=1))
    assert store.work.next_due("run1") == NOW + timedelta(minutes=1)
    assert store.work.claim("run1", NOW) is None
    assert store.work.claim("run1", NOW + timedelta(minutes=1)) is not None


def test_the_chunk_of_a_dead_process_is_free(store, database) -> None:
    planned(store)
    lost = store.work.claim("run1", NOW)
    dead = str(replace(here(), process=2**22 + 1))
    database.write(lambda c: c.execute(statement_chunk.update().values(owner=dead)) and None)
    again = store.work.claim("run1", NOW)
    if again is None:  # PostgreSQL's processes are watched for a while before they count as dead
        again = store.work.claim("run1", NOW + timedelta(hours=2))
    assert again is not None
    assert again.token != lost.token
    [first, *_] = store.work.todo(again)
    assert store.work.note(lost, (), [first.id], NOW) == frozenset()  # who was taken for dead sends nothing
    assert store.work.note(again, (), [first.id], NOW) == {first.id}


@pytest.mark.parametrize("found_by", ["claim", "idle"])
def test_the_item_in_work_at_a_death_is_known_to_whoever_works_on_its_chunk_next(
        store, database, monkeypatch, found_by) -> None:
    planned(store)
    ended: list[bool] = []
    monkeypatch.setattr(type(database), "is_dead", lambda *_: bool(ended))

    def after_a_death() -> Chunk:
        dead = str(replace(here(), process=2**22 + 1))
        database.write(lambda c: c.exec_driver_sql(f"UPDATE statement_chunk SET owner = '{dead}'") and None)
        ended.append(True)
        if found_by == "idle":
            assert store.work.idle("run1", NOW) == {0: NOW}
        claimed = store.work.claim("run1", NOW)
        ended.clear()
        return claimed

    chunk = store.work.claim("run1", NOW)
    assert (chunk.item, chunk.attempts) == (None, 0)
    chunk = after_a_death()
    assert (chunk.item, chunk.attempts) == (None, 1)
    first, second, _ = store.work.todo(chunk)
    for attempts in (1, 2, 3):
        began = store.work.attempt(chunk, second.id)
        assert (began.item, began.attempts, began.token) == (second.id, attempts, chunk.token)
        lost, chunk = chunk, after_a_death()
        assert (chunk.item, chunk.attempts) == (second.id, attempts)
    with pytest.raises(GatewayError) as caught:
        store.work.attempt(lost, first.id)
    assert (caught.value.reason, caught.value.retry) == (Reason.RUN_STATE, True)
    assert (store.work.attempt(chunk, first.id).item, store.work.attempt(chunk, None).attempts) == (first.id, 1)
    store.work.release(chunk, NOW, due_at=NOW)
    chunk = store.work.claim("run1", NOW)
    assert (chunk.item, chunk.attempts) == (None, 1), "its items are still recorded one by one"


def test_a_dead_claim_that_one_process_has_seen_is_free_for_one_that_has_just_started(
        store, database, monkeypatch) -> None:
    """A leader was killed with its node; each process that was started to lead watched for too short a time to know."""
    planned(store)
    store.runs.lead("run1")
    lost = store.work.claim("run1", NOW)
    there = str(replace(here(), machine="another", boot="another", process=1))
    for table in ("run", "chunk"):
        database.write(lambda c, table=table: c.exec_driver_sql(
            f"UPDATE statement_{table} SET owner = '{there}' WHERE owner IS NOT NULL") and None)
    monkeypatch.setattr(type(database), "is_dead", lambda _self, _who: None)
    assert (store.runs.lead("run1"), store.runs.led("run1"), store.work.idle("run1", NOW)) == (False, "elsewhere", {})
    [first, *_] = store.work.todo(lost)
    monkeypatch.setattr(type(database), "is_dead", lambda _self, _who: True)
    assert (store.runs.led("run1"), store.work.idle("run1", NOW)) == ("", {0: NOW})
    monkeypatch.setattr(type(database), "is_dead", lambda _self, _who: None)
    assert store.work.note(lost, (), [first.id], NOW) == frozenset()  # if it lives after all
    assert store.runs.lead("run1")
    assert store.work.claim("run1", NOW, number=0) is not None


def test_a_chunk_is_claimed_by_its_number_whenever_it_is_due(store, database) -> None:
    planned(store)
    later = NOW + timedelta(seconds=30)
    assert store.work.claim("run1", NOW, number=1) is None
    assert store.work.idle("run1", NOW) == {0: NOW}
    chunk = store.work.claim("run1", NOW, number=0)
    assert store.work.claim("run1", NOW, number=0) is None
    assert store.work.idle("run1", NOW) == {}
    store.work.release(chunk, NOW, due_at=later)
    assert store.work.claim("run1", NOW) is None
    assert (store.work.idle("run1", NOW), store.work.due_at("run1", 0)) == ({0: later}, later)
    chunk = store.work.claim("run1", NOW, number=0)
    dead = str(replace(here(), process=4_194_305, start="1"))
    database.write(lambda c: c.exec_driver_sql(f"UPDATE statement_chunk SET owner = '{dead}'") and None)
    assert store.work.idle("run1", NOW) == {0: later}
    taken = store.work.claim("run1", NOW, number=0)
    store.work.release(chunk, NOW, due_at=None)  # by one whose claim is another's now: nothing happens
    store.work.release(taken, NOW, due_at=None)
    assert store.work.claim("run1", later, number=0) is None
    assert (store.work.idle("run1", later), store.work.due_at("run1", 0)) == ({}, None)


def test_what_leaves_is_written_down_and_a_second_time_is_counted(store) -> None:
    planned(store)
    chunk = store.work.claim("run1", NOW)
    first, second, third = store.work.todo(chunk)
    later = NOW + timedelta(seconds=5)
    assert store.work.note(chunk, (), [first.id], later) == {first.id}
    assert store.work.note(chunk, [Settlement(first.id, S.SENT, domain="a.example", rule="statement",
                                              reply="250 ok", queue_id="4XyZ")], [second.id], later) == {second.id}
    assert store.work.note(chunk, (), [second.id], later) == {second.id}
    assert store.work.note(chunk, (), [first.id], later) == frozenset()  # it is settled
    one, two, _ = store.results.items("run1")
    assert (one.state, one.domain, one.rule, one.reply, one.queue_id, one.tries, one.at) == (
        S.SENT, "a.example", "statement", "250 ok", "4XyZ", 1, later)
    assert (two.state, two.resent, two.tries) == (S.SENDING, 1, 2)
    assert [one.id for one in store.work.todo(chunk)] == [second.id, third.id]
    counts = store.results.counts("run1")
    assert (counts.states, counts.resent, counts.open, counts.all) == (
        {S.SENT: 1, S.SENDING: 1, S.PLANNED: 1}, 1, 2, 3)


@pytest.mark.parametrize("state", [RunState.PAUSED, RunState.CANCELLED])
def test_nothing_leaves_of_a_run_that_is_stopped(store, state) -> None:
    planned(store)
    chunk = store.work.claim("run1", NOW)
    [first, *_] = store.work.todo(chunk)
    store.runs.change("run1", [RunState.RUNNING], state)
    assert store.work.note(chunk, (), [first.id], NOW) == frozenset()
    assert states(store) == [S.PLANNED] * 3


def test_a_run_is_done_when_nothing_is_open(store) -> None:
    planned(store)
    chunk = store.work.claim("run1", NOW)
    assert not store.runs.finish("run1", NOW)
    store.work.note(chunk, [Settlement(one.id, S.SENT) for one in store.work.todo(chunk)], (), NOW)
    assert not store.runs.finish("run1", NOW)
    store.work.release(chunk, NOW, due_at=None)
    assert store.runs.finish("run1", NOW)
    run = store.runs.run("run1")
    assert (run.state, run.ended_at) == (RunState.DONE, NOW)
    assert not store.runs.unfinished()


def test_what_a_cancelled_run_did_not_send_another_one_may(store) -> None:
    planned(store)
    chunk = store.work.claim("run1", NOW)
    sending, *_ = store.work.todo(chunk)
    store.work.note(chunk, (), [sending.id], NOW)
    store.runs.change("run1", [RunState.RUNNING], RunState.CANCELLED)
    assert [one.id for one in store.runs.unfinished()] == ["run1"]
    assert store.runs.finish("run1", NOW)
    assert [(one.state, one.detail) for one in store.results.items("run1")] == [
        (S.CANCELLED, "it may have left"), (S.CANCELLED, ""), (S.CANCELLED, "")]
    store.runs.add(a_run("run2"))
    store.plans.plan(Chunk("run2", 0, 0, 1, 3), [new(1), new(2), new(3)], NOW)
    assert states(store, "run2") == [S.REPEATED, S.PLANNED, S.PLANNED]


def test_items_are_read_by_pages_in_order(store, monkeypatch) -> None:
    monkeypatch.setattr("gateway.adapters.db.statements.results.PAGE", 2)
    store.runs.add(a_run())
    store.plans.plan(Chunk("run1", 0, 0, 1, 3), [new(2), new(1, holder=1), new(1, holder=0, version="2"), new(3)], NOW)
    assert [(one.row, one.holder) for one in store.results.items("run1")] == [(1, 0), (1, 1), (2, 0), (3, 0)]


def test_what_the_mail_server_tells_is_found_by_queue_id(store) -> None:
    planned(store)
    chunk = store.work.claim("run1", NOW)
    one, two, _ = store.work.todo(chunk)
    store.work.note(chunk, [Settlement(one.id, S.SENT, queue_id="A1"),
                            Settlement(two.id, S.SENT, queue_id="A2")], (), NOW)
    known = store.results.deliveries([Delivery("A1", "delivered", "250 ok", NOW),
                                      Delivery("A2", "bounced", "550 no", NOW),
                                      Delivery("ZZ", "delivered", "250 ok", NOW)])
    assert known == 2
    assert store.results.deliveries([Delivery("A2", "delivered", "250 ok", NOW)]) == 0  # a bounce is the last word
    first, second, third = store.results.items("run1")
    assert (first.delivery, first.answer, second.delivery, third.delivery) == ("delivered", "250 ok", "bounced", "")
    assert (store.results.counts("run1").bounced, store.results.counts("run1").delivered) == (1, 1)


@pytest.mark.parametrize("identifier", ["", "x", "-1", "99999999", "run1-99999999", "run1-", "run1-x", "9" * 40])
def test_a_bounce_of_no_mail_of_ours_changes_nothing(store, identifier) -> None:
    planned(store)
    assert not store.results.bounced(identifier, "5.1.1", "", True, NOW)


def test_a_bounce_that_is_faster_than_the_answer_counts(store) -> None:
    """Postfix bounces within milliseconds what it can refuse itself; the answers of a chunk are written together."""
    planned(store)
    chunk = store.work.claim("run1", NOW)
    [one, *_] = store.work.todo(chunk)
    assert store.work.note(chunk, (), [one.id], NOW) == {one.id}
    assert store.results.bounced(f"run1-{one.id}", "5.1.1", "nobody", True, NOW)
    store.work.note(chunk, [Settlement(one.id, S.SENT)], (), NOW)
    item = next(store.results.items("run1"))
    assert (item.state, item.delivery, item.answer) == (S.SENT, "bounced", "5.1.1 nobody")
    assert store.results.counts("run1").bounced == 1


def test_a_bounce_of_another_run_is_another_mails(store) -> None:
    """A restored database numbers its items again: an old bounce has an old run's id."""
    planned(store)
    chunk = store.work.claim("run1", NOW)
    [one, *_] = store.work.todo(chunk)
    store.work.note(chunk, [Settlement(one.id, S.SENT)], (), NOW)
    assert not store.results.bounced(f"run0-{one.id}", "5.1.1", "nobody", True, NOW)
    assert not store.results.bounced(str(one.id), "5.1.1", "nobody", True, NOW)


def test_a_bounce_counts_once_and_a_permanent_one_is_the_last(store) -> None:
    planned(store)
    chunk = store.work.claim("run1", NOW)
    [one, *_] = store.work.todo(chunk)
    assert not store.results.bounced(f"run1-{one.id}", "5.1.1", "", True, NOW)  # it has not been sent
    store.work.note(chunk, [Settlement(one.id, S.SENT)], (), NOW)
    assert store.results.bounced(f"run1-{one.id}", "4.2.2", "full", False, NOW)
    assert not store.results.bounced(f"run1-{one.id}", "4.2.2", "full", False, NOW)
    assert store.results.bounced(f"run1-{one.id}", "5.2.2", "full", True, NOW)
    assert not store.results.bounced(f"run1-{one.id}", "5.2.2", "full", True, NOW)
    assert not store.results.bounced(f"run1-{one.id}", "4.2.2", "full", False, NOW)
    item = next(store.results.items("run1"))
    assert (item.delivery, item.answer) == ("bounced", "5.2.2 full")


def test_one_process_leads_a_run(store, database) -> None:
    store.runs.add(a_run())
    assert store.runs.lead("run1")
    assert store.runs.lead("run1")
    assert not store.runs.lead("nothing")
    other = str(replace(here(), process=1, start=""))
    database.write(lambda c: c.exec_driver_sql(f"UPDATE statement_run SET owner = '{other}'") and None)
    assert not store.runs.lead("run1")
    store.runs.leave("run1")  # not ours to give
    assert not store.runs.lead("run1")
    assert store.runs.led("run1") == "here"
    beside = str(replace(here(), namespace="pid:[1]", process=1))
    database.write(lambda c: c.exec_driver_sql(f"UPDATE statement_run SET owner = '{beside}'") and None)
    assert store.runs.led("run1") == "elsewhere"
    there = str(replace(here(), machine="another", process=1))
    database.write(lambda c: c.exec_driver_sql(f"UPDATE statement_run SET owner = '{there}'") and None)
    assert store.runs.led("run1") == "elsewhere"
    database.write(lambda c: c.exec_driver_sql(f"UPDATE statement_run SET owner = '{here()}'") and None)
    assert store.runs.led("run1") == ""
    gone = str(replace(here(), process=2**22 + 1, start="1"))  # above the kernel's largest process id
    database.write(lambda c: c.exec_driver_sql(f"UPDATE statement_run SET owner = '{gone}'") and None)
    assert store.runs.led("run1") == ""
    assert store.runs.led("nothing") == ""


def test_nothing_of_a_series_tells_an_account(store) -> None:
    planned(store)
    assert not store.plans.sent_of("run1", [b"series 1"])
    chunk = store.work.claim("run1", NOW)
    one, *_ = store.work.todo(chunk)
    store.work.note(chunk, [Settlement(one.id, S.HELD, reply="held as 0123456789ab")], (), NOW)
    assert store.plans.sent_of("run1", [b"series 1", b"series 2"]) == [(b"series 1", "1")]


def test_what_may_have_been_sent_is_spoken_of_too(store) -> None:
    planned(store, rows=4)
    chunk = store.work.claim("run1", NOW)
    doubtful, refused, maybe, _ = store.work.todo(chunk)
    store.work.note(chunk, [Settlement(refused.id, S.REFUSED, free=True), Settlement(maybe.id, S.REFUSED)],
                    [doubtful.id], NOW)
    store.runs.change("run1", [RunState.RUNNING], RunState.CANCELLED)
    store.runs.finish("run1", NOW)
    found = store.plans.sent_of("run1", [b"series %d" % row for row in range(1, 5)])
    assert found == [(b"series 1", "1"), (b"series 3", "1")]


@pytest.mark.parametrize("free", [True, False])
def test_what_is_taken_back_is_its_runs_own_only_where_that_is_said(store, *, free: bool) -> None:
    planned(store)
    chunk = store.work.claim("run1", NOW)
    one, two, *_ = store.work.todo(chunk)
    store.work.note(chunk, [Settlement(one.id, S.HELD), Settlement(two.id, S.SENT)], (), NOW)
    for item in (one, two):  # the second has left
        store.plans.taken_back(item.id, NOW, detail="replaced", free=free)
    assert states(store)[:2] == [S.CANCELLED, S.SENT]
    assert [one.detail for one in store.results.items("run1")][:2] == ["replaced", ""]
    assert bool(store.plans.sent_of("run1", [b"series 1"])) is not free
    store.runs.add(a_run("run2"))
    assert store.plans.plan(Chunk("run2", 0, 0, 1, 2), [new(1), new(2)], NOW) == (1 if free else 2)


def test_what_of_a_run_is_held(store) -> None:
    planned(store, rows=5)
    chunk = store.work.claim("run1", NOW)
    whole, part, sent, named, _ = store.work.todo(chunk)
    store.work.note(chunk, [Settlement(whole.id, S.HELD), Settlement(part.id, S.SENT, detail="held as 0123456789ab"),
                            Settlement(sent.id, S.SENT), Settlement(named.id, S.SENT)], (), NOW)
    assert [one.id for one in store.plans.held_of("run1", also=[], replaced_by=None)] == [whole.id, part.id]
    everything = [*range(2_000), named.id, whole.id]
    assert sent.id in everything
    found = store.plans.held_of("run1", also=everything, replaced_by=None)
    assert sorted(one.id for one in found) == [whole.id, part.id, sent.id, named.id, named.id + 1]
    assert not store.plans.held_of("run2", also=everything, replaced_by=None)


def test_what_of_a_run_is_held_and_replaced(store) -> None:
    planned(store, rows=3)
    chunk = store.work.claim("run1", NOW)
    one, two, three = store.work.todo(chunk)
    store.work.note(chunk, [Settlement(item.id, S.HELD) for item in (one, two, three)], (), NOW)
    store.runs.add(a_run("run2"))
    store.plans.plan(Chunk("run2", 0, 0, 1, 3), [new(1, version="2"), new(2), replace(new(3), series=b"")], NOW)
    assert [item.id for item in store.plans.held_of("run1", also=[two.id], replaced_by="run2")] == [one.id]


def test_a_dead_database_is_told_as_such(dead_database) -> None:
    store = statement_store(dead_database)
    for call in (lambda: store.runs.run("x"), lambda: store.runs.add(a_run()), lambda: store.work.claim("x", NOW),
                 lambda: store.results.counts("x"), lambda: store.results.bounced("1", "5.1.1", "", True, NOW),
                 lambda: store.work.note(Chunk("x", 0, 0, 0, 0), (), [1], NOW)):
        with pytest.raises(GatewayError) as caught:
            call()
        assert (caught.value.reason, caught.value.retry) == (Reason.STORE_UNAVAILABLE, True)
