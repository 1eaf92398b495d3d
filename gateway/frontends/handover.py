"""What a worker knows and its successor may have without asking again: through memory that has no name (memfd).

Every worker has a piece of its own. Before a reload the old ones are asked (SIGUSR1) to write into theirs; the new
ones read all of them. Nothing where the kernel has no such memory: then they ask again.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from typing import Final

from gateway.frontends.notify import notify

OWN: Final = "SEALGATE_KEPT"  # environment of a worker: the descriptor that it writes to
BEFORE: Final = "SEALGATE_KEPT_BEFORE"  # those that it reads
ASK: Final = signal.SIGUSR1
WRITTEN: Final = "X_KEPT"
OCTETS_MAX: Final = 1 << 28


def memory() -> int | None:
    """A new piece; its descriptor."""
    return os.memfd_create("sealgate-kept") if hasattr(os, "memfd_create") else None


def told(own: int | None, before: Sequence[int]) -> dict[str, str]:
    """The environment of a worker."""
    return {OWN: "" if own is None else str(own), BEFORE: " ".join(map(str, before))}


def write_when_asked(kept: Callable[[], bytes]) -> None:
    """Called by a worker, in its loop. `kept` runs on a thread."""
    own = os.environ.get(OWN)
    if not own:
        return
    loop, number = asyncio.get_running_loop(), int(own)

    def write() -> None:
        octets = memoryview(kept())
        os.ftruncate(number, 0)
        at = 0
        while at < len(octets):
            at += os.pwrite(number, octets[at:], at)
        notify(f"{WRITTEN}=1")

    loop.add_signal_handler(ASK, lambda: loop.run_in_executor(None, write))


def before() -> list[bytes]:
    """What the workers before this one wrote; called once."""
    found = []
    for word in os.environ.pop(BEFORE, "").split():
        number = int(word)
        found.append(os.pread(number, OCTETS_MAX, 0))
        os.close(number)
    return found
