"""What runs in a chaos and may be killed at any moment: the gateway's processes, the next hop, the database."""

import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gateway.demo.bank import Bank
from tests.support.load import tree
from tests.support.process import ROOT

START_S = 90.0


class Part(Protocol):
    """Something that is hit. `hit` ends it without a word and leaves it to stand up again, by itself or by us."""

    name: str

    def hit(self, rng: random.Random) -> bool:
        """Whether there was something to hit."""
        ...


def answers(port: int) -> bool:
    """Whether somebody greets there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            return sock.recv(3) == b"220"
    except OSError:
        return False


def wait(port: int, process: Callable[[], "subprocess.Popen[bytes]"]) -> None:
    """Until somebody greets there."""
    end = time.monotonic() + START_S
    while not answers(port):
        assert process().poll() is None, f"ended with {process().returncode}"
        assert time.monotonic() < end, f"nobody answers at {port}"
        time.sleep(0.05)


@dataclass
class Program:
    """A process of ours with everything it wrote in one file; killed with all that it started."""

    command: list[str]
    log: Path
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, cwd=ROOT, stdout=log, stderr=log)

    @property
    def running(self) -> "subprocess.Popen[bytes]":
        assert self.process is not None
        return self.process

    def kill(self) -> None:
        """-9, and gone."""
        self.running.kill()
        self.running.wait()

    def stop(self) -> int:
        """SIGTERM and what it ended with."""
        self.running.terminate()
        try:
            return self.running.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            return -9


class Gateway(Program):
    """`sealgate run`."""

    def __init__(self, bank: Bank) -> None:
        super().__init__([sys.executable, "-m", "gateway", "--config", str(bank.config), "run"],
                         bank.home / "gateway.log")
        self.bank = bank

    def ready(self) -> None:
        """Until its listeners answer."""
        for port in (self.bank.ports.outbound, self.bank.ports.inbound):
            end = time.monotonic() + START_S
            while not answers(port):
                self.again()
                assert time.monotonic() < end, f"nobody answers at {port}"
                time.sleep(0.05)

    def again(self) -> None:
        """What the service manager does (Restart=): a supervisor whose very first worker was killed gives up."""
        if self.running.poll() is not None:
            self.start()

    def below(self, word: str) -> list[int]:
        """The processes of this command, such as `worker`."""
        found = []
        for pid in tree(self.running.pid)[1:]:
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if word.encode() in words:
                    found.append(pid)
        return found


@dataclass
class Child:
    """One of the gateway's own processes: the supervisor puts another in its place."""

    gateway: Gateway
    name: str

    def hit(self, rng: random.Random) -> bool:
        """See Part."""
        found = self.gateway.below(self.name)
        if not found:
            return False
        with suppress(ProcessLookupError):
            os.kill(rng.choice(found), signal.SIGKILL)
        return True


@dataclass
class Whole:
    """The supervisor: its children end with it, and the service manager, here we, starts it again."""

    gateway: Gateway
    name: str = "supervisor"

    def hit(self, rng: random.Random) -> bool:
        """See Part."""
        self.gateway.kill()
        time.sleep(rng.random() * 0.2)
        self.gateway.start()
        return True


@dataclass
class NextHop:
    """The mail server behind us: away for up to a second."""

    program: Program
    name: str = "next hop"

    def hit(self, rng: random.Random) -> bool:
        """See Part."""
        self.program.kill()
        time.sleep(rng.random())
        self.program.start()
        return True


@dataclass
class Locked:
    """SQLite in the hands of somebody else, for longer than a writer waits for it (5 s), now and then."""

    database: Path
    name: str = "database"
    _threads: list[threading.Thread] = field(default_factory=list)

    def hit(self, rng: random.Random) -> bool:
        """See Part."""
        seconds = rng.choice((0.5, 2.0, 7.0))

        def hold() -> None:
            with suppress(sqlite3.Error):
                connection = sqlite3.connect(self.database, timeout=5, isolation_level=None)
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    time.sleep(seconds)
                    connection.execute("ROLLBACK")
                finally:
                    connection.close()

        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if self._threads:
            return False
        self._threads.append(threading.Thread(target=hold, daemon=True))
        self._threads[0].start()
        return True

    def over(self) -> None:
        """Waits until it is free again."""
        for thread in self._threads:
            thread.join(30)
