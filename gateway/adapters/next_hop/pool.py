"""A few kept connections to one next hop: taken, given back, thrown away; never more than `connections_max`."""

import threading
import time
from collections.abc import Callable

from gateway.adapters.next_hop.session import LEAST_S, HopSession, at_most
from gateway.errors import GatewayError, Reason


class HopPool:
    """Thread-safe. The connection used last is taken first, so that the others may grow old and be closed."""

    def __init__(self, open_session: Callable[[], HopSession], *, connections_max: int, idle_s: float,
                 wait_s: float) -> None:
        """`open_session` raises GatewayError if there is none to be had; `wait_s`: how long to wait for a free one."""
        self._open = open_session
        self._idle_s = idle_s
        self._wait_s = wait_s
        self._free = threading.BoundedSemaphore(connections_max)
        self._lock = threading.Lock()
        self._kept: list[HopSession] = []
        self._closed = False

    def take(self) -> tuple[HopSession, bool]:
        """A session and whether it is a kept one. Every session taken must be given back or dropped."""
        if not self._free.acquire(timeout=max(at_most(self._wait_s), LEAST_S)):
            raise GatewayError(Reason.NEXT_HOP_UNAVAILABLE, "all connections to the next hop are in use", retry=True)
        try:
            while (session := self._pop()) is not None:
                if not session.has_input():
                    return session, True
                session.abandon()
            return self._open(), False
        except BaseException:
            self._free.release()
            raise

    def replace(self, dead: HopSession) -> HopSession:
        """A fresh session in place of one that turned out to be dead. If there is none, the place is free again."""
        dead.abandon()
        try:
            return self._open()
        except BaseException:
            self._free.release()
            raise

    def give(self, session: HopSession) -> None:
        """Back into the pool; its state must be that of a greeted session."""
        session.used_at = time.monotonic()
        with self._lock:
            keep = not self._closed
            if keep:
                self._kept.append(session)
        if not keep:
            session.leave()
        self._free.release()
        self._prune()

    def drop(self, session: HopSession) -> None:
        """Closes a session of unknown state."""
        session.abandon()
        self._free.release()

    def close(self) -> None:
        """Says goodbye on all kept connections, and keeps none any more."""
        with self._lock:
            self._closed = True
            sessions, self._kept = self._kept, []
        for session in sessions:
            session.leave()

    def _pop(self) -> HopSession | None:
        self._prune()
        with self._lock:
            return self._kept.pop() if self._kept else None

    def _prune(self) -> None:
        oldest = time.monotonic() - self._idle_s
        with self._lock:
            old = [session for session in self._kept if session.used_at < oldest]
            if old:
                self._kept = [session for session in self._kept if session.used_at >= oldest]
        for session in old:
            session.leave()
