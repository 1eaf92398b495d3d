"""One worker process: libmilter, with a listening socket that is the parent's.

libmilter opens sockets itself, takes their files away when it stops, and crashes pymilter by a connection that comes
while it stops (pymilter 1.0.5: the interpreter is forgotten before the last session has begun). So:

1. It opens a socket of no use, of the same family, and the parent's is laid over its descriptor (dup2).
2. It is never told to stop. To take no more connections, another useless socket is laid over that descriptor; what
   waits at the parent's is for the other workers. Sessions that there are go on.
3. The process ends when nothing is under way any more, without libmilter's help.
4. libmilter waits for SIGTERM and SIGHUP on a thread of its own; signals come to the main thread first, which has them.
"""

import os
import select
import signal
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

import Milter
import milter
import structlog

from gateway.frontends.milter.room import Room
from gateway.frontends.milter.session import Session, Shared
from gateway.frontends.telemetry import metrics
from gateway.frontends.telemetry.logs import surprise
from gateway.settings.deployment import MILTER

log = structlog.get_logger("sealgate.milter")

NAME: Final = "sealgate"
BEAT_S: Final = 1.0
STUCK_DEADLINES: Final = 2.0  # a mail that is worked on for so many deadlines: we say nothing, and are replaced
LINGER_S: Final = 0.3  # an answer leaves after its callback has returned
READY: Final = b"r"
BEAT: Final = b"."
RETIRE: Final = b"d"  # take nothing new; end when all connections are gone
END: Final = b"e"  # the same, but only mails in work are waited for
_FLAGS: Final = Milter.ADDHDRS | Milter.CHGHDRS | Milter.CHGBODY | Milter.CHGFROM


class Listener:
    """libmilter's socket, and what lies over it."""

    def __init__(self, listening: socket.socket) -> None:
        """`listening`: the parent's. Before any thread: libmilter's descriptor is the lowest that is free."""
        family = listening.family
        self._quiet = socket.socket(family, socket.SOCK_STREAM)
        with tempfile.TemporaryDirectory(prefix="sealgate-") as scratch:
            self._quiet.bind(f"{scratch}/quiet" if family == socket.AF_UNIX else (_LOOPBACK[family], 0))
            self._quiet.listen(1)
            self._quiet.setblocking(False)
            expected = os.dup(self._quiet.fileno())
            os.close(expected)
            milter.setconn(f"unix:{scratch}/none" if family == socket.AF_UNIX else f"{_CONN[family]}")
            milter.opensocket(True)
        if not stat.S_ISSOCK(os.fstat(expected).st_mode):
            raise OSError(f"libmilter has opened another descriptor than {expected}")
        self._fd = expected
        listening.setblocking(False)  # several workers wait for one connection, and one gets it
        self._lay(listening)

    def _lay(self, over: socket.socket) -> None:
        os.dup2(over.fileno(), self._fd, inheritable=False)

    def hush(self) -> None:
        """Takes no connection any more."""
        self._lay(self._quiet)


_LOOPBACK: Final = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
_CONN: Final = {socket.AF_INET: "inet:0@127.0.0.1", socket.AF_INET6: "inet6:0@::1"}


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
        register(lambda: Session(shared))
        listener = Listener(listening)
        died = threading.Event()
        threading.Thread(target=_serve, args=(died,), name="libmilter", daemon=True).start()
        self._control.setblocking(False)
        self._say(READY)
        metrics.ready(MILTER, takes_mail=True)
        while not self._order and not died.is_set():
            self._wait(BEAT_S)
            if shared.room.oldest_s() < STUCK_DEADLINES * self._grace_s:  # else it is in a call that does not return
                self._say(BEAT)
            self._measure(shared.room)
        metrics.ready(MILTER, takes_mail=False)
        listener.hush()
        listening.close()  # a milter that is started anew may have its address
        self._drain(shared.room)

    @staticmethod
    def _measure(room: Room) -> None:
        metrics.load(MILTER, connections=room.connections, waiting=0, working=room.mails, octets=room.octets)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._order = END

    def _wait(self, seconds: float) -> None:
        """For an order of the parent's. Its end of the line closes when it dies: then there is nobody to work for."""
        readable, _, _ = select.select((self._control,), (), (), seconds)
        if readable:
            try:
                self._order = self._control.recv(1) or END
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
            self._wait(BEAT_S / 10)
            self._say(BEAT)
        end = time.monotonic() + self._grace_s
        while room.mails and time.monotonic() < end:
            time.sleep(BEAT_S / 10)
            self._say(BEAT)
        if room.connections:
            log.info("connections cut", connections=room.connections, mails=room.mails)
        time.sleep(LINGER_S)


def register(factory: Callable[[], Session]) -> None:
    """Tells libmilter what to call. As Milter.runmilter does, which would open a socket and never return."""
    Milter.factory = factory
    milter.set_flags(_FLAGS)
    milter.set_connect_callback(Milter.connect_callback)
    milter.set_envfrom_callback(lambda ctx, *words: ctx.getpriv().envfrom_bytes(*words))
    milter.set_envrcpt_callback(lambda ctx, *words: ctx.getpriv().envrcpt_bytes(*words))
    milter.set_header_callback(lambda ctx, name, value: ctx.getpriv().header_bytes(name, value))
    milter.set_body_callback(lambda ctx, chunk: ctx.getpriv().body(chunk))
    milter.set_eom_callback(lambda ctx: ctx.getpriv().eom())
    milter.set_abort_callback(lambda ctx: ctx.getpriv().abort())
    milter.set_close_callback(Milter.close_callback)
    milter.set_exception_policy(Milter.TEMPFAIL)
    milter.register(NAME, data=lambda ctx: ctx.getpriv().data(), negotiate=Milter.negotiate_callback)


def _serve(died: threading.Event) -> None:
    try:
        milter.main()
    except Exception as error:  # noqa: BLE001 - the parent starts another worker
        surprise(log, error)
    finally:
        died.set()
