"""The processes that work on a run, on this node: started, watched, and given jobs where nodes share a run."""

import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, Final

import structlog

from gateway.adapters.db.statements.store import statement_store
from gateway.app.statements.runs import Progress, Worker, processes, section
from gateway.app.store import Store
from gateway.clock import Clock
from gateway.errors import GatewayError, Reason
from gateway.frontends.processes.children import PARENT, end_with_parent
from gateway.frontends.processes.priority import stand_back
from gateway.frontends.telemetry.logs import configure, own_process
from gateway.ports.services.statements.rows import RunState
from gateway.ports.services.statements.store import StatementStore
from gateway.services.statements.drive import WorkerPool
from gateway.settings import Postgresql, Settings

if TYPE_CHECKING:
    from gateway.adapters.run_jobs import RunJobs

log = structlog.get_logger("sealgate.statements")

# Of processes that died within STEADY_S: without any work in hand, and with some, without the outcome of one mail. Then
# the run is given up for the moment. What ends a process at work is found and refused (services.statements.work).
DEATHS_MAX: Final = 5
DEATHS_AT_WORK_MAX: Final = 100
STEADY_S: Final = 10.0
END_S: Final = 60.0
KILLED_S: Final = 5.0  # how long a killed process is waited for: a dead file system may keep it
JOBS_LOOK_S: Final = 3.0  # between two looks whether each chunk has its job
LOST_LOOK_S: Final = 1.0  # the same, after a look that found jobs which perhaps no process works on
NOT_STARTED_S: Final = 5.0  # until the next attempt, after the system started no process
JOIN_S: Final = 0.5  # between two looks whether a process has ended
SPAWN: Final = multiprocessing.get_context("spawn")  # a fork would share the database's connection


class ProcessPool:
    """As many as the settings say. See services.statements.drive.WorkerPool."""

    def __init__(self, settings: Settings, run_id: str, patience_s: Callable[[], float] = lambda: END_S) -> None:
        """`patience_s`: how long `dismiss` waits for the mails in work."""
        self._settings, self._run, self._patience_s = settings, run_id, patience_s
        self._size = processes(settings)
        self._members: list[tuple[BaseProcess, float, Any]] = []  # with a Progress
        self._deaths = self._deaths_at_work = 0
        self._start_at = 0.0  # time.monotonic: after the system started no process

    def tend(self) -> None:
        """See WorkerPool. STORE_UNAVAILABLE (retry) is not reported: each process logs why it ended."""
        for member, began, progress in self._members:
            if member.exitcode is not None and member.exitcode < 0:  # any other code has a line of its own
                log.error("run.worker_died", run=self._run, pid=member.pid, signal=-member.exitcode)
            if progress.value == Progress.ANSWERED:
                self._deaths_at_work = 0
            elif member.exitcode and time.monotonic() - began < STEADY_S:
                self._deaths += progress.value == Progress.NONE
                self._deaths_at_work += progress.value == Progress.BEGUN
        self._members = [one for one in self._members if one[0].is_alive()]
        if self._deaths >= DEATHS_MAX or self._deaths_at_work >= DEATHS_AT_WORK_MAX:
            raise GatewayError(Reason.INTERNAL, "the processes of the run end at once; the log says why", retry=True)
        while len(self._members) < self._size and time.monotonic() >= self._start_at:
            progress = SPAWN.Value("i", Progress.NONE, lock=False)
            member = SPAWN.Process(target=_work, name=f"statements {self._run}",
                                   args=(self._settings, self._run, self._size, os.getpid(), progress))
            try:
                member.start()
            except OSError as error:  # no more processes, or no memory for one
                self._start_at = time.monotonic() + NOT_STARTED_S
                log.critical("run.worker_not_started", run=self._run, reason=str(Reason.INTERNAL),
                             detail=str(error.strerror))
                break
            self._members.append((member, time.monotonic(), progress))
        if not self._members:
            raise GatewayError(Reason.INTERNAL, "no process for the run can be started", retry=True)

    def dismiss(self) -> None:
        """See WorkerPool."""
        for member, *_ in self._members:
            if member.is_alive() and member.pid is not None:
                os.kill(member.pid, signal.SIGTERM)
        began = time.monotonic()
        for member, *_ in self._members:
            while member.is_alive() and time.monotonic() < began + self._patience_s():
                member.join(JOIN_S)
            if member.is_alive():
                log.critical("run.worker_stuck", run=self._run, pid=member.pid)
                member.kill()
                member.join(KILLED_S)
        self._members = []


