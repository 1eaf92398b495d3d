"""The owner of a claim, in a form by which another process finds out whether it still lives.

A process is its id and its start time (ids are used again), on one boot of one machine, in one process namespace
(two containers both have a process 1). Of another machine or namespace nothing can be known but the claim's age.
"""

import os
from dataclasses import astuple, dataclass
from functools import lru_cache
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Owner:
    """`boot`, `namespace` and `start` are '' where the system does not provide them."""

    machine: str
    boot: str
    namespace: str
    process: int
    start: str

    def __str__(self) -> str:
        return "|".join(map(str, astuple(self)))

    @classmethod
    def parse(cls, text: str) -> "Owner":
        """What `str` wrote."""
        machine, boot, namespace, process, start = text.split("|")
        return cls(machine, boot, namespace, int(process), start)

    def is_dead(self, here: "Owner") -> bool | None:
        """Whether the process has ended, as seen by `here`; None: that cannot be known from here."""
        if self.machine != here.machine or self.namespace != here.namespace:
            return None
        if self.boot and here.boot and self.boot != here.boot:  # a hardened service may not see it
            return True
        try:
            os.kill(self.process, 0)  # sends nothing: asks only; a process of another user raises PermissionError
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        start = _start_of(self.process)
        return bool(self.start and start) and start != self.start


def here() -> Owner:
    """This process; asked again after a fork."""
    return _owner(os.getpid())


@lru_cache(maxsize=1)
def _owner(process: int) -> Owner:
    return Owner(os.uname().nodename.replace("|", "_"), _read("sys/kernel/random/boot_id"), _namespace(), process,
                 _start_of(process))


def _start_of(process: int) -> str:
    """Ticks since boot at which a process started: field 22 of its stat, behind a name that may hold anything."""
    fields = _read(f"{process}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def _namespace() -> str:
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""


def _read(name: str) -> str:
    try:
        return (_PROC / name).read_text("utf-8", "replace").strip()
    except OSError:
        return ""
