"""Deletes old records in the background, so slowly that no mail waits for it (docs/retention.md)."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

import structlog

from gateway.errors import GatewayError, Reason, where
from gateway.frontends.telemetry import metrics
from gateway.ports.retention import RECORD_KINDS, Place, RecordKind, Retention
from gateway.settings import Settings

log = structlog.get_logger("sealgate.retention")

ROUND_S: Final = 30.0  # of one call; the next one goes on where it ended
PAUSE_S: Final = 0.1  # between two transactions
AGAIN: Final = timedelta(hours=1)  # from the end of one pass over all records of a kind to the next one
RETRY: Final = timedelta(minutes=10)  # after a failure


def periods(settings: Settings) -> Mapping[RecordKind, int]:
    """Days after which each kind of record is deleted; 0 = no deletion."""
    return {"evidence": settings.retention.evidence_days,
            "codes": 0 if settings.codes is None else settings.codes.keep_days,
            "runs": 0 if settings.statements is None else settings.statements.keep_days,
            "audit_values": settings.retention.audit_values_days}


class Deletion:
    """Keeps the place that it has reached in each kind of record."""

    def __init__(self, records: Retention, sleep: Callable[[float], None] = time.sleep,
                 passed: Callable[[], float] = time.monotonic) -> None:
        """`passed`: seconds of a clock that only goes forward."""
        self._records = records
        self._sleep = sleep
        self._passed = passed
        self._places: dict[RecordKind, Place] = {}
        self._next_at: dict[RecordKind, datetime] = {}

    def round(self, days: Mapping[RecordKind, int], now: datetime) -> None:
        """Deletes for at most ROUND_S. A failure of one kind is logged and does not keep the others from deletion."""
        until = self._passed() + ROUND_S
        for kind in RECORD_KINDS:
            if not days[kind] or now < self._next_at.get(kind, now):
                continue
            try:
                self._delete(kind, now - timedelta(days=days[kind]), now, until)
            except GatewayError as trouble:
                self._failed(kind, now, str(trouble.reason), trouble.detail)
            except Exception as unexpected:  # noqa: BLE001 - see above
                self._failed(kind, now, str(Reason.INTERNAL), where(unexpected))

    def _failed(self, kind: RecordKind, now: datetime, reason: str, detail: str) -> None:
        self._next_at[kind] = now + RETRY
        log.error("retention.failed", kind=kind, reason=reason, detail=detail)

    def _delete(self, kind: RecordKind, before: datetime, now: datetime, until: float) -> None:
        deleted = held = 0
        try:
            while self._passed() < until:
                step = self._records.delete(kind, before, self._places.get(kind, ()))
                deleted, held = deleted + step.deleted, held + step.held
                if step.next is None:
                    self._places.pop(kind, None)
                    self._next_at[kind] = now + AGAIN
                    return
                self._places[kind] = step.next
                self._sleep(PAUSE_S)
        finally:
            if deleted:
                metrics.deleted(kind, deleted)
                log.info("retention.deleted", kind=kind, records=deleted, held=held, before=before.date().isoformat())
