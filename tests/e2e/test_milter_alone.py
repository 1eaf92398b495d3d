"""The milter's processes by themselves: socket, signs of life, a stuck worker, a killed parent, what does not load.

Truth: unix(7), sd_notify(3), and what the operating system says of processes. No Postfix is started.
"""

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.demo.bank import Bank
from tests.support.milter import milter_process
from tests.support.process import ROOT, free_ports, new_bank
from tests.support.smtp import until


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return new_bank(tmp_path / "bank")


def configure(bank: Bank, where: str, *, workers: int = 1) -> None:
    text = "\n".join(line for line in bank.config.read_text().splitlines() if not line.startswith("processes:"))
    bank.config.write_text(
        f"{text}\nmilter: {{socket: '{where}', outbound_daemons: [ours]}}\nprocesses: {{milter: {workers}}}\n")


def test_a_unix_socket(bank: Bank, tmp_path: Path) -> None:
    """A file that a killed process left is taken away, one of a living process is not; its mode is the settings'."""
    path = tmp_path / "m.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    configure(bank, f"unix:{path}", workers=2)
    with milter_process(bank) as running:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        before = running.workers()
        running.reload()
        until(lambda: len(running.workers()) == 2 and not set(before) & set(running.workers()), 30)
        assert path.exists(), "an old worker took it away"
        bank.config.write_text(bank.config.read_text().replace("{milter: 2}", "{milter: 1}"))
        running.reload()
        until(lambda: len(running.workers()) == 1, 30)
        with socket.socket(socket.AF_UNIX) as postfix:
            postfix.connect(str(path))


def test_signs_of_life(bank: Bank, tmp_path: Path) -> None:
    """sd_notify(3): READY once all workers are, WATCHDOG while they live, STOPPING at the end."""
    configure(bank, f"inet:{free_ports(1)[0]}@127.0.0.1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(30)
        with milter_process(bank, environment={"NOTIFY_SOCKET": str(tmp_path / "notify")}):
            assert b"READY=1" in ear.recv(4096)
            assert b"WATCHDOG=1" in ear.recv(4096)
        said = b""
        while b"STOPPING=1" not in said:
            said = ear.recv(4096)


def test_a_stuck_worker_is_replaced_and_nobody_says_it_is_well(bank: Bank) -> None:
    configure(bank, f"inet:{free_ports(1)[0]}@127.0.0.1")
    bank.config.write_text(bank.config.read_text().replace("{milter: 1}", "{milter: 1, stuck_after_s: 3}"))
    with milter_process(bank) as running:
        (before,) = running.workers()
        os.kill(before, signal.SIGSTOP)
        until(lambda: bool(running.lines("worker.stuck")), 30)
        until(lambda: len(running.workers()) == 1 and running.workers() != [before], 60)


def test_workers_end_when_their_parent_is_killed(bank: Bank) -> None:
    """And another milter can begin at once at the same address."""
    configure(bank, f"inet:{free_ports(1)[0]}@127.0.0.1", workers=2)
    with pytest.raises(AssertionError):  # it does not end well
        _killed(bank)
    with milter_process(bank):
        pass


def _killed(bank: Bank) -> None:
    with milter_process(bank) as running:
        workers = running.workers()
        running.process.kill()
        running.process.wait()
        until(lambda: not any(_lives(pid) for pid in workers), 30)


def _lives(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_what_does_not_start_says_why(bank: Bank) -> None:
    configure(bank, "unix:/proc/nowhere/m.sock")
    with pytest.raises(AssertionError, match=r"milter\.socket"), milter_process(bank):
        pass


def test_a_worker_that_cannot_load_ends_the_start(bank: Bank) -> None:
    configure(bank, f"inet:{free_ports(1)[0]}@127.0.0.1")
    (bank.home / "keys" / "otp.key.pem").unlink()
    with pytest.raises(AssertionError, match=r"worker\.not_started"), milter_process(bank):
        pass


def test_a_stop_before_it_is_ready_is_a_good_end(bank: Bank) -> None:
    configure(bank, f"inet:{free_ports(1)[0]}@127.0.0.1")
    log = bank.home / "early.log"
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "gateway", "--config", str(bank.config), "milter"], cwd=ROOT,
                                   stdout=file, stderr=file)
    try:
        until(lambda: b'"event": "worker.started"' in log.read_bytes(), 60)
        process.terminate()
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
