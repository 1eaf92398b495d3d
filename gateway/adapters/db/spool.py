"""Evidence of mail that went while the database was away: on local disk, until it is back.

A mail of one recipient needs no database to be sent, but its evidence must not be lost: it is written to a file of
this process's own and synced before the client is told 250. When the database answers again each file is brought in,
record by record and each once, however often it is tried, and removed. Files of processes that died are brought in by
whoever comes next on the same machine: a lock says that a file's process lives.
Records hold no content of mails; the files are their owner's alone, and bounded.
"""

import fcntl
import json
import os
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any, Final

import structlog

from gateway.adapters.owner import hand_over
from gateway.errors import GatewayError, Reason

OCTETS_MAX: Final = 268_435_456  # 256 MiB in all: 150,000 records and more
BATCH: Final = 500  # rows brought in by one transaction

Row = dict[str, Any]

log = structlog.get_logger("sealgate.evidence")


class Spool:
    """One directory. Safe on many threads, and for many processes on one machine."""

    def __init__(self, directory: Path, octets_max: int = OCTETS_MAX) -> None:
        self._directory = directory
        self._octets_max = octets_max
        self._lock = threading.Lock()
        self._file: FileIO | None = None

    def prepare(self) -> None:
        """Makes the directory. STORE_UNAVAILABLE (retry) if it cannot be used."""
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                hand_over(descriptor, self._directory.parent)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._trouble(error) from None

    def add(self, rows: Sequence[Row]) -> None:
        """Durable when it returns. STORE_UNAVAILABLE (retry) if the disk cannot, or the bound is reached."""
        octets = b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows)
        with self._lock:
            try:
                if self._occupied() + len(octets) > self._octets_max:
                    raise GatewayError(Reason.STORE_UNAVAILABLE, f"{self._directory} holds {self._octets_max} octets "
                                       "of evidence: more is not kept", retry=True)
                if self._file is None:
                    self._file = self._new()
                _append(self._file, octets)
            except OSError as error:
                self._end()
                raise self._trouble(error) from None

    def waiting(self) -> int:
        """Octets that the database has not taken yet. STORE_UNAVAILABLE (retry)."""
        try:
            return self._occupied()
        except OSError as error:
            raise self._trouble(error) from None

    def batches(self) -> Iterator[tuple[Row, ...]]:
        """What waits, of this process and of dead ones; a file goes when all its batches were taken.

        STORE_UNAVAILABLE (retry) if the disk does not answer.
        """
        self.close()
        try:
            for path in sorted(self._directory.glob("*.evidence")):
                yield from self._of(path)
        except OSError as error:
            raise self._trouble(error) from None

    def close(self) -> None:
        """Ends the file of this process, and its lock; the next record begins a new one."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # what was answered for is on the disk already
                file.close()

    def _of(self, path: Path) -> Iterator[tuple[Row, ...]]:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return  # another process has just brought it in
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # its process lives, or brings it in itself
            batch: list[Row] = []
            for line in file:
                row = _read(line)
                if row is None:
                    log.warning("a record was not written whole: its mail was not answered", file=path.name)
                    continue
                batch.append(row)
                if len(batch) == BATCH:
                    yield tuple(batch)
                    batch = []
            if batch:
                yield tuple(batch)
            path.unlink(missing_ok=True)
            self._sync()

    def _new(self) -> FileIO:
        path = self._directory / f"{secrets.token_hex(8)}.evidence"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            hand_over(descriptor, self._directory)  # root's commands write evidence, too; the service brings it in
            self._sync()
        except OSError:
            os.close(descriptor)
            raise
        return FileIO(descriptor, "wb")

    def _sync(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _occupied(self) -> int:
        return sum(entry.stat().st_size for entry in os.scandir(self._directory) if entry.name.endswith(".evidence"))

    def _trouble(self, error: OSError) -> GatewayError:
        return GatewayError(Reason.STORE_UNAVAILABLE, f"{self._directory}: {error.strerror}", retry=True)


def _append(file: FileIO, octets: bytes) -> None:
    """All of it, durable, or nothing: of what a full disk took in part nobody was told."""
    before = os.fstat(file.fileno()).st_size
    rest = memoryview(octets)
    try:
        while rest:
            rest = rest[file.write(rest) or 0:]
        os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            os.ftruncate(file.fileno(), before)
        raise


def _read(line: bytes) -> Row | None:
    """None where the process was ended in the middle of the line, or the machine lost what was not synced."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and line.endswith(b"\n") else None
