"""The file of a SQLite database while it is open: is it still the one at its path, and who else uses it.

A process keeps reading and writing a file that was removed or replaced; its answers are then those of a database that
is no more. `Place` compares inodes (a `stat`, 2 microseconds). `Users` is a lock that each process shares for as long
as it has the database open; the process that replaces the database takes it alone.
"""

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from gateway.adapters.files.owner import hand_over
from gateway.errors import GatewayError, Reason

LOOK_AGAIN_S: Final = (1.0, 2.0, 5.0, 15.0, 30.0)  # pauses between two looks at a database that is not the right one


class Place:
    """One path. `number` counts the files that were taken there: a connection of an earlier number is a dead one."""

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = monotonic
        self._held: tuple[int, int] | None = None  # device and inode
        self.number = 0
        self._lock = threading.Lock()
        self._tries = 0
        self._again_at = 0.0
        self._trouble: GatewayError | None = None

    def hold(self) -> None:
        """The file that is there now is the right one. GatewayError STORE_MISSING (retry)."""
        self._held = self._found()

    def is_held(self) -> bool:
        """Whether the file is still the same."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - Path.stat costs as much again, on every mail's way
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._held

    def take(self, identity: str) -> None:
        """Takes the file that is there now, if its id and its tables are those of the one before.

        Looks ever more seldom while they are not. GatewayError STORE_MISSING, STORE_MISMATCH, STORE_UNAVAILABLE
        (retry).
        """
        with self._lock:
            if self.is_held():  # another thread has just taken it
                self._trouble, self._tries = None, 0
                return
            if self._trouble is not None and self._clock() < self._again_at:
                raise self._trouble.again()
            try:
                found = self._found()
                self._require(identity)
            except GatewayError as trouble:
                self._again_at = self._clock() + LOOK_AGAIN_S[min(self._tries, len(LOOK_AGAIN_S) - 1)]
                self._tries += 1
                self._trouble = trouble.again()
                raise
            self._held, self._trouble, self._tries = found, None, 0
            self.number += 1

    def _found(self) -> tuple[int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise GatewayError(Reason.STORE_MISSING, f"{self._path}: {error.strerror}", retry=True) from None
        return found.st_dev, found.st_ino

    def _require(self, identity: str) -> None:
        # Without the log beside it: that may belong to the file before, and would be written into this one.
        uri = f"{self._path.absolute().as_uri()}?immutable=1"
        try:
            with closing(sqlite3.connect(uri, uri=True)) as connection:
                rows = connection.execute("SELECT id FROM database_identity").fetchall()
        except sqlite3.Error as error:
            raise GatewayError(Reason.STORE_MISMATCH, f"{self._path} was replaced while it was in use: {error}",
                               retry=True) from None
        if rows != [(identity,)]:
            raise GatewayError(Reason.STORE_MISMATCH, f"{self._path} was replaced by another database while it was in "
                               "use", retry=True)


class Users:
    """Who has the database open, by a lock on a file beside it."""

    def __init__(self, path: Path) -> None:
        self._file = path.with_name(f"{path.name}-users")
        self._descriptor: int | None = None

    def join(self) -> None:
        """This process uses the database until `leave`. GatewayError STORE_UNAVAILABLE (retry)."""
        if self._descriptor is None:
            descriptor = shared_file(self._file)
            fcntl.flock(descriptor, fcntl.LOCK_SH)  # `others` holds it for a moment only
            self._descriptor = descriptor

    def leave(self) -> None:
        """Ends `join`."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def others(self) -> Sequence[str]:
        """Not empty if another process has the database open. GatewayError STORE_UNAVAILABLE (retry)."""
        descriptor = shared_file(self._file)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return ("running processes of Sealgate",)
        finally:
            os.close(descriptor)
        return ()


@contextmanager
def one_creator(path: Path) -> Iterator[None]:
    """While it lasts no other process creates a database in this directory. GatewayError STORE_UNAVAILABLE (retry).

    The lock is on the directory. It cannot be on the file of `Users`, where a creator would look like a user, and not
    on the database, whose locks of SQLite end when any descriptor of this process is closed.
    """
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise GatewayError(Reason.STORE_UNAVAILABLE, f"{path}: {error.strerror}", retry=True) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def shared_file(path: Path) -> int:
    """The descriptor of an empty file that processes lock, made with mode 0600. STORE_UNAVAILABLE (retry)."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            hand_over(descriptor, path.parent)
        except OSError:
            os.close(descriptor)
            raise
    except OSError as error:
        raise GatewayError(Reason.STORE_UNAVAILABLE, f"{path}: {error.strerror}", retry=True) from None
    return descriptor
