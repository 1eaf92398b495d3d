"""The contract of Journal, over the database: states, claims, and processes that die in the middle."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest
from sqlalchemy import select, update

from gateway.adapters.db.engine import claim_owner as owner
from gateway.adapters.db.journal import FORGET_EVERY, KEPT, LEASE, DbJournal
from gateway.adapters.db.tables.mail import journal as journal_table
from gateway.adapters.db.tables.mail import journal_claim
from gateway.clock import SystemClock
from gateway.errors import GatewayError, Reason
from gateway.ports.journal import JournalRow, JournalState
from tests.support.databases import open_database, written
from tests.support.forks import context

KEY = "k" * 64
ANNA, BEN = "anna@customer.example", "ben@customer.example"
PLANNED, SENDING, TAKEN = JournalState.PLANNED, JournalState.SENDING, JournalState.TAKEN


@pytest.fixture
def journal(database, clock):
    return DbJournal(database, clock)


@pytest.fixture
def other(database, clock):
    """Another worker of the same process: its claims are its own."""
    return DbJournal(database, clock)


def states(rows: tuple[JournalRow, ...]) -> dict[str, tuple[JournalState, int]]:
    return {row.recipient: (row.state, row.resent) for row in rows}


def in_progress(call) -> None:
    with pytest.raises(GatewayError) as caught:
        call()
    assert (caught.value.reason, caught.value.retry) == (Reason.JOURNAL_IN_PROGRESS, True)


def test_claiming_plans_every_recipient(journal) -> None:
    rows = journal.claim(KEY, (BEN, ANNA))
    assert states(rows) == {ANNA: (PLANNED, 0), BEN: (PLANNED, 0)}
    assert journal.rows(KEY) == rows
    assert journal.rows("another") == ()


def test_the_way_to_taken(journal) -> None:
    journal.claim(KEY, (ANNA, BEN))
    journal.sending(KEY, (ANNA,))
    journal.taken(KEY, (ANNA,), "250 Ok: queued as 4X")
    assert journal.rows(KEY) == (JournalRow(KEY, ANNA, TAKEN, "250 Ok: queued as 4X"), JournalRow(KEY, BEN, PLANNED))


def test_a_second_arrival_during_work_is_told_to_wait(journal, other) -> None:
    journal.claim(KEY, (ANNA,))
    in_progress(lambda: other.claim(KEY, (ANNA,)))
    in_progress(lambda: journal.claim(KEY, (ANNA,)))
    assert other.claim("another", (ANNA,))


def test_a_released_message_is_free_and_remembers(journal, other) -> None:
    journal.claim(KEY, (ANNA, BEN))
    journal.taken(KEY, (ANNA,), "250 ok")
    journal.release(KEY, acknowledged=False)
    assert states(other.claim(KEY, (ANNA, BEN))) == {ANNA: (TAKEN, 0), BEN: (PLANNED, 0)}


def test_recipients_are_told_apart_as_addresses(journal) -> None:
    rows = journal.claim(KEY, (ANNA, "Anna@Customer.Example"))
    assert states(rows) == {ANNA: (PLANNED, 0)}
    journal.taken(KEY, ("ANNA@CUSTOMER.EXAMPLE",), "250 ok")
    assert states(journal.rows(KEY)) == {ANNA: (TAKEN, 0)}


def test_further_recipients_join_the_rows_of_the_message(journal) -> None:
    journal.claim(KEY, (ANNA,))
    journal.release(KEY, acknowledged=True)
    assert set(states(journal.claim(KEY, (BEN,)))) == {ANNA, BEN}


def test_without_a_message_id_only_unacknowledged_transactions_match(journal) -> None:
    journal.claim(KEY, (ANNA,))
    journal.taken(KEY, (ANNA,), "250 ok")
    journal.release(KEY, acknowledged=True)
    assert journal.rows(KEY, unacknowledged_only=True) == ()
    assert states(journal.rows(KEY)) == {ANNA: (TAKEN, 0)}
    assert states(journal.claim(KEY, (ANNA,), unacknowledged_only=True)) == {ANNA: (PLANNED, 0)}


def test_an_unacknowledged_transaction_matches_either_way(journal) -> None:
    journal.claim(KEY, (ANNA, BEN))
    journal.taken(KEY, (ANNA,), "250 ok")
    journal.release(KEY, acknowledged=False)
    assert states(journal.claim(KEY, (ANNA, BEN), unacknowledged_only=True)) == {ANNA: (TAKEN, 0), BEN: (PLANNED, 0)}


def test_an_answer_that_was_seen_is_no_crash(journal) -> None:
    journal.claim(KEY, (ANNA,))
    journal.sending(KEY, (ANNA,))
    journal.release(KEY, acknowledged=False)  # the next hop said 4xx
    journal.claim(KEY, (ANNA,))
    journal.sending(KEY, (ANNA,))
    assert states(journal.rows(KEY)) == {ANNA: (SENDING, 0)}


def test_an_answer_that_never_came_is_counted_when_sent_again(journal) -> None:
    journal.claim(KEY, (ANNA, BEN))
    journal.sending(KEY, (ANNA, BEN))
    journal.release(KEY, acknowledged=False, unanswered=(BEN.upper(),))
    journal.claim(KEY, (ANNA, BEN))
    journal.sending(KEY, (ANNA, BEN))
    assert states(journal.rows(KEY)) == {ANNA: (SENDING, 0), BEN: (SENDING, 1)}


def test_what_was_taken_is_never_sent_or_taken_again(journal) -> None:
    journal.claim(KEY, (ANNA,))
    journal.taken(KEY, (ANNA,), "250 first")
    for call in (lambda: journal.sending(KEY, (ANNA,)), lambda: journal.taken(KEY, (ANNA,), "250 second")):
        with pytest.raises(GatewayError):
            call()
    assert journal.rows(KEY)[0].reply == "250 first"


def test_who_was_not_planned_is_refused_and_nobody_else_is_changed(journal) -> None:
    journal.claim(KEY, (ANNA,))
    with pytest.raises(GatewayError, match="misses a recipient"):
        journal.sending(KEY, (ANNA, BEN))
    assert states(journal.rows(KEY)) == {ANNA: (PLANNED, 0)}


def test_nothing_is_written_without_the_claim(journal, other) -> None:
    in_progress(lambda: journal.sending(KEY, (ANNA,)))
    in_progress(lambda: journal.release(KEY, acknowledged=True))
    journal.claim(KEY, (ANNA,))
    in_progress(lambda: other.sending(KEY, (ANNA,)))
    in_progress(lambda: other.release(KEY, acknowledged=True))


def disown(database, change) -> None:
    """Makes the claim that of another owner."""
    def work(connection) -> None:
        text = connection.scalar(select(journal_claim.c.owner))
        changed = str(change(owner.Owner.parse(text)))
        connection.execute(update(journal_claim).values(owner=changed))
    database.write(work)


@pytest.mark.parametrize(("change", "dead"), [
    (lambda who: replace(who, start="1"), True),  # the id was used again by a younger process
    (lambda who: replace(who, boot="another"), True),
    (lambda who: replace(who, machine="another"), False),
    (lambda who: replace(who, namespace="another"), False),
    (lambda who: replace(who, process=1, start=""), False),  # lives, is somebody else's
    (lambda who: replace(who, boot="", start=""), False),  # a service with ProcSubset=pid sees neither
    (lambda who: replace(who, boot="", start="", process=2**22 + 1), True),  # no such process: ids end below
], ids=["younger", "rebooted", "other-machine", "other-container", "init", "hardened", "hardened-dead"])
def test_whose_claim_is_free(journal, other, database, change, dead, kind) -> None:
    if kind == "postgresql" and change(owner.here()).boot != owner.here().boot:
        dead = False  # it may be another machine of the same name: its signs of life tell
    journal.claim(KEY, (ANNA,))
    disown(database, change)
    if dead:
        assert other.claim(KEY, (ANNA,))
    else:
        in_progress(lambda: other.claim(KEY, (ANNA,)))


def test_a_claim_of_another_machine_is_free_when_no_work_lasts_so_long(journal, other, database, clock) -> None:
    journal.claim(KEY, (ANNA,))
    disown(database, lambda who: replace(who, machine="another"))
    clock.at += LEASE
    in_progress(lambda: other.claim(KEY, (ANNA,)))
    clock.forward(seconds=1)
    other.claim(KEY, (ANNA,))
    in_progress(lambda: journal.sending(KEY, (ANNA,)))  # the first one lives after all: it must not send
    in_progress(lambda: journal.release(KEY, acknowledged=True))
    other.sending(KEY, (ANNA,))


def test_a_living_local_claim_never_ends_by_age(journal, other, clock) -> None:
    journal.claim(KEY, (ANNA,))
    clock.forward(days=2)
    in_progress(lambda: other.claim(KEY, (ANNA,)))


DYING = """
import os, sys
from tests.support.databases import read
from tests.support.databases import open_database
from gateway.adapters.db.journal import DbJournal
from gateway.clock import SystemClock
journal = DbJournal(open_database(read(sys.argv[1])), SystemClock())
journal.claim("k" * 64, ("anna@customer.example", "ben@customer.example"))
journal.taken("k" * 64, ("ben@customer.example",), "250 ok")
journal.sending("k" * 64, ("anna@customer.example",))
print("sending", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_leaves_its_message_free_and_what_it_sent_counted(database, clock) -> None:
    """The kill after `sending`: nobody knows whether the next hop took it, so it is sent again, once, and counted."""
    with subprocess.Popen([sys.executable, "-c", DYING, written(database.where)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"sending\n"
        journal = DbJournal(database, clock)
        in_progress(lambda: journal.claim(KEY, (ANNA, BEN)))
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert states(journal.claim(KEY, (ANNA, BEN))) == {ANNA: (SENDING, 0), BEN: (TAKEN, 0)}
    journal.sending(KEY, (ANNA,))
    assert states(journal.rows(KEY)) == {ANNA: (SENDING, 1), BEN: (TAKEN, 0)}


def _race(path, start, results) -> None:
    mine = DbJournal(open_database(path), SystemClock())
    start.wait()
    won = 0
    for number in range(20):
        with suppress(GatewayError):
            mine.claim(f"key-{number}", (ANNA,))
            won += 1
    results.put(won)
    start.wait()  # stays alive until all have tried


def test_many_processes_race_and_each_message_has_one_worker(database) -> None:
    forks = context()
    start, results = forks.Barrier(3), forks.Queue()
    processes = [forks.Process(target=_race, args=(database.where, start, results)) for _ in range(3)]
    for process in processes:
        process.start()
    assert sum(results.get(timeout=60) for _ in processes) == 20
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    results.close()


def test_old_rows_are_forgotten_and_young_ones_kept(journal, database, clock) -> None:
    journal.claim("old", (ANNA,))
    journal.release("old", acknowledged=True)
    journal.claim("held", (ANNA,))
    clock.at += KEPT
    journal.claim("young", (ANNA,))
    clock.at += FORGET_EVERY
    journal.release("young", acknowledged=True)
    assert journal.rows("old") == ()
    assert journal.rows("young") != ()
    assert journal.rows("held") != ()  # somebody works on it still


def test_any_reply_can_be_kept(journal) -> None:
    journal.claim(KEY, (ANNA,))
    journal.taken(KEY, (ANNA,), "250 caf\udce9 \0 ok")
    assert journal.rows(KEY)[0].reply == "250 caf\\udce9  ok"


def test_a_planned_row_has_no_reply_even_if_somebody_writes_one(journal, database) -> None:
    journal.claim(KEY, (ANNA,))
    with pytest.raises(GatewayError, match=r"(?i)check constraint"):
        database.write(lambda connection: connection.execute(update(journal_table).values(reply="250 ok")))


def test_a_dead_database_is_unavailable(dead_database, clock) -> None:
    journal = DbJournal(dead_database, clock)
    for call in (lambda: journal.rows(KEY), lambda: journal.claim(KEY, (ANNA,))):
        with pytest.raises(GatewayError) as caught:
            call()
        assert (caught.value.reason, caught.value.retry) == (Reason.STORE_UNAVAILABLE, True)


def test_this_process_is_alive_and_itself() -> None:
    here = owner.here()
    assert here.process == os.getpid()
    assert here.start
    assert here.is_dead(here) is False
    assert owner.Owner.parse(str(here)) == here


def test_threads_that_claim_at_once_keep_what_is_theirs(journal) -> None:
    """What one thread is just claiming is no claim that was left behind."""
    def way(number: int) -> None:
        for turn in range(20):
            key = f"{number}-{turn}"
            journal.claim(key, ("a@x.example",))
            journal.sending(key, ("a@x.example",))
            journal.taken(key, ("a@x.example",), "250 ok")
            journal.release(key, acknowledged=True)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(way, range(8))) == [None] * 8
