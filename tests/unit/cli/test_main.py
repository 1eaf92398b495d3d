"""The command's start and end cost little: the garbage collector leaves the loaded modules out."""

import atexit
import gc
import sys

import pytest

from gateway.cli import main


def test_the_collector_is_off_while_modules_load_and_on_in_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    enabled, at_exit = [], []

    def application(arguments: object) -> object:
        enabled.append(gc.isenabled())
        return lambda: enabled.append(gc.isenabled())

    monkeypatch.setattr(main, "application", application)
    monkeypatch.setattr(main, "no_core", lambda: None)
    monkeypatch.setattr(atexit, "register", at_exit.append)
    monkeypatch.setattr(sys, "argv", ["sealgate"])
    try:
        main.main()
    finally:
        gc.enable()
    assert enabled == [False, True]
    assert at_exit == [gc.freeze]
    assert gc.get_freeze_count() > 10_000
