"""The contract of CodeStore, over both databases: what is counted, what is alone, and what ends when."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.adapters.db.codes import DbCodes
from gateway.errors import GatewayError, Reason
from gateway.ports.services.codes import Block, CodeMail, CodeRow, CodeState, FailureLock, SendLimits
from tests.support.pki import NOW

FREE = SendLimits(0, 0)
LIVE = CodeState.LIVE


def row(number: int = 1, **changed: Any) -> CodeRow:
    """One of the online banking for customer 10001, made at NOW, good for five minutes."""
    made = CodeRow(
        code_id=f"{number:024x}", client="online-banking", customer="10001", purpose="payment", state=LIVE, digits=8,
        nonce=bytes(range(16)), digest=b"\xff" * 32, language="de", reference="order-7", created_at=NOW,
        expires_at=NOW + timedelta(minutes=5))
    return replace(made, **changed)


def wrong(_: CodeRow) -> Reason | None:
    return Reason.CODE_WRONG


def right(_: CodeRow) -> Reason | None:
    return None


@pytest.fixture
def store(database):
    return DbCodes(database)


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """All of them, each on a thread that has waited for the others."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait(30)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


# --- issued


def test_what_is_issued_is_there_as_it_was(store) -> None:
    assert store.issue(row(), FREE) is None
    assert store.get(row().code_id) == replace(row(), sends=1)
    assert store.get("0" * 24) is None


def test_a_new_code_replaces_that_of_its_client_customer_and_purpose_alone(store) -> None:
    others = [row(2, purpose="login"), row(3, customer="10002"), row(4, client="card-portal")]
    for one in (row(1), *others, row(5)):
        assert store.issue(one, FREE) is None
    states = {number: store.get(row(number).code_id).state for number in range(1, 6)}
    assert states == {1: CodeState.REPLACED, 2: LIVE, 3: LIVE, 4: LIVE, 5: LIVE}


def test_of_many_codes_ordered_at_once_one_lives(store, again) -> None:
    stores = [store, DbCodes(again())]
    calls = [lambda n=n: stores[n % 2].issue(row(n), FREE) for n in range(1, 25)]
    assert set(at_once(calls)) == {None}
    states = [store.get(row(n).code_id).state for n in range(1, 25)]
    assert (states.count(LIVE), states.count(CodeState.REPLACED)) == (1, 23)


@pytest.mark.parametrize("limits, window, other", [
    (SendLimits(3, 0), timedelta(hours=1), {"customer": "10002"}),
    (SendLimits(0, 3), timedelta(minutes=1), {"client": "card-portal"}),
])
def test_a_limit_holds_within_its_window_and_for_its_own(store, limits, window, other) -> None:
    for number in (1, 2):
        assert store.issue(row(number), limits) is None
    assert store.send_again(row(2).code_id, NOW, 9, limits).sends == 2  # a mail sent again is a mail
    before = row(3, created_at=NOW + window - timedelta(microseconds=1))
    assert store.issue(before, limits) is Reason.CODE_OFTEN
    assert store.get(before.code_id) is None
    assert store.get(row(2).code_id).state is LIVE, "what was refused replaces nothing"
    assert store.send_again(row(2).code_id, NOW, 9, limits) is Reason.CODE_OFTEN
    assert store.issue(row(4, **other), limits) is None
    assert store.issue(row(5, created_at=NOW + window), limits) is None


def test_a_limit_holds_over_processes_that_send_at_once(store, again) -> None:
    stores = [store, DbCodes(again())]
    calls = [lambda n=n: stores[n % 2].issue(row(n, purpose=f"p{n}"), SendLimits(7, 0)) for n in range(1, 25)]
    assert at_once(calls).count(None) == 7


def test_mails_are_counted_up_to_the_most_that_one_code_may_have(store) -> None:
    store.issue(row(), FREE)
    assert [store.send_again(row().code_id, NOW, 3, FREE) for _ in range(3)] == [
        replace(row(), sends=2), replace(row(), sends=3), Reason.CODE_OFTEN]
    assert store.mails(row().code_id) == tuple(CodeMail(number, NOW) for number in (1, 2, 3))
    assert store.mails("0" * 24) == ()


