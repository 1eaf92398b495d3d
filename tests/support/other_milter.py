"""Another milter of the same Postfix, it does one thing to every mail, and declares only that.

Run as a program: SOCKET ACTION [ADDRESS], with a socket as smtpd_milters has it, and
ACTION quarantine, addrcpt, delrcpt or none.
"""

import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.frontends.milter.protocol import CONTINUE, Command, Packets, packet
from gateway.postfix.reading import milter_actions
from tests.support.process import ROOT
from tests.support.smtp import until


@contextmanager
def other_milter(at: int | str, action: str, address: str = "") -> Iterator[None]:
    """Until it answers. `at`: a port, or a socket as smtpd_milters has it."""
    place = f"inet:127.0.0.1:{at}" if isinstance(at, int) else at
    process = subprocess.Popen([sys.executable, "-m", "tests.support.other_milter", place, action, address], cwd=ROOT)
    try:
        until(lambda: milter_actions(place, "/") is not None, 30)
        yield
    finally:
        process.terminate()
        process.wait(30)


def _run(at: str, action: str, address: str) -> None:
    declared, change = {  # SMFIF_* of libmilter/mfapi.h, SMFIR_* of mfdef.h
        "quarantine": (0x20, packet(b"q", b"looks odd\0")), "addrcpt": (0x04, packet(b"+", f"<{address}>\0".encode())),
        "delrcpt": (0x08, packet(b"-", f"<{address}>\0".encode())), "none": (0x01, b"")}[action]
    with _listening(at) as listening:
        while True:
            threading.Thread(target=_serve, args=(listening.accept()[0], declared, change), daemon=True).start()


def _listening(at: str) -> socket.socket:
    kind, _, place = at.partition(":")
    if kind == "inet":
        return socket.create_server(("127.0.0.1", int(place.rpartition(":")[2])))
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(place)
    listening.listen()
    return listening


def _serve(channel: socket.socket, declared: int, change: bytes) -> None:
    """With an answer to every command, and a list of macros (SMFIF_SETSYMLIST), as some declare."""
    with channel:
        for command, _ in Packets(channel):
            if command == Command.OPTIONS:
                channel.sendall(packet(b"O", struct.pack("!IIII", 6, declared | 0x100, 0, 5) + b"i\0"))
            elif command == Command.QUIT:
                return
            elif command not in (Command.MACROS, Command.ABORT):
                channel.sendall((change if command == Command.END else b"") + CONTINUE)


if __name__ == "__main__":
    _run(*sys.argv[1:4])
