"""DKIM is signed after the gateway and DMARC judged before it, with the real programs.

Debian packages rspamd, opendkim, nsd. OpenDKIM is the milter of the door back, rspamd that of port 25, and the
after-queue pieces stand between them.

Truth: rspamd verifies what OpenDKIM signed, over the mail as it arrived at the internet's end.
"""

import re
import smtplib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from gateway.demo import openssl
from tests.support.mail_filters import PROVEN, Filters, filters
from tests.support.postfix import Postfix, doors, postfix_with_pieces
from tests.support.process import Relay, new_bank, relay
from tests.support.smtp import Hop, until
from tests.support.traps import NO_DOOR_FORGOTTEN, SITE

RULES = """\
version: 1
rules:
  - name: proven
    when: {direction: inbound, authentication: {dmarc: pass}}
    then: {form: opened, label: {subject_tag: "[proven]"}}
    cases:
      - given: {from: anna@customer.example, authentication: {dmarc: pass}}
        expect: {end: deliver}
  - name: failed
    when: {direction: inbound, authentication: {dmarc: fail}}
    then: {form: opened, label: {subject_tag: "[not proven]"}}
    cases:
      - given: {from: anna@customer.example, authentication: {dmarc: fail}}
        expect: {end: deliver}
  - name: unknown
    when: {direction: inbound}
    then: {form: opened, label: {subject_tag: "[nobody said]"}}
    cases:
      - given: {from: anna@customer.example}
        expect: {end: deliver}
otherwise: reject
"""


@dataclass
class Site:
    relay: Relay
    postfix: Postfix
    filters: Filters
    mailboxes: Hop
    internet: Hop

    def send(self, door: int, mail: bytes, sender: str, to: str, peer: str) -> None:
        with smtplib.SMTP("127.0.0.1", door, source_address=(peer, 0), timeout=60) as smtp:
            smtp.sendmail(sender, [to], mail)

    def came(self, hop: Hop) -> bytes:
        until(lambda: bool(hop.mails), 30)
        (mail,) = hop.mails
        hop.mails.clear()
        return mail


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("dkim")
    at = doors()

    def change(text: str) -> str:
        lmtp = "protocol: lmtp, xforward_peers: [127.0.0.0/8], trusted_peers: [127.0.0.0/8]"
        lines = []
        for line in text.splitlines():
            if "role: outbound," in line or "role: inbound," in line:
                lines.append(re.sub(r"port: (\d+).*", rf"port: \1, {lmtp}}}", line))
            elif line.startswith("  outbound: {host"):
                lines.append(f"  outbound: {{host: 127.0.0.1, port: {at.sealed}, tls: none}}")
            elif line.startswith("  inbound: {host"):
                lines.append(f"  inbound: {{host: 127.0.0.1, port: {at.opened}, tls: none}}")
            elif line.startswith("  trusted_authserv_ids:"):
                lines.append("  trusted_authserv_ids: [mx.bank.example]")
            elif line.startswith("policies:"):
                lines.append("policies: [policies/codes.yaml, policies/judged.yaml]")
            else:
                lines.append(line)
        return "\n".join(lines) + "\n"

    bank = new_bank(root / "bank", change=change)
    at = replace(at, gateway_outbound=bank.ports.outbound, gateway_inbound=bank.ports.inbound)
    (bank.home / "policies").mkdir(exist_ok=True)
    (bank.home / "policies" / "judged.yaml").write_text(RULES)
    with (filters(root / "filters") as around, Hop() as mailboxes, Hop() as internet,
          relay(bank, forked=True) as running):
        main_cf = SITE.format(mailboxes=mailboxes.port, internet=internet.port)
        after = [
            NO_DOOR_FORGOTTEN["relay"].format(forgotten=at.forgotten, gateway_outbound=at.gateway_outbound),
            f"postconf -P 127.0.0.1:{at.smtp}/inet/smtpd_milters=inet:127.0.0.1:{around.judge}",
            f"postconf -P 127.0.0.1:{at.sealed}/inet/smtpd_milters=inet:127.0.0.1:{around.signer}",
            # A signer in front of the gateway, where none belongs: what it signs, the gateway changes.
            f"postconf -P 127.0.0.1:{at.forgotten}/inet/smtpd_milters=inet:127.0.0.1:{around.signer}",
        ]
        with postfix_with_pieces(root / "postfix", at, main_cf, "after-queue", after=after) as postfix:
            yield Site(running, postfix, around, mailboxes, internet)


def code(subject: str = "Your code") -> bytes:
    return (f"From: otp@bank.example\r\nTo: anna@customer.example\r\nSubject: {subject}\r\n"
            f"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n"
            f"Message-ID: <{time.monotonic_ns()}@bank.example>\r\n\r\nYour code is 481516.\r\n").encode()


def test_the_signature_of_the_door_back_holds_over_the_sealed_mail(site: Site) -> None:
    site.send(site.postfix.doors.submission, code(), "otp@bank.example", "anna@customer.example", "127.0.0.1")
    left = site.came(site.internet)
    assert b"481516" not in left
    assert left.count(b"DKIM-Signature:") == 1
    assert "R_DKIM_ALLOW" in site.filters.verdict(left)
    bank = site.relay.bank
    assert b"481516" in openssl.verify(openssl.decrypt(left, bank.people["anna"]), bank.root)
    altered = left[:-40] + bytes([left[-40] ^ 1]) + left[-39:]
    assert "R_DKIM_REJECT" in site.filters.verdict(altered)


def test_a_signature_of_a_signer_in_front_does_not_leave_broken(site: Site) -> None:
    """It was over what the gateway has sealed since; what arrives bears that of the door back alone, and it holds."""
    site.send(site.postfix.doors.forgotten, code(), "otp@bank.example", "anna@customer.example", "127.0.0.1")
    left = site.came(site.internet)
    assert left.count(b"DKIM-Signature:") == 1
    assert "R_DKIM_ALLOW" in site.filters.verdict(left)


def hello(authentication: bytes = b"") -> bytes:
    return (authentication + b"From: anna@customer.example\r\nTo: support@bank.example\r\nSubject: Hello\r\n"
            b"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n"
            + f"Message-ID: <{time.monotonic_ns()}@customer.example>\r\n\r\nHello\r\n".encode())


FORGED = b"Authentication-Results: %s; dmarc=pass header.from=customer.example; spf=pass\r\n"


@pytest.mark.parametrize(("peer", "before", "tag"), [
    (PROVEN, b"", b"[proven]"),
    ("127.0.0.8", b"", b"[not proven]"),
    ("127.0.0.8", FORGED % b"mx.bank.example", b"[not proven]"),
    ("127.0.0.8", FORGED % b"MX.Bank.Example", b"[not proven]"),
    ("127.0.0.8", FORGED % b"filter.elsewhere.example", b"[not proven]"),
])
def test_rules_hear_what_the_judge_in_front_says_and_nobody_else(
    site: Site, peer: str, before: bytes, tag: bytes
) -> None:
    site.send(site.postfix.doors.smtp, hello(before), "anna@customer.example", "support@bank.example", peer)
    came = site.came(site.mailboxes)
    assert b"\r\nSubject: " + tag + b" Hello\r\n" in came, came[:2000]
