"""Old evidence records."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, or_, select

from gateway.adapters.db.retention.candidates import Candidate
from gateway.adapters.db.tables.mail import evidence
from gateway.ports.retention import Place

_c = evidence.c


class OldEvidence:
    """See candidates.OldRecords."""

    def find(self, connection: Connection, before: int, after: Place, limit: int) -> Sequence[Candidate]:
        """See OldRecords."""
        query = select(_c.id, _c.at).where(_c.at < before)
        if after:
            at, number = after
            query = query.where(or_(_c.at > at, (_c.at == at) & (_c.id > number)))
        found = connection.execute(query.order_by(_c.at, _c.id).limit(limit))
        return [Candidate(row.id, (row.at, row.id)) for row in found]

    def delete(self, connection: Connection, keys: Sequence[int | str]) -> int:
        """See OldRecords."""
        return connection.execute(delete(evidence).where(_c.id.in_(keys))).rowcount
