"""Several groups through a real Postfix, one of which is deferred: the retry sends the rest, and nobody gets a copy.

The next hop is a sink of the test's, so that it can defer. Truth: RFC 5321 4.5.4.1 (a client comes again after 4xx with
the same mail); what the sink has taken, counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from gateway.demo import openssl
from tests.support.milter import FEATURES, Site, milter_site
from tests.support.smtp import Hop, until

MAIL = (
    b"From: otp@bank.example\r\nTo: anna@customer.example\r\nSubject: Your code\r\n%s"
    b"\r\nYour code is 481516.\r\n"
)


@dataclass
class Hops:
    """The next hop: defers whom it is told to, as often as it is told."""

    deferred: dict[str, int] = field(default_factory=dict)

    def rcpt(self, line: bytes) -> str | None:
        address = line.partition(b"<")[2].partition(b">")[0].decode()
        if self.deferred.get(address, 0):
            self.deferred[address] -= 1
            return "450 4.2.0 later"
        return None


@pytest.fixture(scope="module")
def behind() -> Hops:
    return Hops()


@pytest.fixture(scope="module")
def next_hop(behind: Hops) -> Iterator[Hop]:
    with Hop(FEATURES, RCPT=behind.rcpt) as hop:
        yield hop


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, next_hop: Hop) -> Iterator[Site]:
    def change(text: str) -> str:
        lines = [f"  outbound: {{host: 127.0.0.1, port: {next_hop.port}, tls: none}}"
                 if line.startswith("  outbound: {host:") else line for line in text.splitlines()]
        return "\n".join(lines) + "\n"

    with milter_site(tmp_path_factory.mktemp("retry"), change=change) as site:
        yield site


def readers(site: Site, mails: list[bytes]) -> list[str]:
    """Who can open them."""
    found = []
    for one in mails:
        for name, person in site.bank.people.items():
            try:
                openssl.decrypt(one, person)
            except Exception:  # noqa: BLE001 - openssl says no
                continue
            found.append(name)
    return sorted(found)


@pytest.mark.parametrize("fields", [
    b"Message-ID: <whole@bank.example>\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\n",
    b"Date: Tue, 24 Nov 2026 12:00:01 +0000\r\n",  # Postfix adds a Message-Id, another one at the retry
    b"Message-ID: <no-date@bank.example>\r\n",
    b"X-Neither: 1\r\n",
])
def test_the_retry_sends_the_rest(site: Site, behind: Hops, next_hop: Hop, fields: bytes) -> None:
    before = len(next_hop.mails)
    behind.deferred["ben@customer.example"] = 1
    code, text = site.submit(MAIL % fields, "anna@customer.example", "ben@customer.example")
    assert code == 451, text
    assert readers(site, next_hop.mails[before:]) == ["anna"]
    code, text = site.submit(MAIL % fields, "anna@customer.example", "ben@customer.example")
    assert code == 250, text
    assert readers(site, next_hop.mails[before:]) == ["anna", "ben"]
    assert b"Mail queue is empty" in site.postfix.queue()
    assert not site.internet.mails, "nothing leaves by Postfix itself"


def test_sendmail_is_tried_again_by_postfix(site: Site, behind: Hops, next_hop: Hop) -> None:
    """pickup keeps the mail; each attempt has a queue id, a Message-Id and a Date of its own."""
    before = len(next_hop.mails)
    behind.deferred["ben@customer.example"] = 1
    site.postfix.sendmail(MAIL % b"X-Mark: sendmail\r\n", "otp@bank.example", "anna@customer.example",
                          "ben@customer.example")
    until(lambda: len(next_hop.mails) > before, 30)
    until(lambda: "milter-reject: END-OF-MESSAGE" in site.maillog, 30)
    site.postfix.sendmail(MAIL % b"X-Mark: wakes pickup\r\n", "otp@bank.example", "anna@customer.example")
    until(lambda: readers(site, next_hop.mails[before:]) == ["anna", "ben"], 90)


def test_the_same_words_again_are_another_mail(site: Site, next_hop: Hop) -> None:
    """Without a Message-ID of their author's two equal mails are two, once the first has its 250."""
    before = len(next_hop.mails)
    for _ in range(2):
        code, text = site.submit(MAIL % b"X-Twice: 1\r\n", "anna@customer.example", "ben@customer.example")
        assert code == 250, text
    assert readers(site, next_hop.mails[before:]) == ["anna", "anna", "ben", "ben"]


def test_a_mail_whose_client_missed_the_answer_is_not_sent_twice(site: Site, next_hop: Hop) -> None:
    """With a Message-ID the second is the first again."""
    before = len(next_hop.mails)
    for _ in range(2):
        code, text = site.submit(MAIL % b"Message-ID: <again@bank.example>\r\nDate: x\r\nX-Last: 1\r\n",
                                 "anna@customer.example", "ben@customer.example")
        assert code == 250, text
    assert readers(site, next_hop.mails[before:]) == ["anna", "ben"]


def test_everybody_deferred_is_451_and_nothing_is_sent(site: Site, behind: Hops, next_hop: Hop) -> None:
    before = len(next_hop.mails)
    behind.deferred.update({"anna@customer.example": 1, "ben@customer.example": 1})
    code, text = site.submit(MAIL % b"X-All: 1\r\n", "anna@customer.example", "ben@customer.example")
    assert (code, text[:6]) == (451, "4.2.0 "), text
    assert len(next_hop.mails) == before
