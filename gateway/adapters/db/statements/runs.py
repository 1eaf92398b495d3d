"""The runs themselves: their states, and which process leads each."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import Connection, and_, insert, or_, select, update

from gateway.adapters.db.callbacks import file_events
from gateway.adapters.db.engine import claim_owner as owner
from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.engine.text import storable
from gateway.adapters.db.statements.rows import OPEN_STATES, optional_micros, optional_moment
from gateway.adapters.db.tables.mail import micros, moment
from gateway.adapters.db.tables.statements import statement_chunk, statement_item, statement_run
from gateway.model.audit.acts import Act
from gateway.ports.services.callbacks import Event
from gateway.ports.services.statements.rows import ItemState, RunRow, RunState

_r, _c, _i = statement_run.c, statement_chunk.c, statement_item.c
_KINDS: Final = {RunState.PAUSED: "paused", RunState.STOPPED: "stopped", RunState.CANCELLED: "cancelled"}
_ENDED: Final = (RunState.DONE.value, RunState.CANCELLED.value, RunState.STOPPED.value)
_COLUMNS: Final = [column for column in statement_run.columns if column.name != "owner"]


class DbRuns:
    """See ports.services.statements.runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, run: RunRow) -> None:
        """See RunStore."""
        values = {"id": run.id, "kind": run.kind, "client": run.client, "name": run.name, "period": run.period,
                  "state": run.state.value, "spec": run.spec, "sha256": run.sha256, "about": run.about,
                  "rows": run.rows, "created_at": micros(run.created_at), "started_at": optional_micros(run.started_at),
                  "ended_at": optional_micros(run.ended_at), "reason": run.reason, "detail": run.detail}
        act = Act("run.recall" if run.kind == "recall" else "run.create", run.id, {
            "kind": run.kind, "name": run.name, "period": run.period, "client": run.client, "about": run.about})
        self._database.write(lambda connection: connection.execute(insert(statement_run).values(values)) and None,
                             acts=True, act=act)

    def run(self, run: str) -> RunRow | None:
        """See RunStore."""
        with self._database.read() as connection:
            found = connection.execute(select(*_COLUMNS).where(_r.id == run)).first()
        return None if found is None else _run(found)

    def runs(self, *, client: str | None = None, limit: int = 100,
             before: tuple[datetime, str] | None = None) -> Sequence[RunRow]:
        """See RunStore."""
        query = select(*_COLUMNS).order_by(_r.created_at.desc(), _r.id).limit(limit)
        if before is not None:
            at = micros(before[0])
            query = query.where(or_(_r.created_at < at, and_(_r.created_at == at, _r.id > before[1])))
        if client is not None:
            query = query.where(_r.client == client)
        with self._database.read() as connection:
            return tuple(map(_run, connection.execute(query)))

    def unfinished(self) -> Sequence[RunRow]:
        """See RunStore. One that was cancelled still has open items."""
        query = (select(*_COLUMNS).where(_r.ended_at.is_(None), _r.state != RunState.PAUSED.value)
                 .order_by(_r.created_at, _r.id))
        with self._database.read() as connection:
            return tuple(map(_run, connection.execute(query)))

    def change(self, run: str, states: Iterable[RunState], to: RunState, *, reason: str = "",
               detail: str = "", act: str = "") -> bool:
        """See RunStore."""
        values: dict[str, Any] = {"state": to.value, "reason": reason, "detail": storable(detail)}
        statement = (update(statement_run).where(_r.id == run, _r.state.in_([one.value for one in states]))
                     .values(values))
        named = Act(act, run) if act else None
        at = self._database.now()

        def work(connection: Connection) -> bool:
            before = connection.scalar(select(_r.state).where(_r.id == run))
            is_changed = connection.execute(statement).rowcount == 1
            kind = "resumed" if before == RunState.PAUSED.value else ""
            if is_changed and before != to.value and (kind := _KINDS.get(to, kind)):
                self._report(connection, run, kind, at)
            return is_changed

        return self._database.write(work, act=named, done=lambda is_changed: named if is_changed else None)

    def _report(self, connection: Connection, run: str, kind: str, at: datetime) -> None:
        """Files a webhook for the run's client, in the transaction of the change."""
        row = connection.execute(select(_r.client, _r.name, _r.period, _r.state, _r.reason).where(_r.id == run)).one()
        if row.client in self._database.called:
            data = {"name": row.name, "period": row.period, "state": row.state}
            file_events(connection, Event(row.client, run, f"run.{kind}", at, at.isoformat(), {
                **data, **({"reason": row.reason} if row.reason else {})}))

    def lead(self, run: str) -> bool:
        """See RunStore."""
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
        """See RunStore."""
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
        """See RunStore."""
        statement = update(statement_run).where(_r.id == run, _r.owner == str(owner.here())).values(owner=None)
        self._database.write(lambda connection: connection.execute(statement) and None)

    def source(self, run: str, sha256: str) -> None:
        """See RunStore."""
        statement = update(statement_run).where(_r.id == run).values(sha256=sha256)
        self._database.write(lambda connection: connection.execute(statement) and None)

    def begin(self, run: str, rows: int, at: datetime) -> None:
        """See RunStore."""
        now = micros(at)

        def work(connection: Connection) -> None:
            connection.execute(update(statement_run).where(_r.id == run).values(rows=rows, started_at=now))
            if connection.execute(update(statement_run).where(_r.id == run, _r.state == RunState.PLANNING.value)
                                  .values(state=RunState.RUNNING.value)).rowcount:
                self._report(connection, run, "started", at)

        self._database.write(work)

    def finish(self, run: str, at: datetime) -> bool:
        """See RunStore. What may have left of a cancelled run stays its own: no other run sends it again."""
        now = micros(at)

        def work(connection: Connection) -> bool:
            state = connection.scalar(select(_r.state).where(_r.id == run))
            if state == RunState.DONE.value:
                return True
            open_ = _i.run == run, _i.state.in_(OPEN_STATES)
            if state in _ENDED:
                connection.execute(update(statement_item).where(*open_, _i.state != ItemState.SENDING.value)
                                   .values(state=ItemState.CANCELLED.value, version=None, at=now))
                connection.execute(update(statement_item).where(*open_).values(
                    state=ItemState.CANCELLED.value, detail="it may have left", at=now))
            elif (connection.scalar(select(_c.number).where(_c.run == run, _c.due_at.is_not(None)).limit(1)) is not None
                  or connection.scalar(select(_i.id).where(*open_).limit(1)) is not None):
                return False
            else:
                done = update(statement_run).where(_r.id == run, _r.state == RunState.RUNNING.value)
                if not connection.execute(done.values(state=RunState.DONE.value)).rowcount:
                    return False
                self._report(connection, run, "done", at)
            connection.execute(update(statement_chunk).where(_c.run == run).values(
                owner=None, token=None, due_at=None, at=now))
            connection.execute(update(statement_run).where(_r.id == run, _r.ended_at.is_(None))
                               .values(ended_at=now, owner=None))
            return True

        return self._database.write(work)


def _run(row: Any) -> RunRow:
    return RunRow(row.id, row.kind, row.client, row.name, row.period, RunState(row.state), row.spec, row.sha256,
                  row.about, row.rows, moment(row.created_at), optional_moment(row.started_at),
                  optional_moment(row.ended_at), row.reason, row.detail)
