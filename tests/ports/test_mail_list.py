"""Mails as a list, over the database: the latest, by conditions, and new ones as they are stored."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.adapters.db import mail_list as module
from gateway.adapters.db.evidence import DbEvidence
from gateway.adapters.db.mail_list import DbMailList
from gateway.model.mail_query import MailQuery
from gateway.model.outcome import Settled
from tests.ports.test_evidence import RECORD
from tests.support.pki import NOW


def named(name: str, minutes: int = 0, **changes):
    return replace(RECORD, incident=name, at=NOW + timedelta(minutes=minutes), **changes)


MAILS = (
    named("one", 1),
    named("two", 2, recipient="ben@BÜRO.example", settled=Settled.REFUSED, reasons=("certificate.expired",)),
    named("three", 3, client=None, direction="inbound", sender="", rule="inbound.yaml:open"),
    named("four", 3, settled=Settled.HELD, reasons=("certificate.absent", "policy.hold")),
)


@pytest.fixture
def mails(database, monkeypatch):
    monkeypatch.setattr(module, "PAGE", 2)
    DbEvidence(database).add(MAILS)
    return DbMailList(database)


@pytest.mark.parametrize(("query", "found"), [
    (MailQuery(), ["one", "two", "three", "four"]),
    (MailQuery(address="ben@büro.example"), ["two"]),
    (MailQuery(address="BEN@xn--bro-hoa.example"), ["two"]),
    (MailQuery(address="ben@xn--bro-hoa.example"), ["two"]),
    (MailQuery(address="@customer.example"), ["one", "three", "four"]),
    (MailQuery(address="otp@bank.example", outcome="refused"), ["two"]),
    (MailQuery(client="online-banking"), ["one", "two", "four"]),
    (MailQuery(direction="inbound"), ["three"]),
    (MailQuery(reason="certificate"), ["two", "four"]),
    (MailQuery(reason="certificate.absent"), ["four"]),
    (MailQuery(reason="cert"), []),
    (MailQuery(rule="inbound.yaml:open"), ["three"]),
    (MailQuery(since=NOW + timedelta(minutes=2)), ["two", "three", "four"]),
    (MailQuery(until=NOW + timedelta(minutes=2)), ["one"]),
])
def test_each_condition(mails, query, found) -> None:
    assert [one.incident for one in mails.latest(query, 10)] == found


def test_the_latest_and_no_more(mails) -> None:
    assert mails.latest(MailQuery(), 2) == MAILS[2:]
    assert mails.latest(MailQuery(client="nobody"), 2) == ()


def test_new_ones_once_each(database, mails) -> None:
    following = mails.follow(MailQuery(client="online-banking"))
    assert list(following.new()) == []
    DbEvidence(database).add((named("five"), named("six", client="other"), named("seven")))
    assert [one.incident for one in following.new()] == ["five", "seven"]
    DbEvidence(database).add((named("eight"),))
    assert [one.incident for one in following.new()] == ["eight"]
    assert list(following.new()) == []


def test_in_an_empty_database(database) -> None:
    mails = DbMailList(database)
    assert mails.latest(MailQuery(), 5) == ()
    following = mails.follow(MailQuery())
    DbEvidence(database).add(MAILS)
    assert len(list(following.new())) == 4


def test_outcomes_of_a_time(mails) -> None:
    assert mails.outcomes(NOW + timedelta(minutes=2)) == {Settled.TAKEN: 1, Settled.HELD: 1, Settled.REFUSED: 1}
    assert mails.outcomes(NOW + timedelta(days=1)) == {}


def test_a_subject_that_quotes_a_record_counts_as_nothing(database) -> None:
    """Text of strangers is JSON inside a string: its quotation marks are escaped."""
    DbEvidence(database).add((replace(RECORD, facts={"subject": '"settled": "held", "settled":"later" \udce9'}),))
    assert DbMailList(database).outcomes(NOW) == {Settled.TAKEN: 1}
