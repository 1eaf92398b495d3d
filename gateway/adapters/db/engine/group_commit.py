"""Group commit: what many threads want to write at the same moment costs one transaction and one fsync.

The first that comes leads: it runs all that waits in one transaction, commits, and wakes those whose work it was; then
the first of those who came meanwhile leads the next group. A write never waits for others: alone, it costs one commit.
"""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Connection, Engine, Insert, Update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from gateway.errors import GatewayError, Reason

T = TypeVar("T")

GROUP_MAX: Final = 256  # jobs in one transaction: bounds how long the first of them waits for the last
TIMEOUTS_MAX: Final = 2  # of a group's jobs that run alone; then the others fail without a try of their own
_TIMEOUTS: Final = frozenset({"57014", "55P03"})  # SQLSTATE: the statement was cancelled; no lock was to be had

Rows = Sequence[Mapping[str, Any]]
Changes = Sequence[tuple[Update, Mapping[str, Any]]]
ShortWay = Callable[[Mapping[Insert, Rows], Sequence[Changes]], list[list[int]] | None]


class _Job(Generic[T]):
    """One caller's work, or rows that it wants inserted, and what came of it."""

    __slots__ = ("alone", "done", "error", "insert", "leads", "result", "rows", "wake", "work")

    def __init__(self, work: Callable[[Connection], T] | Changes, *, insert: Insert | None = None, rows: Rows = (),
                 alone: Sequence[str] = ()) -> None:
        self.work = work  # a function, or UPDATEs with their values
        self.insert = insert  # of `rows`, besides
        self.rows = rows
        self.alone = alone
        self.leads = False  # woken to lead the next group
        self.done = False
        self.error: BaseException | None = None
        self.result: T | None = None
        self.wake = threading.Lock()  # held until there is something to do
        self.wake.acquire()

    @property
    def kind(self) -> object:
        """Equal for jobs that write to the same tables: the same statements, or the same function."""
        work = self.work
        if not callable(work):
            return self.insert, tuple(update for update, _ in work), tuple(self.alone)
        function = getattr(work, "func", work)  # of a functools.partial
        return self.insert, getattr(function, "__code__", type(function)), tuple(self.alone)

    def settle(self, result: T | None, error: BaseException | None) -> None:
        self.result, self.error = result, error
        self.done = True


class _Before(threading.local):
    """What comes first in the transaction of this thread's next act, and what that holds alone; None: nothing."""

    claim: tuple[Callable[[Connection], None], str] | None = None

    def take(self) -> tuple[Callable[[Connection], None], str] | None:
        """What there is; afterwards there is nothing."""
        claim, self.claim = self.claim, None
        return claim


_watching: list[Callable[[str], None]] = []


def watch_errors(tell: Callable[[str], None]) -> None:
    """From now on calls `tell` with the kind of each database error; call it once in a process."""
    if tell not in _watching:
        _watching.append(tell)


def store_error(error: Exception) -> GatewayError:
    """The database's error, without the statement and its values: they may hold content."""
    cause = getattr(error, "orig", None) or error
    for tell in _watching:
        tell(type(cause).__name__)
    text = str(cause) if getattr(error, "orig", None) else ""
    diagnostics = getattr(cause, "diag", None)  # details hold values: only the first sentence is logged
    if diagnostics is not None:
        text = diagnostics.message_primary or text.partition("\n")[0]
    return GatewayError(Reason.STORE_UNAVAILABLE, f"{type(cause).__name__}: {text}".rstrip(": "), retry=True)


def _concerns_all(error: Exception) -> bool:
    """Whether the connection broke, or the one lock of a SQLite database was not to be had."""
    if not isinstance(error, DBAPIError):
        return False
    code: int = getattr(error.orig, "sqlite_errorcode", 0)
    return error.connection_invalidated or code & 0xFF == sqlite3.SQLITE_BUSY


