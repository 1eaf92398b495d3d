"""One worker process: its order from the parent, its heartbeat, and its end.

A worker that is to end takes no more connections; what waits at the socket is for the other workers. Its sessions go
on, and the process ends when nothing is in progress any more.
"""

import select
import signal
import socket
import time
from functools import partial
from types import FrameType
from typing import Final

import structlog

from gateway.frontends.milter.acceptors import Acceptors
from gateway.frontends.milter.connection import serve
from gateway.frontends.milter.session import Shared
from gateway.frontends.milter.session_limits import SessionLimits
from gateway.frontends.telemetry import metrics
from gateway.settings import MILTER

log = structlog.get_logger("sealgate.milter")

BEAT_S: Final = 1.0
STUCK_DEADLINES: Final = 2.0  # a mail that is worked on for so many deadlines: we say nothing, and are replaced
LINGER_S: Final = 0.3  # an answer leaves after its mail counts as ended
READY: Final = b"r"
BEAT: Final = b"."
RETIRE: Final = b"d"  # take nothing new; end when all connections are gone
END: Final = b"e"  # the same, but only mails in work are waited for


class Worker:
    """Runs until it receives the order to end. All but sessions runs on the main thread."""

    def __init__(self, control: socket.socket, grace_s: float) -> None:
        """`control`: the parent's other end. `grace_s`: at most so long are sessions waited for, and then mails."""
        self._control = control
        self._grace_s = grace_s
        self._order = b""

    def run(self, listening: socket.socket, shared: Shared) -> None:
        """Serves; returns when nothing is under way."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._control.setblocking(False)
        self._say(READY)
        metrics.ready(MILTER, takes_mail=True)
        self._take(listening, shared)
        metrics.ready(MILTER, takes_mail=False)
        listening.close()  # a restarted milter may use its address
        self._drain(shared.limits)

    def _take(self, listening: socket.socket, shared: Shared) -> None:
        """Takes connections until an order comes."""
        listening.setblocking(False)  # several workers wait for one connection, and one gets it
        acceptors = Acceptors(listening, partial(serve, shared=shared))
        acceptors.start()
        control = select.poll()
        control.register(self._control, select.POLLIN)
        while not self._order:
            if control.poll(BEAT_S * 1000):
                self._read_order()
            self._beat(shared.limits)
        acceptors.stop()

    def _beat(self, limits: SessionLimits) -> None:
        if limits.oldest_s() < STUCK_DEADLINES * self._grace_s:  # else it is in a call that does not return
            self._say(BEAT)
        metrics.load(MILTER, connections=limits.connections, waiting=0, working=limits.mails, octets=limits.octets)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._order = END

    def _read_order(self) -> None:
        """Of the parent. Its end of the line closes when it dies: then there is nothing to work for."""
        try:
            self._order = self._control.recv(1) or END
        except BlockingIOError:
            return
        except OSError:
            self._order = END

    def _say(self, what: bytes) -> None:
        try:
            self._control.send(what)
        except BlockingIOError:
            return
        except OSError:
            self._order = END

    def _drain(self, limits: SessionLimits) -> None:
        """Sessions may end by themselves; then mails in work are waited for."""
        time.sleep(LINGER_S)  # a connection accepted a moment ago has not sent its name yet
        end = time.monotonic() + self._grace_s
        while self._order == RETIRE and limits.connections and time.monotonic() < end:
            time.sleep(BEAT_S / 10)
            self._read_order()
            self._say(BEAT)
        end = time.monotonic() + self._grace_s
        while limits.mails and time.monotonic() < end:
            time.sleep(BEAT_S / 10)
            self._say(BEAT)
        if limits.connections:
            log.info("milter.connections_cut", connections=limits.connections, mails=limits.mails)
        time.sleep(LINGER_S)
