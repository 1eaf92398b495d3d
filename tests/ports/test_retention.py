"""The contract of Retention, over both databases: old records go, a few at a time, and no others."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from gateway.adapters.db.audit import DbAudit
from gateway.adapters.db.certificates.customers import DbCustomers
from gateway.adapters.db.codes import DbCodes
from gateway.adapters.db.evidence import DbEvidence
from gateway.adapters.db.legal_holds import DbLegalHolds
from gateway.adapters.db.retention import steps
from gateway.adapters.db.retention.steps import DbRetention
from gateway.adapters.db.statements.store import statement_store
from gateway.adapters.db.tables.audit import audit_value
from gateway.adapters.db.tables.codes import code, code_mail, code_note
from gateway.adapters.db.tables.mail import evidence
from gateway.adapters.db.tables.statements import statement_chunk, statement_item, statement_run
from gateway.errors import GatewayError, Reason
from gateway.model.audit.actor import Actor, acting
from gateway.model.audit.acts import Act
from gateway.model.legal_hold import HoldTerms
from gateway.model.lookup import Customer
from gateway.model.outcome import Settled
from gateway.model.record import EvidenceRecord
from gateway.ports.audit import AuditQuery
from gateway.ports.services.codes import Block, CodeRow, CodeState, SendLimits
from gateway.ports.services.statements.rows import Chunk, RunState
from tests.ports.test_statements import a_run, new
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


@pytest.mark.parametrize("kind_of_record", steps.KINDS)
def test_a_dead_database_is_named(dead_database, kind_of_record) -> None:
    with pytest.raises(GatewayError) as caught:
        DbRetention(dead_database).delete(kind_of_record, NOW, ())
    assert (caught.value.reason, caught.value.retry) == (Reason.STORE_UNAVAILABLE, True)


def test_the_time_that_was_reached_is_stored(database) -> None:
    assert DbRetention(database).reached() is None
    for at in (NOW, NOW + DAY, NOW - DAY):
        DbRetention(database).reach(at)
        assert DbRetention(database).reached() == at


# --- other kinds


def count(database, table) -> int:
    with database.read() as connection:
        return connection.scalar(select(func.count()).select_from(table))


def a_code(number: int, days_old: int, customer: str = "10001") -> CodeRow:
    at = NOW - days_old * DAY
    return CodeRow(
        code_id=f"{number:024x}", client="online-banking", customer=customer, purpose=f"payment {number}",
        state=CodeState.LIVE, digits=8, nonce=bytes(16), digest=bytes(32), language="de", reference="order-7",
        created_at=at, expires_at=at + timedelta(minutes=5))


def test_old_codes_go_with_their_mails_and_blocks_stay(database) -> None:
    codes = DbCodes(database)
    codes.issue(a_code(1, 20), SendLimits(0, 0))
    codes.note(a_code(1, 20).code_id, "alarmed", NOW)
    codes.issue(a_code(2, 5), SendLimits(0, 0))
    codes.block(Block("10001", NOW, "bank"))
    assert delete_all(database, "codes", NOW - 10 * DAY) == 1
    assert [count(database, one) for one in (code, code_mail, code_note)] == [1, 1, 0]
    assert len(codes.blocks()) == 1


def ended_run(database, name: str, customers=("10001",) * 3) -> None:
    """A run with a mail for each of these customers, that ended at NOW."""
    store = statement_store(database)
    store.runs.add(a_run(name))
    store.runs.change(name, [RunState.NEW], RunState.PLANNING)
    store.plans.plan(Chunk(name, 0, 10, 1, len(customers)), [
        replace(new(row), customer=customer, series=f"{name} {row}".encode())
        for row, customer in enumerate(customers, 1)], NOW)
    store.runs.begin(name, len(customers), NOW)
    store.runs.change(name, [RunState.RUNNING], RunState.STOPPED)
    store.runs.finish(name, NOW)


def test_old_runs_go_with_their_items_and_chunks(database, monkeypatch) -> None:
    monkeypatch.setattr(steps, "ROWS_MAX", 2)
    for name in ("run1", "run2"):
        ended_run(database, name)
    ended_run(database, "run3", ())
    assert delete_all(database, "runs", NOW) == 0
    assert delete_all(database, "runs", NOW + DAY) == 3 + 3 + 3
    assert [count(database, one) for one in (statement_run, statement_chunk, statement_item)] == [0, 0, 0]


def test_a_run_in_work_is_not_deleted(database) -> None:
    statement_store(database).runs.add(a_run("run1"))
    assert delete_all(database, "runs", NOW + 9999 * DAY) == 0


def test_audit_records_stay_and_their_personal_values_go(database) -> None:
    log = DbAudit(database)
    with acting(Actor("user", "anna", "uid 1000, /dev/pts/0")):
        for number in ("10001", "10002"):
            database.record(Act("customer.block", number), "done")
    before = [entry.octets for entry in log.all_after(0)]
    assert delete_all(database, "audit_values", database.now() + DAY) == 6  # actor, source and object of each
    assert [entry.octets for entry in log.all_after(0)] == before
    assert [(entry.actor, entry.object_id) for entry in log.entries(AuditQuery())] == [("(deleted)", "(deleted)")] * 2
    assert count(database, audit_value) == 0


# --- legal holds


def holding(database, **terms) -> int:
    return DbLegalHolds(database).add(HoldTerms(**terms), "Anna Weber", "12 O 34/26").number


@pytest.mark.parametrize("terms", [
    {"address": "Anna@CUSTOMER.example"}, {"message": "<20@bank.example>"}, {"message": "20@bank.example"},
    {"message": f"{2000:016x}"}, {"since": NOW - 21 * DAY, "until": NOW - 19 * DAY},
    {"address": "anna@customer.example", "since": NOW - 21 * DAY}])
def test_held_evidence_stays_as_long_as_the_hold(database, terms) -> None:
    DbEvidence(database).add((mail(20), mail(30, recipient="ben@customer.example")))
    number = holding(database, **terms)
    assert delete_all(database, "evidence", NOW - 10 * DAY) == 1
    assert ages(database) == [20]
    DbLegalHolds(database).remove(number)
    assert delete_all(database, "evidence", NOW - 10 * DAY) == 1


@pytest.mark.parametrize("terms", [
    {"address": "na@customer.example"}, {"until": NOW - 20 * DAY}, {"since": NOW - 19 * DAY},
    {"address": "anna@customer.example", "until": NOW - 21 * DAY}, {"customer": "anna"}])
def test_a_hold_covers_only_what_meets_all_its_terms(database, terms) -> None:
    DbEvidence(database).add((mail(20),))
    holding(database, **terms)
    assert delete_all(database, "evidence", NOW - 10 * DAY) == 1


def test_a_domain_is_the_same_in_any_spelling(database) -> None:
    DbEvidence(database).add((mail(20, recipient="anna@xn--mller-kva.example"),))
    holding(database, address="anna@m\u00fcller.example")
    assert delete_all(database, "evidence", NOW - 10 * DAY) == 0


@pytest.mark.parametrize("terms", [{"customer": "10001"}, {"address": "anna@customer.example"}])
def test_a_customer_is_held_by_number_and_by_address(database, terms) -> None:
    DbCustomers(database).put([Customer("10001", "Anna", ("anna@customer.example",), None)])
    DbEvidence(database).add((mail(20), mail(20, recipient="ben@customer.example")))
    codes = DbCodes(database)
    codes.issue(a_code(1, 20), SendLimits(0, 0))
    codes.issue(a_code(2, 20, "10002"), SendLimits(0, 0))
    ended_run(database, "run1", ("10001", "10002"))
    holding(database, **terms)
    assert [delete_all(database, kind, NOW + DAY) for kind in ("evidence", "codes", "runs")] == [1, 1, 1]
    assert [count(database, one) for one in (evidence, code, statement_item, statement_run)] == [1, 1, 1, 1]


def test_an_address_that_moved_is_still_held(database) -> None:
    """The register of customers may change after the hold was added."""
    register = DbCustomers(database)
    register.put([Customer("10001", "Anna", ("anna@customer.example",), None)])
    holding(database, customer="10001")
    register.put([Customer("10001", "Anna", ("new@customer.example",), None)])
    DbEvidence(database).add((mail(20), mail(21, recipient="new@customer.example")))
    assert delete_all(database, "evidence", NOW) == 0


@pytest.mark.parametrize("message", ["0123456789abcdef01234567", "0123456789abcdef01234567-2"])
def test_a_run_and_a_code_hold_the_evidence_of_their_mails(database, message) -> None:
    """Their ids are in the Message-IDs (services.verp)."""
    DbEvidence(database).add((
        mail(20, message_id="<0123456789abcdef01234567-2.5f4dcc3b5aa765d6@bounces.bank.example>"),
        mail(20, message_id="<0123456789abcdef01234568-2.5f4dcc3b5aa765d6@bounces.bank.example>")))
    holding(database, message=message)
    assert delete_all(database, "evidence", NOW) == 1


@pytest.mark.parametrize("message", [f"{2000:016x}", f"{2100:016x}", "4XyZ1"])
def test_all_attempts_of_a_message_are_held(database, message) -> None:
    """`trace` shows them together: a retry has an id of its own."""
    DbEvidence(database).add((
        mail(21, message_id="<1@bank.example>", settled=Settled.LATER, next_hop_reply="451 later"),
        mail(20, message_id="<1@bank.example>", next_hop_reply="250 2.0.0 Ok: queued as 4XyZ1"),
        mail(20, message_id="<2@bank.example>", incident="f" * 16)))
    holding(database, message=message)
    assert delete_all(database, "evidence", NOW) == 1


def test_a_message_holds_the_codes_of_its_customers(database) -> None:
    """A code's row does not say in which mail it was sent."""
    DbCustomers(database).put([Customer("10001", "Anna", ("anna@customer.example",), None)])
    DbEvidence(database).add((mail(20),))
    codes = DbCodes(database)
    codes.issue(a_code(1, 20), SendLimits(0, 0))
    codes.issue(a_code(2, 20, "10002"), SendLimits(0, 0))
    holding(database, message=mail(20).incident)
    assert delete_all(database, "codes", NOW) == 1


def test_personal_values_of_the_audit_log_are_held_too(database) -> None:
    with acting(Actor("user", "anna")):
        for number in ("10001", "10002"):
            database.record(Act("customer.block", number), "done")
    holding(database, customer="10001")
    assert delete_all(database, "audit_values", database.now() + DAY) == 2
    assert "10001" in [entry.object_id for entry in DbAudit(database).entries(AuditQuery(act="customer.block"))]


def test_a_hold_that_comes_between_reading_and_deleting_counts(database, monkeypatch) -> None:
    DbEvidence(database).add((mail(20),))
    write = database.write

    def late(work, **given):
        monkeypatch.undo()
        holding(database, address="anna@customer.example")
        return write(work, **given)

    monkeypatch.setattr(database, "write", late)
    step = DbRetention(database).delete("evidence", NOW, ())
    assert (step.deleted, step.held) == (0, 1)
