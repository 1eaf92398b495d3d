"""A run's rows out of somebody's database: read once, changed never. Truth: what the database itself holds after it."""

import json
import sqlite3
import stat

import pytest

from gateway.adapters.db.source_sql import fetch
from gateway.errors import GatewayError, Reason
from tests.support import postgres


@pytest.fixture
def core(tmp_path):
    """A core system's database."""
    path = tmp_path / "core.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE account (customer TEXT, iban TEXT, balance NUMERIC, due DATE)")
        connection.executemany("INSERT INTO account VALUES (?, ?, ?, ?)",
                               [(f"1000{i}", f"DE00{i}", i * 1.5, "2026-10-31") for i in range(2500)])
    connection.close()
    return path


def test_rows_become_lines_that_are_ours_alone(core, tmp_path) -> None:
    target = tmp_path / "reports" / "rows.jsonl"
    query = "SELECT customer, iban AS account, balance FROM account ORDER BY iban"
    assert fetch(f"sqlite:///{core}", query, target) == 2500
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert lines[0] == {"customer": "10000", "account": "DE000", "balance": 0}
    assert len(lines) == 2500
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("statement", ["DELETE FROM account", "DROP TABLE account", "UPDATE account SET iban = ''",
                                       "SELECT nothing FROM account", "nonsense"])
def test_what_is_no_question_changes_nothing(core, tmp_path, statement) -> None:
    before = core.read_bytes()
    with pytest.raises(GatewayError) as caught:
        fetch(f"sqlite:///{core}", statement, tmp_path / "rows.jsonl")
    assert caught.value.reason is Reason.INPUT_UNREADABLE
    assert core.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["core.db"]


@pytest.mark.parametrize("url", ["postgresql+psycopg://reader:S3cretWord@127.0.0.1:1/core", "nonsense S3cretWord",
                                 "nosuchkind://S3cretWord@x/y"])
def test_trouble_tells_no_password(url, tmp_path) -> None:
    with pytest.raises(GatewayError) as caught:
        fetch(url, "SELECT 1", tmp_path / "rows.jsonl")
    assert "S3cretWord" not in str(caught.value)


def test_octets_are_refused_by_name(core, tmp_path) -> None:
    with pytest.raises(GatewayError, match="octets"):
        fetch(f"sqlite:///{core}", "SELECT x'00ff' AS customer", tmp_path / "rows.jsonl")


def test_postgresql_is_read_in_a_transaction_that_cannot_write(tmp_path) -> None:
    postgres.need_postgres()
    where = postgres.server().settings(postgres.server().empty())
    password = where.password_file.read_text().strip()
    url = f"postgresql+psycopg://{where.user}:{password}@{where.host}:{where.port}/{where.name}?sslmode=disable"
    assert fetch(url, "SELECT 1 AS customer, 12.50::numeric AS amount, DATE '2026-10-31' AS due", tmp_path / "r") == 1
    assert json.loads((tmp_path / "r").read_text()) == {"customer": 1, "amount": "12.50", "due": "2026-10-31"}
    with pytest.raises(GatewayError):
        fetch(url, "CREATE TABLE t AS SELECT 1", tmp_path / "r2")
