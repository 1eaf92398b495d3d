"""`sealgate status`: the state of the gateway on one screen."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Final

import typer
from rich.console import Console
from rich.text import Text

from gateway.app.operation.status import SOON_DAYS, Status, read_status
from gateway.cli import context, listing
from gateway.cli.context import BAD, reporting_errors
from gateway.cli.listing import Json, shown
from gateway.model.outcome import Settled
from gateway.ports.counts import Waiting

_COLOURS: Final = {"ok": "green", "degraded": "yellow", "failed": "red"}
_UNITS: Final = ("octets", "KB", "MB", "GB", "TB")
_NAME_WIDTH: Final = 11


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(status)


def status(json: Json = False) -> None:
    """Show the state of the gateway: services, mail of the last hour and day, held mail, what expires, disk.

    Exit 1 if no mail can be taken.

    Example: sealgate status
    """
    with reporting_errors():
        read = read_status(context.settings())
    if json:
        listing.json_object({**asdict(read), "good": read.good})
    else:
        console = Console(highlight=False)
        name = ""
        for title, line in _lines(read):
            console.print(Text(f"{title if title != name else '':{_NAME_WIDTH}}", style="bold"), line, soft_wrap=True)
            name = title
    if not read.good:
        raise typer.Exit(BAD)


def _lines(read: Status) -> Iterator[tuple[str, Text]]:
    """Title and text of each line."""
    yield "Sealgate", Text(f"{read.version} on {read.hostname}, {shown(read.at)}, mode {read.mode}")
    for check in read.checks:
        yield "Services", Text.assemble(f"{check.name.replace('_', ' '):20} ", (check.state, _COLOURS[check.state]),
                                        f"  {check.detail}" if check.detail else "")
    yield "Processes", Text(_processes(read.processes))
    if read.not_asked:
        yield "Processes", Text(f"circuit breaker open: {', '.join(read.not_asked)}", "yellow")
    yield "Mail", Text(f"last hour: {_counted(read.hour)}")
    yield "Mail", Text(f"last day: {_counted(read.day)}")
    if read.numbers is not None:
        for kind, held in read.numbers.held.items():
            yield "Held", Text(f"{kind}: {_held(held, read.at)}")
        yield "Fetching", Text(f"{read.numbers.fetch_failing} of {read.numbers.fetch_tasks} fetch requests fail, "
                               f"{read.numbers.lists_stale} of {read.numbers.lists} CRLs are out of date")
    if not read.expiring:
        yield "Expiry", Text(f"nothing in {SOON_DAYS} days")
    for one in read.expiring:
        over = one.not_after <= read.at
        yield "Expiry", Text(f"{one.what} {shown(one.name)} {'expired' if over else 'expires'} {shown(one.not_after)}",
                             "red" if over else "yellow")
    if read.numbers is not None:
        yield "Backup", _backup(read)
    for disk in read.disks:
        yield "Disk", Text(f"{disk.path}: {_octets(disk.free)} of {_octets(disk.total)} free")


def _backup(read: Status) -> Text:
    if read.last_backup is None:
        return Text("none was made: `sealgate backup`", "yellow")
    return Text(f"the last one {shown(read.last_backup)}, "
                f"{_duration((read.at - read.last_backup).total_seconds())} ago")


def _processes(ready: Mapping[str, int] | None) -> str:
    if ready is None:
        return "not known: the settings have no section `metrics`, or no process runs"
    return ", ".join(f"{kind} {count}" for kind, count in sorted(ready.items()) if count) or "none takes mail"


def _counted(outcomes: Mapping[Settled, int] | None) -> str:
    if outcomes is None:
        return "not known, because the database does not answer"
    return ", ".join(f"{outcome} {count}" for outcome, count in outcomes.items()) or "none"


def _held(held: Waiting, now: datetime) -> str:
    if held.oldest is None:
        return "none"
    return f"{held.mails} ({_octets(held.octets)}), the oldest for {_duration((now - held.oldest).total_seconds())}"


def _octets(count: float) -> str:
    for unit in _UNITS:
        if count < 1000 or unit == _UNITS[-1]:
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == _UNITS[0] or count >= 10 else f"{count:.1f} {unit}"


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0) / 60:.0f} minutes"
