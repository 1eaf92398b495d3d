"""The process that owns the milter's socket, and no key: it starts workers, watches them, and replaces them.

1. Workers are forked before anything is loaded, and load keys and database themselves. This process has one thread and
   never serves a mail, so that a fork copies nothing that is in use.
2. SIGHUP: workers with the new settings are started; when all are ready the old ones retire: they take no new
   connection and end with their last one. If one does not become ready, the new ones end and the old ones stay.
3. A worker that dies, or gives no sign of life for too long, is replaced, ever more seldom if it dies at once.
4. While no worker serves for OUTAGE_S, this process accepts connections and closes them: Postfix then answers 451
   (`default_action`) at once, where it would else wait for its own time-out.
5. SIGTERM: every worker ends after its mails in work. If this process is killed they see it, and do the same.
"""

import os
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

import structlog

from gateway.errors import GatewayError, Reason, where
from gateway.frontends.milter.worker import BEAT_S, END, READY, RETIRE
from gateway.frontends.processes.notify import notify, reloaded

log = structlog.get_logger("sealgate.milter")

Line = socket.socket  # between parent and worker
Work = Callable[[int, Line], None]  # in a worker, by its number from 0: until an order comes through this socket
START_S: Final = 60.0  # to load everything
BACKOFF_S: Final = (0.5, 1.0, 2.0, 5.0, 15.0, 60.0)
OUTAGE_S: Final = 3.0
STEADY_S: Final = 10.0  # a worker that has served so long has not died at once
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


@dataclass(slots=True)
class _Child:
    """A worker from outside."""

    pid: int
    number: int
    control: socket.socket
    generation: int
    began: float
    heard: float
    ready: bool = False
    retiring: bool = False


