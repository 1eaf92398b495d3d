"""The journal of mails that leave in several groups (design 2.3)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class JournalState(StrEnum):
    """Of one (message key, recipient)."""

    PLANNED = "planned"
    SENDING = "sending"  # written before the final dot
    TAKEN = "taken"  # with the next hop's reply


@dataclass(frozen=True, slots=True)
class JournalRow:
    """`reply` is the next hop's, once TAKEN; `resent` counts sends after a crash in SENDING."""

    message_key: str
    recipient: str
    state: JournalState
    reply: str | None = None
    resent: int = 0


class Journal(Protocol):
    """Every write is durable when the method returns."""

    def rows(self, message_key: str, *, unacknowledged_only: bool = False) -> tuple[JournalRow, ...]:
        """What is known of this message; reads only. With `unacknowledged_only`, rows of transactions that

        ended with a 250 to the client do not count (a message without Message-ID may rightly come again).
        """
        ...

    def claim(self, message_key: str, recipients: tuple[str, ...], *,
              unacknowledged_only: bool = False) -> tuple[JournalRow, ...]:
        """Takes the message for this worker and plans its recipients; returns all rows of the message (as `rows`).

        GatewayError(JOURNAL_IN_PROGRESS, retry=True) while another one works on it.
        A claim whose process has died is free again.
        """
        ...

    def sending(self, message_key: str, recipients: tuple[str, ...]) -> None:
        """About to send the final dot for these recipients."""
        ...

    def taken(self, message_key: str, recipients: tuple[str, ...], reply: str) -> None:
        """The next hop has taken them."""
        ...

    def release(self, message_key: str, *, acknowledged: bool, unanswered: tuple[str, ...] = ()) -> None:
        """Ends this worker's claim. `acknowledged`: the client got 250.

        Rows still SENDING go back to PLANNED, for their answer was seen and was not 2xx; those of `unanswered`
        (the connection broke after the final dot) stay SENDING, so that sending them again is counted.
        """
        ...
