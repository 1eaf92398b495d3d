"""The processes that work on a run, started and watched by whoever leads it."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.process import BaseProcess
from typing import Final

import structlog

from gateway.adapters.db.statements import DbStatements
from gateway.app.statements import Worker, lead, processes, section
from gateway.app.store import Store, open_store
from gateway.clock import SystemClock
from gateway.errors import GatewayError, Reason
from gateway.frontends import forgetful
from gateway.frontends.children import PARENT, end_with_parent
from gateway.frontends.logs import configure, own_process
from gateway.ports.statements import RunState
from gateway.settings import Settings

log = structlog.get_logger("sealgate.statements")

DEATHS_MAX: Final = 5  # of processes that died within STEADY_S; then the run is given up for the moment
STEADY_S: Final = 10.0
END_S: Final = 60.0
LOOK_S: Final = 1.0  # between two looks for new runs
FORGET_EVERY_S: Final = 3_600.0
_SPAWN: Final = multiprocessing.get_context("spawn")  # a fork would share the database's connection


class ProcessCrew:
    """As many as the settings say. See services.statements.drive.Crew."""

    def __init__(self, settings: Settings, run_id: str) -> None:
        self._settings, self._run = settings, run_id
        self._size = processes(settings)
        self._members: list[tuple[BaseProcess, float]] = []
        self._deaths = 0

    def tend(self) -> None:
        """See Crew. STORE_UNAVAILABLE (retry) is not told: each of them says in the log why it ended."""
        for member, began in self._members:
            if member.exitcode and time.monotonic() - began < STEADY_S:
                self._deaths += 1
        self._members = [(member, began) for member, began in self._members if member.is_alive()]
        if self._deaths >= DEATHS_MAX:
            raise GatewayError(Reason.INTERNAL, "the processes of the run end at once; the log says why", retry=True)
        while len(self._members) < self._size:
            member = _SPAWN.Process(target=_work, args=(self._settings, self._run, self._size, os.getpid()),
                                    name=f"statements {self._run}")
            member.start()
            self._members.append((member, time.monotonic()))

    def dismiss(self) -> None:
        """See Crew."""
        for member, _ in self._members:
            if member.is_alive() and member.pid is not None:
                os.kill(member.pid, signal.SIGTERM)
        deadline = time.monotonic() + END_S
        for member, _ in self._members:
            member.join(max(0.0, deadline - time.monotonic()))
            if member.is_alive():
                log.critical("run worker stuck", run=self._run, pid=member.pid)
                member.kill()
                member.join()
        self._members = []


def _work(settings: Settings, run_id: str, share: int, parent: int) -> None:
    """A process of the crew. It ends with the one that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the leader tells us
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    over: list[Worker] = []
    signal.signal(signal.SIGTERM, lambda *_: over[0].end() if over else os._exit(0))
    os.environ[PARENT] = str(parent)
    end_with_parent()
    configure(settings.log_level)
    own_process()
    os.nice(section(settings).nice)
    try:
        worker = Worker(settings, share=share)
        over.append(worker)
        try:
            worker.work(run_id)
        finally:
            worker.close()
    except GatewayError as trouble:
        log.critical("run worker ended", run=run_id, reason=str(trouble.reason), detail=trouble.detail)
        raise SystemExit(1) from None


def serve_runs(settings: Settings, read: Callable[[], Settings]) -> None:
    """Blocks until SIGTERM: leads whatever run waits for somebody, one after the other, the oldest first.

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
    signal.signal(signal.SIGHUP, lambda *_: again.set())
    store = open_store(settings)
    try:
        book, forgotten = DbStatements(store.database), 0.0
        while not over.is_set():
            try:
                if again.is_set():
                    again.clear()
                    settings = _anew(settings, read)
                for run in book.unfinished():
                    _lead(settings, store, run.id, over)
                    forgetful.let_go()
                if time.monotonic() - forgotten > FORGET_EVERY_S:
                    forgotten = time.monotonic()
                    book.forget(SystemClock().now() - timedelta(days=section(settings).keep_days))
            except GatewayError as trouble:
                log.warning("runs held up", reason=str(trouble.reason), detail=trouble.detail)
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
    log.info("reloaded")
    return changed


def _lead(settings: Settings, store: Store, run_id: str, over: threading.Event) -> None:
    """One run, which another process may lead already, or one on another node."""
    if over.is_set():
        return
    try:
        run = lead(settings, store, run_id, lambda run: ProcessCrew(settings, run.id), ending=over.is_set)
    except GatewayError as trouble:
        if trouble.reason is not Reason.RUN_STATE:
            log.warning("runs held up", reason=str(trouble.reason), detail=trouble.detail)
        elif DbStatements(store.database).led_elsewhere(run_id):
            help_with(settings, store, run_id, over)
        return
    log.info("run ended" if run.ended_at else "run rests", run=run_id, state=str(run.state))


def help_with(settings: Settings, store: Store, run_id: str, over: threading.Event) -> None:
    """Another node leads the run: this one's processes take chunks of it, too, as long as there are any."""
    book = DbStatements(store.database)
    crew = ProcessCrew(settings, run_id)
    try:
        while not over.is_set():
            run = book.run(run_id)
            if run is None or run.state is not RunState.RUNNING or book.next_due(run_id) is None:
                return
            crew.tend()
            over.wait(LOOK_S)
    finally:
        crew.dismiss()
