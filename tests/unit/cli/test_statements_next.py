"""After `sealgate statements send` its terminal says what goes on without it, and which command is the next one."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cli.statements.command import what_next
from gateway.demo.bank import Ports
from gateway.ports.services.statements.rows import RunRow, RunState
from gateway.settings import Api, Settings, load
from tests.support.pki import NOW
from tests.support.process import demo_bank

RUN = RunRow("5f0c7d9e1a2b3c4d", "statement", "core-banking", "October", "2026-10", RunState.RUNNING, "{}", "0" * 64,
             "", 2, NOW, NOW, None, "", "")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load(demo_bank(tmp_path_factory.mktemp("bank"), Ports(sink=1)).config)


def test_whoever_ended_the_command_hears_that_another_process_goes_on(settings: Settings) -> None:
    """Mails leave though the prompt is back: what stops them is said."""
    several = settings.model_copy(update={"api": Api(port=1)})
    assert what_next(several, RUN, refused=0) == (
        "`sealgate run` continues it if it is running, and `sealgate statements pause 5f0c7d9e1a2b3c4d` pauses it; "
        "`sealgate statements resume 5f0c7d9e1a2b3c4d` continues it here")
    assert settings.api is None
    assert what_next(settings, RUN, refused=0) == "`sealgate statements resume 5f0c7d9e1a2b3c4d` continues it"


def test_a_paused_run_goes_on_by_a_command(settings: Settings) -> None:
    run = replace(RUN, state=RunState.PAUSED)
    assert what_next(settings, run, refused=0) == "`sealgate statements resume 5f0c7d9e1a2b3c4d` continues it"


def test_of_a_run_that_did_not_begin_the_page_is_named_that_tells_why(settings: Settings, tmp_path: Path) -> None:
    own = settings.model_copy(update={"statements": settings.statements.model_copy(update={"reports": tmp_path})})
    run = replace(RUN, state=RunState.STOPPED, ended_at=NOW, reason="run.threshold")
    assert what_next(own, run, refused=0) == ""
    page = tmp_path / "5f0c7d9e1a2b3c4d.preflight.html"
    page.touch()
    assert what_next(own, run, refused=0) == f"each row by its number: {page}"


def test_of_refused_mails_the_rows_are_to_be_had(settings: Settings) -> None:
    run = replace(RUN, state=RunState.DONE, ended_at=NOW)
    assert what_next(settings, run, refused=0) == ""
    assert what_next(settings, run, refused=1) == (
        "each row by its number: `sealgate statements report 5f0c7d9e1a2b3c4d --csv`")
