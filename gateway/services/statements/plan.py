"""Rows become items, a chunk at a time, each one commit: after a crash planning goes on where it ended.

Nothing leaves meanwhile. A statement that another item has is repeated and never goes. A wrong row is rejected and
reported by its number.
"""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from gateway.clock import Clock
from gateway.errors import Reason
from gateway.ports.services.statements.plans import PlanStore
from gateway.ports.services.statements.rows import Chunk, NewItem, RunRow
from gateway.services.statements import source
from gateway.services.statements.series import Series
from gateway.services.statements.source import BadRow, Row
from gateway.services.statements.spec import Spec

CHUNK_ROWS_MAX: Final = 100  # a process that dies gives as many back; a thread of a large run ends with no more
CHUNK_ROWS_MIN: Final = 10
# One thread works on a chunk: small ones come first, so that a run of a hundred keeps all threads at work, too.
CHUNK_PART: Final = 40  # of what is planned before it

def plan(run: RunRow, spec: Spec, path: Path, store: PlanStore, series: Series, clock: Clock,
         go_on: Callable[[], bool]) -> int | None:
    """Plans all rows of a run that is PLANNING; returns their number. None: `go_on` returned False, call again later.

    GatewayError INPUT_UNREADABLE, CONFIG_INVALID, STORE_UNAVAILABLE (retry).
    """
    last = store.planned_up_to(run.id)
    offset, first, number = (0, 1, 0) if last is None else (_behind(spec, path, last), last.first_row + last.rows,
                                                            last.number + 1)
    rows = source.rows(spec, path, offset=offset, first=first)
    items = _recalls if run.kind == "recall" else _replaces if run.kind == "replace" else _statements
    while page := list(islice(rows, _chunk_rows(first))):
        if not go_on():
            return None
        chunk = Chunk(run.id, number, offset, first, len(page))
        store.plan(chunk, list(items(run, spec, [one.row for one in page], store, series)), clock.now())
        offset, first, number = page[-1].end, first + len(page), number + 1
    return first - 1


def _chunk_rows(first: int) -> int:
    """Of the chunk that begins with this row."""
    return min(max(first // CHUNK_PART, CHUNK_ROWS_MIN), CHUNK_ROWS_MAX)


def _behind(spec: Spec, path: Path, chunk: Chunk) -> int:
    """Where the chunk ends."""
    last = deque(source.rows(spec, path, offset=chunk.offset, first=chunk.first_row, count=chunk.rows), maxlen=1)
    return last[0].end if last else chunk.offset


def _statements(run: RunRow, spec: Spec, rows: list[Row | BadRow], store: PlanStore, series: Series
                ) -> Iterator[NewItem]:
    del run, store
    for row in rows:
        if isinstance(row, BadRow):
            yield NewItem(row.number, 0, row.customer, b"", "", Reason.STATEMENT_ROW, row.problem)
            continue
        for holder, customer in enumerate(row.customers):
            yield NewItem(row.number, holder, customer, series.of(customer, row.account, spec.period), row.version)


def _replaces(run: RunRow, spec: Spec, rows: list[Row | BadRow], store: PlanStore, series: Series
              ) -> Iterator[NewItem]:
    """Only for those who have what is replaced. Rows need a version of their own, else they are repeated."""
    everything = list(_statements(run, spec, rows, store, series))
    have = {series for series, _ in store.sent_of(run.about, [one.series for one in everything if one.series])}
    for one in everything:
        if not one.series or one.series in have:
            yield one
        else:
            yield NewItem(one.row, one.holder, one.customer, b"", "", Reason.STATEMENT_NOT_SENT)


def _recalls(run: RunRow, spec: Spec, rows: list[Row | BadRow], store: PlanStore, series: Series
             ) -> Iterator[NewItem]:
    """A notice to each customer who got a statement, or may have got one; others are not listed, not even as rejected.

    A customer who has the replacement gets none either: they would throw away the right one.
    """
    everything = list(_statements(run, spec, rows, store, series))
    asked = [one.series for one in everything if one.series]
    replaced = store.replaced_of(run.about, asked)
    have = {one for one in store.sent_of(run.about, asked) if one[0] not in replaced}
    accounts = {row.number: row.account for row in rows if isinstance(row, Row)}
    for one in everything:
        if one.series and not have.isdisjoint({(one.series, one.version), (one.series, None)}):
            notice = series.of(one.customer, accounts[one.row], spec.period, about=run.about)
            yield NewItem(one.row, one.holder, one.customer, notice, one.version)
