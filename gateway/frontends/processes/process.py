"""One process that we started: what it says of itself, and its end.

It has a session of its own, so that Ctrl-C reaches only the parent; the kernel ends it when the parent ends
(`children.end_with_parent`). systemd's notifications are ours, not its: its NOTIFY_SOCKET is our ear, or nothing.
"""

import asyncio
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import structlog

from gateway.errors import GatewayError
from gateway.frontends.processes.handover import WRITTEN
from gateway.frontends.processes.notify import SOCKET, Ear, Message, trouble_of
from gateway.frontends.telemetry.logs import log_unexpected

log = structlog.get_logger("sealgate.process")

PARENT: Final = "SEALGATE_PARENT"  # environment of a child: the process id of who started it
REPLACED: Final = signal.SIGUSR2  # to a worker: another process does your work now, end when your mails have
PATIENCE_S: Final = 5.0  # after REPLACED: who is connected already has this long to begin a mail
_OURS: Final = frozenset({SOCKET, "WATCHDOG_USEC", "WATCHDOG_PID"})  # between systemd and us


class Process:
    """In the event loop's thread. `over`: its exit code; minus the signal's number if one ended it."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, ear: Ear | None, stuck_after_s: float) -> None:
        self.name = name
        self.pid = process.pid
        self.ready = asyncio.Event()
        self.stopping = asyncio.Event()
        self.wants_out = asyncio.Event()  # its threads are stuck, its loop is not
        self.kept = asyncio.Event()  # it wrote down what it knows
        self.reloaded = asyncio.Event()  # it has answered the last SIGHUP; its answer's trouble is `trouble`
        self.reloaded.set()
        self.heard_at: float | None = None  # of its last sign of life, monotonic
        self.trouble: GatewayError | None = None  # why it could not start
        self.rules: str = ""  # JSON: which rules it works by
        self._to_reload = False
        self._process = process
        self._ear = ear
        self._stuck_after_s = stuck_after_s
        self.over = asyncio.get_running_loop().create_task(self._wait(), name=f"wait for {name}")
        if ear is not None:
            ear.listen(process.pid, self._hear)

    @classmethod
    async def start(cls, name: str, command: Sequence[str], *, ear: Ear | None = None,
                    stuck_after_s: float = 0.0, environment: Mapping[str, str] | None = None,
                    fds: Sequence[int] = ()) -> "Process":
        """OSError if there is no such program. `fds`: file descriptors that it inherits under their numbers.

        `stuck_after_s`: how soon it has to give the next sign of life, once it has given one; 0: whenever it likes.
        """
        inherited_environment = {key: value for key, value in os.environ.items() if key not in _OURS}
        inherited_environment |= {PARENT: str(os.getpid()), **(environment or {})}
        if ear is not None:
            inherited_environment[SOCKET] = ear.address
            if stuck_after_s:
                inherited_environment["WATCHDOG_USEC"] = str(int(stuck_after_s * 1_000_000))
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, start_new_session=True, env=inherited_environment,
            pass_fds=tuple(fds))
        return cls(name, process, ear, stuck_after_s)

    async def _wait(self) -> int:
        code = await self._process.wait()
        if self._ear is not None:
            try:
                self._ear.forget(self.pid)
            except Exception as error:  # noqa: BLE001 - `over` has a result after any last message of the process
                log_unexpected(log, error, pid=self.pid)
        return code

    def _hear(self, message: Message) -> None:
        if message.get("WATCHDOG_USEC") == "0":
            self._stuck_after_s = 0.0
        if message.get("WATCHDOG") == "trigger":
            self.heard_at = time.monotonic()
            self.wants_out.set()
        elif "WATCHDOG" in message or "READY" in message:
            self.heard_at = time.monotonic()
        if message.get("READY") == "1":
            self.rules = message.get("X_RULES", "")
            self.ready.set()
            if self._to_reload:
                self.reload()
            else:
                self.reloaded.set()
        if message.get("STOPPING") == "1":
            self.stopping.set()
        if message.get(WRITTEN) == "1":
            self.kept.set()
        self.trouble = trouble_of(message) or self.trouble

    @property
    def stuck(self) -> bool:
        """Whether its next sign of life is overdue. One that never gave any is not watched."""
        if self.heard_at is None or not self._stuck_after_s or self.over.done():
            return False
        return time.monotonic() - self.heard_at > self._stuck_after_s

    def forgive(self) -> None:
        """Its time begins again."""
        if self.heard_at is not None:
            self.heard_at = time.monotonic()

    def tell(self, number: int) -> None:
        """Sends it; to one that is gone nothing."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def reload(self) -> None:
        """SIGHUP; to one that is still loading once it is ready, for until then it would die of it."""
        self.reloaded.clear()
        self.trouble = None
        self._to_reload = self._ear is not None and not self.ready.is_set()
        if not self._to_reload:
            self.tell(signal.SIGHUP)

    def kill(self) -> None:
        """No core file with keys in it: not SIGABRT."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def end(self, grace_s: float, number: int = signal.SIGTERM) -> int:
        """SIGTERM, and SIGKILL if that does not help; its exit code. Works also where the loop cancels everybody."""
        if self._process.returncode is None:
            self.tell(number)
            try:
                await asyncio.wait_for(self._process.wait(), grace_s)
            except TimeoutError:
                self.kill()
        return await self._process.wait()
