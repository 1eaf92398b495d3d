"""What was planted, looked for wherever a process of the gateway could have left it: files, and memory.

`Gateway` is a running `sealgate run`; what it is told must be gone from its processes, and must never have come into
its files. The customer's own copy is sealed, and so is not found.
"""

import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import memory
from tests.support.http_service import Answer, asking
from tests.support.process import Relay

SETTLE_S = 20.0  # threads end their work, buffers are let go
needs_memory = pytest.mark.skipif(not memory.readable(), reason="needs root: nobody else may look into the processes")


@dataclass
class Planted:
    """A gateway, the words that it was told in confidence, and the answers that it gave."""

    relay: Relay
    secrets: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    told: list[str] = field(default_factory=list)  # by commands

    def ask(self, path: str, body: object, client: str, **headers: str) -> Answer:
        """A request over HTTP by a client of the bank's."""
        port = self.relay.bank.ports.api
        with asking(port) as asker:
            answer = asker.ask(path, method="POST", body=json.dumps(body, ensure_ascii=False).encode(),
                               content_type="application/json", authorization=f"Bearer {self.relay.bank.token(client)}",
                               **headers)
        self.answers.append(answer)
        return answer

    def in_files(self, *but: str) -> dict[str, list[str]]:
        """File to what was found in it, of all files of the gateway's directory. `but`: names or folders of sources."""
        seen = {}
        for path in self.relay.bank.home.rglob("*"):
            inside = path.relative_to(self.relay.bank.home)
            if path.is_file() and not set(inside.parts) & set(but):
                found = memory.contained(path.read_bytes(), self.secrets)
                if found:
                    seen[str(inside)] = found
        return seen

    def in_answers(self) -> list[str]:
        """In what was answered over HTTP and by commands."""
        octets = b"\n".join(answer.body + repr(answer.headers).encode() for answer in self.answers)
        octets += "\n".join(self.told).encode()
        return memory.contained(octets, self.secrets)

    def in_log(self) -> list[str]:
        """Lines that show one."""
        log = self.relay.told
        if not memory.contained(log.encode(), self.secrets):
            return []
        return [line for line in log.splitlines() if memory.contained(line.encode(), self.secrets)]

    def in_memory(self) -> dict[str, dict[str, list[str]]]:
        """Command to what was found in its memory, once nothing is under way any more; the best look of several.

        A word that is found at every look stays there.
        """
        end = time.monotonic() + SETTLE_S
        while True:
            seen = {f"{pid} {_command(pid)}": found for pid in memory.processes(self.relay.process.pid)
                    if (found := _found(pid, self.secrets))}
            if not seen or time.monotonic() > end:
                return seen
            time.sleep(1.0)

    def pid_of(self, word: str) -> int:
        """The process whose command ends so."""
        return next(pid for pid in memory.processes(self.relay.process.pid) if _command(pid).endswith(word))


def _found(pid: int, secrets: Iterable[str]) -> dict[str, list[str]]:
    try:
        return memory.found(pid, secrets)
    except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
        return {}


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode()
    except OSError:
        return ""


def until(true: Callable[[], object], relay: Relay, seconds: float = 60.0) -> None:
    """Waits until it is so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, relay.told[-3000:]
        time.sleep(0.05)


def grouped(account: str) -> str:
    """As people write an IBAN, and as the mail shows it."""
    return " ".join(re.findall(".{1,4}", account))
