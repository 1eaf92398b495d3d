"""The demo's bank with mailboxes for what comes back."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import process
from tests.support.bank import Context, context
from tests.support.returned import with_mailboxes


@pytest.fixture(scope="session")
def template() -> Path:
    return process.template()


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "home"))


@pytest.fixture
def bank(home: Path, tmp_path: Path) -> Iterator[Context]:
    with context(home, with_mailboxes(tmp_path / "policy.yaml")) as built:
        yield built
