"""The commands that tests fork behave as those that they start: output, exit code, streams, signals, end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.command_server import prefix
from tests.support.process import ROOT, new_bank

REAL = (sys.executable, "-m", "gateway")


def ran(command: tuple[str, ...], *words: str, at: Path, octets: bytes = b"") -> tuple[int, bytes, bytes]:
    done = subprocess.run([*command, *words], cwd=at, input=octets, capture_output=True, check=False, timeout=60,
                          env={"PATH": os.defpath, "PYTHONPATH": str(ROOT), "COLUMNS": "100"})
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("words", [
    ("--config", "bank/sealgate.yaml", "statements", "list", "--json"),
    ("--config", "bank/none.yaml", "check"),
    ("--config", "bank/sealgate.yaml", "statements", "shwo"),
], ids=lambda words: words[-1])
def test_a_forked_command_prints_and_ends_as_a_started_one(tmp_path: Path, words: tuple[str, ...]) -> None:
    new_bank(tmp_path / "bank")
    assert ran(prefix(), *words, at=tmp_path) == ran(REAL, *words, at=tmp_path)


def test_standard_input_and_surrogates_reach_the_command(tmp_path: Path) -> None:
    new_bank(tmp_path / "bank")
    mail = "From: otp@bank.example\nTo: anna@customer.example\nSubject: Code\n\nYour code is 481516 ä\n".encode()
    words = ("--config", "bank/sealgate.yaml", "seal", "--client", "online-banking", "--from", "otp@bank.example",
             "--to", "anna@customer.example")
    code, sealed, told = ran(prefix(), *words, at=tmp_path, octets=mail)
    assert (code, b"application/pkcs7-mime" in sealed) == (0, True), told
    assert b"converted to CRLF" in told


@pytest.mark.parametrize("number, codes", [
    (signal.SIGTERM, {0, -signal.SIGTERM}), (signal.SIGKILL, {-signal.SIGKILL})])
def test_a_signal_reaches_the_command(tmp_path: Path, number: signal.Signals, codes: set[int]) -> None:
    """`jobs` ends at SIGTERM, well if it listens for it already. At SIGKILL of the launcher it does not stay behind."""
    bank = new_bank(tmp_path / "bank")
    with subprocess.Popen([*prefix(), "--config", str(bank.config), "jobs"], stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert b"jobs" in line, line
        process.send_signal(number)
        rest = process.stderr.read()  # to its end: all who could write are gone
        assert process.wait(30) in codes, line + rest


def test_commands_run_side_by_side(tmp_path: Path) -> None:
    began = time.monotonic()
    bank = new_bank(tmp_path / "bank")
    running = [subprocess.Popen([*prefix(), "--config", str(bank.config), "customer", "list"], stdout=subprocess.PIPE)
               for _ in range(5)]
    told = {one.communicate(timeout=60)[0] for one in running}
    assert {one.returncode for one in running} == {0}
    assert len(told) == 1, time.monotonic() - began
