"""Evidence records in the database: one per message and recipient, many mails to one commit (see group.py)."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from sqlalchemy import insert, or_, select

from gateway.adapters.db.engine import Database
from gateway.adapters.db.tables import evidence, micros, moment
from gateway.adapters.db.text import queue_id, storable, strip_brackets
from gateway.model.outcome import Settled
from gateway.model.record import EvidenceRecord

PAGE: Final = 500  # records read at once: a long replay keeps no snapshot open
FOUND_MAX: Final = 10_000

_FIELDS: Final = tuple(field.name for field in fields(EvidenceRecord))
_TUPLES: Final = ("steps", "reasons", "certificates")
_INSERT: Final = insert(evidence)
_c = evidence.c


class DbEvidence:
    """See ports.evidence.Evidence."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, records: tuple[EvidenceRecord, ...]) -> None:
        """See Evidence."""
        if not records:
            return
        rows = [_packed(record) for record in records]
        self._database.group.insert(_INSERT, rows)

    def since(self, at: datetime) -> Iterator[EvidenceRecord]:
        """See Evidence. Read by pages; what is added meanwhile comes too."""
        place, number = micros(at), 0
        while True:
            query = select(_c.id, _c.at, _c.record).where(
                or_(_c.at > place, (_c.at == place) & (_c.id > number))).order_by(_c.at, _c.id).limit(PAGE)
            with self._database.read() as connection:
                page = connection.execute(query).all()
            for row in page:
                yield _unpacked(row.at, row.record)
            if len(page) < PAGE:
                return
            place, number = page[-1].at, page[-1].id

    def find(self, key: str) -> tuple[EvidenceRecord, ...]:
        """See Evidence."""
        wanted = storable(strip_brackets(key))
        if not wanted:
            return ()
        query = select(_c.at, _c.record).where(
            or_(_c.incident == wanted, _c.message_id == wanted, _c.queue_id == wanted),
        ).order_by(_c.at, _c.id).limit(FOUND_MAX)
        with self._database.read() as connection:
            found = connection.execute(query).all()
        return tuple(_unpacked(row.at, row.record) for row in found)


def _packed(record: EvidenceRecord) -> dict[str, Any]:
    """The whole record as JSON, and beside it what is searched for."""
    values = {name: getattr(record, name) for name in _FIELDS if name != "at"}
    return {"at": micros(record.at), "incident": storable(record.incident),
            "message_id": storable(strip_brackets(record.message_id)), "queue_id": _stored_queue_id(record),
            "record": values}


def _stored_queue_id(record: EvidenceRecord) -> str | None:
    found = queue_id(record.next_hop_reply)
    return None if found is None else storable(found)


def _unpacked(at: int, values: dict[str, Any]) -> EvidenceRecord:
    packed: dict[str, Any] = {
        name: tuple(values[name]) if name in _TUPLES else values[name] for name in _FIELDS if name != "at"}
    packed["settled"] = Settled(packed["settled"])
    return EvidenceRecord(at=moment(at), **packed)
