"""Evidence records in the database: one per message and recipient, many mails to one commit (see group.py)."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from functools import partial
from itertools import chain, repeat
from typing import Any, Final

import structlog
from sqlalchemy import Connection, insert, or_, select

from gateway import threads
from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.engine.text import indexed, queue_id, strip_brackets
from gateway.adapters.db.evidence_packing import pack, unpack
from gateway.adapters.db.evidence_spool import Row, Spool
from gateway.adapters.db.tables.mail import evidence, micros, moment
from gateway.errors import GatewayError, Reason
from gateway.model.outcome import Settled
from gateway.model.record import EvidenceRecord

BRING_IN_S: Final = (0.0, 1.0, 2.0, 2.0, 2.0, 5.0)  # pauses between attempts to bring in what waits; the last repeats
PAGE: Final = 500  # records read at once: a long replay keeps no snapshot open
FOUND_MAX: Final = 10_000

_FIELDS: Final = tuple(field.name for field in fields(EvidenceRecord))
_TUPLES: Final = ("steps", "reasons", "certificates")
INSERT: Final = insert(evidence)
_c = evidence.c
RECORD: Final = (_c.at, _c.record, _c.packed)  # the columns of which `unpacked` makes a record


log = structlog.get_logger("sealgate.evidence")


class _Kept(threading.local):
    """What one thread keeps back; None: it keeps nothing back."""

    rows: list[dict[str, Any]] | None = None


class DbEvidence:
    """See ports.evidence.Evidence. With a spool, records are kept on local disk while the database takes none."""

    def __init__(self, database: Database, spool: Spool | None = None) -> None:
        self._database = database
        self._spool = spool
        self._bringing = threading.Lock()
        self._closed = threading.Event()
        self._began = False
        self._kept = _Kept()

    def ready(self) -> None:
        """See Evidence. The first call also brings in what dead processes of this machine have left."""
        if self._spool is None:
            return
        self._spool.reserve()
        if not self._began:
            self._bring_in(self._spool)

    def add(self, records: tuple[EvidenceRecord, ...]) -> None:
        """See Evidence."""
        if not records:
            return
        rows = [_packed(record) for record in records]
        if self._kept.rows is not None:
            self._kept.rows += rows
            return
        self._insert(rows)

    def keep_back(self) -> None:
        """From now on what this thread adds waits until it asks for it: it has a commit of its own soon."""
        self._kept.rows = self._kept.rows or []

    def kept_back(self) -> list[dict[str, Any]]:
        """What waits, for `INSERT`; it waits no longer. Nothing, where the thread keeps nothing back."""
        rows = self._kept.rows
        if not rows:
            return []
        self._kept.rows = []
        return rows

    def give_back(self, rows: list[dict[str, Any]]) -> None:
        """That commit has failed."""
        self._kept.rows = [*rows, *(self._kept.rows or ())]

    def let_go(self) -> None:
        """Adds what this thread has kept back. STORE_UNAVAILABLE (retry)."""
        if rows := self.kept_back():
            try:
                self._insert(rows)
            except GatewayError:
                self.give_back(rows)
                raise

    def keep_no_more(self) -> None:
        """Ends `keep_back` for this thread, and adds what it has kept back. STORE_UNAVAILABLE (retry)."""
        rows, self._kept.rows = self._kept.rows, None
        if rows:
            self._insert(rows)

    def _insert(self, rows: list[dict[str, Any]]) -> None:
        try:
            self._database.group.insert(INSERT, rows)
        except GatewayError as trouble:
            if self._spool is None or not (trouble.retry or trouble.reason is Reason.STORE_UNAVAILABLE):
                raise  # else there is no database just now, or no way in: its password's file is being changed
            self._spool.add(rows)
            log.critical("evidence.spooled", records=len(rows), detail=trouble.detail)
            self._bring_in(self._spool)

    def waiting(self) -> int:
        """Octets on this machine's disk that the database has not taken yet."""
        return self._spool.waiting() if self._spool is not None else 0

    def close(self) -> None:
        """What waits on disk is brought in by the next process."""
        self._closed.set()
        if self._spool is not None:
            self._spool.close()

    def _bring_in(self, spool: Spool) -> None:
        """Starts a thread that brings in what waits on disk, unless one is at work; it ends when nothing waits.

        Where no thread can be started the next mail tries again (`ready`): what waits is safe on disk.
        """
        if not self._bringing.acquire(blocking=False):
            return
        try:
            threads.start(self._bring_in_all, spool, name="evidence")
        except GatewayError as trouble:
            self._began = False
            self._bringing.release()
            log.warning("evidence.spool_waits", detail=trouble.detail)
        else:
            self._began = True

    def _bring_in_all(self, spool: Spool) -> None:
        try:
            for pause in chain(BRING_IN_S, repeat(BRING_IN_S[-1])):
                if self._brought_in(spool) or self._closed.wait(pause):
                    return
        finally:
            self._bringing.release()

    def _brought_in(self, spool: Spool) -> bool:
        """Tries once; whether nothing waits any more."""
        count = 0
        try:
            if not spool.waiting():
                spool.remove_unused()
                return True
            # One first: until the database takes records this process's file, and the room in it, stay.
            if first := spool.first():
                count += self._database.write(partial(_add_missing, rows=first))
            for batch in spool.batches():
                count += self._database.write(partial(_add_missing, rows=batch))
        except GatewayError as trouble:
            log.warning("evidence.spool_waits", detail=trouble.detail)
            return False
        if count:
            log.warning("evidence.spool_stored", records=count)
        return not spool.waiting()

    def since(self, at: datetime) -> Iterator[EvidenceRecord]:
        """See Evidence. Read by pages; what is added meanwhile comes too."""
        place, number = micros(at), 0
        while True:
            query = select(_c.id, *RECORD).where(
                or_(_c.at > place, (_c.at == place) & (_c.id > number))).order_by(_c.at, _c.id).limit(PAGE)
            with self._database.read() as connection:
                page = connection.execute(query).all()
            for row in page:
                yield unpacked(row)
            if len(page) < PAGE:
                return
            place, number = page[-1].at, page[-1].id

    def find(self, key: str) -> tuple[EvidenceRecord, ...]:
        """See Evidence."""
        term = indexed(strip_brackets(key))
        if not term:
            return ()
        query = select(*RECORD).where(
            or_(_c.incident == term, _c.message_id == term, _c.queue_id == term),
        ).order_by(_c.at, _c.id).limit(FOUND_MAX)
        with self._database.read() as connection:
            found = connection.execute(query).all()
        return tuple(map(unpacked, found))


