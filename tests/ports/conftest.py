"""What the contract suites share: a fresh database of either kind, a clock that is moved by hand."""

from datetime import datetime, timedelta

import pytest

from tests.support.databases import again, database, dead_database, kind  # noqa: F401 - pytest finds them by name
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
