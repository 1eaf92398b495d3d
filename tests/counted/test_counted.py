"""What a mail costs, counted: private-key operations, commits (each one fsync), statements, look-ups, round trips.

Counts hold on any machine, where seconds do not. The database is counted by SQLite's own trace of what it runs, not by
the gateway's counters; the next hop is a socket that counts what arrives on it. One gateway in this process; no other
program is started.
"""

import contextlib
import shutil
import socket
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gateway.adapters.keys import files as keys_file
from gateway.adapters.keys.files import FileKeys
from gateway.adapters.next_hop.smtp import SmtpNextHop
from gateway.cms.algorithms import ContentCipher
from gateway.cms.certificate import load_certificates
from gateway.cms.enveloped import encrypt
from gateway.demo.bank import Bank
from gateway.model.outcome import Settled
from gateway.pki.path import validation as path
from gateway.settings import load
from tests.support.bank import Context, ScriptedHop, context
from tests.support.process import template
from tests.support.sealed import ANNA, TEXT, cms, compressed, message

OTP, ANNA_AND_BEN = "otp@bank.example", ("anna@customer.example", "ben@customer.example")
OTP_KEY, TSA_KEY, CARD_KEY = ("sign", "otp"), ("sign", "stamper:internal"), ("sign", "trust:card")


def code(number: int, *, to: str = "undisclosed-recipients:;") -> bytes:
    return (f"From: {OTP}\r\nTo: {to}\r\nSubject: Code\r\nMessage-ID: <{number}@bank.example>\r\n\r\n"
            f"Your code is {number:06}\r\n").encode()


@dataclass
class Counts:
    """What happened since the last `none()`."""

    keys: Counter[tuple[str, str]] = field(default_factory=Counter)
    loads: int = 0
    statements: list[str] = field(default_factory=list)
    look_ups: list[str] = field(default_factory=list)
    paths: int = 0
    meanwhile: Callable[[str], None] = field(default=lambda _statement: None)  # in the thread that runs it

    def trace(self, statement: str) -> None:
        self.statements.append(statement)
        self.meanwhile(statement)

    def none(self) -> None:
        self.keys.clear()
        self.loads = self.paths = 0
        self.statements.clear()
        self.look_ups.clear()

    def of(self, *words: str) -> int:
        return sum(one.lstrip().upper().startswith(words) for one in self.statements)

    @property
    def commits(self) -> int:
        return self.of("COMMIT")

    @property
    def selects(self) -> int:
        return self.of("SELECT")


@dataclass
class Counted:
    """A bank and its counts."""

    context: Context
    counts: Counts

    def send(self, octets: bytes, *to: str) -> Counts:
        """One mail; what it cost alone."""
        self.counts.none()
        assert self.context.gateway.handle(self.context.send(octets, *to)).answer is Settled.TAKEN
        return self.counts

    def receive(self, octets: bytes) -> Counts:
        self.counts.none()
        assert self.context.gateway.handle(self.context.receive(octets, "support@bank.example")).answer is Settled.TAKEN
        return self.counts


def counting(monkeypatch: pytest.MonkeyPatch, counts: Counts) -> None:
    """Puts counters around the private keys, the path validation and every connection to the database."""
    for name in ("sign", "decrypt", "agree"):
        real = getattr(FileKeys, name)

        def used(self, key_id, *rest, real=real, name=name):
            counts.keys[name, key_id] += 1
            return real(self, key_id, *rest)

        monkeypatch.setattr(FileKeys, name, used)
    real_connect = sqlite3.connect

    def connected(*given, **named):
        connection = real_connect(*given, **named)
        connection.set_trace_callback(counts.trace)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connected)
    monkeypatch.setattr(sqlite3.dbapi2, "connect", connected)  # what SQLAlchemy calls
    real_load, real_validate = keys_file.read_private_key, path._validate

    def loaded(*given):
        counts.loads += 1
        return real_load(*given)

    def validated(asked):
        counts.paths += 1
        return real_validate(asked)

    monkeypatch.setattr(keys_file, "read_private_key", loaded)
    monkeypatch.setattr(path, "_validate", validated)


