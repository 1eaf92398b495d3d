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
AGAIN_S: Final = 3600.0  # from the end of one pass over all records of a kind to the next one
RETRY_S: Final = 600.0  # after a failure
JUMP_MAX: Final = timedelta(days=1)  # of the clock, between two rounds


def periods(settings: Settings) -> Mapping[RecordKind, int]:
    """Days after which each kind of record is deleted; 0 = no deletion."""
    return {"evidence": settings.retention.evidence_days,
            "codes": 0 if settings.codes is None else settings.codes.keep_days,
            "runs": 0 if settings.statements is None else settings.statements.keep_days,
            "audit_values": settings.retention.audit_values_days}


class Deletion:
    """Keeps the place that it has reached in each kind of record.

    Nothing brings a record back, so a clock that jumps ahead must not delete years of them. After a jump of more than
    JUMP_MAX nothing is deleted for an hour for each day of it, which people are alerted to.
    """

    def __init__(self, records: Retention, sleep: Callable[[float], None] = time.sleep,
                 passed: Callable[[], float] = time.monotonic) -> None:
        """`passed`: seconds of a clock that only goes forward."""
        self._records = records
        self._sleep = sleep
        self._passed = passed
        self._places: dict[RecordKind, Place] = {}
        self._next_at_s: dict[RecordKind, float] = {}
        self._waits_since_s: float | None = None  # after a jump of the clock

    def round(self, days: Mapping[RecordKind, int], now: datetime) -> None:
        """Deletes for at most ROUND_S. A failure of one kind is logged and does not keep the others from deletion."""
        begun = self._passed()
        for kind in RECORD_KINDS:
            if not days[kind] or begun < self._next_at_s.get(kind, begun):
                continue
            try:
                self._check_clock(now)
                self._delete(kind, now - timedelta(days=days[kind]), begun + ROUND_S)
            except GatewayError as trouble:
                self._failed(kind, str(trouble.reason), trouble.detail)
            except Exception as unexpected:  # noqa: BLE001 - see above
                self._failed(kind, str(Reason.INTERNAL), where(unexpected))

    def _failed(self, kind: RecordKind, reason: str, detail: str) -> None:
        self._next_at_s[kind] = self._passed() + RETRY_S
        log.error("retention.failed", kind=kind, reason=reason, detail=detail)

    def _check_clock(self, now: datetime) -> None:
        """GatewayError CLOCK_WRONG (retry) after a jump."""
        reached = self._records.reached()
        if reached is None or now - reached <= JUMP_MAX:
            self._waits_since_s = None
            if reached is None or abs(now - reached) >= timedelta(seconds=AGAIN_S):
                self._records.reach(now)
            return
        passed = self._passed()
        if self._waits_since_s is None:
            self._waits_since_s = passed
        elif passed - self._waits_since_s >= AGAIN_S:
            self._waits_since_s = passed
            self._records.reach(reached + JUMP_MAX)
        raise GatewayError(Reason.CLOCK_WRONG, f"it says {now:%Y-%m-%d}, the last deletion was on {reached:%Y-%m-%d}. "
                           "If the clock is right, deletion goes on after an hour for each day between", retry=True)

    def _delete(self, kind: RecordKind, before: datetime, until: float) -> None:
        deleted = held = 0
        try:
            while self._passed() < until:
                step = self._records.delete(kind, before, self._places.get(kind, ()))
                deleted, held = deleted + step.deleted, held + step.held
                if step.next is None:
                    self._places.pop(kind, None)
                    self._next_at_s[kind] = self._passed() + AGAIN_S
                    return
                self._places[kind] = step.next
                self._sleep(PAUSE_S)
        finally:
            if deleted:
                metrics.deleted(kind, deleted)
                log.info("retention.deleted", kind=kind, records=deleted, held=held, before=before.date().isoformat())
