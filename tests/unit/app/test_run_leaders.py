"""One run does not hold the others up. Truth: a leader that never answers, dies, or cannot go on, as processes do."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import structlog

from gateway.app.statements import leaders as module
from gateway.app.statements import worker_pool
from gateway.app.statements.leaders import _Leaders
from gateway.errors import GatewayError, Reason
from gateway.ports.services.statements.rows import RunState
from tests.support import leading
from tests.support.leading import (
    cannot_go_on,
    dies,
    dies_after_a_mail,
    dies_at_the_start,
    dies_at_work,
    hangs,
    is_killed,
    is_not_interrupted,
    yields,
    yields_late,
)

NOW = datetime(2026, 12, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
SETTINGS = SimpleNamespace(limits=SimpleNamespace(message_deadline_s=240.0))


class Book:
    """A store of runs and of work. `due`: the runs that have begun to send, and when they go on."""

    def __init__(self) -> None:
        self.stopped: list[tuple[RunState, str]] = []
        self.due: dict[str, list[datetime]] = {}  # the last one stays
        self.elsewhere: list[str] = []
        self.cancelled: list[str] = []
        self.runs = self.work = self

    def run(self, run: str) -> SimpleNamespace:
        state = RunState.CANCELLED if run in self.cancelled else RunState.RUNNING if run in self.due else RunState.NEW
        return SimpleNamespace(id=run, ended_at=None, state=state, rows=1 if run in self.due else None)

    def unfinished(self) -> list[SimpleNamespace]:
        return [self.run("run1"), self.run("run2")]

    def next_due(self, run: str) -> datetime:
        return self.due[run].pop(0) if len(self.due[run]) > 1 else self.due[run][0]

    def led(self, run: str) -> str:
        return "here" if run in self.elsewhere else ""

    def change(self, run: str, states: tuple[RunState, ...], to: RunState, *, reason: str, detail: str) -> bool:
        del run, states, detail
        self.stopped.append((to, reason))
        return True


@pytest.fixture
def leaders(monkeypatch) -> Iterator[_Leaders]:
    signal.pthread_sigmask(signal.SIG_BLOCK, [module.YIELD])  # a leader that only starts must not die of it
    monkeypatch.setattr(module, "statement_store", lambda _: Book())
    monkeypatch.setattr(module, "LEADER_LOOK_S", 0.05)
    monkeypatch.setattr(module, "OTHERS_LOOK_S", 0.05)
    yield _Leaders(SimpleNamespace(database=SimpleNamespace(now=lambda: NOW)), threading.Event())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [module.YIELD])


def test_the_leaders_of_these_tests_speak_as_real_ones() -> None:
    assert (leading.YIELD, leading.HELD_UP) == (module.YIELD, module.HELD_UP)


def test_a_leader_without_a_sign_of_life_is_killed_and_its_run_is_stopped_by_name(leaders, monkeypatch) -> None:
    monkeypatch.setattr(module, "STALL_S", 0.1)
    monkeypatch.setattr(module, "_lead_run", hangs)
    with structlog.testing.capture_logs() as lines:
        leaders.lead(None, "run1")
    assert leaders._book.stopped == [(RunState.STOPPED, Reason.INPUT_UNREADABLE)]
    assert [line["event"] for line in lines if line["log_level"] == "critical"] == ["run.worker_stuck", "run.stopped"]


def test_a_leader_that_dies_stops_its_run(leaders, monkeypatch) -> None:
    monkeypatch.setattr(module, "_lead_run", dies)
    leaders.lead(None, "run1")
    assert leaders._book.stopped == [(RunState.STOPPED, Reason.INTERNAL)]


def test_a_leader_that_is_killed_leads_again_and_not_for_ever(leaders, monkeypatch) -> None:
    """The kernel kills for want of memory: that is no fault of the run, unless it happens each time."""
    monkeypatch.setattr(module, "_lead_run", is_killed)
    monkeypatch.setattr(module, "REST_S", (0.0,))
    for _ in range(module.KILLED_MAX - 1):
        leaders.lead(None, "run1")
        assert leaders._book.stopped == []
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


def test_a_run_whose_items_wait_lets_another_run_have_its_turn(leaders, monkeypatch) -> None:
    """Attack: one recipient with a temporary error kept all other runs from starting for a day."""
    leaders._book.due = {"run1": [NOW, LATER]}
    monkeypatch.setattr(module, "_lead_run", yields)
    leaders.lead(SETTINGS, "run1")
    monkeypatch.setattr(module, "_lead_run", dies)
    leaders.lead(SETTINGS, "run1")
    assert leaders._book.stopped == [], "it is not led before it is due"
    leaders._book.due = {"run1": [NOW]}
    leaders.lead(SETTINGS, "run1")
    assert leaders._book.stopped, "it is led when it is due"


def test_a_run_that_came_during_anothers_turn_has_the_next_one(leaders, monkeypatch) -> None:
    runs = leaders._book.unfinished()
    assert [run.id for run in leaders.in_turn(runs)] == ["run1", "run2"], "the oldest first"
    monkeypatch.setattr(module, "_lead_run", cannot_go_on)
    leaders.lead(SETTINGS, "run1")
    assert [run.id for run in leaders.in_turn(runs)] == ["run2", "run1"]
    leaders.forget(())
    assert [run.id for run in leaders.in_turn(runs)] == ["run1", "run2"]


def test_a_run_that_is_long_at_work_lets_another_run_have_its_turn(leaders, monkeypatch) -> None:
    monkeypatch.setattr(module, "TURN_S", 0.0)
    leaders._book.due = {"run1": [NOW]}
    monkeypatch.setattr(module, "_lead_run", yields)
    leaders.lead(SETTINGS, "run1")
    assert leaders._book.stopped == []


@pytest.mark.parametrize(("due", "led", "turn_s"), [
    ({"run1": [NOW]}, [], 300.0),  # it has mails to send, and its turn is not over
    ({"run1": [NOW, LATER], "run2": [LATER]}, [], 0.0),  # no other run has anything to do
    ({"run1": [NOW, LATER]}, ["run2"], 0.0),  # a command leads the other one
])
def test_a_run_is_not_interrupted_without_need(leaders, monkeypatch, due, led, turn_s) -> None:
    monkeypatch.setattr(module, "TURN_S", turn_s)
    leaders._book.due, leaders._book.elsewhere = due, led
    monkeypatch.setattr(module, "_lead_run", is_not_interrupted)
    leaders.lead(SETTINGS, "run1")
    assert leaders._book.stopped == []
    assert leaders._rests == {}


def test_a_leader_that_does_not_yield_is_killed_and_its_run_is_stopped_by_name(leaders, monkeypatch) -> None:
    """A mount that died: the workers cannot be ended, and the leader waits for them."""
    monkeypatch.setattr(module, "TURN_S", 0.0)
    monkeypatch.setattr(module, "STALL_S", 0.1)
    monkeypatch.setattr(worker_pool, "END_S", 0.1)
    monkeypatch.setattr(module, "_lead_run", hangs)
    leaders._book.due = {"run1": [NOW]}
    leaders.lead(SimpleNamespace(limits=SimpleNamespace(message_deadline_s=0.1)), "run1")
    assert [reason for _, reason in leaders._book.stopped] == [Reason.INPUT_UNREADABLE]


@pytest.mark.parametrize(("turn_s", "cancelled"), [(0.0, []), (300.0, ["run1"])])
def test_a_leader_of_an_endless_source_makes_way_for_another_run(leaders, monkeypatch, turn_s, cancelled) -> None:
    """Attack: a sparse file of terabytes. Its leader gives signs of life for days, even when the run is cancelled."""
    monkeypatch.setattr(module, "TURN_S", turn_s)
    monkeypatch.setattr(module, "YIELD_S", 0.1)
    monkeypatch.setattr(module, "_lead_run", hangs)
    leaders._book.cancelled = cancelled
    with structlog.testing.capture_logs() as lines:
        leaders.lead(SETTINGS, "run1")
    assert leaders._book.stopped == [], "it goes on at its next turn"
    assert [line["event"] for line in lines] == ["run.worker_did_not_yield"]
    assert list(leaders._rests) == ["run1"], "another run is led before"


def test_a_leader_in_an_endless_source_ends_with_its_parent() -> None:
    """Found running an hour after its parent was killed: only the parent would have killed it."""
    program = ("import threading, time; import gateway.app.statements.leaders as module; module.ENDED_S = 1\n"
               "module.end_in_time(threading.Event()); print(flush=True)\n"
               "while True: time.sleep(60)")  # begins again after each handler (PEP 475), as reading does
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as leader:
        leader.stdout.readline()
        leader.send_signal(signal.SIGTERM)  # as the kernel does when the parent dies (PR_SET_PDEATHSIG)
        assert leader.wait(60) == -signal.SIGALRM


def test_a_leader_whose_mails_may_have_left_is_not_killed_for_another_run(leaders, monkeypatch) -> None:
    monkeypatch.setattr(module, "TURN_S", 0.0)
    monkeypatch.setattr(module, "YIELD_S", 0.0)
    monkeypatch.setattr(module, "_lead_run", yields_late)
    leaders._book.due = {"run1": [NOW]}
    leaders.lead(SETTINGS, "run1")
    assert leaders._rests == {}, "it ended by itself"


@pytest.mark.parametrize(("work", "deaths_max"), [
    (dies_at_the_start, 5), (dies_at_work, 7), (dies_after_a_mail, None)])
def test_a_pool_gives_up_where_its_processes_die_and_no_mail_has_an_outcome(monkeypatch, work, deaths_max) -> None:
    monkeypatch.setattr(worker_pool, "_work", work)
    monkeypatch.setattr(worker_pool, "processes", lambda _: 1)
    monkeypatch.setattr(worker_pool, "DEATHS_AT_WORK_MAX", 7)
    pool = worker_pool.ProcessPool(None, "run1")

    def one_more_dies() -> None:
        pool.tend()
        pool._members[0][0].join()

    with structlog.testing.capture_logs() as logs:
        for _ in range(deaths_max or 9):
            one_more_dies()
        with nullcontext() if deaths_max is None else pytest.raises(GatewayError, match="end at once"):
            one_more_dies()
    pool.dismiss()
    died = [one for one in logs if one["event"] == "run.worker_died"]
    assert {one["signal"] for one in died} <= {signal.SIGKILL}
    assert len(died) == (0 if work is dies_at_the_start else deaths_max or 9)
