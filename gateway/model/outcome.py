"""The result of a mail, recipient by recipient, and the reply to the client."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.errors import Reason


class Settled(StrEnum):
    """The result for one recipient. All but LATER and REFUSED are settled: the gateway or the next hop has it."""

    TAKEN = "taken"  # by the next hop
    HELD = "held"  # durable in the hold store
    SERVED = "served"  # committed by a service
    REPORTED = "reported"  # refused after others were taken; a report is on its way
    DISCARDED = "discarded"  # a duplicate of what was taken before
    REFUSED = "refused"  # permanent
    LATER = "later"  # temporary


@dataclass(frozen=True, slots=True)
class RecipientOutcome:
    """`reply`: the next hop's reply verbatim, where there is one. `detail` is private, as in GatewayError.

    `text`: the sentence of the rule's author (`End.text`), meant for permitted clients; None: the Reason's own.
    `way`: sealed, encrypted_pdf or plain, as it was decided; '' where it is not counted.
    """

    address: str
    settled: Settled
    reason: Reason | None = None
    rule: str | None = None
    detail: str = ""
    reply: str | None = None
    text: str | None = None
    way: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one transaction. `answer`: REFUSED (5xx), LATER (451), or TAKEN (250) for the transaction as a whole."""

    incident: str
    answer: Settled
    recipients: tuple[RecipientOutcome, ...]
    reason: Reason | None = None
