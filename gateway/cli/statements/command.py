"""`sealgate statements`: runs of statements and bills; docs/statements.md."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from gateway import app as composition
from gateway.app.statements.runs import lead, section, statements
from gateway.app.statements.worker_pool import worker_pool
from gateway.cli import context, listing
from gateway.cli.context import BAD, REFUSED, TEMPORARY, USAGE, fail, reporting_errors, say
from gateway.cli.listing import Json, Output, OutputOption, output_of
from gateway.cli.processes.run import works_on_runs
from gateway.cli.statements import report as statements_report
from gateway.errors import GatewayError, Reason
from gateway.frontends.telemetry.logs import configure
from gateway.model.sentences import SENTENCES
from gateway.ports.services.statements.rows import ItemState, RunRow, RunState
from gateway.services.statements.runs import Shown, Statements
from gateway.settings import Settings
from gateway.settings.read import text_of

group = typer.Typer(no_args_is_help=True, help="Statements and bills in runs: check, send, watch, report.")
RunFile = Annotated[Path, typer.Argument(metavar="RUN.yaml", help="docs/statements.md")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="id of a run, as `sealgate statements list` prints it")]
LOOK_S: Final = 1.0
PLAIN_LOOK_S: Final = 10.0  # between two lines where there is no terminal
STATES: Final = ("sent", "held", "refused", "repeated", "waiting", "planned", "sending", "cancelled")


def register(app: typer.Typer) -> None:
    """Adds the group."""
    statements_report.register(group)
    app.add_typer(group, name="statements")


@contextmanager
def _runs(settings: Settings) -> Iterator[tuple[Statements, composition.Store]]:
    with reporting_errors():
        section(settings)
        store = composition.open_store(settings)
        try:
            yield statements(settings, store), store
        finally:
            store.close()


@group.command()
def send(
    run: RunFile,
    background: Annotated[bool, typer.Option("--background", help="only pass the run to `sealgate run`")] = False,
    json: Json = False,
) -> None:
    """Send a run: a pre-flight check comes first, then each mail is sent once.

    Ctrl-C ends this command, not the run: `sealgate run` continues it if `api` or `postgresql` is set, otherwise
    `statements resume` does. `statements pause` pauses it.
    Exit 1 if some mails were rejected, 69 if too many would be, 75 if the run has not ended.

    Example: sealgate statements send october.yaml
    """
    settings = context.settings()
    _require_worker(settings, background=background)
    with _runs(settings) as (runs, store):
        text = text_of(run, statements_report.NO_RUN_FILE)
        row = runs.create(section(settings).client, text, base=run.absolute().parent, name=str(run))
        say(f"run {row.id}: {row.name}")
        if background:
            _tell(runs.show(row.id), json=json)
            return
        _carry_out(settings, store, runs, row.id, json=json)


@group.command("list")
def list_(output: OutputOption = Output.TABLE, json: Json = False) -> None:
    """List the runs, the newest first.

    Example: sealgate statements list
    """
    with _runs(context.settings()) as (runs, _):
        found = runs.list()
    listing.write(output_of(output, json=json),
                  ("id", "kind", "name", "period", "state", "rows", "since", "ended", "reason"),
                  [(row.id, row.kind, row.name, row.period, row.state, row.rows, row.created_at, row.ended_at,
                    row.reason) for row in found], "There is no run.", (_plain(row) for row in found))


@group.command()
def show(run: RunId, json: Json = False) -> None:
    """Show the progress of a run: mails by state, rate and remaining time.

    Example: sealgate statements show 3f0c9a1be2d47586
    """
    with _runs(context.settings()) as (runs, _):
        _tell(runs.show(run), json=json)


@group.command()
def pause(run: RunId) -> None:
    """Pause a run; mails in progress are finished.

    Example: sealgate statements pause 3f0c9a1be2d47586
    """
    with _runs(context.settings()) as (runs, _):
        runs.pause(run)
    say(f"{run}: paused")


@group.command()
def resume(
    run: RunId,
    background: Annotated[bool, typer.Option("--background", help="let `sealgate run` process it")] = False,
    json: Json = False,
) -> None:
    """Continue a run that was paused or whose process has died. No mail is sent twice.

    Exit codes as for `statements send`.

    Example: sealgate statements resume 3f0c9a1be2d47586
    """
    settings = context.settings()
    _require_worker(settings, background=background)
    with _runs(settings) as (runs, store):
        runs.resume(run)
        if background:
            _tell(runs.show(run), json=json)
        else:
            _carry_out(settings, store, runs, run, json=json)


@group.command()
def cancel(run: RunId,
           yes: Annotated[bool, typer.Option("--yes",
               help="do not ask for confirmation; mails that were not sent are not sent")] = False
           ) -> None:
    """Cancel a run. Mails that were sent cannot be cancelled: `statements recall` notifies those customers.

    Example: sealgate statements cancel 3f0c9a1be2d47586 --yes
    """
    if not yes and not (sys.stdin.isatty() and typer.confirm(f"Cancel run {run} permanently?", err=True)):
        fail("nothing was changed. Use --yes to confirm without a terminal", USAGE)
    with _runs(context.settings()) as (runs, _):
        runs.cancel(run)
    say(f"{run}: cancelled")


@group.command()
def replace(old: RunId, run: RunFile, json: Json = False) -> None:
    """Send corrected statements to the customers of an earlier run, with a text that says so.

    The rows have a new version in the column `columns.version`. Exit codes as for `statements send`.

    Example: sealgate statements replace 3f0c9a1be2d47586 october-corrected.yaml
    """
    settings = context.settings()
    with _runs(settings) as (runs, store):
        text = text_of(run, statements_report.NO_RUN_FILE)
        row = runs.replace(old, section(settings).client, text, base=run.absolute().parent, name=str(run))
        _carry_out(settings, store, runs, row.id, json=json)


@group.command()
def recall(old: RunId, json: Json = False,
           yes: Annotated[bool, typer.Option("--yes",
               help="do not ask for confirmation; all customers of the run get a mail")] = False
           ) -> None:
    """Ask all customers who got a statement from a run to ignore it. Sent mails cannot be deleted.

    Exit codes as for `statements send`.

    Example: sealgate statements recall 3f0c9a1be2d47586 --yes
    """
    settings = context.settings()
    if not yes and not (sys.stdin.isatty() and typer.confirm(f"Send a mail to all customers of run {old}?", err=True)):
        fail("nothing was sent. Use --yes to confirm without a terminal", USAGE)
    with _runs(settings) as (runs, store):
        row = runs.recall(old, section(settings).client)
        _carry_out(settings, store, runs, row.id, json=json)


def _require_worker(settings: Settings, *, background: bool) -> None:
    if background and not works_on_runs(settings):
        fail("--background needs `api` or `postgresql` in the settings. Omit --background, or add one of them", USAGE)


def _carry_out(settings: Settings, store: composition.Store, runs: Statements, run_id: str, *, json: bool) -> None:
    """Leads the run and shows how far it is; ends the command with its exit code."""
    configure("warning" if sys.stderr.isatty() else settings.log_level)
    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    with _Bar(runs, run_id) as bar:
        def ending() -> bool:
            bar.look()
            return ended

        try:
            row = lead(settings, store, run_id, lambda run: worker_pool(settings, store, run.id), ending=ending)
        except GatewayError as trouble:
            if trouble.reason is not Reason.RUN_STATE or not trouble.retry:
                raise
            row = _watch(runs, run_id, ending)  # `sealgate run` was quicker
    found = runs.show(run_id)
    _tell(found, json=json)
    if then := what_next(settings, row, refused=found.counts.states.get(ItemState.REFUSED, 0)):
        say(f"run {run_id}: {then}")
    raise typer.Exit(_exit_code(row, found))


def what_next(settings: Settings, run: RunRow, *, refused: int) -> str:
    """The next step, or the command that shows more; '' if nothing remains."""
    if run.ended_at is None:
        here = f"`sealgate statements resume {run.id}` continues it"
        if run.state is not RunState.PAUSED and works_on_runs(settings):
            return (f"`sealgate run` continues it if it is running, and `sealgate statements pause {run.id}` pauses "
                    f"it; {here} here")
        return here
    if run.reason == Reason.STATEMENT_SENT_BEFORE:
        return f"another run has these statements: {run.detail}. `sealgate statements show` shows it"
    if run.state is RunState.STOPPED:
        page = section(settings).reports / f"{run.id}.preflight.html"
        return f"each row by its number: {page}" if page.exists() else ""
    return f"each row by its number: `sealgate statements report {run.id} --csv`" if refused else ""


def _watch(runs: Statements, run_id: str, ending: Any) -> RunRow:
    say(f"run {run_id}: another process is processing it; this one shows its progress")
    while not ending():
        row = runs.show(run_id).run
        if row.ended_at is not None or row.state is RunState.PAUSED:
            return row
        time.sleep(LOOK_S)
    return runs.show(run_id).run


def _exit_code(row: RunRow, found: Shown) -> int:
    if row.state is RunState.STOPPED and row.reason == Reason.STATEMENT_SENT_BEFORE:
        return 0  # nothing was left to do, and the run says whose the statements are
    if row.state is RunState.STOPPED:
        return REFUSED if row.reason == Reason.RUN_THRESHOLD else BAD
    if row.ended_at is None:
        return TEMPORARY
    refused = found.counts.states.get(ItemState.REFUSED, 0) or row.state is RunState.CANCELLED
    return BAD if refused else 0


class _Bar:
    """Progress on standard error: a bar on a terminal, a line at times elsewhere."""

    def __init__(self, runs: Statements, run_id: str) -> None:
        self._runs, self._run = runs, run_id
        self._terminal = sys.stderr.isatty()
        self._looked, self._pause_s = 0.0, LOOK_S if self._terminal else PLAIN_LOOK_S
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(), console=Console(stderr=True), disable=not self._terminal)
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.__enter__()
        self._task = self._progress.add_task("planning", total=None, rate="")
        self._looked = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.__exit__(None, None, None)

    def look(self) -> None:
        """Counts, unless that was done a moment ago; the more it costs the seldomer."""
        now = time.monotonic()
        if now - self._looked < self._pause_s or self._task is None:
            return
        found = self._runs.show(self._run)
        done, total = found.counts.all - found.counts.open, found.counts.all
        self._progress.update(self._task, description=str(found.run.state), completed=done, total=total or None,
                              rate=f"{found.rate:,.0f}/s" if found.rate else "")
        if not self._terminal:
            rest = f", about {found.rest_s:,.0f} s left" if found.rest_s is not None else ""
            say(f"{self._run}: {found.run.state}, {done:,} of {total:,}, {found.rate:,.0f}/s{rest}")
        self._looked = time.monotonic()
        self._pause_s = max(LOOK_S if self._terminal else PLAIN_LOOK_S, 20 * (self._looked - now))


def _tell(found: Shown, *, json: bool) -> None:
    run, counts = found.run, found.counts
    numbers = {state: counts.states.get(ItemState(state), 0) for state in STATES}
    if json:
        listing.json_object({**_plain(run), "items": numbers, "resent": counts.resent, "bounced": counts.bounced,
                             "delivered": counts.delivered, "rate": round(found.rate, 1), "rest_s": found.rest_s})
        return
    listing.sheet({"run": run.id, "name": run.name, "period": run.period, "state": run.state,
                   **{name: number for name, number in numbers.items() if number},
                   **({"further copies sent": counts.resent} if counts.resent else {}),
                   **({"bounced": counts.bounced} if counts.bounced else {}),
                   **({"reason": run.reason, "detail": run.detail} if run.reason else {}),
                   "mails a second": round(found.rate, 1)})
    if run.reason:
        sentence = SENTENCES[Reason(run.reason)]
        say(f"sealgate: {run.reason}: {sentence.what} {sentence.admin}")


def _plain(run: RunRow) -> dict[str, Any]:
    values = asdict(run)
    del values["spec"]
    return values
