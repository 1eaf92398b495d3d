"""Codes go first: while one is in work, writers that can wait begin no transaction in the same SQLite file.

SQLite's write lock belongs to the process that asks at the right moment, so a code would wait behind the commits of a
run of statements and of the relay again and again. Processes with a code in work share a lock on a file; the others
look at it before each transaction, and wait for it, but never long: a code takes some milliseconds.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gateway.adapters.db.engine.sqlite_file import shared_file

YIELD_MAX_S: Final = 0.05  # what a writer waits at most before one transaction, however many codes there are
LOOK_S: Final = 0.0005


class Urgent:
    """One file beside the database. Safe on many threads."""

    def __init__(self, path: Path) -> None:
        self._file = path.with_name(f"{path.name}-urgent")
        self._lock = threading.Lock()
        self._count = 0
        self._descriptor: int | None = None

    @contextmanager
    def work(self) -> Iterator[None]:
        """While it lasts other processes begin no transaction. GatewayError STORE_UNAVAILABLE (retry)."""
        with self._lock:
            if not self._count:
                fcntl.flock(self._opened(), fcntl.LOCK_SH)  # others hold it for microseconds
            self._count += 1
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1
                if not self._count:
                    fcntl.flock(self._opened(), fcntl.LOCK_UN)

    def give_way(self) -> None:
        """Returns when no other process has urgent work, after `YIELD_MAX_S` at the latest."""
        if self._count:
            return
        deadline = time.monotonic() + YIELD_MAX_S
        while True:
            with self._lock:
                if self._count:
                    return
                descriptor = self._opened()
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    pass
                else:
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
                    return
            if time.monotonic() > deadline:
                return
            time.sleep(LOOK_S)

    def close(self) -> None:
        """Ends it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _opened(self) -> int:
        """Under the lock: two descriptors of one process would be two holders."""
        if self._descriptor is None:
            self._descriptor = shared_file(self._file)
        return self._descriptor
