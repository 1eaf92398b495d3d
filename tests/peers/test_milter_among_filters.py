"""The milter between real ones: rspamd judges before it, OpenDKIM signs behind it, all in one Postfix.

Debian packages rspamd, opendkim, nsd. Truth: rspamd verifies what OpenDKIM signed, over the mail as it arrived at the
internet's end; openssl opens it. Each milter sees what those before it in Postfix's list have made of the mail. rspamd
calls itself in Authentication-Results what Postfix calls the daemon (milter_macro_daemon_name).
"""

import re
import time
from collections.abc import Iterator

import pytest

from gateway.demo import openssl
from gateway.postfix.milters import ADD_RECIPIENT, DELETE_RECIPIENT, QUARANTINE
from gateway.postfix.reading import milter_actions
from tests.peers.test_dkim_dmarc import RULES
from tests.support.mail_filters import PROVEN, Filters, filters
from tests.support.milter import Site, milter_site
from tests.support.postfix import Doors
from tests.support.process import submit


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filters]:
    with filters(tmp_path_factory.mktemp("around") / "filters") as around:
        yield around


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, around: Filters) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("among")

    def change(text: str) -> str:
        text = text.replace("trusted_peers: [127.0.0.9/32]", "trusted_peers: [127.0.0.0/8]")
        text = re.sub(r"(?m)^  trusted_authserv_ids:.*$", "  trusted_authserv_ids: [sealgate-inbound]", text)
        text = re.sub(r"(?m)^policies:.*$", f"policies: [policies/codes.yaml, {root}/judged.yaml]", text)
        (root / "judged.yaml").write_text(RULES)
        return text

    def after(at: Doors) -> list[str]:
        ours = f"inet:127.0.0.1:{at.gateway_outbound}"
        judge, signer = f"inet:127.0.0.1:{around.judge}", f"inet:127.0.0.1:{around.signer}"
        return [
            f"postconf -P '127.0.0.1:{at.smtp}/inet/smtpd_milters={judge},{ours}'",
            f"postconf -P '127.0.0.1:{at.submission}/inet/smtpd_milters={ours},{signer}'",
            f"postconf -P '127.0.0.1:{at.sealed}/inet/smtpd_milters={signer}'",
        ]

    with milter_site(root, change=change, after=after) as site:
        yield site


def code(mark: str) -> bytes:
    return (f"From: otp@bank.example\r\nTo: anna@customer.example\r\nSubject: Your code\r\n"
            f"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{mark}@bank.example>\r\n\r\n"
            "Your code is 481516.\r\n").encode()


def test_the_signer_behind_us_signs_what_leaves(site: Site, around: Filters) -> None:
    assert site.submit(code("signed"), "anna@customer.example")[0] == 250
    left = site.arrived(site.internet, b"<signed@bank.example>")
    assert b"481516" not in left
    assert left.count(b"DKIM-Signature:") == 1
    assert "R_DKIM_ALLOW" in around.verdict(left)
    assert b"481516" in openssl.verify(openssl.decrypt(left, site.bank.people["anna"]), site.bank.root)
    altered = left[:-40] + bytes([left[-40] ^ 1]) + left[-39:]
    assert "R_DKIM_REJECT" in around.verdict(altered)


def test_so_does_the_signer_of_the_door_back(site: Site, around: Filters) -> None:
    """Two readers who must not see each other: the copies leave by that door, and the original nowhere."""
    assert site.submit(code("copies"), "anna@customer.example", "ben@customer.example")[0] == 250
    for left in site.all_arrived(site.internet, b"<copies@bank.example>", 2):
        assert left.count(b"DKIM-Signature:") == 1
        assert "R_DKIM_ALLOW" in around.verdict(left)


def test_what_they_declare(around: Filters) -> None:
    """docs/milter.md: OpenDKIM holds no mail and changes no recipients; rspamd declares all, whatever its settings."""
    signer, judge = (milter_actions(f"inet:127.0.0.1:{port}", "/") for port in (around.signer, around.judge))
    assert signer is not None
    assert not signer & (ADD_RECIPIENT | DELETE_RECIPIENT | QUARANTINE)
    assert judge == 0x1FF


FORGED = b"Authentication-Results: %s; dmarc=pass header.from=customer.example; spf=pass\r\n"


@pytest.mark.parametrize(("peer", "before", "tag"), [
    (PROVEN, b"", b"[proven]"),
    ("127.0.0.8", b"", b"[not proven]"),
    ("127.0.0.8", FORGED % b"sealgate-inbound", b"[not proven]"),
])
def test_rules_hear_the_judge_before_us(site: Site, peer: str, before: bytes, tag: bytes) -> None:
    mark = f"<{time.monotonic_ns()}@customer.example>".encode()
    octets = before + (b"From: anna@customer.example\r\nTo: support@bank.example\r\nSubject: Hello\r\n"
                       b"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\nMessage-ID: " + mark + b"\r\n\r\nHello\r\n")
    code, text = submit(site.doors.smtp, octets, ["support@bank.example"], sender="anna@customer.example", peer=peer)
    assert code == 250, text
    came = site.arrived(site.mailboxes, mark)
    assert b"\r\nSubject: " + tag + b" Hello\r\n" in came, came[:2000]
