"""Limits that the sessions of one worker share: octets of mails in progress, and mails processed at once.

Every connection has its own thread, so one lock protects all of it.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from gateway.errors import GatewayError, Reason
from gateway.frontends.limits import Rate

FIELD_OCTETS: Final = 256  # of memory for a header field, beside its own octets
TURN_TIMEOUT_S: Final = 30.0  # how long a whole mail waits until others are worked on; Postfix waits far longer


class SessionLimits:
    """The limits of one process. Sessions are identified by object identity."""

    def __init__(self, octets_max: int, turns_max: int, per_minute: int = 0) -> None:
        """`octets_max`: of all mails being received or worked on, fields and body. `turns_max`: worked on at once.

        `per_minute`: mails of one client; 0: no limit.
        """
        self._rate = Rate(per_minute, time.monotonic)
        self._octets_max = octets_max
        self._lock = threading.Lock()
        self._sessions: set[int] = set()
        self._octets: dict[int, int] = {}  # of each mail, from MAIL on
        self._used = 0  # of all: asked for each field, so not summed up each time
        self._turns = threading.BoundedSemaphore(turns_max)
        self._since: dict[int, float] = {}  # of each mail that is worked on, by its thread; monotonic

    @property
    def connections(self) -> int:
        """Number of sessions."""
        return len(self._sessions)

    @property
    def mails(self) -> int:
        """Number of sessions with a mail in progress."""
        return len(self._octets)

    @property
    def octets(self) -> int:
        """Octets of all mails in progress."""
        return self._used

    def oldest_s(self) -> float:
        """Seconds since the oldest mail in progress got its turn; 0 if there is none."""
        with self._lock:
            return time.monotonic() - min(self._since.values()) if self._since else 0.0

    def entered(self, session: object) -> None:
        """Counts a new connection."""
        with self._lock:
            self._sessions.add(id(session))

    def left(self, session: object) -> None:
        """Removes a connection and its mail."""
        with self._lock:
            self._sessions.discard(id(session))
            self._used -= self._octets.pop(id(session), 0)

    def began(self, session: object, client: str = "") -> None:
        """Counts a new mail. Raises CLIENT_RATE_EXCEEDED if the client exceeds its rate limit."""
        with self._lock:
            if not self._rate.allow(client):
                raise GatewayError(Reason.CLIENT_RATE_EXCEEDED, "messages per minute", retry=True)
            self._used -= self._octets.get(id(session), 0)
            self._octets[id(session)] = 0

    def ended(self, session: object) -> None:
        """Removes a mail that was answered or aborted."""
        with self._lock:
            self._used -= self._octets.pop(id(session), 0)

    def take(self, session: object, octets: int) -> None:
        """So many more of this session's mail. GatewayError(CLIENT_BUSY) where others have them.

        One mail alone may always be in work.
        """
        with self._lock:
            own = self._octets.get(id(session), 0)
            if self._used > own and self._used + octets > self._octets_max:
                raise GatewayError(Reason.CLIENT_BUSY, "octets in work", retry=True)
            self._octets[id(session)] = own + octets
            self._used += octets

    def give_back(self, session: object) -> None:
        """Nothing is kept of this session's mail any more."""
        with self._lock:
            if id(session) in self._octets:
                self._used -= self._octets[id(session)]
                self._octets[id(session)] = 0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """While a mail is worked on. GatewayError(CLIENT_BUSY) if its turn does not come."""
        if not self._turns.acquire(timeout=TURN_TIMEOUT_S):
            raise GatewayError(Reason.CLIENT_BUSY, "mails in work", retry=True)
        own = threading.get_ident()
        with self._lock:
            self._since[own] = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                del self._since[own]
            self._turns.release()
