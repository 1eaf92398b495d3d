"""Fixtures for what has to hold on both kinds of database; a conftest takes them in by name."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.adapters.db.engine import Database
from gateway.adapters.db.schema import connected, create_database, current
from gateway.settings.deployment import Postgresql
from tests.support import postgres


def open_database(where: Path | Postgresql) -> Database:
    """The database of a test with all its tables, made where there is none. Its id is not compared: see test_identity.

    For PostgreSQL the templates have the tables already.
    """
    if isinstance(where, Path) and not (where.exists() and where.stat().st_size):
        create_database(where, where.with_name(f"{where.name}.id")).close()
    opened = connected(where)
    current(opened)
    return opened


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "postgresql":
        postgres.need_postgres()
    return request.param


@pytest.fixture
def database(kind: str, tmp_path: Path) -> Iterator[Database]:
    """A fresh one."""
    opened = open_database(tmp_path / "sealgate.db" if kind == "sqlite" else postgres.server().database())
    yield opened
    opened.close()


@pytest.fixture
def again(database: Database) -> Iterator[Callable[[], Database]]:
    """The same one as another process opens it."""
    opened: list[Database] = []

    def open_again() -> Database:
        opened.append(open_database(database.where))
        return opened[-1]

    yield open_again
    for one in opened:
        one.close()


@pytest.fixture
def dead_database(kind: str, tmp_path: Path) -> Iterator[Database]:
    """One where every access fails: its file was replaced while it was open, or nobody answers at its port."""
    if kind == "sqlite":
        path = tmp_path / "dead.db"
        opened = open_database(path)
        opened.close()
        for name in ("dead.db-wal", "dead.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        path.write_bytes(b"this is no database " * 1000)
    else:
        opened = connected(postgres.server().settings("gone", port=1))
    yield opened
    opened.close()


def written(where: Path | Postgresql) -> str:
    """Where a database is, as one argument of a process."""
    return where.model_dump_json() if isinstance(where, Postgresql) else str(where)


def read(text: str) -> Path | Postgresql:
    """The way back from `written`."""
    return Postgresql.model_validate_json(text) if text.startswith("{") else Path(text)
