"""Answers of look-ups that are given once more while the database is away.

Why that is safe:

- only statements that say so (`AGAIN`) are kept: who has which certificate. Never a claim, a quota, the journal
- absence is not kept: it is the one answer that may let a mail leave in clear
- an answer is at most KEPT_S old, since the database itself gave it
- distrust and revocations are watched (`heartbeat.py`): whenever either changes, everything kept is dropped, and an
  answer whose marks were not checked for KEPT_S is not used either. While the whole database is away no distrust can be
  written to it, so none is missed but of the last two seconds. Only a node that is cut off from a database that lives
  can miss one, for KEPT_S at most
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final

AGAIN: Final = "sealgate_answered_again"  # an execution option of statements
KEPT_S: Final = 300.0  # since the database itself gave the answer
KEPT_MAX: Final = 20_000  # answers: some 60 MiB of certificates

Rows = list[tuple[Any, ...]]


class Kept:
    """The newest answers, in the order of their age. Safe on many threads."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = monotonic
        self._lock = threading.Lock()
        self._answers: OrderedDict[Hashable, tuple[float, Rows]] = OrderedDict()
        self._mark: object = None
        self._marked_at = float("-inf")

    def put(self, key: Hashable, rows: Rows) -> None:
        """Keeps the database's latest answer."""
        with self._lock:
            self._answers[key] = (self._clock(), rows)
            self._answers.move_to_end(key)
            if len(self._answers) > KEPT_MAX:
                self._answers.popitem(last=False)

    def drop(self, key: Hashable) -> None:
        """Drops the kept answer."""
        with self._lock:
            self._answers.pop(key, None)

    def get(self, key: Hashable) -> Rows | None:
        """The answer of at most KEPT_S ago; None without one."""
        with self._lock:
            found, now = self._answers.get(key), self._clock()
            if found is None or now - min(found[0], self._marked_at) > KEPT_S:
                return None
            return found[1]

    def observe(self, mark: object) -> None:
        """The present mark that the answers depend on; if it has changed, all kept answers are dropped."""
        with self._lock:
            if mark != self._mark:
                self._answers.clear()
            self._mark, self._marked_at = mark, self._clock()
