"""Old one-time codes, with their mails and notes."""

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

from sqlalchemy import Connection, delete, or_, select

from gateway.adapters.db.retention.candidates import Candidate
from gateway.adapters.db.tables.codes import code
from gateway.adapters.db.tables.mail import moment
from gateway.model.legal_hold import RecordWords, words_of
from gateway.ports.retention import Place

_c = code.c


class OldCodes:
    """See candidates.OldRecords."""

    def find(self, connection: Connection, before: int, after: Place, limit: int) -> Sequence[Candidate]:
        """See OldRecords."""
        query = select(_c.code_id, _c.created_at, _c.customer, _c.reference).where(_c.created_at < before)
        if after:
            at, code_id = after
            query = query.where(or_(_c.created_at > at, (_c.created_at == at) & (_c.code_id > code_id)))
        found = connection.execute(query.order_by(_c.created_at, _c.code_id).limit(limit))
        return [Candidate(row.code_id, (row.created_at, row.code_id), cache(partial(_words, row))) for row in found]

    def delete(self, connection: Connection, keys: Sequence[int | str]) -> int:
        """See OldRecords. Mails and notes go with their code."""
        return connection.execute(delete(code).where(_c.code_id.in_(keys))).rowcount


def _words(row: Any) -> RecordWords:
    return RecordWords(moment(row.created_at), frozenset(words_of([row.code_id, row.reference])),
                       frozenset([row.customer]), has_message=False)
