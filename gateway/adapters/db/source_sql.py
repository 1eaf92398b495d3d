"""The rows of a bank's own database for a run: one SELECT, read once, in a transaction that cannot write.

They go to a file that is ours alone, as lines of JSON: a query has no row numbers, and gives other rows an hour later.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from gateway.errors import GatewayError, Reason

READ_AT_ONCE: Final = 1_000


def fetch(url: str, query: str, target: Path) -> int:
    """Writes the rows to `target`, whole or not at all, mode 0600; how many. `url`: SQLAlchemy's, secrets and all.

    INPUT_UNREADABLE (retry) has only the kind of the database's error: its text may hold values or the password.
    """
    draft = target.with_name(f"{target.name}.part")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    count = 0
    try:
        with _reading(url) as connection, _ours(draft) as file:
            found = connection.execution_options(yield_per=READ_AT_ONCE).execute(text(query))
            for row in found.mappings():
                file.write(json.dumps(dict(row), default=_plain, ensure_ascii=False).encode() + b"\n")
                count += 1
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except (SQLAlchemyError, ArgumentError, ImportError) as error:
        cause = getattr(error, "orig", None) or error
        raise GatewayError(Reason.INPUT_UNREADABLE, f"the query: {type(cause).__name__}", retry=True) from None
    except OSError as error:
        raise GatewayError(Reason.INPUT_UNREADABLE, f"{draft}: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)
    return count


@contextmanager
def _ours(path: Path) -> Iterator[Any]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        yield file


@contextmanager
def _reading(url: str) -> Iterator[Connection]:
    """A connection that cannot change anything, as far as each kind of database lets one say so."""
    engine = create_engine(make_url(url), poolclass=NullPool, hide_parameters=True)
    try:
        with engine.connect() as connection:
            match engine.dialect.name:
                case "sqlite":
                    connection.exec_driver_sql("PRAGMA query_only = ON")
                case "postgresql" | "mysql" | "mariadb":
                    connection.exec_driver_sql("SET TRANSACTION READ ONLY")
            yield connection
            connection.rollback()
    finally:
        engine.dispose()


def _plain(value: Any) -> object:
    """What JSON does not know: dates, decimals, UUIDs as their text; octets are not supported."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, bytes | memoryview):
        raise GatewayError(Reason.INPUT_UNREADABLE, "the query: a column holds octets, not text")
    return str(value)
