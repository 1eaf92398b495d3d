"""Tables of commands: what a terminal shows, wide and narrow, and what a pipe gets."""

import re
import sys

import pytest

from gateway.cli import listing

COLUMNS = ("kind", "url", "scope", "until")
ROWS = (("full", "http://lists.example/authority-of-some-length.crl", "", "2026-12-01"),
        ("delta", "http://lists.example/delta.crl", None, "2026-11-25"))


def terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))


def seen(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.split() for line in re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()]


def test_wide_a_line_for_each_row_without_empty_columns(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    terminal(monkeypatch, 100)
    listing.table(COLUMNS, ROWS)
    assert seen(capsys) == [
        ["kind", "url", "until"], ["full", ROWS[0][1], "2026-12-01"], ["delta", ROWS[1][1], "2026-11-25"]]


def test_narrow_a_block_for_each_row_and_no_value_is_cut(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    terminal(monkeypatch, 60)
    listing.table(COLUMNS, ROWS)
    assert seen(capsys) == [
        ["kind", "full"], ["url", ROWS[0][1]], ["until", "2026-12-01"], [],
        ["kind", "delta"], ["url", ROWS[1][1]], ["until", "2026-11-25"]]


def test_a_sheet_folds_long_values(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    terminal(monkeypatch, 30)
    listing.sheet({"url": ROWS[0][1], "scope": ""})
    assert len(seen(capsys)) > len(("url", "scope"))


def test_nothing_is_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    terminal(monkeypatch, 60)
    listing.table(COLUMNS, ())
    assert not capsys.readouterr().out


def test_a_pipe_gets_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    listing.table(COLUMNS, ROWS)
    assert capsys.readouterr().out.splitlines()[1] == "delta\thttp://lists.example/delta.crl\t\t2026-11-25"
