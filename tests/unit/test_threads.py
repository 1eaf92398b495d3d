"""A thread that the system does not start costs one answer, and nothing for good.

Truth: Python's own error, as `Thread.start` raises it at the limit of tasks; then, with threads again, the same object
does its work.
"""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import structlog

from gateway import threads
from gateway.adapters import run_jobs
from gateway.adapters.db.engine.heartbeat import Heartbeat
from gateway.adapters.db.evidence import DbEvidence
from gateway.adapters.directories.guarded import Guarded
from gateway.adapters.web.address import AddressBook, read_url
from gateway.app.codes.callbacks import Caller
from gateway.app.statements import leaders, preflight, runs, worker_pool
from gateway.errors import GatewayError, Reason
from gateway.frontends.background_value import BackgroundValue
from gateway.frontends.processes.jobs import Jobs, Round
from gateway.frontends.smtp.threads import Workers
from gateway.settings import HttpSourceSettings
from tests.support.smtp import until


class Limit:
    """While it is `reached`, no thread starts."""

    reached = False


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Limit:
    made, start = Limit(), threading.Thread.start

    def starts(thread: threading.Thread) -> None:
        if made.reached:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", starts)
    return made


def refused(call) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        call()
    assert caught.value.retry
    return caught.value


def test_what_could_not_be_submitted_is_not_done_later(limit) -> None:
    done: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        limit.reached = True
        trouble = refused(lambda: threads.submit(pool, done.append, "first"))
        assert "can't start new thread" in trouble.detail
        limit.reached = False
        assert threads.submit(pool, lambda: "second").result(5) == "second"
        with pytest.raises(ZeroDivisionError):
            threads.submit(pool, lambda: 1 / 0).result(5)
    assert done == []


class Directory:
    """`timed_rows`: its answers are for the share of new domains."""

    name = "partner"

    def rows(self, address: str) -> tuple[()]:
        return ()

    def timed_rows(self, address: str) -> tuple[tuple[()], float]:
        return (), 0.0


def test_a_directory_gives_back_the_place_and_the_question(limit) -> None:
    source = Guarded(Directory(), HttpSourceSettings(
        name="partner", kind="http", url="https://x.example/{address}", deadline_s=1, in_flight_max=1, failures_max=1))
    limit.reached = True
    for _ in range(3):
        began = time.monotonic()
        trouble = refused(lambda: source.rows("anna@partner.example"))
        assert trouble.reason is Reason.CERTIFICATE_UNAVAILABLE
        assert time.monotonic() - began < 0.2, "no mail waits for a question that was never asked"
    assert not source.resting, "it is not the directory that has failed"
    limit.reached = False
    assert source.rows("anna@partner.example") == ()


def test_a_directory_that_rests_is_tried_again(limit) -> None:
    """The one question that tries it must not count as under way for good."""
    now = [0.0]
    inner = Directory()
    inner.timed_rows = lambda _: 1 / 0  # type: ignore[method-assign]
    source = Guarded(inner, HttpSourceSettings(name="partner", kind="http", url="https://x.example/{address}",
                                               failures_max=1, pause_s=10), monotonic=lambda: now[0])
    refused(lambda: source.rows("anna@partner.example"))
    del inner.timed_rows
    now[0] = 11.0
    limit.reached = True
    refused(lambda: source.rows("anna@partner.example"))
    limit.reached = False
    assert source.rows("anna@partner.example") == ()


def test_the_address_book_gives_back_the_place(limit) -> None:
    book = AddressBook((), public=True, waiting_max=1, resolver=lambda host, port: ("9.9.9.9",))
    target = read_url("http://lists.example/", frozenset({"http"}))
    limit.reached = True
    for _ in range(2):
        trouble = refused(lambda: book.addresses(target, time.monotonic() + 0.2))
        assert trouble.reason is Reason.FETCH_UNAVAILABLE
    limit.reached = False
    assert book.addresses(target, time.monotonic() + 5) == ("9.9.9.9",)


