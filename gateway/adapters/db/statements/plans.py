"""Planning: the items of a run, and what other runs have of the same statements."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, exists, func, insert, null, or_, select, update

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.engine.text import storable
from gateway.adapters.db.statements.rows import ITEM_COLUMNS, chunk_of, item_of
from gateway.adapters.db.tables.mail import micros
from gateway.adapters.db.tables.statements import statement_chunk, statement_item, statement_run
from gateway.ports.services.statements.rows import Chunk, ItemRow, ItemState, NewItem

_r, _c, _i = statement_run.c, statement_chunk.c, statement_item.c
_HAVE_IT: Final = (ItemState.SENT.value, ItemState.HELD.value)
_MAY_HAVE_IT: Final = (ItemState.CANCELLED.value, ItemState.REFUSED.value)


class DbPlans:
    """See ports.services.statements.plans."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def planned_up_to(self, run: str) -> Chunk | None:
        """See PlanStore."""
        query = select(statement_chunk).where(_c.run == run).order_by(_c.number.desc()).limit(1)
        with self._database.read() as connection:
            found = connection.execute(query).first()
        return None if found is None else chunk_of(found)

    def plan(self, chunk: Chunk, items: Sequence[NewItem], at: datetime) -> int:
        """See PlanStore."""
        now = micros(at)

        def work(connection: Connection) -> int:
            taken = set(_owned(connection, items))
            rows: list[dict[str, Any]] = []
            repeated, due = 0, False
            for one in items:
                state, reason = ItemState.PLANNED, one.reason
                version: str | None = one.version
                if not one.series:
                    state, version = ItemState.REFUSED, None
                elif (one.series, one.version) in taken:
                    state, reason, version = ItemState.REPEATED, "statement.sent_before", None
                    repeated += 1
                else:
                    taken.add((one.series, one.version))
                    due = True
                rows.append({"run": chunk.run, "row": one.row, "holder": one.holder, "customer": storable(one.customer),
                             "series": one.series, "version": version, "state": state.value, "domain": "", "rule": "",
                             "reason": reason, "detail": storable(one.detail), "reply": "", "queue_id": None,
                             "resent": 0, "tries": 0, "at": now, "delivery": "", "answer": "", "delivery_at": None,
                             "channel": ""})
            connection.execute(insert(statement_chunk).values(
                run=chunk.run, number=chunk.number, start=chunk.offset, first_row=chunk.first_row, rows=chunk.rows,
                due_at=now if due else None, at=now))
            if rows:
                connection.execute(insert(statement_item), rows)
            return repeated

        return self._database.write(work, alone="statement_item")

    def sent_of(self, run: str, series: Sequence[bytes]) -> Sequence[tuple[bytes, str | None]]:
        """See PlanStore. What ended in doubt is its run's own still: it has its version."""
        in_doubt = _i.state.in_(_MAY_HAVE_IT) & _i.version.is_not(None)
        query = (select(_i.series, _i.version)
                 .where(_i.run == run, _i.series.in_(list(series)), or_(_i.state.in_(_HAVE_IT), in_doubt))
                 .order_by(_i.id))
        with self._database.read() as connection:
            return [(bytes(one.series), one.version) for one in connection.execute(query)]

    def repeated_of(self, run: str) -> Mapping[str, int]:
        """See PlanStore."""
        other = statement_item.alias()
        query = (select(other.c.run, func.count().label("statements"))
                 .select_from(statement_item.join(other, (other.c.series == _i.series) & other.c.version.is_not(None)))
                 .where(_i.run == run, _i.state == ItemState.REPEATED.value, other.c.run != run)
                 .group_by(other.c.run).order_by(func.count().desc(), other.c.run))
        with self._database.read() as connection:
            return {row.run: row.statements for row in connection.execute(query)}

    def replaced_of(self, run: str, series: Sequence[bytes]) -> frozenset[bytes]:
        """See PlanStore."""
        query = (select(_i.series).join(statement_run, _r.id == _i.run)
                 .where(_r.about == run, _r.kind == "replace", _i.series.in_(list(series)), _i.state.in_(_HAVE_IT)))
        with self._database.read() as connection:
            return frozenset(bytes(one) for one in connection.scalars(query))

    def held_of(self, run: str, *, also: Sequence[int], replaced_by: str | None) -> Sequence[ItemRow]:
        """See PlanStore."""
        mine = [_i.run == run]
        if replaced_by is not None:
            new = statement_item.alias()
            mine.append(exists(select(new.c.id).where(
                new.c.run == replaced_by, new.c.series == _i.series, new.c.state == ItemState.PLANNED.value)))
        held = or_(_i.state == ItemState.HELD.value, _i.detail.startswith("held as "))
        some = [also[start:start + 500] for start in range(0, len(also), 500)]
        found: dict[int, ItemRow] = {}
        with self._database.read() as connection:
            for which in (held, *(_i.id.in_(ids) for ids in some)):
                for row in connection.execute(select(*ITEM_COLUMNS).where(*mine, which).order_by(_i.id)):
                    found[row.id] = item_of(row)
        return list(found.values())

    def taken_back(self, item: int, at: datetime, *, detail: str, free: bool) -> None:
        """See PlanStore."""
        statement = (update(statement_item).where(_i.id == item, _i.state == ItemState.HELD.value)
                     .values(state=ItemState.CANCELLED.value, version=null() if free else _i.version, reason="",
                             detail=storable(detail), at=micros(at)))
        self._database.write(lambda connection: connection.execute(statement) and None)


def _owned(connection: Connection, items: Sequence[NewItem]) -> Iterator[tuple[bytes, str]]:
    """Which of these statements are an item's already."""
    names = [one.series for one in items if one.series]
    for start in range(0, len(names), 500):
        query = select(_i.series, _i.version).where(_i.series.in_(names[start:start + 500]), _i.version.is_not(None))
        yield from ((bytes(series), version) for series, version in connection.execute(query))
