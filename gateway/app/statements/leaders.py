"""The processes that work on a run, started and watched by whoever leads it."""

import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from datetime import timedelta
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, Final

import structlog

from gateway.adapters.db.statements import DbStatements
from gateway.app.statements.runs import Progress, Worker, lead, processes, section
from gateway.app.store import Store, open_store
from gateway.clock import Clock
from gateway.errors import GatewayError, Reason, where
from gateway.frontends.processes import memory_protection as forgetful
from gateway.frontends.processes.children import PARENT, end_with_parent
from gateway.frontends.processes.notify import notify, reloaded
from gateway.frontends.processes.priority import stand_back
from gateway.frontends.telemetry.logs import configure, own_process
from gateway.ports.services.statements import RunRow, RunState
from gateway.services.statements.drive import WorkerPool, stop
from gateway.settings import Settings
from gateway.settings.deployment import Postgresql

if TYPE_CHECKING:
    from gateway.adapters.run_jobs import RunJobs

log = structlog.get_logger("sealgate.statements")

# Of processes that died within STEADY_S: without any work in hand, and with some, without the outcome of one mail. Then
# the run is given up for the moment. What ends a process at work is found and refused (services.statements.work).
DEATHS_MAX: Final = 5
DEATHS_AT_WORK_MAX: Final = 100
STEADY_S: Final = 10.0
END_S: Final = 60.0
ENDED_S: Final = 120  # whole seconds after SIGTERM, for a leader whose workers have END_S
LOOK_S: Final = 1.0  # between two looks for new runs
STALL_S: Final = 120.0  # without a sign of life, after which the process that leads a run is killed
LEADER_LOOK_S: Final = 0.5
HELD_UP: Final = 75  # exit code of a leader that could not go on now (EX_TEMPFAIL of sysexits.h)
KILLED_S: Final = 5.0  # how long a killed process is waited for: a dead file system may keep it
REST_S: Final = (1.0, 5.0, 15.0, 60.0)  # between two attempts to lead a run that cannot go on now
TURN_S: Final = 300.0  # of a run, while others could go on as well
OTHERS_LOOK_S: Final = 2.0  # between two looks whether others could
YIELD: Final = signal.SIGUSR1  # to a leader: another run has its turn
YIELD_S: Final = 30.0  # until a leader that reads its source, of which nothing has left, is killed for it
JOBS_LOOK_S: Final = 3.0  # between two looks whether each chunk has its job
LOST_LOOK_S: Final = 1.0  # the same, after a look that found jobs which perhaps no process works on
FORGET_EVERY_S: Final = 3_600.0
_SPAWN: Final = multiprocessing.get_context("spawn")  # a fork would share the database's connection


class ProcessPool:
    """As many as the settings say. See services.statements.drive.WorkerPool."""

    def __init__(self, settings: Settings, run_id: str, patience_s: Callable[[], float] = lambda: END_S) -> None:
        """`patience_s`: how long `dismiss` waits for the mails in work."""
        self._settings, self._run, self._patience_s = settings, run_id, patience_s
        self._size = processes(settings)
        self._members: list[tuple[BaseProcess, float, Any]] = []  # with a Progress
        self._deaths = self._deaths_at_work = 0

    def tend(self) -> None:
        """See WorkerPool. STORE_UNAVAILABLE (retry) is not told: each of them says in the log why it ended."""
        for member, began, progress in self._members:
            if member.exitcode is not None and member.exitcode < 0:  # any other code has a line of its own
                log.error("run worker died", run=self._run, pid=member.pid, signal=-member.exitcode)
            if progress.value == Progress.ANSWERED:
                self._deaths_at_work = 0
            elif member.exitcode and time.monotonic() - began < STEADY_S:
                self._deaths += progress.value == Progress.NONE
                self._deaths_at_work += progress.value == Progress.BEGUN
        self._members = [one for one in self._members if one[0].is_alive()]
        if self._deaths >= DEATHS_MAX or self._deaths_at_work >= DEATHS_AT_WORK_MAX:
            raise GatewayError(Reason.INTERNAL, "the processes of the run end at once; the log says why", retry=True)
        while len(self._members) < self._size:
            progress = _SPAWN.Value("i", Progress.NONE, lock=False)
            member = _SPAWN.Process(target=_work, name=f"statements {self._run}",
                                    args=(self._settings, self._run, self._size, os.getpid(), progress))
            member.start()
            self._members.append((member, time.monotonic(), progress))

    def dismiss(self) -> None:
        """See WorkerPool."""
        for member, *_ in self._members:
            if member.is_alive() and member.pid is not None:
                os.kill(member.pid, signal.SIGTERM)
        began = time.monotonic()
        for member, *_ in self._members:
            while member.is_alive() and time.monotonic() < began + self._patience_s():
                member.join(LEADER_LOOK_S)
            if member.is_alive():
                log.critical("run worker stuck", run=self._run, pid=member.pid)
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
        self._book, self._run, self._processes = DbStatements(store.database), run_id, processes
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
        """Defers a job for each chunk that has none. A job at work whose chunk nobody works on is one of a dead node.

        Of that one can be sure only when it is seen twice: between the two a process may be about to claim the chunk.
        """
        idle = self._book.idle(self._run, self._clock.now())  # before the jobs: one that ends meanwhile does no harm
        waiting, working = self._jobs.of(self._run)
        lost = (idle.keys() & working) - waiting
        wanted = (idle.keys() - waiting - working) | (lost & self._lost)
        self._lost = lost
        self._jobs.defer(self._run, [(number, idle[number]) for number in sorted(wanted)])

    def dismiss(self) -> None:
        """See WorkerPool. Of a run of which nothing may leave no job stays."""
        self._processes.dismiss()
        try:
            if not _goes_on(self._book, self._run):
                _clear(self._jobs, self._book, self._run)
        except GatewayError as trouble:  # `tidy` does it later
            log.warning("runs held up", reason=str(trouble.reason), detail=trouble.detail)
        finally:
            self._jobs.close()


