"""Calls to clients that are due, in the database (see ports.services.callbacks for what it promises)."""

import hashlib
import json
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Executable, bindparam, delete, exists, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.tables.api import callback
from gateway.adapters.db.tables.mail import micros, moment
from gateway.ports.services.callbacks import Call, Event

_c = callback.c
_before = callback.alias("before")
_FIRST: Final = ~exists().where(
    _before.c.client == _c.client, _before.c.subject == _c.subject, _before.c.id < _c.id)
_DUE: Final = (
    select(_c.id, _c.event, _c.client, _c.subject, _c.kind, _c.body, _c.at, _c.tries)
    .where(_c.due_at <= bindparam("now"), _c.client.not_in(bindparam("without", expanding=True)), _FIRST)
    .order_by(_c.id).limit(bindparam("count")))
_INSERT: Final[dict[str, Any]] = {
    name: dialect.insert(callback).on_conflict_do_nothing(index_elements=["event"]).returning(_c.id)
    for name, dialect in (("postgresql", postgresql), ("sqlite", sqlite))}
_ANY_DUE: Final = select(_c.id).where(_c.due_at <= bindparam("now")).limit(1)


class DbCallbacks:
    """See ports.services.callbacks.Callbacks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def file(self, *events: Event) -> int:
        """See Callbacks."""
        return self._database.write(lambda connection: file_events(connection, *events)) if events else 0

    def due(self, now: datetime, limit: int, without: Collection[str] = ()) -> tuple[Call, ...]:
        """See Callbacks. 10 us where nothing is due: one step into an index."""
        at = micros(now)
        if not self._database.look_up(_ANY_DUE, now=at):
            return ()
        with self._database.read() as connection:
            found = connection.execute(_DUE, {"now": at, "count": limit, "without": list(without)})
            return tuple(Call(*row[:6], moment(row.at), row.tries) for row in found)

    def taken(self, call: Call) -> None:
        """See Callbacks."""
        self._write(delete(callback).where(_c.id == call.id))

    def later(self, call: Call, due_at: datetime) -> None:
        """See Callbacks."""
        self._write(update(callback).where(_c.id == call.id).values(due_at=micros(due_at), tries=_c.tries + 1))

    def _write(self, statement: Executable) -> None:
        def work(connection: Connection) -> None:
            connection.execute(statement)

        self._database.write(work)


def event_id(event: Event) -> str:
    """32 hex digits that say which event it is, the same however often it is filed and called out."""
    parts = f"{event.client}\0{event.subject}\0{event.kind}\0{event.key}"
    return hashlib.sha256(parts.encode()).hexdigest()[:32]


def body(event: Event) -> str:
    """What is posted: the event's id, kind and time, what it is about, and its data."""
    return json.dumps({"event": event_id(event), "kind": event.kind, "subject": event.subject,
                       "at": event.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"), **event.data})


def file_events(connection: Connection, *events: Event) -> int:
    """Files events in the transaction of what they report; how many of them were not filed before."""
    statement = _INSERT[connection.dialect.name]
    rows = [{"event": event_id(event), "client": event.client, "subject": event.subject, "kind": event.kind,
             "body": body(event), "at": micros(event.at), "due_at": micros(event.at), "tries": 0}
            for event in events]
    return sum(connection.scalar(statement, row) is not None for row in rows)
