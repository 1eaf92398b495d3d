"""`sealgate documents`: a template tried out with values, finished PDFs looked at."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pikepdf
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli import documents
from tests.support.papers import BILL, STATEMENT, page_text
from tests.support.process import new_bank

app = typer.Typer()
app.callback()(lambda: None)
documents.register(app)
Ask = Callable[..., Result]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    monkeypatch.setenv("SEALGATE_CONFIG", str(new_bank(tmp_path / "bank").config))
    monkeypatch.chdir(tmp_path)

    def run(*words: str, given: str | None = None) -> Result:
        done = CliRunner().invoke(app, ["documents", *words], input=given)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


def test_templates_are_listed(ask: Ask) -> None:
    columns, *lines = (line.split("\t") for line in ask("list").stdout.splitlines())
    assert columns == ["template", "digest"]
    found = dict(lines)
    assert sorted(found) == ["bill", "fast-bill", "fast-statement", "statement"]
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in found.values())


@pytest.mark.parametrize("template, values, words", [
    ("statement", STATEMENT, "Kontoauszug 11/2026"), ("fast-bill", BILL, "Rechnung R-2026-77")])
def test_one_is_made(ask: Ask, template: str, values: dict[str, object], words: str, tmp_path: Path) -> None:
    done = ask("make", template, "-", "-o", "one.pdf", "--language", "de", given=json.dumps(values))
    assert done.exit_code == 0, done.stderr
    assert words in page_text((tmp_path / "one.pdf").read_bytes())
    assert (tmp_path / "one.pdf").stat().st_mode & 0o077 == 0, "it holds a customer's account"
    assert ask("check", "one.pdf").exit_code == 0


@pytest.mark.parametrize("given, told", [
    ("{", "not JSON in UTF-8"), ("[1]", "not a JSON object"), ('{"bank": "B"}', "pdf.not_made"),
])
def test_what_is_wrong_with_values_is_told_without_them(ask: Ask, given: str, told: str) -> None:
    done = ask("make", "statement", "-", "-o", "one.pdf", given=given)
    assert done.exit_code in {1, 2}
    assert told in done.stderr
    assert not Path("one.pdf").exists()


def test_a_template_that_is_not_there(ask: Ask) -> None:
    done = ask("make", "nothing", "-", "-o", "one.pdf", given="{}")
    assert done.exit_code == 1
    assert "there are bill, fast-bill" in done.stderr


def test_files_are_looked_at(ask: Ask, tmp_path: Path) -> None:
    pdf = pikepdf.new()
    pdf.add_blank_page()
    pdf.save("plain.pdf")
    pdf.save("locked.pdf", encryption=pikepdf.Encryption(owner="a", user="b"))
    Path("broken.pdf").write_bytes(Path("plain.pdf").read_bytes()[:200])
    done = ask("check", "plain.pdf", "locked.pdf", "broken.pdf", "nothing.pdf", "--json")
    assert done.exit_code == 1
    assert {one["file"]: one["reason"] for one in json.loads(done.stdout)} == {
        "plain.pdf": "pdf.inaccessible", "locked.pdf": "pdf.locked", "broken.pdf": "pdf.unreadable",
        "nothing.pdf": "pdf.missing"}
    assert ask("check", "plain.pdf", "--no-accessible").exit_code == 0
    assert "accessible PDF" in ask("check", "plain.pdf").stdout
