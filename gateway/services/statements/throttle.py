"""How many mails a destination domain gets in a minute: each process takes its share."""

import threading
import time
from collections.abc import Callable
from typing import Final

DOMAINS_MAX: Final = 100_000  # remembered; beyond them all are forgotten, and a minute begins again

MINUTE_S: Final = 60.0


class Throttle:
    """Threads share it. Mails to a domain go at even distances, so that no server sees a burst."""

    def __init__(self, per_minute_max: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`per_minute_max` 0: no limit."""
        self._distance_s = MINUTE_S / per_minute_max if per_minute_max else 0.0
        self._clock = monotonic
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}

    def wait_s(self, domain: str) -> float:
        """0: a mail may go, and is counted. Else how long to wait before asking again."""
        if not self._distance_s:
            return 0.0
        now = self._clock()
        with self._lock:
            due = self._next.get(domain, now)
            if due > now:
                return due - now
            if len(self._next) >= DOMAINS_MAX:
                self._next.clear()
            self._next[domain] = max(due, now - self._distance_s) + self._distance_s
            return 0.0
