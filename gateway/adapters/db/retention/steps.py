"""Deletes old records of all kinds, a few in a transaction, but none that a legal hold covers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

from sqlalchemy import insert, select, update

from gateway.adapters.db import legal_holds
from gateway.adapters.db.engine.database import Connection, Database
from gateway.adapters.db.retention.audit_values import OldAuditValues
from gateway.adapters.db.retention.candidates import Candidate, OldRecords
from gateway.adapters.db.retention.codes import OldCodes
from gateway.adapters.db.retention.evidence import OldEvidence
from gateway.adapters.db.retention.runs import OldRuns
from gateway.adapters.db.tables.mail import counter, micros, moment
from gateway.model.legal_hold import LegalHold
from gateway.ports.retention import Place, RecordKind, Step

ROWS_MAX: Final = 100  # in one transaction: bounds how long a mail waits for the lock of a SQLite database

_REACHED: Final = "retention"  # of the counter: microseconds since 1970

KINDS: Final[Mapping[RecordKind, OldRecords]] = MappingProxyType({
    "evidence": OldEvidence(), "codes": OldCodes(), "runs": OldRuns(), "audit_values": OldAuditValues()})


class DbRetention:
    """See ports.retention.Retention."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reached(self) -> datetime | None:
        """See Retention."""
        with self._database.read() as connection:
            at = connection.scalar(select(counter.c.value).where(counter.c.name == _REACHED))
        return None if at is None else moment(at)

    def reach(self, at: datetime) -> None:
        """See Retention."""
        def work(connection: Connection) -> None:
            changed = update(counter).where(counter.c.name == _REACHED).values(value=micros(at))
            if not connection.execute(changed).rowcount:
                connection.execute(insert(counter).values(name=_REACHED, value=micros(at)))

        self._database.write(work, alone=_REACHED)

    def delete(self, kind: RecordKind, before: datetime, after: Place) -> Step:
        """See Retention.

        What must be kept is found before the transaction. In the transaction no hold may have come since, or it is
        found again there.
        """
        records = KINDS[kind]
        with self._database.read() as connection:
            found = records.find(connection, micros(before), after, ROWS_MAX)
            if not found:
                return Step(0, 0, None)
            holds = legal_holds.in_force(connection)
        known = {hold.number for hold in holds}
        free = _not_covered(found, holds)

        def work(connection: Connection) -> tuple[int, int]:
            keys = free
            if not legal_holds.numbers(connection) <= known:
                keys = _not_covered(found, legal_holds.in_force(connection))
            return (records.delete(connection, keys) if keys else 0), len(found) - len(keys)

        deleted, held = self._database.write(work, alone=legal_holds.LOCK)
        return Step(deleted, held, found[-1].place)


def _not_covered(found: Sequence[Candidate], holds: Sequence[LegalHold]) -> list[int | str]:
    """The keys of the records that may be deleted."""
    return [one.key for one in found if not any(hold.covers(one.words()) for hold in holds)]
