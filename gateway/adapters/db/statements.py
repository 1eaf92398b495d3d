"""Runs of statements in the database. See ports.services.statements for what stands where.

A chunk is claimed by one process; it is free again when that process has died (`Database.is_dead`), or, where that
cannot be known, when it has shown nothing for LEASE. Every item that leaves is checked against the claim in the same
statement that writes it down, so that a process that was taken for dead sends nothing more.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from sqlalchemy import (
    Boolean,
    Connection,
    Text,
    bindparam,
    case,
    exists,
    func,
    insert,
    null,
    or_,
    select,
    update,
)

from gateway.adapters.db.engine import claim_owner as owner
from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.engine.text import indexed, queue_id, storable
from gateway.adapters.db.evidence import INSERT, DbEvidence
from gateway.adapters.db.statement_status import ITEM_COLUMNS, DbStatementsTold, item_of
from gateway.adapters.db.tables.mail import micros, moment
from gateway.adapters.db.tables.statements import statement_chunk, statement_item, statement_run
from gateway.errors import GatewayError, Reason
from gateway.ports.services.statements import (
    OPEN,
    Chunk,
    ItemRow,
    ItemState,
    NewItem,
    RunRow,
    RunState,
    Settlement,
)

LEASE: Final = timedelta(hours=1)  # of a chunk whose process can be asked by nobody

_r, _c, _i = statement_run.c, statement_chunk.c, statement_item.c
_OPEN: Final = tuple(state.value for state in OPEN)
_ENDED: Final = (RunState.DONE.value, RunState.CANCELLED.value, RunState.STOPPED.value)
_HAVE_IT: Final = (ItemState.SENT.value, ItemState.HELD.value)
_MAY_HAVE_IT: Final = (ItemState.CANCELLED.value, ItemState.REFUSED.value)

_RUN_COLUMNS: Final = [column for column in statement_run.columns if column.name != "owner"]
_MAY_LEAVE: Final = exists(
    select(_c.number).join(statement_run, _r.id == _c.run)
    .where(_c.run == bindparam("of"), _c.number == bindparam("chunk"), _c.token == bindparam("own", type_=Text),
           _r.state == RunState.RUNNING.value))
# Spelt out, because a list of its own length would be compiled anew for each mail.
_IS_OPEN: Final = or_(*[_i.state == state for state in _OPEN])
_LEAVE: Final = (
    update(statement_item).where(_i.id == bindparam("item"), _IS_OPEN, _MAY_LEAVE)
    .values(state=ItemState.SENDING.value, at=bindparam("now"), tries=_i.tries + 1,
            resent=_i.resent + case((_i.state == ItemState.SENDING.value, 1), else_=0)))
_SETTLE: Final = (
    update(statement_item).where(_i.id == bindparam("item"), _IS_OPEN)
    .values(state=bindparam("to"), domain=bindparam("of_domain"), rule=bindparam("by_rule"), reason=bindparam("why"),
            detail=bindparam("words"), reply=bindparam("answered"), queue_id=bindparam("queued"), at=bindparam("now"),
            channel=bindparam("by_channel"),
            # What waits without having left was tried, too.
            tries=_i.tries + case(
                (bindparam("waits", type_=Boolean) & (_i.state != ItemState.SENDING.value), 1), else_=0),
            version=case((bindparam("free", type_=Boolean), null()), else_=_i.version)))
_TODO: Final = (
    select(*ITEM_COLUMNS).where(_i.run == bindparam("of"), _i.row >= bindparam("first"), _i.row < bindparam("behind"),
                                 _i.state.in_(_OPEN)).order_by(_i.row, _i.holder))


class DbStatements(DbStatementsTold):
    """See ports.services.statements.StatementStore."""

    def __init__(self, database: Database, evidence: DbEvidence | None = None) -> None:
        """`evidence`: what the calling thread keeps back there goes into the commit of its next `note`."""
        super().__init__(database)
        self._evidence = evidence

    # --- runs

    def add(self, run: RunRow) -> None:
        """See StatementStore."""
        values = {"id": run.id, "kind": run.kind, "client": run.client, "name": run.name, "period": run.period,
                  "state": run.state.value, "spec": run.spec, "sha256": run.sha256, "about": run.about,
                  "rows": run.rows, "created_at": micros(run.created_at), "started_at": _micros(run.started_at),
                  "ended_at": _micros(run.ended_at), "reason": run.reason, "detail": run.detail}
        self._database.write(lambda connection: connection.execute(insert(statement_run).values(values)) and None,
                             acts=True)

    def run(self, run: str) -> RunRow | None:
        """See StatementStore."""
        with self._database.read() as connection:
            found = connection.execute(select(*_RUN_COLUMNS).where(_r.id == run)).first()
        return None if found is None else _run(found)

    def runs(self, *, client: str | None = None, limit: int = 100) -> Sequence[RunRow]:
        """See StatementStore."""
        query = select(*_RUN_COLUMNS).order_by(_r.created_at.desc(), _r.id).limit(limit)
        if client is not None:
            query = query.where(_r.client == client)
        with self._database.read() as connection:
            return tuple(map(_run, connection.execute(query)))

    def unfinished(self) -> Sequence[RunRow]:
        """See StatementStore. One that was cancelled still has open items."""
        query = (select(*_RUN_COLUMNS).where(_r.ended_at.is_(None), _r.state != RunState.PAUSED.value)
                 .order_by(_r.created_at, _r.id))
        with self._database.read() as connection:
            return tuple(map(_run, connection.execute(query)))

    def change(self, run: str, states: Iterable[RunState], to: RunState, *, reason: str = "",
               detail: str = "") -> bool:
        """See StatementStore."""
        values: dict[str, Any] = {"state": to.value, "reason": reason, "detail": storable(detail)}
        statement = (update(statement_run).where(_r.id == run, _r.state.in_([one.value for one in states]))
                     .values(values))
        return self._database.write(lambda connection: connection.execute(statement).rowcount == 1)

    def lead(self, run: str) -> bool:
        """See StatementStore."""
        self._database.attend()
        mine = str(owner.here())

        def work(connection: Connection) -> bool:
            held = connection.execute(select(_r.owner).where(_r.id == run)).first()
            if held is None:
                return False
            if held.owner == mine:
                return True
            if held.owner is not None and not self._database.is_dead(owner.Owner.parse(held.owner)):
                return False
            connection.execute(update(statement_run).where(_r.id == run).values(owner=mine))
            return True

        return self._database.write(work, alone="statement_run")

    def led(self, run: str) -> Literal["", "here", "elsewhere"]:
        """Where another process leads the run that is not known to be dead; '' if this process could lead it.

        Elsewhere: on another machine, or in another container. The claim of a dead leader is ended here: a process that
        is started to lead has not watched it, and could not know that it died.
        """
        self._database.attend()
        with self._database.read() as connection:
            leader = connection.scalar(select(_r.owner).where(_r.id == run))
        who, me = None if leader is None else owner.Owner.parse(leader), owner.here()
        if who is None or who == me:
            return ""
        if self._database.is_dead(who):
            gone = update(statement_run).where(_r.id == run, _r.owner == leader).values(owner=None)
            self._database.write(lambda connection: connection.execute(gone) and None)
            return ""
        return "here" if (who.machine, who.namespace) == (me.machine, me.namespace) else "elsewhere"

    def leave(self, run: str) -> None:
        """See StatementStore."""
        statement = update(statement_run).where(_r.id == run, _r.owner == str(owner.here())).values(owner=None)
        self._database.write(lambda connection: connection.execute(statement) and None)

    # --- planning

    def planned_up_to(self, run: str) -> Chunk | None:
        """See StatementStore."""
        query = select(statement_chunk).where(_c.run == run).order_by(_c.number.desc()).limit(1)
        with self._database.read() as connection:
            found = connection.execute(query).first()
        return None if found is None else _chunk(found)

    def plan(self, chunk: Chunk, items: Sequence[NewItem], at: datetime) -> int:
        """See StatementStore."""
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

    def source(self, run: str, sha256: str) -> None:
        """See StatementStore."""
        statement = update(statement_run).where(_r.id == run).values(sha256=sha256)
        self._database.write(lambda connection: connection.execute(statement) and None)

    def begin(self, run: str, rows: int, at: datetime) -> None:
        """See StatementStore."""
        now = micros(at)

        def work(connection: Connection) -> None:
            connection.execute(update(statement_run).where(_r.id == run).values(rows=rows, started_at=now))
            connection.execute(update(statement_run).where(_r.id == run, _r.state == RunState.PLANNING.value)
                               .values(state=RunState.RUNNING.value))

        self._database.write(work)

    def sent_of(self, run: str, series: Sequence[bytes]) -> Sequence[tuple[bytes, str | None]]:
        """See StatementStore. What ended in doubt is its run's own still: it has its version."""
        in_doubt = _i.state.in_(_MAY_HAVE_IT) & _i.version.is_not(None)
        query = (select(_i.series, _i.version)
                 .where(_i.run == run, _i.series.in_(list(series)), or_(_i.state.in_(_HAVE_IT), in_doubt))
                 .order_by(_i.id))
        with self._database.read() as connection:
            return [(bytes(one.series), one.version) for one in connection.execute(query)]

    def repeated_of(self, run: str) -> Mapping[str, int]:
        """See StatementStore."""
        other = statement_item.alias()
        query = (select(other.c.run, func.count().label("statements"))
                 .select_from(statement_item.join(other, (other.c.series == _i.series) & other.c.version.is_not(None)))
                 .where(_i.run == run, _i.state == ItemState.REPEATED.value, other.c.run != run)
                 .group_by(other.c.run).order_by(func.count().desc(), other.c.run))
        with self._database.read() as connection:
            return {row.run: row.statements for row in connection.execute(query)}

    def replaced_of(self, run: str, series: Sequence[bytes]) -> frozenset[bytes]:
        """See StatementStore."""
        query = (select(_i.series).join(statement_run, _r.id == _i.run)
                 .where(_r.about == run, _r.kind == "replace", _i.series.in_(list(series)), _i.state.in_(_HAVE_IT)))
        with self._database.read() as connection:
            return frozenset(bytes(one) for one in connection.scalars(query))

    def held_of(self, run: str, *, also: Sequence[int], replaced_by: str | None) -> Sequence[ItemRow]:
        """See StatementStore."""
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
        """See StatementStore."""
        statement = (update(statement_item).where(_i.id == item, _i.state == ItemState.HELD.value)
                     .values(state=ItemState.CANCELLED.value, version=null() if free else _i.version, reason="",
                             detail=storable(detail), at=micros(at)))
        self._database.write(lambda connection: connection.execute(statement) and None)

    # --- work

    def claim(self, run: str, at: datetime, *, number: int | None = None) -> Chunk | None:
        """See StatementStore."""
        self._database.attend()
        now, mine, token = micros(at), str(owner.here()), secrets.token_hex(8)
        due = (_c.run == run, _c.due_at <= now) if number is None else (
            _c.run == run, _c.number == number, _c.due_at.is_not(None))
        free = select(statement_chunk).where(*due, _c.owner.is_(None)).order_by(_c.number).limit(1)
        taken = select(statement_chunk).where(*due, _c.owner.is_not(None), _c.owner != mine)

        def work(connection: Connection) -> Chunk | None:
            found = connection.execute(free).first() or next(
                (one for one in connection.execute(taken).all() if self._is_free(one.owner, one.at, at)), None)
            if found is None:
                return None
            attempts = found.attempts if found.owner is None else found.attempts or 1
            connection.execute(update(statement_chunk).where(_c.run == run, _c.number == found.number)
                               .values(owner=mine, token=token, at=now, attempts=attempts))
            return replace(_chunk(found), token=token, attempts=attempts or 0)

        return self._database.write(work, alone="statement_chunk")

    def idle(self, run: str, at: datetime) -> Mapping[int, datetime]:
        """See StatementStore."""
        self._database.attend()
        query = select(_c.number, _c.due_at, _c.owner, _c.token, _c.at).where(_c.run == run, _c.due_at.is_not(None))
        with self._database.read() as connection:
            found = connection.execute(query).all()
        lost = [one for one in found if one.owner is not None and self._is_free(one.owner, one.at, at)]

        gone = {one.number for one in lost}

        def work(connection: Connection) -> None:
            for one in lost:
                connection.execute(update(statement_chunk).where(
                    _c.run == run, _c.number == one.number, _c.token == one.token).values(
                        owner=None, token=None, attempts=func.coalesce(_c.attempts, 1)))

        if lost:
            self._database.write(work)
        return {one.number: moment(one.due_at) for one in found if one.owner is None or one.number in gone}

    def due_at(self, run: str, number: int) -> datetime | None:
        """See StatementStore."""
        with self._database.read() as connection:
            return _moment(connection.scalar(select(_c.due_at).where(_c.run == run, _c.number == number)))

    def _is_free(self, who: str, since: int, now: datetime) -> bool:
        dead = self._database.is_dead(owner.Owner.parse(who))
        return now - moment(since) > LEASE if dead is None else dead

    def attempt(self, chunk: Chunk, item: int | None) -> Chunk:
        """See StatementStore."""
        attempts = chunk.attempts + 1 if item is not None and item == chunk.item else 1
        statement = (update(statement_chunk)
                     .where(_c.run == chunk.run, _c.number == chunk.number, _c.token == chunk.token)
                     .values(item=item, attempts=attempts))
        if not self._database.write(lambda connection: connection.execute(statement).rowcount):
            raise GatewayError(Reason.RUN_STATE, "another process works on these rows", retry=True)
        return replace(chunk, item=item, attempts=attempts)

    def todo(self, chunk: Chunk) -> Sequence[ItemRow]:
        """See StatementStore."""
        with self._database.read() as connection:
            return tuple(map(item_of, connection.execute(_TODO, {
                "of": chunk.run, "first": chunk.first_row, "behind": chunk.first_row + chunk.rows})))

    def note(self, chunk: Chunk, settled: Sequence[Settlement], leaving: Sequence[int], at: datetime) -> frozenset[int]:
        """See StatementStore."""
        now = micros(at)
        ends = [(_SETTLE, _settling(one, now)) for one in settled]
        leaves = [(_LEAVE, {"item": item, "now": now, "of": chunk.run, "chunk": chunk.number, "own": chunk.token})
                  for item in leaving]
        kept = [] if self._evidence is None else self._evidence.kept_back()
        try:
            changed = self._database.group.change([*ends, *leaves], INSERT, kept)
        except BaseException:
            if self._evidence is not None and kept:
                self._evidence.give_back(kept)
            raise
        return frozenset(item for item, count in zip(leaving, changed[len(ends):], strict=True) if count == 1)

    def release(self, chunk: Chunk, at: datetime, *, due_at: datetime | None) -> None:
        """See StatementStore."""
        if self._evidence is not None:
            self._evidence.let_go()
        statement = (update(statement_chunk)
                     .where(_c.run == chunk.run, _c.number == chunk.number, _c.token == chunk.token)
                     .values(owner=None, token=None, at=micros(at), due_at=_micros(due_at)))
        self._database.write(lambda connection: connection.execute(statement) and None)

    def next_due(self, run: str) -> datetime | None:
        """See StatementStore."""
        with self._database.read() as connection:
            found = connection.scalar(select(func.min(_c.due_at)).where(_c.run == run))
        return None if found is None else moment(found)

    def finish(self, run: str, at: datetime) -> bool:
        """See StatementStore. What may have left of a cancelled run stays its own: no other run sends it again."""
        now = micros(at)

        def work(connection: Connection) -> bool:
            state = connection.scalar(select(_r.state).where(_r.id == run))
            if state == RunState.DONE.value:
                return True
            open_ = _i.run == run, _i.state.in_(_OPEN)
            if state in _ENDED:
                connection.execute(update(statement_item).where(*open_, _i.state != ItemState.SENDING.value)
                                   .values(state=ItemState.CANCELLED.value, version=None, at=now))
                connection.execute(update(statement_item).where(*open_).values(
                    state=ItemState.CANCELLED.value, detail="it may have left", at=now))
            elif (connection.scalar(select(_c.number).where(_c.run == run, _c.due_at.is_not(None)).limit(1)) is not None
                  or connection.scalar(select(_i.id).where(*open_).limit(1)) is not None):
                return False
            else:
                connection.execute(update(statement_run).where(_r.id == run, _r.state == RunState.RUNNING.value)
                                   .values(state=RunState.DONE.value))
                if connection.scalar(select(_r.state).where(_r.id == run)) != RunState.DONE.value:
                    return False
            connection.execute(update(statement_chunk).where(_c.run == run).values(
                owner=None, token=None, due_at=None, at=now))
            connection.execute(update(statement_run).where(_r.id == run, _r.ended_at.is_(None))
                               .values(ended_at=now, owner=None))
            return True

        return self._database.write(work)