def worker_pool(
    settings: Settings, store: Store, run_id: str, patience_s: Callable[[], float] = lambda: END_S,
) -> WorkerPool:
    """The processes that work on a run here; see ProcessPool. STORE_UNAVAILABLE (retry)."""
    processes = ProcessPool(settings, run_id, patience_s)
    return processes if settings.postgresql is None else JobsPool(settings.postgresql, store, run_id, processes)


def _goes_on(book: DbStatements, run_id: str) -> bool:
    run = book.run(run_id)
    return run is not None and run.state is RunState.RUNNING and book.next_due(run_id) is not None


def _clear(jobs: "RunJobs", book: DbStatements, run_id: str) -> None:
    """Those that are at work end themselves, as long as something is open: others' nodes may not have heard yet."""
    run = book.run(run_id)
    jobs.clear(run_id, working=run is None or run.ended_at is not None or book.next_due(run_id) is None)


def _tidy(where: Postgresql, store: Store) -> None:
    """No jobs of runs that nobody works on any more. STORE_UNAVAILABLE (retry)."""
    from gateway.adapters.run_jobs import RunJobs, require_tables

    require_tables(store.database)
    jobs, book = RunJobs(where), DbStatements(store.database)
    try:
        for run_id in jobs.runs():
            if not _goes_on(book, run_id):
                _clear(jobs, book, run_id)
    finally:
        jobs.close()


def _work(settings: Settings, run_id: str, share: int, parent: int, reached: Any) -> None:
    """A process of the crew. It ends with the one that started it."""
    gc.freeze()  # the loaded modules are no garbage: a search for some at the exit takes 0.4 s of CPU
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the leader tells us
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
        log.critical("run worker ended", run=run_id, reason=str(trouble.reason), detail=trouble.detail)
        raise SystemExit(1) from None


def serve_runs(settings: Settings, read: Callable[[], Settings]) -> None:
    """Blocks until SIGTERM: has each unfinished run led by a process of its own. They take turns, the oldest first.

    Those of commands that have died are among them. `read` gives the settings anew at SIGHUP: the next run goes by
    them, and the present one when it goes on after a pause. GatewayError of the first thing that cannot be had.
    """
    end_with_parent()
    configure(settings.log_level)
    own_process()
    forgetful.alone()
    over, again = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())

    def hang_up(*_: object) -> None:
        again.set()
        reloaded()  # the next run works by the new set

    signal.signal(signal.SIGHUP, hang_up)
    store = open_store(settings)
    notify("READY=1", "WATCHDOG_USEC=0")  # a reload reaches us now; a run that is planned gives no sign for minutes
    try:
        book, leaders, forgotten = DbStatements(store.database), _Leaders(store, over), 0.0
        while not over.is_set():
            try:
                if again.is_set():
                    again.clear()
                    settings = _anew(settings, read)
                store.database.now()  # an alert where this machine's clock is wrong, on each node
                unfinished = book.unfinished()
                leaders.forget(unfinished)
                for run in leaders.in_turn(unfinished):
                    leaders.lead(settings, run.id)
                    forgetful.let_go()
                if time.monotonic() - forgotten > FORGET_EVERY_S:
                    forgotten = time.monotonic()
                    book.forget(store.database.now() - timedelta(days=section(settings).keep_days))
                    if settings.postgresql is not None:
                        _tidy(settings.postgresql, store)
            except GatewayError as trouble:
                log.warning("runs held up", reason=str(trouble.reason), detail=trouble.detail)
            except Exception as surprise:  # noqa: BLE001 - whatever it is, it must not end the process of all runs
                log.error("run worker surprised", run="", where=where(surprise))  # noqa: TRY400 - no text
            over.wait(LOOK_S)
    finally:
        store.close()


