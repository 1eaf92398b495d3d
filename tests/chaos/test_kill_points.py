"""kill -9 at the named points of a mail's way, then the client's retry: the exact outcomes that are allowed.

Never lost, never in clear, doubled only where SMTP allows no better: between the final dot and the recorded reply.
A real relay process, a real sink behind it, a real client in front.
"""

import os
import signal
import smtplib
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from gateway.demo.bank import Bank, Ports
from gateway.demo.sink import Sink
from tests.chaos import killed
from tests.support.process import demo_bank, free_ports

MAIL = (
    b"From: otp@bank.example\r\nTo: undisclosed-recipients:;\r\nSubject: Code\r\nMessage-ID: <1@bank.example>\r\n"
    b"\r\nYour code is 481516\r\n"
)
TWO = ["anna@customer.example", "ben@customer.example"]  # in no To or Cc: two groups, so the journal works


class KillingSink(Sink):
    """Takes the mail and ends the gateway before it can hear of it."""

    victim: int | None = None

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> Any:  # noqa: N802 - aiosmtpd's name
        reply = await super().handle_DATA(server, session, envelope)
        if self.victim is not None:
            victim, self.victim = self.victim, None
            os.kill(victim, signal.SIGKILL)
        return reply


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return demo_bank(tmp_path / "home", Ports(*free_ports(3)))


@contextmanager
def sink(bank: Bank) -> Iterator[KillingSink]:
    server = KillingSink(bank.home, bank.ports.sink, frozenset({"bank.example"}))
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def relay(bank: Bank, point: str) -> Iterator[BaseProcess]:
    process = killed.start(bank.config, point, bank.home / "gateway.log")
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.is_alive():
            try:
                socket.create_connection(("127.0.0.1", bank.ports.outbound), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.join()


def submit(bank: Bank, recipients: list[str]) -> bool:
    """Whether the relay said 250."""
    try:
        with smtplib.SMTP("127.0.0.1", bank.ports.outbound, timeout=60) as smtp:
            smtp.sendmail("otp@bank.example", recipients, MAIL)
    except (smtplib.SMTPException, OSError):
        return False
    return True


def got(bank: Bank) -> Counter[str]:
    """How many mails each recipient has."""
    return Counter(path.name.partition("-")[2].removesuffix(".eml") for path in (bank.home / "outgoing").glob("*.eml"))


def never_clear(bank: Bank) -> None:
    assert not any(b"481516" in path.read_bytes() for path in (bank.home / "outgoing").glob("*.eml"))


@pytest.mark.parametrize(
    ("point", "after_kill", "after_retry"),
    [
        ("before-dot", [0, 0], [1, 1]),
        ("after-250", [1, 0], [2, 1]),  # the one place where SMTP allows no better
        ("before-commit", [1, 0], [2, 1]),
        ("after-commit", [1, 0], [1, 1]),
    ],
)
def test_several_groups(bank: Bank, point: str, after_kill: list[int], after_retry: list[int]) -> None:
    with sink(bank):
        with relay(bank, point):
            assert not submit(bank, TWO)
        assert [got(bank)[one] for one in TWO] == after_kill
        with relay(bank, "nowhere"):
            assert submit(bank, TWO)
        assert [got(bank)[one] for one in TWO] == after_retry
    never_clear(bank)


def test_after_the_dot_before_the_reply(bank: Bank) -> None:
    with sink(bank) as server:
        with relay(bank, "nowhere") as process:
            server.victim = process.pid
            assert not submit(bank, TWO)
        assert [got(bank)[one] for one in TWO] == [1, 0]
        with relay(bank, "nowhere"):
            assert submit(bank, TWO)
        assert [got(bank)[one] for one in TWO] == [2, 1]
    never_clear(bank)


@pytest.mark.parametrize(("point", "after_kill", "after_retry"), [("before-dot", 0, 1), ("after-250", 1, 2)])
def test_one_recipient_needs_no_journal(bank: Bank, point: str, after_kill: int, after_retry: int) -> None:
    with sink(bank):
        with relay(bank, point):
            assert not submit(bank, TWO[:1])
        assert got(bank)[TWO[0]] == after_kill
        with relay(bank, "nowhere"):
            assert submit(bank, TWO[:1])
        assert got(bank)[TWO[0]] == after_retry
    never_clear(bank)


def test_a_dead_next_hop_defers_and_the_retry_goes(bank: Bank) -> None:
    with relay(bank, "nowhere"):
        assert not submit(bank, TWO)
        with sink(bank):
            assert submit(bank, TWO)
    assert [got(bank)[one] for one in TWO] == [1, 1]
    never_clear(bank)
