"""Evidence that an earlier version wrote as JSON is found, listed, counted and deleted beside packed evidence."""

from dataclasses import asdict, replace
from datetime import timedelta

import pytest

from gateway.adapters.db.evidence import INSERT, DbEvidence
from gateway.adapters.db.legal_holds import DbLegalHolds
from gateway.adapters.db.mail_list import DbMailList
from gateway.adapters.db.retention.steps import DbRetention
from gateway.adapters.db.tables.mail import micros
from gateway.adapters.db.trace import DbTrace
from gateway.model.legal_hold import HoldTerms
from gateway.model.mail_query import MailQuery
from gateway.model.outcome import Settled
from tests.ports.test_evidence import RECORD
from tests.support.pki import NOW

OLD = replace(RECORD, incident="01d0", settled=Settled.HELD, facts={"came_as": "4Front99abc"})
NEW = replace(RECORD, incident="2e00", at=NOW + timedelta(seconds=1), facts={"came_as": "4Front99abc"})


@pytest.fixture
def evidence(database):
    row = {"at": micros(OLD.at), "incident": OLD.incident, "message_id": OLD.message_id.strip("<>"), "queue_id": None,
           "record": {name: value for name, value in asdict(OLD).items() if name != "at"}}
    database.write(lambda connection: connection.execute(INSERT, [row]) and None)
    store = DbEvidence(database)
    store.add((NEW,))
    return store


def test_both_are_read(database, evidence) -> None:
    assert tuple(evidence.since(NOW - timedelta(days=1))) == (OLD, NEW)
    assert evidence.find(OLD.message_id) == (OLD, NEW)
    assert DbMailList(database).page(MailQuery(), 9).records == (NEW, OLD)


def test_both_are_counted(database, evidence) -> None:
    DbEvidence(database).add((replace(NEW, settled=Settled.HELD),))
    assert DbMailList(database).outcomes(NOW - timedelta(days=1)) == {Settled.HELD: 2, NEW.settled: 1}


def test_both_are_found_by_what_they_are_not_sorted_by(database, evidence) -> None:
    assert DbTrace(database).by_looking_through("4Front99abc", NOW - timedelta(days=1)) == ("01d0", "2e00")


def test_both_are_held_and_deleted(database, evidence) -> None:
    number = DbLegalHolds(database).add(HoldTerms(until=NEW.at), "p", "r").number
    step = DbRetention(database).delete("evidence", NOW + timedelta(days=1), ())
    assert (step.deleted, step.held) == (1, 1)
    assert tuple(evidence.since(NOW - timedelta(days=1))) == (OLD,)
    DbLegalHolds(database).remove(number)
    assert DbRetention(database).delete("evidence", NOW + timedelta(days=1), ()).deleted == 1
