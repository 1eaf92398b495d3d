"""Leads a run from its file to its end: examine, plan, let processes work, finish. One process leads each run.

The leader may die at any moment. Another process then leads, and continues at the state in the store.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import structlog

from gateway.clock import Clock
from gateway.errors import GatewayError, Reason, where
from gateway.ports.services.statements.rows import ItemState, RunRow, RunState
from gateway.ports.services.statements.runs import RunStore
from gateway.ports.services.statements.store import StatementStore
from gateway.services.statements import source
from gateway.services.statements.plan import plan
from gateway.services.statements.series import Series
from gateway.services.statements.spec import Spec
from gateway.services.statements.withdraw import Held, withdraw

log = structlog.get_logger("sealgate.statements")

LOOK_S: Final = 0.2
OTHERS_NAMED_MAX: Final = 5  # runs that have the statements of this one
_ENDED: Final = (RunState.CANCELLED, RunState.STOPPED, RunState.DONE)


class WorkerPool(Protocol):
    """Processes that work on a run."""

    def tend(self) -> None:
        """Starts those that are missing. GatewayError: one after the other died at once."""
        ...

    def dismiss(self) -> None:
        """Waits for their mails in work."""
        ...


@dataclass(frozen=True, slots=True)
class Leading:
    """What the leader needs. `spec_of`: the run's file, with the links in its paths followed.

    `source_of`: the source's file; of a query, its rows in a file. `gate` raises RUN_THRESHOLD if too many mails
    could not go; None: the starter of the run has examined it. `alive` is called while the leader makes progress.
    """

    store: StatementStore
    clock: Clock
    series: Series
    held: Held
    spec_of: Callable[[RunRow], Spec]
    source_of: Callable[[RunRow, Spec], Path]
    gate: Callable[[RunRow, Spec], None] | None
    worker_pool: Callable[[RunRow], WorkerPool]
    ending: Callable[[], bool]
    wait: Callable[[float], None]
    alive: Callable[[], None]


def drive(leading: Leading, run_id: str) -> RunRow:
    """Leads until the run has ended, is paused, or the process is to end; returns its state.

    A permanent fault, and every unexpected error, stops this run by its name: other runs go on.
    RUN_STATE (retry) if another process leads it; RUN_UNKNOWN; STORE_UNAVAILABLE (retry).
    """
    store = leading.store
    if store.runs.run(run_id) is None:
        raise GatewayError(Reason.RUN_UNKNOWN, run_id)
    if not store.runs.lead(run_id):
        raise GatewayError(Reason.RUN_STATE, f"another process works on run {run_id}", retry=True)
    try:
        try:
            _begin(leading, _known(store.runs, run_id))
        except GatewayError as trouble:
            if trouble.retry:
                raise
            stop(store.runs, run_id, trouble.reason, trouble.detail)
        except Exception as unexpected:  # noqa: BLE001 - a fault with one run must not end the process of all
            stop(store.runs, run_id, Reason.INTERNAL, where(unexpected))
        try:
            _work(leading, run_id)
        except GatewayError:
            raise
        except Exception as unexpected:  # noqa: BLE001 - as above
            stop(store.runs, run_id, Reason.INTERNAL, where(unexpected))
        _say_what_others_have(store, run_id)  # first, so that a run that sent nothing is never shown as `done`
        store.runs.finish(run_id, leading.clock.now())
    finally:
        store.runs.leave(run_id)
    return _known(store.runs, run_id)


def _say_what_others_have(store: StatementStore, run_id: str) -> None:
    """A run whose statements are another run's says which; if nothing is its own, it is stopped and not done."""
    if _known(store.runs, run_id).state is not RunState.RUNNING:
        return
    counts = store.results.counts(run_id)
    if counts.open or not counts.states.get(ItemState.REPEATED):
        return
    others = store.plans.repeated_of(run_id)
    if not others:  # the source names a statement twice
        return
    detail = ", ".join(f"{number} of {counts.all} mails are of run {other}" for other, number in
                       list(others.items())[:OTHERS_NAMED_MAX])
    nothing_own = counts.states[ItemState.REPEATED] == counts.all
    if store.runs.change(run_id, (RunState.RUNNING,), RunState.STOPPED if nothing_own else RunState.RUNNING,
                         reason=Reason.STATEMENT_SENT_BEFORE, detail=detail):
        log.warning("run.overlaps", run=run_id, others=list(others)[:OTHERS_NAMED_MAX], nothing_own=nothing_own)


