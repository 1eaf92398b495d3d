"""Deletes old records of all kinds, a few in a transaction."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from gateway.adapters.db.engine.database import Connection, Database
from gateway.adapters.db.retention.candidates import OldRecords
from gateway.adapters.db.retention.evidence import OldEvidence
from gateway.adapters.db.tables.mail import micros
from gateway.ports.retention import Place, RecordKind, Step

ROWS_MAX: Final = 200  # in one transaction: bounds how long a mail waits for the lock of a SQLite database

KINDS: Final[Mapping[RecordKind, OldRecords]] = MappingProxyType({"evidence": OldEvidence()})


class DbRetention:
    """See ports.retention.Retention."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def delete(self, kind: RecordKind, before: datetime, after: Place) -> Step:
        """See Retention. It reads before the transaction, which then only deletes."""
        records = KINDS[kind]
        with self._database.read() as connection:
            found = records.find(connection, micros(before), after, ROWS_MAX)
        if not found:
            return Step(0, None)
        keys = [one.key for one in found]

        def work(connection: Connection) -> int:
            return records.delete(connection, keys)

        return Step(self._database.write(work), found[-1].place)
