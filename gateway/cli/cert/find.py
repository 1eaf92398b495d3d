"""`sealgate cert find`: what every source says of an address, which certificate wins, and why the others lose."""

import sys
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway import app as composition
from gateway.cli import context, listing
from gateway.cli.context import BAD, fail, reporting_errors, say
from gateway.cli.listing import Json, certificate_row, shown
from gateway.clock import SystemClock
from gateway.cms.certificate import parse_certificate
from gateway.errors import GatewayError, Reason
from gateway.model.address import domain_of
from gateway.model.lookup import (
    Absent,
    CertificateAnswer,
    CertificateRow,
    Conflict,
    Found,
    LookedUp,
    Loser,
    SourceAnswer,
    Unavailable,
    Unusable,
    Want,
)
from gateway.model.sentences import SENTENCES

_NOTES = {"not_needed": "not needed", "not_served": "not for this domain"}
_KEPT = {"asked": "", "kept": "cached", "stale": "cached and expired, because the source does not answer"}


def register(group: typer.Typer) -> None:
    """Adds the command."""
    group.command()(find)


def find(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="a recipient's mail address")],
    enrolled: Annotated[bool, typer.Option("--enrolled",
                                           help="look up as a rule with `certificates: enrolled` does")] = False,
    every: Annotated[bool, typer.Option("--all", help="also query the sources after the deciding one")] = False,
    json: Json = False,
) -> None:
    """Show the certificates that a mail to ADDRESS would be encrypted to, and why others are not used.

    Exit 1 if there is none. Sources are queried in order until one decides; their answers go to standard error.

    Example: sealgate cert find --all anna@customer.example
    """
    if not domain_of(address):
        fail(f"`{address}` is not a valid mail address. Write one such as anna@customer.example", context.USAGE)
    settings = context.settings()
    want: Want = "enrolled" if enrolled else "any"
    with reporting_errors():
        clock = SystemClock()
        store = composition.open_store(settings, clock)
        try:
            with composition.looking_up(settings, store, clock) as look_up:
                looked_up = look_up.explained(address, want, every=every)
        finally:
            store.close()
    if json:
        listing.json_object(_as_json(address, want, looked_up))
    else:
        _explain(address, looked_up)
    if not isinstance(looked_up.answer, Found):
        raise typer.Exit(context.TEMPORARY if isinstance(looked_up.answer, Unavailable) else BAD)


def _as_json(address: str, want: Want, looked_up: LookedUp) -> dict[str, object]:
    answer = looked_up.answer
    return {
        "address": address,
        "want": want,
        "answer": _word(answer),
        "detail": answer.detail if isinstance(answer, Unavailable) else "",
        "enrolled": answer.enrolled if isinstance(answer, Found) else None,
        "wins": [certificate_row(row) for row in _winners(answer)],
        "loses": [{**certificate_row(loser.row), "reason": loser.reason, "remedy": SENTENCES[loser.reason].admin}
                  for loser in _losers(answer)],
        "owners": list(answer.owners) if isinstance(answer, Conflict) else [],
        "sources": [_source(one) for one in looked_up.sources],
    }


def _source(one: SourceAnswer) -> dict[str, object]:
    fields: dict[str, object] = {"source": one.source, "answer": None, "note": one.note}
    if one.answer is None:
        return fields
    return fields | {
        "answer": _word(one.answer),
        "kept": one.kept,
        "milliseconds": round(one.seconds * 1000, 3),
        "detail": one.answer.detail if isinstance(one.answer, Unavailable) else "",
        "wins": [row.sha256 for row in _winners(one.answer)],
        "loses": [{"sha256": loser.row.sha256, "reason": loser.reason} for loser in _losers(one.answer)],
        "owners": list(one.answer.owners) if isinstance(one.answer, Conflict) else [],
    }


def _explain(address: str, looked_up: LookedUp) -> None:
    _sources(looked_up.sources)
    answer = looked_up.answer
    match answer:
        case Found():
            say(
                f"{address}: found, {'enrolled' if answer.enrolled else 'not enrolled'}: "
                f"encrypted to {len(answer.rows)} certificate{'s' if len(answer.rows) > 1 else ''}"
            )
        case Absent():
            say(f"{address}: {Reason.CERTIFICATE_ABSENT}: no source has a certificate that contains it")
        case Unusable():
            say(f"{address}: {Reason.CERTIFICATE_UNUSABLE}: {SENTENCES[Reason.CERTIFICATE_UNUSABLE].what}")
        case Conflict():
            say(
                f"{address}: {Reason.CERTIFICATE_CONFLICT}: usable certificates of different owners: "
                + shown("; ".join(answer.owners))
            )
        case Unavailable():
            say(f"{address}: {Reason.CERTIFICATE_UNAVAILABLE}: {shown(answer.detail)}")
    rows = [_line("wins", row, "") for row in _winners(answer)]
    rows += [_line("loses", loser.row, _why(loser.reason)) for loser in _losers(answer)]
    known = {row.sha256 for row in (*_winners(answer), *(loser.row for loser in _losers(answer)))}
    for one in looked_up.sources:
        if one.note == "not_needed" and one.answer is not None:
            rows += [_line("not needed", row, "") for row in _winners(one.answer) if row.sha256 not in known]
            rows += [_line("loses", loser.row, _why(loser.reason)) for loser in _losers(one.answer)
                     if loser.row.sha256 not in known]
    listing.table(("", "SHA-256", "subject", "customer", "source", "expires", "reason"), rows)


def _sources(sources: Iterable[SourceAnswer]) -> None:
    """A line for each: what it says, how long it took, where it had it from."""
    lines = []
    for one in sources:
        word = _word(one.answer) if one.answer is not None else _NOTES[one.note]
        took = f"{one.seconds * 1000:.1f} ms" if one.answer is not None else ""
        notes = [_NOTES[one.note]] if one.note and one.answer is not None else []
        notes += [_KEPT[one.kept]] if one.answer is not None and _KEPT[one.kept] else []
        notes += [one.answer.detail] if isinstance(one.answer, Unavailable) else []
        lines.append((shown(one.source), word, took, "; ".join(map(shown, notes))))
    if not sys.stderr.isatty():
        for source, word, took, note in lines:
            say(f"{source}: {word}" + (f" ({took})" if took else "") + (f": {note}" if note else ""))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("source", "answer", "time", ""):
        table.add_column(heading, overflow="fold")
    for line in lines:
        table.add_row(*map(Text, line))
    Console(stderr=True).print(table)


def _line(part: str, row: CertificateRow, why: str) -> tuple[object, ...]:
    return part, row.sha256[:16], _subject(row), row.customer, row.source, row.not_after, why


def _why(reason: Reason) -> str:
    return f"{reason}: {SENTENCES[reason].what} {SENTENCES[reason].admin}"


def _word(answer: CertificateAnswer) -> str:
    return type(answer).__name__.lower()


def _winners(answer: CertificateAnswer) -> tuple[CertificateRow, ...]:
    return answer.rows if isinstance(answer, Found) else ()


def _losers(answer: CertificateAnswer) -> tuple[Loser, ...]:
    return () if isinstance(answer, Absent) else answer.losers


def _subject(row: CertificateRow) -> str:
    try:
        return parse_certificate(row.der).subject
    except GatewayError:
        return ""
