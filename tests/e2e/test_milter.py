"""The milter in a real Postfix, with the pieces of conf/postfix as they are printed.

Truth: openssl opens and verifies what left; what stands in the sinks behind Postfix is what came in; Postfix's own log.
"""

from collections.abc import Iterator

import pytest

from gateway.demo import openssl
from tests.support.milter import Site, milter_site

CODE = (
    b"From: otp@bank.example\r\nTo: anna@customer.example\r\nSubject: Your code\r\nMessage-ID: <%s@bank.example>\r\n"
    b"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n\r\nYour code is 481516.\r\n"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with milter_site(tmp_path_factory.mktemp("milter")) as site:
        yield site


def opened(site: Site, left: bytes, name: str = "anna") -> bytes:
    """The signed content, decrypted and verified by openssl."""
    return openssl.verify(openssl.decrypt(left, site.bank.people[name]), site.bank.root)


def test_a_code_leaves_sealed_in_place(site: Site) -> None:
    code, text = site.submit(CODE % b"code", "anna@customer.example")
    assert code == 250, text
    left = site.arrived(site.internet, b"<code@bank.example>")
    assert b"481516" not in left
    assert b"Your code" not in left
    content = opened(site, left)
    assert content.endswith(b"\r\n\r\nYour code is 481516.\r\n")
    assert b"Subject: Your code\r\n" in content
    assert "postfix/sealed" not in site.maillog, "it went round by the door back"
