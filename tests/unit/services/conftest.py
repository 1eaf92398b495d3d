"""The demo's bank with mailboxes for what comes back."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demo.bank import Ports, open_bank
from tests.support.bank import House, house
from tests.support.returned import with_mailboxes


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("bank") / "home"
    open_bank(home, Ports())
    return home


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "home"))


@pytest.fixture
def bank(home: Path, tmp_path: Path) -> Iterator[House]:
    with house(home, with_mailboxes(tmp_path / "policy.yaml")) as built:
        yield built
