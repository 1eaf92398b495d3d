"""Attack: connections that cost the sender nothing and are meant to cost us everything, while other mail goes on.

Slow senders (slowloris), 1,000 idle connections, floods of recipients and of commands. Each against the real
`sealgate run` with a real next hop behind it; started here: nothing else. What it costs is told in CPU seconds and
peaks of memory of the gateway's own processes (tests/support/load.py), never in seconds on the wall.
"""

import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.load import MIB, Dribble, Peers, Sink, Usage, others_mail_goes_on, taking
from tests.support.process import Relay, free_ports, new_bank, relay, without_web
from tests.support.smtp import until

IDLE = 1_000


@contextmanager
def gateway(home: Path, limits: str = "") -> Iterator[tuple[Relay, Sink]]:
    """A bank with a next hop. `limits`: that line of the settings."""
    (hop,) = free_ports(1)
    more = f"limits: {{{limits}}}\n" if limits else ""
    bank = new_bank(home, hop=hop, change=lambda text: without_web(text) + more)
    with taking(hop) as sink, relay(bank) as running:
        others_mail_goes_on(running)  # warm: keys loaded, paths judged
        yield running, sink


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Relay, Sink]]:
    """One gateway by the settings as they come, for all tests that leave it as they found it."""
    with gateway(tmp_path_factory.mktemp("shared") / "home") as running:
        yield running


@pytest.fixture
def everyday(shared: tuple[Relay, Sink]) -> tuple[Relay, Sink]:
    """The same, once it has closed the connections of the test before."""
    until(lambda: not any(held(port) for port in (shared[0].bank.ports.inbound, shared[0].bank.ports.outbound)))
    return shared


