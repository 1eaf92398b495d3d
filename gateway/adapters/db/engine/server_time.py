"""The time of a database server, which all nodes share."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import Connection

from gateway.clock import SystemClock
from gateway.errors import GatewayError

log = structlog.get_logger("sealgate.database")

TIME_S: Final = 10.0  # between two questions for the server's time
SKEW_S: Final = 5.0  # between this machine's clock and the server's, above which people are alerted
ALERT_EVERY_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class _Moment:
    """The server's time, and when it was asked for it by the monotonic clock; `asked_s`: of the last attempt."""

    server: datetime
    at_s: float
    asked_s: float


class ServerTime:
    """Asks the server now and then, and counts on in between."""

    def __init__(self, read: Callable[[], AbstractContextManager[Connection]], name: str) -> None:
        """`name`: of the database, for alerts."""
        self._read, self._name = read, name
        self._moment: _Moment | None = None
        self._asking, self._alerted_s = threading.Lock(), float("-inf")

    def now(self) -> datetime:
        """The server is asked every TIME_S; in between, and while it is away, this machine counts on.

        Where the server never answered the time is this machine's: nothing can be written with it anyway.
        """
        moment = self._moment
        if moment is None:
            with self._asking:
                try:
                    moment = self._moment or self._ask_time()
                except GatewayError:
                    return SystemClock().now()
        elif time.monotonic() - moment.asked_s > TIME_S and self._asking.acquire(blocking=False):
            try:
                moment = self._ask_time()
            except GatewayError:
                moment = self._moment = replace(moment, asked_s=time.monotonic())
            finally:
                self._asking.release()
        return moment.server + timedelta(seconds=time.monotonic() - moment.at_s)

    def _ask_time(self) -> _Moment:
        """GatewayError STORE_UNAVAILABLE (retry). An alert where this machine's clock is another time."""
        begun_s = time.monotonic()
        with self._read() as connection:
            server = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one().astimezone(UTC)
            ended_s, own = time.monotonic(), SystemClock().now()
        asked_s = (begun_s + ended_s) / 2  # the answer was made somewhere between
        self._moment = _Moment(server, asked_s, asked_s)
        skew_s = (own - server).total_seconds() - (ended_s - asked_s)
        if abs(skew_s) > SKEW_S and ended_s - self._alerted_s > ALERT_EVERY_S:
            self._alerted_s = ended_s
            log.critical("clock.skewed", seconds=round(skew_s, 1), database=self._name)
        return self._moment

    def skew_s(self) -> float:
        """By how many seconds this machine's clock is ahead of the server's."""
        return (SystemClock().now() - self.now()).total_seconds()
