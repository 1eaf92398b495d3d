"""Personal values of old audit records. The records stay: they have a commitment to each value."""

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

from sqlalchemy import Connection, delete, select

from gateway.adapters.db.retention.candidates import Candidate
from gateway.adapters.db.tables.audit import audit, audit_value
from gateway.adapters.db.tables.mail import moment
from gateway.model.audit.record import unpacked
from gateway.model.legal_hold import RecordWords, words_of
from gateway.ports.retention import Place

_a, _v = audit.c, audit_value.c


class OldAuditValues:
    """See candidates.OldRecords. A key is the number of a record. Only records with values are read."""

    def find(self, connection: Connection, before: int, after: Place, limit: int) -> Sequence[Candidate]:
        """See OldRecords."""
        last = after[0] if after else 0
        numbers = connection.scalars(
            select(_v.number).where(_v.number > last).distinct().order_by(_v.number).limit(limit)).all()
        rows = connection.execute(select(_a.number, _a.at, _a.octets).where(
            _a.number.in_(numbers), _a.at < before).order_by(_a.number)).all() if numbers else []
        values: dict[int, list[str]] = {}
        for row in connection.execute(select(_v.number, _v.value).where(_v.number.in_([one.number for one in rows]))):
            values.setdefault(row.number, []).append(row.value)
        return [Candidate(row.number, (row.number,), cache(partial(_words, row, values.get(row.number, []))))
                for row in rows]

    def delete(self, connection: Connection, keys: Sequence[int | str]) -> int:
        """See OldRecords. The number of values."""
        return connection.execute(delete(audit_value).where(_v.number.in_(keys))).rowcount


def _words(row: Any, values: Sequence[str]) -> RecordWords:
    record = unpacked(bytes(row.octets))
    words = frozenset(words_of([list(values), record.object_id, dict(record.details)]))
    return RecordWords(moment(row.at), words, frozenset(values) | words)
