"""What is known only at a scrape. Truth: prometheus_client's reader of the page, and the values that went in."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.frontends.background_value import BackgroundValue
from gateway.frontends.telemetry.metrics.numbers import Measurements
from gateway.frontends.telemetry.metrics.page import Page
from gateway.ports.counts import StoreNumbers, Waiting

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SEEN = Measurements(
    NOW, "0.1", StoreNumbers(
        held={"hold": Waiting(3, 3000, NOW - timedelta(hours=1)), "quarantine": Waiting(0, 0, None)},
        fetch_tasks=5, fetch_due=2, fetch_failing=1, lists=4, lists_stale=1, list_oldest=NOW - timedelta(days=1),
        claims=1, resent=2, authorities_unknown=6),
    hold_limit=10_000, spooled=777,
    ends={("key that signs", "otp"): NOW + timedelta(days=9)}, enrolled_ending={7: 1, 30: 12})


def page(directory: Path, seen: Measurements) -> dict[tuple[str, ...], float]:
    text = Page(directory, lambda: seen).octets().decode()
    return {(sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text) for sample in family.samples}


def test_what_the_database_and_the_settings_say(tmp_path: Path) -> None:
    found = page(tmp_path, SEEN)
    assert found["sealgate_held_mails", "hold"] == 3
    assert found["sealgate_held_oldest_age_seconds", "hold"] == 3600
    assert found["sealgate_held_oldest_age_seconds", "quarantine"] == 0
    assert found["sealgate_expiry_timestamp_seconds", "otp", "key that signs"] == (NOW + timedelta(days=9)).timestamp()
    assert found["sealgate_enrolled_certificates_ending", "30"] == 12
    assert found["sealgate_revocation_list_oldest_age_seconds",] == 86400
    assert found["sealgate_fetch_tasks", "failing"] == 1
    assert found["sealgate_database_up",] == 1
    assert found["sealgate_evidence_waiting_bytes",] == 777


def test_without_the_database_the_rest_is_told(tmp_path: Path) -> None:
    found = page(tmp_path, Measurements(NOW, "0.1", None, ends=SEEN.ends))
    assert found["sealgate_database_up",] == 0
    assert ("sealgate_expiry_timestamp_seconds", "otp", "key that signs") in found
    assert not [one for one in found if one[0].startswith("sealgate_held")]


def test_names_may_hold_what_a_label_has_to_escape(tmp_path: Path) -> None:
    name = 'CN="Root\\1"\nO=x'
    assert ("sealgate_expiry_timestamp_seconds", name, "root for signers") in page(
        tmp_path, Measurements(NOW, "0.1", None, ends={("root for signers", name): NOW}))


class Clock:
    at = 0.0

    def __call__(self) -> float:
        return self.at


def test_a_value_is_kept_for_its_life() -> None:
    clock, asked = Clock(), []
    fresh = BackgroundValue(lambda: asked.append(1) or len(asked), 0, life_s=10, wait_s=60, monotonic=clock)
    assert [fresh.get(), fresh.get()] == [1, 1]
    clock.at = 9.9
    assert fresh.get() == 1
    clock.at = 10
    assert fresh.get() == 2


def test_who_asks_does_not_wait_for_what_hangs() -> None:
    """A database that does not answer: the value before stands, and nobody asks it a second time meanwhile."""
    clock, go, asked = Clock(), threading.Event(), []

    def ask() -> str:
        asked.append(1)
        if len(asked) > 1:
            go.wait(60)
        return f"answer {len(asked)}"

    fresh = BackgroundValue(ask, "nothing", life_s=10, wait_s=0.05, monotonic=clock)
    patient = BackgroundValue(ask, "nothing", life_s=10, wait_s=60, monotonic=clock)
    assert patient.get() == "answer 1"
    assert [fresh.get(), fresh.get()] == ["nothing", "nothing"]
    assert len(asked) == 2
    go.set()


@pytest.mark.filterwarnings("default")
def test_what_raises_leaves_the_value_before() -> None:
    clock, values = Clock(), iter([1])
    fresh = BackgroundValue(lambda: next(values), 0, life_s=10, wait_s=60, monotonic=clock)
    assert fresh.get() == 1
    clock.at = 20
    assert fresh.get() == 1
