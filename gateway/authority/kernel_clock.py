"""Whether the kernel believes its own clock: adjtimex(2), read-only.

chrony, ntpd and systemd-timesyncd clear STA_UNSYNC when they have disciplined the clock; the kernel sets it again
when no program has for some time (its maximum error passes 16 s). A time-stamping service must know (RFC 3161 2.1.1).
"""

import ctypes
from functools import cache
from typing import Any, Final

_STA_UNSYNC: Final = 0x0040  # linux/timex.h
_TIME_ERROR: Final = 5


class _Timex(ctypes.Structure):
    """The head of struct timex; the kernel also writes what follows, hence the room at the end."""

    _fields_ = (
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long), ("status", ctypes.c_int), ("rest", ctypes.c_char * 256),
    )


@cache
def _adjtimex() -> Any:
    return ctypes.CDLL(None, use_errno=True).adjtimex


def is_synchronised() -> bool:
    """False also where the kernel cannot be asked (no such call, forbidden by a sandbox): no claim without proof."""
    state = _Timex()
    try:
        verdict = _adjtimex()(ctypes.byref(state))
    except (AttributeError, OSError):
        return False
    return verdict not in (-1, _TIME_ERROR) and not state.status & _STA_UNSYNC
