"""Runs of statements put together: over the database where they are asked for, over a gateway where they are sent.

The leader of a run opens no key: its processes do, each a gateway of its own with several threads.
"""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from enum import IntEnum
from functools import partial
from pathlib import Path

import structlog

from gateway import threads
from gateway.adapters.db.certificates.bulk import AT_ONCE_MAX, DbBulk
from gateway.adapters.db.source_sql import fetch
from gateway.adapters.db.statements.store import statement_store
from gateway.adapters.files.mac_secret import mac_secret
from gateway.adapters.keys.files import read_secret
from gateway.app import Gateway
from gateway.app.letters import writer
from gateway.app.services import returns_of
from gateway.app.statements.documents import documents
from gateway.app.statements.preflight import gate as pre_flight
from gateway.app.store import Store, shared_clock
from gateway.clock import Clock
from gateway.errors import GatewayError, Reason, where
from gateway.model.lookup import Customer
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome
from gateway.pipeline.background.rejudge import take_back
from gateway.ports.services.statements.rows import Chunk, RunRow, RunState
from gateway.services.item_lock import ItemLock
from gateway.services.statements.drive import Leading, WorkerPool, checked, drive, stop
from gateway.services.statements.mail import Sender, untexted
from gateway.services.statements.runs import Statements
from gateway.services.statements.series import Series
from gateway.services.statements.source import mark
from gateway.services.statements.spec import Spec, Sql
from gateway.services.statements.throttle import Throttle
from gateway.services.statements.withdraw import Held
from gateway.services.statements.work import PAUSE_S, Tools, carry_out
from gateway.services.verp import Verp
from gateway.settings import Postgresql, Settings
from gateway.settings import Statements as Section

log = structlog.get_logger("sealgate.statements")

IDLE_S = 0.5  # a worker with nothing to do looks again
ALIVE_S = 10.0  # between two signs of life during a query
PROGRESS_S = 600.0  # beyond the longest mail: without progress for so long a file system does not answer
WATCH_S = 5.0  # between two looks for threads without progress
QUERY_S_MAX = 3_600.0  # of the query that gives the rows of a run


def section(settings: Settings) -> Section:
    """CONFIG_INVALID where there is none."""
    if settings.statements is None:
        raise GatewayError(Reason.CONFIG_INVALID, "the settings have no section `statements`: docs/statements.md")
    return settings.statements


def statements(settings: Settings, store: Store, clock: Clock | None = None) -> Statements:
    """What may be asked of runs. CONFIG_INVALID where the settings have no section for them."""
    named = section(settings)
    return Statements(statement_store(store.database), shared_clock(store.database, clock), sources=named.sources,
                      reports=named.reports, digest=lambda template: documents(settings).digest(template),
                      untexted=partial(untexted, writer(settings, named.templates, settings.language_of(named))))


def processes(settings: Settings) -> int:
    """How many work on a run here."""
    return section(settings).processes or len(os.sched_getaffinity(0))


def lead(settings: Settings, store: Store, run_id: str, worker_pool: Callable[[RunRow], WorkerPool], *,
         ending: Callable[[], bool], gate: Callable[[RunRow, Spec], None] | None = None,
         alive: Callable[[], None] = lambda: None) -> RunRow:
    """See services.statements.drive. GatewayError KEY_UNAVAILABLE (retry), CONFIG_INVALID besides.

    `gate` None: the pre-flight, which is kept in `statements.reports`. `alive` is called at least once a minute as
    long as no file and no database holds the leader up.
    """
    clock, named = shared_clock(store.database), section(settings)
    if settings.mode == "observe":
        raise GatewayError(Reason.CONFIG_INVALID,
                           "the gateway observes and sends nothing: a run waits until `mode` is live")
    runs = statements(settings, store, clock)

    def source_of(run: RunRow, spec: Spec) -> Path:
        runs.same_template(run, spec)
        path = runs.source_of(run, spec)
        if spec.source.sql is not None and run.state is RunState.NEW:
            with _patient(alive):
                _query(spec.source.sql, path, run)
        return path

    def goes_on() -> bool:
        alive()
        return ending()

    def taken_back(hold_id: str) -> bool:
        alive()
        return take_back(store.hold, store.journal, hold_id)

    run = drive(Leading(statement_store(store.database), clock, Series(mac_secret(named.secret_file)),
                        Held(lambda about: _waiting(store, returns_of(named), about), taken_back, goes_on, time.sleep),
                        runs.opened, source_of, gate or pre_flight(settings, clock, runs.source_of, alive), worker_pool,
                        goes_on, time.sleep, alive), run_id)
    if run.ended_at is not None:
        runs.forget_rows(run)
    return run


def _waiting(store: Store, returns: Verp, run_id: str) -> Mapping[int, list[str]]:
    """What of a run waits in the hold store: its return path names the item, however often it was held."""
    found: dict[int, list[str]] = {}
    for row in store.hold.list():
        run, _, item = (returns.read(row.sender) or "").rpartition("-")
        if run == run_id and item.isdecimal():
            found.setdefault(int(item), []).append(row.hold_id)
    return found


