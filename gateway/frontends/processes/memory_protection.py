"""Keeps secrets out of core dumps, and out of freed memory in the process that knows codes.

C's `free`, and Python's on top of it, leaves the octets in place until the memory is used again: a code and
a payee's account can be found in a process for hours after the mail has left. glibc overwrites freed memory if it
is configured so at the start of the process (mallopt(3), `glibc.malloc.perturb`). Python's own allocator must be off
for that, and so must the cache of small freed pieces, which is not overwritten. That costs a mail of 5 KiB about 7 %
more CPU and one of 100 KiB about 30 %, so it is for the one process that makes and checks codes, and for no relay.

Octets on a thread's stack stay there, too, until a call goes as deep again: `clear_stack` overwrites them once a
thread has finished with a code.

It is a second line of defence. Live memory is not overwritten, and root can read it at any time. With other C
libraries it does nothing.
"""

import ctypes
import gc
import os
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from types import MappingProxyType
from typing import Final

from gateway.distribution import own_command

_STACK_OCTETS: Final = 128 << 10  # C's part of it: Python's own calls need none
_PR_SET_DUMPABLE: Final = 4  # prctl.h
_TUNABLES: Final = "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0"  # 165: any octet but 0

# Environment of a process that forgets; read by glibc and Python at its start only.
ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType({"PYTHONMALLOC": "malloc", "GLIBC_TUNABLES": _TUNABLES})


def forgets() -> bool:
    """Whether this process was started so."""
    return all(os.environ.get(name) == value for name, value in ENVIRONMENT.items())


def alone() -> None:
    """Processes that this one starts do not forget: they end soon, and what ends is given back whole."""
    for name in ENVIRONMENT:
        os.environ.pop(name, None)


def let_go() -> None:
    """After the act, where nothing else goes on: circles of objects are found, and the stack is overwritten."""
    gc.collect()
    clear_stack()


def start_anew(arguments: Sequence[str]) -> None:
    """Becomes `sealgate` with these arguments in that environment, under the same process id; returns if it is so."""
    if not forgets():
        os.execve(sys.executable, [*own_command(), *arguments],  # noqa: S606 - ourselves again
                  {**os.environ, **ENVIRONMENT})


class _Zeros(ctypes.Structure):
    _fields_ = (("octets", ctypes.c_char * _STACK_OCTETS),)


@cache
def _wiper() -> Callable[[int, _Zeros], int]:
    """A function of C that does nothing, and gets an argument of many octets by value: those are on the stack."""
    does_nothing = ctypes.CDLL(None).abs
    does_nothing.argtypes = [ctypes.c_int, _Zeros]
    return does_nothing


_ZEROS: Final = _Zeros()


def clear_stack() -> None:
    """Overwrites what earlier calls of this thread left below here on its stack. 10 us."""
    _wiper()(0, _ZEROS)


def no_core() -> None:
    """Leaves no core file, and lets only root read this process's memory (PR_SET_DUMPABLE, prctl(2)).

    The limit alone is not enough: where cores are piped into a program (systemd-coredump) the kernel ignores 0.
    """
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
