"""What a statement takes in the database: `python -m bench.storage [--count 100000] [--postgresql]`.

One real run of a few statements gives the evidence records; their likes, with ids, digests, addresses and queue ids of
their own, go through the stores that a run uses: planned, sent, delivered. Octets are those of tables and indexes on
the disk (SQLite's dbstat, PostgreSQL's pg_total_relation_size), without the row of the run itself.
"""

import argparse
import secrets
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from bench.relay import bank_of, free_port
from bench.statements import Statements
from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.engine.schema import connected, create_database
from gateway.adapters.db.evidence import DbEvidence
from gateway.adapters.db.evidence_packing import pack, unpack
from gateway.adapters.db.statements.store import statement_store
from gateway.app import open_store
from gateway.model.record import EvidenceRecord
from gateway.ports.services.statements.rows import Chunk, Delivery, ItemState, NewItem, RunRow, RunState, Settlement
from gateway.settings import load

COUNT: Final = 100_000
A_YEAR: Final = 12_000_000  # a million a month
GOAL_GB: Final = 15
CHUNK: Final = 100  # rows, as a large run takes them
VACUUM_EVERY: Final = 10_000  # statements
MODELS: Final = 50  # statements of the real run
_TABLES: Final = ("evidence", "statement_item", "statement_chunk")
_QUEUE: Final = string.digits + string.ascii_letters
_SIZES_SQLITE: Final = ("SELECT m.tbl_name, sum(s.pgsize) FROM dbstat AS s JOIN sqlite_master AS m ON m.name = s.name "
                        "GROUP BY m.tbl_name")
_SIZES_POSTGRESQL: Final = ("SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r' "
                            "AND relnamespace = 'public'::regnamespace")