@contextlib.contextmanager
def bank(home: Path, monkeypatch: pytest.MonkeyPatch, change=lambda settings: settings) -> Iterator[Counted]:
    """A warm bank: keys are loaded, certificates judged, connections open. `change`: of the settings."""
    counts = Counts()
    shutil.copytree(template(rsa=True), home)
    counting(monkeypatch, counts)
    monkeypatch.setattr("gateway.app.TRUST_LOOK_S", 1e9)  # once a second the trust list is looked at; not here
    with context(home, change) as built:
        select = built.gateway.context.select

        def looked(address, want):
            counts.look_ups.append(address)
            return select(address, want)

        built.gateway.use(replace(built.gateway.context, select=looked))
        counted = Counted(built, counts)
        counted.send(code(0), *ANNA_AND_BEN)
        counted.receive(message(TEXT, to="support@bank.example"))
        yield counted


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    with bank(tmp_path / "home", monkeypatch) as made:
        yield made


def crowd(bank_: Bank, number: int) -> list[str]:
    """That many customers more, in the store by the bank's own authority: each with a certificate of their own."""
    from gateway import app
    from gateway.authority import ca
    from gateway.clock import SystemClock
    from gateway.model.lookup import Customer

    settings, now = load(bank_.config), SystemClock().now()
    key = ca.generate_signing_key("rsa-2048")
    addresses = [f"c{one}@customer.example" for one in range(number)]
    store = app.open_store(settings)
    try:
        store.customers.put([Customer(f"9{one:05}", "Crowd", (address,), "retail")
                             for one, address in enumerate(addresses)])
        app.enrol(store, [(bank_.authorities.person(address, address, key, now), f"9{one:05}")
                          for one, address in enumerate(addresses)])
    finally:
        store.close()
    return addresses


# --- private keys ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", [ANNA_AND_BEN[:1], ANNA_AND_BEN])
def test_one_signature_and_one_stamp_for_a_message(counted: Counted, to: tuple[str, ...]) -> None:
    """Hidden from each other they are two groups with two envelopes around the same signature."""
    assert counted.send(code(1), *to).keys == {OTP_KEY: 1, TSA_KEY: 1}
    assert counted.counts.loads == 0
    assert len(counted.context.outbound.taken) == len(ANNA_AND_BEN) + len(to)


def test_one_signature_for_twenty_recipients_shown_or_hidden(counted: Counted) -> None:
    everybody = crowd(counted.context.bank, 20)
    assert counted.send(code(1), *everybody).keys == {OTP_KEY: 1, TSA_KEY: 1}
    groups = len(counted.context.outbound.taken)
    assert counted.send(code(2, to=", ".join(everybody)), *everybody).keys == {OTP_KEY: 1, TSA_KEY: 1}
    assert len(counted.context.outbound.taken) == groups + 1


def to_the_bank(counted: Counted, entity: bytes, times: int = 1) -> bytes:
    certificate = load_certificates(counted.context.bank.support_certificate.read_bytes())[0]
    for _ in range(times):
        entity = cms(encrypt(entity, [certificate], ContentCipher.AES256_CBC), "enveloped-data")
    return message(entity, to="support@bank.example", from_=ANNA)


@pytest.mark.parametrize("layers", [0, 1, 2, 5])
def test_one_private_key_operation_for_each_layer_that_is_opened(counted: Counted, layers: int) -> None:
    """The card that shows the reader the verdict is signed once; looking at it again opens nothing again."""
    keys = counted.receive(to_the_bank(counted, TEXT, layers)).keys
    assert keys == Counter({("decrypt", "support"): layers, CARD_KEY: 1}) - Counter()


def test_what_is_compressed_or_not_for_us_asks_no_decryption_key(counted: Counted) -> None:
    assert counted.receive(message(compressed(TEXT), to="support@bank.example")).keys == {CARD_KEY: 1}
    counted.counts.none()
    octets = to_the_bank(counted, TEXT)
    for to in ("otp@bank.example", "staff@bank.example"):  # the key belongs to another mailbox
        counted.context.gateway.handle(counted.context.receive(octets, to))
    assert set(counted.counts.keys) <= {CARD_KEY}


