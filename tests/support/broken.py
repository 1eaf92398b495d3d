"""`python -m tests.support.broken CONFIG`: the relay with a fault inside that no one expected.

Every mail that reaches its final dot meets an exception whose text and whose stack hold the mail's octets.
"""

import sys
from pathlib import Path

from gateway.app.processes.relay import relay
from gateway.settings import load


def reach(point: str) -> None:
    frame = sys._getframe(1)
    held = {name: repr(value) for name, value in frame.f_locals.items()}
    octets = frame.f_locals["self"].mail.octets if point == "before-dot" else b""
    if b"X-Break: yes" in octets:
        raise ValueError(octets.decode("utf-8", "replace"), held)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    relay(load(path), path, reach=reach)