def models() -> Sequence[EvidenceRecord]:
    """The evidence of a real run."""
    sink = free_port()
    with tempfile.TemporaryDirectory(prefix="sealgate-bench-storage-") as folder:
        process = subprocess.Popen([sys.executable, "-m", "bench.wire", "sink", str(sink)], stdout=subprocess.DEVNULL)
        try:
            bank = bank_of(Path(folder) / "runs", sink)
            runs = Statements(bank)
            runs.prepare(1 << 10)
            subprocess.run(runs.command(MODELS), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with closing(open_store(load(bank.config))) as store:
                return tuple(store.evidence.since(datetime(1970, 1, 1, tzinfo=UTC)))
        finally:
            process.terminate()
            process.wait(20)


def alike(model: EvidenceRecord, number: int, at: datetime, queue_id: str) -> EvidenceRecord:
    """Another statement's record: what differs between any two differs here, too."""
    address, token = f"{secrets.token_hex(5)}@customer.example", secrets.token_hex(8)
    message_id = f"<{token}-{number}.{secrets.token_hex(8)}@bank.example>"
    sender = f"bounces+{token}-{number}.{secrets.token_hex(8)}@bank.example"
    headers = {**model.facts["headers"], "to": [address], "message-id": [message_id],
               "date": [f"{at:%a, %d %b %Y %H:%M:%S} +0000"],
               "content-type": [f'multipart/mixed; boundary="=_{secrets.token_hex(20)}"']}
    return replace(
        model, at=at, incident=secrets.token_hex(8), message_key=secrets.token_hex(32), message_id=message_id,
        sender=sender, recipient=address, certificates=(secrets.token_hex(32),), sealed_digest=secrets.token_hex(32),
        next_hop_reply=f"250 2.0.0 Ok: queued as {queue_id}",
        facts={**model.facts, "sender": sender, "recipient": address, "size": 5000 + number % 5000, "headers": headers})


def fill(database: Database, samples: Sequence[EvidenceRecord], count: int) -> None:
    """A run of so many statements, each planned, sent and delivered."""
    store, evidence, at = statement_store(database), DbEvidence(database), datetime.now(UTC)
    run = secrets.token_hex(8)
    store.runs.add(RunRow(run, "statement", "core-banking", "Bench", "2026-10", RunState.NEW, "{}", "", "", None, at,
                          None, None, "", ""))
    store.runs.change(run, [RunState.NEW], RunState.PLANNING)
    for number in range(count // CHUNK):
        first = number * CHUNK + 1
        store.plans.plan(Chunk(run, number, first * 43, first, CHUNK), [
            NewItem(row, 0, f"{10_000_000 + row}", secrets.token_bytes(16), "1")
            for row in range(first, first + CHUNK)], at)
    store.runs.begin(run, count, at)
    while (chunk := store.work.claim(run, at)) is not None:
        items = store.work.todo(chunk)
        store.work.note(chunk, [], [item.id for item in items], at)
        queued = {item.id: "4" + "".join(secrets.choice(_QUEUE) for _ in range(13)) for item in items}
        at += timedelta(milliseconds=100)
        evidence.add(tuple(alike(samples[item.id % len(samples)], item.row, at, queued[item.id]) for item in items))
        store.work.note(chunk, [Settlement(
            item.id, ItemState.SENT, "customer.example", "statements:statement",
            reply=f"250 2.0.0 Ok: queued as {name}", queue_id=name)
            for item, name in zip(items, queued.values(), strict=True)], [], at)
        store.work.release(chunk, at, due_at=None)
        store.results.deliveries([Delivery(name, "delivered", "250 2.0.0 Ok: queued as 4RmtHost1234", at)
                                  for name in queued.values()])
        if (chunk.number + 1) * CHUNK % VACUUM_EVERY == 0:
            vacuum(database)


def vacuum(database: Database) -> None:
    """What PostgreSQL's autovacuum does by its defaults once a fifth of a table has changed; tests' server has none."""
    if database.writers.dialect.name == "postgresql":
        with database.writers.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql(f"VACUUM {', '.join(_TABLES)}")


def sizes(database: Database) -> Mapping[str, int]:
    """Octets of each table with its indexes."""
    with database.read() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        rows = connection.exec_driver_sql(_SIZES_SQLITE if is_sqlite else _SIZES_POSTGRESQL).all()
    return {name: int(octets) for name, octets in rows if name in _TABLES}


@contextmanager
def fresh(*, postgresql: bool) -> Iterator[Database]:
    """An empty database with all tables."""
    with tempfile.TemporaryDirectory(prefix="sealgate-bench-storage-") as folder:
        if postgresql:
            from tests.support import postgres  # starts a server of its own

            database = connected(postgres.server().database())
        else:
            database = create_database(Path(folder) / "sealgate.db", Path(folder) / "database.id")
        try:
            yield database
        finally:
            database.close()


def packing_us(record: EvidenceRecord) -> tuple[float, float]:
    """CPU to pack the values of a record, and to unpack them: the best of some tries."""
    values = {"facts": record.facts, "recipient": record.recipient, "sender": record.sender,
              "message_id": record.message_id, "message_key": record.message_key, "steps": record.steps,
              "sealed_digest": record.sealed_digest, "policy_digest": record.policy_digest, "rule": record.rule}
    packed, tries = pack(values), 2000
    best = [1.0, 1.0]
    for _ in range(10):
        for place, work in enumerate((lambda: pack(values), lambda: unpack(packed))):
            began = time.thread_time()
            for _ in range(tries):
                work()
            best[place] = min(best[place], (time.thread_time() - began) / tries)
    return best[0] * 1e6, best[1] * 1e6


def main() -> int:
    """Exit 1 if a year takes more than the goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--postgresql", action="store_true")
    asked = parser.parse_args()
    samples = models()
    with fresh(postgresql=asked.postgresql) as database:
        before = sizes(database)
        fill(database, samples, asked.count)
        found = {name: (octets - before[name]) / asked.count for name, octets in sizes(database).items()}
    for name, octets in sorted(found.items()):
        print(f"{name:18} {octets:7.0f} octets a statement")
    total = sum(found.values())
    print(f"{'all':18} {total:7.0f} octets a statement")
    print(f"{total * A_YEAR / 1e9:.1f} GB for {A_YEAR:,} statements (at most {GOAL_GB})")
    print("packing {:.0f} us, unpacking {:.0f} us of a record".format(*packing_us(samples[0])))
    return int(total * A_YEAR > GOAL_GB * 1e9)


if __name__ == "__main__":
    sys.exit(main())
