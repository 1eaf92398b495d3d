"""A running gateway under load: what its processes use up, who presses on it, and the mail of others meanwhile.

    with relay(bank) as running, taking(bank) as hop:
        usage = Usage(running.process.pid)
        ... press ...
        others_mail_goes_on(running)
        assert usage.cpu_s() < ... and usage.grown() < ...

CPU seconds and peaks come from /proc (proc(5)), of all processes of the tree together: they say what was used,
however busy the machine is.
"""

import os
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from tests.support.process import Relay
from tests.support.smtp import Hop

TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20
CODE = (b"From: otp@bank.example\r\nTo: anna@customer.example\r\nSubject: Code\r\nMessage-ID: <%d@bank.example>\r\n"
        b"\r\nYour code is 481516\r\n")
LETTER = (b"From: anna@customer.example\r\nTo: support@bank.example\r\nSubject: Hello\r\n"
          b"Message-ID: <%d@customer.example>\r\n\r\nGood morning\r\n")


def tree(pid: int) -> list[int]:
    """A process and all below it, by their ids."""
    found, new = [pid], [pid]
    while new:
        parent = new.pop()
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):
                below = [int(word) for word in task.read_text().split()]
                found += below
                new += below
    return found


def _status(pid: int, name: str) -> int:
    """A field of /proc/PID/status in octets; 0 for a process that is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) << 10
    return 0


class Usage:
    """What a tree of processes uses up from now on."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._cpu = self._ticks()
        self._before = {one: _status(one, "VmRSS") for one in tree(pid)}
        for one in self._before:
            with suppress(OSError):
                Path(f"/proc/{one}/clear_refs").write_text("5")  # the peak is counted anew (proc(5))

    def _ticks(self) -> int:
        total = 0
        for one in tree(self.pid):
            with suppress(OSError):
                words = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
                total += sum(map(int, words[11:15]))  # utime, stime, and those of children that were waited for
        return total

    def cpu_s(self) -> float:
        """CPU seconds."""
        return (self._ticks() - self._cpu) / TICKS

    def grown(self) -> int:
        """Octets by which the peak of the process that grew most went beyond what it had at the start."""
        return max(_status(one, "VmHWM") - before for one, before in self._before.items())

    def grown_for_good(self) -> int:
        """The same of what they hold now."""
        return max(_status(one, "VmRSS") - before for one, before in self._before.items())


@contextmanager
def taking(port: int) -> Iterator["Sink"]:
    """A next hop on a port that was free: takes every mail, keeps how many, and no octet of them."""
    with Sink(port) as sink:
        yield sink


class Sink(Hop):
    """See taking."""

    def __init__(self, port: int) -> None:
        self.count = 0
        super().__init__(("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN"), port=port, dot=self._counted)

    def _counted(self, _content: bytes) -> None:
        self.count += 1
        self.mails.clear()
        self.lines.clear()


def others_mail_goes_on(running: Relay, *, outbound: int = 3, inbound: int = 3, peer: str = "127.0.0.1") -> None:
    """Mail of a client of ours and of a stranger, each settled well, whatever else is pressing."""
    for number in range(outbound):
        assert running.submit(CODE % number, ["anna@customer.example"])[0] == 250
    for number in range(inbound):
        code, text = running.receive(LETTER % number, ["support@bank.example"])
        assert code == 250, text


class Peers:
    """Connections from many addresses of the loopback, each with a port of its own; all closed at the end."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.open: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self.open:
            sock.close()

    def connect(self, address: str, *, say: bytes = b"") -> bytes:
        """One more connection; the first three octets of the greeting, or b'' where it was closed at once."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=30, source_address=(address, 0))
        code = b""
        with suppress(ConnectionError):
            code = sock.recv(512)[:3]
            if say:
                sock.sendall(say)
        self.open.append(sock)
        return code

    def closed(self) -> int:
        """How many of them the other side has closed by now."""
        return sum(_is_closed(sock) for sock in self.open)


def _is_closed(sock: socket.socket) -> bool:
    sock.settimeout(0)
    try:
        while octets := sock.recv(4096):
            del octets
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


class Dribble:
    """Sends one octet on each of many connections again and again, as slow senders do, until told to stop."""

    def __init__(self, peers: Iterable[socket.socket], every_s: float = 0.2) -> None:
        self._peers = list(peers)
        self._every_s = every_s
        self._ended = threading.Event()
        self.sent = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            for sock in self._peers:
                with suppress(OSError):
                    sock.send(b"x")
                    self.sent += 1
