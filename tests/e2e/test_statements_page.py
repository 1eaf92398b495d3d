"""docs/statements.md as an operator follows it: its run's file, its rows, its commands, over a real next hop."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import typer.main

from gateway.cli.main import application
from tests.support.command_server import prefix
from tests.support.process import ROOT, new_bank
from tests.support.smtp import Hop
from tests.support.statements import document

PAGE = "\n".join((ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("statements", "statements-source"))


def block(kind: str) -> str:
    """The first example of a kind."""
    found = re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.fixture
def site(tmp_path):
    with Hop(("PIPELINING", "8BITMIME", "DSN")) as hop:
        bank = new_bank(tmp_path / "bank", hop=hop.port)
        home = tmp_path / "work"
        (home / "october").mkdir(parents=True)
        (home / "october.yaml").write_text(block("yaml"), "utf-8")
        (home / "october.csv").write_text(block("csv"), "utf-8")
        for name in ("anna", "ben"):
            (home / "october" / f"{name}.pdf").write_bytes(document(f"of {name}"))

        def run(*words: str, code: int = 0) -> str:
            command = [*prefix(), "--config", str(bank.config), "statements", *words]
            done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=120, check=False,
                                  env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)})
            assert done.returncode == code, done.stdout + done.stderr
            return done.stdout

        yield hop, home, run


def accessible_or_not(home: Path) -> None:
    """The test's small documents cannot be read aloud; a bank's ought to."""
    file = home / "october.yaml"
    file.write_text(file.read_text().replace("{directory: october}", "{directory: october, accessible: false}"))


def test_the_commands_of_the_page_do_what_it_says(site) -> None:
    hop, home, run = site
    accessible_or_not(home)
    run("check", "october.yaml")
    assert not hop.mails
    run("send", "october.yaml")
    assert len(hop.mails) == 2
    [listed] = json.loads(run("list", "--json"))
    assert (listed["name"], listed["period"], listed["state"], listed["rows"]) == (
        "Statements of October", "2026-10", "done", 2)
    shown = json.loads(run("show", listed["id"], "--json"))
    assert shown["items"]["sent"] == 2
    run("report", listed["id"], "--html", "report.html")
    assert "<html" in (home / "report.html").read_text("utf-8")
    run("send", "october.yaml")  # the same again: nobody gets anything twice
    assert len(hop.mails) == 2
    run("recall", listed["id"], "--yes")
    assert len(hop.mails) == 4
    run("resume", listed["id"], code=1)  # it has ended
    run("show", "0123456789abcdef", code=1)


def test_what_the_page_names_is_there() -> None:
    """Commands and columns; a misspelt one would be found by the first who types it."""
    group = typer.main.get_command(application(["statements"]))
    known = set(group.commands["statements"].commands)  # type: ignore[attr-defined]
    named = set(re.findall(r"statements (check|send|list|show|pause|resume|cancel|replace|recall|report|delivered)\b",
                           PAGE))
    assert {"check", "send", "list", "show", "pause", "resume", "cancel", "replace", "recall", "report"} <= named
    assert named <= known
