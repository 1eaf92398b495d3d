"""Errors of commands: the exit code, and a message that says what to do."""

import sqlite3
from pathlib import Path

import pytest
import typer

from gateway.cli import context
from gateway.errors import GatewayError, Reason


def of(cause: Exception) -> GatewayError:
    """The error of the store that an adapter makes from `cause`."""
    try:
        try:
            raise cause
        except type(cause):
            raise GatewayError(Reason.STORE_UNAVAILABLE, "/var/lib/sealgate.db: no", retry=True) from None
    except GatewayError as error:
        return error


def read_only(path: Path) -> Exception:
    """The error of SQLite for a database that this user cannot write."""
    sqlite3.connect(path).close()
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        with pytest.raises(sqlite3.OperationalError) as caught:
            reader.execute("CREATE TABLE t (x)")
    finally:
        reader.close()
    return caught.value


def test_a_missing_permission_is_not_answered_as_a_database_that_is_down(tmp_path: Path) -> None:
    for cause in (PermissionError(13, "Permission denied"), read_only(tmp_path / "x.db")):
        error = of(cause)
        assert context.exit_code(error) == context.USAGE
        assert "sudo -u sealgate" in context.explained(error)
        assert "disk" not in context.explained(error)


def test_other_errors_of_the_store_stay_temporary() -> None:
    error = of(OSError(28, "No space left on device"))
    assert context.exit_code(error) == context.TEMPORARY
    assert "database" in context.explained(error)


def test_a_process_of_the_relay_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALGATE_PARENT", "1")
    assert context.exit_code(of(PermissionError(13, "Permission denied"))) == context.TEMPORARY


def test_a_missing_configuration_names_the_option(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(context.CONFIG_VARIABLE, str(tmp_path / "none.yaml"))
    with pytest.raises(typer.Exit) as caught:
        context.settings()
    assert caught.value.exit_code == context.USAGE
    assert "`sealgate --config FILE`" in capsys.readouterr().err
