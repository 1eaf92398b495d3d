"""The program that decompresses all of a PDF: started by `check`, one process for one document at a time.

A small file can hold many GiB, or take hours: inside the gateway it would take all memory, and could not be ended. It
imports little (standard library and pikepdf), so that it starts quickly.

Frames are as in `child_process`. The first frame (JSON) has the limits, each further one is a document; the answer is
`G` for a good one, and `B` for one with a part that cannot be decompressed.
"""

import contextlib
import json
import re
import resource
import signal
import socket
import struct
import sys
from io import BytesIO
from typing import Any

PAGES_MAX = 100_000
IDLE_S = 300.0  # without a question for so long it ends
GRACE_S = 1.0  # beyond a document's deadline, if no other process ends this one
_BROKEN = re.compile(r"(?i)error decoding|\berror:|unable to|invalid object|not found")


def is_good(pikepdf: Any, octets: bytes) -> bool:
    """Whether it can be opened, and everything in it can be decompressed. One with a password is not looked at."""
    try:
        with pikepdf.open(BytesIO(octets), suppress_warnings=True, attempt_recovery=False,
                          inherit_page_attributes=False) as pdf:
            return are_few(pdf.Root.Pages) and not any(map(_BROKEN.search, pdf.check_pdf_syntax()))
    except pikepdf.PasswordError:
        return True  # the parent process says that it is locked
    except Exception:  # noqa: BLE001 - also a lack of memory
        return False


def are_few(tree: Any) -> bool:
    """Whether a tree of pages names at most PAGES_MAX of them; also False for one that goes round in circles."""
    named, waiting = 0, [tree]
    while waiting:
        children = waiting.pop().get("/Kids")
        if children is not None:
            named += len(children)
            if named > PAGES_MAX:
                return False
            waiting.extend(children)
    return True


def receive(channel: socket.socket) -> bytes | None:
    """The next frame; None at the end."""
    head = _exactly(channel, 4)
    return None if head is None else _exactly(channel, struct.unpack(">I", head)[0])


def _exactly(channel: socket.socket, count: int) -> bytes | None:
    octets = bytearray()
    while len(octets) < count:
        more = channel.recv(min(count - len(octets), 1_048_576))
        if not more:
            return None
        octets += more
    return bytes(octets)


def main() -> None:
    """Runs until the other side closes, or sends nothing for IDLE_S."""
    channel = socket.socket(fileno=sys.stdin.fileno())
    first = receive(channel)
    if first is None:
        return
    how = json.loads(first)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would hold a customer's document
    resource.setrlimit(resource.RLIMIT_DATA, (how["memory_octets_max"], how["memory_octets_max"]))
    import pikepdf

    channel.settimeout(IDLE_S)
    with contextlib.suppress(OSError):  # idle for too long, or the gateway is gone
        while (octets := receive(channel)) is not None:
            signal.setitimer(signal.ITIMER_REAL, how["deadline_s"] + GRACE_S)
            answer = b"G" if is_good(pikepdf, octets) else b"B"
            signal.setitimer(signal.ITIMER_REAL, 0)
            channel.sendall(struct.pack(">I", 1) + answer)


if __name__ == "__main__":
    main()
