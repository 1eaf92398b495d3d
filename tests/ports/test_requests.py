"""The contract of Requests, over either kind of database. Truth: draft-ietf-httpapi-idempotency-key-header-07, 2.6 and
2.7 (the same request again, another with the same key, while the first is in work), and processes that really die.
"""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from gateway.adapters.db import requests
from gateway.adapters.db.evidence import DbEvidence
from gateway.adapters.db.requests import LEASE, DbRequests
from gateway.adapters.db.tables.api import request
from gateway.adapters.db.tables.mail import customer
from gateway.clock import SystemClock
from gateway.errors import GatewayError, Reason
from gateway.model.record import EvidenceRecord
from gateway.ports.services.requests import KEPT, Answered
from tests.support.databases import open_database, read, written
from tests.support.forks import context
from tests.unit.adapters.test_spool import RECORD


def record(incident: str) -> EvidenceRecord:
    return replace(RECORD, incident=incident)


MADE = Answered(201, '{"id": "x"}')


class Acting(DbRequests):
    """Of work that acts at once: from then on the claim counts."""

    def begin(self, key: str, digest: str, kept: timedelta = KEPT) -> Answered | str:
        claim = super().begin(key, digest, kept)
        if isinstance(claim, str):
            self._database.write(lambda _: None, acts=True)
        return claim


@pytest.fixture
def book(database, clock) -> DbRequests:
    return Acting(database, clock)


def refused(book: DbRequests, key: str, digest: str, reason: Reason) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        book.begin(key, digest)
    assert caught.value.reason is reason
    return caught.value


def test_a_repetition_gets_the_first_answer(book: DbRequests, clock) -> None:
    claim = book.begin("k", "d")
    assert isinstance(claim, str)
    book.answer(claim, MADE)
    clock.forward(days=2)
    assert book.begin("k", "d") == MADE
    assert book.begin("k", "d") == MADE


def test_another_request_with_the_same_key_is_a_conflict(book: DbRequests) -> None:
    claim = book.begin("k", "d")
    assert not refused(book, "k", "other", Reason.REQUEST_KEY_CONFLICT).retry
    book.answer(claim, MADE)
    refused(book, "k", "other", Reason.REQUEST_KEY_CONFLICT)
    assert isinstance(book.begin("other key", "other"), str)


def test_while_one_works_the_other_is_told_so(book: DbRequests, clock) -> None:
    book.begin("k", "d")
    clock.forward(minutes=14)  # this process lives, so its claim does
    assert refused(book, "k", "d", Reason.REQUEST_IN_PROGRESS).retry


def test_what_was_withdrawn_is_a_first_time(book: DbRequests) -> None:
    book.withdraw(book.begin("k", "d"))
    assert isinstance(book.begin("k", "other"), str)


def test_an_answer_is_never_withdrawn(book: DbRequests) -> None:
    claim = book.begin("k", "d")
    book.answer(claim, MADE)
    book.withdraw(claim)
    assert book.begin("k", "d") == MADE


def _begin_and_die(where: str) -> None:
    Acting(open_database(read(where)), SystemClock()).begin("k", "d")


def test_a_process_that_died_holds_nobody_up(database, clock) -> None:
    child = context().Process(target=_begin_and_die, args=(written(database.where),))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    book = Acting(database, SystemClock())
    claim = book.begin("k", "d")
    assert isinstance(claim, str)
    book.answer(claim, MADE)
    assert book.begin("k", "d") == MADE


@pytest.mark.parametrize("dead", [None, False])
def test_a_claim_ends_with_its_lease(book: DbRequests, clock, monkeypatch, database, dead) -> None:
    stale = book.begin("k", "d")
    monkeypatch.setattr(type(database), "is_dead", lambda _self, _who: dead)
    clock.at += LEASE
    refused(book, "k", "d", Reason.REQUEST_IN_PROGRESS)
    clock.at += timedelta(microseconds=1)
    claim = book.begin("k", "d")
    with pytest.raises(GatewayError, match="taken the claim over"):
        book.answer(stale, Answered(201, "of the one that was given up"))
    book.answer(claim, MADE)
    assert book.begin("k", "d") == MADE


def test_of_many_at_once_one_works(book: DbRequests) -> None:
    told: list[str] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        try:
            book.begin("k", "d")
            told.append("mine")
        except GatewayError as trouble:
            told.append(str(trouble.reason))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(told) == ["mine", *["request.in_progress"] * 7]


def add(number: str):
    return lambda connection: connection.execute(customer.insert().values(number=number, name="")) and None


