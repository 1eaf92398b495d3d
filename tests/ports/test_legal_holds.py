"""The contract of LegalHolds, over both databases: numbers, and acts in the audit log."""

import pytest

from gateway.adapters.db.audit import DbAudit
from gateway.adapters.db.legal_holds import DbLegalHolds
from gateway.errors import GatewayError, Reason
from gateway.model.audit.actor import Actor, acting
from gateway.model.legal_hold import HoldTerms
from gateway.ports.audit import AuditQuery
from tests.support.pki import NOW

TERMS = HoldTerms("anna@customer.example", "10001", "<1@bank.example>", NOW, None)


def test_what_is_added_is_listed_as_it_was_until_it_is_removed(database) -> None:
    holds = DbLegalHolds(database)
    hold = holds.add(TERMS, "Anna Weber", "12 O 34/26")
    assert holds.list() == (hold,)
    assert (hold.number, hold.person, hold.reason, hold.terms) == (1, "Anna Weber", "12 O 34/26", TERMS)
    assert holds.remove(1) == hold
    assert holds.list() == ()


def test_no_number_is_given_twice(database) -> None:
    holds = DbLegalHolds(database)
    holds.remove(holds.add(TERMS, "p", "r").number)
    assert holds.add(TERMS, "p", "r").number == 2


def test_both_acts_are_in_the_audit_log(database) -> None:
    with acting(Actor("user", "anna")):
        holds = DbLegalHolds(database)
        holds.remove(holds.add(TERMS, "Anna Weber", "12 O 34/26").number)
    removed, added = DbAudit(database).entries(AuditQuery(act="legal_hold"))
    assert [one.record.act for one in (added, removed)] == ["legal_hold.add", "legal_hold.remove"]
    for one in (added, removed):
        assert (one.actor, one.object_id, one.record.result) == ("anna", "1", "done")
        assert one.record.details == {"since": NOW.isoformat()}
        assert {name: value.value for name, value in one.values.items() if name != "actor"} == {
            "person": "Anna Weber", "reason": "12 O 34/26", "address": "anna@customer.example", "customer": "10001",
            "message": "<1@bank.example>"}


def test_a_hold_of_everything_is_refused(database) -> None:
    with pytest.raises(GatewayError) as caught:
        DbLegalHolds(database).add(HoldTerms(), "p", "r")
    assert caught.value.reason is Reason.USAGE


def test_removing_what_is_not_there_is_refused_and_recorded(database) -> None:
    with pytest.raises(GatewayError, match="no legal hold 7"):
        DbLegalHolds(database).remove(7)
    (entry,) = DbAudit(database).entries(AuditQuery(act="legal_hold.remove"))
    assert entry.record.result == "failed"


@pytest.mark.parametrize("call", [
    lambda holds: holds.add(TERMS, "p", "r"), lambda holds: holds.remove(1), lambda holds: holds.list()])
def test_a_dead_database_is_named(dead_database, call) -> None:
    with pytest.raises(GatewayError) as caught:
        call(DbLegalHolds(dead_database))
    assert (caught.value.reason, caught.value.retry) == (Reason.STORE_UNAVAILABLE, True)
