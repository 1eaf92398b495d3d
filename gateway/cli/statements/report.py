"""`sealgate statements check`, `report` and `delivered`: what a run would do, what it did, and its delivery status."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gateway import app as composition
from gateway.app.letters import wording
from gateway.app.statements import preflight
from gateway.app.statements import runs as statements
from gateway.app.statements.delivered import take_deliveries
from gateway.cli import context, listing
from gateway.cli.context import BAD, fail, reporting_errors, say
from gateway.cli.listing import Json
from gateway.clock import SystemClock
from gateway.errors import Reason, file_error
from gateway.model.sentences import SENTENCES
from gateway.services.statements import report, source, spec
from gateway.services.statements.pages import preflight_page, report_page
from gateway.services.statements.pages.wording import number, percent
from gateway.services.statements.tally import Channel, Preflight, Tally
from gateway.settings.read import text_of

Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="file for a page with charts; `-` = standard "
                                                                          "output")]
NO_RUN_FILE: Final = "Check the name of the run file (docs/statements.md)"
ROWS_NAMED: Final = 5  # of each reason, on a terminal


def register(group: typer.Typer) -> None:
    """Adds the commands to `sealgate statements`."""
    group.command()(check)
    group.command("report")(report_)
    group.command()(delivered)


def check(
    run: Annotated[Path, typer.Argument(metavar="RUN.yaml", help="file of the run")],
    html: Html = None,
    json: Json = False,
    thorough: Annotated[bool, typer.Option("--thorough", help="check the accessibility of all documents, not of a "
                                                              "sample; some milliseconds each")] = False,
) -> None:
    """Check how each mail of a run would be sent; nothing is sent. Exit 1 if the run would not start.

    Example: sealgate statements check october.yaml --html october.html
    """
    settings = context.settings()
    with reporting_errors():
        base = run.absolute().parent
        run_spec = spec.placed(spec.read(text_of(run, NO_RUN_FILE), str(run), base), base)
        with preflight.rows_file(settings, run_spec) as path, _bar("rows", source.count_lines(path)) as follow:
            done = preflight.look(settings, run_spec, path, SystemClock().now(), thorough=thorough, follow=follow)
    if html is not None:
        _write(html, preflight_page.html(done, wording(settings)))
    if json:
        listing.json_object(preflight_page.as_json(done))
    elif html is None or str(html) != "-":
        _print(done)
    if done.reason is not None:
        say(f"sealgate: {done.reason}: {SENTENCES[done.reason].what} {SENTENCES[done.reason].admin}")
        raise typer.Exit(BAD)


def _print(done: Preflight) -> None:
    tally = done.tally
    listing.table(("channel", "mails", "share"), [
        (preflight_page.CHANNELS[channel][1], number(tally.channels[channel]),
         percent(tally.channels[channel], tally.mails)) for channel in Channel if tally.channels[channel]])
    if tally.reasons:
        listing.table(("mails", "reason", "what", "remedy"), [
            (number(count), reason, SENTENCES[reason].what, SENTENCES[reason].admin)
            for (_, reason), count in tally.reasons.most_common()])
        _print_rows(tally)
    for count, text in ((tally.ending, f"certificates expire before {done.until:%Y-%m-%d %H:%M}Z"),
                        (tally.blocked, "mails go to customers who are blocked from codes"),
                        (tally.inaccessible, f"of {number(tally.sampled)} documents of the sample are not accessible")):
        if count:
            say(f"sealgate: {number(count)} {text}")
    say(f"{number(tally.rows)} rows, {number(tally.mails)} mails in {done.took_s:.1f} s; "
        f"{tally.refused_percent:.2f} % cannot be sent, {tally.expected_percent:.2f} % are expected for all documents, "
        f"{done.percent_max:g} % are allowed")
    if not done.may_start:
        say(f"the run would not start: {done.why_not}")


def _print_rows(tally: Tally) -> None:
    """The first rows of each reason."""
    counts: Counter[Reason] = Counter()
    for (channel, reason), count in tally.reasons.items():
        if channel is Channel.REFUSED:
            counts[reason] += count
    for reason, count in counts.items():
        found = [one for one in tally.problems if one.reason is reason and not one.warning][:ROWS_NAMED]
        for one in found:
            say(f"row {number(one.row)}{f', customer {one.customer}' if one.customer else ''}: {reason}"
                f"{f', {one.what}' if one.what else ''}")
        if count > len(found):
            say(f"{number(count - len(found))} more of {reason}: --html and --json list them")


def report_(
    run: Annotated[str, typer.Argument(metavar="RUN", help="id of a run, as `sealgate statements list` prints it")],
    html: Html = None,
    csv: Annotated[bool, typer.Option("--csv", help="print one line per mail")] = False,
    json: Json = False,
) -> None:
    """Show the delivery status of each mail of a run: delivered, sent, waiting, held, bounced, rejected, and why.

    Example: sealgate statements report 5f0c7d9e1a2b3c4d --html october-report.html
    """
    settings = context.settings()
    clock = SystemClock()
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            runs = statements.statements(settings, store, clock)
            row = runs.show(run).run
            if csv:
                for line in report.csv_lines(runs.items(run), report_page.remedies()):
                    sys.stdout.write(line)
                return
            made = report.made(row, runs.items(run), clock.now(),
                               log_read=statements.section(settings).postfix_log is not None)
        finally:
            store.close()
    if html is not None:
        _write(html, report_page.html(made, wording(settings)))
    if json:
        listing.json_object(report.as_json(made))
    elif html is None:
        listing.sheet({"run": row.id, "name": row.name, "period": row.period, "state": row.state.value,
                       "mails": number(made.mails), "sent more than once": number(made.resent),
                       "further copies": number(made.copies),
                       **({} if made.delivery_known else {
                           "delivered": "unknown: `statements.postfix_log` is not set"})})
        listing.table(("delivery status", "mails", "share"), [
            (report_page.FATES[one][1], number(made.fates[one]), percent(made.fates[one], made.mails))
            for one in report.Fate if made.fates[one]])
        listing.table(("mails", "reason", "what", "remedy"), [_reason(count, reason) for (_, reason), count
                                                               in made.reasons.most_common()])


def delivered(json: Json = False) -> None:
    """Import the delivery status of mails from Postfix's log since the last time.

    The jobs of `sealgate run` do this every 30 seconds; with several nodes, run it on each by a timer.

    Example: sealgate statements delivered
    """
    settings = context.settings()
    with reporting_errors():
        store = composition.open_store(settings)
        try:
            taken = take_deliveries(settings, store, SystemClock())
        finally:
            store.close()
    if taken is None:
        fail("`statements.postfix_log` is not set. Set it to the path of Postfix's log", context.USAGE)
    if json:
        listing.json_object({"deliveries": taken.deliveries, "ours": taken.ours, "lost": taken.lost})
        return
    say(f"{number(taken.deliveries)} deliveries, {number(taken.ours)} of them of statements"
        + (", and a part of the log was missing" if taken.lost else ""))


def _reason(count: int, reason: str) -> tuple[str, ...]:
    if not report.is_reason(reason):
        return number(count), reason, "", ""
    sentence = SENTENCES[Reason(reason)]
    return number(count), reason, sentence.what, sentence.admin


def _write(path: Path, text: str) -> None:
    """A page for its reader alone."""
    if str(path) == "-":
        sys.stdout.write(text)
        return
    try:
        preflight.write_own(path, text)
    except OSError as error:
        fail(file_error(path, error), context.USAGE)


@contextmanager
def _bar(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done: None  # noqa: ARG005
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)
