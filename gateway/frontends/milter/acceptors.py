"""Threads that accept connections and serve them; no thread hands a connection to another.

1. The kernel wakes one waiting thread for each connection. A thread that accepts sees to it that another one waits.
2. Threads stay and are used again: one that has never signed or encrypted first pays for its own randomness and memory,
   a tenth of a mail's work.
3. Where all threads are busy, or none can be started, connections wait at the socket for the other workers.
"""

import os
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from gateway.errors import GatewayError
from gateway.threads import start

log = structlog.get_logger("sealgate.milter")

CONNECTIONS_MAX: Final = 512  # of one worker; Postfix has default_process_limit (100) for each of its services
WAITING_MAX: Final = 32  # threads more than these end when their connection ends
LOOK_S: Final = 1.0  # a connection whose worker died before accept wakes no thread: poll at this interval
NO_DESCRIPTOR_S: Final = 0.2  # until the next try


class Acceptors:
    """Of one process. The process ends by `os._exit` and does not wait for the threads."""

    def __init__(self, listening: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        """`listening`: not blocking, since several workers wait for one connection. `serve`: raises nothing."""
        self._listening = listening
        self._serve = serve
        self._stopping = False
        self._stopped = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = threading.Lock()
        self._threads = 0
        self._waiting = 0  # of them, for a connection

    def start(self) -> None:
        """Accepts from now on. GatewayError INTERNAL (retry) if no thread can be started."""
        self._threads = self._waiting = 1
        self._add()

    def stop(self) -> None:
        """Accepts no more; connections that are served go on. The socket may be closed then."""
        self._stopping = True
        os.eventfd_write(self._stopped, 1)

    def _add(self) -> None:
        start(self._run, name="milter")

    def _run(self) -> None:
        while channel := self._next():
            self._leave()
            self._serve(channel)
            if not self._return():
                return

    def _next(self) -> socket.socket | None:
        """The next connection; None once `stop` was called. Without a free descriptor it waits a little longer."""
        while not self._stopping:
            try:
                with select.epoll() as events:  # of this thread alone: of several, the kernel wakes one
                    events.register(self._listening, select.EPOLLIN | select.EPOLLEXCLUSIVE)
                    events.register(self._stopped, select.EPOLLIN)
                    while all(number != self._stopped for number, _ in events.poll(LOOK_S)):
                        with suppress(BlockingIOError, ConnectionAbortedError):
                            return self._listening.accept()[0]
            except (OSError, ValueError) as error:
                if not self._stopping:  # else the socket is closed
                    log.error("milter.not_accepted", detail=str(error))  # noqa: TRY400 - the text says it
                    time.sleep(NO_DESCRIPTOR_S)
        return None

    def _leave(self) -> None:
        """This thread serves now: if no other one waits, one more is started."""
        with self._lock:
            self._waiting -= 1
            if self._waiting or self._threads >= CONNECTIONS_MAX:
                return
            self._threads += 1
            self._waiting += 1
        try:
            self._add()
        except GatewayError as error:
            log.error("milter.thread_not_started", detail=error.detail)  # noqa: TRY400 - the text says it
            with self._lock:
                self._threads -= 1
                self._waiting -= 1

    def _return(self) -> bool:
        """Whether this thread is to wait for the next connection."""
        with self._lock:
            if self._waiting >= WAITING_MAX:
                self._threads -= 1
                return False
            self._waiting += 1
            return True
