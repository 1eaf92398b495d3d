"""Child processes that answer questions over a socket: one question at a time, each with a deadline.

Libraries that can block, take all memory or break on hostile input run in such a process (`pdf.typst_child`,
`adapters.directories.ldap_child`). The program is a file of its own with the standard library and that one package, so
that it starts quickly. Its standard input is the socket. A frame is four octets of length, then the body. The first
frame says how to work; each further one asks, and has one answer.
"""

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger("sealgate.children")

_PASSED_ON: Final = ("PATH", "LD_LIBRARY_PATH")  # of the environment
_READ_OCTETS: Final = 1_048_576
_ENDED_S: Final = 0.5  # within which a process whose channel is closed has ended
# The kernel for want of memory, an operator, a limit of the service. A process that crashes dies of other signals.
_FROM_OUTSIDE: Final = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


class KilledError(EOFError):
    """A signal ended the process over a question. `from_outside`: perhaps the question has no part in it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"it was killed by signal {number}")
        self.signal = number
        self.from_outside = number in _FROM_OUTSIDE


class ChildProcess:
    """One process. The thread that asks has it to itself."""

    def __init__(self, program: Path, first: bytes, answer_octets_max: int, environment: Mapping[str, str]) -> None:
        """OSError if it cannot be started. `environment`: beside what every program needs."""
        ours, theirs = socket.socketpair()
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            self.process = subprocess.Popen(  # noqa: S603 our own file, by our own interpreter
                [sys.executable, "-I", str(program)], stdin=theirs.fileno(), stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, cwd="/", start_new_session=True, env={**passed_on, **environment})
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._channel, self._answer_octets_max = ours, answer_octets_max
        self.program = program.name
        with contextlib.suppress(OSError):  # reported when the first question fails
            self._send(first)

    def ask(self, question: bytes, ends_at: float) -> bytes:
        """One answer. TimeoutError at `ends_at` (monotonic); EOFError or OSError if the process has ended.

        KilledError, an EOFError, if a signal ended it.
        """
        try:
            return self._ask(question, ends_at)
        except TimeoutError:
            raise
        except (EOFError, OSError):
            self._raise_if_killed(ends_at)
            raise

    def _ask(self, question: bytes, ends_at: float) -> bytes:
        self._channel.settimeout(max(ends_at - time.monotonic(), 0.001))
        self._send(question)
        (length,) = struct.unpack(">I", self._receive(4, ends_at))
        if length > self._answer_octets_max:
            raise EOFError
        return self._receive(length, ends_at)

    def _raise_if_killed(self, ends_at: float) -> None:
        try:
            code = self.process.wait(max(min(_ENDED_S, ends_at - time.monotonic()), 0.0))
        except subprocess.TimeoutExpired:
            return
        if code < 0:
            raise KilledError(-code) from None

    def end(self) -> None:
        """Kills the process in any state."""
        self._channel.close()
        self.process.kill()
        self.process.wait()

    def forget(self) -> None:
        """Leaves the process to the parent, in a forked child."""
        self._channel.close()
        self.process.returncode = 0  # or its end would be waited for here

    def _send(self, body: bytes) -> None:
        self._channel.sendall(struct.pack(">I", len(body)) + body)

    def _receive(self, count: int, ends_at: float) -> bytes:
        octets = bytearray()
        while len(octets) < count:
            left = ends_at - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._channel.settimeout(left)
            more = self._channel.recv(min(count - len(octets), _READ_OCTETS))
            if not more:
                raise EOFError
            octets += more
        return bytes(octets)


class ChildProcesses:
    """Processes that are kept for the next question, for many threads. After a fork the copy starts its own.

    A process that answered well is kept, any other is ended. All end with this object.
    """

    def __init__(self, kept_max: int) -> None:
        self.idle: list[ChildProcess] = []
        self._kept_max = kept_max
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._closed = False
        weakref.finalize(self, _end_all, self.idle, self._process)

    def ask(self, start: Callable[[], ChildProcess], question: bytes, ends_at: float,
            is_good: Callable[[bytes], bool] | None = None) -> bytes:
        """The answer of an idle process, or of a new one from `start`, whose errors are raised.

        `is_good`: whether the process is kept after this answer; None: always.
        TimeoutError at `ends_at` (monotonic); EOFError or OSError if a new process ended without an answer. If it was
        killed from outside another one is asked; KilledError if that one is killed, too.
        """
        if (child := self._take()) is not None:
            try:
                return self._ask(child, question, ends_at, is_good)
            except TimeoutError:
                raise
            except (EOFError, OSError):
                pass  # it ended while it was idle: a new one is asked instead
        try:
            return self._ask(start(), question, ends_at, is_good)
        except KilledError as killed:
            if not killed.from_outside:
                raise
        return self._ask(start(), question, ends_at, is_good)

    def close(self) -> None:
        """Ends the idle processes; one at work ends after its answer."""
        with self._lock:
            self._closed = True
            idle, self.idle[:] = list(self.idle), []
        _end_all(idle, self._process)

    def _ask(self, child: ChildProcess, question: bytes, ends_at: float,
             is_good: Callable[[bytes], bool] | None) -> bytes:
        good = False
        try:
            answer = child.ask(question, ends_at)
            good = is_good is None or is_good(answer)
        except KilledError as killed:
            log.warning("child.killed", program=child.program, pid=child.process.pid, signal=killed.signal)
            raise
        finally:
            if not (good and self._keep(child)):
                child.end()
        return answer

    def _take(self) -> ChildProcess | None:
        with self._lock:
            if self._process != os.getpid():
                for child in self.idle:
                    child.forget()
                self.idle.clear()
                self._process = os.getpid()
            return self.idle.pop() if self.idle else None

    def _keep(self, child: ChildProcess) -> bool:
        with self._lock:
            kept = not self._closed and len(self.idle) < self._kept_max
            if kept:
                self.idle.append(child)
            return kept


def _end_all(children: list[ChildProcess], process: int) -> None:
    """Only in the process that started them: after a fork they are still the parent's."""
    while children and process == os.getpid():
        children.pop().end()
