"""docs/nodes.md, taken at its word: its SQL against a real server, its settings loaded, its commands asked for.

Starts the session's PostgreSQL server. What the commands do is shown by test_backup.py and test_two_nodes.py.
"""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from gateway.adapters.db.engine.connections import SILENT_S
from gateway.adapters.db.engine.heartbeat import BEAT_S, DEAD_S
from gateway.adapters.db.engine.lookup_cache import KEPT_S
from gateway.adapters.db.engine.postgresql import OLDEST
from gateway.adapters.db.engine.schema import create_database
from gateway.adapters.db.evidence_spool import OCTETS_MAX
from gateway.adapters.run_jobs import make_tables
from gateway.settings import read
from tests.support import postgres
from tests.support.command_server import prefix
from tests.unit.test_settings import SMALL

ROOT = Path(__file__).parents[2]
PAGE = "\n".join((ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("nodes", "node-failures", "backup"))


def blocks(kind: str) -> list[str]:
    return re.findall(rf"(?s)```{kind}\n(.*?)```", PAGE)


def test_its_sql_makes_a_database_that_the_gateway_can_fill(tmp_path) -> None:
    postgres.need_postgres()
    server = postgres.server()
    (sql,) = blocks("sql")
    for statement in sql.strip().split(";\n"):
        server.sql(statement.rstrip(";").replace("ROLE sealgate", "ROLE page").replace(
            "DATABASE sealgate OWNER sealgate", "DATABASE page OWNER page"))
    password = tmp_path / "password"
    password.write_text("a long one of your own\n")
    password.chmod(0o600)
    where = server.settings("page", user="page", password_file=password)
    create_database(where, tmp_path / "database.id", make_tables).close()  # the role may make the schema of the jobs
    assert ("certificate",) in server.sql("SELECT tablename FROM pg_tables WHERE tableowner = 'page'", "page")


def test_its_settings_load(tmp_path) -> None:
    (yaml,) = (block for block in blocks("yaml") if "postgresql:" in block)
    found = read(SMALL + yaml, tmp_path / "sealgate.yaml").postgresql
    assert found is not None
    assert (found.tls, found.spool) == ("verify-full", Path("/var/lib/sealgate/spool"))


@pytest.mark.parametrize("command", sorted({
    shlex.split(line, comments=True)[1] for block in blocks("sh") for line in block.splitlines()
    if line.startswith("sealgate ")}))
def test_its_commands_are_there(command) -> None:
    told = subprocess.run([*prefix(), command, "--help"], cwd=ROOT, capture_output=True,
                          text=True, check=True).stdout
    assert "Example: sealgate" in told
    if command == "restore":
        assert "--into" in told


def test_its_numbers_are_those_of_the_code() -> None:
    assert f"the last {KEPT_S:.0f} seconds" in PAGE
    assert (BEAT_S, DEAD_S) == (2.0, 8.0)  # "every two seconds", "eight seconds"
    assert f"given up after {SILENT_S} s" in PAGE
    assert f"PostgreSQL {OLDEST // 10_000} or newer" in PAGE
    assert f"{OCTETS_MAX >> 20} MiB at most" in PAGE
