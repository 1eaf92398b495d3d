"""Passes values to processes and between them through memory without a name (memfd).

The set in force: settings and policies as the supervisor has read them once, so that a process that is started later
works by the same. And values that a worker has learned, for its successor: every worker has a memory of its own.
Before a reload the supervisor asks the old ones (SIGUSR1) to write into theirs, and the new ones read all of them.
If the kernel has no such memory, files are read again, and sources asked again.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from gateway.frontends.processes.notify import notify

OWN: Final = "SEALGATE_KEPT"  # environment of a worker: the descriptor that it writes to
BEFORE: Final = "SEALGATE_KEPT_BEFORE"  # those that it reads
SET: Final = "SEALGATE_SET"  # the one that the set in force is in
SERVED: Final = "SEALGATE_SET_SERVED"  # "1": that set has served already
ASK: Final = signal.SIGUSR1
WRITTEN: Final = "X_KEPT"


def memory() -> int | None:
    """A new piece; its descriptor."""
    return os.memfd_create("sealgate-kept") if hasattr(os, "memfd_create") else None


def memory_of(octets: bytes) -> int | None:
    """A new piece that holds this."""
    number = memory()
    if number is not None:
        _write(number, octets)
    return number


@contextmanager
def handed_on(packed: bytes, *, has_served: bool) -> Iterator[tuple[dict[str, str], list[int]]]:
    """Environment and descriptors by which a process that is started inside inherits the set in force.

    `has_served`: another process of the same supervisor works by it, or did.
    """
    number = memory_of(packed)
    if number is None:
        yield {}, []
        return
    try:
        yield {SET: str(number), SERVED: "1" if has_served else ""}, [number]
    finally:
        os.close(number)


def _write(number: int, octets: bytes) -> None:
    os.ftruncate(number, 0)
    at, view = 0, memoryview(octets)
    while at < len(view):
        at += os.pwrite(number, view[at:], at)


def _read(number: int) -> bytes:
    """All of it; the descriptor is closed, and others of the same piece stay."""
    octets = os.pread(number, os.fstat(number).st_size, 0)
    os.close(number)
    return octets


def set_in_force() -> bytes | None:
    """What the supervisor has read; called once. None if there is no supervisor, or no such memory."""
    word = os.environ.pop(SET, "")
    return _read(int(word)) if word else None


def set_has_served() -> bool:
    """Whether the set of `set_in_force` has served already; called once."""
    return os.environ.pop(SERVED, "") == "1"


def environment(own: int | None, before: Sequence[int]) -> dict[str, str]:
    """The environment of a worker."""
    return {OWN: "" if own is None else str(own), BEFORE: " ".join(map(str, before))}


def write_when_asked(kept: Callable[[], bytes]) -> None:
    """Called by a worker, in its loop. `kept` runs on a thread."""
    own = os.environ.get(OWN)
    if not own:
        return
    loop, number = asyncio.get_running_loop(), int(own)

    def write() -> None:
        _write(number, kept())
        notify(f"{WRITTEN}=1")

    loop.add_signal_handler(ASK, lambda: loop.run_in_executor(None, write))


def before() -> list[bytes]:
    """What the workers before this one wrote; called once."""
    return [_read(int(word)) for word in os.environ.pop(BEFORE, "").split()]
