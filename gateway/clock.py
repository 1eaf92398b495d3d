"""Time comes in from outside: the core never asks the system for it.

A machine whose clock lost its power starts with a date of its firmware, and has the right one only after NTP. Until
then every certificate would be not yet valid, and mail would be rejected for good. So no time is before `EARLIEST`.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from gateway.errors import GatewayError, Reason

EARLIEST: Final = datetime(2024, 1, 1, tzinfo=UTC)  # before this program was written


class Clock(Protocol):
    """A source of the current time."""

    def now(self) -> datetime:
        """The present, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """See Clock. GatewayError CLOCK_WRONG (retry) before EARLIEST."""
        now = datetime.now(UTC)
        if now < EARLIEST:
            raise GatewayError(Reason.CLOCK_WRONG, f"it says {now:%Y-%m-%d %H:%M:%S}Z", retry=True)
        return now


@dataclass(frozen=True, slots=True)
class FrozenClock:
    """A clock that does not advance: for tests, and for `inspect --at`."""

    at: datetime

    def now(self) -> datetime:
        """See Clock."""
        return self.at