def test_a_claim_shares_the_commit_of_the_act(database, clock) -> None:
    book = DbRequests(database, clock)
    before = database.group.commits
    claim = book.begin("k", "d")
    assert database.group.commits == before
    database.write(add("1"), acts=True)
    assert database.group.commits == before + 1
    refused(book, "k", "d", Reason.REQUEST_IN_PROGRESS)
    book.answer(claim, MADE)
    assert book.begin("k", "d") == MADE


def test_a_write_beside_the_act_takes_no_claim_with_it(database, clock) -> None:
    """Attack: a wish for a revocation list failed, and was swallowed with the claim: a code was issued twice."""
    book = DbRequests(database, clock)
    claim = book.begin("k", "d")

    def fails(_connection) -> None:
        raise GatewayError(Reason.STORE_UNAVAILABLE, "locked", retry=True)

    with pytest.raises(GatewayError, match="locked"):
        database.write(fails)
    database.group.insert(customer.insert(), [{"number": "0", "name": ""}])
    database.write(add("1"), acts=True)
    refused(book, "k", "d", Reason.REQUEST_IN_PROGRESS)
    book.answer(claim, MADE)
    assert book.begin("k", "d") == MADE


def test_work_that_writes_nothing_is_remembered_too(database, clock) -> None:
    book = DbRequests(database, clock)
    book.answer(book.begin("k", "d"), MADE)
    assert book.begin("k", "d") == MADE


def test_of_two_that_began_before_either_acted_one_acts(database, clock) -> None:
    """The other's work is undone with its claim: nothing is done twice."""
    book, begun, written_by, refusals = DbRequests(database, clock), threading.Barrier(2), [], []

    def work(name: str) -> None:
        book.begin("k", "d")
        begun.wait()
        try:
            database.write(add(name), acts=True)
            written_by.append(name)
        except GatewayError as trouble:
            refusals.append(trouble.reason)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("1", "2")]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    with database.read() as connection:
        assert list(connection.scalars(select(customer.c.number))) == written_by
    assert (len(written_by), refusals) == (1, [Reason.REQUEST_IN_PROGRESS])


def test_what_is_withdrawn_before_anything_was_written_costs_nothing(database, clock) -> None:
    book = DbRequests(database, clock)
    before = database.group.commits
    book.withdraw(book.begin("k", "d"))
    assert database.group.commits == before
    database.write(lambda _: None)
    assert isinstance(book.begin("k", "other"), str)


def test_evidence_of_the_work_shares_the_commit_of_the_answer(database, clock) -> None:
    evidence = DbEvidence(database)
    book = DbRequests(database, clock, evidence)
    claim = book.begin("k", "d")
    database.write(lambda _: None, acts=True)
    before = database.group.commits
    evidence.add((record("1"),))
    book.answer(claim, MADE)
    assert database.group.commits == before + 1
    assert len(evidence.find("1")) == 1
    evidence.add((record("2"),))  # of the thread's next work, which keeps nothing back
    assert len(evidence.find("2")) == 1


def test_evidence_of_work_that_came_to_nothing_is_kept(database, clock) -> None:
    evidence = DbEvidence(database)
    book = DbRequests(database, clock, evidence)
    claim = book.begin("k", "d")
    evidence.add((record("1"),))
    book.withdraw(claim)
    assert len(evidence.find("1")) == 1


def test_what_is_old_is_forgotten(book: DbRequests, clock, database, monkeypatch) -> None:
    monkeypatch.setattr(requests, "FORGET_MAX", 2)
    for number in range(3):
        book.answer(book.begin(f"k{number}", "d"), MADE)
    clock.forward(days=3, seconds=1)
    assert isinstance(book.begin("k0", "other"), str), "old enough to be another's"
    book.begin("young", "d")
    assert (book.forget(), book.forget()) == (2, 0)
    with database.read() as connection:
        assert sorted(connection.scalars(select(request.c.key))) == ["k0", "young"]


def test_a_database_that_is_gone_says_so(dead_database, clock) -> None:
    assert refused(DbRequests(dead_database, clock), "k", "d", Reason.STORE_UNAVAILABLE).retry


def test_an_answer_counts_as_long_as_it_is_kept(database, clock) -> None:
    book, day = Acting(database, clock), timedelta(hours=24)
    book.answer(book.begin("k", "d", day), MADE)
    clock.at += day
    assert book.begin("k", "d", day) == MADE
    refused(book, "k", "other", Reason.REQUEST_KEY_CONFLICT)
    clock.forward(seconds=1)
    claim = book.begin("k", "other", day)
    assert isinstance(claim, str)
