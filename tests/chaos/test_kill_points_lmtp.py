"""kill -9 at the named points of a mail that came by LMTP, then attempts for all of its recipients, or for one alone.

A queue in front that lost its connection knows of some recipients and not of others. Never lost, never in clear,
doubled only between the final dot and the recorded reply, and that is counted. Truth: copies in a real sink behind a
real relay process; RFC 2033 4.2 and the promise of `pipeline.run`, rule 6.
"""

from pathlib import Path

import pytest

from gateway.app import open_store
from gateway.demo.bank import Bank
from gateway.settings import load
from tests.chaos.test_kill_points import MAIL, TWO, got, never_clear, relay, sink
from tests.support.process import new_bank
from tests.support.smtp import Talk


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    def change(text: str) -> str:
        assert text.count("role: outbound, host") == 1
        lmtp = "role: outbound, protocol: lmtp, xforward_peers: [127.0.0.0/8], host"
        return text.replace("role: outbound, host", lmtp)

    return new_bank(tmp_path / "home", change=change)


def attempt(bank: Bank, *to: str) -> list[str]:
    """One attempt of the same queue file: a code for each recipient, '' where the connection broke."""
    with Talk(("127.0.0.1", bank.ports.outbound)) as talk:
        talk.sock.settimeout(60)
        assert talk.reply().startswith("220")
        for command in ("LHLO mx.bank.example", "XFORWARD ADDR=127.0.0.1 IDENT=4XyZ", "MAIL FROM:<otp@bank.example>",
                        *(f"RCPT TO:<{one}>" for one in to)):
            assert talk.say(command.encode()).startswith("250"), command
        assert talk.say(b"DATA").startswith("354")
        talk.send(MAIL + b".\r\n")
        return [talk.reply()[:3] for _ in to]


@pytest.mark.parametrize("again", [TWO, TWO[1:]], ids=["both", "second"])
@pytest.mark.parametrize(("point", "after_kill", "first_again"), [
    ("before-dot", [0, 0], 1),
    ("after-250", [1, 0], 2),  # the one place where SMTP allows no better
    ("after-commit", [1, 0], 1),
])
def test_several_groups(bank: Bank, point: str, after_kill: list[int], first_again: int, again: list[str]) -> None:
    with sink(bank):
        with relay(bank, point):
            assert attempt(bank, *TWO) == ["", ""]
        assert [got(bank)[one] for one in TWO] == after_kill
        with relay(bank, "nowhere"):
            assert attempt(bank, *again) == ["250"] * len(again)
            for one in TWO:
                assert attempt(bank, one) == ["250"], "whoever was not asked for yet, and whoever was"
    assert [got(bank)[one] for one in TWO] == [first_again, 1]
    assert resent(bank) == (0 if point == "after-commit" else 1), "the row of whom it was about to send to, or had"
    never_clear(bank)


def resent(bank: Bank) -> int:
    """How many sends the journal counted as perhaps not the first."""
    store = open_store(load(bank.config))
    try:
        (key,) = {record.message_key for record in store.evidence.find("1@bank.example")}
        return sum(row.resent for row in store.journal.rows(key))
    finally:
        store.close()
