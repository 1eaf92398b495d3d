"""Group commit: what many threads want to write at the same moment costs one transaction and one fsync.

The first that comes leads: it takes all that waits, runs it in one transaction, commits, and wakes the others;
whoever came meanwhile forms the next group. Nobody waits for company: alone, a write costs one commit.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import GatewayError, Reason

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

T = TypeVar("T")

GROUP_MAX = 256  # jobs in one transaction: bounds how long the first of them waits for the last


class _Job(Generic[T]):
    """One caller's work, and what came of it."""

    __slots__ = ("done", "error", "result", "work")

    def __init__(self, work: Callable[[Connection], T]) -> None:
        self.work = work
        self.done = False
        self.error: BaseException | None = None
        self.result: T | None = None

    def settle(self, result: T | None, error: BaseException | None) -> None:
        self.result, self.error = result, error
        self.done = True


def store_error(error: Exception) -> GatewayError:
    """What the database said, without the statement and its values: they may hold content."""
    cause = getattr(error, "orig", None) or error
    text = str(cause) if getattr(error, "orig", None) else ""
    return GatewayError(Reason.STORE_UNAVAILABLE, f"{type(cause).__name__}: {text}".rstrip(": "), retry=True)


class GroupCommit:
    """The one way to write. `commits` counts transactions, so that a test can count fsyncs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turn = threading.Condition()
        self._waiting: deque[_Job[object]] = deque()
        self._leading = False
        self.commits = 0

    def run(self, work: Callable[[Connection], T]) -> T:
        """Runs `work` in a transaction; when this returns, what it wrote is durable.

        `work` may touch nothing but its connection, for it is run a second time, alone, if another of its group
        fails. What it raises rolls back its own writes only and reaches its own caller.
        GatewayError(STORE_UNAVAILABLE, retry=True) if the database cannot.
        """
        job: _Job[T] = _Job(work)
        with self._turn:
            self._waiting.append(job)  # type: ignore[arg-type]  # the deque forgets what each job returns
            while self._leading and not job.done:
                self._turn.wait()
            if not job.done:
                self._leading = True
                group = [self._waiting.popleft() for _ in range(min(len(self._waiting), GROUP_MAX))]
        if not job.done:
            self._lead(job, group)
        if job.error is not None:
            raise job.error
        return job.result  # type: ignore[return-value]  # set by settle() where there is no error

    def _lead(self, own: _Job[T], group: list[_Job[object]]) -> None:
        """Runs groups until the own job is done, then lets the next one lead."""
        while True:
            try:
                self._settle(group)
            finally:
                with self._turn:
                    for job in group:
                        if not job.done:  # this thread is being ended in the middle of it
                            job.settle(None, GatewayError(Reason.STORE_UNAVAILABLE, "interrupted", retry=True))
                    if own.done:
                        self._leading = False
                    self._turn.notify_all()
                    group = [] if own.done else [
                        self._waiting.popleft() for _ in range(min(len(self._waiting), GROUP_MAX))]
            if own.done:
                return

    def _settle(self, group: list[_Job[object]]) -> None:
        """All in one transaction; if one fails, each in its own, so that nobody pays for another's fault."""
        try:
            results = self._commit(group)
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes to the caller whose work it was
            if len(group) == 1:
                group[0].settle(None, error if isinstance(error, GatewayError) else self._named(error))
                return
            for job in group:
                self._settle([job])
            return
        for job, result in zip(group, results, strict=True):
            job.settle(result, None)

    def _commit(self, group: list[_Job[object]]) -> list[object]:
        with self._engine.begin() as connection:
            results = [job.work(connection) for job in group]
        self.commits += 1
        return results

    @staticmethod
    def _named(error: Exception) -> Exception:
        """Of SQLAlchemy's and the driver's errors a GatewayError; a fault of our own code stays what it is."""
        return store_error(error) if isinstance(error, SQLAlchemyError) else error