class JobsPool:
    """Processes that take jobs, which other nodes' take, too; and who sees to it that each open chunk has one.

    Any number of nodes may look after a run. See services.statements.drive.WorkerPool.
    """

    def __init__(self, where: Postgresql, store: Store, run_id: str, processes: WorkerPool) -> None:
        from gateway.adapters.run_jobs import RunJobs, require_tables  # of the extra `postgres`, as the driver

        require_tables(store.database)
        self._jobs = RunJobs(where)
        self._book, self._run, self._processes = statement_store(store.database), run_id, processes
        self._clock: Clock = store.database
        self._look_at = 0.0  # time.monotonic
        self._lost: AbstractSet[int] = frozenset()

    def tend(self) -> None:
        """See WorkerPool. STORE_UNAVAILABLE (retry)."""
        if time.monotonic() >= self._look_at:
            self._look()
            self._look_at = time.monotonic() + (LOST_LOOK_S if self._lost else JOBS_LOOK_S)
        self._processes.tend()

    def _look(self) -> None:
        """Defers a job for each chunk that has none. A job at work whose chunk has no worker is one of a dead node.

        Of that one can be sure only when it is seen twice: between the two a process may be about to claim the chunk.
        """
        # Before the jobs: a chunk that ends meanwhile does no harm.
        idle = self._book.work.idle(self._run, self._clock.now())
        waiting, working = self._jobs.of(self._run)
        lost = (idle.keys() & working) - waiting
        missing = (idle.keys() - waiting - working) | (lost & self._lost)
        self._lost = lost
        self._jobs.defer(self._run, [(number, idle[number]) for number in sorted(missing)])

    def dismiss(self) -> None:
        """See WorkerPool. Of a run of which nothing may leave no job stays."""
        self._processes.dismiss()
        try:
            if not goes_on(self._book, self._run):
                _clear(self._jobs, self._book, self._run)
        except GatewayError as trouble:  # `tidy` does it later
            log.warning("runs.blocked", reason=str(trouble.reason), detail=trouble.detail)
        finally:
            self._jobs.close()


def worker_pool(
    settings: Settings, store: Store, run_id: str, patience_s: Callable[[], float] = lambda: END_S,
) -> WorkerPool:
    """The processes that work on a run here; see ProcessPool. STORE_UNAVAILABLE (retry)."""
    processes = ProcessPool(settings, run_id, patience_s)
    return processes if settings.postgresql is None else JobsPool(settings.postgresql, store, run_id, processes)


def goes_on(book: StatementStore, run_id: str) -> bool:
    """Whether anything of the run may leave, now or later."""
    run = book.runs.run(run_id)
    return run is not None and run.state is RunState.RUNNING and book.work.next_due(run_id) is not None


def _clear(jobs: "RunJobs", book: StatementStore, run_id: str) -> None:
    """Those that are at work end themselves, as long as something is open: other nodes may not know the end yet."""
    run = book.runs.run(run_id)
    jobs.clear(run_id, working=run is None or run.ended_at is not None or book.work.next_due(run_id) is None)


def tidy(where: Postgresql, store: Store) -> None:
    """No jobs of runs that no process works on any more. STORE_UNAVAILABLE (retry)."""
    from gateway.adapters.run_jobs import RunJobs, require_tables

    require_tables(store.database)
    jobs, book = RunJobs(where), statement_store(store.database)
    try:
        for run_id in jobs.runs():
            if not goes_on(book, run_id):
                _clear(jobs, book, run_id)
    finally:
        jobs.close()


def _work(settings: Settings, run_id: str, share: int, parent: int, reached: Any) -> None:
    """A process of the pool. It ends with the one that started it."""
    gc.freeze()  # the loaded modules are no garbage: a search for some at the exit takes 0.4 s of CPU
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the leader ends this process
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    over: list[Worker] = []
    signal.signal(signal.SIGTERM, lambda *_: over[0].end() if over else os._exit(0))
    os.environ[PARENT] = str(parent)
    end_with_parent()
    configure(settings.log_level)
    own_process()
    stand_back(section(settings).nice)

    def progress(how_far: Progress) -> None:
        reached.value = max(reached.value, how_far)

    try:
        worker = Worker(settings, share=share, progress=progress)
        over.append(worker)
        try:
            worker.work(run_id)
        finally:
            worker.close()
    except GatewayError as trouble:
        log.critical("run.worker_not_started", run=run_id, reason=str(trouble.reason), detail=trouble.detail)
        raise SystemExit(1) from None


def longest_mail_s(settings: Settings) -> float:
    """How long a mail in work may take. A worker killed earlier could leave a mail that is sent twice."""
    return settings.limits.message_deadline_s + END_S
