"""Mail that comes back, over the whole inbound way: the rules of services.bounces, and each attack on them."""

import time
from datetime import timedelta

import pytest
from sqlalchemy import text

from gateway.mime import dsn
from gateway.model.outcome import Outcome, Settled
from gateway.ports.services.codes import CodeState
from gateway.services.statements.inbound import StatementMail
from tests.support.bank import Context
from tests.support.returned import MAILBOX, NO_LIMITS, STATEMENTS, Reply, bounce, row

CODE, OTHER = "ab" * 12, "cd" * 12


@pytest.fixture
def code(bank: Context) -> Reply:
    """A code of Anna's that was mailed once; and one of Ben's."""
    now = bank.gateway.clock.now()
    for one, customer in ((CODE, "10001"), (OTHER, "10002")):
        issued = row(one, customer, now, now + timedelta(minutes=5))
        assert bank.gateway.store.codes.issue(issued, NO_LIMITS) is None
    return Reply(bank.gateway._loaded.settings, f"{CODE}-1")


def came_back(bank: Context, octets: bytes, to: str, sender: str = "") -> Outcome:
    return bank.gateway.handle(bank.receive(octets, to, sender=sender))


def note(outcome: Outcome) -> str:
    assert [one.settled for one in outcome.recipients] == [Settled.SERVED]
    return (outcome.recipients[0].reply or "").removeprefix("codes: ")


def bounces(bank: Context) -> list[tuple[str, str, str]]:
    with bank.gateway.store.database.read() as connection:
        return [tuple(one) for one in connection.execute(text(
            "SELECT code_id, bounced_status, diagnostic FROM code_mail WHERE bounced_at IS NOT NULL"))]


def test_a_bounce_is_noted_with_its_code(bank: Context, code: Reply) -> None:
    outcome = came_back(bank, bounce(), code.return_path)
    assert note(outcome) == f"bounce 5.1.1 of {CODE}-1"
    assert bounces(bank) == [(CODE, "5.1.1", "550 5.1.1 no such user")]
    found = bank.gateway.store.codes.get(CODE)
    assert found is not None
    assert found.state is CodeState.LIVE  # another address of hers may have it
    (record,) = bank.gateway.store.evidence.find(outcome.incident)
    assert (record.settled, record.end, record.rule) == (Settled.SERVED, "hand_to", "policy:codes-back")


def test_it_counts_once(bank: Context, code: Reply) -> None:
    came_back(bank, bounce(), code.return_path)
    again = note(came_back(bank, bounce("5.2.2"), code.return_path))
    assert again == f"bounce 5.2.2 of {CODE}-1, already known or no longer stored"
    assert bounces(bank) == [(CODE, "5.1.1", "550 5.1.1 no such user")]


def test_a_delay_is_told_and_the_bounce_after_it_too(bank: Context, code: Reply) -> None:
    assert note(came_back(bank, bounce("4.4.1", "delayed"), code.return_path)) == f"delay 4.4.1 of {CODE}-1"
    assert note(came_back(bank, bounce("5.4.7"), code.return_path)) == f"bounce 5.4.7 of {CODE}-1"
    again = note(came_back(bank, bounce("4.4.1", "delayed"), code.return_path))
    assert again.endswith("already known or no longer stored")


def test_a_server_that_gave_up_has_given_up_whatever_the_class(bank: Context, code: Reply) -> None:
    """Postfix after its maximal_queue_lifetime: action failed, status 4.4.1."""
    assert note(came_back(bank, bounce("4.4.1"), code.return_path)) == f"bounce 4.4.1 of {CODE}-1"


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded"])
def test_good_news_is_no_bounce(bank: Context, code: Reply, action: str) -> None:
    found = note(came_back(bank, bounce("2.0.0", action), code.return_path))
    assert found.startswith("a delivery report without a failure or delay")
    assert bounces(bank) == []


@pytest.mark.parametrize("octets", [bounce("2.1.5", "failed"), bounce("2.0.0", "delayed")])
def test_a_report_that_contradicts_itself_is_no_bounce(bank: Context, code: Reply, octets: bytes) -> None:
    note(came_back(bank, octets, code.return_path))
    assert bounces(bank) == []


def test_the_mailbox_itself_bounces_nothing(bank: Context, code: Reply) -> None:
    """Anybody can send a report there, about whatever code."""
    assert note(came_back(bank, bounce(), MAILBOX)) == "a bounce that belongs to no mail of this service"
    assert bounces(bank) == []