@contextmanager
def _patient(alive: Callable[[], None]) -> Iterator[None]:
    """Calls `alive` while the bank's database answers a query, for QUERY_S_MAX at most."""
    done, until = threading.Event(), time.monotonic() + QUERY_S_MAX

    def call() -> None:
        while not done.wait(ALIVE_S) and time.monotonic() < until:
            alive()

    threads.start(call, name="query")
    try:
        yield
    finally:
        done.set()


def _query(sql: Sql, path: Path, run: RunRow) -> None:
    url = read_secret(sql.url_file).split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    log.info("run.queried", run=run.id, rows=fetch(url, sql.query, path))


class Progress(IntEnum):
    """How far a process has come: `ProcessPool` finds by it why one has died."""

    NONE = 0
    BEGUN = 1  # it has rows in work: the rows may be why
    ANSWERED = 2  # for a mail there is an outcome: the program works


class Worker:
    """One process that works on one run."""

    def __init__(self, settings: Settings, *, share: int, reach: Callable[[str], None] | None = None,
                 progress: Callable[[Progress], None] = lambda _: None) -> None:
        """`share`: how many processes work on it. `reach`: see pipeline.context.Context. `progress` is called at each.

        GatewayError of the first thing that cannot be had.
        """
        named = section(settings)
        self._report = progress
        self._settings, self._named, self._share = settings, named, share
        self._over = threading.Event()
        self._progress: dict[int, float] = {}  # thread with a chunk: when it last made progress (time.monotonic)
        language = settings.language_of(named)
        letters = writer(settings, named.templates, language)
        sender = Sender(named.from_, named.bounces, returns_of(named), letters, language)
        self.gateway = Gateway(settings, reach=reach, by_set_in_force=True)
        self._many = DbBulk(self.gateway.store.database)
        self._store = statement_store(self.gateway.store.database, self.gateway.store.evidence)
        self._clock = shared_clock(self.gateway.store.database, self.gateway.clock)
        self._documents = documents(settings)
        self._sender = sender

    def end(self) -> None:
        """Mails in work are finished. For a signal handler."""
        self._over.set()

    def work(self, run_id: str) -> None:
        """Until nothing of the run is open, or it is stopped. RUN_UNKNOWN, RUN_CHANGED, STORE_UNAVAILABLE (retry)."""
        run = self._store.runs.run(run_id)
        if run is None:
            raise GatewayError(Reason.RUN_UNKNOWN, run_id)
        runs = statements(self._settings, self.gateway.store, self._clock)
        spec = runs.opened(run)
        runs.same_template(run, spec)
        source_file = runs.source_of(run, spec)
        known = mark(source_file)
        path = checked(source_file, run)

        def unchanged() -> None:
            nonlocal known
            now = mark(path)
            if now != known:  # touched, or written again: its content decides
                checked(path, run)
                known = now

        limit = spec.per_domain_per_minute_max or self._named.per_domain_per_minute_max
        limit = min(limit, self._named.per_domain_per_minute_max or limit)
        tools = Tools(self._store.work, self._clock, self._send, self._customers, self._documents, self._sender,
                      Throttle(limit / self._share), unchanged, self._ending, self._wait, ItemLock())
        with self._watched(run):
            self._by_threads(tools, run, spec, path)

    def _send(self, mail: Mail, *, leaves: Callable[[], None]) -> Outcome:
        outcome = self.gateway.outbound.send(mail, leaves=leaves)
        self._report(Progress.ANSWERED)
        return outcome

    def _by_threads(self, tools: Tools, run: RunRow, spec: Spec, path: Path) -> None:
        if self._settings.postgresql is not None:
            self._by_jobs(self._settings.postgresql, tools, run, spec, path)
            return
        started: list[threading.Thread] = []
        for number in range(self._named.threads):
            try:
                started.append(threads.start(self._thread, tools, run, spec, path, name=f"statements {number}"))
            except GatewayError as trouble:
                if not started:
                    raise
                log.warning("run.thread_not_started", run=run.id, threads=len(started), detail=trouble.detail)
                break
        for thread in started:
            thread.join()

    def _thread(self, tools: Tools, run: RunRow, spec: Spec, path: Path) -> None:
        """Claims chunks from the database, without jobs."""
        while not self._over.is_set():
            with self._troubles(tools, run):
                if not self._goes_on(run):
                    return
                chunk = self._store.work.claim(run.id, self._clock.now())
                if chunk is None:
                    tools.wait(IDLE_S)
                else:
                    self._carry_out(tools, run, spec, path, chunk)

    def _by_jobs(self, where: Postgresql, tools: Tools, run: RunRow, spec: Spec, path: Path) -> None:
        """Takes the chunks that jobs name, so that nodes share the run."""
        from gateway.adapters.run_jobs import serve  # of the extra `postgres`, as the driver

        def job(number: int) -> datetime | None:
            with self._troubles(tools, run):
                chunk = self._store.work.claim(run.id, self._clock.now(), number=number) if self._goes_on(run) else None
                if chunk is None:  # another job has it, or had it
                    return None
                self._carry_out(tools, run, spec, path, chunk)
                if self._goes_on(run):
                    return self._store.work.due_at(run.id, number)
                self._over.set()
            return None

        while not self._over.is_set():
            with self._troubles(tools, run):
                serve(where, run.id, self._named.threads, job, self._over.is_set)
                tools.wait(IDLE_S)  # it ended early: procrastinate logs why

    def _goes_on(self, run: RunRow) -> bool:
        """Whether anything may leave, now or later."""
        state = self._store.runs.run(run.id)
        return (state is not None and state.state is RunState.RUNNING
                and self._store.work.next_due(run.id) is not None)

    @contextmanager
    def _watched(self, run: RunRow) -> Iterator[None]:
        """Pauses the run by its name if a thread makes no progress: it may be blocked without end.

        The leader then ends this process, and other runs go on.
        """
        done, longest_s = threading.Event(), PROGRESS_S + self._settings.limits.message_deadline_s

        def watch() -> None:
            while not done.wait(WATCH_S):
                if time.monotonic() - min(tuple(self._progress.values()), default=math.inf) > longest_s:
                    log.critical("run.worker_stuck", run=run.id, pid=os.getpid())
                    self._stop(run, Reason.INPUT_UNREADABLE, f"a worker made no progress for {longest_s:.0f} s: check "
                               "that the file system of the run's source and documents answers")

        watching = threads.start(watch, name="watch")
        try:
            yield
        finally:
            done.set()
            watching.join()

    def _note_progress(self) -> None:
        if threading.get_ident() in self._progress:
            self._progress[threading.get_ident()] = time.monotonic()

    def _ending(self) -> bool:
        self._note_progress()
        return self._over.is_set()

    def _carry_out(self, tools: Tools, run: RunRow, spec: Spec, path: Path, chunk: Chunk) -> None:
        self._progress[threading.get_ident()] = time.monotonic()
        self._report(Progress.BEGUN)
        self.gateway.store.evidence.keep_back()  # it shares a commit with the mail's result
        try:
            well = carry_out(tools, run, spec, path, chunk)
        except GatewayError as trouble:
            self._give_back(run, chunk, trouble)
            raise
        finally:
            self._flush_evidence(run)
            del self._progress[threading.get_ident()]
        if not well:
            tools.wait(PAUSE_S)

    def _flush_evidence(self, run: RunRow) -> None:
        """Adds this thread's deferred records, at any end of its chunk: a mail that left needs its record."""
        evidence = self.gateway.store.evidence
        while True:
            try:
                evidence.let_go()
            except GatewayError as trouble:
                if self._over.is_set():
                    log.critical("evidence.lost", reason=str(trouble.reason), detail=trouble.detail, incident="")
                    return
                log.warning("run.blocked", run=run.id, reason=str(trouble.reason), detail=trouble.detail)
                self._wait(PAUSE_S)
            else:
                evidence.keep_no_more()
                return

    def _give_back(self, run: RunRow, chunk: Chunk, trouble: GatewayError) -> None:
        """Returns a chunk after an error: no other process takes it as long as this one lives and keeps it."""
        while True:
            try:
                now = self._clock.now()
                self._store.work.release(chunk, now, due_at=now + timedelta(seconds=PAUSE_S))
            except GatewayError:
                log.warning("run.blocked", run=run.id, reason=str(trouble.reason), detail=trouble.detail)
                self._wait(PAUSE_S)
                if self._over.is_set():
                    return
            else:
                return

    @contextmanager
    def _troubles(self, tools: Tools, run: RunRow) -> Iterator[None]:
        """Logs errors, and waits. A permanent error pauses the run."""
        try:
            yield
        except GatewayError as trouble:
            log.warning("run.blocked", run=run.id, reason=str(trouble.reason), detail=trouble.detail)
            if trouble.retry:
                tools.wait(PAUSE_S)
                return
            self._stop(run, trouble.reason, trouble.detail)
        except Exception as unexpected:  # noqa: BLE001 - the chunk is free again when this process has ended
            log.error("run.internal_error", run=run.id, where=where(unexpected))  # noqa: TRY400 - no text
            self._stop(run, Reason.INTERNAL, where(unexpected))

    def _stop(self, run: RunRow, reason: Reason, detail: str) -> None:
        """Ends the work of this process, and pauses the run: another process would meet the same."""
        self._over.set()
        with suppress(GatewayError):  # the next process finds it out, too
            stop(self._store.runs, run.id, reason, detail)

    def _wait(self, seconds: float) -> None:
        self._note_progress()
        self._over.wait(seconds)

    def _customers(self, numbers: Sequence[str]) -> Mapping[str, Customer]:
        found: dict[str, Customer] = {}
        for start in range(0, len(numbers), AT_ONCE_MAX):
            found.update(self._many.customers(numbers[start:start + AT_ONCE_MAX]))
        return found

    def close(self) -> None:
        """After the last mail."""
        self._documents.close()
        self.gateway.close()
