"""The tour's mails: codes and statements out, questions in, and what strangers try."""

import hashlib
import smtplib
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.utils import make_msgid
from typing import Final

from gateway.demo import openssl, pdf
from gateway.demo.bank import DOMAIN
from gateway.demo.guide import Guide, date_value, plain_mail, text_of

STATEMENT_OCTETS: Final = 1_048_576

_QUESTION: Final = b"Content-Type: text/plain; charset=utf-8\r\n\r\nPlease raise the limit of my card to 2,000 EUR.\r\n"


@dataclass(frozen=True, slots=True)
class MailTour:
    """Its stations."""

    guide: Guide

    # Outbound

    def code(self) -> None:
        """Sent as online banking would; read as Anna's mail program would."""
        anna = self.guide.bank.people["anna"]
        mail = plain_mail(
            "otp@" + DOMAIN, anna.address, "Your code", "Your code is 481 516.\nIt is valid for five minutes.\n"
        )
        left = self.guide.send("online-banking", mail)
        self.guide.claim(
            "what left does not show the subject or the code", holds=b"481 516" not in left and b"Your code" not in left
        )
        inside = self.guide.checked(left, anna)
        self.guide.claim("openssl finds the code inside", holds="481 516" in text_of(inside))
        self.guide.claim("the subject travels inside, protected (RFC 9788)", holds=inside["Subject"] == "Your code")

    def statement(self) -> None:
        """The PDF must arrive octet by octet."""
        anna = self.guide.bank.people["anna"]
        document = pdf.statement(STATEMENT_OCTETS)
        mail = plain_mail(
            "statements@" + DOMAIN,
            anna.address,
            "Your statement for November",
            "Please find your statement attached.\n",
        )
        mail.add_attachment(document, maintype="application", subtype="pdf", filename="Kontoauszug März.pdf")
        inside = self.guide.checked(self.guide.send("core-banking", mail), anna)
        found = [part.get_content() for part in inside.walk() if part.get_content_type() == "application/pdf"]
        self.guide.claim(
            f"the PDF inside is the bank's, all {len(document):,} octets of it",
            holds=[hashlib.sha256(octets).digest() for octets in found] == [hashlib.sha256(document).digest()],
        )

    def without_certificate(self) -> None:
        """Refused by name, nothing left."""
        before = self.guide.count("outgoing")
        reply = self.guide.refused(
            "online-banking",
            plain_mail("otp@" + DOMAIN, "nobody@nowhere.example", "Your code", "Your code is 23 42.\n"),
        )
        self.guide.claim(f"refused: {reply}", holds=reply.startswith("550 5.7.5"))
        self.guide.claim("nothing left the gateway", holds=self.guide.count("outgoing") == before)

    def impostor(self) -> None:
        """The bank's own address from the internet is inbound mail and never reaches a signing rule."""
        before = self.guide.count("outgoing")
        reply = self.guide.refused(
            "staff",
            plain_mail("otp@" + DOMAIN, self.guide.bank.people["anna"].address, "Your code", "Your code is 0 0 0.\n"),
        )
        self.guide.claim(
            f"another client with online banking's From is refused: {reply}", holds=reply.startswith("550")
        )
        reply = self.guide.refused(
            None, plain_mail("otp@" + DOMAIN, "anna@customer.example", "Your code", "Your code is 0 0 0.\n")
        )
        self.guide.claim(f"it is no relay for the internet: {reply}", holds=reply.startswith(("550", "554")))
        self.guide.claim("nothing left the gateway", holds=self.guide.count("outgoing") == before)

    # Inbound

    def question(self) -> None:
        """Made by openssl alone."""
        octets = self.guide.received(self._sealed_question(self.guide.bank.people["anna"]))
        mail = message_from_bytes(octets, policy=policy.default)
        self.guide.claim("the bank's mail server got it opened", holds="limit of my card" in text_of(mail))
        self.guide.claim(
            f"Sealgate-Verdict: {mail['Sealgate-Verdict']}", holds=str(mail["Sealgate-Verdict"]).startswith("trusted")
        )
        self.guide.claim(
            f"Authentication-Results: {mail['Authentication-Results']}",
            holds="smime=pass" in str(mail["Authentication-Results"]),
        )

    def altered(self) -> None:
        """One letter of a signed, unencrypted question: it never reaches a reader."""
        anna = self.guide.bank.people["anna"]
        signed = self._header(anna.address) + openssl.sign(_QUESTION, anna)
        self._quarantined(signed.replace(b"limit of my card", b"limit of his card"), anna.address)

    def spoof(self) -> None:
        """The bank's own name from outside."""
        director = "director@" + DOMAIN
        mail = self._header(director) + b"\r\nPlease pay 9,000 EUR today.\r\n"
        self._quarantined(mail, director)

    def _quarantined(self, octets: bytes, from_: str) -> None:
        before = self.guide.count("incoming")
        with smtplib.SMTP("127.0.0.1", self.guide.bank.ports.inbound, timeout=60) as smtp:
            smtp.sendmail(from_, ["support@" + DOMAIN], octets)
        newest = self.guide.held_mail()
        self.guide.claim(
            f"it is in quarantine, by rule {newest.get('rule')}",
            holds=newest.get("kind") == "quarantine" and newest.get("sender") == from_,
        )
        self.guide.claim("no reader got it", holds=self.guide.count("incoming") == before)

    def another_signer(self) -> None:
        """A valid signature, of a customer who is not the From."""
        forged = self._sealed_question(self.guide.bank.people["ben"], from_=self.guide.bank.people["anna"].address)
        self._not_believed(self.guide.received(forged))

    def _not_believed(self, octets: bytes) -> None:
        mail = message_from_bytes(octets, policy=policy.default)
        self.guide.claim(
            f"Sealgate-Verdict: {mail['Sealgate-Verdict']}",
            holds=str(mail["Sealgate-Verdict"]).startswith("not_trusted"),
        )
        self.guide.claim(
            f"Authentication-Results: {mail['Authentication-Results']}",
            holds="smime=pass" not in str(mail["Authentication-Results"])
            and "smime=" in str(mail["Authentication-Results"]),
        )

    def _sealed_question(self, signer: openssl.Person, from_: str = "") -> bytes:
        from_ = from_ or signer.address
        entity = openssl.sign(_QUESTION, signer)
        return (
            b"Date: "
            + date_value()
            + b"\r\nMessage-ID: "
            + make_msgid(domain="customer.example").encode()
            + b"\r\n"
            + openssl.encrypt(entity, self.guide.bank.support_certificate, (from_, "support@" + DOMAIN, "A question"))
        )

    def _header(self, from_: str) -> bytes:
        return (
            (
                f"From: {from_}\r\nTo: support@{DOMAIN}\r\nSubject: A question\r\n"
                f"Message-ID: {make_msgid(domain='customer.example')}\r\n"
            ).encode()
            + b"Date: "
            + date_value()
            + b"\r\n"
        )
