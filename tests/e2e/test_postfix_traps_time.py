"""The trap of a Postfix that waits for less time than the gateway may take: what it sends again comes twice.

Starts one `sealgate run`, a next hop that answers when the test says so, and a private Postfix twice. Truth: how many
mails the next hop has got.
"""

import re
import time
from dataclasses import replace
from pathlib import Path
from threading import Event

from gateway.demo.bank import Ports
from gateway.settings import load
from tests.support.postfix import doors
from tests.support.process import new_bank, relay
from tests.support.smtp import Hop, until
from tests.support.traps import Trap, findings, with_trap

ANNA = "anna@customer.example"
TRAP = Trap(
    "impatience", ("sealgate/unix/smtp_data_done_timeout", "delivered twice"), lambda site: None, lambda site: None,
    commands=("postconf -P sealgate/unix/smtp_data_done_timeout=1s",),
    remedy=("postconf -P sealgate/unix/smtp_data_done_timeout=600s",),
)


def code() -> bytes:
    return (f"From: otp@bank.example\r\nTo: {ANNA}\r\nSubject: Your code\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\n"
            f"Message-ID: <{time.monotonic_ns()}@bank.example>\r\n\r\nYour code is 471108.\r\n").encode()


def test_who_waits_too_short_sends_twice(tmp_path: Path) -> None:
    may_answer = Event()

    def when_told(line: bytes) -> None:
        del line
        may_answer.wait(60)

    at = doors()
    with Hop() as mailboxes, Hop(dot=when_told) as internet:

        def to_the_hop(text: str) -> str:
            for name, port in (("outbound", internet.port), ("inbound", at.opened)):
                text = re.sub(rf"(?m)^  {name}: \{{host.*$", f"  {name}: {{host: 127.0.0.1, port: {port}, tls: none}}",
                              text)
            for name, port in (("outbound", at.gateway_outbound), ("inbound", at.gateway_inbound)):
                text = re.sub(rf"(name: {name}, .*port:) \d+", rf"\1 {port}", text)
            return text

        bank = new_bank(tmp_path / "bank", change=to_the_hop)
        bank = replace(bank, ports=Ports(outbound=at.gateway_outbound, sink=internet.port, inbound=at.gateway_inbound))
        settings = load(bank.config)
        with relay(bank, forked=True):
            with with_trap(tmp_path / "trap", at, bank, (mailboxes, internet), TRAP, dead=0, remedied=False) as site:
                told = findings(site, settings)
                assert [one for one in told if TRAP.told[0] in one.about and TRAP.told[1] in one.text], told
                assert site.submit(site.postfix.doors.submission, code(), ANNA).startswith("250")
                site.logged("timed out while sending end of data")
                site.postfix.flush()
                until(lambda: len(internet.mails) > 1, 30)  # the first one is still at work
                may_answer.set()
            may_answer.clear()
            with with_trap(tmp_path / "remedy", at, bank, (mailboxes, internet), TRAP, dead=0, remedied=True) as site:
                assert not [one for one in findings(site, settings) if "timeout" in one.about]
                assert site.submit(site.postfix.doors.submission, code(), ANNA).startswith("250")
                until(lambda: len(internet.mails) == 1, 30)
                site.postfix.flush()
                may_answer.set()
                site.came(internet)
