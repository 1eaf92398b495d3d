"""Verdicts kept for a short while: validating a path costs 0.9 ms, and a mail's signer comes again.

A slot is five minutes. A verdict at a time out of a time-stamp never shares a slot with one at the present:
a forged past must not answer for now, nor now for the past.
"""

from collections import OrderedDict
from collections.abc import Hashable
from datetime import datetime
from threading import Lock
from typing import Generic, TypeVar

SLOT_S = 300
ENTRIES_MAX = 8192  # about 1 KiB each

T = TypeVar("T")


class VerdictCache(Generic[T]):
    """A bounded map (least recently used goes first) by key, time slot, and where the time came from."""

    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self._entries: OrderedDict[tuple[Hashable, int, bool], T] = OrderedDict()
        self._max = entries_max
        self._lock = Lock()

    def get(self, key: Hashable, at: datetime, *, stamped: bool) -> T | None:
        """What was put under this key in this slot."""
        full = (key, int(at.timestamp()) // SLOT_S, stamped)
        with self._lock:
            value = self._entries.get(full)
            if value is not None:
                self._entries.move_to_end(full)
            return value

    def put(self, key: Hashable, at: datetime, value: T, *, stamped: bool) -> None:
        """Keeps it; the oldest unused one makes room."""
        with self._lock:
            self._entries[key, int(at.timestamp()) // SLOT_S, stamped] = value
            while len(self._entries) > self._max:
                self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)
