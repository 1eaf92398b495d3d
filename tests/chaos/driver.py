"""Chaos: a bank under load, and somebody who kills -9 whatever he likes, at random. Then the books are checked.

    python -m tests.chaos.driver --minutes 60 --seed 7      (make chaos)

For every mail that was acknowledged with 250: each recipient got it at least once, or it lies in the hold store.
Nothing planted as secret stood anywhere in clear. Copies are no more than mails that were under way when something was
killed, and of those that leave in several groups the journal has counted each. Nothing was refused for good: what
breaks is temporary. Unacknowledged mail may have arrived or not; its sender still has it.
"""

import json
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from gateway.app import open_store
from gateway.demo.bank import Bank
from gateway.settings import load
from tests.chaos.fronts import DAEMON, IN_FLIGHT, Mailer, Queue, Restarted, asking_in, postgres_in, queue_in
from tests.chaos.parts import Child, Gateway, Locked, NextHop, Part, Program, Whole, wait
from tests.chaos.senders import KINDS, Sender, Sent
from tests.support.nodes import moved, section, small
from tests.support.process import free_ports, new_bank

SENDERS = 4
DRAIN_S = 180.0


@dataclass
class Books:
    """What happened, and what is wrong with it. `in_flight`: mails that may be under way at once.

    `queued`: a queue in front makes attempts of its own.
    """

    seed: int
    in_flight: int = SENDERS
    queued: bool = False
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
        if self.copies > sum(self.hits.values()) * self.in_flight * 2:  # of two groups each
            self.wrong.append(f"{self.copies} copies of mails, with {sum(self.hits.values())} hits")
        copies = sum(count - 1 for one, count in self.arrived.items() if one in known and known[one].journalled)
        if copies > self.resent:
            twice = [f"{known[one]} for {one[1]}: {count}" for one, count in self.arrived.items()
                     if count > 1 and one in known and known[one].journalled]
            self.wrong.append(f"{copies} copies of mails in several groups, the journal has counted {self.resent}: "
                              f"{'; '.join(twice[:10])}")
        for one, count in self.arrived.items():
            if one in known and count > len(known[one].attempts) and not self.queued:
                self.wrong.append(f"{count} copies from {len(known[one].attempts)} attempts: {one}")


def with_sections(text: str, **sections: str) -> str:
    """The settings with these sections, each on one line, in place of those that stand there."""
    kept = [line for line in text.splitlines(keepends=True) if line.partition(":")[0] not in sections]
    return "".join(kept) + "".join(f"{name}: {value}\n" for name, value in sections.items())


@dataclass
class Shape:
    """What a chaos is made of. `nodes`: that many gateways, on one PostgreSQL (which is hit too) if `postgres`.

    `postfix`: a real one in front takes the mail, keeps the queue, and is hit. `milter`: it asks the gateway as its
    milter before it takes a mail, and delivers what comes out of that itself.
    """

    workers: int = 2
    nodes: int = 1
    postgres: bool = False
    postfix: bool = False
    milter: bool = False


