"""Gives work that can wait a lower CPU priority than mail and codes."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_AUTOGROUP: Final = Path("/proc/self/autogroup")


def stand_back(nice: int) -> None:
    """Lowers the priority of this process by `nice` (0 to 19). Where that is not permitted it stays as it is.

    Linux weighs sessions against each other, and `nice` counts only within one (sched(7), "The autogroup feature"): the
    process gets a session of its own, whose weight is lowered too.
    """
    with suppress(OSError):
        os.setsid()
    with suppress(OSError):
        os.nice(nice)
    with suppress(OSError):
        _AUTOGROUP.write_text(str(nice), "ascii")
