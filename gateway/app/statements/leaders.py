"""Leads unfinished runs: one process for each, one run at a time, in turns."""

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any, Final

import structlog

from gateway.adapters.db.statements.store import statement_store
from gateway.app.statements.runs import lead, section
from gateway.app.statements.worker_pool import END_S, KILLED_S, SPAWN, goes_on, longest_mail_s, tidy, worker_pool
from gateway.app.store import Store, open_store
from gateway.errors import GatewayError, Reason, where
from gateway.frontends.processes import memory_protection as forgetful
from gateway.frontends.processes.children import PARENT, end_with_parent
from gateway.frontends.processes.notify import notify, reloaded
from gateway.frontends.telemetry.logs import configure, own_process
from gateway.ports.services.statements.rows import RunRow, RunState
from gateway.services.statements.drive import stop
from gateway.settings import Settings

if TYPE_CHECKING:
    pass

log = structlog.get_logger("sealgate.statements")

ENDED_S: Final = 120  # whole seconds after SIGTERM, for a leader whose workers have END_S
LOOK_S: Final = 1.0  # between two looks for new runs
STALL_S: Final = 120.0  # without a sign of life, after which the process that leads a run is killed
LEADER_LOOK_S: Final = 0.5
HELD_UP: Final = 75  # exit code of a leader that could not go on now (EX_TEMPFAIL of sysexits.h)
REST_S: Final = (1.0, 5.0, 15.0, 60.0)  # between two attempts to lead a run that cannot go on now
KILLED_MAX: Final = 3  # leaders of a run in a row; then the run is stopped by name
TURN_S: Final = 300.0  # of a run, while others could go on as well
OTHERS_LOOK_S: Final = 2.0  # between two looks whether others could
YIELD: Final = signal.SIGUSR1  # to a leader: another run has its turn
YIELD_S: Final = 30.0  # until a leader that reads its source, of which nothing has left, is killed for it
TIDY_EVERY_S: Final = 3_600.0


