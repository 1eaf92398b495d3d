"""Rows become items, a chunk at a time, each one commit: after a crash planning goes on where it ended.

Nothing leaves meanwhile. A statement that another item has is repeated and never goes; a row that is wrong is refused
and told by its number.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from gateway.clock import Clock
from gateway.errors import Reason
from gateway.ports.statements import Chunk, ItemState, NewItem, RunRow, StatementStore
from gateway.services.statements import source
from gateway.services.statements.series import Series
from gateway.services.statements.source import BadRow, Row
from gateway.services.statements.spec import Spec

CHUNK_ROWS_MAX: Final = 100  # a process that dies gives as many back; a thread of a large run ends with no more
CHUNK_ROWS_MIN: Final = 10
# One thread works on a chunk: small ones come first, so that a run of a hundred keeps all threads at work, too.
CHUNK_PART: Final = 40  # of what is planned before it
_HELD_AS: Final = re.compile(r"\bheld as ([0-9a-f]{12})\b")  # as pipeline.run.held says it

Waiting = Callable[[str], Mapping[int, Sequence[str]]]  # of a run; item to what it is held as. See Leading
TakeBack = Callable[[str], bool]
_Items = Callable[[RunRow, Spec, list[Row | BadRow], StatementStore, Series], Iterator[NewItem]]


def plan(run: RunRow, spec: Spec, path: Path, store: StatementStore, series: Series, clock: Clock,
         go_on: Callable[[], bool], waiting: Waiting, take_back: TakeBack) -> bool:
    """All rows of a run that is PLANNING. False: `go_on` said no, and the rest is planned another time.

    GatewayError INPUT_UNREADABLE, CONFIG_INVALID, STORE_UNAVAILABLE (retry), JOURNAL_IN_PROGRESS (retry).
    """
    last = store.planned_up_to(run.id)
    offset, first, number = (0, 1, 0) if last is None else (_behind(spec, path, last), last.first_row + last.rows,
                                                            last.number + 1)
    rows = source.rows(spec, path, offset=offset, first=first)
    items: _Items = _replaces if run.kind == "replace" else _statements
    here: dict[int, Sequence[str]] = {}  # what of the recalled run is still to be taken back
    if run.kind == "recall":
        here.update(waiting(run.about))
        items = partial(_recalls, waiting=here, take_back=take_back, clock=clock)
    while page := list(islice(rows, _chunk_rows(first))):
        if not go_on():
            return False
        chunk = Chunk(run.id, number, offset, first, len(page))
        store.plan(chunk, list(items(run, spec, [one.row for one in page], store, series)), clock.now())
        offset, first, number = page[-1].end, first + len(page), number + 1
    for item, held in here.items():  # whom a query names no more
        stayed = [take_back(hold_id) for hold_id in held]
        if all(stayed):
            store.taken_back(item, clock.now())
    store.begin(run.id, first - 1, clock.now())
    return True


def _chunk_rows(first: int) -> int:
    """Of the chunk that begins with this row."""
    return min(max(first // CHUNK_PART, CHUNK_ROWS_MIN), CHUNK_ROWS_MAX)


def _behind(spec: Spec, path: Path, chunk: Chunk) -> int:
    """Where the chunk ends."""
    last = deque(source.rows(spec, path, offset=chunk.offset, first=chunk.first_row, count=chunk.rows), maxlen=1)
    return last[0].end if last else chunk.offset


def _statements(run: RunRow, spec: Spec, rows: list[Row | BadRow], store: StatementStore, series: Series
                ) -> Iterator[NewItem]:
    del run, store
    for row in rows:
        if isinstance(row, BadRow):
            yield NewItem(row.number, 0, row.customer, b"", "", Reason.STATEMENT_ROW, row.problem)
            continue
        for holder, customer in enumerate(row.customers):
            yield NewItem(row.number, holder, customer, series.of(customer, row.account, spec.period), row.version)


def _replaces(run: RunRow, spec: Spec, rows: list[Row | BadRow], store: StatementStore, series: Series
              ) -> Iterator[NewItem]:
    """Only for those who have what is replaced. Rows need a version of their own, else they are repeated."""
    everything = list(_statements(run, spec, rows, store, series))
    have = {series for series, _, _ in store.sent_of(run.about, [one.series for one in everything if one.series])}
    for one in everything:
        if not one.series or one.series in have:
            yield one
        else:
            yield NewItem(one.row, one.holder, one.customer, b"", "", Reason.STATEMENT_NOT_SENT)


def _recalls(run: RunRow, spec: Spec, rows: list[Row | BadRow], store: StatementStore, series: Series, *,
             waiting: dict[int, Sequence[str]], take_back: TakeBack, clock: Clock) -> Iterator[NewItem]:
    """A notice to everybody who got something, or may have; nobody else hears of it, not even as refused.

    What is held stays here, also what an item does not know of: held at an earlier try, by a process that was killed,
    or anew when it was released to others. Taken back before it is written down: after a crash between the two it is
    found as taken back.
    """
    everything = list(_statements(run, spec, rows, store, series))
    have: set[tuple[bytes, str | None]] = set()
    for statement, version, item in store.sent_of(run.about, [one.series for one in everything if one.series]):
        # A mail to several addresses may have left to some of them.
        known = _HELD_AS.findall(item.reply if item.state is ItemState.HELD else item.detail)
        held = dict.fromkeys((*known, *waiting.pop(item.id, ())))
        stayed = [take_back(hold_id) for hold_id in held]  # of all, before anything is said
        if item.state is ItemState.HELD and len(held) > item.resent and all(stayed):  # each try is one of them
            store.taken_back(item.id, clock.now())
        else:
            have.add((statement, version))
    accounts = {row.number: row.account for row in rows if isinstance(row, Row)}
    for one in everything:
        if one.series and not have.isdisjoint({(one.series, one.version), (one.series, None)}):
            notice = series.of(one.customer, accounts[one.row], spec.period, about=run.about)
            yield NewItem(one.row, one.holder, one.customer, notice, one.version)
