"""Threads that work on mails, so that no blocking call is ever in the event loop.

concurrent.futures would do, but costs some 70 us more per mail (a condition, a lock and two futures each; see
`server` for the measurement), and its line of waiting jobs has no limit.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

import structlog

from gateway import threads
from gateway.errors import GatewayError, Reason

log = structlog.get_logger("sealgate.smtp")

T = TypeVar("T")


class Job(Generic[T]):
    """One piece of work. `done` belongs to the event loop; awaiting it does not start or stop anything."""

    def __init__(self, work: Callable[[], T], loop: asyncio.AbstractEventLoop) -> None:
        self.done: asyncio.Future[T] = loop.create_future()
        self._loop = loop
        self._work: Callable[[], T] | None = work
        self._lock = threading.Lock()

    def withdraw(self) -> bool:
        """True if it had not begun; then it never will, and `done` is cancelled. On the loop's thread."""
        with self._lock:
            work, self._work = self._work, None
        if work is None:
            return False
        self.done.cancel()
        return True

    def run(self) -> None:
        """On a worker's thread."""
        with self._lock:
            work, self._work = self._work, None
        if work is None:
            return
        try:
            result, error = work(), None
        except BaseException as trouble:  # noqa: BLE001 - handed on to the waiting caller
            result, error = None, trouble
        del work  # it may hold a whole mail
        try:
            self._loop.call_soon_threadsafe(self._settle, result, error)
        except RuntimeError:
            return  # the loop has ended; no caller waits any more

    def _settle(self, result: T | None, error: BaseException | None) -> None:
        if self.done.done():
            return
        if error is not None:
            self.done.set_exception(error)
        else:
            self.done.set_result(result)  # type: ignore[arg-type]


class Workers:
    """At most `threads_max` threads, started when needed, and at most `waiting_max` jobs in line."""

    def __init__(self, name: str, threads_max: int, waiting_max: int) -> None:
        self._name = name
        self._threads_max = threads_max
        self._waiting_max = waiting_max
        self._queue: SimpleQueue[Job[object] | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self._open: set[asyncio.Future[object]] = set()
        self._begun: dict[int, float] = {}  # thread to when its present job began

    def submit(self, work: Callable[[], T]) -> Job[T]:
        """Puts work in line. GatewayError(CLIENT_BUSY, retry=True) if the line is too long. On the loop's thread."""
        if self._queue.qsize() >= self._waiting_max:
            raise GatewayError(Reason.CLIENT_BUSY, f"{self._name}: {self._waiting_max} jobs are waiting", retry=True)
        job = Job(work, asyncio.get_running_loop())
        self._open.add(job.done)  # type: ignore[arg-type]
        job.done.add_done_callback(self._open.discard)
        self._queue.put(job)  # type: ignore[arg-type]
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._threads_max:
            # Daemons: a process that ends does not wait for a next hop that never answers.
            try:
                self._threads.append(threads.start(self._serve, name=f"{self._name}-{len(self._threads)}"))
            except GatewayError as trouble:
                log.warning("worker.thread_not_started", detail=trouble.detail, threads=len(self._threads))
                if not self._threads:  # else one of them does it in its turn
                    job.withdraw()
                    self._queue.get_nowait()
                    raise GatewayError(Reason.CLIENT_BUSY, trouble.detail, retry=True) from None
        return job

    async def finish(self, timeout_s: float) -> int:
        """Waits for what is in line and under way; returns how many jobs are left."""
        if self._open:
            await asyncio.wait(tuple(self._open), timeout=timeout_s)
        return len(self._open)

    @property
    def waiting(self) -> int:
        """Jobs in line."""
        return self._queue.qsize()

    @property
    def working(self) -> int:
        """Jobs at work."""
        return len(self._begun)

    def oldest_s(self) -> float:
        """For how long the job that began first is at work; 0.0 of none."""
        begun = tuple(self._begun.copy().values())
        return time.monotonic() - min(begun) if begun else 0.0

    def close(self) -> None:
        """Ends each thread after its present job."""
        for _ in self._threads:
            self._queue.put(None)

    def _serve(self) -> None:
        me = threading.get_ident()
        while (job := self._queue.get()) is not None:
            self._begun[me] = time.monotonic()
            job.run()
            del job, self._begun[me]
            self._idle.release()