def serve_runs(settings: Settings, read: Callable[[], Settings]) -> None:
    """Blocks until SIGTERM: has each unfinished run led by a process of its own. They take turns, the oldest first.

    Those of commands that have died are among them. `read` gives the settings again at SIGHUP: the next run goes by
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
        book, leaders, tidied_at = statement_store(store.database), _Leaders(store, over), 0.0
        while not over.is_set():
            try:
                if again.is_set():
                    again.clear()
                    settings = _anew(settings, read)
                store.database.now()  # an alert where this machine's clock is wrong, on each node
                unfinished = book.runs.unfinished()
                leaders.forget(unfinished)
                for run in leaders.in_turn(unfinished):
                    leaders.lead(settings, run.id)
                    forgetful.let_go()
                if settings.postgresql is not None and time.monotonic() - tidied_at > TIDY_EVERY_S:
                    tidied_at = time.monotonic()
                    tidy(settings.postgresql, store)
            except GatewayError as trouble:
                log.warning("runs.blocked", reason=str(trouble.reason), detail=trouble.detail)
            except Exception as unexpected:  # noqa: BLE001 - no error may end the process of all runs
                log.error("run.internal_error", run="", where=where(unexpected))  # noqa: TRY400 - no text
            over.wait(LOOK_S)
    finally:
        store.close()


def _anew(settings: Settings, read: Callable[[], Settings]) -> Settings:
    """What does not load leaves everything as it was."""
    try:
        changed = read()
        section(changed)
    except GatewayError as trouble:
        log.critical("reload.failed", reason=str(trouble.reason), detail=trouble.detail)
        return settings
    log.info("runs.reloaded")
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
        return END_S if over.is_set() or not yields.is_set() else longest_mail_s(settings)

    try:
        store = open_store(settings)
        try:
            run = lead(settings, store, run_id, lambda run: worker_pool(settings, store, run.id, patience_s),
                       ending=lambda: over.is_set() or yields.is_set(), alive=alive)
        finally:
            store.close()
    except GatewayError as trouble:
        if trouble.reason is not Reason.RUN_STATE:  # another process was quicker
            log.warning("runs.blocked", reason=str(trouble.reason), detail=trouble.detail)
        raise SystemExit(HELD_UP) from None
    log.info("run.ended" if run.ended_at else "run.waiting", run=run.id, state=str(run.state))


def end_in_time(over: threading.Event) -> None:
    """SIGTERM sets `over`. If the process has not ended ENDED_S later, SIGALRM ends it.

    SIGTERM also comes when the parent dies. Then no process is left that kills a leader that reads an endless source.
    """
    def end(*_: object) -> None:
        over.set()
        signal.alarm(ENDED_S)

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, end)


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
        self._book, self._store, self._over = statement_store(store.database), store, over
        self._rests: dict[str, tuple[float, int]] = {}  # run: not before, attempts in a row
        self._killed: dict[str, int] = {}  # run: leaders in a row that were killed, not by us
        self._turns: dict[str, float] = {}  # run: when its last turn ended

    def in_turn(self, runs: Sequence[RunRow]) -> Sequence[RunRow]:
        """Those without a turn until now, then those whose last turn is longest ago: a new run must not wait twice."""
        return sorted(runs, key=lambda run: self._turns.get(run.id, 0.0))

    def lead(self, settings: Settings, run_id: str) -> None:
        """One run, unless another process leads it, or it has nothing to do now. STORE_UNAVAILABLE (retry)."""
        if self._over.is_set() or not self._is_ready(run_id):
            return
        where_led = self._book.runs.led(run_id)
        if where_led == "elsewhere":
            help_with(settings, self._store, run_id, self._over, lambda: self._is_other_ready(run_id))
        if where_led:
            return
        code = self._led(settings, run_id)
        self._turns[run_id] = time.monotonic()
        if code in {0, -YIELD}:  # the latter: it had not begun when its turn ended
            self._rests.pop(run_id, None)
            self._killed.pop(run_id, None)
            return
        attempts = self._rests.get(run_id, (0.0, 0))[1]
        rest_s = REST_S[min(attempts, len(REST_S) - 1)]
        self._rests[run_id] = time.monotonic() + rest_s, attempts + 1

    def _is_ready(self, run_id: str) -> bool:
        """Whether a leader could go on with the run now. STORE_UNAVAILABLE (retry)."""
        if time.monotonic() < self._rests.get(run_id, (0.0, 0))[0]:
            return False
        run = self._book.runs.run(run_id)
        if run is None or run.ended_at is not None or run.state is RunState.PAUSED:
            return False
        due = self._book.work.next_due(run_id) if run.state is RunState.RUNNING else None
        return due is None or due <= self._store.database.now()

    def _is_other_ready(self, run_id: str) -> bool:
        """Whether another run could go on here that no process leads; False while the database does not answer."""
        try:
            return any(run.id != run_id and self._is_ready(run.id) and not self._book.runs.led(run.id)
                       for run in self._book.runs.unfinished())
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
        run = self._book.runs.run(run_id)
        return None if run is None else run.state

    def _has_sent(self, run_id: str) -> bool:
        """Whether mails of the run may have left; True while the database does not answer."""
        try:
            run = self._book.runs.run(run_id)
        except GatewayError:
            return True
        return run is None or run.rows is not None

    def forget(self, runs: Sequence[RunRow]) -> None:
        """Only these are unfinished."""
        known = {run.id for run in runs}
        self._rests = {run: rest for run, rest in self._rests.items() if run in known}
        self._turns = {run: at for run, at in self._turns.items() if run in known}
        self._killed = {run: times for run, times in self._killed.items() if run in known}

    def _led(self, settings: Settings, run_id: str) -> int | None:
        """The exit code of the process that led it."""
        beat = SPAWN.Value("d", time.monotonic(), lock=False)
        leader = SPAWN.Process(target=_lead_run, args=(settings, run_id, os.getpid(), beat), name=f"leads {run_id}")
        try:
            leader.start()
        except OSError as error:  # no more processes, or no memory for one
            log.warning("run.leader_not_started", run=run_id, detail=str(error.strerror))
            return HELD_UP
        sent, silent_s, looked = set[signal.Signals](), STALL_S, time.monotonic()
        began = yields_at = looked
        while leader.is_alive():
            leader.join(LEADER_LOOK_S)
            if self._over.is_set() and signal.SIGTERM not in sent:
                _signal(leader, signal.SIGTERM, sent)
            elif not sent and time.monotonic() - looked > OTHERS_LOOK_S:
                if self._yields(run_id, began):
                    _signal(leader, YIELD, sent)
                    silent_s += longest_mail_s(settings)
                looked = yields_at = time.monotonic()
            elif YIELD in sent and time.monotonic() - yields_at > YIELD_S and not self._has_sent(run_id):
                log.warning("run.worker_did_not_yield", run=run_id, pid=leader.pid)
                leader.kill()
                leader.join(KILLED_S)
                return None
            if time.monotonic() - beat.value > silent_s:
                log.critical("run.worker_stuck", run=run_id, pid=leader.pid)
                leader.kill()
                leader.join(KILLED_S)
                self._stop(run_id, Reason.INPUT_UNREADABLE,
                           f"nothing that the run names answered for {silent_s:.0f} s")
                return None
        if leader.exitcode == -signal.SIGKILL and not sent and self._may_go_on(run_id):
            log.error("run.worker_died", run=run_id, pid=leader.pid, signal=-leader.exitcode)
            return leader.exitcode
        if leader.exitcode not in {0, HELD_UP} and not sent:
            self._stop(run_id, Reason.INTERNAL, f"the process that led it ended with code {leader.exitcode}")
        return leader.exitcode

    def _may_go_on(self, run_id: str) -> bool:
        """Whether a run whose leader was killed is led again: mostly the kernel does it, for want of memory."""
        self._killed[run_id] = self._killed.get(run_id, 0) + 1
        return self._killed[run_id] < KILLED_MAX

    def _stop(self, run_id: str, reason: Reason, detail: str) -> None:
        stop(self._book.runs, run_id, reason, detail)


def _signal(leader: BaseProcess, number: signal.Signals, sent: set[signal.Signals]) -> None:
    if leader.pid is not None and leader.is_alive():
        os.kill(leader.pid, number)
        sent.add(number)


def help_with(settings: Settings, store: Store, run_id: str, over: threading.Event, yields: Callable[[], bool]) -> None:
    """Lets this node's processes take chunks of a run that another node leads, as long as any are open.

    `yields`: whether another run has its turn.
    """
    book = statement_store(store.database)
    if not goes_on(book, run_id):
        return
    helpers = worker_pool(settings, store, run_id, lambda: END_S if over.is_set() else longest_mail_s(settings))
    try:
        while not over.is_set() and goes_on(book, run_id) and not yields():
            helpers.tend()
            over.wait(LOOK_S)
    finally:
        helpers.dismiss()
