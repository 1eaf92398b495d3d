"""Mail that comes back, as strangers' servers and customers write it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway.app.services import returns_of
from gateway.demo import openssl
from gateway.demo.openssl import Person
from gateway.mime.build import Status, message, report
from gateway.ports.services.codes import CodeRow, CodeState, SendLimits
from gateway.settings import Settings

MAILBOX = "codes@bank.example"
STATEMENTS = "bounces@bank.example"
POLICY = """
version: 1
rules:
  - name: codes-back
    when: {direction: inbound, recipient: ["codes@bank.example", "codes+*@bank.example"]}
    end: {hand_to: codes}
    cases:
      - given: {direction: inbound, recipient: codes+1.2@bank.example, from: "", kind: dsn}
        expect: {end: hand_to}
  - name: statements-back
    when: {direction: inbound, recipient: ["bounces@bank.example", "bounces+*@bank.example"]}
    end: {hand_to: statements}
    cases:
      - given: {direction: inbound, recipient: bounces+1.2@bank.example, from: "", kind: dsn}
        expect: {end: hand_to}
  - name: alarm
    when: {direction: internal, client: sealgate, from: otp@bank.example, recipient: security@bank.example}
    then: {sign: {with: otp}}
    cases:
      - given: {direction: internal, client: sealgate, from: otp@bank.example, recipient: security@bank.example}
        expect: {then: sign, end: deliver}
  - name: all-else
    when: {direction: inbound}
    cases:
      - given: {direction: inbound, from: anna@customer.example}
        expect: {end: deliver}
    end: deliver
otherwise: reject
"""


def with_mailboxes(policy: Path) -> Callable[[Settings], Settings]:
    """The demo's settings, where codes and statements have mailboxes and POLICY is the one policy."""
    policy.write_text(POLICY, "utf-8")

    def change(settings: Settings) -> Settings:
        assert settings.codes is not None
        assert settings.statements is not None
        codes = settings.codes.model_copy(update={"bounces": MAILBOX, "alarm_to": "security@bank.example"})
        statements = settings.statements.model_copy(update={"bounces": STATEMENTS})
        return settings.model_copy(update={"codes": codes, "statements": statements, "policies": (policy,)})

    return change


def bounce(status: str = "5.1.1", action: str = "failed", said: str = "550 5.1.1 no such user") -> bytes:
    """A report of a mail server elsewhere."""
    row = Status("anna@customer.example", action, status, said)  # type: ignore[arg-type]
    return message((b"From: MAILER-DAEMON@customer.example\r\n", b"To: codes@bank.example\r\n",
                    b"Subject: Undelivered Mail Returned to Sender\r\n"),
                   report("It did not arrive.", "mx.customer.example", [row], b"Subject: [...]\r\n\r\n"))


def row(code_id: str, customer: str, at: datetime, expires: datetime, client: str = "online-banking") -> CodeRow:
    """A code that was issued."""
    return CodeRow(code_id, client, customer, "payment", CodeState.LIVE, 8, b"n" * 16, b"d" * 32, "en", "r-1", at,
                   expires)


NO_LIMITS = SendLimits(0, 0)


@dataclass
class Reply:
    """A customer's answer to the mail of a code. `about`: whose Message-ID stands in In-Reply-To."""

    settings: Settings
    about: str

    @property
    def message_id(self) -> str:
        """Of the code's mail."""
        assert self.settings.codes is not None
        return f"<{returns_of(self.settings.codes).message_id(self.about)}>"

    @property
    def return_path(self) -> str:
        """Of the code's mail."""
        assert self.settings.codes is not None
        return returns_of(self.settings.codes).address(self.about)

    def header(self, from_: str = "anna@customer.example", more: bytes = b"") -> bytes:
        """Of the answer."""
        return (f"From: {from_}\r\nTo: {MAILBOX}\r\nSubject: Re: your code\r\nMessage-ID: <a@customer.example>\r\n"
                f"In-Reply-To: {self.message_id}\r\n").encode() + more

    def signed(self, person: Person, from_: str = "", more: bytes = b"") -> bytes:
        """The answer as openssl signs it."""
        content = b"Content-Type: text/plain\r\n\r\nThat was not me.\r\n"
        return self.header(from_ or person.address, more) + openssl.sign(content, person)

    def plain(self, from_: str = "anna@customer.example", more: bytes = b"") -> bytes:
        """The answer as anybody may write it."""
        return self.header(from_, more) + b"\r\nThat was not me.\r\n"
