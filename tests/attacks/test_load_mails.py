"""Attack: mails that are too large, and mails that break us again and again, while other mail goes on.

Each against the real `sealgate run` with a real next hop behind it. Costs are CPU seconds and peaks of memory of the
gateway's own processes (tests/support/load.py).
"""

import json
import socket
import threading
from pathlib import Path

from tests.attacks.test_load_connections import ask, gateway
from tests.support.load import LETTER, MIB, Usage, others_mail_goes_on, taking
from tests.support.process import Relay, new_bank, relay

TO = b"support@bank.example"


# --- too large ------------------------------------------------------------------------------------------------------


def start(sock: socket.socket, parameters: bytes = b"") -> list[bytes]:
    """Up to DATA; the codes."""
    return ask(sock, b"EHLO x", b"MAIL FROM:<a@stranger.example>" + parameters)


def flood(sock: socket.socket, octets: int) -> bytes:
    """A mail of so many octets; the reply after its final dot."""
    ask(sock, b"RCPT TO:<" + TO + b">", b"DATA")
    piece = b"x" * 998 + b"\r\n"
    block = piece * 1024
    sock.sendall(b"Subject: big\r\n\r\n")
    for _ in range(octets // len(block)):
        sock.sendall(block)
    sock.sendall(b".\r\n")
    return sock.recv(512)


def test_a_hundred_megabytes_are_refused_and_never_held(tmp_path: Path) -> None:
    """50 MiB by the settings as they come. Announced: refused at once (RFC 1870 6.1), else after the last octet."""
    with gateway(tmp_path / "home") as (running, sink):
        before = sink.count
        usage = Usage(running.process.pid)
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", running.bank.ports.inbound), timeout=60) as sock:
                sock.recv(512)
                assert start(sock, b" SIZE=104857600") == [b"250", b"552"]
        assert usage.grown() < 8 * MIB
        with socket.create_connection(("127.0.0.1", running.bank.ports.inbound), timeout=120) as sock:
            sock.recv(512)
            start(sock)
            assert flood(sock, 100 * MIB).startswith(b"552")
            assert ask(sock, b"NOOP") == [b"250"], "the session goes on (RFC 5321 4.2.5)"
        others_mail_goes_on(running)
        assert usage.grown() < 150 * MIB, "4/3 of the limit for the octets, the rest for their moving"
        assert usage.cpu_s() < 20
        assert sink.count == before + 6


def test_many_large_mails_at_once_are_bounded_as_a_whole(tmp_path: Path) -> None:
    """64 MiB of mails in work for all: of five that send 30 MiB each, those that do not fit are told 4xx."""
    with gateway(tmp_path / "home", "octets_in_flight_max: 67108864") as (running, _):
        usage = Usage(running.process.pid)
        codes: list[bytes] = []

        def press(number: int) -> None:
            address = (f"127.0.4.{number}", 0)
            with socket.create_connection(("127.0.0.1", running.bank.ports.inbound), 120, address) as sock:
                sock.recv(512)
                start(sock)
                codes.append(flood(sock, 30 * MIB)[:3])

        threads = [threading.Thread(target=press, args=(number,), daemon=True) for number in range(1, 6)]
        for thread in threads:
            thread.start()
        others_mail_goes_on(running, inbound=0)
        for thread in threads:
            thread.join(120)
        assert len(codes) == 5
        assert set(codes) <= {b"250", b"451", b"452"}, codes
        others_mail_goes_on(running)
        assert usage.grown() < 400 * MIB, "of 150 MiB sent at once"


# --- poison ---------------------------------------------------------------------------------------------------------


def lines(running: Relay, event: str) -> list[dict[str, object]]:
    """Of the log."""
    found = [json.loads(line) for line in running.told.splitlines() if line.startswith("{")]
    return [line for line in found if line.get("event") == event]


def test_a_mail_that_breaks_us_is_told_the_third_time_and_stays_451(tmp_path: Path) -> None:
    """A fault of ours that only this mail meets (tests/support/broken.py): other mail never notices."""
    bank = new_bank(tmp_path / "home")
    failure_counter = LETTER.replace(b"Subject:", b"X-Break: yes\r\nSubject:") % 1
    with taking(bank.ports.sink), relay(bank, arguments=("-m", "tests.support.broken", str(bank.config))) as running:
        for attempt in range(1, 6):
            code, text = running.receive(failure_counter, ["support@bank.example"])
            assert code == 451, text
            others_mail_goes_on(running, outbound=1, inbound=1)
            assert len(lines(running, "mail.repeated_failure")) == max(0, attempt - 2)
    told = lines(running, "mail.repeated_failure")
    assert [line["times"] for line in told] == [3, 4, 5]
    assert {line["level"] for line in told} == {"critical"}
    assert len(lines(running, "internal.error")) == 5
    assert "Good morning" not in running.told
