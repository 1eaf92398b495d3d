"""The page that Prometheus reads: what all processes counted, and what is known only now. Text format 0.0.4."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from gateway import threads
from gateway.frontends.telemetry.logs import log_unexpected
from gateway.frontends.telemetry.metrics.files import bury
from gateway.frontends.telemetry.metrics.numbers import AtScrape, Measurements

log = structlog.get_logger("sealgate.metrics")

BURY_EVERY_S: Final = 60.0
MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Page:
    """Made in the one process that serves it."""

    def __init__(self, directory: Path, measure: Callable[[], Measurements]) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._now = CollectorRegistry()
        self._now.register(AtScrape(measure))

    def octets(self) -> bytes:
        """The page. Logs files that cannot be read, and serves the rest."""
        return self._counted() + generate_latest(self._now)

    def keep_burying(self) -> None:
        """Removes files of ended processes also while no server scrapes: else they would fill the directory.

        GatewayError INTERNAL (retry) if the system starts no thread.
        """
        threads.start(self._bury_for_ever, name="bury")

    def _bury_for_ever(self) -> None:
        while True:
            try:
                with self._lock:
                    bury(self._directory)
            except Exception as error:  # noqa: BLE001 - as at a scrape
                log_unexpected(log, error)
            time.sleep(BURY_EVERY_S)

    def _counted(self) -> bytes:
        try:
            with self._lock:
                bury(self._directory)
                counted = CollectorRegistry()
                MultiProcessCollector(counted, str(self._directory))  # type: ignore[no-untyped-call]
                return generate_latest(counted)
        except Exception as error:  # noqa: BLE001 - a foreign or truncated file
            log_unexpected(log, error)
            return b""
