"""Fixtures for what has to hold on both kinds of database; a conftest takes them in by name."""

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.engine.schema import connected, create_database, current
from gateway.settings import Postgresql
from tests.support import postgres
from tests.support.peers import scratch

# What undoes the migrations 0010 to 0013, for tests that upgrade from before it.
DROP_AUDIT = (*(f"DROP TABLE {table}" for table in (
    "audit", "audit_value", "audit_head", "policy_set", "approval", "four_eyes", "legal_hold")),
    "ALTER TABLE evidence DROP COLUMN packed", "ALTER TABLE evidence DROP COLUMN settled")


def open_database(where: Path | Postgresql) -> Database:
    """The database of a test with all its tables, made where there is none. Its id is not compared: see test_identity.

    PostgreSQL copies a template that has the tables; for SQLite a file is copied.
    """
    if isinstance(where, Path) and not (where.exists() and where.stat().st_size):
        shutil.copy(_tables(), where)
        shutil.copy(_id_file(_tables()), _id_file(where))
    opened = connected(where)
    current(opened)
    return opened


@cache
def _tables() -> Path:
    """A SQLite database with all tables and no rows, made once per test process: making them takes 0.06 s of CPU."""
    path = scratch("tables") / "sealgate.db"
    create_database(path, _id_file(path)).close()
    return path


def _id_file(database: Path) -> Path:
    return database.with_name(f"{database.name}.id")


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
