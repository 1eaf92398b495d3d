"""The contract of Evidence, over the database."""

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.adapters.db import evidence as module
from gateway.adapters.db.engine.text import queue_id
from gateway.adapters.db.evidence import DbEvidence
from gateway.errors import GatewayError, Reason
from gateway.model.outcome import Settled
from gateway.model.record import EvidenceRecord
from tests.support.pki import NOW

RECORD = EvidenceRecord(
    at=NOW, incident="1f2e3d4c", message_key="k" * 64, message_id="<1.2@bank.example>", direction="outbound",
    client="online-banking", sender="otp@bank.example", recipient="anna@customer.example", rule="otp.yaml:otp",
    steps=("sign", "encrypt"), end="deliver", settled=Settled.TAKEN, reasons=(), certificates=("ab" * 32,),
    policy_digest="cd" * 32, next_hop_reply="250 2.0.0 Ok: queued as 4XyZ1q", sealed_digest="ef" * 32,
    facts={"subject": "Ihr Code 😀 \udce9", "size": 512, "kind": "normal", "already": ["signed"]})


@pytest.fixture
def evidence(database):
    return DbEvidence(database)


def test_what_was_added_comes_back_whole(evidence) -> None:
    evidence.add((RECORD, replace(RECORD, recipient="ben@customer.example", next_hop_reply=None, client=None)))
    assert list(evidence.since(NOW)) == [
        RECORD, replace(RECORD, recipient="ben@customer.example", next_hop_reply=None, client=None)]


@pytest.mark.parametrize("key", [
    "1f2e3d4c", "<1.2@bank.example>", "1.2@bank.example", " <1.2@bank.example> ", "4XyZ1q"])
def test_find_takes_incident_message_id_and_queue_id(evidence, key) -> None:
    evidence.add((RECORD, replace(RECORD, incident="other", message_id="<other>", next_hop_reply="250 ok")))
    assert evidence.find(key) == (RECORD,)


@pytest.mark.parametrize("key", ["", "<>", "nothing", "4xyz1q", "%", "\udce9"])
def test_find_knows_nothing_else(evidence, key) -> None:
    evidence.add((RECORD, replace(RECORD, message_id="", next_hop_reply=None)))
    assert evidence.find(key) == ()


def test_since_is_oldest_first_and_goes_on_over_pages(evidence, monkeypatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    moments = [NOW + timedelta(microseconds=number // 3) for number in range(7)]
    records = tuple(replace(RECORD, at=at, incident=str(number)) for number, at in enumerate(moments))
    evidence.add(records[::-1])
    evidence.add((replace(RECORD, at=NOW - timedelta(days=1), incident="old"),))
    found = list(evidence.since(NOW))
    assert [record.at for record in found] == moments
    assert {record.incident for record in found} == set("0123456")


def test_what_a_stranger_writes_can_be_kept(evidence) -> None:
    wild = replace(RECORD, message_id="<a\0b\udcff@x>", next_hop_reply="250 queued as \udcff\0")
    evidence.add((wild,))
    assert list(evidence.since(NOW)) == [wild]


def test_nothing_to_add_costs_no_commit(evidence, database) -> None:
    before = database.group.commits
    evidence.add(())
    assert database.group.commits == before


def test_several_records_cost_one_commit(evidence, database) -> None:
    before = database.group.commits
    evidence.add((RECORD,) * 100)
    assert database.group.commits == before + 1


def test_many_threads_share_commits(evidence, database) -> None:
    """Counted, not timed: while one group is written the others gather."""
    before, gate = database.group.commits, threading.Barrier(16)

    def work(number: int) -> None:
        gate.wait()
        for turn in range(10):
            evidence.add((replace(RECORD, incident=f"{number}.{turn}"),))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(evidence.since(NOW))) == 160
    assert database.group.commits - before < 120


@pytest.mark.parametrize(("reply", "expected"), [
    ("250 2.0.0 Ok: queued as 4XyZ1q", "4XyZ1q"),  # Postfix
    ("250 2.0.0 Ok: queued as 4XyZ1q.", "4XyZ1q"),
    ("250 OK id=1tFabc-0000000AbCd-1xyz", "1tFabc-0000000AbCd-1xyz"),  # Exim
    ("250 2.0.0 4AOC0u2x012345 Message accepted for delivery", "4AOC0u2x012345"),  # Sendmail
    ("250 2.6.0 <x@y> [InternalId=1234, Hostname=z] Queued mail for delivery", "1234"),  # Exchange
    ("250 2.0.0 Ok", None), ("held as 12ab", None), ("", None), (None, None), ("queued as", None), ("as x", None),
    ("id=", None), ("Message accepted", None),
])
def test_the_next_hops_queue_id(reply, expected) -> None:
    assert queue_id(reply) == expected


def test_a_dead_database_is_unavailable(dead_database) -> None:
    evidence = DbEvidence(dead_database)
    for call in (lambda: evidence.add((RECORD,)), lambda: list(evidence.since(NOW)), lambda: evidence.find("x")):
        with pytest.raises(GatewayError) as caught:
            call()
        assert (caught.value.reason, caught.value.retry) == (Reason.STORE_UNAVAILABLE, True)
        assert "otp@bank.example" not in caught.value.detail


def test_what_a_thread_keeps_back_is_not_lost_with_a_commit_that_fails(evidence, database, monkeypatch) -> None:
    evidence.keep_back()
    evidence.add((RECORD,))
    assert list(evidence.since(NOW)) == []

    def fails(*_) -> None:
        raise GatewayError(Reason.STORE_UNAVAILABLE, retry=True)

    with monkeypatch.context() as away:
        away.setattr(database.group, "insert", fails)
        with pytest.raises(GatewayError):
            evidence.let_go()
    evidence.let_go()
    evidence.let_go()
    assert list(evidence.since(NOW)) == [RECORD]
