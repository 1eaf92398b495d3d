"""The program that runs typst: started by `renderer`, one process for one document at a time.

Why not in the gateway's own process: a template that never ends cannot be ended inside it, and one that asks for all
memory takes the mails in work with it. A process of its own has a deadline, its own limit of memory and no way to the
network: typst would fetch `@preview/…` from its registry. It imports little (standard library and typst), so that it
starts quickly.

Standard input is a socket. A frame is four octets of length, then the body. The first frame (JSON) says which fonts
there are, each further one (JSON) asks; each question has one answer: `P` and the PDF, or `T` and the trouble (UTF-8).
The trouble names file, line and kind of mistake and holds nothing of the values: they may be secret.
"""

import contextlib
import json
import os
import re
import resource
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any

FRAME_OCTETS_MAX = 67_108_864  # 64 MiB
ROOTS_MAX = 8  # directories of templates whose compiler is kept
IDLE_S = 300.0  # without a question for so long it ends
GRACE_S = 1.0  # beyond a question's deadline, if no other process ends this one
STANDARDS = ("a-2b", "ua-1")  # ISO 19005-2 level B, ISO 14289-1
NOWHERE = "/nonexistent"
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000  # CLONE_NEWUSER, CLONE_NEWNET of sched.h

_PLACE = re.compile(r"([^\s:│┌─]+\.typ):(\d+):\d+")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# The quoted part of a message is behind one of these: `dictionary does not contain key "…"`, `panicked with: …`.
_QUOTED = re.compile(r"[\"'`:(\[{<0-9]")
_PREFIX = re.compile(r"^(?:error: )?(?:PDF/[^:]{1,40} error: )?")
_ASSERTION = "assertion failed: "
_NAME = re.compile(r"[\"`]([a-z][a-z0-9_-]{0,40})[\"`]")


class Typesetter:
    """Compilers by root: each holds the fonts and remembers what it has parsed."""

    def __init__(self, typst: Any, how: dict[str, Any]) -> None:
        self._typst = typst
        self._standards = list(STANDARDS)
        self._fonts = typst.Fonts(include_system_fonts=how["system_fonts"], font_paths=how["fonts"])
        self._compilers: dict[str, Any] = {}

    def make(self, question: dict[str, Any]) -> bytes:
        """The PDF of `file` below `root`."""
        root = question["root"]
        compiler = self._compilers.get(root)
        if compiler is None:
            while len(self._compilers) >= ROOTS_MAX:
                self._compilers.pop(next(iter(self._compilers)))
            compiler = self._compilers[root] = self._typst.Compiler(
                root=root, font_paths=self._fonts, package_path=os.path.join(root, "packages"),  # noqa: PTH118 quick start
                package_cache_path=NOWHERE)
        return bytes(compiler.compile(
            os.path.join(root, question["file"]), sys_inputs=question["inputs"], format="pdf",  # noqa: PTH118
            pdf_standards=self._standards, timestamp=question["timestamp"]))


def answer(typesetter: Typesetter, question: dict[str, Any]) -> bytes:
    """Answers one question. The alarm's own action ends the process even while typst computes."""
    signal.setitimer(signal.ITIMER_REAL, question["timeout_s"] + GRACE_S)
    try:
        return b"P" + typesetter.make(question)
    except Exception as error:  # noqa: BLE001 TypstError, and what Rust makes of values that are no Unicode
        return b"T" + error_text(error, question).encode()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def error_text(error: Exception, question: dict[str, Any]) -> str:
    """Where and what kind. Of what it quotes no more than a name that the template itself uses."""
    diagnostic = _COLOUR.sub("", str(getattr(error, "diagnostic", "")))
    place = _PLACE.search(diagnostic)
    where = f"{os.path.basename(place[1])}:{place[2]}" if place else question["file"]  # noqa: PTH119
    message = _PREFIX.sub("", _COLOUR.sub("", str(getattr(error, "message", type(error).__name__))))
    if "could not be displayed" in message:
        return f"{where}: a letter that no font has; fonts may lie in the directory `fonts` beside the bank's templates"
    if message.startswith(_ASSERTION) and _says(question, words := message.removeprefix(_ASSERTION)):
        return f"{where}: {_ASSERTION}{words}"
    kind = _QUOTED.split(message, maxsplit=1)[0].strip()[:120]
    name = _NAME.search(message)
    return f"{where}: {kind} `{name[1]}`" if name and name[1] in _names_of(question) else f"{where}: {kind}"


def _says(question: dict[str, Any], words: str) -> bool:
    """Whether the template has an assertion's words from quote to quote: then they contain no value."""
    return '"' not in words and any(f'message: "{words}")' in text for text in _own_files(question))


def _names_of(question: dict[str, Any]) -> frozenset[str]:
    """The words of the template's own files."""
    return frozenset(name for text in _own_files(question) for name in re.findall(r"[a-z][a-z0-9_-]*", text))


def _own_files(question: dict[str, Any]) -> Iterator[str]:
    for entry in os.scandir(question["root"]):
        if entry.name.endswith(".typ"):
            with open(entry.path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
                yield file.read()


def receive(channel: socket.socket) -> dict[str, Any] | None:
    """The next frame; None at the end."""
    head = _exactly(channel, 4)
    if head is None:
        return None
    (length,) = struct.unpack(">I", head)
    body = _exactly(channel, length) if length <= FRAME_OCTETS_MAX else None
    return None if body is None else dict(json.loads(body))


def _exactly(channel: socket.socket, count: int) -> bytes | None:
    octets = bytearray()
    while len(octets) < count:
        more = channel.recv(min(count - len(octets), 1_048_576))
        if not more:
            return None
        octets += more
    return bytes(octets)


def send(channel: socket.socket, body: bytes) -> None:
    """One frame."""
    channel.sendall(struct.pack(">I", len(body)) + body)


def confine(memory_octets_max: int) -> None:
    """No core (it would hold values), so much memory, and where the kernel lets us no network at all."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory_octets_max, memory_octets_max))
    if hasattr(os, "unshare"):
        with contextlib.suppress(OSError):
            os.unshare(_NEW_USER | _NEW_NET)


def main() -> None:
    """Runs until the other side closes, or sends nothing for IDLE_S."""
    channel = socket.socket(fileno=sys.stdin.fileno())
    how = receive(channel)
    if how is None:
        return
    confine(how["memory_octets_max"])
    import typst

    typesetter = Typesetter(typst, how)
    channel.settimeout(IDLE_S)
    with contextlib.suppress(OSError):  # idle for too long, or the gateway is gone
        while (question := receive(channel)) is not None:
            send(channel, answer(typesetter, question))


if __name__ == "__main__":
    main()
