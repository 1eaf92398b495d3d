"""Signs of life by datagrams, as systemd has them (sd_notify(3)): what we say, and what our processes say to us.

READY=1, STOPPING=1, WATCHDOG=1, WATCHDOG=trigger and WATCHDOG_USEC=0 (who is not to be watched) mean what they mean to
systemd. Our own processes also say, in fields of our own, why they could not start (X_TROUBLE) and which rules they
work by (X_RULES), as JSON.
"""

import asyncio
import json
import os
import shutil
import socket
import struct
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.errors import GatewayError, Reason

SOCKET: Final = "NOTIFY_SOCKET"
DATAGRAM_OCTETS_MAX: Final = 65_536
_CREDENTIALS = struct.Struct("3i")  # unix(7), struct ucred: pid, uid, gid
_EARLY_MAX: Final = 64
ONCE_S: Final = 5.0
SIGNS: Final = 6  # so many in the time within which one must come

Message = Mapping[str, str]


def notify(*fields: str) -> None:
    """Sends the fields to systemd or the supervisor; does nothing without one, and no harm if it does not read."""
    address = os.environ.get(SOCKET)
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        # A watchdog message that is lost in a full queue is followed by the next; a message sent once waits a moment.
        sock.settimeout(0.0 if fields[0].startswith("WATCHDOG=") else ONCE_S)
        sock.sendto("\n".join(fields).encode(), "\0" + address[1:] if address.startswith("@") else address)


def reloading() -> None:
    """READY=1 must follow, also after a failure (sd_notify(3); MONOTONIC_USEC is for Type=notify-reload)."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def reloaded(trouble: GatewayError | None = None) -> None:
    """Reports that a process has handled SIGHUP. `trouble`: why its old settings stay in force."""
    notify("READY=1", *(() if trouble is None else (trouble_field(trouble),)))


def watchdog_s() -> float | None:
    """How often systemd wants a sign of life, None if it wants none (sd_watchdog_enabled(3))."""
    microseconds, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or (pid and pid != str(os.getpid())):
        return None
    return int(microseconds) / 1_000_000


def trouble_field(trouble: GatewayError) -> str:
    """Why a process of the gateway could not start, for `trouble_of`."""
    fields = {"reason": str(trouble.reason), "detail": trouble.detail[:DATAGRAM_OCTETS_MAX // 8],
              "retry": trouble.retry}
    return f"X_TROUBLE={json.dumps(fields)}"


def trouble_of(message: Message) -> GatewayError | None:
    """What `trouble_field` wrote."""
    if "X_TROUBLE" not in message:
        return None
    fields = json.loads(message["X_TROUBLE"])
    return GatewayError(Reason(fields["reason"]), fields["detail"], retry=fields["retry"])


async def live(well: Callable[[], bool] = lambda: True) -> None:
    """Sends WATCHDOG=1 at the interval that the starter set, from the event loop; WATCHDOG=trigger if not `well`.

    A process is not well if its loop goes on while its threads do not: then it must be replaced.
    """
    within_s = watchdog_s()
    while within_s is not None:
        notify("WATCHDOG=1" if well() else "WATCHDOG=trigger")
        await asyncio.sleep(within_s / SIGNS)


class Ear:
    """The socket that our processes speak to. Only those that we started ourselves are believed, by their credentials.

    In the event loop's thread. What a process says before anybody listens for it is kept.
    """

    def __init__(self) -> None:
        self._listeners: dict[int, Callable[[Message], None]] = {}
        self._early: dict[int, list[Message]] = {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        # In a directory of its own (0700): strangers who fill the queue would have all of us taken for stuck.
        runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
        self._home = Path(tempfile.mkdtemp(prefix="sealgate-", dir=runtime or None))
        self.address = str(self._home / "notify")
        self._socket.bind(self.address)

    def open(self) -> None:
        """Begins to read messages."""
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self.drain)

    def close(self) -> None:
        """Hears no more."""
        with suppress(RuntimeError):
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def listen(self, pid: int, heard: Callable[[Message], None]) -> None:
        """Calls `heard` with each message of the process, also with earlier ones."""
        self._listeners[pid] = heard
        for message in self._early.pop(pid, ()):
            heard(message)

    def forget(self, pid: int) -> None:
        """The process is gone; its last messages are handled first."""
        self.drain()
        self._listeners.pop(pid, None)
        self._early.pop(pid, None)

    def drain(self) -> None:
        """Hears what is there."""
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(DATAGRAM_OCTETS_MAX, socket.CMSG_SPACE(_CREDENTIALS.size))
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                return  # closed
            pid = _sender(ancillary)
            if pid is None:
                continue
            lines = data.decode("utf-8", "replace").split("\n")
            message = {name: value for name, sign, value in (line.partition("=") for line in lines) if sign}
            if pid in self._listeners:
                self._listeners[pid](message)
            elif len(self._early) < _EARLY_MAX:
                self._early.setdefault(pid, []).append(message)


def _sender(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    """The process id, as the kernel says; None for another user's process."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS and len(data) >= _CREDENTIALS.size:
            pid, uid, _ = _CREDENTIALS.unpack(data[:_CREDENTIALS.size])
            return int(pid) if uid in {0, os.getuid()} else None
    return None
