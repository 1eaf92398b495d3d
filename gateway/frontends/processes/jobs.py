"""The jobs process's loop: what is due is fetched by a few threads, and at times a round of other work is done.

Asleep it costs one look into an index ten times a second. One request at a time goes to one host, and issuers, which
strangers' mails ask for, never take more than a part of the threads: lists and answers get through beside them.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, TypeVar

import structlog

from gateway.clock import Clock
from gateway.errors import GatewayError, Reason
from gateway.frontends.processes.children import run_once
from gateway.frontends.processes.notify import live, notify, reloaded
from gateway.frontends.telemetry.logs import log_unexpected
from gateway.ports.fetch import FetchTask, FetchTasks
from gateway.threads import submit

log = structlog.get_logger("sealgate.jobs")

THREADS: Final = 6
ISSUERS_AT_ONCE_MAX: Final = 2
DUE_MAX: Final = 256  # of each kind looked at at once
LOOK_S: Final = 0.1
TROUBLED_S: Final = 1.0  # between two looks while the store does not answer
STUCK_S: Final = 3_600.0  # a thread that does not return by then never will: this process ends, and is started again
END_S: Final = 2.0  # how long the end waits for what is being fetched; it is fetched again at the next start

T = TypeVar("T")
Work = Callable[[], Sequence[str] | None]


@dataclass(slots=True)
class Round:
    """Work that is done every `every_s` seconds, the first time at once.

    `work` may name arguments of `sealgate`: then that command is run as a process of its own.
    """

    name: str
    every_s: float
    work: Work
    next_at: float = field(default=0.0, init=False)
    running: bool = field(default=False, init=False)


class Jobs:
    """One process's jobs. `carry_out` None: nothing is fetched. Only `run` may be called from outside."""

    def __init__(self, tasks: FetchTasks, carry_out: Callable[[FetchTask], GatewayError | None] | None,
                 rounds: Sequence[Round], clock: Clock, *, command: Sequence[str], reload: Callable[[], None],
                 leads: Callable[[], bool] = lambda: True) -> None:
        """`command`: how `sealgate` is called, for rounds that want a process; `reload`: at SIGHUP.

        `leads`: whether of several nodes' jobs these are the ones that work.
        """
        self._tasks = tasks
        self._carry_out = carry_out
        self._rounds = tuple(rounds)
        self._clock = clock
        self._command = tuple(command)
        self._reload = reload
        self._leads = leads
        self._pool = ThreadPoolExecutor(THREADS + len(self._rounds), "jobs")
        self._in_work: dict[str, FetchTask] = {}
        self._kept: set[asyncio.Task[None]] = set()
        self._troubled = False
        self._since: dict[str, float] = {}  # what threads are at work on, and from when (time.monotonic)

    def run(self, *, ready: Callable[[], None] | None = None) -> bool:
        """Until SIGTERM or SIGINT, on the main thread. False: threads are still at work, the process must just end."""
        with asyncio.Runner() as runner:
            return runner.run(self._run(ready))

    async def _run(self, ready: Callable[[], None] | None) -> bool:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        loop.add_signal_handler(signal.SIGHUP, self._reloaded)
        if ready is not None:
            ready()
        notify("READY=1")
        living = loop.create_task(live(), name="signs of life")
        while not ended.is_set() and not self._is_stuck():
            pause = TROUBLED_S
            if self._leads():
                self._start_rounds()
                pause = LOOK_S if self._start_due() else TROUBLED_S
            try:
                await asyncio.wait_for(ended.wait(), pause)
            except TimeoutError:
                continue
        living.cancel()
        for task in tuple(self._kept):
            if task.get_name() == "process":
                task.cancel()
        if self._kept:
            await asyncio.wait(self._kept, timeout=END_S)
        left = bool(self._in_work) or any(one.running for one in self._rounds)
        self._pool.shutdown(wait=not left, cancel_futures=True)
        return not left

    def _reloaded(self) -> None:
        try:
            self._reload()
        except GatewayError as trouble:
            log.critical("jobs.reload_failed", reason=str(trouble.reason), detail=trouble.detail)
            reloaded(trouble)
        else:
            log.info("jobs.reloaded")
            reloaded()

    def _start_due(self) -> bool:
        """Hands what is due to the threads. False if the store does not answer."""
        if self._carry_out is None:
            return True
        try:
            due = self._tasks.due(self._clock.now(), DUE_MAX)
        except GatewayError as trouble:
            self._tell_trouble(trouble)
            return False
        self._troubled = False
        hosts = {host(task) for task in self._in_work.values()}
        for task in due:
            if len(self._in_work) >= THREADS:
                break
            issuers = sum(one.request.kind == "issuer" for one in self._in_work.values())
            if (task.request.key in self._in_work or host(task) in hosts
                    or (task.request.kind == "issuer" and issuers >= ISSUERS_AT_ONCE_MAX)):
                continue
            hosts.add(host(task))
            self._in_work[task.request.key] = task
            self._keep(self._fetch(task, self._carry_out), "fetch")
        return True

    async def _fetch(self, task: FetchTask, carry_out: Callable[[FetchTask], GatewayError | None]) -> None:
        began, fields = time.monotonic(), {"kind": task.request.kind, "url": task.request.url}
        try:
            trouble = await self._on_thread(f"fetch {task.request.url}", carry_out, task)
        except GatewayError as error:
            self._tell_trouble(error)
            await asyncio.sleep(TROUBLED_S)
        except Exception as error:  # noqa: BLE001 - an unexpected error in one task ends no other
            log_unexpected(log, error, **fields)
            await self._give_up(task)
        else:
            took = round(time.monotonic() - began, 3)
            if trouble is None:
                log.info("fetch.done", **fields, seconds=took)
            else:
                log.warning("fetch.failed", **fields, seconds=took, reason=str(trouble.reason), detail=trouble.detail,
                            failures=task.failures + 1)
        finally:
            del self._in_work[task.request.key]

    async def _give_up(self, task: FetchTask) -> None:
        """A task with an unexpected error is not retried."""
        try:
            await self._on_thread(f"failed {task.request.url}", self._tasks.failed, task.request.key, None,
                                  Reason.INTERNAL, "")
        except GatewayError as error:
            self._tell_trouble(error)
            await asyncio.sleep(TROUBLED_S)

    def _start_rounds(self) -> None:
        now = time.monotonic()
        for one in self._rounds:
            if not one.running and one.next_at <= now:
                one.running, one.next_at = True, now + one.every_s
                self._keep(self._round(one), "round")

    async def _round(self, one: Round) -> None:
        try:
            arguments = await self._on_thread(f"round {one.name}", one.work)
        except GatewayError as trouble:
            log.warning("jobs.round_failed", round=one.name, reason=str(trouble.reason), detail=trouble.detail)
        except Exception as error:  # noqa: BLE001 - an unexpected error in one round ends no other
            log_unexpected(log, error, round=one.name)
        else:
            if arguments:
                task = self._keep(run_once((*self._command, *arguments)), "process")
                await asyncio.wait({task})
        finally:
            one.running = False

    async def _on_thread(self, name: str, work: Callable[..., T], *args: object) -> T:
        """GatewayError INTERNAL (retry) if the system starts no thread."""
        self._since[name] = time.monotonic()
        try:
            return await asyncio.wrap_future(submit(self._pool, work, *args))
        finally:
            self._since.pop(name, None)

    def _is_stuck(self) -> bool:
        """Whether a thread has been at work for STUCK_S: a round or a fetch would never come again."""
        stuck = [name for name, since in self._since.items() if time.monotonic() - since > STUCK_S]
        for name in stuck:
            log.critical("jobs.stuck", work=name, for_s=STUCK_S)
        return bool(stuck)

    def _keep(self, work: "asyncio._CoroutineLike[None]", name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)
        return task

    def _tell_trouble(self, trouble: GatewayError) -> None:
        if not self._troubled:
            log.error("jobs.database_unreachable" if trouble.reason.family == "store" else "jobs.blocked",
                      reason=str(trouble.reason), detail=trouble.detail)
        self._troubled = True


def host(task: FetchTask) -> str:
    """The host that a task asks, without the port."""
    authority = task.request.url.partition("://")[2].partition("/")[0].lower()
    return authority[:authority.find("]") + 1] or authority.partition(":")[0]  # of IPv6 in its brackets
