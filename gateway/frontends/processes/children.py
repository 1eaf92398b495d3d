"""The processes beside the relay: jobs, HTTP, the milter. Their failures never affect the relay's mail.

A process that dies is started again, ever more seldom if it dies at once. A process whose watchdog messages stop is
killed first. All end with the supervisor, by SIGTERM, or by the kernel if it is killed (PR_SET_PDEATHSIG, Linux).
"""

import asyncio
import ctypes
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Final

import structlog

from gateway.errors import GatewayError, Reason
from gateway.frontends.processes.notify import Ear
from gateway.frontends.processes.process import PARENT, Process
from gateway.frontends.telemetry.logs import log_unexpected

log = structlog.get_logger("sealgate.children")

BACKOFF_S: Final = (1.0, 2.0, 5.0, 15.0, 60.0)
STEADY_S: Final = 60.0  # who has lived so long has not died at once
END_S: Final = 10.0
ONCE_S: Final = 3_600.0  # of a command that is run to its end: the next one goes on where it was
_PR_SET_PDEATHSIG: Final = 1  # prctl.h

Inherited = AbstractContextManager[tuple[Mapping[str, str], Sequence[int]]]

__all__ = ["BACKOFF_S", "PARENT", "STEADY_S", "Children", "end_with_parent", "run_once"]


class Children:
    """Keeps them running. Everything is called in the event loop's thread."""

    def __init__(self, commands: Mapping[str, Sequence[str]], *, ear: Ear | None = None,
                 stuck_after_s: float = 0.0, environment: Mapping[str, str] | None = None,
                 own: Mapping[str, Mapping[str, str]] | None = None, end_s: Mapping[str, float] | None = None,
                 inherits: Callable[[], Inherited] | None = None) -> None:
        """`commands`: name to program and arguments. `ear`: where they give signs of life; without one they give none.

        `own`: more environment of single ones. `end_s`: who has longer than END_S to end, after SIGTERM. `inherits`:
        environment and descriptors of each one that starts.
        """
        self._commands = {name: tuple(command) for name, command in commands.items()}
        self._ear = ear
        self._stuck_after_s = stuck_after_s
        self._environment = dict(environment or {})
        self._own = dict(own or {})
        self._end_s = dict(end_s or {})
        self._inherits = inherits or (lambda: nullcontext(({}, ())))
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._running: dict[str, Process] = {}

    def start(self) -> None:
        """Starts all; returns at once. They end when the loop's tasks are cancelled."""
        for name in self._commands:
            self._begin(name)

    def _begin(self, name: str) -> None:
        self._keepers[name] = asyncio.get_running_loop().create_task(self._keep(name), name=f"child {name}")

    def reload(self, commands: Mapping[str, Sequence[str]] | None = None) -> None:
        """Passes SIGHUP on. With `commands` the new ones are started, and those end that are not among them."""
        for process in self._running.values():
            process.reload()
        if commands is None:
            return
        before, self._commands = self._commands, {name: tuple(command) for name, command in commands.items()}
        for name in before.keys() - self._commands.keys():
            self._keepers[name].cancel()
        for name in self._commands.keys() - before.keys():
            self._begin(name)

    async def reloaded(self, within_s: float) -> dict[str, GatewayError]:
        """Waits until all that run have answered `reload`. Those that did not take the new set, with the reason."""
        asked = {name: process for name, process in self._running.items() if name in self._commands}
        answers = {name: asyncio.ensure_future(_answered(process)) for name, process in asked.items()}
        if answers:
            await asyncio.wait(answers.values(), timeout=within_s)
        troubles: dict[str, GatewayError] = {}
        for name, answer in answers.items():
            trouble = asked[name].trouble
            if not answer.done():
                answer.cancel()
                trouble = GatewayError(Reason.INTERNAL, f"no answer within {within_s:.0f} s", retry=True)
            if trouble is not None:
                troubles[name] = trouble
        return troubles

    async def stop(self) -> None:
        """Ends all."""
        for keeper in self._keepers.values():
            keeper.cancel()
        await asyncio.gather(*self._keepers.values(), return_exceptions=True)

    @property
    def everyone(self) -> tuple[Process, ...]:
        """Those that run."""
        return tuple(self._running.values())

    def watch(self) -> None:
        """Kills a process whose watchdog messages stopped; its keeper starts it again."""
        for name, process in self._running.items():
            if process.stuck:
                log.critical("process.stuck", child=name, pid=process.pid)
                process.kill()

    async def _keep(self, name: str) -> None:
        """Starts the process again as often as need be. No exception ends it."""
        loop, deaths = asyncio.get_running_loop(), 0
        while True:
            began = loop.time()
            try:
                await self._live(name)
            except Exception as error:  # noqa: BLE001 - a keeper that ends would leave us without this process for good
                log_unexpected(log, error, child=name)
            deaths = 0 if loop.time() - began > STEADY_S else deaths + 1
            await asyncio.sleep(BACKOFF_S[min(deaths, len(BACKOFF_S)) - 1] if deaths else BACKOFF_S[0])

    async def _live(self, name: str) -> None:
        """One life of the process."""
        try:
            with self._inherits() as (given, descriptors):
                process = await Process.start(
                    name, self._commands[name], ear=self._ear, stuck_after_s=self._stuck_after_s, fds=descriptors,
                    environment={**self._environment, **self._own.get(name, {}), **given})
        except OSError as error:
            log.critical("process.not_started", child=name, error=error.strerror)
            return
        self._running[name] = process
        log.info("process.started", child=name, pid=process.pid)
        try:
            code = await asyncio.shield(process.over)
        finally:
            await process.end(self._end_s.get(name, END_S))
            self._running.pop(name, None)
        log.error("process.exited", child=name, code=code)


async def _answered(process: Process) -> None:
    """Returns when the process has answered SIGHUP, or has ended: then it starts again, with the new set."""
    answer = asyncio.ensure_future(process.reloaded.wait())
    try:
        await asyncio.wait({process.over, answer}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        answer.cancel()


async def run_once(command: Sequence[str]) -> None:
    """Runs a command to its end; ends it when cancelled, and after ONCE_S. Logs its exit code if it is not 0."""
    try:
        process = await Process.start(command[-1], command)
    except OSError as error:
        log.critical("command.not_started", command=command[-1], error=error.strerror)
        return
    try:
        code = await asyncio.wait_for(asyncio.shield(process.over), ONCE_S)
    except TimeoutError:
        log.critical("command.stuck", command=" ".join(command[-2:]), pid=process.pid, for_s=ONCE_S)
        return
    finally:
        await process.end(END_S)
    if code:
        log.warning("command.failed", command=" ".join(command[-2:]), code=code)


def end_with_parent() -> None:
    """Called by a child at its start: SIGTERM when the parent is no more, however it went. Nothing elsewhere."""
    parent = os.environ.get(PARENT)
    if not parent:
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != int(parent):  # it went before we could ask
        os.kill(os.getpid(), signal.SIGTERM)