class Chaos:
    """One run in a directory of its own. Use it as a context: what it starts ends with it."""

    def __init__(self, home: Path, seed: int, shape: Shape | None = None) -> None:
        self.rng, self.shape, self.home = random.Random(seed), shape or Shape(), home
        queued = self.shape.postfix or self.shape.milter
        self.books = Books(seed, IN_FLIGHT if queued else SENDERS, queued)
        (self._port,) = free_ports(1)
        self.taken = home / "taken.jsonl"
        self.hop = Program([sys.executable, "-m", "tests.chaos.hop", str(self._port), str(self.taken)],
                           home / "hop.log")
        self._opened = ExitStack()
        self.parts: list[Part] = [NextHop(self.hop)]
        (self._milter,) = free_ports(1)
        self._postgres = self._opened.enter_context(postgres_in(home)) if self.shape.postgres else None
        self.banks = self._banks()
        self.gateways = [Gateway(bank) for bank in self.banks]
        for gateway in self.gateways:
            self.parts += [Child(gateway, "worker"), Child(gateway, "worker"), Whole(gateway), Child(gateway, "jobs")]
            self.parts += [Child(gateway, "milter")] * (2 * self.shape.milter)
        self._locked: Locked | None = None
        if self._postgres is None:
            self._locked = Locked(load(self.banks[0].config).database)
            self.parts.append(self._locked)
        else:
            self.parts += [Restarted(self._postgres)] * 2
        ports, kinds = [bank.ports.outbound for bank in self.banks], KINDS
        self._queue: Queue | None = None
        if self.shape.milter:
            self._queue = self._opened.enter_context(asking_in(home / "postfix", self._milter, self._port))
            ports, kinds = [self._queue.port], ("one", "two", "held", "split")
        elif self.shape.postfix:
            self._queue = self._opened.enter_context(queue_in(home / "postfix", ports))
            ports, kinds = [self._queue.port], ("one", "two")  # all of one network: one client of the bank's
        if self._queue is not None:
            self.parts += [Mailer(self._queue)] * 2
        inbound = [bank.ports.inbound for bank in self.banks]
        self.senders = [Sender(ports, inbound, random.Random(self.rng.random()), f"s{number}", kinds,
                               pause_s=0.1 if queued else 0.0) for number in range(SENDERS)]

    def _banks(self) -> list[Bank]:
        def change(text: str) -> str:
            more = {"milter": f'{{socket: "inet:{self._milter}@127.0.0.1", outbound_daemons: [{DAEMON}]}}'}
            return with_sections(text, processes=f"{{relay: {self.shape.workers}, milter: 2}}",
                                 limits="{message_deadline_s: 30}", **(more if self.shape.milter else {}))

        if self._postgres is None:
            return [new_bank(self.home / "bank", hop=self._port, change=change)]
        where = self._postgres.settings(self._postgres.empty())
        moved(self.home / "source", where)
        return [new_bank(self.home / f"node{number}", hop=self._port,
                         change=lambda text: change(small(text)) + section(where))
                for number in range(self.shape.nodes)]

    def run(self, seconds: float, *, hits: int = 1 << 30, pause_s: tuple[float, float] = (0.1, 0.5)) -> Books:
        """Starts everything, hits for so long or so often, lets everything come to an end, checks."""
        self.hop.start()
        for gateway in self.gateways:
            gateway.start()
        try:
            wait(self._port, lambda: self.hop.running)
            for gateway in self.gateways:
                gateway.ready()
            for sender in self.senders:
                sender.start()
            self._hit(time.monotonic() + seconds, hits, pause_s)
            self._drain()
            for gateway in self.gateways:
                ended = gateway.stop()
                if ended != 0:
                    self.books.wrong.append(f"the gateway ended with {ended}")
            self._fill()
        finally:
            for program in (*self.gateways, self.hop):
                program.kill()
            for sender in self.senders:
                sender.give_up()
            self._opened.close()
        self.books.check()
        return self.books

    def _drain(self) -> None:
        if self._locked is not None:
            self._locked.over()
        for gateway in self.gateways:
            gateway.ready()
        for sender in self.senders:
            sender.stop()
        end = time.monotonic() + DRAIN_S
        self._wait(lambda: all(sender.done for sender in self.senders), end)
        self.books.wrong += [f"its last mail never ended: {sender.sent[-1]}" for sender in self.senders
                             if not sender.done]
        if self._queue is not None and not self._queue.drained(end + DRAIN_S, self._again):
            self.books.wrong.append(f"the queue in front does not end: {self._queue.listed()}")
        for gateway in self.gateways:
            gateway.ready()

    def _hit(self, end: float, hits: int, pause_s: tuple[float, float]) -> None:
        """Between two hits some mails are acknowledged, however slow the machine is; and now and then none."""
        parts: list[Part] = []
        while time.monotonic() < end and sum(self.books.hits.values()) < hits:
            wanted = self._acknowledged() + self.rng.choice((0, 3, 10))
            self._wait(lambda wanted=wanted: self._acknowledged() >= wanted, end)  # type: ignore[misc]
            time.sleep(self.rng.uniform(*pause_s))
            self._again()
            parts = parts or self.rng.sample(self.parts, len(self.parts))  # each as often as it stands in the list
            part = parts.pop()
            if part.hit(self.rng):
                self.books.hits[part.name] += 1

    def _acknowledged(self) -> int:
        return sum(mail.acknowledged for sender in self.senders for mail in tuple(sender.sent))

    def _wait(self, condition: Callable[[], bool], end: float) -> None:
        """A supervisor whose first worker was killed ends, and is started again, whatever is waited for."""
        while not condition() and time.monotonic() < end:
            self._again()
            time.sleep(0.02)

    def _again(self) -> None:
        for gateway in self.gateways:
            gateway.again()

    def _fill(self) -> None:
        books = self.books
        books.sent = [mail for sender in self.senders for mail in sender.sent]
        for line in self.taken.read_text().splitlines():
            told = json.loads(line)
            for one in told["to"]:
                books.arrived[told["id"], one] += 1
            if told["clear"]:
                books.clear.append(f"to the next hop: {told}")
        settings = load(self.banks[0].config)
        store = open_store(settings)
        try:
            for row in store.hold.list():
                _, mail = store.hold.get(row.hold_id)
                message_id = mail.octets.partition(b"\nMessage-ID: <")[2].partition(b">")[0].decode()
                for one in row.recipients:
                    books.held[message_id, one] += 1
        finally:
            store.close()
        count, files = "SELECT coalesce(sum(resent), 0) FROM journal", list(self.home.rglob("*.log"))
        if self._postgres is not None:
            assert settings.postgresql is not None
            books.resent = int(str(self._postgres.sql(count, settings.postgresql.name)[0][0]))
            files += [path for path in (self._postgres.home / "data").rglob("*") if path.is_file()]
        else:
            with closing(sqlite3.connect(settings.database)) as connection:
                books.resent = connection.execute(count).fetchone()[0]
        for bank in self.banks:
            files += [path for path in bank.home.rglob("*") if path.is_file() and ".db" in str(path)]
        books.clear += [str(path) for path in files if b"SECRET-" in path.read_bytes()]


