"""One worker process: takes connections from the parent's socket, and serves each on a thread.

1. Threads stay and are used again: one that has never signed or encrypted first pays for its own randomness and memory,
   a tenth of a mail's work.
2. A worker that is to end takes no more connections; what waits at the socket is for the other workers. Its sessions go
   on, and the process ends when nothing is in progress any more.
"""

import select
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Final

import structlog

from gateway.errors import GatewayError
from gateway.frontends.milter.connection import serve
from gateway.frontends.milter.room import Room
from gateway.frontends.milter.session import Shared
from gateway.frontends.telemetry import metrics
from gateway.settings import MILTER
from gateway.threads import submit

log = structlog.get_logger("sealgate.milter")

CONNECTIONS_MAX: Final = 512  # of one worker; Postfix has default_process_limit (100) for each of its services
BEAT_S: Final = 1.0
STUCK_DEADLINES: Final = 2.0  # a mail that is worked on for so many deadlines: we say nothing, and are replaced
NO_DESCRIPTOR_S: Final = 0.2  # until the next try
LINGER_S: Final = 0.3  # an answer leaves after its mail counts as ended
READY: Final = b"r"
BEAT: Final = b"."
RETIRE: Final = b"d"  # take nothing new; end when all connections are gone
END: Final = b"e"  # the same, but only mails in work are waited for


class Worker:
    """Runs until it is told to end. Everything but sessions happens on the main thread."""

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
        listening.close()  # a milter that is started anew may have its address
        self._drain(shared.room)

    def _take(self, listening: socket.socket, shared: Shared) -> None:
        """Takes connections until an order comes."""
        listening.setblocking(False)  # several workers wait for one connection, and one gets it
        threads = ThreadPoolExecutor(CONNECTIONS_MAX, "milter")  # never waited for: the process ends with `os._exit`
        next_beat = 0.0
        with select.epoll() as events:
            events.register(listening, select.EPOLLIN | select.EPOLLEXCLUSIVE)
            events.register(self._control, select.EPOLLIN)
            while not self._order:
                ready = [number for number, _ in events.poll(BEAT_S)]
                if self._control.fileno() in ready:
                    self._read_order()
                # A connection whose worker died before it accepted wakes no other one: look again after a while.
                if listening.fileno() in ready or not ready:
                    _accept(listening, threads, shared)
                if time.monotonic() >= next_beat:
                    next_beat = time.monotonic() + BEAT_S
                    self._beat(shared.room)

    def _beat(self, room: Room) -> None:
        if room.oldest_s() < STUCK_DEADLINES * self._grace_s:  # else it is in a call that does not return
            self._say(BEAT)
        metrics.load(MILTER, connections=room.connections, waiting=0, working=room.mails, octets=room.octets)

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

    def _drain(self, room: Room) -> None:
        """Sessions may end by themselves; then mails in work are waited for."""
        time.sleep(LINGER_S)  # a connection taken a moment ago has not told its name yet
        end = time.monotonic() + self._grace_s
        while self._order == RETIRE and room.connections and time.monotonic() < end:
            time.sleep(BEAT_S / 10)
            self._read_order()
            self._say(BEAT)
        end = time.monotonic() + self._grace_s
        while room.mails and time.monotonic() < end:
            time.sleep(BEAT_S / 10)
            self._say(BEAT)
        if room.connections:
            log.info("milter.connections_cut", connections=room.connections, mails=room.mails)
        time.sleep(LINGER_S)


def _accept(listening: socket.socket, threads: ThreadPoolExecutor, shared: Shared) -> None:
    """Takes one connection, if it is still there. Without a free descriptor it waits at the socket a little longer.

    Without a thread for it the connection is closed, and Postfix answers 451 (`default_action`).
    """
    try:
        channel, _ = listening.accept()
    except (BlockingIOError, ConnectionAbortedError):
        return
    except OSError as error:
        log.error("milter.not_accepted", detail=str(error.strerror))  # noqa: TRY400 - the text says it
        time.sleep(NO_DESCRIPTOR_S)
        return
    try:
        submit(threads, serve, channel, shared)
    except GatewayError as trouble:
        channel.close()
        log.error("milter.not_accepted", detail=trouble.detail)  # noqa: TRY400 - the text says it
        time.sleep(NO_DESCRIPTOR_S)