# --- the database ---------------------------------------------------------------------------------------------------


def test_a_mail_of_one_group_costs_one_look_and_one_commit(counted: Counted) -> None:
    """Its reply is the next hop's reply: no journal. What is written is the evidence."""
    for number in range(1, 4):
        counts = counted.send(code(number), ANNA_AND_BEN[0])
        assert (counts.selects, counts.commits, counts.of("INSERT"), counts.of("UPDATE", "DELETE")) == (1, 1, 1, 0)


@pytest.mark.parametrize("groups", [2, 3, 10])
def test_a_mail_of_several_groups_costs_three_commits_for_each_and_two(counted: Counted, groups: int) -> None:
    """Claimed; `sending`, evidence and `taken` for each group; released."""
    everybody = crowd(counted.context.bank, groups)
    counted.send(code(1), *everybody)
    counts = counted.send(code(2), *everybody)
    assert counts.commits == 3 * groups + 2
    assert counts.selects <= groups + 4
    assert len(counts.statements) <= 3 * counts.commits + 5 * groups


def test_a_mail_from_the_world_costs_one_commit_and_no_look(counted: Counted) -> None:
    counts = counted.receive(message(TEXT, to="support@bank.example"))
    assert (counts.commits, counts.of("INSERT"), counts.selects) == (1, 1, 0)


def test_the_cost_does_not_grow_with_what_is_stored(counted: Counted) -> None:
    """A thousand records of evidence later: the same statements."""
    def statements() -> list[str]:
        """Of the cheapest of three: verdicts are judged anew now and then, whatever is stored."""
        told = [[one.split("VALUES")[0] for one in counted.send(code(1), ANNA_AND_BEN[0]).statements]
                for _ in range(3)]
        return min(told, key=len)

    before = statements()
    for number in range(1_000):
        counted.context.gateway.handle(counted.context.send(code(number), ANNA_AND_BEN[0]))
    assert statements() == before


@dataclass
class Gate(ScriptedHop):
    """Takes mails, but answers none before `number` are there: so that many are at the same place of their way."""

    together: threading.Barrier = field(default_factory=lambda: threading.Barrier(1))

    def deliver(self, octets, envelope, before_dot=None, *, all_or_none=False):
        """See ScriptedHop."""
        replies = super().deliver(octets, envelope, before_dot, all_or_none=all_or_none)
        self.together.wait(30)
        return replies


