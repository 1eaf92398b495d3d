"""The relay's children: jobs and HTTP, processes of their own. What becomes of them never harms mail.

One that dies is started again, ever more seldom if it dies at once; all end with the relay, by SIGTERM, or by the
kernel if the relay is killed (PR_SET_PDEATHSIG, Linux). They stand in sessions of their own, so that Ctrl-C reaches
the relay alone, and know nothing of systemd's notifications, which are the relay's.
"""

import asyncio
import ctypes
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import structlog

log = structlog.get_logger("sealgate.children")

PARENT: Final = "SEALGATE_PARENT"  # environment of a child: the process id of the relay
BACKOFF_S: Final = (1.0, 2.0, 5.0, 15.0, 60.0)
STEADY_S: Final = 60.0  # who has lived so long has not died at once
END_S: Final = 10.0
_PR_SET_PDEATHSIG: Final = 1  # prctl.h


class Children:
    """Keeps them running. Everything is called in the event loop's thread."""

    def __init__(self, commands: Mapping[str, Sequence[str]]) -> None:
        """`commands`: name to program and arguments."""
        self._commands = dict(commands)
        self._keepers: set[asyncio.Task[None]] = set()
        self._running: dict[str, asyncio.subprocess.Process] = {}

    def start(self) -> None:
        """Starts all; returns at once. They end when the loop's tasks are cancelled."""
        loop = asyncio.get_running_loop()
        for name, command in self._commands.items():
            self._keepers.add(loop.create_task(self._keep(name, command), name=f"child {name}"))

    def reload(self) -> None:
        """Passes SIGHUP on."""
        for process in self._running.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGHUP)

    async def stop(self) -> None:
        """Ends all."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    async def _keep(self, name: str, command: Sequence[str]) -> None:
        loop, deaths = asyncio.get_running_loop(), 0
        while True:
            began = loop.time()
            try:
                process = await _spawn(command)
            except OSError as error:
                log.critical("child does not start", child=name, error=error.strerror)
            else:
                self._running[name] = process
                log.info("child started", child=name, pid=process.pid)
                try:
                    code = await process.wait()
                finally:
                    self._running.pop(name, None)
                    await _end(process)
                log.error("child ended", child=name, code=code)
            deaths = 0 if loop.time() - began > STEADY_S else deaths + 1
            await asyncio.sleep(BACKOFF_S[min(deaths, len(BACKOFF_S)) - 1] if deaths else BACKOFF_S[0])


async def run_once(command: Sequence[str]) -> None:
    """Runs a command to its end; ends it when cancelled. Its code is told if it is not 0."""
    try:
        process = await _spawn(command)
    except OSError as error:
        log.critical("process does not start", command=command[-1], error=error.strerror)
        return
    try:
        code = await process.wait()
    finally:
        await _end(process)
    if code:
        log.warning("process ended", command=" ".join(command[-2:]), code=code)


async def _spawn(command: Sequence[str]) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    return await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
        env=environment | {PARENT: str(os.getpid())})


async def _end(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, and SIGKILL if that does not help."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), END_S)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def end_with_parent() -> None:
    """Called by a child at its start: SIGTERM when the relay is no more, however it went. Nothing elsewhere."""
    parent = os.environ.get(PARENT)
    if not parent:
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != int(parent):  # it went before we could ask
        os.kill(os.getpid(), signal.SIGTERM)
