"""Documents that end the process that works on them. Truth: each worker is a process of its own, and SIGKILL ends it.

What the next hop took stands in a file, for the process that got the answer may be dead.
"""

import json
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import structlog

from gateway.app.statements.runs import Worker, lead
from gateway.ports.services.statements.rows import RunState
from gateway.services.item_lock import ItemLock
from gateway.services.statements import work
from tests.support.bank import ScriptedHop
from tests.support.statements import address, plain_rows
from tests.unit.services.statements.conftest import CROWD, Desk

_FORK = multiprocessing.get_context("fork")
DEATHS_MAX = 12
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")


THREADS = 2  # of the fixture `desk`


@dataclass
class LoggedHop(ScriptedHop):
    """Takes all; appends whom each mail was for to a file. With the mail for `last` its client's process dies."""

    log: Path = Path()
    last: str = ""

    def deliver(self, octets, envelope, before_dot=None, *, all_or_none=False):
        """See ScriptedHop."""
        replies = super().deliver(octets, envelope, before_dot, all_or_none=all_or_none)
        with self.log.open("a") as file:
            file.writelines(f"{one.address}\n" for one in replies)
        time.sleep(0.02)
        if self.last in {one.address for one in replies}:
            os.kill(os.getpid(), signal.SIGKILL)
        return replies


class Forked:
    """A pool of one process at a time. `deaths`: how many of them a signal ended."""

    def __init__(self, desk: Desk, run_id: str, bad: bytes, alerts: Path) -> None:
        """`bad`: the document at whose check a process dies. `alerts`: where critical events are appended."""
        self.desk, self.run_id, self.bad, self.alerts = desk, run_id, bad, alerts
        self.deaths = 0

    def tend(self) -> None:
        assert self.deaths < DEATHS_MAX, "the run repeats"
        worker = _FORK.Process(target=self._work)
        worker.start()
        worker.join()
        self.deaths += worker.exitcode == -signal.SIGKILL

    def _work(self) -> None:
        structlog.configure(processors=[self._log])
        worker = Worker(self.desk.settings, share=1)
        worker.gateway.use(replace(worker.gateway.context, outbound_hop=self.desk.hop))
        check = worker._documents.check

        def checked(octets, *args, **more):
            if octets == self.bad:
                time.sleep(0.1)  # the other thread is at work
                os.kill(os.getpid(), signal.SIGKILL)
            return check(octets, *args, **more)

        worker._documents.check = checked
        worker.work(self.run_id)
        os._exit(0)

    def _log(self, _logger: object, level: str, event: dict[str, object]) -> object:
        if level == "critical":
            with self.alerts.open("a") as file:
                file.write(json.dumps(event) + "\n")
        raise structlog.DropEvent

    def dismiss(self) -> None: ...


def test_what_ends_its_process_is_refused_by_name_and_all_others_are_served_once(desk, tmp_path, monkeypatch) -> None:
    """Two items of two threads: one by its document, one with its mail, after the final dot."""
    monkeypatch.setattr(work, "DEATHS_MAX", 2)  # each costs the start of a process
    monkeypatch.setattr("gateway.services.statements.plan.CHUNK_ROWS_MIN", 3)
    monkeypatch.setattr("gateway.app.statements.runs.IDLE_S", 0.01)
    monkeypatch.setattr("gateway.services.statements.drive.LOOK_S", 0.01)
    desk.hop = LoggedHop(log=tmp_path / "hop", last=address(4))
    files, alerts = desk.files(plain_rows(CROWD)), tmp_path / "alerts"
    run = desk.take(files)
    pool = Forked(desk, run.id, (files.documents / "1.pdf").read_bytes(), alerts)
    run = lead(desk.settings, desk.store, run.id, lambda _: pool, ending=lambda: False, gate=lambda *_: None)
    assert run.state is RunState.DONE
    items, served = desk.items(run), Counter((tmp_path / "hop").read_text().split())
    died = f"the process that worked on it died {work.DEATHS_MAX} times"
    assert [(one.row, one.reason, one.detail) for one in items if one.state == "refused"] == [
        (2, "internal.surprise", died), (5, "internal.surprise", f"it may have left; {died}")]
    events = [json.loads(line) for line in alerts.read_text().splitlines()]
    assert {(one["event"], one["row"]) for one in events} == {("statement.ended_process", row) for row in (2, 5)}
    assert set(served) == {address(at) for at in range(CROWD)} - {address(1)}
    assert pool.deaths <= 2 * work.DEATHS_MAX + 1
    del served[address(4)]
    copies = sum(served.values()) - len(served)
    assert copies <= sum(one.resent for one in items if one.row != 5) <= THREADS, "of the first death only"
    again = desk.take(desk.files(plain_rows(CROWD), name="again"))
    desk.rounds_max = 0
    desk.go(again)
    assert [one.row for one in desk.items(again) if one.state != "repeated"] == [2], "what did not leave is free"


def test_an_item_that_works_alone_waits_for_the_others_and_goes_before_those_that_come() -> None:
    """Truth: who has the lock, noted by each thread while it has it."""
    lock, order, waited = ItemLock(), [], threading.Event()

    def hold(name: str, *, alone: bool) -> None:
        with lock.held(alone=alone, waits=waited.set):
            order.append(name)

    with lock.held(alone=False, waits=pytest.fail), lock.held(alone=False, waits=pytest.fail):
        first = threading.Thread(target=hold, args=("alone",), kwargs={"alone": True})
        first.start()
        assert waited.wait(10)
        assert lock.is_contended
        waited.clear()
        second = threading.Thread(target=hold, args=("shared",), kwargs={"alone": False})
        second.start()
        assert waited.wait(10), "it flushes what it has before it waits"
        assert order == []
    first.join(10)
    second.join(10)
    assert order == ["alone", "shared"]
    assert not lock.is_contended