def held(port: int) -> int:
    """How many connections a listener has (proc_net_tcp(5): 01 is ESTABLISHED, 08 is CLOSE_WAIT)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] in ("01", "08") for row in rows)


def addresses(number: int, each: int) -> list[str]:
    """That many source addresses, `each` times every one of them."""
    return [f"127.0.{2 + one // 200}.{1 + one % 200}" for one in range(number) for _ in range(each)]


# --- idle -----------------------------------------------------------------------------------------------------------


def test_a_thousand_idle_connections_of_strangers_leave_the_banks_mail_alone(everyday: tuple[Relay, Sink]) -> None:
    """20 addresses, 50 connections each, by the settings as they come: 400 are held, later ones are answered 421.

    The last 100 of `connections_max` are reserved for the mail server that the listener names (`trusted_peers`).
    """
    running, _ = everyday
    with Peers(running.bank.ports.inbound) as peers:
        usage = Usage(running.process.pid)
        told = Counter(peers.connect(one) for one in addresses(20, 50))
        assert told == {b"220": 400, b"421": 600}
        assert peers.connect("127.0.0.9") == b"220"
        others_mail_goes_on(running, outbound=5, inbound=0)
        assert usage.grown() < 64 * MIB, "128 KiB for each that is held would be too much"
        assert usage.cpu_s() < 20


def test_addresses_of_nobody_do_not_fill_the_listener_of_the_banks_own_systems(everyday: tuple[Relay, Sink]) -> None:
    """Attack of a trial: ten addresses with 50 connections each. Strangers have a fifth, one of them a tenth of it."""
    running, _ = everyday
    with Peers(running.bank.ports.outbound) as peers:
        told = Counter(peers.connect(one) for one in addresses(20, 50))
        assert told == {b"220": 100, b"421": 900}
        others_mail_goes_on(running, outbound=5, inbound=0)


def test_a_thousand_idle_connections_that_may_stay_leave_everybodys_mail_alone(tmp_path: Path) -> None:
    with (gateway(tmp_path / "home", "connections_max: 2500, connections_per_peer_max: 50") as (running, _),
          Peers(running.bank.ports.inbound) as peers):
        usage = Usage(running.process.pid)
        assert Counter(peers.connect(one, say=b"EHLO x\r\n") for one in addresses(20, 50)) == {b"220": IDLE}
        others_mail_goes_on(running)
        assert peers.closed() == 0
        assert usage.grown() < 128 * MIB
        assert usage.cpu_s() < 20


def test_one_address_has_fifty_and_no_more(everyday: tuple[Relay, Sink]) -> None:
    running, _ = everyday
    with Peers(running.bank.ports.inbound) as peers:
        told = [peers.connect("127.0.9.9") for _ in range(200)]
        assert told == [b"220"] * 50 + [b"421"] * 150
        others_mail_goes_on(running)
        for sock in peers.open[:10]:
            sock.close()
        until(lambda: peers.connect("127.0.9.9") == b"220")  # what is given back can be had again


# --- slow -----------------------------------------------------------------------------------------------------------


def test_commands_of_one_octet_at_a_time_are_timed_as_a_whole(tmp_path: Path) -> None:
    """Each octet in time, the command never: octets do not buy time."""
    with (gateway(tmp_path / "home", "command_timeout_s: 3") as (running, _),
          Peers(running.bank.ports.inbound) as peers):
        assert {peers.connect(one) for one in addresses(4, 25)} == {b"220"}
        with Dribble(peers.open):
            others_mail_goes_on(running)
            until(lambda: peers.closed() == len(peers.open), 60)
        others_mail_goes_on(running)


def test_mails_of_one_octet_at_a_time_are_timed_as_a_whole(tmp_path: Path) -> None:
    """More slow mails than there are workers: one that is still arriving has none."""
    with gateway(tmp_path / "home", "data_timeout_s: 4, command_timeout_s: 4, workers_max: 2") as (running, sink):
        before = sink.count
        with Peers(running.bank.ports.inbound) as peers:
            for one in addresses(4, 25):
                assert peers.connect(one) == b"220"
                ask(peers.open[-1], b"EHLO x", b"MAIL FROM:<a@stranger.example>", b"RCPT TO:<support@bank.example>",
                    b"DATA")
                peers.open[-1].sendall(b"From: a@stranger.example\r\nSubject: ")
            with Dribble(peers.open):
                others_mail_goes_on(running)
                until(lambda: peers.closed() == len(peers.open), 60)
        others_mail_goes_on(running)
        assert sink.count == before + 12, "nothing of what never ended was handed on"


def ask(sock: socket.socket, *commands: bytes) -> list[bytes]:
    """Each command with the first three octets of its reply."""
    codes = []
    for command in commands:
        sock.sendall(command + b"\r\n")
        reply = b""
        while not re.search(rb"(?:^|\n)\d{3} [^\n]*\r\n$", reply):
            more = sock.recv(4096)
            assert more, (command, reply)
            reply += more
        codes.append(reply[:3])
    return codes


# --- floods ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipient", [b"RCPT TO:<s%d@bank.example>\r\n", b"RCPT TO:<s%d@stranger.example>\r\n"])
def test_a_flood_of_recipients_ends_soon(everyday: tuple[Relay, Sink], recipient: bytes) -> None:
    """50,000 in one go. 100 of ours are taken (RFC 5321 4.5.3.1.8), then 20 refusals end the session."""
    running, sink = everyday
    usage, before = Usage(running.process.pid), sink.count
    with socket.create_connection(("127.0.0.1", running.bank.ports.inbound), timeout=60) as sock:
        flood = b"EHLO x\r\nMAIL FROM:<a@stranger.example>\r\n" + b"".join(recipient % n for n in range(50_000))
        replies = pour(sock, flood)
    codes = Counter(re.findall(rb"^(\d{3}) ", replies, re.MULTILINE))
    ours = b"bank" in recipient
    assert codes[b"250"] == 2 + (100 if ours else 0)
    assert codes[b"452" if ours else b"550"] == 21
    assert codes[b"421"] == 1
    others_mail_goes_on(running)
    assert usage.cpu_s() < 10
    assert usage.grown() < 32 * MIB
    assert sink.count == before + 6


def pour(sock: socket.socket, octets: bytes) -> bytes:
    """Sends as long as the other side takes, and reads all it says until it closes."""
    told, view = bytearray(), memoryview(octets)
    sock.setblocking(False)
    until_closed = False
    while not until_closed:
        try:
            if view:
                view = view[sock.send(view[:65536]):]
        except BlockingIOError:
            pass
        except OSError:
            view = view[:0]
        try:
            more = sock.recv(65536)
            told += more
            until_closed = not more
        except BlockingIOError:
            pass
        except OSError:
            until_closed = True
    return bytes(told)


def test_a_flood_of_commands_that_are_no_errors_keeps_nobody_waiting(everyday: tuple[Relay, Sink]) -> None:
    """50,000 times NOOP and RSET in one go on several connections: they are answered, in turn with everybody."""
    running, _ = everyday
    with Peers(running.bank.ports.inbound) as peers:
        usage = Usage(running.process.pid)
        for one in addresses(5, 1):
            assert peers.connect(one) == b"220"
        done: list[int] = []

        def flood(sock: socket.socket) -> None:
            sock.settimeout(120)
            done.append(pour(sock, b"NOOP\r\nRSET\r\n" * 5_000 + b"QUIT\r\n").count(b"250 "))

        threads = [threading.Thread(target=flood, args=(sock,), daemon=True) for sock in peers.open]
        for thread in threads:
            thread.start()
        others_mail_goes_on(running)
        for thread in threads:
            thread.join(120)
        assert done == [10_000] * 5
        assert usage.cpu_s() < 30
        assert usage.grown() < 64 * MIB


def test_who_never_reads_the_replies_is_not_served_for_ever(tmp_path: Path) -> None:
    """EHLO has a long reply. They pile up only as far as the sockets hold them; then nobody works for that peer."""
    with gateway(tmp_path / "home", "command_timeout_s: 3") as (running, _):
        usage = Usage(running.process.pid)
        with socket.create_connection(("127.0.0.1", running.bank.ports.inbound), timeout=60) as sock:
            sock.settimeout(0)
            sent, ask_again = 0, b"EHLO x\r\n" * 4096

            def stopped() -> bool:
                nonlocal sent
                try:
                    sent += sock.send(ask_again)
                except BlockingIOError:
                    return False
                except OSError:
                    return True
                return sent > 64 * MIB

            until(stopped, 120)
            assert sent < 64 * MIB
        others_mail_goes_on(running)
        assert usage.grown() < 64 * MIB
