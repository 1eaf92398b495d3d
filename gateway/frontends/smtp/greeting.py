"""Checks whether a listener of the gateway accepts mail: connects as a client does and reads its greeting."""

import re
import socket
from typing import Final

from gateway.settings import Listener

TIMEOUT_S: Final = 3.0
_READY: Final = b"220"
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - whence it is asked


def greets(listener: Listener) -> bool:
    """Whether it says 220, under implicit TLS whether it is there. A listener on any free port cannot be asked."""
    if listener.port == 0:
        return True
    try:
        with socket.create_connection((_ANYWHERE.get(listener.host, listener.host), listener.port), TIMEOUT_S) as one:
            one.settimeout(TIMEOUT_S)
            if listener.tls == "implicit":
                return True
            greeting = one.recv(64)
            one.sendall(b"QUIT\r\n")
            return greeting.startswith(_READY)
    except OSError:
        return False


def answers(milter: str) -> bool:
    """Whether a process listens on a milter's socket, `inet:PORT@HOST` or `unix:/PATH`; a milter sends no greeting."""
    found = re.fullmatch(r"inet6?:(\d+)@(\S+)", milter)
    try:
        if found is None:
            with socket.socket(socket.AF_UNIX) as one:
                one.settimeout(TIMEOUT_S)
                one.connect(milter.partition(":")[2])
            return True
        with socket.create_connection((_ANYWHERE.get(found[2], found[2]), int(found[1])), TIMEOUT_S):
            return True
    except OSError:
        return False