def _timed_out(error: Exception) -> bool:
    """Whether PostgreSQL gave up a statement that took too long, most often behind another transaction's lock."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _TIMEOUTS


class GroupCommit:
    """The one way to write. `commits` counts transactions, so that a test can count fsyncs."""

    def __init__(self, engine: Engine, alone: Callable[[Connection, Sequence[str]], None], short_way: ShortWay,
                 begun: Callable[[], object], committed: Callable[[object], None]) -> None:
        """`alone`, `short_way`, `begun`, `committed`: see Database."""
        self._engine = engine
        self._alone = alone
        self._short_way = short_way
        self._begun = begun
        self._committed = committed
        self._before = _Before()
        self._lock = threading.Lock()  # over the two below
        self._waiting: deque[_Job[Any]] = deque()
        self._led = False  # whether a thread leads
        self.commits = 0

    def run(self, work: Callable[[Connection], T], alone: Sequence[str] = (), *, acts: bool = False) -> T:
        """Runs `work` in a transaction; when this returns, what it wrote is durable.

        `alone`, `acts`: see Database.write.
        `work` may touch nothing but its connection, for it is run a second time, alone, if another of its group
        fails. What it raises rolls back its own writes only and reaches its own caller.
        GatewayError(STORE_UNAVAILABLE, retry=True) if the database cannot.
        """
        claim = self._before.take() if acts else None
        if claim is None:
            return self._settled(_Job(work, alone=alone))
        claims, claimed = claim

        def whole(connection: Connection) -> T:
            claims(connection)
            return work(connection)

        return self._settled(_Job(whole, alone=(*alone, claimed) if claimed else alone))

    def before_act(self, work: Callable[[Connection], None], alone: str = "") -> None:
        """Has `work` done by the next `run` of this thread with `acts`, before what that does: both or neither.

        `work` as in `run`; what it raises reaches the caller of that `run`. Other transactions of the thread come and
        go meanwhile: some may fail without harm to the act.
        """
        self._before.claim = (work, alone)

    @property
    def has_before_act(self) -> bool:
        """Whether this thread has given something to `before_act`, and no act has come since."""
        return self._before.claim is not None

    def take_back(self) -> bool:
        """Forgets what this thread has given to `before_act`, where no act has come since; whether there was any."""
        return self._before.take() is not None

    def insert(self, statement: Insert, rows: Rows) -> None:
        """As `run`; rows for the same `statement` object of all callers in a group go in together."""
        self._settled(_Job[list[int]]((), insert=statement, rows=rows))

    def change(self, changes: Changes, insert: Insert | None = None, rows: Rows = ()) -> list[int]:
        """As `run`; how many rows each of these changed, in their order. `rows`: as of `insert`, all or nothing."""
        return self._settled(_Job[list[int]](changes, insert=insert, rows=rows))

    def _settled(self, job: _Job[T]) -> T:
        with self._lock:
            self._waiting.append(job)
            job.leads = not self._led
            self._led = True
        if not job.leads:
            self._wait(job)
        if job.leads:
            self._lead()
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[return-value]  # set by settle() where there is no error

    def _wait(self, job: _Job[Any]) -> None:
        """Until the job is done or its thread is to lead. A thread that is interrupted here leaves nothing behind."""
        try:
            job.wake.acquire()
        except BaseException:
            with self._lock:
                if job in self._waiting:
                    self._waiting.remove(job)
                was_to_lead = job.leads
            if was_to_lead:
                self._hand_over()
            raise

    def _lead(self) -> None:
        """One group, in which the leader's own job is the first; then the next in the queue leads."""
        with self._lock:
            group = [self._waiting.popleft() for _ in range(min(len(self._waiting), GROUP_MAX))]
        try:
            self._settle(group)
        finally:
            for job in group:
                if not job.done:  # the leading thread is being ended in the middle of it
                    job.settle(None, GatewayError(Reason.STORE_UNAVAILABLE, "interrupted", retry=True))
                if not job.leads:
                    job.wake.release()
            self._hand_over()

    def _hand_over(self) -> None:
        with self._lock:
            self._led = bool(self._waiting)
            if self._led:
                self._waiting[0].leads = True
                self._waiting[0].wake.release()

    def _settle(self, group: list[_Job[Any]]) -> None:
        """All in one transaction; if one fails, each in its own, so that one fault fails no other write.

        Not so when the database went: it is unknown whether it has committed, and what is done twice may count twice.
        """
        error = self._try(group)
        if error is None:
            return
        if len(group) == 1 or _concerns_all(error):
            _fail(group, error)
        elif _timed_out(error):
            self._settle_after_timeout(group, error)
        else:
            for job in group:
                self._settle([job])

    def _settle_after_timeout(self, group: list[_Job[Any]], error: Exception) -> None:
        """Each in its own transaction, without a timeout for each: everybody in the process waits meanwhile.

        What is of a kind with a job that timed out fails with it.
        """
        blocked: dict[object, Exception] = {}
        for job in group:
            if job.kind in blocked or len(blocked) >= TIMEOUTS_MAX:
                _fail([job], blocked.get(job.kind, error))
            elif (own := self._try([job])) is not None:
                _fail([job], own)
                if _timed_out(own):
                    blocked[job.kind] = own

    def _try(self, group: list[_Job[Any]]) -> Exception | None:
        """Settles the jobs and returns None, or leaves them all as they are and returns why."""
        try:
            results = self._commit(group)
        except Exception as error:  # noqa: BLE001 - every error goes to the caller whose work it was
            return error
        for job, result in zip(group, results, strict=True):
            job.settle(result, None)
        return None

    def _commit(self, group: list[_Job[Any]]) -> list[Any]:
        by_statement: dict[Insert, list[Mapping[str, Any]]] = {}
        works: dict[int, Callable[[Connection], Any]] = {}
        changes: dict[int, Changes] = {}
        for number, job in enumerate(group):
            if job.insert is not None and job.rows:
                by_statement.setdefault(job.insert, []).extend(job.rows)
            if callable(job.work):
                works[number] = job.work
            else:
                changes[number] = job.work
        results: list[Any] = [None] * len(group)
        begun = self._begun()
        changed = None if works else self._short_way(by_statement, tuple(changes.values()))
        if changed is not None:
            for number, counts in zip(changes, changed, strict=True):
                results[number] = counts
        else:
            with self._engine.begin() as connection:
                self._alone(connection, sorted({name for job in group for name in job.alone}))
                for number, work in works.items():
                    results[number] = work(connection)
                for number, some in changes.items():
                    results[number] = [connection.execute(statement, values).rowcount for statement, values in some]
                for statement, rows in by_statement.items():
                    connection.execute(statement, rows)
        self._committed(begun)
        self.commits += 1
        return results


def _fail(group: Sequence[_Job[Any]], error: Exception) -> None:
    for job in group:
        job.settle(None, store_error(error) if isinstance(error, SQLAlchemyError) else error)
