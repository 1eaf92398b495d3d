"""Chaos: a bank under load, and somebody who kills -9 whatever he likes, at random. Then the books are checked.

    python -m tests.chaos.driver --minutes 60 --seed 7      (make chaos)

For every mail that was acknowledged with 250: each recipient got it at least once, or it lies in the hold store.
Nothing planted as secret stood anywhere in clear. Copies are no more than mails that were under way when something was
killed, and of those that leave in several groups the journal has counted each. Nothing was refused for good: what
breaks is temporary. Unacknowledged mail may have arrived or not; its sender still has it.
"""

import json
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from gateway.app import open_store
from gateway.demo.bank import Bank
from gateway.settings import load
from tests.chaos.parts import Child, Gateway, Locked, NextHop, Part, Program, Whole, wait
from tests.chaos.senders import Sender, Sent
from tests.support.process import free_ports, new_bank

SENDERS = 4
DRAIN_S = 120.0


@dataclass
class Books:
    """What happened, and what is wrong with it."""

    seed: int
    hits: Counter[str] = field(default_factory=Counter)
    sent: list[Sent] = field(default_factory=list)
    arrived: Counter[tuple[str, str]] = field(default_factory=Counter)
    held: Counter[tuple[str, str]] = field(default_factory=Counter)
    resent: int = 0
    clear: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def copies(self) -> int:
        """Mails that somebody got more than once."""
        return sum(count - 1 for count in self.arrived.values())

    def check(self) -> None:
        """Fills `wrong`."""
        for mail in self.sent:
            if any(code >= 500 for code in mail.attempts):
                self.wrong.append(f"refused for good: {mail}")
            if not mail.acknowledged:
                continue
            self.wrong += [f"lost for {one}: {mail}" for one in mail.to if not self.arrived[mail.message_id, one]]
            self.wrong += [f"not held for {one}: {mail}" for one in mail.held_for
                           if not self.held[mail.message_id, one]]
        known = {(mail.message_id, one): mail for mail in self.sent for one in mail.to}
        self.wrong += [f"nobody sent it: {one}" for one in self.arrived if one not in known]
        self.wrong += [f"in clear: {one}" for one in self.clear]
        if self.copies > sum(self.hits.values()) * SENDERS * 2:
            self.wrong.append(f"{self.copies} copies of mails, with {sum(self.hits.values())} hits")
        copies = sum(count - 1 for one, count in self.arrived.items() if one in known and known[one].journalled)
        if copies > self.resent:
            self.wrong.append(f"{copies} copies of mails in several groups, the journal has counted {self.resent}")
        for one, count in self.arrived.items():
            if one in known and count > len(known[one].attempts):
                self.wrong.append(f"{count} copies from {len(known[one].attempts)} attempts: {one}")


def with_sections(text: str, **sections: str) -> str:
    """The settings with these sections, each on one line, in place of those that stand there."""
    kept = [line for line in text.splitlines(keepends=True) if line.partition(":")[0] not in sections]
    return "".join(kept) + "".join(f"{name}: {value}\n" for name, value in sections.items())


