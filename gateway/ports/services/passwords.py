"""Handing over the password of a locked PDF: by the bank's own way to its customer, never beside the mail."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Handover:
    """One password for one recipient of one mail.

    `key`: the same at each retry of this mail, as is the password: a receiver that has handed it over already only
    confirms. `customer`: the number of the customer with this address, None: the address belongs to none. `sender`: the
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
        """Returns once the receiver has accepted the task. GatewayError(PASSWORD_NOT_HANDED_OVER, retry=True) if not.

        Its `detail` never holds the password.
        """
        ...

    def close(self) -> None:
        """Idle connections end."""
        ...