def _packed(record: EvidenceRecord) -> dict[str, Any]:
    """The whole record packed, and beside it what is searched for."""
    values = {name: getattr(record, name) for name in _FIELDS if name != "at"}
    return {"at": micros(record.at), "incident": indexed(record.incident),
            "message_id": indexed(strip_brackets(record.message_id)), "queue_id": _stored_queue_id(record),
            "record": 0, "packed": pack(values), "settled": str(record.settled)}


def _stored(row: Row) -> Row:
    """A row out of the spool, where an earlier version kept the record as it is."""
    if "packed" in row:
        return row
    return {**row, "record": 0, "packed": pack(row["record"]), "settled": row["record"]["settled"]}


def _add_missing(connection: Connection, rows: Sequence[Row]) -> int:
    """Adds those that are not there, and says how many: a commit may have been done though its answer never came."""
    known = [(one.at, values_of(one)) for one in connection.execute(
        select(*RECORD).where(_c.incident.in_({row["incident"] for row in rows})))]
    missing = [row for row in map(_stored, rows) if (row["at"], unpack(row["packed"])) not in known]
    if missing:
        connection.execute(INSERT, missing)
    return len(missing)


def _stored_queue_id(record: EvidenceRecord) -> str | None:
    found = queue_id(record.next_hop_reply)
    return None if found is None else indexed(found)


def values_of(row: Any) -> dict[str, Any]:
    """The record's values, of a row with the columns RECORD."""
    values: dict[str, Any] = row.record if row.packed is None else unpack(bytes(row.packed))
    return values


def unpacked(row: Any) -> EvidenceRecord:
    """The record of a row with the columns RECORD."""
    values = values_of(row)
    packed: dict[str, Any] = {
        name: tuple(values[name]) if name in _TUPLES else values[name] for name in _FIELDS if name != "at"}
    packed["settled"] = Settled(packed["settled"])
    return EvidenceRecord(at=moment(row.at), **packed)
