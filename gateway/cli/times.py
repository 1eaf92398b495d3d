"""Times in options of commands."""

from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.cli.context import USAGE, fail
from gateway.clock import SystemClock

FORMS: Final = "7d, 12h, 30m, or an ISO 8601 time (UTC if it names no zone)"


def past(text: str, option: str) -> datetime:
    """So long ago, or this time; aware. Ends the command where `text` is neither."""
    now = SystemClock().now()
    unit = {"d": "days", "h": "hours", "m": "minutes"}.get(text[-1:])
    try:
        if unit is not None:
            return now - timedelta(**{unit: float(text[:-1])})
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        fail(f"{option} {text!r} is not a valid time. Write 7d, 12h, 30m, or ISO 8601 such as 2026-11-24T08:00", USAGE)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
