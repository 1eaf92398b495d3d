"""One run does not hold the others up. Truth: a leader that never answers, dies, or cannot go on, as processes do."""

import os
import signal
import threading
from types import SimpleNamespace

import pytest
import structlog

from gateway.app import statements_crew as module
from gateway.app.statements_crew import HELD_UP, _Leaders
from gateway.errors import Reason
from gateway.ports.statements import RunState


def hangs(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()


def dies(*_: object) -> None:
    os._exit(9)


def cannot_go_on(*_: object) -> None:
    os._exit(HELD_UP)


class Book:
    """Keeps what becomes of the run."""

    def __init__(self) -> None:
        self.stopped: list[tuple[RunState, str]] = []

    def led(self, run: str) -> str:
        del run
        return ""

    def change(self, run: str, states: tuple[RunState, ...], to: RunState, *, reason: str, detail: str) -> bool:
        del run, states, detail
        self.stopped.append((to, reason))
        return True


@pytest.fixture
def leaders(monkeypatch) -> _Leaders:
    monkeypatch.setattr(module, "DbStatements", lambda _: Book())
    monkeypatch.setattr(module, "LEADER_LOOK_S", 0.05)
    return _Leaders(SimpleNamespace(database=None), threading.Event())


def test_a_leader_without_a_sign_of_life_is_killed_and_its_run_is_stopped_by_name(leaders, monkeypatch) -> None:
    monkeypatch.setattr(module, "STALL_S", 0.1)
    monkeypatch.setattr(module, "_lead_run", hangs)
    with structlog.testing.capture_logs() as lines:
        leaders.lead(None, "run1")
    assert leaders._book.stopped == [(RunState.STOPPED, Reason.INPUT_UNREADABLE)]
    assert [line["event"] for line in lines if line["log_level"] == "critical"] == ["run worker stuck", "run stopped"]


def test_a_leader_that_dies_stops_its_run(leaders, monkeypatch) -> None:
    monkeypatch.setattr(module, "_lead_run", dies)
    leaders.lead(None, "run1")
    assert leaders._book.stopped == [(RunState.STOPPED, Reason.INTERNAL)]


def test_a_run_that_cannot_go_on_now_rests_and_the_next_one_has_its_turn(leaders, monkeypatch) -> None:
    monkeypatch.setattr(module, "_lead_run", cannot_go_on)
    monkeypatch.setattr(module, "REST_S", (1_000.0,))
    leaders.lead(None, "run1")
    assert leaders._book.stopped == []
    monkeypatch.setattr(module, "_lead_run", dies)
    leaders.lead(None, "run1")
    assert leaders._book.stopped == [], "it was not tried again"
    leaders.lead(None, "run2")
    assert leaders._book.stopped == [(RunState.STOPPED, Reason.INTERNAL)]
    leaders.forget(())
    assert leaders._rests == {}
