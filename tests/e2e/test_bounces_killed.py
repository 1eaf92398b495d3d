"""The relay dies between a customer's block and the bank's alarm: the mail comes again, and the alarm leaves, once.

Starts: `sealgate run` twice, one next hop that does not answer the first time. Truth: the database between the two, and
what the next hop got.
"""

import os
import re
import signal
import smtplib
import sqlite3
import threading
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.app import open_store
from gateway.clock import SystemClock
from gateway.demo.bank import Bank
from gateway.settings import load
from tests.support.process import new_bank, relay, without_web
from tests.support.returned import MAILBOX, NO_LIMITS, Reply, row
from tests.support.smtp import Hop, until

CODE = "ab" * 12


@pytest.fixture
def hop() -> Hop:
    """It takes no mail until a test sets `go`."""
    made = Hop()
    made.go = threading.Event()  # type: ignore[attr-defined]
    made.replies["DATA"] = lambda _: "354 go on" if made.go.wait(60) else "451 4.3.0 later"  # type: ignore[attr-defined]
    return made


def blocked(bank: Bank) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(bank.home / "sealgate.db")) as database:
        return database.execute("SELECT customer, by FROM blocked_customer").fetchall()


def killed_before_the_alarm(bank: Bank, octets: bytes, hop: Hop, killed: list[int]) -> None:
    """All processes, while the next hop has not answered DATA."""
    with relay(bank, forked=True) as running:
        def send() -> None:
            with suppress(OSError, smtplib.SMTPException):
                running.receive(octets, [MAILBOX])

        sending = threading.Thread(target=send)
        sending.start()
        until(lambda: b"DATA" in hop.lines, 30)
        assert blocked(bank) == [("10001", "customer")]
        workers = re.findall(r'"pid": (\d+)[^\n]*"event": "worker.started"', running.told)
        assert workers
        for pid in (running.process.pid, *map(int, workers)):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
        sending.join(30)


def test_the_alarm_leaves_when_the_mail_comes_again(tmp_path: Path, hop: Hop) -> None:
    with hop:
        bank = new_bank(tmp_path / "bank", hop=hop.port, change=without_web)
        settings = load(bank.config)
        store = open_store(settings)
        now = SystemClock().now()
        assert store.codes.issue(row(CODE, "10001", now, now + timedelta(minutes=5)), NO_LIMITS) is None
        store.close()
        octets = Reply(settings, f"{CODE}-1").signed(bank.people["anna"])
        killed: list[int] = []
        with pytest.raises(AssertionError):  # it does not end well, which `relay` says last
            killed_before_the_alarm(bank, octets, hop, killed)
        assert len(killed) == 2
        hop.hang_up()
        hop.go.set()  # type: ignore[attr-defined]
        assert hop.mails == []
        with relay(bank, forked=True) as running:
            for _ in range(2):  # whoever heard no answer sends again; and once more, for good measure
                assert running.receive(octets, [MAILBOX])[0] == 250
        assert blocked(bank) == [("10001", "customer")]
        (alarm,) = hop.mails
        assert b"To: security@bank.example" in alarm
