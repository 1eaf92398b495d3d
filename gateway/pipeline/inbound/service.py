"""What a service of the bank is to the inbound way: it is handed a mail that was opened and judged, inside the
transaction. `Taken` is said after the service's own commit, so that a 250 never outruns what it stands for.
"""

from dataclasses import dataclass
from typing import Protocol

from gateway.errors import Reason
from gateway.model.mail import Mail, Recipient
from gateway.smime.open import Opened


@dataclass(frozen=True, slots=True)
class Taken:
    """The service has it, and has committed. `note`: one line for the evidence and the log; no content."""

    note: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Never; the client is told (5xx). `detail` is for the log."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TryLater:
    """Not now (451)."""

    reason: Reason
    detail: str = ""


Received = Taken | Refused | TryLater


class MailService(Protocol):
    """One service. `receive` may be called a second time with the same mail: it must not act twice."""

    def receive(self, mail: Mail, opened: Opened, to: Recipient) -> Received:
        """Acts on the mail. `mail`: as it came, without forged fields; `opened`: what stood in it, and the verdicts."""
        ...
