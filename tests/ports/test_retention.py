"""The contract of Retention, over both databases: old records go, a few at a time, and no others."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from gateway.adapters.db.evidence import DbEvidence
from gateway.adapters.db.retention import steps
from gateway.adapters.db.retention.steps import DbRetention
from gateway.adapters.db.tables.mail import evidence
from gateway.errors import GatewayError, Reason
from gateway.model.outcome import Settled
from gateway.model.record import EvidenceRecord
from tests.support.pki import NOW

DAY = timedelta(days=1)


def mail(days_old: float, **changed) -> EvidenceRecord:
    """A mail to one recipient that left so many days before NOW."""
    return replace(EvidenceRecord(
        at=NOW - days_old * DAY, incident=f"{int(days_old * 100):016x}", message_key="k",
        message_id=f"<{days_old}@bank.example>", direction="outbound", client="core", sender="service@bank.example",
        recipient="anna@customer.example", rule="seal", steps=("encrypt",), end="relay", settled=Settled.TAKEN,
        reasons=(), certificates=(), policy_digest="p", next_hop_reply="250 ok", sealed_digest="d", facts={}),
        **changed)


def delete_all(database, kind, before) -> int:
    """All steps of one pass."""
    records, place, deleted = DbRetention(database), (), 0
    while place is not None:
        step = records.delete(kind, before, place)
        deleted, place = deleted + step.deleted, step.next
    return deleted


def ages(database) -> list[int]:
    """Of the evidence that is left, in days."""
    return [(NOW - record.at).days for record in DbEvidence(database).since(NOW - 9999 * DAY)]


def test_only_older_evidence_is_deleted(database) -> None:
    DbEvidence(database).add(tuple(map(mail, (1, 9, 10, 11, 30))))
    assert delete_all(database, "evidence", NOW - 10 * DAY) == 2
    assert ages(database) == [10, 9, 1]


def test_one_transaction_deletes_few_records(database, monkeypatch) -> None:
    monkeypatch.setattr(steps, "ROWS_MAX", 2)
    DbEvidence(database).add(tuple(mail(20) for _ in range(5)))
    records = DbRetention(database)
    first = records.delete("evidence", NOW, ())
    assert (first.deleted, first.next is None) == (2, False)
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(evidence)) == 3
    assert delete_all(database, "evidence", NOW) == 3


def test_without_old_records_no_transaction_is_begun(database) -> None:
    DbEvidence(database).add((mail(1),))
    before = database.group.commits
    assert delete_all(database, "evidence", NOW - 10 * DAY) == 0
    assert database.group.commits == before


def test_a_dead_database_is_named(dead_database) -> None:
    with pytest.raises(GatewayError) as caught:
        DbRetention(dead_database).delete("evidence", NOW, ())
    assert (caught.value.reason, caught.value.retry) == (Reason.STORE_UNAVAILABLE, True)
