"""Reads a small file in a process of its own, which is killed if the file system does not answer.

A named pipe without a writer or a network file system that hangs would hold a thread of this process permanently.
"""

import errno
import subprocess
import sys
from pathlib import Path
from typing import Final

from gateway.errors import GatewayError, Reason

DEADLINE_S: Final = 5.0
KILLED_S: Final = 0.5  # how long a killed process is waited for: a dead file system may keep it
_WITHOUT_ROOM: Final = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})  # for a process
_UNREADABLE: Final = 3
_CHILD: Final = f"""
import os, stat, sys
root, most = os.path.realpath(sys.argv[1]), int(sys.argv[3])
path = os.path.realpath(os.path.join(root, sys.argv[2]))
if os.path.commonpath((root, path)) != root:
    sys.exit({_UNREADABLE})
try:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        sys.exit({_UNREADABLE})
    with os.fdopen(descriptor, "rb") as file:
        sys.stdout.buffer.write(file.read(most))
except OSError:
    sys.exit({_UNREADABLE})
"""


def read_below(directory: Path, name: str, octets_max: int, *, deadline_s: float = DEADLINE_S) -> bytes:
    """The octets of a regular file below `directory`, with all links followed. Takes some 20 ms.

    GatewayError INPUT_TOO_LARGE, INPUT_UNREADABLE: with retry if the file system did not answer in time, or if the
    process could not be started, or was killed.
    """
    where = f"{directory}/{name}"
    try:
        child = subprocess.Popen(  # noqa: S603 - our own program; what the client named is an argument of it
            [sys.executable, "-I", "-S", "-c", _CHILD, str(directory), name, str(octets_max + 1)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise GatewayError(Reason.INPUT_UNREADABLE, f"{where}: {type(error).__name__}",
                           retry=isinstance(error, OSError) and error.errno in _WITHOUT_ROOM) from None
    try:
        octets, _ = child.communicate(timeout=deadline_s)
    except subprocess.TimeoutExpired:
        _abandon(child)
        raise GatewayError(Reason.INPUT_UNREADABLE, f"{where}: no answer within {deadline_s:g} s",
                           retry=True) from None
    if child.returncode < 0:
        raise GatewayError(Reason.INPUT_UNREADABLE, f"{where}: the process that reads it was killed by signal "
                           f"{-child.returncode}", retry=True)
    if child.returncode:
        raise GatewayError(Reason.INPUT_UNREADABLE, f"{where}: is not a readable file below {directory}")
    if len(octets) > octets_max:
        raise GatewayError(Reason.INPUT_TOO_LARGE, where)
    return octets


def _abandon(child: "subprocess.Popen[bytes]") -> None:
    """Kills it. Where the kernel keeps it, `subprocess` reaps it later."""
    child.kill()
    if child.stdout is not None:
        child.stdout.close()
    try:
        child.wait(KILLED_S)
    except subprocess.TimeoutExpired:
        return
