"""How commands show many things: a table on a terminal, tab-separated lines elsewhere, one JSON array with --json.

Texts of strangers (subjects, names in certificates) are shown with their control characters escaped, so that no mail
moves the cursor of the reader's terminal. Progress goes to standard error.
"""

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum, StrEnum
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from gateway.errors import Reason
from gateway.model.lookup import CertificateRow
from gateway.model.sentences import SENTENCES
from gateway.ports.administration import Trouble

T = TypeVar("T")
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output")]


class Output(StrEnum):
    """The form of a list."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


OutputOption = Annotated[Output, typer.Option("--output", help="the form of the list")]

_SHEET: Final = 2  # columns of one thing's names and values: long values are folded there
PLAIN_EVERY: Final = 10_000  # items between two lines of progress where there is no terminal


def shown(value: object) -> str:
    """A value as one line of text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}Z"
    if isinstance(value, tuple | list | set | frozenset):
        return " ".join(map(shown, value))
    text = str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows on standard output: a table on a terminal, without columns that hold nothing.

    Where the terminal is too narrow, each row is a block, a line for each of its values.
    """
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(map(shown, row)))
        return
    lines = [[shown(value) for value in row] for row in rows]
    if not lines:
        return
    names = columns or [""] * len(lines[0])
    held = [index for index in range(len(names)) if any(line[index] for line in lines)]
    names, lines = [names[index] for index in held], [[line[index] for index in held] for line in lines]
    console = Console()
    widths = [max(map(len, column)) for column in zip(names, *lines, strict=True)]
    if len(names) <= _SHEET or sum(widths) + 2 * len(widths) <= console.width:
        console.print(_grid(names, lines))
        return
    for number, line in enumerate(lines):
        pairs = [pair for pair in zip(names, line, strict=True) if pair[1]]
        if number:
            console.print()
        console.print(_grid(("", ""), pairs))


def _grid(names: Sequence[str], lines: Iterable[Sequence[str]]) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="bold", show_header=any(names))
    for name in names:
        grid.add_column(name, overflow="fold")
    for line in lines:
        grid.add_row(*map(Text, line))
    return grid


def write(output: Output, columns: Sequence[str], lines: Iterable[Sequence[object]], empty: str,
          objects: Iterable[Mapping[str, object]] | None = None) -> None:
    """A list in the requested form. A table and CSV have a header line; `empty` is printed for an empty list.

    `objects`: what JSON has, where it is not the same under the names of the columns. Lines may come one by one: all
    forms but a table on a terminal write them so.
    """
    if output is Output.JSON:
        json_array(objects if objects is not None else (dict(zip(columns, line, strict=True)) for line in lines))
        return
    if output is Output.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(map(shown, line) for line in lines)
        return
    rest = iter(lines)
    first = next(rest, None)
    if first is None:
        print(empty)
    elif sys.stdout.isatty():
        table(columns, [first, *rest])
    else:
        table(columns, chain([columns, first], rest))


def output_of(output: Output, *, json: bool) -> Output:
    """`--json` is short for `--output json`."""
    return Output.JSON if json else output


def sheet(values: Mapping[str, object]) -> None:
    """One thing, a line for each of its values."""
    table(("", ""), list(values.items()))


def json_object(value: Mapping[str, object]) -> None:
    """One JSON object on one line."""
    print(_json(value))


def json_array(values: Iterable[Mapping[str, object]]) -> None:
    """A JSON array, an object a line, written as the values come: a million of them need no memory."""
    between = "["
    for value in values:
        print(between, _json(value), sep="")
        between = ","
    print("]" if between == "," else "[]")


def _json(value: Mapping[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> object:
    """What json does not know: times, sets, enumerations."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Enum):
        return value.value
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


def followed(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yields the items and shows the progress: a bar on the terminal, a line now and then elsewhere."""
    if not sys.stderr.isatty():
        for number, item in enumerate(items, start=1):
            yield item
            if number % PLAIN_EVERY == 0:
                print(f"{number} {what}", file=sys.stderr)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(items, total=total, description=what)


def why(trouble: Trouble) -> str:
    """The reason, what happened, why, and the administrator's remedy."""
    detail = shown(trouble.detail)
    if trouble.reason is Reason.USAGE and detail:
        return detail
    sentence = SENTENCES[trouble.reason]
    return f"{trouble.reason}: {sentence.what}{f' ({detail})' if detail else ''} {sentence.admin}"


def count_lines(path: Path) -> int | None:
    """The number of lines, for the bar; an unreadable file is reported later."""
    try:
        with path.open("rb") as file:
            return max(sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b"")) - 1, 0)
    except OSError:
        return None


def certificate_row(row: CertificateRow) -> dict[str, object]:
    """For JSON: everything of a row but the certificate itself."""
    return {
        "sha256": row.sha256,
        "addresses": list(row.addresses),
        "customer": row.customer,
        "source": row.source,
        "not_before": row.not_before,
        "not_after": row.not_after,
        "key_origin": row.key_origin,
        "device_bound": row.device_bound,
        "profile": row.profile,
        "trust": row.trust,
        "added_at": row.added_at,
    }
