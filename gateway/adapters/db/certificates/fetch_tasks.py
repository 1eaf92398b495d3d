"""What is to be fetched, in the database: filed by the mails' workers, carried out by the jobs process.

URLs come out of strangers' certificates, so the table is bounded. Lists and answers are only ever wanted for
certificates below a root that is trusted, and may fill most of it; issuers are requested for any mail of a stranger,
and have a small share of their own, with a bound by host.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.engine.text import storable
from gateway.adapters.db.tables.mail import counter, fetch_task, micros, moment
from gateway.der import walk
from gateway.errors import Reason
from gateway.ports.fetch import FetchRequest, FetchTask

URL_LENGTH_MAX: Final = 2048  # as in adapters.web.address: longer ones are never fetched
TASKS_MAX: Final = 50_000  # lists and answers; some 3 KiB each
ISSUERS_MAX: Final = 1_000
UNPROVEN_PER_HOST_MAX: Final = 16  # tasks of one host that never succeeded
DETAIL_LENGTH_MAX: Final = 500
ASKED_EVERY_S: Final = 3_600  # how exactly it is remembered when a task was last asked for: each time costs a commit
NEVER: Final = 250_000_000_000_000_000  # due_at of what waits until it is wanted again: the year 9892

_AFTER_AUTHORITY: Final = re.compile(r"[/?#]")

AT_WORK: Final = "jobs"  # the counter that holds when the jobs were last at work
ATTENDED_S: Final = 10

_AT_WORK: Final = counter.c.name == AT_WORK
_ATTENDED: Final = select(counter.c.value).where(_AT_WORK)
_t = fetch_task.c
_COLUMNS: Final = (_t.key, _t.kind, _t.url, _t.data, _t.asked_at, _t.due_at, _t.done_at, _t.failures, _t.reason,
                   _t.detail)
_NAMES: Final = tuple(column.name for column in _COLUMNS)
_GET: Final = select(*_COLUMNS).where(_t.key == bindparam("key"))
_DUE: Final = select(*_COLUMNS).where(_t.due_at <= bindparam("at"), _t.kind == bindparam("kind")).order_by(
    _t.due_at).limit(bindparam("count"))
_ANY_DUE: Final = select(_t.key).where(_t.due_at <= bindparam("at")).limit(1)


class DbFetchTasks:
    """See ports.fetch.FetchTasks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def want(self, requests: Sequence[FetchRequest], at: datetime, *, again_s: float) -> tuple[FetchTask, ...]:
        """See FetchTasks. Commits only where something changes."""
        requests = [one if one.url.startswith(host_of(one.url)) else replace(one, url=_plain(one.url))
                    for one in requests
                    if len(one.url) <= URL_LENGTH_MAX and one.url.isascii() and "@" not in _authority(one.url)]
        now, known = micros(at), {task.request.key: task for task in self.get([one.key for one in requests])}
        old = [task for task in known.values()
                   if _stale(task, now, again_s) or micros(task.asked_at) + ASKED_EVERY_S * 1_000_000 < now]
        new = [one for one in requests if one.key not in known]
        if not old and not new:
            return tuple(known.values())

        def work(connection: Connection) -> None:
            for task in old:
                values: dict[str, int] = {"asked_at": now}
                if _stale(task, now, again_s):
                    values["due_at"] = now
                connection.execute(update(fetch_task).where(_t.key == task.request.key).values(values))
            for one in new:
                _file(connection, one, now)

        self._database.write(work, alone="tasks")
        return self.get([one.key for one in requests])

    def get(self, keys: Sequence[str]) -> tuple[FetchTask, ...]:
        """See FetchTasks."""
        found = (row for key in keys for row in self._database.look_up(_GET, key=key))
        return tuple(map(_task, found))

    def due(self, at: datetime, limit: int) -> tuple[FetchTask, ...]:
        """See FetchTasks. 10 us where nothing is due: one step into an index."""
        now = micros(at)
        if not self._database.look_up(_ANY_DUE, at=now):
            return ()
        return tuple(_task(row) for kind in ("crl", "ocsp", "issuer")
                     for row in self._database.look_up(_DUE, at=now, kind=kind, count=limit))

    def done(self, key: str, at: datetime, due_at: datetime | None) -> None:
        """See FetchTasks."""
        self._set(key, done_at=micros(at), due_at=NEVER if due_at is None else micros(due_at), failures=0, reason=None,
                  detail=None)

    def failed(self, key: str, due_at: datetime | None, reason: Reason, detail: str) -> None:
        """See FetchTasks."""
        due = NEVER if due_at is None else micros(due_at)
        self._set(key, due_at=due, failures=_t.failures + 1, reason=reason.value,
                  detail=storable(detail)[:DETAIL_LENGTH_MAX])

    def list(self) -> Iterator[FetchTask]:
        """See FetchTasks."""
        with self._database.read() as connection:
            yield from map(_task, map(tuple, connection.execute(select(*_COLUMNS).order_by(_t.kind, _t.url, _t.key))))

    def attend(self, at: datetime) -> None:
        """See FetchTasks."""
        now = micros(at)

        def work(connection: Connection) -> None:
            if not connection.execute(update(counter).where(_AT_WORK).values(value=now)).rowcount:
                connection.execute(insert(counter).values(name=AT_WORK, value=now))

        self._database.write(work, alone="at work")

    def attended(self, at: datetime) -> bool:
        """See FetchTasks."""
        found = self._database.look_up(_ATTENDED)
        return bool(found) and abs(micros(at) - int(found[0][0])) < ATTENDED_S * 1_000_000

    def forget(self, asked_before: datetime, *, unproven_before: datetime) -> int:
        """See FetchTasks."""
        statement = delete(fetch_task).where(or_(
            _t.asked_at < micros(asked_before), _t.done_at.is_(None) & (_t.asked_at < micros(unproven_before))))
        return self._database.write(lambda connection: connection.execute(statement).rowcount)

    def _set(self, key: str, **values: Any) -> None:
        statement = update(fetch_task).where(_t.key == key).values(values)
        self._database.write(lambda connection: connection.execute(statement) and None)


