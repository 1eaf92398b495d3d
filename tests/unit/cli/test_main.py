"""The command's start and end cost little: the garbage collector leaves the loaded modules out."""

import atexit
import gc
import subprocess
import sys

import pytest
from typer.main import get_command

from gateway.cli import main
from gateway.cli.summaries import SUMMARIES


def test_the_collector_is_off_while_modules_load_and_on_in_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    enabled, at_exit = [], []

    def application(arguments: object) -> object:
        enabled.append(gc.isenabled())
        return lambda: enabled.append(gc.isenabled())

    monkeypatch.setattr(main, "application", application)
    monkeypatch.setattr(main, "no_core", lambda: None)
    monkeypatch.setattr(atexit, "register", at_exit.append)
    monkeypatch.setattr(sys, "argv", ["sealgate", "check"])
    try:
        main.main()
    finally:
        gc.enable()
    assert enabled == [False, True]
    assert at_exit == [gc.freeze]
    assert gc.get_freeze_count() > 10_000


def test_the_overview_says_what_the_commands_say() -> None:
    commands = getattr(get_command(main.application([])), "commands", {})
    said = {name: " ".join((one.help or "").partition("\n\n")[0].split())
            for name, one in commands.items() if not one.hidden}
    assert dict(SUMMARIES) == said


def test_help_loads_no_command() -> None:
    """It took a second of CPU before: the database, FastAPI and PDF libraries."""
    program = ("import sys; from gateway.cli import main; sys.argv = ['sealgate', '--help']\n"
               "try: main.main()\nfinally: print([name for name in ('sqlalchemy', 'fastapi', 'pikepdf', 'gateway.app') "
               "if name in sys.modules], file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "statements" in done.stdout
    assert done.stderr.strip() == "[]"
