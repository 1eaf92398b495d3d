# ruff: noqa: F401, F811 - fixtures come by import
"""kill -9 at the named points of mails that are held, reported or answered for each recipient, then the retry.

What is held is in the store at least once and nowhere else; who was refused is told of it at least once; over LMTP the
queue in front tries every recipient again that it has no answer for. The same real relay, sink and client as in
test_kill_points; which outcomes are allowed is written down for each point.
"""

import smtplib

import pytest

from gateway.app import open_store
from gateway.demo.bank import Bank
from gateway.settings import load
from tests.chaos.test_kill_points import bank, got, never_clear, relay, sink

ANNA, BEN, NOBODY = "anna@customer.example", "ben@customer.example", "x@nowhere.example"
MAIL = (b"From: %s\r\nTo: undisclosed-recipients:;\r\nSubject: Statement\r\nMessage-ID: <1@bank.example>\r\n"
        b"\r\nYour code is 481516\r\n")


def changed(bank: Bank, old: str, new: str) -> None:
    text = bank.config.read_text("utf-8")
    assert old in text
    bank.config.write_text(text.replace(old, new), "utf-8")


def submit(bank: Bank, recipients: list[str], sender: str = "statements@bank.example", peer: str = "127.0.0.2") -> bool:
    """Whether the relay said 250 in the end."""
    try:
        with smtplib.SMTP("127.0.0.1", bank.ports.outbound, timeout=60, source_address=(peer, 0)) as smtp:
            return smtp.sendmail(sender, recipients, MAIL % sender.encode()) == {}
    except (smtplib.SMTPException, OSError):
        return False


def held(bank: Bank) -> int:
    """How many mails lie in the hold store; none of them in clear."""
    settings = load(bank.config)
    store = open_store(settings)
    try:
        count = len(store.hold.list())
    finally:
        store.close()
    for path in settings.database.parent.rglob("*"):
        if path.is_file() and settings.database.name in str(path):
            assert b"481516" not in path.read_bytes()
    return count


# --- held -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "after_kill", "after_retry"),
    [  # (Anna's mails, mails in the hold store)
        ("before-dot", (0, 0), (1, 1)),
        ("after-250", (1, 0), (2, 1)),  # the one place where SMTP allows no better
        ("before-commit", (1, 0), (2, 1)),
        ("after-commit", (1, 0), (1, 1)),
        ("before-commit:2", (1, 1), (1, 2)),  # the hold store has it, the journal does not: held twice, sent once
        ("after-commit:2", (1, 1), (1, 1)),
    ],
)
def test_one_gets_it_and_one_is_held(bank: Bank, point: str, after_kill: tuple[int, int],
                                     after_retry: tuple[int, int]) -> None:
    with sink(bank):
        with relay(bank, point):
            assert not submit(bank, [ANNA, NOBODY])
        assert (got(bank)[ANNA], held(bank)) == after_kill
        with relay(bank, "nowhere"):
            assert submit(bank, [ANNA, NOBODY])
        assert (got(bank)[ANNA], held(bank)) == after_retry
    assert got(bank)[NOBODY] == 0
    never_clear(bank)


# --- reported -------------------------------------------------------------------------------------------------------


def reports(bank: Bank) -> list[bytes]:
    found = [path.read_bytes() for path in (bank.home / "incoming").glob("*.eml")]
    assert all(b"Content-Type: multipart/report" in one and NOBODY.encode() in one for one in found)
    return found


@pytest.mark.parametrize(
    ("point", "after_kill", "after_retry"),
    [  # (Anna's mails, reports of the one who was refused)
        ("before-dot", (0, 0), (1, 1)),
        ("after-250", (1, 0), (2, 1)),
    ],
)
def test_one_gets_it_and_one_is_refused(bank: Bank, point: str, after_kill: tuple[int, int],
                                        after_retry: tuple[int, int]) -> None:
    changed(bank, "\nhttp:", "\npartial: deliver_rest\nhttp:")
    with sink(bank):
        with relay(bank, point):
            assert not submit(bank, [ANNA, NOBODY], "otp@bank.example", "127.0.0.1")
        assert (got(bank)[ANNA], len(reports(bank))) == after_kill
        with relay(bank, "nowhere"):
            assert submit(bank, [ANNA, NOBODY], "otp@bank.example", "127.0.0.1")
        assert (got(bank)[ANNA], len(reports(bank))) == after_retry
    assert got(bank)[NOBODY] == 0
    never_clear(bank)
    assert not any(b"481516" in one for one in reports(bank))


# --- LMTP -----------------------------------------------------------------------------------------------------------


class Queue:
    """What a mail server keeps: who has no answer yet."""

    def __init__(self, bank: Bank, recipients: list[str]) -> None:
        self.bank = bank
        self.waiting = recipients

    def run(self) -> None:
        """One attempt for all that wait; 250 takes one off."""
        with smtplib.LMTP("127.0.0.1", self.bank.ports.outbound, timeout=60) as lmtp:
            lmtp.ehlo("queue.bank.example")
            lmtp.mail("otp@bank.example")
            for one in self.waiting:
                assert lmtp.rcpt(one)[0] == 250
            assert lmtp.docmd("DATA")[0] == 354
            lmtp.send(MAIL % b"otp@bank.example" + b".\r\n")
            for one in list(self.waiting):
                if lmtp.getreply()[0] == 250:
                    self.waiting.remove(one)


@pytest.mark.parametrize(
    ("point", "after_kill", "after_retry"),
    [  # (Anna's mails, Ben's)
        ("before-dot", [0, 0], [1, 1]),
        ("after-250", [1, 0], [2, 1]),
        ("before-commit", [1, 0], [2, 1]),
        ("after-commit", [1, 0], [1, 1]),
        ("before-dot:2", [1, 0], [1, 1]),
        ("after-250:2", [1, 1], [1, 2]),
        ("after-commit:2", [1, 1], [1, 1]),
    ],
)
def test_answers_for_each(bank: Bank, point: str, after_kill: list[int], after_retry: list[int]) -> None:
    changed(bank, "name: outbound, role: outbound,", "name: outbound, role: outbound, protocol: lmtp,")
    queue = Queue(bank, [ANNA, BEN])
    with sink(bank):
        with relay(bank, point), pytest.raises((smtplib.SMTPException, OSError)):
            queue.run()
        assert [got(bank)[one] for one in (ANNA, BEN)] == after_kill
        with relay(bank, "nowhere"):
            queue.run()
        assert queue.waiting == []
        assert [got(bank)[one] for one in (ANNA, BEN)] == after_retry
    never_clear(bank)
