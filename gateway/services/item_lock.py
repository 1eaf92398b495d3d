"""Lets the threads of a process work on items at the same time, or one of them work alone.

An item that may end the process is worked on alone, so that the death of the process is no other item's.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

LOOK_S: Final = 0.5


class ItemLock:
    """Shared by all threads of a process. Who waits to work alone goes first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holders = 0
        self._is_alone = False
        self._waiting = 0  # to work alone

    @property
    def is_contended(self) -> bool:
        """Whether a thread waits to work alone."""
        return self._waiting > 0

    @contextmanager
    def held(self, *, alone: bool, waits: Callable[[], object]) -> Iterator[None]:
        """`waits` is called at least every LOOK_S while other threads are at work, without the lock."""
        with self._changed:
            self._waiting += alone
        try:
            while not self._take(alone=alone):
                waits()
                with self._changed:
                    if not self._is_free(alone=alone):
                        self._changed.wait(LOOK_S)
        finally:
            with self._changed:
                self._waiting -= alone
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._holders -= 1
                self._is_alone = False
                self._changed.notify_all()

    def _is_free(self, *, alone: bool) -> bool:
        return self._holders == 0 if alone else not self._is_alone and not self._waiting

    def _take(self, *, alone: bool) -> bool:
        with self._changed:
            if not self._is_free(alone=alone):
                return False
            self._holders += 1
            self._is_alone = alone
            return True