def show(books: Books, name: str = "alone") -> None:
    """The table at the end."""
    from rich.console import Console
    from rich.table import Table

    table = Table(f"chaos: {name}", f"seed {books.seed}")
    acknowledged = [mail for mail in books.sent if mail.acknowledged]
    rows = [("mails sent", len(books.sent)), ("acknowledged", len(acknowledged)),
            ("attempts", sum(len(mail.attempts) for mail in books.sent)),
            ("deliveries", sum(books.arrived.values())), ("held", sum(books.held.values())),
            *((f"killed: {part}", count) for part, count in sorted(books.hits.items())),
            ("copies", books.copies), ("sent again, by the journal", books.resent),
            ("in clear", len(books.clear)), ("wrong", len(books.wrong))]
    for row, count in rows:
        table.add_row(row, str(count))
    console = Console()
    console.print(table)
    for one in books.wrong[:50]:
        console.print(one, markup=False)


SHAPES = {
    "alone": Shape(),
    "behind-postfix": Shape(postfix=True),
    "milter": Shape(workers=1, milter=True),
    "nodes": Shape(workers=1, nodes=2, postgres=True),
    "nodes-behind-postfix": Shape(workers=1, nodes=2, postgres=True, postfix=True),
}


def main() -> int:
    """For `make chaos`."""
    import argparse

    options = argparse.ArgumentParser()
    options.add_argument("--minutes", type=float, default=60.0)
    options.add_argument("--seed", type=int, default=None)
    options.add_argument("--keep", type=Path, default=None, help="a new directory that stays")
    options.add_argument("--shape", choices=sorted(SHAPES), default=None, help="one of them, instead of one by one")
    given = options.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1 << 32)
    sys.stderr.write(f"seed {seed}\n")
    shapes = [given.shape] if given.shape else list(SHAPES)
    wrong = False
    for shape in shapes:
        with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
            home = Path(given.keep or scratch) / shape
            home.mkdir(parents=True)
            for folder in (home, *home.parents[:-1]):  # other users' programs walk through
                if folder.stat().st_uid == os.geteuid() and folder != Path("/tmp"):
                    folder.chmod(0o755)
            books = Chaos(home, seed, SHAPES[shape]).run(given.minutes * 60 / len(shapes), pause_s=(0.1, 4.0))
        show(books, shape)
        wrong = wrong or bool(books.wrong)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