@pytest.mark.parametrize("ended", [CodeState.USED, CodeState.CANCELLED])
def test_a_code_that_lives_no_more_is_not_sent_again(store, ended) -> None:
    store.issue(row(), FREE)
    assert store.end(row().code_id, ended) is True
    assert store.send_again(row().code_id, NOW, 9, FREE) is Reason.CODE_UNKNOWN
    assert store.send_again("0" * 24, NOW, 9, FREE) is Reason.CODE_UNKNOWN


# --- tried


def test_a_right_try_uses_the_code(store) -> None:
    store.issue(row(), FREE)
    first = store.attempt("online-banking", row().code_id, NOW, 5, right)
    assert (first.state, first.fault, first.before.tries) == (CodeState.USED, None, 1)
    second = store.attempt("online-banking", row().code_id, NOW, 5, right)
    assert (second.state, second.fault) == (CodeState.USED, Reason.CODE_UNKNOWN)
    assert store.get(row().code_id).tries == 1, "a try after the end is none"


def test_wrong_tries_are_counted_and_the_last_one_ends_it(store) -> None:
    store.issue(row(), FREE)
    tries = [store.attempt("online-banking", row().code_id, NOW, 3, wrong) for _ in range(4)]
    assert [(one.state, one.fault) for one in tries] == [
        (LIVE, Reason.CODE_WRONG), (LIVE, Reason.CODE_WRONG), (CodeState.DEAD, Reason.CODE_WRONG),
        (CodeState.DEAD, Reason.CODE_UNKNOWN)]
    assert (store.get(row().code_id).state, store.get(row().code_id).tries) == (CodeState.DEAD, 3)


def test_the_last_try_may_be_the_right_one(store) -> None:
    store.issue(row(), FREE)
    store.attempt("online-banking", row().code_id, NOW, 2, wrong)
    assert store.attempt("online-banking", row().code_id, NOW, 2, right).state is CodeState.USED


def test_a_try_sees_the_row_with_itself_counted(store) -> None:
    store.issue(row(), FREE)
    seen: list[CodeRow] = []
    store.attempt("online-banking", row().code_id, NOW, 5, lambda found: seen.append(found) or Reason.CODE_WRONG)
    assert seen == [replace(row(), sends=1, tries=1)]


def test_a_code_is_good_until_its_last_moment_and_not_at_it(store) -> None:
    store.issue(row(), FREE)
    end = row().expires_at
    at = store.attempt("online-banking", row().code_id, end, 5, right)
    assert (at.state, at.fault) == (CodeState.EXPIRED, Reason.CODE_UNKNOWN)
    before = store.attempt("online-banking", row().code_id, end - timedelta(microseconds=1), 5, right)
    assert before.state is CodeState.USED


def test_another_client_has_no_such_code_and_spends_no_try(store) -> None:
    store.issue(row(), FREE)
    assert store.attempt("card-portal", row().code_id, NOW, 5, right) is None
    assert store.attempt("online-banking", "0" * 24, NOW, 5, right) is None
    assert store.get(row().code_id).tries == 0


def test_guesses_at_once_are_compared_no_more_often_than_the_tries(store, again) -> None:
    """The attack on counters that are read, compared and written: every guess sees the same number."""
    store.issue(row(), FREE)
    compared: set[int] = set()

    def compare(found: CodeRow) -> Reason | None:
        compared.add(found.tries)
        return Reason.CODE_WRONG

    stores = [store, DbCodes(again())]
    calls = [lambda n=n: stores[n % 2].attempt("online-banking", row().code_id, NOW, 5, compare) for n in range(32)]
    tries = at_once(calls)
    assert sum(one.fault is Reason.CODE_WRONG for one in tries) == 5
    assert compared == {1, 2, 3, 4, 5}
    assert store.get(row().code_id).state is CodeState.DEAD


