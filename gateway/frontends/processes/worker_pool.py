"""The workers of one set of settings: keeps their number constant when single ones fail.

A worker that dies is replaced at once; one that dies at its start ever more seldom. One without watchdog messages for
too long is killed and replaced. One whose threads are stuck while its loop goes on reports it, and is replaced first.

While no worker serves for OUTAGE_S, the pool reports an outage, so that its owner can answer clients in their place.
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from gateway.errors import GatewayError, Reason
from gateway.frontends.processes import handover
from gateway.frontends.processes.children import BACKOFF_S
from gateway.frontends.processes.process import REPLACED, Process
from gateway.frontends.telemetry.logs import log_unexpected

log = structlog.get_logger("sealgate.workers")

START_S: Final = 120.0  # a token that is asked for its keys may take long
KEPT_S: Final = 5.0  # what a worker may take to write down what it knows
OUTAGE_S: Final = 3.0  # a replacement is usually ready by then; later clients should get a reply to retry
MARGIN_S: Final = 10.0  # what a worker may take to end after its mails' grace, before it is killed

Launch = Callable[[int, Mapping[str, str], Sequence[int]], Awaitable[Process]]


class WorkerPool:
    """In the event loop's thread. `retire` ends it for good."""

    def __init__(self, kind: str, size: int, launch: Launch, *, grace_s: float,
                 outage: Callable[[bool], None] = lambda _: None) -> None:
        """`launch`: starts the worker of a number from 0 with more environment and descriptors; OSError.

        `grace_s`: what mails in work get at the end. `outage`: called with True when an outage begins and with False
        when it ends; it must not raise.
        """
        self._kind = kind
        self._launch = launch
        self._grace_s = grace_s
        self._size = size
        self._workers: dict[int, Process] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._leaving: set[asyncio.Task[int]] = set()
        self._leavers: set[Process] = set()
        self._kept: dict[int, int] = {}  # number to the memory that its worker writes into (`handover`)
        self._before: tuple[int, ...] = ()
        self.served_at = time.monotonic()  # when a worker that serves was last seen
        self.trouble: GatewayError | None = None  # why the last worker that did not start did not
        self._outage = outage
        self._in_outage = False
        self.has_served = False  # a worker of this set was ready

    async def start(self, before: Sequence[int] = ()) -> None:
        """Returns when all are ready. GatewayError of the first that is not; then none is left.

        One goes first: it finds out whether the set is any good. `before`: what workers before them wrote down.
        """
        self._before = tuple(before)
        self._kept = {number: one for number in range(self._size) if (one := handover.memory()) is not None}
        try:
            self._workers[0] = await self._fresh(0)
            others = [asyncio.ensure_future(self._fresh(number)) for number in range(1, self._size)]
            try:
                for number, worker in enumerate(await asyncio.gather(*others), 1):
                    self._workers[number] = worker
            except BaseException:
                await _give_up(others)
                raise
        except BaseException:
            await self.retire()
            await self.ended()
            raise
        self._before = ()
        self._keep_all()

    def start_later(self) -> None:
        """As `start` where no worker can serve yet: each is tried again with growing pauses, in an outage from now."""
        self._kept = {number: one for number in range(self._size) if (one := handover.memory()) is not None}
        self._keep_all()
        self._begin_outage()

    def _keep_all(self) -> None:
        loop = asyncio.get_running_loop()
        self._keepers = [loop.create_task(self._keep(number), name=f"{self._kind} {number}")
                         for number in range(self._size)]

    async def _fresh(self, number: int) -> Process:
        """A worker that is ready. GatewayError why there is none."""
        try:
            own = self._kept.get(number)
            worker = await self._launch(number, handover.environment(own, self._before),
                                        (*self._before, *(() if own is None else (own,))))
        except OSError as error:
            raise GatewayError(Reason.INTERNAL, f"no process: {error.strerror}", retry=True) from None
        try:
            return await self._ready(worker, number)
        except BaseException:
            await self._kill(worker)
            raise

    async def _ready(self, worker: Process, number: int) -> Process:
        """The worker once it is ready. GatewayError why it is not."""
        await asyncio.wait({worker.over, ready := asyncio.ensure_future(worker.ready.wait())}, timeout=START_S,
                           return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if worker.ready.is_set() and not worker.over.done():
            self.has_served = True
            log.info("worker.started", kind=self._kind, number=number, pid=worker.pid)
            return worker
        if not worker.over.done():
            raise GatewayError(Reason.INTERNAL, f"a worker was not ready after {START_S:.0f} s", retry=True)
        raise worker.trouble or GatewayError(
            Reason.INTERNAL, f"a worker ended at its start with code {worker.over.result()}", retry=True)

    @staticmethod
    async def _kill(worker: Process) -> None:
        worker.kill()
        await worker.end(0)

    async def _keep(self, number: int) -> None:
        """Replaces the worker of this number as often as need be. No exception ends it."""
        while True:
            try:
                await self._keep_one(number)
            except Exception as error:  # noqa: BLE001 - a keeper that ends would leave its place empty for good
                log_unexpected(log, error, kind=self._kind, number=number)
                await asyncio.sleep(BACKOFF_S[0])

    async def _keep_one(self, number: int) -> None:
        """Waits until the worker of this number ends or asks to be replaced, and replaces it."""
        worker = self._workers.get(number)
        if worker is not None:
            wants_out = asyncio.ensure_future(worker.wants_out.wait())
            try:
                await asyncio.wait({worker.over, wants_out}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                wants_out.cancel()
            if not worker.over.done():
                log.critical("worker.mail_stuck", kind=self._kind, number=number, pid=worker.pid)
                self._workers[number] = await self._again(number)
                self._let_go(worker, REPLACED)
                return
            del self._workers[number]
            log.critical("worker.exited", kind=self._kind, number=number, pid=worker.pid, code=worker.over.result())
        self._workers[number] = await self._again(number)
        self._end_outage()

    async def _again(self, number: int) -> Process:
        """Returns a ready worker, however long it takes."""
        tries = 0
        while True:
            try:
                return await self._fresh(number)
            except GatewayError as trouble:
                self.trouble = trouble
                log.critical("worker.not_started", kind=self._kind, number=number, reason=str(trouble.reason),
                             detail=trouble.detail)
            except Exception as error:  # noqa: BLE001 - a place is never given up
                log_unexpected(log, error, kind=self._kind, number=number)
            await asyncio.sleep(BACKOFF_S[min(tries, len(BACKOFF_S) - 1)])
            tries += 1

    def watch(self) -> None:
        """Kills a worker whose watchdog messages stopped; its keeper replaces it."""
        for worker in self.everyone:
            if worker.stuck:
                log.critical("worker.stuck", kind=self._kind, pid=worker.pid)
                worker.kill()
        if any(not worker.over.done() for worker in self._workers.values()):
            self.served_at = time.monotonic()
        elif self._keepers and not self._in_outage and time.monotonic() - self.served_at > OUTAGE_S:
            self._begin_outage()

    def _begin_outage(self) -> None:
        self._in_outage = True
        log.critical("worker.outage", kind=self._kind)
        self._outage(True)

    @property
    def waits_for_database(self) -> bool:
        """Whether no worker serves because the database cannot be used: a new start of everything would not help."""
        return self._in_outage and self.trouble is not None and self.trouble.reason.family == "store"

    def _end_outage(self) -> None:
        if self._in_outage:
            self._in_outage = False
            self._outage(False)

    def _let_go(self, worker: Process, number: int) -> None:
        leaving = asyncio.get_running_loop().create_task(worker.end(self._grace_s + MARGIN_S, number))
        self._leaving.add(leaving)
        self._leavers.add(worker)
        leaving.add_done_callback(self._leaving.discard)
        leaving.add_done_callback(lambda _: self._leavers.discard(worker))

    async def retire(self, *, replaced: bool = False) -> None:
        """Asks all to end. Returns when none accepts connections any more; their mails go on, see `ended`.

        `replaced`: others have taken their place already.
        """
        await _give_up(self._keepers)
        self._keepers = []
        self._end_outage()
        leaving, self._workers = tuple(self._workers.values()), {}
        for worker in leaving:
            self._let_go(worker, REPLACED if replaced else signal.SIGTERM)
        for worker in leaving:
            await asyncio.wait({worker.over, closed := asyncio.ensure_future(worker.stopping.wait())},
                               timeout=MARGIN_S, return_when=asyncio.FIRST_COMPLETED)
            closed.cancel()

    async def ended(self) -> None:
        """Returns when the last one is gone."""
        while self._leaving:
            await asyncio.wait(tuple(self._leaving))
        for one in self._kept.values():
            os.close(one)
        self._kept = {}

    async def write_down(self) -> tuple[int, ...]:
        """Has all workers write down what they know; the descriptors of what they have written by then."""
        workers = tuple(self._workers.items())
        for _, worker in workers:
            worker.kept.clear()
            worker.tell(handover.ASK)
        waiting = [asyncio.ensure_future(worker.kept.wait()) for _, worker in workers]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=KEPT_S)
            for one in late:
                one.cancel()
        return tuple(self._kept[number] for number, worker in workers
                     if worker.kept.is_set() and number in self._kept)

    @property
    def rules(self) -> str:
        """The first worker's report of its rules, JSON."""
        return next((worker.rules for worker in self._workers.values() if worker.rules), "{}")

    @property
    def everyone(self) -> tuple[Process, ...]:
        """Those that take mail, and those that finish theirs."""
        return (*self._workers.values(), *self._leavers)

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the workers that take mail."""
        return tuple(worker.pid for worker in self._workers.values())


async def _give_up(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancels what goes on; workers that were ready by then are not lost."""
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Process):
            outcome.kill()
            await outcome.end(0)