def _anew(settings: Settings, read: Callable[[], Settings]) -> Settings:
    """What does not load leaves everything as it was."""
    try:
        changed = read()
        section(changed)
    except GatewayError as trouble:
        log.critical("not reloaded", reason=str(trouble.reason), detail=trouble.detail)
        return settings
    log.info("runs reloaded")
    return changed


def _lead_run(settings: Settings, run_id: str, parent: int, beat: Any) -> None:
    """A process that leads one run. `beat`: where it writes its signs of life (time.monotonic)."""
    gc.freeze()  # as `_work`
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    over, yields = threading.Event(), threading.Event()
    end_in_time(over)
    signal.signal(YIELD, lambda *_: yields.set())
    os.environ[PARENT] = str(parent)
    end_with_parent()
    configure(settings.log_level)
    own_process()

    def alive() -> None:
        beat.value = time.monotonic()

    def patience_s() -> float:
        return END_S if over.is_set() or not yields.is_set() else _longest_mail_s(settings)

    try:
        store = open_store(settings)
        try:
            run = lead(settings, store, run_id, lambda run: worker_pool(settings, store, run.id, patience_s),
                       ending=lambda: over.is_set() or yields.is_set(), alive=alive)
        finally:
            store.close()
    except GatewayError as trouble:
        if trouble.reason is not Reason.RUN_STATE:  # another process was quicker
            log.warning("runs held up", reason=str(trouble.reason), detail=trouble.detail)
        raise SystemExit(HELD_UP) from None
    log.info("run ended" if run.ended_at else "run rests", run=run.id, state=str(run.state))


def end_in_time(over: threading.Event) -> None:
    """SIGTERM sets `over`. If the process has not ended ENDED_S later, SIGALRM ends it.

    SIGTERM also comes when the parent dies. Then no process is left that kills a leader that reads an endless source.
    """
    def end(*_: object) -> None:
        over.set()
        signal.alarm(ENDED_S)

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, end)


def _longest_mail_s(settings: Settings) -> float:
    """How long a mail in work may take. A worker killed earlier could leave a mail that is sent twice."""
    return settings.limits.message_deadline_s + END_S