def test_of_right_tries_at_once_one_wins(store, again) -> None:
    store.issue(row(), FREE)
    stores = [store, DbCodes(again())]
    calls = [lambda n=n: stores[n % 2].attempt("online-banking", row().code_id, NOW, 99, right) for n in range(32)]
    assert [one.fault for one in at_once(calls)].count(None) == 1


def test_a_comparison_that_fails_costs_no_try_and_reaches_its_caller(store) -> None:
    store.issue(row(), FREE)

    def broken(_: CodeRow) -> Reason | None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.attempt("online-banking", row().code_id, NOW, 5, broken)
    assert (store.get(row().code_id).state, store.get(row().code_id).tries) == (LIVE, 0)


# --- ended, blocked


def test_what_has_ended_ends_no_second_time(store) -> None:
    store.issue(row(), FREE)
    assert store.end(row().code_id, CodeState.CANCELLED) is True
    assert store.end(row().code_id, CodeState.BLOCKED) is False
    assert store.get(row().code_id).state is CodeState.CANCELLED


def test_a_block_ends_what_lives_of_this_customer_and_keeps_new_ones_away(store) -> None:
    for one in (row(1), row(2, purpose="login"), row(3, customer="10002"), row(4, purpose="old", expires_at=NOW)):
        store.issue(one, FREE)
    block = Block("10001", NOW, "customer")
    done = store.block(block)
    assert (done.fresh, {one.code_id for one in done.dead}) == (True, {row(1).code_id, row(2).code_id})
    assert store.get(row(1).code_id).state is CodeState.BLOCKED
    assert store.get(row(3).code_id).state is LIVE
    assert store.issue(row(5), FREE) is Reason.CUSTOMER_BLOCKED
    assert store.blocks() == store.blocks("10001") == (block,)
    assert store.blocks("10002") == ()
    second = store.block(Block("10001", NOW + timedelta(days=1), "bank"))
    assert (second.fresh, second.dead, store.blocks()) == (False, (), (block,))
    assert store.unblock("10001") is True
    assert store.unblock("10001") is False
    assert store.issue(row(6), FREE) is None


def test_what_was_noted_with_a_block_blocks_once(store) -> None:
    """A mail that was kept and comes again undoes no unblocking."""
    store.issue(row(), FREE)
    block, noted = Block("10001", NOW, "customer"), (row().code_id, "disowned")
    assert store.block(block, noted).fresh is True
    assert store.noted(*noted) is True
    store.unblock("10001")
    assert store.block(block, noted) is None
    assert store.block(block, ("0" * 24, "disowned")) is None
    assert store.blocks() == ()


def test_of_the_same_answer_at_once_one_blocks(store, again) -> None:
    store.issue(row(), FREE)
    stores = [store, DbCodes(again())]
    block, noted = Block("10001", NOW, "customer"), (row().code_id, "disowned")
    done = at_once([lambda n=n: stores[n % 2].block(block, noted) for n in range(8)])
    assert len(done) - done.count(None) == 1


# --- bounces, notes, memory


def test_a_bounce_is_new_once_and_what_is_permanent_is_the_last(store) -> None:
    store.issue(row(), FREE)

    def bounced(status: str, number: int = 1) -> bool:
        return store.bounced(row().code_id, number, status, "550 no such user", NOW,
                             permanent=status.startswith("5")) is not None

    assert [bounced("4.2.2"), bounced("4.2.2"), bounced("5.1.1"), bounced("5.1.1"), bounced("4.2.2")] == [
        True, False, True, False, False]
    assert bounced("5.1.1", number=2) is False, "no such mail"
    assert store.mails(row().code_id) == (CodeMail(1, NOW, NOW, "5.1.1", "550 no such user"),)
    assert store.get(row().code_id).state is LIVE


def test_notes_are_kept_once(store) -> None:
    store.issue(row(), FREE)
    for _ in range(2):
        store.note(row().code_id, "alarmed", NOW)
    assert [store.noted(row().code_id, what) for what in ("alarmed", "doubted")] == [True, False]
    store.note("0" * 24, "alarmed", NOW)
    assert store.noted("0" * 24, "alarmed") is False


