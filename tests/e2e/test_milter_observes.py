"""`mode: observe` as a milter: the mail that Postfix holds is not touched, whoever sends it; what would be is recorded.

Truth: the octets in the sinks behind Postfix; the evidence that `sealgate trace` shows.
"""

from collections.abc import Iterator

import pytest

from tests.support.command_server import prefix
from tests.support.milter import Site, milter_site
from tests.support.peers import run

MAIL = (
    b"From: otp@bank.example\r\nTo: anna@customer.example\r\nSubject: Your code\r\nMessage-ID: <%s@bank.example>\r\n"
    b"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n\r\nYour code is 481516.\r\n"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    def change(text: str) -> str:
        return text.replace("version: 1\n", "version: 1\nmode: observe\n")

    with milter_site(tmp_path_factory.mktemp("observes"), change=change) as site:
        yield site


def test_a_mail_passes_as_it_came_and_what_would_be_is_known(site: Site) -> None:
    code, text = site.submit(MAIL % b"seen", "anna@customer.example", "ben@customer.example")
    assert code == 250, text
    assert site.arrived(site.internet, b"<seen@bank.example>").endswith(MAIL % b"seen")
    told = run(*prefix(), "--config", site.bank.config, "trace", "<seen@bank.example>")
    assert b"encrypt" in told


def test_nobody_is_refused_for_who_he_is(site: Site) -> None:
    """A network of no client, a sender that is somebody else's, a reader without a certificate."""
    for mark, sender, to, peer in (
        (b"nobody", "otp@bank.example", "anna@customer.example", "127.0.0.77"),
        (b"other", "statements@bank.example", "anna@customer.example", "127.0.0.1"),
        (b"absent", "otp@bank.example", "zoe@nowhere.example", "127.0.0.1"),
    ):
        code, text = site.submit(MAIL % mark, to, sender=sender, peer=peer)
        assert code == 250, text
        assert site.arrived(site.internet, b"<%s@bank.example>" % mark).endswith(MAIL % mark)


def test_the_world_to_the_world_is_refused_in_any_mode(site: Site) -> None:
    code, _ = site.receive(MAIL % b"relay", "anna@customer.example", sender="eve@else.example")
    assert code in (550, 554)


def test_mail_for_us_passes_unopened(site: Site) -> None:
    octets = (MAIL % b"in").replace(b"From: otp@bank", b"From: jane@else").replace(b"anna@customer", b"support@bank")
    code, text = site.receive(b"Sealgate-Verdict: forged\r\n" + octets, "support@bank.example", sender="j@else.example")
    assert code == 250, text
    assert site.arrived(site.mailboxes, b"<in@bank.example>").endswith(b"Sealgate-Verdict: forged\r\n" + octets)
