"""`sealgate statements check` on a terminal: what is wrong with a run's rows is told there, each row by its number."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.main import application
from gateway.demo.bank import Ports
from tests.support.process import demo_bank

app = application([])
RUN = """
version: 1
name: Statements of October
period: "2026-10"
source: {json_lines: rows.jsonl}
documents: {template: fast-statement}
values: {bank: Muster Bank, currency: EUR}
"""
NOBODY = '{"customer": "99999", "account": "A1", "opening": "1.00", "closing": "1.00", "bookings": []}\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    bank = demo_bank(tmp_path / "home", Ports(sink=1))
    monkeypatch.setenv("SEALGATE_CONFIG", str(bank.config))
    (tmp_path / "october.yaml").write_text(RUN)
    return tmp_path


def check(home: Path, rows: str) -> Result:
    (home / "rows.jsonl").write_text(rows)
    return CliRunner().invoke(app, ["statements", "check", str(home / "october.yaml")])


def test_rows_that_cannot_go_are_named(home: Path) -> None:
    done = check(home, "[1]\n" + NOBODY)
    assert done.exit_code == 1
    assert "row 1: statement.row, the line is not a JSON object" in done.stderr
    assert "row 2, customer 99999: customer.unknown\n" in done.stderr


def test_of_many_the_first_are_named_and_where_the_others_are(home: Path) -> None:
    done = check(home, "[1]\n" * 8)
    assert "row 5: statement.row" in done.stderr
    assert "row 6: statement.row" not in done.stderr
    assert "3 more of statement.row: --html and --json list them" in done.stderr


def test_what_a_run_may_not_do_is_told_with_the_setting_that_says_so(home: Path) -> None:
    """A run's file that asks for more than the settings allow gets no more, and its writer looks there first."""
    (home / "october.yaml").write_text(RUN + "refused_percent_max: 100\n")
    done = check(home, NOBODY)
    assert done.exit_code == 1
    assert "30 % are allowed (`refused_percent_max`: the lower one of run and settings counts)" in done.stderr


def test_a_source_without_a_row_is_told_as_such(home: Path) -> None:
    done = check(home, "")
    assert done.exit_code == 2
    assert "rows.jsonl: no rows, so there is nothing to send" in done.stderr
    assert "threshold" not in done.stderr


def test_files_that_are_not_there_are_told_with_their_places_all_at_once(home: Path) -> None:
    (home / "october.yaml").write_text("""version: 1
name: Statements of October
period: "2026-10"
source: {csv: nothing.csv}
columns: {document: file}
documents: {directory: nowhere}
language: english
""")
    for command in ("check", "send"):
        done = CliRunner().invoke(app, ["statements", command, str(home / "october.yaml")])
        assert done.exit_code == 2
        assert "october.yaml:7:11: `language`" in done.stderr
    text = (home / "october.yaml").read_text().replace("language: english\n", "")
    (home / "october.yaml").write_text(text)
    for command in ("check", "send"):
        done = CliRunner().invoke(app, ["statements", command, str(home / "october.yaml")])
        assert done.exit_code == 2
        assert f"october.yaml:4:15: the file `{home}/nothing.csv` does not exist" in done.stderr
        assert f"october.yaml:6:24: the directory `{home}/nowhere` does not exist" in done.stderr
