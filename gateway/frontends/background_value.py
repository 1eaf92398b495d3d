"""A cached value of a slow dependency: a caller never waits longer than agreed."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

from gateway import threads
from gateway.errors import GatewayError
from gateway.frontends.telemetry.logs import log_unexpected

log = structlog.get_logger("sealgate.metrics")

T = TypeVar("T")


class BackgroundValue(Generic[T]):
    """`ask` is called on a thread of its own, one at a time, when a caller wants a value older than `life_s`."""

    def __init__(self, ask: Callable[[], T], first: T, *, life_s: float, wait_s: float,
                 monotonic: Callable[[], float] = time.monotonic) -> None:
        """`first` is the value until there is one; errors of `ask` are logged, and the earlier value stays."""
        self._ask = ask
        self._value = first
        self._life_s = life_s
        self._wait_s = wait_s
        self._now = monotonic
        self._lock = threading.Lock()
        self._asked_at: float | None = None
        self._over: threading.Event | None = None

    def get(self) -> T:
        """The value: fresh, or the one before where the answer takes longer than `wait_s`."""
        with self._lock:
            over = self._over
            if over is None and (self._asked_at is None or self._now() - self._asked_at >= self._life_s):
                over = self._start()
        if over is not None:
            over.wait(self._wait_s)
        return self._value

    def _start(self) -> threading.Event | None:
        """Asks for a value. None if the system starts no thread: the next caller tries again. Under the lock."""
        over = threading.Event()
        try:
            threads.start(self._work, over, name="fresh")
        except GatewayError as trouble:
            log.warning("metrics.not_sampled", error=trouble.detail)
            return None
        self._over = over
        return over

    def _work(self, over: threading.Event) -> None:
        try:
            self._value = self._ask()
        except Exception as error:  # noqa: BLE001 - a monitor must not fall silent because of what it watches
            log_unexpected(log, error)
        with self._lock:
            self._asked_at = self._now()
            self._over = None
        over.set()
