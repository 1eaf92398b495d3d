"""The pieces of conf/postfix around a real `sealgate run`, in a real Postfix: docs/deploy.md as a test.

Truth: what arrives at the internet's end and in the mailboxes, and what openssl makes of it.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.demo.bank import Bank, Ports
from gateway.errors import Reason
from gateway.model.sentences import SENTENCES
from tests.support.peer_openssl import OpenSsl
from tests.support.peers import run
from tests.support.postfix import Postfix, doors, postfix_with_pieces
from tests.support.process import demo_bank, without_web
from tests.support.smtp import Hop, Talk, until

CODE = b"Your code is 471108."
MAIN_CF = """
myhostname = mx.bank.example
mydestination = bank.example
mynetworks =
local_recipient_maps = inline:{{ support@bank.example=ok, otp@bank.example=ok }}
local_transport = smtp:[127.0.0.1]:{mailboxes}
default_transport = smtp:[127.0.0.1]:{internet}
smtpd_relay_restrictions = reject_unauth_destination
bounce_queue_lifetime = 1h
minimal_backoff_time = 1s
"""


@dataclass
class Site:
    """The whole bank: Postfix, gateway, and what stands at both ends."""

    bank: Bank
    postfix: Postfix
    mailboxes: Hop
    internet: Hop
    log: Path
    relay: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        """`sealgate run`, until both listeners answer."""
        with self.log.open("ab") as log:
            self.relay = subprocess.Popen(
                [sys.executable, "-m", "gateway", "--config", str(self.bank.config), "run"], stdout=log, stderr=log,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
        for port in (self.bank.ports.outbound, self.bank.ports.inbound):
            until(lambda port=port: answers(port), 30)

    def stop(self) -> None:
        """SIGTERM, as systemd does."""
        if self.relay is not None:
            self.relay.terminate()
            assert self.relay.wait(30) == 0
            self.relay = None

    def wait_for(self, hop: Hop, count: int) -> list[bytes]:
        """The mails that came there, once there are so many and none is queued."""
        until(lambda: len(hop.mails) >= count and b"Mail queue is empty" in self.postfix.queue(), 30)
        mails = hop.mails[:]
        hop.mails.clear()
        assert len(mails) == count
        return mails


def answers(port: int) -> bool:
    try:
        with Talk(("127.0.0.1", port)) as talk:
            return talk.greet().startswith("250")
    except (OSError, AssertionError):
        return False


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("around")
    at = doors()
    bank = demo_bank(root / "bank", Ports(outbound=at.gateway_outbound, sink=at.sealed, inbound=at.gateway_inbound))
    text = without_web(bank.config.read_text())
    back = f"  inbound: {{host: 127.0.0.1, port: {at.sealed}, tls: none}}"
    assert back in text
    text = text.replace(back, back.replace(str(at.sealed), str(at.opened)))
    bank.config.write_text(text)
    with Hop() as mailboxes, Hop() as internet:
        settings = MAIN_CF.format(mailboxes=mailboxes.port, internet=internet.port)
        with postfix_with_pieces(root / "postfix", at, settings) as postfix:
            made = Site(bank, postfix, mailboxes, internet, root / "gateway.log")
            made.start()
            try:
                yield made
            finally:
                made.stop()


def code_for(recipient: str, sender: str = "otp@bank.example") -> bytes:
    return (f"From: {sender}\r\nTo: {recipient}\r\nSubject: Your code\r\n"
            f"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{time.monotonic_ns()}@bank.example>\r\n\r\n"
            ).encode() + CODE + b"\r\n"


def submit(port: int, mail: bytes, recipient: str, sender: str = "otp@bank.example") -> str:
    """The reply to the final dot, or to what was refused before."""
    with Talk(("127.0.0.1", port)) as talk:
        talk.greet()
        return talk.mail(mail, sender=sender.encode(), to=(recipient.encode(),))


def opened_by_openssl(mail: bytes, site: Site) -> bytes:
    person = site.bank.people["anna"]
    path = site.bank.home / "got.eml"
    path.write_bytes(mail)
    return run(OpenSsl().program, "cms", "-decrypt", "-inform", "SMIME", "-in", path,
               "-recip", person.certificate, "-inkey", person.key)


def test_what_people_submit_leaves_sealed(site: Site) -> None:
    recipient = "anna@customer.example"
    assert submit(site.postfix.doors.submission, code_for(recipient), recipient)[:3] == "250"
    (mail,) = site.wait_for(site.internet, 1)
    assert CODE not in mail
    assert CODE in opened_by_openssl(mail, site)
    assert site.mailboxes.mails == []


def test_what_sendmail_takes_leaves_sealed(site: Site) -> None:
    site.postfix.sendmail(code_for("anna@customer.example"), "otp@bank.example", "anna@customer.example")
    (mail,) = site.wait_for(site.internet, 1)
    assert CODE not in mail
    assert CODE in opened_by_openssl(mail, site)


def test_what_is_refused_comes_back_without_its_body(site: Site) -> None:
    recipient = "nobody@nowhere.example"
    assert submit(site.postfix.doors.submission, code_for(recipient), recipient)[:3] == "250"
    (bounce,) = site.wait_for(site.mailboxes, 1)
    assert SENTENCES[Reason.CERTIFICATE_ABSENT].what.encode() in bounce
    assert CODE not in bounce
    assert site.internet.mails == []


def test_the_queue_waits_while_the_gateway_is_away(site: Site) -> None:
    site.stop()
    try:
        recipient = "anna@customer.example"
        assert submit(site.postfix.doors.submission, code_for(recipient), recipient)[:3] == "250"
        until(lambda: b"Connection refused" in site.postfix.queue(), 20)
        assert site.internet.mails == []
    finally:
        site.start()
    site.postfix.flush()
    (mail,) = site.wait_for(site.internet, 1)
    assert CODE not in mail


def test_a_forgotten_door_lets_nothing_out(site: Site) -> None:
    """Postfix takes it as mail of ours, the gateway as a stranger's: refused, unsigned, unsent."""
    recipient = "anna@customer.example"
    assert submit(site.postfix.doors.forgotten, code_for(recipient), recipient)[:3] == "250"
    (bounce,) = site.wait_for(site.mailboxes, 1)
    assert b"550 5.7.1" in bounce
    assert CODE not in bounce
    assert site.internet.mails == []


