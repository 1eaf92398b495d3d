"""Handing over the password of a locked PDF: by the bank's own way to its customer, never beside the mail."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Handover:
    """One password for one recipient of one mail.

    `key`: the same whenever this mail is tried again, as is the password: whoever has handed it over already just
    says so. `customer`: the number of the customer with this address, None: nobody is known by it. `sender`: the
    mail's From; `message_id` with its brackets, '' for none.
    """

    key: str
    recipient: str
    customer: str | None
    password: str = field(repr=False)
    sender: str
    message_id: str
    language: str


class Passwords(Protocol):
    """Thread-safe."""

    def hand_over(self, handover: Handover) -> None:
        """Returns once somebody has taken it upon himself. GatewayError(PASSWORD_NOT_HANDED_OVER, retry=True) if not,

        whatever the reason; its `detail` never holds the password.
        """
        ...

    def close(self) -> None:
        """Idle connections end."""
        ...