class Spool:
    """One batch waits until it is brought in."""

    def __init__(self) -> None:
        self.rows = [{"n": 1}]

    def reserve(self) -> None:
        pass

    def add(self, rows) -> None:
        self.rows += rows

    def waiting(self) -> int:
        return len(self.rows)

    def first(self):
        return self.rows[:1]

    def batches(self):
        yield [self.rows.pop() for _ in tuple(self.rows)]

    def remove_unused(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_evidence_on_disk_is_brought_in_by_a_later_mail(limit) -> None:
    spool = Spool()
    evidence = DbEvidence(SimpleNamespace(write=lambda work: 1), spool)  # type: ignore[arg-type]
    limit.reached = True
    with structlog.testing.capture_logs() as lines:
        evidence.ready()
    assert [line["event"] for line in lines] == ["evidence.spool_waits"]
    limit.reached = False
    evidence.ready()
    until(lambda: not spool.waiting())
    evidence.close()


def test_the_heartbeat_begins_when_it_can(limit) -> None:
    beats: list[int] = []

    def connect() -> None:
        beats.append(1)
        raise OSError

    pulse = Heartbeat(connect, SimpleNamespace())  # type: ignore[arg-type]
    limit.reached = True
    with structlog.testing.capture_logs() as lines:
        pulse.start()  # a look-up must not fail for it
        assert pulse.leads("jobs") is False
    assert {line["event"] for line in lines} == {"database.heartbeat_not_started"}
    pulse._beats = True
    refused(pulse.attend)  # a claim without signs of life would be taken for a dead one's
    limit.reached = False
    pulse.start()
    until(lambda: bool(beats))
    pulse.close()


def test_a_heartbeat_that_never_began_can_be_closed(limit) -> None:
    pulse = Heartbeat(lambda: None, SimpleNamespace())  # type: ignore[arg-type, return-value]
    limit.reached = True
    pulse.start()
    pulse.close()


def test_a_value_in_the_background_is_asked_for_again(limit) -> None:
    value = BackgroundValue(lambda: "new", "first", life_s=0, wait_s=5)
    limit.reached = True
    began = time.monotonic()
    assert value.get() == "first"
    assert time.monotonic() - began < 1
    limit.reached = False
    assert value.get() == "new"


def test_a_relay_that_gets_a_thread_again_works_on_mails(limit) -> None:
    async def mails() -> list[int]:
        workers = Workers("mail", 2, 10)
        limit.reached = True
        for _ in range(3):
            trouble = refused(lambda: workers.submit(lambda: 0))
            assert trouble.reason is Reason.CLIENT_BUSY
        assert workers.waiting == 0 or await workers.finish(0) == 0
        limit.reached = False
        done = [await workers.submit(lambda number=number: number).done for number in range(3)]
        limit.reached = True  # from now on those that are there do all
        busy = [workers.submit(lambda number=number: time.sleep(0.05) or number).done for number in range(3)]
        done += [await one for one in busy]
        workers.close()
        return done

    assert asyncio.run(mails()) == [0, 1, 2, 0, 1, 2]


def test_a_clients_callbacks_go_on(limit) -> None:
    class Book:
        asked = 0

        def due(self, now, most, left_alone):
            self.asked += 1
            return [] if "shop" in left_alone else [SimpleNamespace(client="shop")]

    book = Book()
    caller = Caller(book, SimpleNamespace(now=lambda: 0), {})  # type: ignore[arg-type]
    called: list[str] = []
    caller._one = lambda call: called.append(call.client) or True  # type: ignore[assignment, func-returns-value]
    limit.reached = True
    refused(caller.round)
    limit.reached = False
    assert called == []
    caller.round()
    until(lambda: called == ["shop"])
    caller.close()


def test_a_round_of_jobs_is_done_later_and_only_once_at_a_time(limit) -> None:
    done: list[int] = []

    async def rounds() -> None:
        jobs = Jobs(None, None, [Round("daily", 0.0, lambda: done.append(1))], None, command=(),  # type: ignore[arg-type, func-returns-value]
                    reload=lambda: None)
        limit.reached = True
        with structlog.testing.capture_logs() as lines:
            jobs._start_rounds()
            await asyncio.gather(*jobs._kept)
        assert [(line["event"], line["round"]) for line in lines] == [("jobs.round_failed", "daily")]
        limit.reached = False
        jobs._start_rounds()
        await asyncio.gather(*jobs._kept)
        jobs._pool.shutdown()

    asyncio.run(rounds())
    assert done == [1]


def test_what_is_to_be_fetched_stays_due(limit) -> None:
    failed: list[object] = []
    task = SimpleNamespace(request=SimpleNamespace(key="k", kind="crl", url="http://x/"), failures=0)
    tasks = SimpleNamespace(due=lambda *_: [task], failed=lambda *args: failed.append(args))

    async def fetch() -> None:
        jobs = Jobs(tasks, lambda _: None, [], SimpleNamespace(now=lambda: 0), command=(),  # type: ignore[arg-type]
                    reload=lambda: None)
        limit.reached = True
        with structlog.testing.capture_logs() as lines:
            jobs._start_due()
            await asyncio.gather(*jobs._kept)
        assert [line["event"] for line in lines] == ["jobs.blocked"]
        assert jobs._in_work == {}
        jobs._pool.shutdown()

    asyncio.run(fetch())
    assert failed == []


def test_a_run_is_worked_on_by_the_threads_that_start(monkeypatch, limit) -> None:
    """The work of all is done by one thread; with none at all the process ends, and another one is started later."""
    done: list[int] = []
    worker = object.__new__(runs.Worker)
    worker._settings = SimpleNamespace(postgresql=None)  # type: ignore[assignment]
    worker._named = SimpleNamespace(threads=3)  # type: ignore[assignment]

    def thread(*_: object) -> None:
        done.append(1)
        limit.reached = True

    monkeypatch.setattr(worker, "_thread", thread)
    start = threading.Thread.start

    def starts(one: threading.Thread) -> None:
        start(one)
        one.join()  # so that the limit is reached after the first

    monkeypatch.setattr(threading.Thread, "start", starts)
    with structlog.testing.capture_logs() as lines:
        worker._by_threads(None, SimpleNamespace(id="r"), None, Path())  # type: ignore[arg-type]
    assert done == [1]
    assert [line["event"] for line in lines] == ["run.thread_not_started"]
    refused(lambda: worker._by_threads(None, SimpleNamespace(id="r"), None, Path()))  # type: ignore[arg-type]


def test_a_run_goes_on_with_the_processes_that_start(monkeypatch) -> None:
    class Process:
        left, exitcode, pid = 1, None, 1

        def __init__(self, **_: object) -> None:
            pass

        def start(self) -> None:
            if not Process.left:
                raise BlockingIOError(11, "Resource temporarily unavailable")
            Process.left -= 1

        def is_alive(self) -> bool:
            return True

    monkeypatch.setattr(worker_pool, "SPAWN", SimpleNamespace(Process=Process, Value=lambda *_, **__: SimpleNamespace(
        value=0)))
    monkeypatch.setattr(worker_pool, "processes", lambda _: 3)
    pool = worker_pool.ProcessPool(None, "r")  # type: ignore[arg-type]
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            pool.tend()
    assert [line["event"] for line in lines] == ["run.worker_not_started"], "not five times a second"
    assert len(pool._members) == 1
    other = worker_pool.ProcessPool(None, "r")  # type: ignore[arg-type]
    refused(other.tend)


def test_a_leader_that_cannot_be_started_lets_its_run_rest(monkeypatch) -> None:
    class Process:
        def __init__(self, **_: object) -> None:
            pass

        def start(self) -> None:
            raise BlockingIOError(11, "Resource temporarily unavailable")

    book = SimpleNamespace(runs=SimpleNamespace(
        run=lambda _: SimpleNamespace(ended_at=None, state=None), led=lambda _: ""))
    monkeypatch.setattr(leaders, "statement_store", lambda _: book)
    monkeypatch.setattr(leaders, "SPAWN", SimpleNamespace(Process=Process, Value=lambda *_, **__: SimpleNamespace(
        value=0)))
    these = leaders._Leaders(SimpleNamespace(database=None), threading.Event())  # type: ignore[arg-type]
    with structlog.testing.capture_logs() as lines:
        these.lead(None, "r")  # type: ignore[arg-type]
    assert [(line["event"], line["run"]) for line in lines] == [("run.leader_not_started", "r")]
    assert these._rests["r"][1] == 1


class Pool:
    """As ProcessPoolExecutor at the limit: the thread that manages it was never started."""

    def submit(self, *_: object) -> None:
        raise RuntimeError("can't start new thread")

    def shutdown(self, **_: object) -> None:
        raise RuntimeError("cannot join thread before it is started")


def test_a_pre_flight_without_processes_is_done_later(monkeypatch) -> None:
    monkeypatch.setattr(preflight, "_one", lambda *_: nullcontext())
    monkeypatch.setattr(preflight, "_pool", lambda *_: Pool())
    monkeypatch.setattr(preflight, "FEW", 0)
    with pytest.raises(GatewayError) as caught, preflight.checking(None, None) as tallies:  # type: ignore[arg-type]
        list(tallies([None]))  # type: ignore[list-item]
    assert (caught.value.reason, caught.value.retry) == (Reason.INTERNAL, True)


def test_jobs_of_a_database_without_threads_are_done_later() -> None:
    with pytest.raises(GatewayError) as caught, run_jobs._answered():
        raise RuntimeError("can't start new thread")
    assert caught.value.retry
    with pytest.raises(RuntimeError, match="other"), run_jobs._answered():
        raise RuntimeError("other")
