"""A run holds to the template of documents that it was taken with: a mail that goes again has to be the same."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway import app
from gateway.app.statements.runs import lead, statements
from gateway.errors import GatewayError, Reason
from gateway.ports.services.statements.rows import RunRow, RunState
from gateway.services.statements.runs import Statements
from gateway.settings import Settings, load
from tests.support.process import new_bank

TEMPLATE = '#set document(title: "T")\n#set text(lang: "en")\n= Letter\n'


@dataclass(frozen=True)
class Desk:
    home: Path
    settings: Settings
    store: app.Store
    runs: Statements

    def create(self, template: str = "letter", digest: str = "") -> RunRow:
        (self.home / "rows.csv").write_text("customer,account\n10001,DE1\n")
        return self.runs.create("core-banking", {
            "version": 1, "name": "n", "period": "2026-11", "source": {"csv": "rows.csv"},
            "documents": {"template": template, "digest": digest}}, base=self.home)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "letter.typ").write_text(TEMPLATE)
    settings = load(new_bank(tmp_path / "bank", change=lambda text: text.replace(
        "statements: {from:", f"statements: {{templates: {templates}, from:")).config)
    store = app.open_store(settings)
    yield Desk(tmp_path, settings, store, statements(settings, store))
    store.close()


def test_the_run_keeps_the_digest(desk: Desk) -> None:
    run = desk.create()
    digest = desk.runs.spec(run).documents.digest
    assert len(digest) == 64
    desk.runs.same_template(run, desk.runs.spec(run))
    assert desk.create(digest=digest).state is RunState.NEW


def test_a_template_that_is_not_there_is_told_before_there_is_a_run(desk: Desk) -> None:
    with pytest.raises(GatewayError, match="no template has this name") as caught:
        desk.create("nothing")
    assert caught.value.reason is Reason.PDF_NOT_MADE
    assert not desk.runs.list()


def test_a_run_that_names_another_digest(desk: Desk) -> None:
    with pytest.raises(GatewayError) as caught:
        desk.create(digest="0" * 64)
    assert caught.value.reason is Reason.RUN_CHANGED


@pytest.mark.parametrize("state, then", [(RunState.NEW, RunState.STOPPED), (RunState.RUNNING, RunState.PAUSED)])
def test_a_template_that_changed_holds_the_run_up(desk: Desk, state: RunState, then: RunState) -> None:
    """One that runs is paused: with the old template back it goes on."""
    run = desk.create()
    if state is RunState.RUNNING:
        _begun(desk, run)
    (desk.settings.statements.templates / "letter.typ").write_text(TEMPLATE + "Another\n")
    with suppress(GatewayError):  # of one that never began
        lead(desk.settings, desk.store, run.id, lambda _: pytest.fail("nobody may work"), ending=lambda: False,
             gate=lambda *_: None)
    done = desk.runs.show(run.id).run
    assert done.state is then
    assert done.reason == Reason.RUN_CHANGED
    assert "letter" in done.detail


def _begun(desk: Desk, run: RunRow) -> None:
    class Nobody:
        def tend(self) -> None:
            """Nobody works: the run stays as it is."""

        def dismiss(self) -> None:
            """There is nobody."""

    asked = 0

    def ending() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    lead(desk.settings, desk.store, run.id, lambda _: Nobody(), ending=ending, gate=lambda *_: None)
    assert desk.runs.show(run.id).run.state is RunState.RUNNING
