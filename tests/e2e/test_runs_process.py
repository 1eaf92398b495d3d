"""The process `sealgate runs`: it reads its settings anew without ending, and ends when it is told to."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.process import ROOT, new_bank


def listens(pid: int) -> bool:
    """Whether it has a handler for SIGHUP (proc(5), SigCgt: bit 0 is signal 1)."""
    caught = re.search(r"(?m)^SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text())
    return caught is not None and bool(int(caught.group(1), 16) & 1)


def test_it_reloads_and_ends(tmp_path) -> None:
    bank = new_bank(tmp_path / "bank")
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen([sys.executable, "-m", "gateway", "--config", str(bank.config), "runs"], cwd=ROOT,
                                   stderr=log, stdout=subprocess.DEVNULL)

    def told(word: str) -> bool:
        return f'"event": "{word}"' in (tmp_path / "log").read_text()

    try:
        deadline, good = time.monotonic() + 60, bank.config.read_text()
        while not listens(running.pid):  # a signal before that would end it
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for text, word in ((good, "runs.reloaded"), (good.replace("version: 1", "version: 2"),
                                                "reload.failed")):
            bank.config.write_text(text)
            while not told(word):
                assert running.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                running.send_signal(signal.SIGHUP)
                time.sleep(0.5)
        running.terminate()
        assert running.wait(20) == 0
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
            pytest.fail("it did not end by itself")


def test_a_reload_of_the_whole_reaches_it(tmp_path) -> None:
    """`systemctl reload` speaks to the supervisor. Runs that go on by rules of yesterday would show nowhere."""
    bank = new_bank(tmp_path / "bank", api=True)
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen([sys.executable, "-m", "gateway", "--config", str(bank.config), "run"], cwd=ROOT,
                                   stderr=log, stdout=subprocess.DEVNULL)

    def child() -> int:
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == running.pid and (entry / "cmdline").read_bytes().rstrip(b"\0").endswith(b"\0runs"):
                    return int(entry.name)
            except OSError:  # it has just ended
                continue
        return 0

    def told() -> str:
        return (tmp_path / "log").read_text()

    try:
        deadline = time.monotonic() + 90
        while not (child() and listens(child())):
            assert running.poll() is None, told()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        running.send_signal(signal.SIGHUP)
        while '"event": "runs.reloaded"' not in told():
            assert time.monotonic() < deadline, told()
            time.sleep(0.2)
        running.terminate()
        assert running.wait(30) == 0
    finally:
        if running.poll() is None:
            running.kill()
            running.wait()
