"""`mode: observe` in a real Postfix: a mail through the milter comes out as it went in, and is recorded.

The same through LMTP: test_deploy_page.py. Starts one `sealgate milter` and a private Postfix. Truth: the octets at the
sinks behind Postfix.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from gateway.app import open_store
from gateway.demo.bank import Bank
from gateway.model.record import EvidenceRecord
from gateway.settings import load
from tests.support.milter import Site, milter_site

CODE = (b"X-Odd:   kept \tas it is\r\nFrom: otp@bank.example\r\nTo: %s\r\nSubject: =?utf-8?q?Ihr_Code?=\r\n"
        b"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\nMessage-ID: <%s@bank.example>\r\n"
        b"Sealgate-Verdict: trusted\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 8bit\r\n\r\n..\r\nF\xc3\xbcr Sie: 481516\r\n \r\n")


def observing(text: str) -> str:
    return text.replace("version: 1\n", "version: 1\nmode: observe\n", 1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with milter_site(tmp_path_factory.mktemp("observe"), change=observing) as site:
        yield site


def records(bank: Bank) -> list[EvidenceRecord]:
    store = open_store(load(bank.config))
    try:
        return list(store.evidence.since(datetime.now(UTC) - timedelta(hours=1)))
    finally:
        store.close()


def test_what_would_be_sealed_leaves_the_milter_as_it_came(site: Site) -> None:
    mail = CODE % (b"anna@customer.example", b"sealed")
    assert site.submit(mail, "anna@customer.example")[0] == 250
    left = site.arrived(site.internet, b"<sealed@bank.example>")
    assert left.endswith(mail)
    assert left[: -len(mail)].startswith(b"Received: ")
    assert "milter-discard" not in site.maillog


def test_what_would_be_refused_and_what_comes_in_pass_too(site: Site) -> None:
    mail = CODE % (b"ben@nowhere.example", b"refused")
    assert site.submit(mail, "ben@nowhere.example")[0] == 250
    assert site.arrived(site.internet, b"<refused@bank.example>").endswith(mail)
    mail = CODE % (b"support@bank.example", b"inbound")
    assert site.receive(mail, "support@bank.example")[0] == 250
    assert site.arrived(site.mailboxes, b"<inbound@bank.example>").endswith(mail)


def test_inside_and_outside_at_once_each_get_it_as_it_came(site: Site) -> None:
    mail = CODE % (b"anna@customer.example, support@bank.example", b"both")
    assert site.submit(mail, "anna@customer.example", "support@bank.example")[0] == 250
    for hop in (site.internet, site.mailboxes):
        assert site.arrived(hop, b"<both@bank.example>").endswith(mail)


def test_all_of_it_is_recorded(site: Site) -> None:
    would = {(one.message_id.strip("<>").partition("@")[0], one.recipient): one.facts["would"]["settled"]
             for one in records(site.bank)}
    assert would["sealed", "anna@customer.example"] == "taken"
    assert would["refused", "ben@nowhere.example"] == "refused"
    assert ("inbound", "support@bank.example") in would
    assert ("both", "anna@customer.example") in would
    assert '"event": "mode.observe"' in site.milter.told
