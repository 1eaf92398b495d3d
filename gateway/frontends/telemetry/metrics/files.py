"""The directory in which the processes count.

A file is a memory map: where the disk is full, writing to a page that has none of it yet would end the process. So a
process reserves its files before it counts. What a process that ended has counted still counts, but what it was is
gone; and so that restarts and reloads of years do not pile up, the files of many dead become one.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Final

from prometheus_client.mmap_dict import MmapedDict

DEAD_FILES_MAX: Final = 8  # of one kind, before they are laid together
# Kind to octets: a series takes some 200, of counters there are some hundreds, of gauges some dozens.
KINDS: Final = MappingProxyType(
    {"counter": 524_288, "histogram": 524_288, "gauge_livesum": 65_536, "gauge_livemax": 65_536})
_LIVE: Final = "gauge_live"
_DEAD: Final = "dead"


def reserve(directory: Path, process: int) -> None:
    """Files of their full size on the disk. OSError if they cannot be had."""
    for kind, octets in KINDS.items():
        descriptor = os.open(directory / f"{kind}_{process}.db", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size < octets:
                os.posix_fallocate(descriptor, 0, octets)
        finally:
            os.close(descriptor)


def bury(directory: Path) -> None:
    """What is true of living processes only goes with them; counters of the dead are laid together when many.

    Called by the one process that serves `/metrics`.
    """
    dead: dict[str, list[Path]] = {}
    for kind, process, path in _files(directory):
        if _lives(process):
            continue
        if kind.startswith(_LIVE):
            path.unlink(missing_ok=True)
        else:
            dead.setdefault(kind, []).append(path)
    for kind, paths in dead.items():
        if len(paths) > DEAD_FILES_MAX:
            _merge(directory / f"{kind}_{_DEAD}.db", paths)


def of_living(directory: Path) -> list[Path]:
    """The gauges of processes that live."""
    return [path for kind, process, path in _files(directory) if kind.startswith(_LIVE) and _lives(process)]


def _files(directory: Path) -> Iterator[tuple[str, int, Path]]:
    for path in directory.glob("*.db"):
        kind, _, process = path.stem.rpartition("_")
        if process.isdigit():
            yield kind, int(process), path


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _merge(into: Path, paths: list[Path]) -> None:
    """Adds up. A crash in between counts some twice or not at all, which `rate()` takes for a restart."""
    fresh = into.with_suffix(".db.new")
    fresh.unlink(missing_ok=True)
    sums: dict[str, float] = {}
    for path in [*paths, into]:
        with suppress(FileNotFoundError):
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(path)):  # type: ignore[no-untyped-call]
                sums[key] = sums.get(key, 0.0) + value
    merged = MmapedDict(str(fresh))  # type: ignore[no-untyped-call]
    for key, value in sums.items():
        merged.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    merged.close()  # type: ignore[no-untyped-call]
    fresh.rename(into)
    for path in paths:
        path.unlink(missing_ok=True)
