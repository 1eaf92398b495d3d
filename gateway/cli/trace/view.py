"""A mail's way as one timeline: each attempt, its recipients together where they fared alike, held mail, log lines."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.app.operation.tracing import Track
from gateway.cli.listing import shown
from gateway.cli.trace.log import Line
from gateway.errors import Reason
from gateway.model.fallbacks import FALLBACKS
from gateway.model.record import EvidenceRecord
from gateway.model.sentences import SENTENCES
from gateway.ports.hold import HeldRow

RECIPIENTS_SHOWN: Final = 5
PLAIN_WIDTH: Final = 100_000  # where there is no terminal nothing is folded: what reads it goes by lines
_GOOD: Final = frozenset({"taken", "served"})
_BAD: Final = frozenset({"refused"})
_WAITS: Final = frozenset(str(one.reason) for one in FALLBACKS.values() if one.held)
_QUIET: Final = ("event", "timestamp", "level", "incident", "to")

Entry = tuple[datetime | None, Text]


def show(track: Track, lines: Sequence[Line], *, every: bool) -> None:
    """On standard output. `every`: all recipients by name, however many."""
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)
    for text in _head(track):
        console.print(text, soft_wrap=True)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    entries = [*_records(track.records, every=every), *_held(track.held), *_open_ends(track), *_logged(lines)]
    for at, text in _in_order(entries):
        grid.add_row("" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:23] + "Z", text)
    with console.capture() as drawn:
        console.print(grid)
    print("\n".join(line.rstrip() for line in drawn.get().splitlines()))
    for text in _why(track.records):
        console.print(text, soft_wrap=True)


def _in_order(entries: Iterable[Entry]) -> list[Entry]:
    """By time; what has none stays behind what it came after."""
    placed, last = [], datetime.min.replace(tzinfo=UTC)
    for at, text in entries:
        last = at or last
        placed.append((last, at, text))
    return [(at, text) for _, at, text in sorted(placed, key=lambda one: one[0])]


def _head(track: Track) -> Iterator[Text]:
    if not track.records:
        return
    first = track.records[0]
    everybody = dict.fromkeys(one.recipient for one in track.records)
    yield Text(f"{shown(first.message_id) or '(no Message-ID)'}", style="bold")
    yield Text(f"{first.direction} from {shown(first.sender) or '<>'} ({shown(first.client) or 'unknown client'})"
               f" to {len(everybody)} recipient{'s' if len(everybody) != 1 else ''}")


def _records(records: Sequence[EvidenceRecord], *, every: bool) -> Iterator[Entry]:
    """An entry for each attempt and fate. Attempts are distinguished by their incident."""
    attempts = dict.fromkeys(one.incident for one in records)
    number = {incident: place for place, incident in enumerate(attempts, 1)}
    groups: dict[tuple[Any, ...], list[EvidenceRecord]] = {}
    for one in records:
        fate = (one.incident, one.settled, one.rule, one.steps, one.end, one.reasons, one.next_hop_reply,
                one.certificates if every else None)
        groups.setdefault(fate, []).append(one)
    for fate, alike in groups.items():
        yield alike[0].at, _fate(alike, number[fate[0]] if len(attempts) > 1 else 0, every=every)


def _fate(alike: Sequence[EvidenceRecord], attempt: int, *, every: bool) -> Text:
    one = alike[0]
    style = "green" if one.settled in _GOOD else "red" if one.settled in _BAD else "yellow"
    text = Text()
    text.append(str(one.settled), style=f"bold {style}")
    text.append(f"  {_names([record.recipient for record in alike], every=every)}")
    came = one.facts.get("came_as")
    about = [f"attempt {attempt}" if attempt else "", f"incident {one.incident}",
             f"previous hop {shown(came)}" if came else "",
             f"outside the encryption {shown(one.facts['outside'])}" if one.facts.get("outside") else ""]
    text.append(f"\n{', '.join(filter(None, about))}")
    steps = ", ".join(one.steps) or "nothing"
    text.append(f"\nrule {shown(one.rule)}: {steps}, then {one.end}" if one.rule else f"\n{one.end}: no rule evaluated")
    if one.facts.get("would"):
        would = one.facts["would"]
        why = f" ({', '.join(would['reasons'])})" if would["reasons"] else ""
        text.append(f"\nobserve mode: it would have been {would['settled']}{why}")
    if weak := (one.facts.get("verdicts") or {}).get("weak_ciphers"):
        text.append(f"\nencrypted with {shown(', '.join(weak))}, a weak or unknown algorithm (see `opening.weak`)")
    if (fallback := FALLBACKS.get(one.facts.get("fallback", ""))) is not None:
        text.append(f"\nno certificate was found: {fallback.text}")
    if one.facts.get("stamped_by"):
        text.append(f"\ntime-stamp by {shown(one.facts['stamped_by'])}")
    certificates = dict.fromkeys(name for record in alike for name in record.certificates)
    if certificates:
        text.append(f"\nencrypted to {_names(list(certificates), every=every)}")
    for name, fingerprint in one.facts.get("escrow", {}).items():
        text.append(f"\nescrow {shown(name)}: {shown(fingerprint)}")
    answered = "handed to" if one.settled == "served" else "next hop:"
    text.append(f"\n{answered} {shown(one.next_hop_reply)}" if one.next_hop_reply else "")
    if one.sealed_digest and one.settled == "taken":
        text.append(f"\nsent as SHA-256 {one.sealed_digest}", style="dim")
    for reason in one.reasons:
        text.append(f"\n{reason}", style=style)
    return text


def _names(names: Sequence[str], *, every: bool) -> str:
    shown_names = list(names) if every else list(names)[:RECIPIENTS_SHOWN]
    more = f" and {len(names) - len(shown_names)} more" if len(names) > len(shown_names) else ""
    return ", ".join(map(shown, shown_names)) + more


def _held(rows: Iterable[HeldRow]) -> Iterator[Entry]:
    for row in rows:
        text = Text("held", style="bold yellow")
        text.append(f" as {row.hold_id} by {shown(row.rule)}: {row.state}")
        if row.state == "waiting":
            text.append("\nit is sent automatically when there is a certificate (docs/fallbacks.md)"
                        if row.reason in _WAITS
                        else f"\nsealgate hold show {row.hold_id}; then release or reject it")
        yield row.at, text


def _open_ends(track: Track) -> Iterator[Entry]:
    """What the journal knows beyond the evidence: who is not settled yet, who was sent to twice."""
    last = track.records[-1].at if track.records else None
    for row in track.journal:
        if row.state != "taken" or row.resent:
            again = f", possibly sent {row.resent} times too often" if row.resent else ""
            yield last, Text(f"journal  {shown(row.recipient)}: {row.state}{again}", style="yellow")


def _logged(lines: Iterable[Line]) -> Iterator[Entry]:
    for line in lines:
        if not line.fields:
            yield line.at, Text(shown(line.text), style="dim")
            continue
        fields = [f"{name} {shown(value)}" for name, value in line.fields.items()
                if name not in _QUIET and value not in (None, "", False)]
        text = Text(f"log  {shown(line.fields['event'])}", style="cyan")
        text.append(f"  {', '.join(fields)}")
        yield line.at, text


def _why(records: Iterable[EvidenceRecord]) -> Iterator[Text]:
    """Each reason once, in words; in `mode: observe` also those that would have been."""
    for reason in dict.fromkeys(reason for one in records
                                for reason in (*one.reasons, *one.facts.get("would", {}).get("reasons", ()))):
        text = Text(f"\n{reason}", style="bold")
        sentence = SENTENCES[Reason(reason)]
        text.append(f"  {sentence.what} {sentence.admin}", style="not bold")
        yield text
