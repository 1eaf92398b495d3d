"""What the contract suites share: a fresh database of either kind, a clock that is moved by hand."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gateway.adapters.db.engine import Database
from gateway.adapters.db.schema import connected, open_database
from tests.support import postgres
from tests.support.pki import NOW


class HandClock:
    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at

    def forward(self, **delta: float) -> None:
        self.at += timedelta(**delta)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "postgresql":
        postgres.need_postgres()
    return request.param


@pytest.fixture
def database(kind: str, tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "sealgate.db" if kind == "sqlite" else postgres.server().database())
    yield opened
    opened.close()


@pytest.fixture
def dead_database(kind: str, tmp_path: Path) -> Iterator[Database]:
    """A database where every access fails: its file was replaced while it was open, or nobody answers at its port."""
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
