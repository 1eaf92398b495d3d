"""Rows of the statement tables as values of the ports."""

from datetime import datetime
from typing import Any, Final

from gateway.adapters.db.tables.mail import micros, moment
from gateway.adapters.db.tables.statements import statement_item
from gateway.ports.services.statements.rows import OPEN, Chunk, ItemRow, ItemState

OPEN_STATES: Final = tuple(state.value for state in OPEN)
ITEM_COLUMNS: Final = [column for column in statement_item.columns if column.name not in {"series", "version"}]


def item_of(row: Any) -> ItemRow:
    """A row of ITEM_COLUMNS."""
    return ItemRow(row.id, row.run, row.row, row.holder, row.customer, ItemState(row.state), row.domain, row.rule,
                   row.reason, row.detail, row.reply, row.queue_id or "", row.resent, row.tries, moment(row.at),
                   row.delivery, row.answer, optional_moment(row.delivery_at), row.channel)


def chunk_of(row: Any) -> Chunk:
    """A row of `statement_chunk`."""
    return Chunk(row.run, row.number, row.start, row.first_row, row.rows, row.token or "", row.item,
                 row.attempts or 0)


def optional_micros(at: datetime | None) -> int | None:
    """`micros`; None stays None."""
    return None if at is None else micros(at)


def optional_moment(value: int | None) -> datetime | None:
    """`moment`; None stays None."""
    return None if value is None else moment(value)