def stop(runs: RunStore, run_id: str, reason: Reason, detail: str) -> None:
    """Stops a run that has not begun to send; pauses one that has. Logs an alert unless it has stopped already.

    STORE_UNAVAILABLE (retry).
    """
    if runs.change(run_id, (RunState.NEW, RunState.PLANNING), RunState.STOPPED, reason=reason, detail=detail):
        log.critical("run.stopped", run=run_id, reason=str(reason))
    elif runs.change(run_id, (RunState.RUNNING,), RunState.PAUSED, reason=reason, detail=detail):
        log.critical("run.paused", run=run_id, reason=str(reason))


def _known(runs: RunStore, run_id: str) -> RunRow:
    run = runs.run(run_id)
    if run is None:
        raise GatewayError(Reason.RUN_UNKNOWN, run_id)
    return run


def _begin(leading: Leading, run: RunRow) -> None:
    """NEW to RUNNING."""
    store = leading.store
    if run.kind == "recall" and run.state in {RunState.NEW, RunState.PLANNING}:  # its source may be gone
        withdraw(run, store.plans, leading.held, leading.clock)
    if run.state not in {RunState.NEW, RunState.PLANNING}:
        return
    spec = leading.spec_of(run)
    if run.state is RunState.NEW:
        path = leading.source_of(run, spec)
        digest = source.digest(path, leading.alive)
        if run.sha256 and run.sha256 != digest:
            raise GatewayError(Reason.RUN_CHANGED, str(path))
        store.runs.source(run.id, digest)
        if leading.gate is not None:
            leading.gate(run, spec)
        store.runs.change(run.id, (RunState.NEW,), RunState.PLANNING)
        run = _known(store.runs, run.id)
    if run.state is RunState.PLANNING:
        path = checked(leading.source_of(run, spec), run, leading.alive)

        def go_on() -> bool:
            return not leading.ending() and _known(store.runs, run.id).state is RunState.PLANNING

        rows = plan(run, spec, path, store.plans, leading.series, leading.clock, go_on)
        if rows is not None:
            if run.kind == "replace":  # before the first of what replaces it may leave
                withdraw(run, store.plans, leading.held, leading.clock)
            store.runs.begin(run.id, rows, leading.clock.now())


def checked(path: Path, run: RunRow, alive: Callable[[], object] = lambda: None) -> Path:
    """The source, which is still what it was when the run began. RUN_CHANGED, INPUT_UNREADABLE."""
    if source.digest(path, alive) != run.sha256:
        raise GatewayError(Reason.RUN_CHANGED, str(path))
    return path


def _work(leading: Leading, run_id: str) -> None:
    """As long as the run is RUNNING and something is open. A source that has changed pauses it."""
    store = leading.store
    run = _known(store.runs, run_id)
    if run.state is not RunState.RUNNING:
        return
    try:
        checked(leading.source_of(run, leading.spec_of(run)), run, leading.alive)
    except GatewayError as trouble:
        if trouble.retry:
            raise
        stop(store.runs, run_id, trouble.reason, trouble.detail)
        return
    worker_pool = leading.worker_pool(run)
    log.info("run.started", run=run_id, rows=run.rows)
    try:
        while not leading.ending() and _known(store.runs, run_id).state is RunState.RUNNING:
            if store.work.next_due(run_id) is None:
                return
            worker_pool.tend()
            leading.wait(LOOK_S)
    finally:
        worker_pool.dismiss()
