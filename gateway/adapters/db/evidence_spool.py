"""Evidence of mail that went while the database could not be written: on local disk, until it can.

A mail of one recipient needs no database to be sent, but its evidence must not be lost: it is written to a file of
this process's own and synced before the client gets its 250. When the database takes records again each file is
brought in, record by record and each once, however often it is tried, and removed. Files of processes that died are
brought in by the next process on the same machine: a lock shows that a file's process lives.

A disk that is full keeps nothing, so room is reserved before a mail leaves (`reserve`): the file's blocks are allocated
ahead and filled later. What is not filled yet are NULs, which end the records. (A file system that copies on write,
such as Btrfs or ZFS, promises no room in this way.)
Records hold no content of mails; the files are their owner's alone, and bounded.
"""

import base64
import fcntl
import io
import json
import os
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from gateway.adapters.files.owner import hand_over
from gateway.errors import GatewayError, Reason

OCTETS_MAX: Final = 268_435_456  # 256 MiB in all: 150,000 records and more
BATCH: Final = 500  # rows brought in by one transaction
RESERVED_OCTETS: Final = 4_194_304  # allocated at once for each process: some 3,000 records
SPARE_OCTETS: Final = 2_097_152  # below this no further mail may leave: those in work need it

Row = dict[str, Any]
_PACKED: Final = "packed"  # the column of octets; records of earlier versions have none

log = structlog.get_logger("sealgate.evidence")


@dataclass(slots=True)
class _File:
    """This process's own: `written` octets of records, `allocated` on the disk."""

    descriptor: int
    path: Path
    written: int = 0
    allocated: int = 0


