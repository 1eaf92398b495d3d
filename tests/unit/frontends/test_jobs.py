"""The loop of the jobs process, over a real database. Truth: what was carried out at the same time, by counting."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from gateway.adapters.db.certificates.fetch_tasks import DbFetchTasks
from gateway.adapters.db.daily import DbDaily
from gateway.adapters.db.engine.database import Database
from gateway.clock import SystemClock
from gateway.errors import GatewayError, Reason
from gateway.frontends.processes import children
from gateway.frontends.processes import jobs as jobs_module
from gateway.frontends.processes.jobs import ISSUERS_AT_ONCE_MAX, Jobs, Round, host
from gateway.ports.fetch import FetchKind, FetchRequest, FetchTask
from tests.support.databases import open_database
from tests.support.pki import NOW

CLOCK = SystemClock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "store.db")
    yield opened
    opened.close()


def wanted(name: str, at: str, kind: FetchKind = "crl") -> FetchRequest:
    return FetchRequest(name, kind, f"http://{at}/{name}", b"\x30\x00", b"\x30\x00")


class Worker:
    """Carries tasks out in `takes_s`, and remembers who ran beside whom."""

    def __init__(self, tasks: DbFetchTasks, takes_s: float = 0.05) -> None:
        self.tasks, self.takes_s = tasks, takes_s
        self.done: list[str] = []
        self.most_of_a_host = self.most_issuers = 0
        self._now: list[FetchTask] = []
        self._lock = threading.Lock()

    def __call__(self, task: FetchTask) -> GatewayError | None:
        with self._lock:
            self._now.append(task)
            self.most_of_a_host = max(self.most_of_a_host, *Counter(map(host, self._now)).values())
            self.most_issuers = max(self.most_issuers, sum(one.request.kind == "issuer" for one in self._now))
        if task.request.url.endswith("surprise"):
            with self._lock:
                self._now.remove(task)
            raise ZeroDivisionError
        time.sleep(self.takes_s)
        self.tasks.done(task.request.key, CLOCK.now(), None)
        with self._lock:
            self._now.remove(task)
            self.done.append(task.request.key)
        return None


def run(jobs: Jobs, until: Callable[[], bool], seconds: float = 20.0) -> bool:
    """The loop on this thread, ended by a signal when `until` holds."""
    def watch() -> None:
        end = time.monotonic() + seconds
        while not until() and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=watch)
    ended = jobs.run(ready=thread.start)
    thread.join()
    assert until()
    return ended


def loop(tasks: DbFetchTasks, work: Callable[[FetchTask], GatewayError | None] | None, *rounds: Round,
         command: tuple[str, ...] = (), reload: Callable[[], None] = lambda: None) -> Jobs:
    return Jobs(tasks, work, rounds, CLOCK, command=command, reload=reload)


def test_one_host_one_request_and_few_issuers_at_once(database: Database) -> None:
    tasks = DbFetchTasks(database)
    worker = Worker(tasks)
    names = [wanted(f"c{number}", f"h{number % 4}.test") for number in range(8)]
    names += [wanted(f"i{number}", f"x{number}.test", "issuer") for number in range(8)]
    tasks.want(names, CLOCK.now(), again_s=300)
    assert run(loop(tasks, worker), lambda: len(worker.done) == 16)
    assert worker.most_of_a_host == 1
    assert worker.most_issuers == ISSUERS_AT_ONCE_MAX
    assert sorted(worker.done) == sorted(one.key for one in names)


def test_a_wish_is_noticed_within_a_moment(database: Database) -> None:
    tasks = DbFetchTasks(database)
    worker = Worker(tasks, 0.0)
    asked: list[float] = []

    def wish() -> bool:
        if not asked:
            time.sleep(0.5)
            asked.append(time.monotonic())
            tasks.want([wanted("a", "h.test")], CLOCK.now(), again_s=300)
        return bool(worker.done)

    run(loop(tasks, worker), wish)
    assert time.monotonic() - asked[0] < 1.0


def test_a_surprise_ends_one_task_and_no_other(database: Database) -> None:
    tasks = DbFetchTasks(database)
    worker = Worker(tasks)
    tasks.want([wanted("surprise", "a.test"), wanted("good", "b.test")], CLOCK.now(), again_s=300)
    run(loop(tasks, worker), lambda: worker.done == ["good"] and tasks.get(["surprise"])[0].failures == 1)
    assert tasks.get(["surprise"])[0].reason is Reason.INTERNAL


def test_rounds_come_again_whatever_becomes_of_one(database: Database) -> None:
    count: Counter[str] = Counter()

    def work(name: str, trouble: Exception | None = None) -> Callable[[], None]:
        def done() -> None:
            count[name] += 1
            if trouble is not None:
                raise trouble
        return done

    rounds = (Round("good", 0.1, work("good")), Round("bad", 0.1, work("bad", GatewayError(Reason.STORE_UNAVAILABLE))),
              Round("odd", 0.1, work("odd", ValueError())), Round("rare", 60, work("rare")))
    run(loop(DbFetchTasks(database), None, *rounds), lambda: min(count["good"], count["bad"], count["odd"]) >= 3)
    assert count["rare"] == 1


def test_a_round_may_want_a_process_of_its_own(database: Database, tmp_path: Path) -> None:
    made = tmp_path / "made"
    one = Round("held", 60, lambda: (str(made),))
    run(loop(DbFetchTasks(database), None, one, command=("touch",)), made.exists)


def test_sighup_reloads_and_a_bad_one_changes_nothing(database: Database) -> None:
    count: list[int] = []

    def reload() -> None:
        count.append(1)
        if len(count) == 1:
            raise GatewayError(Reason.CONFIG_INVALID, "x")

    def hup() -> bool:
        if len(count) < 2:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.1)
        return len(count) >= 2

    assert run(loop(DbFetchTasks(database), None, reload=reload), hup)


def test_nothing_is_fetched_where_nobody_fetches(database: Database) -> None:
    tasks = DbFetchTasks(database)
    tasks.want([wanted("a", "h.test")], CLOCK.now(), again_s=300)
    began = time.monotonic()
    run(loop(tasks, None), lambda: time.monotonic() - began > 0.5)
    assert not tasks.get(["a"])[0].tried


def test_the_end_does_not_wait_for_somebodys_server(database: Database) -> None:
    tasks, release = DbFetchTasks(database), threading.Event()
    tasks.want([wanted("a", "h.test")], CLOCK.now(), again_s=300)
    started = threading.Event()

    def hang(task: FetchTask) -> None:
        del task
        started.set()
        release.wait(30)

    began = time.monotonic()
    assert run(loop(tasks, hang), started.is_set) is False
    assert time.monotonic() - began < 5
    release.set()


def test_one_report_a_day_over_all_processes(database: Database) -> None:
    mine, other = DbDaily(database), DbDaily(database)
    today = NOW.date()
    assert [mine.take(today), other.take(today), mine.take(today)] == [True, False, False]
    mine.give_back(today)
    assert [other.take(today), mine.take(today)] == [True, False]
    assert mine.take(today + timedelta(days=1))
    assert not other.take(today)


@pytest.mark.parametrize(("url", "asked"), [
    ("http://CA.example:8080/a", "ca.example"), ("http://ca.example/a:b", "ca.example"), ("http://[::1]:80/", "[::1]")])
def test_a_host_is_one_host_at_whatever_port(url: str, asked: str) -> None:
    assert host(FetchTask(FetchRequest("key", "crl", url, b""), SystemClock().now(), SystemClock().now())) == asked


def test_a_process_of_a_round_that_does_not_end_is_ended_by_name(database: Database, tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "ONCE_S", 0.2)
    started = tmp_path / "started"
    program = tmp_path / "again"
    program.write_text(f"#!/bin/sh\necho x >> {started}\nsleep 60\n")
    program.chmod(0o755)
    one = Round("held", 0.1, lambda: ("hold", "again"))
    with structlog.testing.capture_logs() as lines:
        run(loop(DbFetchTasks(database), None, one, command=(str(program),)),
            lambda: started.exists() and len(started.read_text()) >= 4)
    stuck = [line for line in lines if line["event"] == "command.stuck"]
    assert {(line["command"], line["log_level"]) for line in stuck} == {("hold again", "critical")}


def test_jobs_with_a_round_that_does_not_return_end_by_name_and_are_started_anew(
        database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "STUCK_S", 0.3)
    release, done = threading.Event(), Counter[str]()
    rounds = (Round("hangs", 60, lambda: release.wait(30) and None),
              Round("good", 0.05, lambda: done.update(("good",))))
    began = time.monotonic()
    with structlog.testing.capture_logs() as lines:
        assert loop(DbFetchTasks(database), None, *rounds).run() is False, "the process must just end"
    release.set()
    assert time.monotonic() - began < 10
    assert done["good"] > 1
    assert [(line["work"], line["log_level"]) for line in lines if line["event"] == "jobs.stuck"] == [
        ("round hangs", "critical")]
