"""What the contract suites share: a fresh database, a clock that is moved by hand."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gateway.adapters.db.engine import Database
from gateway.adapters.db.schema import open_database
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


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "sealgate.db")
    yield opened
    opened.close()


@pytest.fixture
def dead_database(tmp_path: Path) -> Iterator[Database]:
    """A database whose file was replaced by something else while it was open: every access fails."""
    path = tmp_path / "dead.db"
    opened = open_database(path)
    opened.close()
    for name in ("dead.db-wal", "dead.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    path.write_bytes(b"this is no database " * 1000)
    yield opened
    opened.close()