def test_twenty_mails_at_once_cost_two_commits(counted: Counted) -> None:
    """Group commit: the first writes alone, and while it does all others gather. Each commit is an fsync."""
    number = 20
    group = counted.context.gateway.store.database.group
    hop = Gate(together=threading.Barrier(number))
    counted.context.gateway.use(replace(counted.context.gateway.context, outbound_hop=hop))
    counted.counts.none()
    commits = 0

    def first_waits(statement: str) -> None:
        nonlocal commits
        if statement == "COMMIT":
            commits += 1
            while commits == 1 and len(group._waiting) < number - 1:
                threading.Event().wait(0.001)

    counted.counts.meanwhile = first_waits
    answers: list[Settled] = []
    threads = [threading.Thread(target=lambda one=one: answers.append(counted.context.gateway.handle(
        counted.context.send(code(one), ANNA_AND_BEN[0])).answer)) for one in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [Settled.TAKEN] * number
    assert counted.counts.commits == 2
    assert counted.counts.of("INSERT") == number


def test_a_commit_is_durable(counted: Counted) -> None:
    """One fsync for each commit is what SQLite promises only so: https://www.sqlite.org/pragma.html#pragma_synchronous."""
    database = counted.context.gateway.store.database
    with database.writers.connect() as connection:
        of_both = [connection.connection.driver_connection, database._writer]
        for driver in of_both:
            assert driver.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert driver.execute("PRAGMA synchronous").fetchone() == (2,)


# --- look-ups and paths ---------------------------------------------------------------------------------------------


def test_one_look_up_for_each_recipient_and_no_path_twice(counted: Counted) -> None:
    for number in range(1, 4):
        counts = counted.send(code(number), *ANNA_AND_BEN)
        assert counts.look_ups == list(ANNA_AND_BEN)
        assert counts.paths == 0, "judged before: the verdict is kept"


def test_who_needs_no_certificate_is_not_looked_up(counted: Counted) -> None:
    assert counted.receive(message(TEXT, to="support@bank.example")).look_ups == []
    outcome = counted.context.gateway.handle(counted.context.send(
        code(1).replace(OTP.encode(), b"staff@bank.example"), "carla@bank.example", client="staff",
        sender="staff@bank.example"))
    assert outcome.answer is Settled.TAKEN
    assert counted.counts.look_ups == []
    assert counted.counts.selects == 0


# --- the next hop ---------------------------------------------------------------------------------------------------


class Turns:
    """A next hop that counts connections and how often it had to be waited for: each packet that it answers."""

    def __init__(self) -> None:
        self.connections = 0
        self.turns: list[bytes | str] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def words(self) -> list[str]:
        """The commands of each packet."""
        return [turn if isinstance(turn, str) else " ".join(line[:4].upper() for line in turn.decode().splitlines())
                for turn in self.turns]

    def _talk(self, sock: socket.socket) -> None:
        in_data, held = False, b""
        with sock, contextlib.suppress(ConnectionError):
            sock.sendall(b"220 hop.test ESMTP\r\n")
            while packet := sock.recv(65536):
                held += packet
                if not held.endswith(b"\r\n.\r\n" if in_data else b"\r\n"):
                    continue
                self.turns.append("the mail" if in_data else held)
                if in_data:
                    in_data, answers = False, b"250 2.0.0 taken\r\n"
                else:
                    words = [line[:4].upper() for line in held.split(b"\r\n")[:-1]]
                    in_data = words[-1] == b"DATA"
                    answers = b"".join({b"EHLO": b"250-hop.test\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
                                        b"DATA": b"354 go on\r\n"}.get(word, b"250 2.0.0 ok\r\n") for word in words)
                held = b""
                sock.sendall(answers)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@pytest.fixture
def turns() -> Iterator[Turns]:
    server = Turns()
    yield server
    server.close()


@contextlib.contextmanager
def sending_to(turns: Turns, counted: Counted) -> Iterator[None]:
    """The gateway's own next hop, to that socket."""
    settings = load(counted.context.bank.config).next_hops.outbound.model_copy(update={"port": turns.port})
    hop = SmtpNextHop(settings, hostname="gateway.bank.example")
    counted.context.gateway.use(replace(counted.context.gateway.context, outbound_hop=hop))
    try:
        yield
    finally:
        hop.close()


def test_ten_mails_are_one_connection_and_two_round_trips_each(counted: Counted, turns: Turns) -> None:
    """RFC 2920: MAIL, RCPT and DATA in one packet, then the mail with its dot in the next."""
    with sending_to(turns, counted):
        for number in range(10):
            counted.send(code(number), ANNA_AND_BEN[0])
        assert turns.connections == 1
        assert turns.words() == ["EHLO"] + ["MAIL RCPT DATA", "the mail"] * 10


def test_several_recipients_are_one_round_trip_more_and_one_for_every_fifty(counted: Counted, turns: Turns) -> None:
    """All or none of them: DATA waits until every one is accepted."""
    everybody = crowd(counted.context.bank, 120)
    with sending_to(turns, counted):
        counts = counted.send(code(1, to=", ".join(everybody[:3])), *everybody[:3])
        assert counts.commits == 1
        counts = counted.send(code(2, to=", ".join(everybody)), *everybody)
        assert (counts.commits, counts.keys) == (1, {OTP_KEY: 1, TSA_KEY: 1})
        assert turns.connections == 1
        assert turns.words() == [
            "EHLO", "MAIL RCPT RCPT RCPT", "DATA", "the mail",
            " ".join(["MAIL"] + ["RCPT"] * 49), " ".join(["RCPT"] * 50), " ".join(["RCPT"] * 21), "DATA", "the mail"]
