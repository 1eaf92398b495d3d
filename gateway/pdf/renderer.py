"""Typst at a distance: documents are set in child processes with a deadline and a limit of memory (`typst_child`).

A child that answered well is kept for the next document; any other is ended. Threads may share a Renderer: each that
asks has a child to itself, at most `children_max` at once; who comes later waits, and the deadline counts from then.
"""

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from gateway.child_process import ChildProcess, ChildProcesses, KilledError
from gateway.errors import GatewayError, Reason
from gateway.pdf import typst_child

FONTS: Final = Path(__file__).parent / "fonts"
_PROGRAM: Final = Path(typst_child.__file__)
_ANSWER_OCTETS_MAX: Final = 0xFFFF_FFFF  # what the frame allows; `Limits.octets_max` is checked, with its own error
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
        self._children = ChildProcesses(self._limits.children_max)
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(self._limits.children_max)
        self._process = os.getpid()

    def render(self, root: Path, file: str, inputs: Mapping[str, str], at: datetime) -> bytes:
        """The PDF of a template: `file` below `root`, which it cannot leave; `inputs` are its `sys.inputs`.

        `at` (aware) is in the document as the time of its creation. GatewayError(PDF_NOT_MADE | PDF_TOO_LARGE).
        PDF_NOT_MADE with retry: the process could not be started, or was killed, for want of memory of the machine.
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
        """Ends the idle children; one at work ends after its document."""
        self._children.close()

    def _answer(self, body: bytes, file: str) -> bytes:
        deadline_s = self._limits.deadline_s
        try:
            return self._children.ask(self._start, body, time.monotonic() + deadline_s)
        except TimeoutError:
            raise GatewayError(Reason.PDF_NOT_MADE, f"{file}: not made within {deadline_s} s") from None
        except KilledError as killed:
            if not killed.from_outside:
                raise self._over(file) from None
            raise GatewayError(Reason.PDF_NOT_MADE, f"{file}: {killed}: is memory short?", retry=True) from None
        except (EOFError, OSError):
            raise self._over(file) from None

    def _over(self, file: str) -> GatewayError:
        return GatewayError(Reason.PDF_NOT_MADE, f"{file}: the process ended over it, for want of memory "
                               f"({self._limits.memory_octets_max} octets) or by a fault of typst")

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        with self._lock:
            if self._process != os.getpid():  # after a fork the turns taken are the parent's
                self._process = os.getpid()
                self._free = threading.BoundedSemaphore(self._limits.children_max)
            free = self._free
        with free:
            yield

    def _start(self) -> ChildProcess:
        first = json.dumps({"fonts": self._fonts, "system_fonts": self._system_fonts,
                            "memory_octets_max": self._limits.memory_octets_max}).encode()
        try:
            return ChildProcess(_PROGRAM, first, _ANSWER_OCTETS_MAX, {**_NO_NETWORK, "RAYON_NUM_THREADS": "1"})
        except OSError as error:
            raise GatewayError(Reason.PDF_NOT_MADE, f"the process that sets documents: {error}", retry=True) from None