@dataclass(slots=True)
class Parent:
    """`run` is the whole life of the process.

    `work` makes the work of one generation of workers and says how many there are to be; it raises GatewayError if its
    settings do not load.
    `stuck_s`, `grace_s`: how long a worker may be silent, and how long it may take to end after its mails.
    `listening`: the socket on which the workers accept, not blocking.
    """

    work: Callable[[], tuple[int, Work]]
    stuck_s: float
    grace_s: float
    listening: socket.socket
    _children: dict[int, _Child] = field(default_factory=dict)
    _generation: int = 0
    _works: dict[int, tuple[int, Work]] = field(default_factory=dict)
    _deaths: int = 0
    _start_at: float = 0.0  # no worker that has died is replaced before
    _served_at: float = field(default_factory=time.monotonic)  # when a ready worker was last there
    _in_outage: bool = False
    _reload: bool = False
    _end: bool = False
    _is_ready: bool = False  # reported to the service manager; no heartbeat before

    def run(self) -> None:
        """Until SIGTERM. GatewayError if the first workers do not come to life; nothing is left then."""
        woken, waker = socket.socketpair()
        for one in (woken, waker):
            one.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, self._signalled)
        try:
            self._begin(woken)
            if not self._end:
                log.info("milter.ready", workers=self._count)
                notify("READY=1")
                self._is_ready = True
            while not self._end:
                self._step(woken)
                if self._reload:
                    self._reload = False
                    self._change(woken)
        finally:
            log.info("milter.stopping")
            notify("STOPPING=1")
            self._stop(woken)
            signal.set_wakeup_fd(-1)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._reload |= number == signal.SIGHUP
        self._end |= number in (signal.SIGTERM, signal.SIGINT)

    # Generations

    @property
    def _count(self) -> int:
        """How many workers there are to be now."""
        return self._works[self._generation][0]

    def _begin(self, woken: socket.socket) -> None:
        self._works[self._generation] = self.work()
        if not self._raise_generation(woken) and not self._end:
            raise GatewayError(Reason.CONFIG_INVALID, "milter: a worker does not start; see its line above")

    def _change(self, woken: socket.socket) -> None:
        """2. All new ones, or none."""
        before = self._generation
        try:
            work = self.work()
        except GatewayError as trouble:
            log.critical("reload.failed", reason=str(trouble.reason), detail=trouble.detail)
            reloaded(trouble)
            return
        self._generation += 1
        self._works[self._generation] = work
        if self._raise_generation(woken):
            for child in self._of(before):
                self._order(child, RETIRE)
            del self._works[before]
            log.info("reload.done", workers=self._count)
            reloaded()
            return
        if not self._end:
            log.critical("reload.failed", detail="a new worker does not start")
            reloaded(GatewayError(Reason.INTERNAL, "a new worker does not start; the log says why"))
        for child in self._of(self._generation):
            self._order(child, END)
        del self._works[self._generation]
        self._generation = before

    def _raise_generation(self, woken: socket.socket) -> bool:
        """Whether all workers of the present generation are ready; False as soon as one has died."""
        if not all(self._start(number) for number in range(self._count)):
            return False
        end = time.monotonic() + START_S
        while not self._end and time.monotonic() < end:
            mine = self._of(self._generation)
            if len(mine) < self._count:
                return False
            if all(child.ready for child in mine):
                return True
            self._step(woken, replace=False)
        return False

    def _of(self, generation: int) -> list[_Child]:
        return [child for child in self._children.values() if child.generation == generation and not child.retiring]

    def _start(self, number: int) -> bool:
        """Whether the system gives us a process; the other workers must not end because it does not."""
        line: tuple[Line, ...] = ()
        try:
            line = ours, theirs = socket.socketpair()
            pid = os.fork()
        except OSError as error:
            log.critical("worker.not_started", reason=str(Reason.INTERNAL), detail=str(error.strerror))
            for one in line:
                one.close()
            return False
        if pid == 0:
            self._become(number, ours, theirs)
        theirs.close()
        ours.setblocking(False)
        now = time.monotonic()
        self._children[pid] = _Child(pid, number, ours, self._generation, now, now)
        log.info("worker.started", pid=pid)
        return True

    def _become(self, number: int, ours: socket.socket, theirs: socket.socket) -> None:
        """Runs in the new process: with its own end of the pipe, without handlers and loop of the parent."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for one in _SIGNALS:
                signal.signal(one, signal.SIG_DFL)
            ours.close()
            for child in self._children.values():
                child.control.close()
            self._works[self._generation][1](number, theirs)
            code = 0
        except GatewayError as trouble:
            log.critical("worker.not_started", reason=str(trouble.reason), detail=trouble.detail)
        except BaseException as error:  # noqa: BLE001 - it must not return
            log.critical("worker.failed", error=where(error))
        finally:
            os._exit(code)

    # The loop

    def _step(self, woken: socket.socket, *, replace: bool = True) -> None:
        lines = {child.control: child for child in self._children.values()}
        waiting = (self.listening,) if self._in_outage else ()
        readable, _, _ = select.select((woken, *lines, *waiting), (), (), BEAT_S)
        if self.listening in readable:
            self._turn_away()
        if woken in readable:
            with suppress(BlockingIOError):
                while woken.recv(4096):
                    pass
        now = time.monotonic()
        for line in readable:
            if line in lines:
                self._hear(lines[line], now)
        self._bury(now)
        for child in self._children.values():
            if child.ready and now - child.heard > self.stuck_s:
                log.error("worker.stuck", pid=child.pid, silent_s=round(now - child.heard, 1))
                _kill(child.pid)
        if replace:
            self._replace(now)
            self._look_for_outage(now)
        self._alive(now)

    def _hear(self, child: _Child, now: float) -> None:
        try:
            message = child.control.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if message:
            child.heard = now
            child.ready |= READY in message

    def _bury(self, now: float) -> None:
        for child in tuple(self._children.values()):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if not pid:
                continue
            child.control.close()
            del self._children[pid]
            code = os.waitstatus_to_exitcode(status)
            if child.retiring:
                log.info("worker.exited", pid=pid, code=code)
                continue
            log.error("worker.exited", pid=pid, code=code)
            if now >= self._start_at:  # of several that die together one counts
                self._deaths = 1 if child.ready and now - child.began > STEADY_S else self._deaths + 1
                self._start_at = now + BACKOFF_S[min(self._deaths, len(BACKOFF_S)) - 1]

    def _replace(self, now: float) -> None:
        if now >= self._start_at:
            there = {child.number for child in self._of(self._generation)}
            for number in set(range(self._count)) - there:
                if not self._start(number):
                    self._start_at = now + BACKOFF_S[-1]
                    return

    def _look_for_outage(self, now: float) -> None:
        if any(child.ready for child in self._children.values()):
            self._served_at, self._in_outage = now, False
        elif not self._in_outage and now - self._served_at > OUTAGE_S:
            self._in_outage = True
            log.critical("worker.outage", kind="milter")

    def _turn_away(self) -> None:
        """4. Of the module."""
        with suppress(OSError):  # the client no longer waits
            while True:
                self.listening.accept()[0].close()

    def _alive(self, now: float) -> None:
        """Our sign of life is that of our workers, the old ones during a reload: none of them, and we say nothing."""
        if self._is_ready and any(
                child.ready and now - child.heard < self.stuck_s for child in self._children.values()):
            notify("WATCHDOG=1")

    # The end

    def _order(self, child: _Child, order: bytes) -> None:
        child.retiring = True
        with suppress(OSError):
            child.control.send(order)

    def _stop(self, woken: socket.socket) -> None:
        for child in self._children.values():
            self._order(child, END)
        end = time.monotonic() + self.grace_s
        while self._children and time.monotonic() < end:
            self._step(woken, replace=False)
        for child in self._children.values():
            log.error("worker.killed", pid=child.pid)
            _kill(child.pid)
            os.waitpid(child.pid, 0)


def _kill(pid: int) -> None:
    """No core file with keys in it: not SIGABRT."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
