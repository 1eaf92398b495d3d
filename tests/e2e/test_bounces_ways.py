"""What comes back by the other ways in: Postfix's milter, and LMTP behind its queue, with the pieces of conf/postfix.

Starts: a Postfix for each way, the gateway as it stands there, two sinks. Truth: Postfix's own log of each recipient,
and the gateway's database.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.app import open_store
from gateway.clock import SystemClock
from gateway.demo.bank import Bank
from gateway.settings import load
from tests.e2e.test_lmtp_after_queue import settings
from tests.support.around import bank_around
from tests.support.milter import milter_site
from tests.support.process import submit
from tests.support.returned import MAILBOX, NO_LIMITS, Reply, bounce, row
from tests.support.smtp import Hop, until

KNOWN = ("postconf -e 'recipient_delimiter = +' '{maps} = inline:{{ support@bank.example=ok, security@bank.example=ok, "
         "codes@bank.example=ok }}'")
CODE = "ab" * 12


@dataclass
class Way:
    """One of them. `port`: Postfix's front door."""

    bank: Bank
    port: int
    maillog: Path
    mailboxes: Hop
    internet: Hop

    def receive(self, octets: bytes, *to: str, sender: str = "") -> tuple[int, str]:
        """From the world."""
        return submit(self.port, octets, to, sender=sender)

    def sql(self, query: str) -> list[tuple[object, ...]]:
        """Out of the gateway's database."""
        with closing(sqlite3.connect(self.bank.home / "sealgate.db")) as database:
            return database.execute(query).fetchall()

    def ended(self, mark: str) -> bool:
        """Whether Postfix has no more to do with the mail to this recipient."""
        log = self.maillog.read_text()
        fates = rf"to=<{re.escape(mark)}>.*status=sent|discard: END-OF-MESSAGE.*to=<{re.escape(mark)}>"
        return bool(re.search(fates, log))


@pytest.fixture(scope="module", params=["milter", "LMTP"])
def way(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    root = tmp_path_factory.mktemp("way")
    if request.param == "milter":
        known = KNOWN.format(maps="relay_recipient_maps")
        with milter_site(root, after=lambda _: [known]) as site:
            yield Way(site.bank, site.doors.smtp, site.postfix.maillog, site.mailboxes, site.internet)
    else:
        known = KNOWN.format(maps="local_recipient_maps")
        with bank_around(root, "after-queue", settings, after=[known]) as around:
            yield Way(around.relay.bank, around.postfix.doors.smtp, around.postfix.maillog, around.mailboxes,
                      around.internet)


@pytest.fixture(scope="module")
def about(way: Way) -> Reply:
    """A code of Anna's."""
    store = open_store(load(way.bank.config))
    try:
        now = SystemClock().now()
        assert store.codes.issue(row(CODE, "10001", now, now + timedelta(minutes=5)), NO_LIMITS) is None
    finally:
        store.close()
    return Reply(load(way.bank.config), f"{CODE}-1")


def test_a_bounce(way: Way, about: Reply) -> None:
    code, text = way.receive(bounce(), about.return_path)
    assert code == 250, text
    until(lambda: way.sql("SELECT bounced_status FROM code_mail") == [("5.1.1",)], 30)
    until(lambda: way.ended(about.return_path), 30)
    assert way.mailboxes.mails == way.internet.mails == []


def test_an_answer_for_the_service_and_a_person(way: Way, about: Reply) -> None:
    """Each gets it: the person a mail as any other, the service alone what it acts on."""
    octets = about.signed(way.bank.people["anna"])
    code, text = way.receive(octets, MAILBOX, "support@bank.example", sender="anna@customer.example")
    assert code == 250, text
    until(lambda: len(way.mailboxes.mails) == 2, 30)
    assert way.sql("SELECT customer, by FROM blocked_customer") == [("10001", "customer")]
    person, alarm = sorted(way.mailboxes.mails, key=lambda mail: b"To: security@bank.example" in mail)
    assert b"That was not me." in person
    assert b"Sealgate-Verdict: trusted" in person
    assert b"Auto-Submitted: auto-generated" in alarm
    assert way.internet.mails == []
