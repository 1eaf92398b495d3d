"""Tables brought up to date while workers are at work on them: their mails wait or go on, and nothing is lost.

Truth: what a call returned for is found afterwards. Starts the session's PostgreSQL server and one process.
"""

import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from sqlalchemy import select

from gateway.adapters.db.engine import schema
from gateway.adapters.db.engine.schema import connected
from gateway.adapters.db.evidence import DbEvidence
from gateway.adapters.db.journal import DbJournal
from gateway.adapters.db.tables.mail import evidence as table
from gateway.clock import SystemClock
from gateway.errors import GatewayError, Reason
from gateway.model.outcome import Settled
from gateway.model.record import EvidenceRecord
from gateway.ports.journal import JournalState
from tests.support.databases import DROP_AUDIT, written
from tests.support.pki import NOW

ANNA, BEN = "anna@customer.example", "ben@customer.example"
RECORD = EvidenceRecord(
    at=NOW, incident="", message_key="", message_id="", direction="outbound", client=None, sender="", recipient=ANNA,
    rule="", steps=(), end="send", settled=Settled.TAKEN, reasons=(), certificates=(), policy_digest="",
    next_hop_reply=None, sealed_digest="", facts={})
UPGRADE = """
import sys
from pathlib import Path
from gateway.adapters.db.engine.schema import upgrade_database
from tests.support.databases import read
upgrade_database(read(sys.argv[1]), Path(sys.argv[2]))
"""


class Worker:
    """Sends mails of two groups without a pause, each again and again until it is through."""

    def __init__(self, database) -> None:
        self.journal, self.evidence = DbJournal(database, SystemClock()), DbEvidence(database)
        self.done, self.later, self.surprises = [], 0, []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        number = 0
        while not self.ended.is_set():
            try:
                self._mail(f"key{number}")
            except GatewayError as trouble:
                if not trouble.retry:
                    self.surprises.append(trouble)
                self.later += 1
                time.sleep(0.02)
            except Exception as surprise:  # noqa: BLE001
                self.surprises.append(surprise)
                return
            else:
                self.done.append(f"key{number}")
                number += 1

    def _mail(self, key: str) -> None:
        taken = {row.recipient for row in self.journal.claim(key, (ANNA, BEN)) if row.state is JournalState.TAKEN}
        for one in {ANNA, BEN} - taken:
            self.journal.sending(key, (one,))
            self.journal.taken(key, (one,), "250 ok")
        self.journal.release(key, acknowledged=True)
        self.evidence.add((replace(RECORD, incident=key),))

    def more(self, count: int) -> None:
        before, end = len(self.done), time.monotonic() + 60
        while len(self.done) < before + count:
            assert time.monotonic() < end
            assert not self.surprises, self.surprises
            time.sleep(0.01)

    def end(self) -> None:
        self.ended.set()
        self.thread.join(30)


@pytest.fixture
def worker(database):
    """On a connection of its own to the database, which does not look at its version again."""
    mine = connected(database.where)
    started = []

    def start() -> Worker:
        started.append(Worker(mine))
        return started[-1]

    yield start
    for one in started:
        one.end()
    mine.close()


def everything_is_there(database, worker) -> None:
    journal = DbJournal(database, SystemClock())
    for key in worker.done:
        assert {row.state for row in journal.rows(key)} == {JournalState.TAKEN}
    with database.read() as connection:
        assert set(worker.done) <= set(connection.scalars(select(table.c.incident)))
    assert worker.surprises == []


def test_from_an_earlier_version_to_this_one(database, worker, tmp_path) -> None:
    for statement in ("DROP TABLE request", "DROP TABLE callback", "DROP TABLE database_identity",
                      *DROP_AUDIT,
                      "ALTER TABLE statement_chunk DROP COLUMN item",
                      "ALTER TABLE statement_chunk DROP COLUMN attempts",
                      "UPDATE alembic_version SET version_num = '0006'"):
        database.write(lambda connection, statement=statement: connection.exec_driver_sql(statement) and None)
    at_work = worker()
    time.sleep(0.2)
    id_file = tmp_path / "upgraded.id"
    subprocess.run([sys.executable, "-c", UPGRADE, written(database.where), id_file], check=True)
    assert schema.current(database) == schema.HEAD
    schema.open_database(database.where, id_file).close()  # it has an id now, and the settings know it
    at_work.more(20)
    at_work.end()
    everything_is_there(database, at_work)


def test_a_table_in_use_is_altered(database, worker, tmp_path) -> None:
    """As a later version may do it: a column more, under the lock that changes of tables take."""
    at_work = worker()
    at_work.more(20)
    with database.migrating() as connection:
        connection.exec_driver_sql("ALTER TABLE journal ADD COLUMN later TEXT")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        time.sleep(0.5)  # a long one: everybody waits
    at_work.more(20)  # the old version goes on beside the new tables
    at_work.end()
    everything_is_there(database, at_work)
    with pytest.raises(GatewayError, match="9999") as caught:  # but no process of it starts any more
        schema.open_database(database.where, tmp_path / "s.id")
    assert caught.value.reason is Reason.STORE_VERSION
