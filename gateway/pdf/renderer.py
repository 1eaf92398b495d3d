"""Typst at a distance: documents are set in child processes with a deadline and a limit of memory (`typst_child`).

A child that answered well is kept for the next document; any other is ended. Threads may share a Renderer: each that
asks has a child to itself, at most `children_max` at once; who comes later waits, and the deadline counts from then.
"""

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from gateway.errors import GatewayError, Reason
from gateway.pdf import typst_child

FONTS: Final = Path(__file__).parent / "fonts"
_PROGRAM: Final = Path(typst_child.__file__)
_PASSED_ON: Final = ("PATH", "LD_LIBRARY_PATH")  # of the environment
# typst's one way to the network obeys these (where the child may not cut itself off): a port that nothing listens at.
_NO_NETWORK: Final = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
                                   "http://127.0.0.1:9")


@dataclass(frozen=True, slots=True)
class Limits:
    """`deadline_s` of one document; `octets_max` of it; `memory_octets_max` of a child (typst itself takes 60 MiB)."""

    deadline_s: float = 20.0
    octets_max: int = 20_971_520
    memory_octets_max: int = 536_870_912
    children_max: int = 4


class Renderer:
    """Starts nothing before it is asked. After a fork the copy starts children of its own."""

    def __init__(self, limits: Limits | None = None, fonts: tuple[Path, ...] = (), *, system_fonts: bool = False,
                 ) -> None:
        """`fonts`: directories beside our own; `system_fonts`: those of the machine too (then octets depend on it)."""
        self._limits = limits or Limits()
        self._fonts = tuple(str(one) for one in (FONTS, *fonts) if one.is_dir())
        self._system_fonts = system_fonts
        self._idle: list[_Child] = []
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(self._limits.children_max)
        self._process = os.getpid()
        weakref.finalize(self, _end_all, self._idle, self._process)

    def render(self, root: Path, file: str, inputs: Mapping[str, str], at: datetime) -> bytes:
        """The PDF of a template: `file` below `root`, which it cannot leave; `inputs` are its `sys.inputs`.

        `at` (aware) stands in the document as the time of its making. GatewayError(PDF_NOT_MADE | PDF_TOO_LARGE).
        """
        question = {"root": str(root.absolute()), "file": file, "inputs": dict(inputs),
                    "timestamp": int(at.timestamp()), "timeout_s": self._limits.deadline_s}
        body = json.dumps(question).encode()
        if len(body) > typst_child.FRAME_OCTETS_MAX:
            raise GatewayError(Reason.PDF_TOO_LARGE, f"{file}: {len(body)} octets of values")
        with self._turn():
            answer = self._answer(body, file)
        if answer[:1] != b"P":
            raise GatewayError(Reason.PDF_NOT_MADE, answer[1:].decode(errors="replace"))
        if len(answer) - 1 > self._limits.octets_max:
            raise GatewayError(Reason.PDF_TOO_LARGE, f"{file}: {len(answer) - 1} octets, "
                               f"the limit is {self._limits.octets_max}")
        return answer[1:]

    def close(self) -> None:
        """Ends the children that rest; one at work ends after its document, for want of its parent's interest."""
        with self._lock:
            idle, self._idle[:] = list(self._idle), []
        _end_all(idle, self._process)

    def _answer(self, body: bytes, file: str) -> bytes:
        child = self._kept()
        if child is not None:
            with contextlib.suppress(EOFError, OSError):  # it rested for too long and has ended
                return self._asked(child, body, file)
        child = _Child(self._how())
        try:
            return self._asked(child, body, file)
        except (EOFError, OSError):
            raise GatewayError(Reason.PDF_NOT_MADE, f"{file}: the process ended over it, for want of memory "
                               f"({self._limits.memory_octets_max} octets) or by a fault of typst") from None

    def _asked(self, child: "_Child", body: bytes, file: str) -> bytes:
        good = False
        try:
            answer = child.ask(body, time.monotonic() + self._limits.deadline_s)
            good = True
        except TimeoutError:
            raise GatewayError(Reason.PDF_NOT_MADE, f"{file}: not made within {self._limits.deadline_s} s") from None
        finally:
            if not good:
                child.end()
        self._keep(child)
        return answer

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        with self._lock:
            if self._process != os.getpid():  # after a fork the children are the parent's, and so are the turns taken
                for child in self._idle:
                    child.forget()
                self._idle.clear()
                self._process = os.getpid()
                self._free = threading.BoundedSemaphore(self._limits.children_max)
            free = self._free
        with free:
            yield

    def _kept(self) -> "_Child | None":
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _keep(self, child: "_Child") -> None:
        with self._lock:
            self._idle.append(child)

    def _how(self) -> bytes:
        return json.dumps({"fonts": self._fonts, "system_fonts": self._system_fonts,
                           "memory_octets_max": self._limits.memory_octets_max}).encode()


class _Child:
    """One process. Whoever asks is alone with it."""

    def __init__(self, how: bytes) -> None:
        ours, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        try:
            self._process = subprocess.Popen(  # noqa: S603 our own file, by our own interpreter
                [sys.executable, "-I", str(_PROGRAM)], stdin=theirs.fileno(), stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, cwd="/", start_new_session=True,
                env={**environment, **_NO_NETWORK, "RAYON_NUM_THREADS": "1"})
        except OSError as error:
            ours.close()
            raise GatewayError(Reason.PDF_NOT_MADE, f"the process that sets documents: {error}", retry=True) from None
        finally:
            theirs.close()
        self._channel = ours
        with contextlib.suppress(OSError):  # it is told when the first question fails
            self._send(how)

    def ask(self, body: bytes, ends_at: float) -> bytes:
        """One answer. TimeoutError at `ends_at` (monotonic), EOFError or OSError if the process is gone."""
        self._channel.settimeout(max(ends_at - time.monotonic(), 0.001))
        self._send(body)
        (length,) = struct.unpack(">I", self._receive(4, ends_at))
        return self._receive(length, ends_at)

    def end(self) -> None:
        """At once, whatever it does."""
        self._channel.close()
        self._process.kill()
        self._process.wait()

    def forget(self) -> None:
        """It belongs to another process."""
        self._channel.close()
        self._process.returncode = 0  # or its end would be waited for here

    def _send(self, body: bytes) -> None:
        self._channel.sendall(struct.pack(">I", len(body)) + body)

    def _receive(self, count: int, ends_at: float) -> bytes:
        octets = bytearray()
        while len(octets) < count:
            left = ends_at - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._channel.settimeout(left)
            more = self._channel.recv(min(count - len(octets), 1_048_576))
            if not more:
                raise EOFError
            octets += more
        return bytes(octets)


def _end_all(children: list[_Child], process: int) -> None:
    """Only in the process that started them: after a fork they are still the parent's."""
    while children and process == os.getpid():
        children.pop().end()
