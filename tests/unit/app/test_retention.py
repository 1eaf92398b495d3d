"""The rounds of deletion: bounded in time, with pauses, each kind for itself."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from gateway.app.retention import AGAIN_S, PAUSE_S, RETRY_S, ROUND_S, Deletion
from gateway.errors import GatewayError, Reason
from gateway.ports.retention import RECORD_KINDS, Place, RecordKind, Step
from tests.support.pki import NOW

DAYS: Mapping[RecordKind, int] = dict.fromkeys(RECORD_KINDS, 10)


class Records:
    """So many steps of seven records each, every one a second long."""

    def __init__(self, steps: int) -> None:
        self.left = dict.fromkeys(RECORD_KINDS, steps)
        self.asked: list[tuple[str, datetime, Place]] = []
        self.failing: set[str] = set()
        self.seconds = 0.0
        self.at: datetime | None = None

    def reached(self) -> datetime | None:
        return self.at

    def reach(self, at: datetime) -> None:
        self.at = at

    def delete(self, kind: RecordKind, before: datetime, after: Place) -> Step:
        self.asked.append((kind, before, after))
        self.seconds += 1
        if kind in self.failing:
            raise GatewayError(Reason.STORE_UNAVAILABLE, "away", retry=True)
        if not self.left[kind]:
            return Step(0, 0, None)
        self.left[kind] -= 1
        return Step(7, 1, (self.left[kind],))

    def sleep(self, seconds: float) -> None:
        assert seconds == PAUSE_S
        self.seconds += seconds

    def deletion(self) -> Deletion:
        return Deletion(self, self.sleep, lambda: self.seconds)


def test_a_round_deletes_what_is_older_and_says_how_much() -> None:
    records = Records(3)
    with structlog.testing.capture_logs() as lines:
        records.deletion().round(DAYS, NOW)
    assert {before for _, before, _ in records.asked} == {NOW - timedelta(days=10)}
    assert [(line["event"], line["kind"], line["records"], line["held"]) for line in lines] == [
        ("retention.deleted", kind, 21, 3) for kind in RECORD_KINDS]


def test_a_round_ends_after_half_a_minute_and_the_next_one_goes_on() -> None:
    records = Records(1000)
    deletion = records.deletion()
    deletion.round({**dict.fromkeys(RECORD_KINDS, 0), "evidence": 10}, NOW)
    assert ROUND_S <= records.seconds < ROUND_S + 2
    reached = records.left["evidence"]
    asked = len(records.asked)
    deletion.round({**dict.fromkeys(RECORD_KINDS, 0), "evidence": 10}, NOW)
    assert records.asked[asked][2] == (reached,)


def test_after_a_pass_the_next_one_begins_an_hour_later() -> None:
    records = Records(0)
    deletion = records.deletion()
    deletion.round(DAYS, NOW)
    records.seconds += 59 * 60
    deletion.round(DAYS, NOW + timedelta(minutes=59))
    assert len(records.asked) == len(RECORD_KINDS)
    records.seconds += 60
    deletion.round(DAYS, NOW + timedelta(minutes=60))
    assert len(records.asked) == 2 * len(RECORD_KINDS)


def test_zero_days_delete_nothing() -> None:
    records = Records(1)
    records.deletion().round(dict.fromkeys(RECORD_KINDS, 0), NOW)
    assert not records.asked


def test_a_failure_of_one_kind_is_logged_and_tried_again_later() -> None:
    records = Records(1)
    records.failing = {"evidence"}
    deletion = records.deletion()
    with structlog.testing.capture_logs() as lines:
        deletion.round(DAYS, NOW)
        deletion.round(DAYS, NOW + timedelta(minutes=1))
    failed = [line for line in lines if line["event"] == "retention.failed"]
    assert [(line["kind"], line["log_level"], line["reason"]) for line in failed] == [
        ("evidence", "error", "store.unavailable")]
    assert all(left == 0 for kind, left in records.left.items() if kind != "evidence")
    records.failing = set()
    records.seconds += RETRY_S
    deletion.round(DAYS, NOW + timedelta(seconds=RETRY_S))
    assert records.left["evidence"] == 0


def test_a_clock_that_jumps_ahead_deletes_nothing_and_is_reported() -> None:
    records = Records(3)
    records.deletion().round(DAYS, NOW)
    later = NOW + timedelta(days=3000)
    records.left, records.asked = dict.fromkeys(RECORD_KINDS, 3), []
    for deletion in (records.deletion(), records.deletion()):  # a new start changes nothing
        with structlog.testing.capture_logs() as lines:
            for _ in range(7):
                deletion.round(DAYS, later)
                records.seconds += RETRY_S
        assert {(line["event"], line["reason"]) for line in lines} == {("retention.failed", "clock.wrong")}
    assert not records.asked
    records.deletion().round(DAYS, NOW + timedelta(hours=2))  # the clock was set right
    assert records.asked


def test_after_a_long_time_off_deletion_goes_on_after_an_hour_for_each_day() -> None:
    records = Records(3)
    records.reach(NOW)
    deletion, later, hours = records.deletion(), NOW + timedelta(days=5, hours=1), 0
    while not records.asked:
        deletion.round(DAYS, later)
        records.seconds += AGAIN_S
        hours += 1
    assert hours == 6
    assert {before for _, before, _ in records.asked} == {later - timedelta(days=10)}