def test_another_ones_return_path_cannot_be_made(bank: Context, code: Reply) -> None:
    """Whoever had a mail knows its return path; the MAC in it fits no other id."""
    other = code.return_path.replace(CODE, OTHER)
    assert note(came_back(bank, bounce(), other)) == "a bounce that belongs to no mail of this service"
    statements = code.return_path.replace("codes+", "bounces+")
    (found,) = came_back(bank, bounce(), statements).recipients
    assert found.reply == "statements: a bounce that belongs to no mail of this service"
    assert bounces(bank) == []


def test_a_report_with_a_sender_is_no_bounce(bank: Context, code: Reply) -> None:
    """RFC 5321 4.5.5: notifications have the null reverse-path. It is a machine's mail, and answered by nobody."""
    assert note(came_back(bank, bounce(), code.return_path, "mailer-daemon@customer.example")) == "an automatic reply"
    assert bounces(bank) == []
    assert bank.inbound.taken == bank.outbound.taken == []


@pytest.mark.parametrize("octets", [
    b"From: anna@customer.example\r\nSubject: Out of office\r\nAuto-Submitted: auto-replied\r\n\r\nBack on Monday\r\n",
    b"From: MAILER-DAEMON@customer.example\r\nSubject: failure notice\r\n\r\nHi. This is the qmail-send program.\r\n",
    b"\r\n"])
def test_words_with_the_null_path_are_no_bounce(bank: Context, code: Reply, octets: bytes) -> None:
    assert note(came_back(bank, octets, code.return_path)) == f"not a delivery report ({CODE}-1)"
    assert bounces(bank) == []
    assert bank.inbound.taken == bank.outbound.taken == []  # and nothing is answered to it


def test_a_broken_report_is_taken_and_not_counted(bank: Context, code: Reply) -> None:
    octets = bounce().replace(b"Status: 5.1.1", b"Status: five")
    assert note(came_back(bank, octets, code.return_path)).startswith("a delivery report that cannot be read")
    assert bounces(bank) == []


def test_a_huge_report_costs_little_and_is_not_counted(bank: Context, code: Reply) -> None:
    padding = b"Diagnostic-Code: smtp; " + b" ".join([b"x" * 70] * 200_000).replace(b" ", b"\r\n ")
    octets = bounce().replace(b"Status: 5.1.1", padding + b"\r\nStatus: 5.1.1")
    assert len(octets) > 100 * dsn.STATUS_OCTETS_MAX
    began = time.perf_counter()
    assert note(came_back(bank, octets, code.return_path)).startswith("a delivery report that cannot be read")
    assert time.perf_counter() - began < 5
    assert bounces(bank) == []


def test_a_bounce_of_an_alarm_wakes_somebody(bank: Context, code: Reply, capfd: pytest.CaptureFixture[str]) -> None:
    alarm = Reply(code.settings, f"alarm-{CODE}")
    assert note(came_back(bank, bounce(), alarm.return_path)) == f"bounce 5.1.1 of alarm-{CODE}"
    assert "code.alarm_bounced" in capfd.readouterr().out


def test_each_recipient_is_served_by_itself(bank: Context, code: Reply) -> None:
    """One report to two return paths, one of which nobody wrote."""
    mail = bank.receive(bounce(), code.return_path, code.return_path.replace(CODE, OTHER), sender="")
    outcome = bank.gateway.handle(mail)
    assert [one.settled for one in outcome.recipients] == [Settled.SERVED, Settled.SERVED]
    assert [one[0] for one in bounces(bank)] == [CODE]


def test_what_a_person_sends_to_return_paths_of_statements_is_refused(bank: Context, code: Reply) -> None:
    assert isinstance(bank.gateway.context.services["statements"], StatementMail)
    outcome = came_back(bank, code.plain(), STATEMENTS, "anna@customer.example")
    assert [one.settled for one in outcome.recipients] == [Settled.REFUSED]


def test_mail_servers_behind_us_are_not_asked_about_return_paths(bank: Context, code: Reply) -> None:
    bank.inbound.codes = dict.fromkeys([code.return_path, MAILBOX, "codes@elsewhere.example"], 550)
    assert bank.gateway.probe("", code.return_path).code == 250
    assert bank.gateway.probe("", MAILBOX.upper()).code == 250
    assert bank.gateway.probe("", "codes@elsewhere.example").code == 550
