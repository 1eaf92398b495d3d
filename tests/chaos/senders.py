"""Mail programs that never give up: each sends a mail until it is acknowledged, as a queue does, and remembers all."""

import random
import smtplib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["one", "two", "held", "split", "letter"]
KINDS: tuple[Kind, ...] = ("one", "two", "held", "split", "letter")
ANNA, BEN, NOBODY = "anna@customer.example", "ben@customer.example", "x@nowhere.example"
SUPPORT = "support@bank.example"
TIMEOUT_S = 60.0

# Kind: client's address, sender, recipients, of whom the last is held.
_PLANS: dict[Kind, tuple[str, str, tuple[str, ...], bool]] = {
    "one": ("127.0.0.1", "otp@bank.example", (ANNA,), False),
    "two": ("127.0.0.1", "otp@bank.example", (ANNA, BEN), False),  # hidden from each other: two groups, a journal
    "held": ("127.0.0.2", "statements@bank.example", (NOBODY,), True),
    "split": ("127.0.0.2", "statements@bank.example", (ANNA, NOBODY), True),
    "letter": ("127.0.0.4", "anna@customer.example", (SUPPORT,), False),
}


@dataclass
class Sent:
    """One mail and what became of every attempt: 250, another code, or 0 where no reply came."""

    kind: Kind
    message_id: str
    attempts: list[int] = field(default_factory=list)

    @property
    def acknowledged(self) -> bool:
        """Whether the gateway said 250."""
        return bool(self.attempts) and self.attempts[-1] == 250

    @property
    def sender(self) -> str:
        """Who it says it is from."""
        return _PLANS[self.kind][1]

    @property
    def to(self) -> tuple[str, ...]:
        """Who must get it."""
        _, _, everybody, held = _PLANS[self.kind]
        return everybody[:-1] if held else everybody

    @property
    def held_for(self) -> tuple[str, ...]:
        """For whom it must lie in the hold store."""
        _, _, everybody, held = _PLANS[self.kind]
        return everybody[-1:] if held else ()

    @property
    def journalled(self) -> bool:
        """Whether it leaves in several groups."""
        return len(_PLANS[self.kind][2]) > 1

    def octets(self) -> bytes:
        """The mail, the same at each attempt. What is sealed carries a secret in subject and text."""
        secret = b"" if self.kind == "letter" else b"SECRET-" + self.message_id.partition("@")[0].encode()
        # A Date of its author's own: one that Postfix adds for an attempt tells a milter nothing of the mail.
        return (b"Date: Thu, 26 Nov 2026 10:00:00 +0000\r\n" +
                f"From: {self.sender}\r\nTo: undisclosed-recipients:;\r\n".encode() + b"Subject: News " + secret +
                f"\r\nMessage-ID: <{self.message_id}>\r\n\r\nDear customer,\r\n".encode() + secret + b"\r\n" +
                b"and so on\r\n" * 50)


class Sender:
    """One after the other, on a thread of its own."""

    def __init__(self, outbound: list[int], inbound: list[int], rng: random.Random, name: str,
                 kinds: tuple[Kind, ...] = KINDS, pause_s: float = 0.0) -> None:
        """`outbound`, `inbound`: ports, one of which is taken at each attempt. `pause_s`: after each mail, for a queue

        in front takes them faster than anything behind it.
        """
        self.sent: list[Sent] = []
        self._outbound = outbound
        self._inbound = inbound
        self._rng = rng
        self._name = name
        self._kinds = kinds
        self._pause_s = pause_s
        self._end = threading.Event()
        self._give_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No new mail; the last one is still tried."""
        self._end.set()

    @property
    def done(self) -> bool:
        """Whether the last mail is through."""
        return not self._thread.is_alive()

    def give_up(self) -> None:
        """The last mail is tried no more."""
        self._end.set()
        self._give_up.set()
        if self._thread.is_alive():
            self._thread.join(TIMEOUT_S)

    def _run(self) -> None:
        while not self._end.is_set():
            mail = Sent(self._rng.choice(self._kinds), f"{self._name}-{len(self.sent)}@chaos.example")
            self.sent.append(mail)
            while not self._give_up.is_set():
                code = self._attempt(mail)
                mail.attempts.append(code)
                if code == 250 or code >= 500:
                    break
                self._give_up.wait(0.02 + self._rng.random() * 0.2)
            self._end.wait(self._pause_s)

    def _attempt(self, mail: Sent) -> int:
        peer, sender, everybody, _ = _PLANS[mail.kind]
        port = self._rng.choice(self._inbound if mail.kind == "letter" else self._outbound)
        return attempt(port, peer, sender, everybody, mail.octets())


def attempt(port: int, peer: str, sender: str, everybody: tuple[str, ...], octets: bytes) -> int:
    """The code that decided it, 0 without one."""
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=TIMEOUT_S, source_address=(peer, 0)) as smtp:
            smtp.ehlo("sender.example")
            steps: list[Callable[[], tuple[int, bytes]]] = [lambda: smtp.mail(sender)]
            steps += [lambda one=one: smtp.rcpt(one) for one in everybody]  # type: ignore[misc]
            for step in (*steps, lambda: smtp.data(octets)):
                code, _ = step()
                if code != 250:
                    break
            return code
    except smtplib.SMTPResponseException as refused:
        return refused.smtp_code
    except (smtplib.SMTPException, OSError):
        return 0
