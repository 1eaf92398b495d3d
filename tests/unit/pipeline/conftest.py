"""One demo bank per test process, copied for each test: making keys is what would take time."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import process
from tests.support.bank import Context, context


@pytest.fixture(scope="session")
def template() -> Path:
    return process.template(rsa=True)


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "home"))


@pytest.fixture
def bank(home: Path) -> Iterator[Context]:
    with context(home) as built:
        yield built
