"""The real milter as a process of its own, and a real Postfix that hands it mail: as a bank has it.

Behind Postfix are two sinks, the mailboxes of bank.example and the rest of the world.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.demo.bank import Bank
from tests.support.command_server import ForkedService
from tests.support.postfix import Doors, Postfix, doors, postfix_with_pieces
from tests.support.process import ROOT, START_S, new_bank, submit, template
from tests.support.smtp import Hop, until

READY = '"event": "milter.ready"'
FEATURES = ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 100000000")


@dataclass
class Running:
    """`sealgate milter`."""

    process: "subprocess.Popen[bytes] | ForkedService"
    log: Path

    @property
    def told(self) -> str:
        """Everything it wrote so far."""
        return self.log.read_text("utf-8", "replace")

    def lines(self, word: str) -> list[str]:
        """The log's lines with this event."""
        return [line for line in self.told.splitlines() if f'"event": "{word}"' in line]

    def workers(self) -> list[int]:
        """Process ids of the parent's children that live."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children]

    def reload(self) -> None:
        """SIGHUP, until it is done or refused."""
        def done() -> int:
            return self.told.count('"event": "reload.done"') + self.told.count('"event": "reload.failed"')

        before = done()
        self.process.send_signal(signal.SIGHUP)
        until(lambda: done() > before, START_S)


@contextmanager
def milter_process(bank: Bank, *, environment: dict[str, str] | None = None, forked: bool = False) -> Iterator[Running]:
    """Until it is ready; ended by SIGTERM, which must end it well. `forked`: see `tests.support.process.relay`."""
    log = bank.home / "milter.log"
    before = log.read_text("utf-8").count(READY) if log.exists() else 0
    with log.open("ab") as file:
        process: subprocess.Popen[bytes] | ForkedService
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
        if forked:
            process = ForkedService(("--config", bank.config, "milter"), output=file.fileno(), environment=environment)
        else:
            process = subprocess.Popen([sys.executable, "-m", "gateway", "--config", str(bank.config), "milter"],
                                       cwd=ROOT, stdout=file, stderr=file, env=environment)
    running = Running(process, log)
    try:
        end = time.monotonic() + START_S
        while running.told.count(READY) == before:
            assert process.poll() is None, running.told[-3000:]
            assert time.monotonic() < end, running.told[-3000:]
            time.sleep(0.05)
        yield running
        process.terminate()
        assert process.wait(60) == 0, running.told[-3000:]
    finally:
        process.kill()
        process.wait()


@dataclass
class Site:
    """Postfix with the milter, and what stands behind it."""

    bank: Bank
    postfix: Postfix
    milter: Running
    internet: Hop
    mailboxes: Hop
    doors: Doors = field(repr=False)

    def submit(self, octets: bytes, *to: str, sender: str = "otp@bank.example", peer: str = "127.0.0.1",
               options: Sequence[str] = ()) -> tuple[int, str]:
        """A mail of a client of ours."""
        return submit(self.doors.submission, octets, to, sender=sender, peer=peer, options=options)

    def receive(self, octets: bytes, *to: str, sender: str = "anna@customer.example",
                options: Sequence[str] = ()) -> tuple[int, str]:
        """A mail from the world, by port 25."""
        return submit(self.doors.smtp, octets, to, sender=sender, options=options)

    @property
    def maillog(self) -> str:
        """What Postfix wrote so far."""
        return self.postfix.maillog.read_text("utf-8", "replace")

    def arrived(self, hop: Hop, mark: bytes, seconds: float = 30.0) -> bytes:
        """The one mail behind Postfix that holds `mark`."""
        found = self.all_arrived(hop, mark, 1, seconds)
        assert len(found) == 1
        return found[0]

    def all_arrived(self, hop: Hop, mark: bytes, count: int, seconds: float = 30.0) -> list[bytes]:
        """At least so many mails behind Postfix that hold `mark`."""
        until(lambda: sum(mark in one for one in hop.mails) >= count, seconds)
        return [one for one in hop.mails if mark in one]


def main_cf(mailboxes: int, internet: int) -> str:
    """What the bank's Postfix says: its own domain to the mailboxes, the rest to the internet."""
    return f"""\
myhostname = mx.bank.example
mydestination =
mynetworks = 127.0.0.0/8
relay_domains = bank.example
relay_recipient_maps = inline:{{ support@bank.example=ok, otp@bank.example=ok, staff@bank.example=ok }}
relay_transport = smtp:[127.0.0.1]:{mailboxes}
default_transport = smtp:[127.0.0.1]:{internet}
smtp_destination_recipient_limit = 1000
smtputf8_enable = yes
local_recipient_maps =
smtpd_client_connection_count_limit = 0
smtpd_recipient_restrictions = reject_unlisted_recipient, permit_mynetworks, reject
"""


def settings_for(at: Doors, *, workers: int = 1) -> Callable[[str], str]:
    """The bank's settings with a milter, and next hops that are Postfix's doors."""
    def change(text: str) -> str:
        for name, port in (("outbound", at.sealed), ("inbound", at.opened)):
            hop = f"  {name}: {{host: 127.0.0.1, port: {port}, tls: none}}"
            text = re.sub(rf"(?m)^  {name}: \{{host.*$", hop, text)
        text = re.sub(r"(?m)^processes:.*\n(?: .*\n)*", "", text)
        return text + f"""
milter:
  socket: inet:{at.gateway_outbound}@127.0.0.1
  outbound_daemons: [sealgate-outbound]
  inbound_daemons: [sealgate-inbound]
  trusted_peers: [127.0.0.9/32]
processes: {{milter: {workers}}}
"""

    return change


@contextmanager
def milter_site(root: Path, *, workers: int = 1, change: Callable[[str], str] = lambda text: text,
                after: Callable[[Doors], Sequence[str]] = lambda _: (), forked: bool = True) -> Iterator[Site]:
    """Everything, in `root`. `after`: what the site has changed in the pieces, as `postconf` lines.

    `forked`: see `tests.support.process.relay`.
    """
    template()  # what takes long first: a port that is free now may not be so in ten seconds
    at = doors()
    root.joinpath("postfix").mkdir()
    with (
        Hop(FEATURES) as world,
        Hop(FEATURES) as mailboxes,
        postfix_with_pieces(root / "postfix", at, main_cf(mailboxes.port, world.port), "milter",
                            after=after(at)) as postfix,
    ):
        bank = new_bank(root / "bank", change=lambda text: change(settings_for(at, workers=workers)(text)))
        with milter_process(bank, forked=forked) as running:
            yield Site(bank, postfix, running, world, mailboxes, at)
