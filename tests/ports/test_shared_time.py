"""The time that nodes share. Truth: PostgreSQL's own clock_timestamp(), beside a machine whose clock is wrong."""

from datetime import UTC, datetime, timedelta

import pytest
import structlog

from gateway.adapters.db.engine import server_time
from gateway.app.store import shared_clock
from gateway.clock import FrozenClock, SystemClock
from tests.support.pki import NOW


class Ahead(SystemClock):
    """The clock of a machine that is ten minutes ahead."""

    def now(self) -> datetime:
        return super().now() + timedelta(minutes=10)


def test_it_is_the_databases_and_no_machines(database, kind, monkeypatch) -> None:
    monkeypatch.setattr(server_time, "SystemClock", Ahead)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            assert abs(database.now() - datetime.now(UTC)) < timedelta(seconds=60)
    alerts = [line for line in lines if line["event"] == "clock.skewed"]
    if kind == "sqlite":
        assert alerts == []
    else:
        assert [line["log_level"] for line in alerts] == ["critical"], "once, for an alarm"
        assert 595 < alerts[0]["seconds"] < 605
        assert any("differs" in text for level, text in database.noted() if level == "error")


def test_a_right_clock_alerts_nobody(database) -> None:
    with structlog.testing.capture_logs() as lines:
        before = database.now()
        assert before <= database.now()
    assert [line for line in lines if line["event"] == "clock.skewed"] == []


def test_without_its_server_it_goes_on(database, kind, monkeypatch) -> None:
    known = database.now()
    monkeypatch.setattr(server_time, "TIME_S", -1.0)
    database.close()
    assert timedelta(0) <= database.now() - known < timedelta(seconds=60)


def test_a_database_that_never_answered_has_the_machines_time(dead_database) -> None:
    assert abs(dead_database.now() - datetime.now(UTC)) < timedelta(seconds=60)


@pytest.mark.parametrize("own", [None, SystemClock()])
def test_stores_and_services_go_by_it(database, own) -> None:
    assert shared_clock(database, own) is database
    test = FrozenClock(NOW)
    assert shared_clock(database, test) is test
