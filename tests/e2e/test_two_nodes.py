"""Two whole gateways on one PostgreSQL, as on two machines: one is killed, cut from the database, told of a distrust.

Starts: two `sealgate run`, each in a process namespace of its own (so that neither sees the other's processes, as on
two machines), one sink, the session's PostgreSQL or one of its own.
Truth: Message-IDs counted at the sink against what the journal says was sent again; the client retries as Postfix does.
"""

import os
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from gateway.adapters.db.engine.heartbeat import LEADERS
from gateway.adapters.db.engine.schema import HEAD
from gateway.adapters.db.evidence_spool import Spool
from gateway.demo.bank import Bank
from tests.support import postgres
from tests.support.databases import DROP_AUDIT
from tests.support.nodes import code, message_ids, moved, node, sealgate
from tests.support.peers import need
from tests.support.postfix import private_postfix
from tests.support.process import ROOT, START_S, submit
from tests.support.smtp import Hop, until

FORGED = (  # is quarantined
    b"From: director@bank.example\r\nTo: support@bank.example\r\nSubject: Urgent\r\nMessage-ID: <held@bank.example>\r\n"
    b"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n\r\nPay.\r\n"
)
ANNA, BEN = "anna@customer.example", "ben@customer.example"


@dataclass
class Running:
    """One node. In a namespace of its own, where the system lets us make one."""

    bank: Bank
    process: "subprocess.Popen[bytes]"

    def kill(self) -> None:
        """As if its power went: with everything it has started."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    @property
    def told(self) -> str:
        return (self.bank.home / "gateway.log").read_text("utf-8", "replace")


@contextmanager
def started(bank: Bank) -> Iterator[Running]:
    """Until its listeners answer; killed at the end."""
    apart = ["--pid", "--fork", "--kill-child", "--mount-proc"]
    apart = [] if os.geteuid() else [need("unshare", "util-linux"), *apart]
    with (bank.home / "gateway.log").open("ab") as log:
        process = subprocess.Popen([*apart, sys.executable, "-m", "gateway", "--config", str(bank.config), "run"],
                                   cwd=ROOT, stdout=log, stderr=log)
    running = Running(bank, process)
    try:
        for port in (bank.ports.outbound, bank.ports.inbound):
            _answers(running, port)
        yield running
    finally:
        running.kill()


def _answers(running: Running, port: int) -> None:
    end = time.monotonic() + START_S
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                if connection.recv(3) == b"220":
                    return
        except OSError:
            pass
        assert running.process.poll() is None, running.told[-2000:]
        assert time.monotonic() < end, running.told[-2000:]
        time.sleep(0.05)


@dataclass
class Client:
    """Sends mails through the nodes in turn, each until some node says 250, as a mail server's queue does."""

    banks: tuple[Bank, ...]
    to: tuple[str, ...] = (ANNA, BEN)
    accepted: list[str] = field(default_factory=list)
    later: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def send(self, mark: str, first: int) -> None:
        for attempt in range(first, first + 10_000):
            try:
                answer, text = submit(self.banks[attempt % len(self.banks)].ports.outbound, code(mark), self.to,
                                      sender="otp@bank.example")
            except (OSError, smtplib.SMTPException):
                answer, text = 421, ""
            if answer == 250:
                self.accepted.append(mark)
                return
            assert 400 <= answer < 500, (answer, text)
            self.later += 1
            time.sleep(0.1)

    def flow(self, name: str) -> None:
        number = 0
        while not self.ended.is_set():
            self.send(f"{name}-{number}", number)
            number += 1

    @contextmanager
    def flowing(self, threads: int = 3) -> Iterator[None]:
        """Several mails at once, until the block ends; then every mail that was begun is accepted."""
        running = [threading.Thread(target=self.flow, args=(f"m{number}",)) for number in range(threads)]
        for thread in running:
            thread.start()
        try:
            yield
        finally:
            self.ended.set()
            for thread in running:
                thread.join(90)
        assert not any(thread.is_alive() for thread in running)

    def more(self, count: int, seconds: float = 60.0) -> None:
        """Waits until so many more are accepted."""
        before = len(self.accepted)
        until(lambda: len(self.accepted) >= before + count, seconds)


def counted(sink: Hop, client: Client, resent: int) -> None:
    """Each recipient of each accepted mail has it, and no more copies are there than were sent again by need."""
    copies = message_ids(sink.mails)
    for mark in client.accepted:
        assert copies.count(mark) >= len(client.to), mark
    extra = len(copies) - len(client.to) * len(client.accepted)
    assert 0 <= extra <= resent


def resent(server: postgres.Postgres, name: str) -> int:
    return int(server.sql("SELECT coalesce(sum(resent), 0) FROM journal", name)[0][0])


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A server of its own with the demo bank's state in the database `bank`."""
    postgres.need_postgres()
    with postgres.own(postgres.scratch("postgres-nodes")) as server:
        server.sql("CREATE DATABASE bank")
        moved(tmp_path_factory.mktemp("moved") / "bank", server.settings("bank"))
        yield server


@pytest.fixture
def where(template):
    name = f"nodes{time.monotonic_ns()}"
    template.sql(f"CREATE DATABASE {name} TEMPLATE bank")
    return template.settings(name)


@pytest.fixture
def sink():
    with Hop() as hop:
        yield hop


@pytest.fixture
def banks(where, sink, tmp_path):
    """Two nodes: the same keys, rules and database."""
    first = node(tmp_path / "first", where, hop=sink.port)
    second = node(tmp_path / "second", where, hop=sink.port)
    for directory in ("keys", "pki", "customers", "partners"):
        shutil.rmtree(second.home / directory)
        shutil.copytree(first.home / directory, second.home / directory)
    return first, second


