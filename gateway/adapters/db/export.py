"""The rows of all tables as lines of JSON, out of either kind of database and into either.

Claims and heartbeats are left out: where a backup is restored, no process works. So is the database's id: a restored
database is another one (see identity.py).
Octets are base64; everything else is as JSON has it. A row has its columns' names, so that the export of an older
version fits into newer tables.
"""

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from sqlalchemy import Connection, LargeBinary, Table, insert, select, text

from gateway.adapters.db.tables import mail as tables
from gateway.adapters.db.tables.complete import metadata
from gateway.errors import GatewayError, Reason

_LEFT_OUT: Final = frozenset({tables.journal_claim.name, tables.node.name, tables.database_identity.name})
TABLES: Final = {table.name: table for table in metadata.sorted_tables if table.name not in _LEFT_OUT}
WRITTEN_AT_ONCE: Final = 200


def lines(connection: Connection, name: str) -> Iterator[bytes]:
    """All rows of one table, in the order of its primary key. The connection is one of Database.snapshot."""
    table = TABLES[name]
    octets = [column.name for column in table.columns if isinstance(column.type, LargeBinary)]
    for row in connection.execute(select(table).order_by(*table.primary_key.columns)).mappings():
        values: dict[str, Any] = dict(row)
        for column in octets:
            if values[column] is not None:
                values[column] = base64.b64encode(values[column]).decode()
        yield json.dumps(values, separators=(",", ":")).encode() + b"\n"


def take(connection: Connection, name: str, given: Iterable[bytes]) -> int:
    """Writes the rows of one table; their number. USAGE if a line is none of it."""
    table, count = TABLES[name], 0
    batch: list[dict[str, Any]] = []
    for line in given:
        batch.append(_row(table, line))
        if len(batch) == WRITTEN_AT_ONCE:
            connection.execute(insert(table), batch)
            count, batch = count + len(batch), []
    if batch:
        connection.execute(insert(table), batch)
    _go_on_counting(connection, table)
    return count + len(batch)


def _row(table: Table, line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
        known = {column.name: column for column in table.columns}
        if not isinstance(values, dict) or not values.keys() <= known.keys():
            raise ValueError  # noqa: TRY301 - reported like invalid JSON
        return {name: base64.b64decode(value, validate=True)
                if isinstance(known[name].type, LargeBinary) and value is not None else value
                for name, value in values.items()}
    except (ValueError, TypeError):
        raise GatewayError(Reason.USAGE,
                           f"the backup has an invalid row for the table {table.name}. Use another backup") from None


def _go_on_counting(connection: Connection, table: Table) -> None:
    """PostgreSQL counts row numbers apart from the rows. A textual id has no counter."""
    counted = table.autoincrement_column
    if connection.dialect.name == "postgresql" and counted is not None and counted.name == "id":
        connection.execute(text(
            f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), "  # noqa: S608 - a name of our own
            f"(SELECT coalesce(max(id), 0) + 1 FROM {table.name}), false)"))