class Spool:
    """One directory. Safe on many threads, and for many processes on one machine."""

    def __init__(self, directory: Path, octets_max: int = OCTETS_MAX) -> None:
        self._directory = directory
        self._octets_max = octets_max
        self._lock = threading.Lock()
        self._file: _File | None = None

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

    def reserve(self) -> None:
        """Makes sure that the records of the mails in work can be kept, even if database and disk fail meanwhile.

        STORE_UNAVAILABLE (retry) if they cannot: then no mail may leave.
        """
        with self._lock:
            try:
                file = self._own()
                if file.allocated - file.written >= SPARE_OCTETS:
                    return
                size = file.written + RESERVED_OCTETS
                self._bound(file, size)
                os.posix_fallocate(file.descriptor, 0, size)
                file.allocated = size
            except OSError as error:
                raise self._trouble(error) from None

    def add(self, rows: Sequence[Row]) -> None:
        """Durable when it returns. STORE_UNAVAILABLE (retry) if the disk cannot, or the bound is reached."""
        octets = b"".join(map(_line, rows))
        with self._lock:
            try:
                file = self._own()
                self._bound(file, file.written + len(octets))
                _append(file, octets)
            except OSError as error:
                self._end()
                raise self._trouble(error) from None

    def _own(self) -> _File:
        """The file of this process. If it or its directory was removed, a new one with the same records."""
        before = self._file
        if before is not None and _is_there(before):
            return before
        if before is None:
            self._file = self._new()
            return self._file
        log.critical("evidence.directory_removed", directory=str(self._directory), records_octets=before.written)
        self.prepare()
        made = self._new()
        _append(made, os.pread(before.descriptor, before.written, 0))
        os.close(before.descriptor)
        self._file = made
        return made

    def _bound(self, file: _File, size: int) -> None:
        """STORE_UNAVAILABLE (retry) if the directory would hold too much with `size` octets in `file`.

        What others have reserved and not written does not count: it is no evidence.
        """
        others = self._occupied() - os.fstat(file.descriptor).st_size
        if others + size > self._octets_max and self.waiting() - file.written + size > self._octets_max:
            raise GatewayError(Reason.STORE_UNAVAILABLE, f"{self._directory} holds {self._octets_max} octets of "
                               "evidence: more is not kept", retry=True)

    def waiting(self) -> int:
        """Octets that the database has not taken yet. STORE_UNAVAILABLE (retry)."""
        total = 0
        try:
            for path in self._directory.glob("*.evidence"):
                with suppress(FileNotFoundError), path.open("rb") as file:
                    total += _content(file.fileno())
        except OSError as error:
            raise self._trouble(error) from None
        return total

    def first(self) -> tuple[Row, ...]:
        """The first record of this process's own file, which stays as it is. STORE_UNAVAILABLE (retry)."""
        with self._lock:
            if self._file is None or not self._file.written:
                return ()
            try:
                octets = os.pread(self._file.descriptor, min(self._file.written, RESERVED_OCTETS), 0)
            except OSError as error:
                raise self._trouble(error) from None
        row = _read(octets[:octets.find(b"\n") + 1])
        return () if row is None else (row,)

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

    def remove_unused(self) -> None:
        """Removes what dead processes have reserved and not written. STORE_UNAVAILABLE (retry)."""
        try:
            for path in self._directory.glob("*.evidence"):
                with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a living process has the lock
                    if not _content(file.fileno()):
                        path.unlink(missing_ok=True)
        except OSError as error:
            raise self._trouble(error) from None

    def close(self) -> None:
        """Ends the file of this process, and its lock; the next record begins a new one."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        with suppress(OSError):  # what was answered for is on the disk already
            if file.written:
                os.ftruncate(file.descriptor, file.written)
            else:
                file.path.unlink(missing_ok=True)
        os.close(file.descriptor)

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
            content = io.BytesIO(file.read(_content(file.fileno())))
            for line in content:
                row = _read(line)
                if row is None:
                    log.warning("evidence.incomplete_record", file=path.name)
                    continue
                batch.append(row)
                if len(batch) == BATCH:
                    yield tuple(batch)
                    batch = []
            if batch:
                yield tuple(batch)
            path.unlink(missing_ok=True)
            self._sync()

    def _new(self) -> _File:
        path = self._directory / f"{secrets.token_hex(8)}.evidence"
        fresh = path.with_suffix(".new")  # no process brings that in: it gets its name after its lock
        descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            hand_over(descriptor, self._directory)  # root's commands write evidence, too; the service brings it in
            fresh.rename(path)
            self._sync()
        except OSError:
            os.close(descriptor)
            raise
        return _File(descriptor, path)

    def _sync(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _occupied(self) -> int:
        total = 0
        for entry in os.scandir(self._directory):
            if entry.name.endswith(".evidence"):
                with suppress(FileNotFoundError):
                    total += entry.stat().st_size
        return total

    def _trouble(self, error: OSError) -> GatewayError:
        return GatewayError(Reason.STORE_UNAVAILABLE, f"{self._directory}: {error.strerror}", retry=True)


def _is_there(file: _File) -> bool:
    """Whether another process finds the file by its path."""
    try:
        found, own = os.stat(file.path), os.fstat(file.descriptor)  # noqa: PTH116 - Path.stat costs as much again
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino)


def _append(file: _File, octets: bytes) -> None:
    """Writes all of it durably, or nothing: what a full disk took in part is cut off again."""
    at, rest = file.written, memoryview(octets)
    try:
        while rest:
            count = os.pwrite(file.descriptor, rest, at)
            at, rest = at + count, rest[count:]
        os.fsync(file.descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(file.descriptor, file.written)
        raise
    file.written = at
    file.allocated = max(file.allocated, at)


def _content(descriptor: int) -> int:
    """How many octets of a file are records: all before the first NUL, found by halving."""
    low, high = 0, os.fstat(descriptor).st_size
    while low < high:
        middle = (low + high) // 2
        if os.pread(descriptor, 1, middle) in {b"", b"\0"}:
            high = middle
        else:
            low = middle + 1
    return low


def _line(row: Row) -> bytes:
    """A row as JSON, its packed record as base64."""
    if _PACKED in row:
        row = {**row, _PACKED: base64.b64encode(row[_PACKED]).decode()}
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"


def _read(line: bytes) -> Row | None:
    """None where the process was ended in the middle of the line, or the machine lost what was not synced."""
    try:
        row = json.loads(line)
        if not isinstance(row, dict) or not line.endswith(b"\n"):
            return None
        if _PACKED in row:
            row[_PACKED] = base64.b64decode(row[_PACKED], validate=True)
    except (ValueError, TypeError):
        return None
    return row