def test_the_newest_of_a_customer_come_first(store) -> None:
    for number in (1, 2, 3):
        store.issue(row(number, created_at=NOW + timedelta(seconds=number)), FREE)
    assert [one.code_id for one in store.of_customer("10001", 2)] == [row(3).code_id, row(2).code_id]
    assert store.of_customer("10002", 2) == ()


# --- the database is away


@pytest.mark.parametrize("call", [
    lambda store: store.issue(row(), FREE),
    lambda store: store.send_again("0" * 24, NOW, 9, FREE),
    lambda store: store.attempt("online-banking", "0" * 24, NOW, 5, right),
    lambda store: store.end("0" * 24, CodeState.CANCELLED),
    lambda store: store.get("0" * 24),
    lambda store: store.mails("0" * 24),
    lambda store: store.of_customer("10001", 1),
    lambda store: store.block(Block("10001", NOW, "bank")),
    lambda store: store.unblock("10001"),
    lambda store: store.blocks(),
    lambda store: store.bounced("0" * 24, 1, "5.1.1", "", NOW, permanent=True),
    lambda store: store.noted("0" * 24, "alarmed"),
    lambda store: store.note("0" * 24, "alarmed", NOW),
])
def test_nobody_is_told_anything_by_a_dead_database(dead_database, call) -> None:
    with pytest.raises(GatewayError) as caught:
        call(DbCodes(dead_database))
    assert (caught.value.reason, caught.value.retry) == (Reason.STORE_UNAVAILABLE, True)


# --- the lock over all codes of a customer


LOCK = FailureLock(failures_max=3, window_s=600)


def failing(store, number: int, at=NOW):
    return store.attempt("online-banking", row(number).code_id, at, 5, wrong, LOCK)


def test_failures_are_counted_over_all_codes_of_a_customer_and_lock_it(store) -> None:
    """EU 2018/389 Art. 4 (3)(b): consecutive failures within a given period, whichever code they are of."""
    for number in range(3):
        assert store.issue(row(number, purpose=f"p{number}"), FREE, LOCK) is None
        assert failing(store, number).fault is Reason.CODE_WRONG
    tried = store.attempt("online-banking", row(0).code_id, NOW, 5, right, LOCK)
    assert (tried.fault, tried.state, tried.before.tries) == (Reason.CUSTOMER_LOCKED, LIVE, 1), "not even the right one"
    assert store.issue(row(9, purpose="p9"), FREE, LOCK) is Reason.CUSTOMER_LOCKED
    assert store.send_again(row(0).code_id, NOW, 4, FREE, LOCK) is Reason.CUSTOMER_LOCKED
    assert store.issue(row(8, customer="10002"), FREE, LOCK) is None, "another customer is not locked"


def test_the_lock_ends_with_its_time_and_with_an_unblock(store) -> None:
    store.issue(row(0), FREE, LOCK)
    for _ in range(3):
        failing(store, 0)
    later = NOW + timedelta(seconds=601)
    assert store.issue(row(1, purpose="p1", created_at=later), FREE, LOCK) is None
    assert store.issue(row(2, purpose="p2"), FREE, LOCK) is Reason.CUSTOMER_LOCKED
    assert store.unblock(row().customer)
    assert not store.unblock(row().customer)
    assert store.issue(row(2, purpose="p2"), FREE, LOCK) is None


def test_a_right_try_begins_the_count_again(store) -> None:
    store.issue(row(0), FREE, LOCK)
    failing(store, 0)
    failing(store, 0)
    tried = store.attempt("online-banking", row(0).code_id, NOW + timedelta(seconds=1), 5, right, LOCK)
    assert tried.fault is None
    store.issue(row(1, purpose="p1"), FREE, LOCK)
    for second in (2, 3):
        assert failing(store, 1, NOW + timedelta(seconds=second)).fault is Reason.CODE_WRONG
    assert failing(store, 1, NOW + timedelta(seconds=4)).fault is Reason.CODE_WRONG
    assert failing(store, 1, NOW + timedelta(seconds=5)).fault is Reason.CUSTOMER_LOCKED