def sealed_question(site: Site) -> bytes:
    """As a customer's mail program makes it; by openssl."""
    person, home = site.bank.people["anna"], site.bank.home
    (home / "question").write_bytes(b"Content-Type: text/plain\r\n\r\nWhat is my balance?\r\n")
    signed = run(OpenSsl().program, "cms", "-sign", "-in", home / "question", "-signer", person.certificate,
                 "-inkey", person.key, "-certfile", home / "pki" / "chain.pem")
    (home / "signed").write_bytes(signed)
    sealed = run(OpenSsl().program, "cms", "-encrypt", "-aes256", "-in", home / "signed",
                 "-from", person.address, "-to", "support@bank.example", "-subject", "Question",
                 site.bank.support_certificate)
    return sealed.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def test_a_sealed_question_arrives_opened(site: Site) -> None:
    reply = submit(site.postfix.doors.smtp, sealed_question(site), "support@bank.example", "anna@customer.example")
    assert reply[:3] == "250", reply
    (mail,) = site.wait_for(site.mailboxes, 1)
    assert b"What is my balance?" in mail
    assert b"smime=pass" in mail
    assert site.internet.mails == []


def test_the_internet_hears_of_a_refusal_at_once(site: Site) -> None:
    """Before-queue: a code for nobody we know is refused at RCPT, and port 25 is no relay."""
    at = site.postfix.doors.smtp
    assert submit(at, b"", "nobody@bank.example", "anna@customer.example").startswith("550")
    assert submit(at, b"", "anna@customer.example", "otp@bank.example").startswith(("550", "554"))
    assert site.internet.mails == []
    assert site.mailboxes.mails == []


def test_the_door_for_opened_mail_relays_nothing(site: Site) -> None:
    reply = submit(site.postfix.doors.opened, b"", "somebody@elsewhere.example", "otp@bank.example")
    assert reply.startswith(("550", "554")), reply
