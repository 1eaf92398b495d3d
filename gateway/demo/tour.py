"""The guided tour: real mails through public ports, each claim checked by an independent program and printed.

A claim that does not hold ends the tour with a failure: it is a test that people like to read.
"""

import hashlib
import json
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import format_datetime, localtime, make_msgid
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.panel import Panel

from gateway.demo import openssl, pdf
from gateway.demo.bank import CLIENTS, DOMAIN, Bank
from gateway.errors import GatewayError

STATEMENT_OCTETS: Final = 1_048_576
_WAIT_S: Final = 20.0


@dataclass(slots=True)
class Tour:
    """One walk through a bank whose gateway is up. `held` counts claims, `broken` collects those that did not hold."""

    bank: Bank
    console: Console
    held: int = 0
    broken: list[str] = field(default_factory=list)

    def walk(self) -> bool:
        """All stations; whether every claim held."""
        for number, (title, station) in enumerate(self._stations(), 1):
            self.console.print(Panel(f"[bold]{title}[/bold]", expand=False, title=f"{number}", title_align="left"))
            try:
                station()
            except (GatewayError, OSError, smtplib.SMTPException, subprocess.SubprocessError) as trouble:
                self.claim(f"{title}: {trouble}", holds=False)
        return not self.broken

    def claim(self, text: str, *, holds: bool) -> None:
        """Prints and counts it."""
        self.console.print(f"   {'[green]✓[/green]' if holds else '[red]✗ false:[/red]'} {text}", highlight=False)
        if holds:
            self.held += 1
        else:
            self.broken.append(text)

    def _stations(self) -> tuple[tuple[str, Callable[[], None]], ...]:
        return (
            ("A one-time code leaves: signed, stamped, encrypted", self.code),
            ("A statement with a PDF of 1 MB leaves the same way", self.statement),
            ("A customer without a certificate gets nothing in clear", self.nobody),
            ("A stranger cannot have the bank's signature", self.impostor),
            ("A customer's sealed question comes in: opened, labelled, believed", self.question),
            ("The same question, altered on its way, is not believed", self.altered),
            ("The bank's own name from outside is not believed", self.spoof),
            ("A question signed by somebody else is not believed", self.somebody_else),
        )

    # Outbound

    def code(self) -> None:
        """Sent as online banking would; read as Anna's mail program would."""
        anna = self.bank.people["anna"]
        mail = _mail(
            "otp@" + DOMAIN, anna.address, "Your code", "Your code is 481 516.\nIt is valid for five minutes.\n"
        )
        left = self._send("online-banking", mail)
        self.claim(
            "what left does not show the subject or the code", holds=b"481 516" not in left and b"Your code" not in left
        )
        inside = self._checked(left, anna)
        self.claim("openssl finds the code inside", holds="481 516" in _text(inside))
        self.claim("the subject travels inside, protected (RFC 9788)", holds=inside["Subject"] == "Your code")

    def statement(self) -> None:
        """The PDF must arrive octet by octet."""
        anna = self.bank.people["anna"]
        document = pdf.statement(STATEMENT_OCTETS)
        mail = _mail(
            "statements@" + DOMAIN,
            anna.address,
            "Your statement for November",
            "Please find your statement attached.\n",
        )
        mail.add_attachment(document, maintype="application", subtype="pdf", filename="Kontoauszug März.pdf")
        inside = self._checked(self._send("core-banking", mail), anna)
        found = [part.get_content() for part in inside.walk() if part.get_content_type() == "application/pdf"]
        self.claim(
            f"the PDF inside is the bank's, all {len(document):,} octets of it",
            holds=[hashlib.sha256(octets).digest() for octets in found] == [hashlib.sha256(document).digest()],
        )

    def nobody(self) -> None:
        """Refused by name, nothing left."""
        before = self._count("outgoing")
        reply = self._refused(
            "online-banking", _mail("otp@" + DOMAIN, "nobody@nowhere.example", "Your code", "Your code is 23 42.\n")
        )
        self.claim(f"refused: {reply}", holds=reply.startswith("550 5.7.5"))
        self.claim("nothing left the gateway", holds=self._count("outgoing") == before)

    def impostor(self) -> None:
        """The bank's own address from the world is inbound mail and never reaches a signing rule."""
        before = self._count("outgoing")
        reply = self._refused(
            "staff", _mail("otp@" + DOMAIN, self.bank.people["anna"].address, "Your code", "Your code is 0 0 0.\n")
        )
        self.claim(f"another client with online banking's From is refused: {reply}", holds=reply.startswith("550"))
        reply = self._refused(
            None, _mail("otp@" + DOMAIN, "anna@customer.example", "Your code", "Your code is 0 0 0.\n")
        )
        self.claim(f"from the world it is no relay: {reply}", holds=reply.startswith(("550", "554")))
        self.claim("nothing left the gateway", holds=self._count("outgoing") == before)

    # Inbound

    def question(self) -> None:
        """Made by openssl alone."""
        octets = self._received(self._sealed_question(self.bank.people["anna"]))
        mail = message_from_bytes(octets, policy=policy.default)
        self.claim("the bank's mail server got it opened", holds="limit of my card" in _text(mail))
        self.claim(
            f"Sealgate-Verdict: {mail['Sealgate-Verdict']}", holds=str(mail["Sealgate-Verdict"]).startswith("trusted")
        )
        self.claim(
            f"Authentication-Results: {mail['Authentication-Results']}",
            holds="smime=pass" in str(mail["Authentication-Results"]),
        )

    def altered(self) -> None:
        """One letter of a signed, unencrypted question: it never reaches a reader."""
        anna = self.bank.people["anna"]
        signed = self._header(anna.address) + openssl.sign(_QUESTION, anna)
        self._quarantined(signed.replace(b"limit of my card", b"limit of his card"), anna.address)

    def spoof(self) -> None:
        """The bank's own name from outside."""
        director = "director@" + DOMAIN
        mail = self._header(director) + b"\r\nPlease pay 9,000 EUR today.\r\n"
        self._quarantined(mail, director)

    def _quarantined(self, octets: bytes, from_: str) -> None:
        before = self._count("incoming")
        with smtplib.SMTP("127.0.0.1", self.bank.ports.inbound, timeout=60) as smtp:
            smtp.sendmail(from_, ["support@" + DOMAIN], octets)
        held = json.loads(self._command("--config", str(self.bank.config), "hold", "list", "--json"))
        newest = held[-1] if held else {}
        self.claim(
            f"it is in quarantine, by rule {newest.get('rule')}",
            holds=newest.get("kind") == "quarantine" and newest.get("sender") == from_,
        )
        self.claim("no reader got it", holds=self._count("incoming") == before)

    def somebody_else(self) -> None:
        """A valid signature, of a customer who is not the From."""
        forged = self._sealed_question(self.bank.people["ben"], from_=self.bank.people["anna"].address)
        self._not_believed(self._received(forged))

    def _not_believed(self, octets: bytes) -> None:
        mail = message_from_bytes(octets, policy=policy.default)
        self.claim(
            f"Sealgate-Verdict: {mail['Sealgate-Verdict']}",
            holds=str(mail["Sealgate-Verdict"]).startswith("not_trusted"),
        )
        self.claim(
            f"Authentication-Results: {mail['Authentication-Results']}",
            holds="smime=pass" not in str(mail["Authentication-Results"])
            and "smime=" in str(mail["Authentication-Results"]),
        )

    def _sealed_question(self, signer: openssl.Person, from_: str = "") -> bytes:
        from_ = from_ or signer.address
        entity = openssl.sign(_QUESTION, signer)
        return (
            b"Date: "
            + _now()
            + b"\r\nMessage-ID: "
            + make_msgid(domain="customer.example").encode()
            + b"\r\n"
            + openssl.encrypt(entity, self.bank.support_certificate, (from_, "support@" + DOMAIN, "A question"))
        )

    def _header(self, from_: str) -> bytes:
        return (
            (
                f"From: {from_}\r\nTo: support@{DOMAIN}\r\nSubject: A question\r\n"
                f"Message-ID: {make_msgid(domain='customer.example')}\r\n"
            ).encode()
            + b"Date: "
            + _now()
            + b"\r\n"
        )

    # Ports and commands

    def _send(self, client: str, mail: EmailMessage) -> bytes:
        before = self._files("outgoing")
        with smtplib.SMTP(
            "127.0.0.1", self.bank.ports.outbound, timeout=60, source_address=(CLIENTS[client], 0)
        ) as smtp:
            smtp.send_message(mail)
        return self._new("outgoing", before)

    def _refused(self, client: str | None, mail: EmailMessage) -> str:
        """The reply that refused it; '' if it was taken."""
        port = self.bank.ports.outbound if client else self.bank.ports.inbound
        source = (CLIENTS[client], 0) if client else None
        with smtplib.SMTP("127.0.0.1", port, timeout=60, source_address=source) as smtp:
            try:
                smtp.send_message(mail)
            except smtplib.SMTPRecipientsRefused as refused:
                return _reply(*next(iter(refused.recipients.values())))
            except smtplib.SMTPResponseException as refused:
                return _reply(refused.smtp_code, refused.smtp_error)
        return ""

    def _received(self, octets: bytes) -> bytes:
        before = self._files("incoming")
        with smtplib.SMTP("127.0.0.1", self.bank.ports.inbound, timeout=60) as smtp:
            smtp.sendmail("anna@customer.example", ["support@" + DOMAIN], octets)
        return self._new("incoming", before)

    def _checked(self, left: bytes, reader: openssl.Person) -> EmailMessage:
        entity = openssl.decrypt(left, reader)
        self.claim("openssl cms -decrypt opens it with the customer's key", holds=bool(entity))
        content = openssl.verify(entity, self.bank.root)
        self.claim("openssl cms -verify accepts the bank's signature", holds=bool(content))
        at = openssl.verify_stamp(entity, self.bank.root, self.bank.scratch)
        self.claim(f"openssl ts -verify accepts the time-stamp: {at}", holds=bool(at))
        self.claim("sealgate inspect believes it: trusted", holds=self._inspect(left, reader) == "trusted")
        return message_from_bytes(content, policy=policy.default)

    def _inspect(self, octets: bytes, reader: openssl.Person) -> str:
        path = self.bank.scratch / "mail.eml"
        path.write_bytes(octets)
        told = self._command(
            "inspect",
            str(path),
            "--trust",
            str(self.bank.root),
            "--json",
            "--key",
            str(reader.key),
            "--chain",
            str(reader.certificate),
        )
        return str(json.loads(told).get("verdict"))

    def _command(self, *arguments: str) -> str:
        """What `sealgate` printed."""
        command = [sys.executable, "-m", "gateway", *arguments]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        if not done.stdout:
            raise OSError(f"sealgate {arguments[0]} said nothing: {done.stderr.decode('utf-8', 'replace')[-300:]}")
        return done.stdout.decode()

    def _files(self, directory: str) -> frozenset[Path]:
        return frozenset((self.bank.home / directory).glob("*.eml"))

    def _count(self, directory: str) -> int:
        return len(self._files(directory))

    def _new(self, directory: str, before: frozenset[Path]) -> bytes:
        deadline = time.monotonic() + _WAIT_S
        while time.monotonic() < deadline:
            if new := self._files(directory) - before:
                path = min(new)
                self.console.print(f"   → {path}", style="dim", highlight=False)
                return path.read_bytes()
            time.sleep(0.05)
        raise OSError(f"no mail arrived in {directory}/ within {_WAIT_S:.0f} s")


_QUESTION: Final = b"Content-Type: text/plain; charset=utf-8\r\n\r\nPlease raise the limit of my card to 2,000 EUR.\r\n"


def _reply(code: int, text: bytes | str) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return f"{code} {' '.join(words.split())}"


def _now() -> bytes:
    return format_datetime(localtime()).encode("ascii")


def _mail(from_: str, to: str, subject: str, text: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = from_, to, subject
    mail["Date"], mail["Message-ID"] = format_datetime(localtime()), make_msgid(domain=DOMAIN)
    mail.set_content(text)
    return mail


def _text(mail: EmailMessage) -> str:
    """All text of a mail."""
    return "\n".join(part.get_content() for part in mail.walk() if part.get_content_type() == "text/plain")
