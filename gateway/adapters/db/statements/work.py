"""Work on a run: processes claim its chunks, and settle the items in them.

A chunk is claimed by one process; it is free again when that process has died (`Database.is_dead`), or, where that
cannot be known, when its claim is older than LEASE. Every item that leaves is checked against the claim in the same
statement that records it, so that a process that was taken for dead sends nothing more.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Boolean, Connection, Text, bindparam, case, exists, func, null, or_, select, update

from gateway.adapters.db.engine import claim_owner as owner
from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.engine.text import indexed, queue_id, storable
from gateway.adapters.db.evidence import INSERT, DbEvidence
from gateway.adapters.db.statements.rows import (
    ITEM_COLUMNS,
    OPEN_STATES,
    chunk_of,
    item_of,
    optional_micros,
    optional_moment,
)
from gateway.adapters.db.tables.mail import micros, moment
from gateway.adapters.db.tables.statements import statement_chunk, statement_item, statement_run
from gateway.errors import GatewayError, Reason
from gateway.ports.services.statements.rows import Chunk, ItemRow, ItemState, RunState, Settlement

LEASE: Final = timedelta(hours=1)  # of a chunk whose process cannot be checked

_r, _c, _i = statement_run.c, statement_chunk.c, statement_item.c
_MAY_LEAVE: Final = exists(
    select(_c.number).join(statement_run, _r.id == _c.run)
    .where(_c.run == bindparam("of"), _c.number == bindparam("chunk"), _c.token == bindparam("own", type_=Text),
           _r.state == RunState.RUNNING.value))
# Spelt out, because a list of its own length would be compiled again for each mail.
_IS_OPEN: Final = or_(*[_i.state == state for state in OPEN_STATES])
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
                                 _i.state.in_(OPEN_STATES)).order_by(_i.row, _i.holder))


class DbWork:
    """See ports.services.statements.work."""

    def __init__(self, database: Database, evidence: DbEvidence | None = None) -> None:
        """`evidence`: what the calling thread keeps back there goes into the commit of its next `note`."""
        self._database, self._evidence = database, evidence

    def claim(self, run: str, at: datetime, *, number: int | None = None) -> Chunk | None:
        """See WorkStore."""
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
            return replace(chunk_of(found), token=token, attempts=attempts or 0)

        return self._database.write(work, alone="statement_chunk")

    def idle(self, run: str, at: datetime) -> Mapping[int, datetime]:
        """See WorkStore."""
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
        """See WorkStore."""
        with self._database.read() as connection:
            return optional_moment(connection.scalar(select(_c.due_at).where(_c.run == run, _c.number == number)))

    def _is_free(self, who: str, since: int, now: datetime) -> bool:
        dead = self._database.is_dead(owner.Owner.parse(who))
        return now - moment(since) > LEASE if dead is None else dead

    def attempt(self, chunk: Chunk, item: int | None) -> Chunk:
        """See WorkStore."""
        attempts = chunk.attempts + 1 if item is not None and item == chunk.item else 1
        statement = (update(statement_chunk)
                     .where(_c.run == chunk.run, _c.number == chunk.number, _c.token == chunk.token)
                     .values(item=item, attempts=attempts))
        if not self._database.write(lambda connection: connection.execute(statement).rowcount):
            raise GatewayError(Reason.RUN_STATE, "another process works on these rows", retry=True)
        return replace(chunk, item=item, attempts=attempts)

    def todo(self, chunk: Chunk) -> Sequence[ItemRow]:
        """See WorkStore."""
        with self._database.read() as connection:
            return tuple(map(item_of, connection.execute(_TODO, {
                "of": chunk.run, "first": chunk.first_row, "behind": chunk.first_row + chunk.rows})))

    def note(self, chunk: Chunk, settled: Sequence[Settlement], leaving: Sequence[int], at: datetime) -> frozenset[int]:
        """See WorkStore."""
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
        """See WorkStore."""
        if self._evidence is not None:
            self._evidence.let_go()
        statement = (update(statement_chunk)
                     .where(_c.run == chunk.run, _c.number == chunk.number, _c.token == chunk.token)
                     .values(owner=None, token=None, at=micros(at), due_at=optional_micros(due_at)))
        self._database.write(lambda connection: connection.execute(statement) and None)

    def next_due(self, run: str) -> datetime | None:
        """See WorkStore."""
        with self._database.read() as connection:
            found = connection.scalar(select(func.min(_c.due_at)).where(_c.run == run))
        return None if found is None else moment(found)


def _settling(one: Settlement, now: int) -> dict[str, Any]:
    return {"item": one.item, "to": one.state.value, "of_domain": storable(one.domain), "by_rule": storable(one.rule),
            "why": one.reason, "words": storable(one.detail), "answered": storable(one.reply),
            "queued": indexed(one.queue_id or queue_id(one.reply) or "") or None,
            "now": now if one.at is None else micros(one.at), "free": one.free, "by_channel": one.channel,
            "waits": one.state is ItemState.WAITING}
