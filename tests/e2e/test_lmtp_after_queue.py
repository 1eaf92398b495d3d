"""The pieces conf/postfix/after-queue.* as they are printed: a real Postfix hands its queue to a real gateway by LMTP.

Starts: one Postfix, one `sealgate run`, two sinks (the internet and the mailboxes). Truth: what arrives in the sinks,
what openssl makes of it, Postfix's own log of each recipient (RFC 2033: an answer for each), and its queue.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gateway.demo import openssl
from gateway.demo.bank import Ports, open_bank
from tests.support.postfix import Doors, Postfix, doors, postfix_with_pieces
from tests.support.process import Relay, free_ports, relay
from tests.support.smtp import Hop, Talk, until

CODE = b"Your code is 471108."
MAIN_CF = """
myhostname = mx.bank.example
mydestination = bank.example
mynetworks =
local_recipient_maps = inline:{{ support@bank.example=ok, otp@bank.example=ok, archive@bank.example=ok }}
virtual_alias_maps = inline:{{ desk@bank.example=anna@customer.example }}
recipient_bcc_maps = inline:{{ copied@nowhere.example=archive@bank.example }}
local_transport = smtp:[127.0.0.1]:{mailboxes}
default_transport = smtp:[127.0.0.1]:{internet}
smtpd_relay_restrictions = reject_unauth_destination
bounce_queue_lifetime = 1h
minimal_backoff_time = 1s
"""


@dataclass
class Site:
    """The whole bank: Postfix, gateway, and what stands at both ends."""

    relay: Relay
    postfix: Postfix
    mailboxes: Hop
    internet: Hop

    def settled(self) -> None:
        """Waits until nothing is queued."""
        until(lambda: b"Mail queue is empty" in self.postfix.queue(), 30)

    def arrived(self, hop: Hop, count: int) -> list[bytes]:
        """The mails that came there, once there are so many and none is queued."""
        until(lambda: len(hop.mails) >= count, 30)
        self.settled()
        mails = hop.mails[:]
        hop.mails.clear()
        assert len(mails) == count
        return mails

    def log(self, pattern: str) -> list[str]:
        """Lines of Postfix's log."""
        return [line for line in self.postfix.maillog.read_text().splitlines() if re.search(pattern, line)]

    def opened(self, mail: bytes) -> bytes:
        """By openssl, with Anna's key; and verified."""
        inner = openssl.decrypt(mail, self.relay.bank.people["anna"])
        return openssl.verify(inner, self.relay.bank.root)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("after-queue")
    at = doors()

    (http,) = free_ports(1)
    bank = open_bank(root / "bank", Ports(at.gateway_outbound, at.sealed, at.gateway_inbound, http=http))
    bank.config.write_text(settings(bank.config.read_text(), at))
    with Hop() as mailboxes, Hop() as internet:
        main_cf = MAIN_CF.format(mailboxes=mailboxes.port, internet=internet.port)
        with postfix_with_pieces(root / "postfix", at, main_cf, "after-queue") as postfix, relay(bank) as running:
            yield Site(running, postfix, mailboxes, internet)


def settings(text: str, at: Doors) -> str:
    """The demo's, as the pieces ask for: LMTP, XFORWARD from the loopback, opened mail to a door of its own."""
    for before, after in (
        ("role: outbound, host", "role: outbound, protocol: lmtp, xforward_peers: [127.0.0.0/8], host"),
        ("role: inbound, host", "role: inbound, protocol: lmtp, xforward_peers: [127.0.0.0/8], host"),
        (f"inbound: {{host: 127.0.0.1, port: {at.sealed}", f"inbound: {{host: 127.0.0.1, port: {at.opened}"),
    ):
        assert text.count(before) == 1
        text = text.replace(before, after)
    return text


def code_for(*recipients: str, sender: str = "otp@bank.example", mark: str = "") -> bytes:
    return (f"From: {sender}\r\nTo: {', '.join(recipients)}\r\nSubject: Your code\r\n"
            f"Date: Thu, 26 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{mark or time.monotonic_ns()}@bank.example>\r\n"
            "\r\n").encode() + CODE + b"\r\n"


def submit(port: int, mail: bytes, *to: str, sender: str = "otp@bank.example", peer: str = "127.0.0.1") -> str:
    """The reply to the final dot, or to what was refused before."""
    with Talk(("127.0.0.1", port), peer=peer) as talk:
        talk.greet()
        return talk.mail(mail, sender=sender.encode(), to=tuple(one.encode() for one in to))


def test_what_people_submit_leaves_sealed(site: Site) -> None:
    to = "anna@customer.example"
    assert submit(site.postfix.doors.submission, code_for(to), to)[:3] == "250"
    (mail,) = site.arrived(site.internet, 1)
    assert CODE not in mail
    assert CODE in site.opened(mail)
    assert b"with LMTP id" in mail
    assert site.mailboxes.mails == []
