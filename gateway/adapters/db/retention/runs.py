"""Ended runs of statements: first their items, a few at a time, then the run itself if no item is left."""

from collections.abc import Sequence
from functools import cache, partial
from typing import Any, Final

from sqlalchemy import Connection, delete, or_, select

from gateway.adapters.db.retention.candidates import Candidate
from gateway.adapters.db.tables.mail import moment
from gateway.adapters.db.tables.statements import statement_chunk, statement_item, statement_run
from gateway.model.legal_hold import RecordWords, words_of
from gateway.ports.retention import Place

_AFTER_ITEMS: Final = 2**63 - 1  # in a place: behind the last item of a run

_r, _c, _i = statement_run.c, statement_chunk.c, statement_item.c


class OldRuns:
    """See candidates.OldRecords. A key is the number of an item, or the id of a run."""

    def find(self, connection: Connection, before: int, after: Place, limit: int) -> Sequence[Candidate]:
        """See OldRecords. Those of one run."""
        query = select(_r.id, _r.ended_at, _r.name).where(_r.ended_at < before)
        item = 0
        if after:
            at, run_id, item = after  # type: ignore[assignment]
            behind = _r.id > run_id if item == _AFTER_ITEMS else _r.id >= run_id
            query = query.where(or_(_r.ended_at > at, (_r.ended_at == at) & behind))
        run = connection.execute(query.order_by(_r.ended_at, _r.id).limit(1)).first()
        if run is None:
            return []
        items = connection.execute(
            select(_i.id, _i.customer, _i.queue_id, _i.at)
            .where(_i.run == run.id, _i.id > (item if after and run.id == after[1] else 0)).order_by(_i.id)
            .limit(limit)).all()
        found = [Candidate(row.id, (run.ended_at, run.id, row.id), cache(partial(_words_of_item, run.id, row)))
                 for row in items]
        if len(found) < limit:
            found.append(Candidate(run.id, (run.ended_at, run.id, _AFTER_ITEMS), cache(partial(_words_of_run, run))))
        return found

    def delete(self, connection: Connection, keys: Sequence[int | str]) -> int:
        """See OldRecords."""
        items = [key for key in keys if isinstance(key, int)]
        count = connection.execute(delete(statement_item).where(_i.id.in_(items))).rowcount if items else 0
        for run in (key for key in keys if isinstance(key, str)):
            if connection.scalar(select(_i.id).where(_i.run == run).limit(1)) is None:
                connection.execute(delete(statement_chunk).where(_c.run == run))
                count += connection.execute(delete(statement_run).where(_r.id == run)).rowcount
        return count


def _words_of_item(run: str, row: Any) -> RecordWords:
    return RecordWords(moment(row.at), frozenset(words_of([run, f"{run}-{row.id}", row.queue_id or ""])),
                       frozenset([row.customer]), has_message=False)


def _words_of_run(run: Any) -> RecordWords:
    return RecordWords(moment(run.ended_at), frozenset(words_of([run.id, run.name])), has_message=False)