def host_of(url: str) -> str:
    """'http://ca.example' of 'HTTP://ca.example:80/x': limits count by host, over all ports."""
    authority = _authority(url)
    host = authority[:authority.find("]") + 1] or authority.partition(":")[0]  # of IPv6 in its brackets
    return f"{url.partition('://')[0]}://{host}".lower()


def _authority(url: str) -> str:
    """'ca.example:80' of the same. Credentials in it are never sent (`adapters.web.address`)."""
    return _AFTER_AUTHORITY.split(url.partition("://")[2], maxsplit=1)[0]


def _plain(url: str) -> str:
    """Scheme and host in lower case, which are the same ones (RFC 3986 6.2.2.1)."""
    length = len(host_of(url))
    return url[:length].lower() + url[length:]


def _stale(task: FetchTask, now: int, again_s: float) -> bool:
    """Whether it succeeded, and so long ago that the same fetch request is a new one; or was given up."""
    if task.failures:
        return micros(task.due_at) >= NEVER
    return (task.done_at is not None and micros(task.due_at) > now
            and micros(task.done_at) + int(again_s * 1e6) < now)


def _file(connection: Connection, one: FetchRequest, now: int) -> None:
    """A new row, where there is room or can be made."""
    issuers = one.kind == "issuer"
    unproven = (_t.done_at.is_(None), _t.kind == "issuer")
    if issuers:
        # LIKE would read % and _ of a stranger's URL: a range does not.
        start = host_of(one.url)
        same_host = (*unproven, or_(_t.url == start, *(
            (_t.url >= start + mark) & (_t.url < start + chr(ord(mark) + 1)) for mark in "/:?#")))
        if _count(connection, *same_host) >= UNPROVEN_PER_HOST_MAX:
            _drop_oldest(connection, *same_host)
    mine = _t.kind == "issuer" if issuers else _t.kind != "issuer"
    if _count(connection, mine) >= (ISSUERS_MAX if issuers else TASKS_MAX):
        _drop_oldest(connection, mine)
    if connection.scalar(select(_t.key).where(_t.key == one.key)) is None:  # another process was quicker
        connection.execute(insert(fetch_task).values(
            key=one.key, kind=one.kind, url=one.url, data=one.certificate + one.issuer, asked_at=now, due_at=now,
            failures=0))


def _count(connection: Connection, *where: Any) -> int:
    return connection.scalar(select(func.count()).where(*where)) or 0


def _drop_oldest(connection: Connection, *where: Any) -> None:
    """Never succeeded before ever succeeded, then asked for longest ago."""
    key = connection.scalar(select(_t.key).where(*where).order_by(_t.done_at.is_not(None), _t.asked_at).limit(1))
    connection.execute(delete(fetch_task).where(_t.key == key))


def _task(row: tuple[Any, ...]) -> FetchTask:
    named = dict(zip(_NAMES, row, strict=True))
    data: bytes = named["data"] or b""
    end = walk.read(data, 0, len(data)).end if data else 0
    return FetchTask(
        FetchRequest(named["key"], named["kind"], named["url"], data[:end], data[end:]), moment(named["asked_at"]),
        moment(named["due_at"]), None if named["done_at"] is None else moment(named["done_at"]),
        named["failures"], None if named["reason"] is None else Reason(named["reason"]), named["detail"] or "")
