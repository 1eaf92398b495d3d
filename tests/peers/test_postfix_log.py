"""What a real Postfix writes of what it does with mail, read as it writes it.

Truth: the queue id of its own answer to us, and what the server behind it answers.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.adapters.next_hop.postfix_log import PostfixLog
from gateway.clock import SystemClock
from gateway.ports.services.statements.rows import Delivery
from tests.support.postfix import private_postfix
from tests.support.smtp import Hop, Talk, until

MAIL = b"From: s@bank.example\r\nTo: a@customer.example\r\nSubject: s\r\n\r\nhi\r\n"


def answered(line: bytes) -> str | None:
    """What the server behind Postfix says to a recipient."""
    if b"later@" in line:
        return "451 4.7.1 come back"
    return "550 5.1.1 no such user" if b"gone" in line else None


@pytest.fixture(scope="module")
def postfix(tmp_path_factory) -> Iterator[tuple[int, Path]]:
    """Its port and its log."""
    root = tmp_path_factory.mktemp("postfix-log")
    with Hop(RCPT=answered, dot="250 2.0.0 Ok: queued as 5C3F81A2B4") as sink:
        main_cf = (f"myhostname = mx.bank.example\nmydestination =\ndefault_transport = smtp:[127.0.0.1]:{sink.port}\n"
                   "mynetworks = 127.0.0.0/8\nsmtpd_recipient_restrictions = permit_mynetworks, reject\n")
        with private_postfix(root, main_cf) as port:
            yield port, root / "maillog"


@pytest.fixture
def log(postfix, tmp_path) -> PostfixLog:
    return PostfixLog(postfix[1], tmp_path / "place", SystemClock())


def handed_in(postfix, *to: str) -> str:
    """The queue id that Postfix answers with."""
    with Talk(("127.0.0.1", postfix[0])) as talk:
        talk.greet()
        return talk.mail(MAIL, sender=b"s@bank.example", to=tuple(one.encode() for one in to)).rpartition(" ")[2]


def told(log: PostfixLog, queue_id: str) -> Delivery:
    found: list[Delivery] = []

    def seen() -> bool:
        found[:] = [one for part in log.read() for one in part.deliveries if one.queue_id == queue_id]
        return bool(found)

    until(seen, 30)
    return found[-1]


@pytest.mark.parametrize(("to", "state", "answer"), [
    ("later@customer.example", "deferred", "451 4.7.1 come back"),
    ("gone@customer.example", "bounced", "550 5.1.1 no such user"),
    ('"a>, relay=x, delay=1, dsn=2.0.0, status=sent (250 ok) gone"@customer.example', "bounced", "550"),
    ('"gone@ b"@customer.example', "bounced", "550")])
def test_what_the_server_behind_it_answers(postfix, log, to: str, state: str, answer: str) -> None:
    found = told(log, handed_in(postfix, to))
    assert found.state == state
    assert answer in found.answer
    assert found.handed_on_as == ""


def test_what_goes_to_a_server_on_the_same_machine_is_handed_on_not_delivered(postfix, log) -> None:
    """The sink is on the loopback, as a filter would be."""
    found = told(log, handed_in(postfix, "anna@customer.example"))
    assert (found.state, found.handed_on_as) == ("delivered", "5C3F81A2B4")


def test_each_recipient_of_a_mail_has_a_line(postfix, log) -> None:
    queue_id = handed_in(postfix, "gone@customer.example", "later@customer.example")
    seen: set[str] = set()

    def both() -> bool:
        seen.update(one.state for part in log.read() for one in part.deliveries if one.queue_id == queue_id)
        return seen == {"bounced", "deferred"}

    until(both, 30)