def _owned(connection: Connection, items: Sequence[NewItem]) -> Iterator[tuple[bytes, str]]:
    """Which of these statements are an item's already."""
    wanted = [one.series for one in items if one.series]
    for start in range(0, len(wanted), 500):
        query = select(_i.series, _i.version).where(_i.series.in_(wanted[start:start + 500]), _i.version.is_not(None))
        yield from ((bytes(series), version) for series, version in connection.execute(query))


def _settling(one: Settlement, now: int) -> dict[str, Any]:
    return {"item": one.item, "to": one.state.value, "of_domain": storable(one.domain), "by_rule": storable(one.rule),
            "why": one.reason, "words": storable(one.detail), "answered": storable(one.reply),
            "queued": indexed(one.queue_id or queue_id(one.reply) or "") or None,
            "now": now if one.at is None else micros(one.at), "free": one.free, "by_channel": one.channel,
            "waits": one.state is ItemState.WAITING}


def _micros(at: datetime | None) -> int | None:
    return None if at is None else micros(at)


def _moment(value: int | None) -> datetime | None:
    return None if value is None else moment(value)


def _run(row: Any) -> RunRow:
    return RunRow(row.id, row.kind, row.client, row.name, row.period, RunState(row.state), row.spec, row.sha256,
                  row.about, row.rows, moment(row.created_at), _moment(row.started_at), _moment(row.ended_at),
                  row.reason, row.detail)


def _chunk(row: Any) -> Chunk:
    return Chunk(row.run, row.number, row.start, row.first_row, row.rows, row.token or "", row.item,
                 row.attempts or 0)
