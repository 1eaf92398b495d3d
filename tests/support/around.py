"""A bank around a private Postfix with pieces of conf/postfix, a real `sealgate run`, and what stands at both ends."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.demo import openssl
from gateway.demo.bank import Ports
from tests.support.command_server import prefix
from tests.support.peers import need, run
from tests.support.postfix import Doors, Postfix, doors, postfix_with_pieces
from tests.support.process import ROOT, Relay, demo_bank, free_ports, relay, without_web
from tests.support.smtp import Hop, Talk, until

CODE = b"Your code is 471108."
MAIN_CF = """
myhostname = mx.bank.example
mydestination = bank.example
mynetworks =
local_recipient_maps =
    inline:{{ support@bank.example=ok, otp@bank.example=ok, staff@bank.example=ok, archive@bank.example=ok }}
virtual_alias_maps = inline:{{ desk@bank.example=anna@customer.example }}
recipient_bcc_maps = inline:{{ ben@customer.example=archive@bank.example }}
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

    def told(self, event: str) -> list[dict[str, Any]]:
        """The gateway's log lines of this kind."""
        lines = [json.loads(line) for line in self.relay.told.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def fresh(self) -> Iterator["Site"]:
        """For one test: nothing of others is left, and nothing is left for others."""
        self.internet.mails.clear()
        self.mailboxes.mails.clear()
        yield self
        run(need("postsuper", "postfix"), "-c", self.postfix.etc, "-d", "ALL")

    def opened(self, mail: bytes) -> bytes:
        """By openssl, with Anna's key; and verified."""
        inner = openssl.decrypt(mail, self.relay.bank.people["anna"])
        return openssl.verify(inner, self.relay.bank.root)


@contextmanager
def bank_around(root: Path, form: str, change: Callable[[str, Doors], str], *, wait_for: str = "",
                after: Sequence[str] = ()) -> Iterator[Site]:
    """Runs all of it. `form`: whose pieces. `change`: of the demo's settings; opened mail has its own door already.

    `wait_for`: a further door of the gateway, by its name in `Doors`. `after`: `postconf` commands of the site's own.
    """
    at = doors()
    http, metrics = free_ports(2)
    ports = Ports(at.gateway_outbound, at.sealed, at.gateway_inbound, http=http, metrics=metrics)
    bank = demo_bank(root / "bank", ports)
    text = without_web(bank.config.read_text())
    back = f"inbound: {{host: 127.0.0.1, port: {at.sealed}"
    assert text.count(back) == 1
    bank.config.write_text(change(text.replace(back, back.replace(str(at.sealed), str(at.opened))), at))
    waited = (getattr(at, wait_for),) if wait_for else ()
    with Hop() as mailboxes, Hop() as internet:
        main_cf = MAIN_CF.format(mailboxes=mailboxes.port, internet=internet.port)
        with (postfix_with_pieces(root / "postfix", at, main_cf, form, after=after) as postfix,
              relay(bank, wait_for=waited, forked=True) as running):
            yield Site(running, postfix, mailboxes, internet)


def code_for(*recipients: str, sender: str = "otp@bank.example", mark: str = "") -> bytes:
    return (f"From: {sender}\r\nTo: {', '.join(recipients)}\r\nSubject: Your code\r\n"
            f"Date: Thu, 26 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{mark or time.monotonic_ns()}@bank.example>\r\n"
            "\r\n").encode() + CODE + b"\r\n"


def memo(*recipients: str, subject: str = "[seal] for you") -> bytes:
    """Of staff: [seal] insists on encryption, with certificates from everywhere."""
    return code_for(*recipients, sender="staff@bank.example").replace(b"Your code\r\n", subject.encode() + b"\r\n", 1)


def submit(port: int, mail: bytes, *to: str, sender: str = "otp@bank.example", peer: str = "127.0.0.1") -> str:
    """The reply to the final dot, or to what was refused before."""
    with Talk(("127.0.0.1", port), peer=peer) as talk:
        talk.greet()
        return talk.mail(mail, sender=sender.encode(), to=tuple(one.encode() for one in to))


def checks(site: Site) -> list[tuple[str, str]]:
    """What `sealgate check --postfix` finds in these pieces: level and place. Not of the door that was forgotten.

    Nor of the demo's mailboxes for what comes back: these pieces give them to nobody (tests/e2e/test_bounces.py does).
    """
    done = subprocess.run(
        [*prefix(), "--config", site.relay.bank.config, "check", "--postfix", "--json",
         "--postfix-dir", site.postfix.etc], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    found = json.loads(done.stdout)
    assert [one for one in found if one["level"] == "ok"], done.stderr
    forgotten = f":{site.postfix.doors.forgotten}/inet"
    found = [one for one in found if one["about"] not in ("main.cf transport_maps", "main.cf recipient_delimiter")]
    return [(one["level"], one["about"]) for one in found
            if one["level"] != "ok" and forgotten not in one["about"] + one["text"]]
