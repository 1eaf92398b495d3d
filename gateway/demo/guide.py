"""Who leads the tour: sends through real ports, runs public commands, prints and counts each claim."""

import json
import smtplib
import subprocess
import time
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import format_datetime, localtime, make_msgid
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from gateway.demo import openssl
from gateway.demo.bank import CLIENTS, DOMAIN, Bank
from gateway.demo.world import World
from gateway.distribution import own_command

_WAIT_S: Final = 20.0


@dataclass(slots=True)
class Guide:
    """One walk through a bank whose gateway is up. `held` counts claims, `broken` collects those that did not hold."""

    bank: Bank
    console: Console
    world: World
    held: int = 0
    broken: list[str] = field(default_factory=list)

    def claim(self, text: str, *, holds: bool) -> None:
        """Prints and counts it."""
        self.console.print(f"   {'[green]✓[/green]' if holds else '[red]✗ false:[/red]'} {text}", highlight=False)
        if holds:
            self.held += 1
        else:
            self.broken.append(text)

    def send(self, client: str, mail: EmailMessage) -> bytes:
        """Through the outbound port as this client; what left the gateway."""
        before = self.files("outgoing")
        with smtplib.SMTP(
            "127.0.0.1", self.bank.ports.outbound, timeout=60, source_address=(CLIENTS[client], 0)
        ) as smtp:
            smtp.send_message(mail)
        return self.new("outgoing", before)

    def sent_at_last(self, client: str, mail: EmailMessage) -> bytes:
        """As a mail server that has the mail in its queue: again and again while it is deferred; what left."""
        before = self.files("outgoing")
        deadline = time.monotonic() + _WAIT_S
        while self.refused(client, mail).startswith("4"):
            if time.monotonic() > deadline:
                raise OSError(f"still deferred after {_WAIT_S:.0f} s")
            time.sleep(0.3)
        return self.new("outgoing", before)

    def refused(self, client: str | None, mail: EmailMessage) -> str:
        """The reply that refused it; '' if it was taken."""
        port = self.bank.ports.outbound if client else self.bank.ports.inbound
        source = (CLIENTS[client], 0) if client else None
        with smtplib.SMTP("127.0.0.1", port, timeout=60, source_address=source) as smtp:
            try:
                smtp.send_message(mail)
            except smtplib.SMTPRecipientsRefused as refused:
                return reply(*next(iter(refused.recipients.values())))
            except smtplib.SMTPResponseException as refused:
                return reply(refused.smtp_code, refused.smtp_error)
        return ""

    def received(self, octets: bytes, sender: str = "anna@customer.example") -> bytes:
        """Sends a mail from the internet to support; returns what the bank's mail server got."""
        before = self.files("incoming")
        with smtplib.SMTP("127.0.0.1", self.bank.ports.inbound, timeout=60) as smtp:
            smtp.sendmail(sender, ["support@" + DOMAIN], octets)
        return self.new("incoming", before)

    def checked(self, left: bytes, reader: openssl.Person) -> EmailMessage:
        """What left, opened by its reader: five claims about it; the mail inside."""
        entity = openssl.decrypt(left, reader)
        self.claim("openssl cms -decrypt opens it with the customer's key", holds=bool(entity))
        content = openssl.verify(entity, self.bank.root)
        self.claim("openssl cms -verify accepts the bank's signature", holds=bool(content))
        at = openssl.verify_stamp(entity, self.bank.root, self.bank.scratch)
        self.claim(f"openssl ts -verify accepts the time-stamp: {at}", holds=bool(at))
        self.claim(
            "sealgate inspect believes it: trusted",
            holds=self.inspect(left, "--key", reader.key, "--chain", reader.certificate)["verdict"] == "trusted",
        )
        return message_from_bytes(content, policy=policy.default)

    def inspect(self, octets: bytes, *options: str | Path) -> dict[str, Any]:
        """The report of `sealgate inspect --json` on it, below the bank's root."""
        path = self.bank.scratch / "mail.eml"
        path.write_bytes(octets)
        output = self.command("inspect", path, "--trust", self.bank.root, "--json", *options)
        report: dict[str, Any] = json.loads(output)
        return report

    def configured(self, *arguments: str | Path) -> str:
        """As `command`, with the bank's configuration."""
        return self.command("--config", self.bank.config, *arguments)

    def done(self, *arguments: str | Path) -> bool:
        """Whether a command with the bank's configuration ended with exit 0."""
        command = [*own_command(), "--config", str(self.bank.config), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0

    def command(self, *arguments: str | Path) -> str:
        """What `sealgate` printed."""
        command = [*own_command(), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        if not done.stdout:
            raise OSError(f"sealgate {arguments[0]} printed nothing: {done.stderr.decode('utf-8', 'replace')[-300:]}")
        return done.stdout.decode()

    def held_mail(self) -> dict[str, Any]:
        """The newest mail in the hold store; {} if there is none."""
        held = json.loads(self.configured("hold", "list", "--json"))
        newest: dict[str, Any] = held[-1] if held else {}
        return newest

    def files(self, directory: str) -> frozenset[Path]:
        """The mails in `outgoing` or `incoming`."""
        return frozenset((self.bank.home / directory).glob("*.eml"))

    def count(self, directory: str) -> int:
        """How many there are."""
        return len(self.files(directory))

    def new(self, directory: str, before: frozenset[Path]) -> bytes:
        """The mail that is there and was not `before`; waits for it. OSError if none comes."""
        deadline = time.monotonic() + _WAIT_S
        while time.monotonic() < deadline:
            if new := self.files(directory) - before:
                path = min(new)
                self.console.print(f"   → {path}", style="dim", highlight=False)
                return path.read_bytes()
            time.sleep(0.05)
        raise OSError(f"no mail arrived in {directory}/ within {_WAIT_S:.0f} s")


def reply(code: int, text: bytes | str) -> str:
    """One line of an SMTP reply."""
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(words.split())}"


def date_value() -> bytes:
    """A Date's value."""
    return format_datetime(localtime()).encode("ascii")


def plain_mail(from_: str, to: str, subject: str, text: str) -> EmailMessage:
    """A plain mail."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = from_, to, subject
    mail["Date"], mail["Message-ID"] = format_datetime(localtime()), make_msgid(domain=DOMAIN)
    mail.set_content(text)
    return mail


def text_of(mail: EmailMessage) -> str:
    """All text of a mail."""
    return "\n".join(part.get_content() for part in mail.walk() if part.get_content_type() == "text/plain")