def test_one_node_is_killed_and_the_other_takes_over(template, where, banks, sink) -> None:
    client = Client(banks)
    leaders = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = {LEADERS} AND granted"
    with started(banks[0]) as first, started(banks[1]):
        until(lambda: template.sql(leaders) == [(1,)], 30)
        with client.flowing():
            client.more(9)
            first.kill()
            client.more(9, 90)
        until(lambda: template.sql(leaders) == [(1,)], 30)
    assert client.later > 0
    counted(sink, client, resent(template, where.name))
    assert template.sql("SELECT count(*) FROM journal WHERE state <> 'taken'", where.name) == [(0,)]


def test_a_real_postfix_in_front_gives_its_queue_to_whichever_node_lives(template, where, banks, sink) -> None:
    """Postfix names both nodes, tries the other one where the first does not answer, and again what got 451."""
    ports = [bank.ports.outbound for bank in banks]
    main_cf = (
        "mynetworks = 127.0.0.0/8\nmydestination =\nrelay_domains =\nlocal_recipient_maps =\n"
        f"relayhost = [127.0.0.1]:{ports[0]}, [127.0.0.1]:{ports[1]}\n"
        "smtpd_recipient_restrictions = permit_mynetworks, reject\nsmtp_connection_cache_on_demand = no\n"
        "minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\nqueue_run_delay = 1s\n")
    marks = [f"queued{number}" for number in range(16)]
    with (started(banks[0]) as first, started(banks[1]),
          private_postfix(postgres.scratch("postfix-nodes") / "front", main_cf) as port):
        for number, mark in enumerate(marks):
            assert submit(port, code(mark), (ANNA, BEN), sender="otp@bank.example")[0] == 250
            if number == 5:
                until(lambda: len(sink.mails) >= 2, 60)
                first.kill()

        def everybody_has_theirs() -> bool:
            copies = message_ids(sink.mails)
            return all(copies.count(mark) >= 2 for mark in marks)

        until(everybody_has_theirs, 90)
        until(lambda: template.sql("SELECT count(*) FROM journal_claim", where.name) == [(0,)], 30)
    counted(sink, Client(banks, accepted=marks), resent(template, where.name))


def test_what_one_node_distrusts_the_other_refuses(banks, sink) -> None:
    with started(banks[1]):
        assert submit(banks[1].ports.outbound, code("before"), [BEN], sender="otp@bank.example")[0] == 250
        line = next(line for line in sealgate(banks[0], "cert", "list", "--address", BEN).splitlines() if BEN in line)
        sealgate(banks[0], "cert", "distrust", line.split("\t")[0].split()[0])
        time.sleep(1.1)  # app.TRUST_LOOK_S: between two looks at what was said of certificates
        answer, text = submit(banks[1].ports.outbound, code("after"), [BEN], sender="otp@bank.example")
        assert answer == 550, text
    assert message_ids(sink.mails).count("after") == 0


def test_tables_are_brought_up_to_date_while_mail_flows(template, where, banks, sink) -> None:
    """A node works on the tables of the version before; another one of the new version is started beside it."""
    client = Client(banks[:1])
    with started(banks[0]) as first, client.flowing(2):
        client.more(2)
        for statement in DROP_AUDIT:
            template.sql(statement, where.name)
        template.sql("DROP TABLE request", where.name)
        template.sql("DROP TABLE callback", where.name)
        template.sql("ALTER TABLE statement_chunk DROP COLUMN item, DROP COLUMN attempts", where.name)
        template.sql("UPDATE alembic_version SET version_num = '0006'", where.name)
        client.more(2)
        sealgate(banks[1], "database", "upgrade")
        with started(banks[1]):
            client.more(4, 60)
        assert first.process.poll() is None
    assert template.sql("SELECT version_num FROM alembic_version", where.name) == [(HEAD,)]
    counted(sink, client, resent(template, where.name))


def test_without_the_database_mail_of_one_group_goes_and_all_else_waits(template, where, banks, sink) -> None:
    """The server is ended under traffic and started again: what was accepted meanwhile is in the evidence then."""
    one, several = Client(banks[:1], to=(ANNA,)), Client(banks[:1])
    with started(banks[0]) as running:
        one.send("first", 0)  # from now on the gateway knows Anna's certificate
        until(lambda: "first" in message_ids(sink.mails))
        time.sleep(2.5)  # a look at what answers hang on (pulse.BEAT_S) has to come before
        one.send("known", 0)
        with several.flowing(1):
            several.more(2)
            template.stop("immediate")
            try:
                for number in range(5):
                    one.send(f"away{number}", 0)
                assert one.later == 0, running.told[-3000:]
                both = code("both").replace(b"To: " + ANNA.encode(), f"To: {ANNA}, {BEN}".encode())
                assert submit(banks[0].ports.outbound, both, (ANNA, BEN), sender="otp@bank.example")[0] == 250
                held = submit(banks[0].ports.inbound, FORGED, ["support@bank.example"], sender="x@else.example")
                assert held[0] == 451
                before = several.later
                until(lambda: several.later > before + 2, 60)
            finally:
                template.start()
            several.more(2, 60)
        for mark in one.accepted:
            until(lambda mark=mark: "anna@customer.example" in sealgate(
                banks[0], "trace", f"<{mark}@bank.example>", code=None), 60)
        assert "evidence.spooled" in running.told
        assert Spool(banks[0].home / "spool").waiting() == 0
    copies = message_ids(sink.mails)
    assert copies.count("both") == 1
    assert {mark: copies.count(mark) for mark in one.accepted} == dict.fromkeys(one.accepted, 1)
    extra = sum(copies.count(mark) - 2 for mark in several.accepted)
    assert all(copies.count(mark) >= 2 for mark in several.accepted)
    assert extra <= resent(template, where.name)
