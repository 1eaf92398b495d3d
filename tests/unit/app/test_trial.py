"""Before a run: a template with a fault stops it, a row with a fault does not, and no row is lost by trying."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.app.statements import template_check as trial
from gateway.app.statements.template_check import ROWS_MAX, tried
from gateway.errors import GatewayError, Reason
from gateway.services.statements.source import BadRow, Row
from gateway.services.statements.spec import Spec, of_mapping
from gateway.settings import Settings, load
from tests.support.papers import STATEMENT
from tests.support.process import new_bank

AT = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load(new_bank(tmp_path_factory.mktemp("trial") / "bank").config)


def spec(template: str = "fast-statement") -> Spec:
    documents = {"template": template} if template else {"directory": "somewhere"}
    return of_mapping({"version": 1, "name": "n", "period": "2026-11", "source": {"csv": "x.csv"},
                       "columns": {"document": "file"}, "documents": documents})


def row(number: int, **changes: object) -> Row:
    return Row(number, ("1",), "DE02", "1", "", "", "", {**STATEMENT, **changes})


@pytest.mark.parametrize("template", ["fast-statement", "statement"])
def test_a_good_template(settings: Settings, template: str) -> None:
    rows = [row(number) for number in range(50)]
    assert list(tried(settings, spec(template), rows, AT)) == rows


def test_one_good_row_among_the_first_is_enough(settings: Settings) -> None:
    rows = [BadRow(1, "", "no CSV"), *(row(number, opening="x") for number in range(2, ROWS_MAX)), row(ROWS_MAX)]
    assert list(tried(settings, spec(), rows, AT)) == rows


@pytest.mark.parametrize("template, changes, told", [
    ("nothing", {}, "no template has this name; there are bill"),
    ("fast-statement", {"currency": ""}, "`currency` is missing"),
    ("statement", {"opening": "secret"}, "statement.typ:7: invalid decimal"),
])
def test_none_is_good(settings: Settings, template: str, changes: dict[str, object], told: str) -> None:
    rows = [row(number, **changes) for number in range(ROWS_MAX + 5)]
    with pytest.raises(GatewayError) as caught:
        list(tried(settings, spec(template), rows, AT))
    assert caught.value.reason is Reason.PDF_NOT_MADE
    assert told in caught.value.detail
    assert "secret" not in caught.value.detail


def test_no_more_is_read_ahead_than_is_tried(settings: Settings) -> None:
    """The source may be a million rows."""
    read = 0

    def source() -> Iterator[Row]:
        nonlocal read
        for number in range(1_000):
            read += 1
            yield row(number)

    rows = tried(settings, spec(), source(), AT)
    next(rows)
    assert read == ROWS_MAX


def test_finished_documents_are_not_tried(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(trial, "documents")
    assert list(tried(settings, spec(""), [row(1)], AT)) == [row(1)]


def test_nothing_is_left_behind(settings: Settings) -> None:
    before = {path.name for path in Path("/proc/self/task").iterdir()}
    list(tried(settings, spec("statement"), [row(1)], AT))
    children = " ".join((path / "children").read_text() for path in Path("/proc/self/task").iterdir())
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children.split()]
    assert not [one for one in commands if b"typst_child" in one]
    assert {path.name for path in Path("/proc/self/task").iterdir()} <= before


@pytest.mark.parametrize("template", ["fast-statement", ""])
def test_the_words_of_the_mail_are_tried_too_in_each_language_of_the_first_rows(
    settings: Settings, tmp_path: Path, template: str,
) -> None:
    """A hole in them would pause the run at its first mail, at night."""
    (tmp_path / "statement.de.txt").write_text("Subject: Auszug\n{{ row.nothing }}\n")
    assert settings.statements is not None
    own = settings.model_copy(update={"statements": settings.statements.model_copy(update={"templates": tmp_path})})
    english, german = row(1), replace(row(2), language="de")
    assert list(tried(own, spec(template), [english], AT)) == [english]
    with pytest.raises(GatewayError) as caught:
        list(tried(own, spec(template), [english, german], AT))
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert f"{tmp_path}/statement.de.txt:2: " in caught.value.detail


def test_a_row_in_a_language_without_texts_is_rejected_before_the_run(settings: Settings) -> None:
    rows = [row(1), replace(row(2), language="de-AT"), replace(row(3), language="it")]
    *good, bad = tried(settings, spec(""), rows, AT)
    assert good == rows[:2]
    assert isinstance(bad, BadRow)
    assert bad.problem.startswith("no texts of the mail `statement` in the language `it`; use one of de, en")