class Chaos:
    """One run in a directory of its own."""

    def __init__(self, home: Path, seed: int, *, workers: int = 2) -> None:
        self.rng = random.Random(seed)
        (port,) = free_ports(1)
        self.bank: Bank = new_bank(home / "bank", hop=port, change=lambda text: with_sections(
            text, processes=f"{{relay: {workers}}}", limits="{message_deadline_s: 30}"))
        self.taken = home / "taken.jsonl"
        self.hop = Program([sys.executable, "-m", "tests.chaos.hop", str(port), str(self.taken)], home / "hop.log")
        self.gateway = Gateway(self.bank)
        self.locked = Locked(load(self.bank.config).database)
        self.parts: list[Part] = [Child(self.gateway, "worker"), Child(self.gateway, "worker"), NextHop(self.hop),
                                  Whole(self.gateway), Child(self.gateway, "jobs"), self.locked]
        self.senders = [Sender(self.bank, random.Random(self.rng.random()), f"s{number}") for number in range(SENDERS)]
        self.books = Books(seed)
        self._port = port

    def run(self, seconds: float, *, hits: int = 1 << 30, pause_s: tuple[float, float] = (0.1, 0.5)) -> Books:
        """Starts everything, hits for so long or so often, lets everything come to an end, checks."""
        self.hop.start()
        self.gateway.start()
        try:
            wait(self._port, lambda: self.hop.running)
            self.gateway.ready()
            for sender in self.senders:
                sender.start()
            self._hit(time.monotonic() + seconds, hits, pause_s)
            self.locked.over()
            self.gateway.ready()
            for sender in self.senders:
                sender.stop()
            for sender in self.senders:
                sender.join(DRAIN_S)
            ended = self.gateway.stop()
            if ended != 0:
                self.books.wrong.append(f"the gateway ended with {ended}")
        finally:
            for program in (self.gateway, self.hop):
                program.kill()
        self._fill()
        self.books.check()
        return self.books

    def _hit(self, end: float, hits: int, pause_s: tuple[float, float]) -> None:
        """Between two hits some mails are acknowledged, however slow the machine is; and now and then none."""
        parts: list[Part] = []
        while time.monotonic() < end and sum(self.books.hits.values()) < hits:
            wanted = self._acknowledged() + self.rng.choice((0, 3, 10))
            self._wait(lambda wanted=wanted: self._acknowledged() >= wanted, end)  # type: ignore[misc]
            time.sleep(self.rng.uniform(*pause_s))
            self.gateway.again()
            parts = parts or self.rng.sample(self.parts, len(self.parts))  # each as often as it stands in the list
            part = parts.pop()
            if part.hit(self.rng):
                self.books.hits[part.name] += 1

    def _acknowledged(self) -> int:
        return sum(mail.acknowledged for sender in self.senders for mail in tuple(sender.sent))

    def _wait(self, condition: Callable[[], bool], end: float) -> None:
        while not condition() and time.monotonic() < end:
            self.gateway.again()
            time.sleep(0.02)

    def _fill(self) -> None:
        books = self.books
        books.sent = [mail for sender in self.senders for mail in sender.sent]
        for line in self.taken.read_text().splitlines():
            told = json.loads(line)
            for one in told["to"]:
                books.arrived[told["id"], one] += 1
            if told["clear"]:
                books.clear.append(f"to the next hop: {told}")
        settings = load(self.bank.config)
        store = open_store(settings)
        try:
            for row in store.hold.list():
                _, mail = store.hold.get(row.hold_id)
                message_id = mail.octets.partition(b"\nMessage-ID: <")[2].partition(b">")[0].decode()
                for one in row.recipients:
                    books.held[message_id, one] += 1
        finally:
            store.close()
        with closing(sqlite3.connect(settings.database)) as connection:
            books.resent = connection.execute("SELECT coalesce(sum(resent), 0) FROM journal").fetchone()[0]
        for path in (*self.bank.home.glob("*.log"), *settings.database.parent.glob(settings.database.name + "*")):
            if b"SECRET-" in path.read_bytes():
                books.clear.append(str(path))


def show(books: Books) -> None:
    """The table at the end."""
    from rich.console import Console
    from rich.table import Table

    table = Table("chaos", f"seed {books.seed}", title_justify="left")
    acknowledged = [mail for mail in books.sent if mail.acknowledged]
    rows = [("mails sent", len(books.sent)), ("acknowledged", len(acknowledged)),
            ("attempts", sum(len(mail.attempts) for mail in books.sent)),
            ("deliveries", sum(books.arrived.values())), ("held", sum(books.held.values())),
            *((f"killed: {name}", count) for name, count in sorted(books.hits.items())),
            ("copies", books.copies), ("sent again, by the journal", books.resent),
            ("in clear", len(books.clear)), ("wrong", len(books.wrong))]
    for name, count in rows:
        table.add_row(name, str(count))
    console = Console()
    console.print(table)
    for one in books.wrong[:50]:
        console.print(one, markup=False)


def main() -> int:
    """For `make chaos`."""
    import argparse

    options = argparse.ArgumentParser()
    options.add_argument("--minutes", type=float, default=60.0)
    options.add_argument("--seed", type=int, default=None)
    options.add_argument("--keep", type=Path, default=None, help="a new directory that stays")
    given = options.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1 << 32)
    sys.stderr.write(f"seed {seed}\n")
    with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
        books = Chaos(given.keep or Path(scratch), seed).run(given.minutes * 60, pause_s=(0.1, 4.0))
    show(books)
    return bool(books.wrong)


if __name__ == "__main__":
    sys.exit(main())