class _Leaders:
    """Has each run led by a process of its own. One run is led at a time, and the runs take turns.

    A turn ends when the run is over or rests. It also ends when another run could go on, if this run has no item due
    now or has had TURN_S: an item that waits for hours must not stop the other runs. One run at a time, for
    `per_domain_per_minute_max` and `processes` hold for all runs of this machine together.

    A leader may block without end: a named pipe, a file system that does not answer. It is killed then, and the run is
    stopped by its name. Other runs go on. A leader that reads an endless source does not block, but holds up others:
    it is killed when its turn is over, and starts over at its next turn.
    """

    def __init__(self, store: Store, over: threading.Event) -> None:
        self._book, self._store, self._over = DbStatements(store.database), store, over
        self._rests: dict[str, tuple[float, int]] = {}  # run: not before, attempts in a row
        self._turns: dict[str, float] = {}  # run: when its last turn ended

    def in_turn(self, runs: Sequence[RunRow]) -> Sequence[RunRow]:
        """Those without a turn until now, then those whose last turn is longest ago: a new run must not wait twice."""
        return sorted(runs, key=lambda run: self._turns.get(run.id, 0.0))

    def lead(self, settings: Settings, run_id: str) -> None:
        """One run, unless another process leads it, or it has nothing to do now. STORE_UNAVAILABLE (retry)."""
        if self._over.is_set() or not self._is_ready(run_id):
            return
        where_led = self._book.led(run_id)
        if where_led == "elsewhere":
            help_with(settings, self._store, run_id, self._over, lambda: self._is_other_ready(run_id))
        if where_led:
            return
        code = self._led(settings, run_id)
        self._turns[run_id] = time.monotonic()
        if code in {0, -YIELD}:  # the latter: it had not begun when its turn ended
            self._rests.pop(run_id, None)
            return
        attempts = self._rests.get(run_id, (0.0, 0))[1]
        rest_s = REST_S[min(attempts, len(REST_S) - 1)]
        self._rests[run_id] = time.monotonic() + rest_s, attempts + 1

    def _is_ready(self, run_id: str) -> bool:
        """Whether a leader could go on with the run now. STORE_UNAVAILABLE (retry)."""
        if time.monotonic() < self._rests.get(run_id, (0.0, 0))[0]:
            return False
        run = self._book.run(run_id)
        if run is None or run.ended_at is not None or run.state is RunState.PAUSED:
            return False
        due = self._book.next_due(run_id) if run.state is RunState.RUNNING else None
        return due is None or due <= self._store.database.now()

    def _is_other_ready(self, run_id: str) -> bool:
        """Whether another run could go on here that no process leads; False while the database does not answer."""
        try:
            return any(run.id != run_id and self._is_ready(run.id) and not self._book.led(run.id)
                       for run in self._book.unfinished())
        except GatewayError:
            return False

    def _yields(self, run_id: str, began: float) -> bool:
        """Whether the run's turn is over. `began`: time.monotonic."""
        try:
            is_over = (time.monotonic() - began > TURN_S or not self._is_ready(run_id)
                       or self._state(run_id) is RunState.CANCELLED)
        except GatewayError:
            return False
        return is_over and self._is_other_ready(run_id)

    def _state(self, run_id: str) -> RunState | None:
        run = self._book.run(run_id)
        return None if run is None else run.state

    def _has_sent(self, run_id: str) -> bool:
        """Whether mails of the run may have left; True while the database does not answer."""
        try:
            run = self._book.run(run_id)
        except GatewayError:
            return True
        return run is None or run.rows is not None

    def forget(self, runs: Sequence[RunRow]) -> None:
        """Only these are unfinished."""
        known = {run.id for run in runs}
        self._rests = {run: rest for run, rest in self._rests.items() if run in known}
        self._turns = {run: at for run, at in self._turns.items() if run in known}

    def _led(self, settings: Settings, run_id: str) -> int | None:
        """The exit code of the process that led it."""
        beat = _SPAWN.Value("d", time.monotonic(), lock=False)
        leader = _SPAWN.Process(target=_lead_run, args=(settings, run_id, os.getpid(), beat), name=f"leads {run_id}")
        leader.start()
        sent, silent_s, looked = set[signal.Signals](), STALL_S, time.monotonic()
        began = yields_at = looked
        while leader.is_alive():
            leader.join(LEADER_LOOK_S)
            if self._over.is_set() and signal.SIGTERM not in sent:
                _signal(leader, signal.SIGTERM, sent)
            elif not sent and time.monotonic() - looked > OTHERS_LOOK_S:
                if self._yields(run_id, began):
                    _signal(leader, YIELD, sent)
                    silent_s += _longest_mail_s(settings)
                looked = yields_at = time.monotonic()
            elif YIELD in sent and time.monotonic() - yields_at > YIELD_S and not self._has_sent(run_id):
                log.warning("run worker does not yield", run=run_id, pid=leader.pid)
                leader.kill()
                leader.join(KILLED_S)
                return None
            if time.monotonic() - beat.value > silent_s:
                log.critical("run worker stuck", run=run_id, pid=leader.pid)
                leader.kill()
                leader.join(KILLED_S)
                self._stop(run_id, Reason.INPUT_UNREADABLE,
                           f"nothing that the run names answered for {silent_s:.0f} s")
                return None
        if leader.exitcode not in {0, HELD_UP} and not sent:
            self._stop(run_id, Reason.INTERNAL, f"the process that led it ended with code {leader.exitcode}")
        return leader.exitcode

    def _stop(self, run_id: str, reason: Reason, detail: str) -> None:
        stop(self._book, run_id, reason, detail)


def _signal(leader: BaseProcess, number: signal.Signals, sent: set[signal.Signals]) -> None:
    if leader.pid is not None and leader.is_alive():
        os.kill(leader.pid, number)
        sent.add(number)


def help_with(settings: Settings, store: Store, run_id: str, over: threading.Event, yields: Callable[[], bool]) -> None:
    """Lets this node's processes take chunks of a run that another node leads, as long as any are open.

    `yields`: whether another run has its turn.
    """
    book = DbStatements(store.database)
    if not _goes_on(book, run_id):
        return
    helpers = worker_pool(settings, store, run_id, lambda: END_S if over.is_set() else _longest_mail_s(settings))
    try:
        while not over.is_set() and _goes_on(book, run_id) and not yields():
            helpers.tend()
            over.wait(LOOK_S)
    finally:
        helpers.dismiss()
