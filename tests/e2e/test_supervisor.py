"""`sealgate run` with two workers: what clients see while workers are replaced, killed, stuck, or cannot start.

Starts the real supervisor with its processes, on free ports of 127.0.0.1, and an SMTP server behind it that counts.
Truth: the client's own replies, and the mails that arrived behind: each exactly once.
"""

import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import pytest

from gateway.app.store import open_store
from gateway.settings import load
from tests.support.command_server import prefix
from tests.support.peers import need
from tests.support.process import ROOT, Relay, free_ports, new_bank, relay, submit, without_web
from tests.support.smtp import Hop

TO = "anna@customer.example"
MAIL = (b"From: otp@bank.example\r\nTo: anna@customer.example\r\nSubject: Code\r\nMessage-ID: <%b@bank.example>\r\n"
        b"\r\nYour code is 481516\r\n")


def two(text: str) -> str:
    """Settings with two workers."""
    kept = [line for line in text.splitlines() if not line.startswith("processes:")]
    return "\n".join([*kept, "processes: {relay: 2, stuck_after_s: 6}", ""])


def lean(text: str) -> str:
    """The same without a process beside them that the test never asks."""
    return two(without_web(text))


_BEFORE: dict[Path, int] = {}  # a log to how long it was when the test began


def lines(running: Relay, event: str) -> list[dict[str, object]]:
    """Those of its log since the test began."""
    told = running.told[_BEFORE.get(running.log, 0):]
    found = [json.loads(line) for line in told.splitlines() if line[:1] == "{" and f'"{event}"' in line]
    return [line for line in found if line["event"] == event]


def until(true: Callable[[], object], running: Relay, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, running.told[-3000:]
        time.sleep(0.02)


def workers(running: Relay) -> set[int]:
    """Relay workers that live, by the kernel's table."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (path / "cmdline").read_bytes().split(b"\0")
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == running.process.pid and b"worker" in arguments:
            found.add(int(path.name))
    return found


@pytest.fixture
def hop() -> Iterator[Hop]:
    with Hop() as one:
        yield one


@pytest.fixture(scope="module")
def everybody() -> Iterator[tuple[Relay, Hop]]:
    """One supervisor for all tests that leave it as well as they found it."""
    with (TemporaryDirectory() as folder, Hop() as hop,
          relay(new_bank(Path(folder) / "bank", hop=hop.port, change=two)) as one):
        until(lambda: len(lines(one, "worker.started")) == 2 and lines(one, "jobs.started"), one)
        yield one, hop


@pytest.fixture
def running(everybody: tuple[Relay, Hop]) -> Relay:
    one, hop = everybody
    until(lambda: len(workers(one)) == 2, one)
    _BEFORE[one.log] = len(one.told)
    hop.mails.clear()
    return one


@pytest.fixture
def behind(everybody: tuple[Relay, Hop]) -> Hop:
    """The SMTP server behind `running`."""
    return everybody[1]


class Senders:
    """Clients that send without end, each mail once on a connection of its own; what the server said is kept."""

    def __init__(self, port: int, count: int = 3) -> None:
        self.said: list[tuple[str, str]] = []
        self._port = port
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _send(self, number: int) -> None:
        count = 0
        while not self._ended.is_set():
            count += 1
            name = f"{number}-{count}"
            try:
                with smtplib.SMTP("127.0.0.1", self._port, timeout=60) as smtp:
                    smtp.sendmail("otp@bank.example", [TO], MAIL % name.encode())
                answer = "250"
            except (smtplib.SMTPException, OSError) as error:
                answer = repr(error)
            self.said.append((name, answer))
            self._ended.wait(0.05)  # a machine that has nothing else to do would start no workers

    @property
    def taken(self) -> int:
        return len(self.said)


def reloaded(running: Relay, times: int = 1) -> Callable[[], bool]:
    """Whether the relay has told so often that it has reloaded; the children tell it for themselves."""
    return lambda: len([one for one in lines(running, "reload.done") if "digest" in one]) >= times


def names(hop: Hop) -> Counter[str]:
    """Of the mails that arrived; Message-ID is passed on in the outer header of sealed mail."""
    found: Counter[str] = Counter()
    for octets in hop.mails:
        line = next(line for line in octets.split(b"\r\n") if line.lower().startswith(b"message-id:"))
        found[line.partition(b"<")[2].partition(b"@")[0].decode()] += 1
    return found


def test_reloads_under_load_refuse_nobody_and_lose_and_double_nothing(running: Relay, behind: Hop) -> None:
    first = workers(running)
    with Senders(running.bank.ports.outbound) as senders:
        for number in range(3):
            before = senders.taken
            until(lambda before=before: senders.taken > before + 5, running)
            running.process.send_signal(signal.SIGHUP)
            until(reloaded(running, number + 1), running)
        before = senders.taken
        until(lambda: senders.taken > before + 5, running)
    assert Counter(answer for _, answer in senders.said) == {"250": len(senders.said)}
    assert names(behind) == {name: 1 for name, _ in senders.said}
    until(lambda: len(workers(running)) == 2, running)
    assert not workers(running) & first


def test_who_was_greeted_before_a_reload_may_still_send(running: Relay, behind: Hop) -> None:
    with smtplib.SMTP("127.0.0.1", running.bank.ports.outbound, timeout=60) as smtp:
        running.process.send_signal(signal.SIGHUP)
        until(reloaded(running), running)
        smtp.sendmail("otp@bank.example", [TO], MAIL % b"1")
    assert names(behind) == {"1": 1}


def test_a_killed_worker_is_replaced_and_the_other_serves_meanwhile(running: Relay, behind: Hop) -> None:
    before = workers(running)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    until(lambda: lines(running, "worker.exited"), running)
    assert running.submit(MAIL % b"1", [TO])[0] == 250
    until(lambda: len(workers(running) - before) == 1, running)
    until(lambda: lines(running, "worker.started"), running)
    assert lines(running, "worker.exited")[0] | {"pid": victim, "code": -9} == lines(running, "worker.exited")[0]
    for number in range(8):
        assert running.submit(MAIL % b"%d" % (number + 2), [TO])[0] == 250
    assert set(names(behind).values()) == {1}


def test_a_worker_that_gives_no_sign_of_life_is_killed_and_replaced(running: Relay) -> None:
    """SIGSTOP is a process that hangs, from outside. No core file: it is SIGKILL."""
    before = workers(running)
    victim = min(before)
    os.kill(victim, signal.SIGSTOP)
    until(lambda: lines(running, "worker.stuck"), running)
    until(lambda: lines(running, "worker.started"), running)
    assert lines(running, "worker.stuck")[0]["pid"] == victim
    assert lines(running, "worker.exited")[0]["code"] == -signal.SIGKILL
    assert victim not in workers(running)
    assert before - {victim} <= workers(running)


def test_a_child_that_gives_no_sign_of_life_is_killed_and_started_again(running: Relay) -> None:
    victim = [json.loads(line) for line in running.told.splitlines() if '"process.started"' in line
              and '"jobs"' in line][-1]["pid"]
    os.kill(victim, signal.SIGSTOP)
    until(lambda: lines(running, "process.stuck"), running)
    assert lines(running, "process.stuck")[0]["pid"] == victim
    until(lambda: [one for one in lines(running, "process.started") if one["child"] == "jobs"], running)


def test_the_supervisor_opens_no_key_and_no_database(running: Relay) -> None:
    """What it has mapped and open, by the kernel; and that none of the rooms of keys was imported, by the maps."""
    assert running.submit(MAIL % b"1", [TO])[0] == 250
    pid = running.process.pid
    opened = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
    assert not [name for name in opened if "sealgate.db" in name or "/keys" in name], opened
    mapped = Path(f"/proc/{pid}/maps").read_text()
    assert "_rust" not in mapped or "cryptography" not in mapped
    if not os.geteuid():  # nobody else sees into a worker
        assert "cryptography" in Path(f"/proc/{min(workers(running))}/maps").read_text()  # this would show it


@pytest.mark.parametrize("change, told", [
    (lambda text: text.replace("key: keys/otp.key", "key: keys/none.key"), "none.key"),
    (lambda text: text.replace("policies/codes.yaml", "policies/none.yaml"), "policies/none.yaml"),
])
def test_what_cannot_start_ends_with_one_message_and_no_second_try(
        tmp_path: Path, change: Callable[[str], str], told: str) -> None:
    bank = new_bank(tmp_path / "bank", change=lambda text: lean(change(text)))
    ended = subprocess.run([sys.executable, "-m", "gateway", "--config", str(bank.config), "run"], cwd=ROOT,
                           capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2, ended.stderr
    assert told in "".join(ended.stderr.splitlines()[-2:])  # the message, and what to do
    assert ended.stderr.count(told) == 1
    assert "Traceback" not in ended.stderr


def test_a_listener_comes_and_goes_with_a_reload(running: Relay, behind: Hop) -> None:
    (port,) = free_ports(1)
    text = running.bank.config.read_text()
    more = text.replace("listeners:\n", "listeners:\n  - {name: second, role: outbound, host: 127.0.0.1, "
                                        f"port: {port}}}\n")
    assert more != text
    running.bank.config.write_text(more)
    running.process.send_signal(signal.SIGHUP)
    until(reloaded(running), running)
    assert submit(port, MAIL % b"1", [TO], sender="otp@bank.example")[0] == 250
    running.bank.config.write_text(text)
    running.process.send_signal(signal.SIGHUP)
    until(reloaded(running, 2), running)

    def refused() -> bool:
        try:
            smtplib.SMTP("127.0.0.1", port, timeout=5)
        except ConnectionRefusedError:
            return True
        return False

    until(refused, running)
    assert running.submit(MAIL % b"2", [TO])[0] == 250


def test_sockets_that_systemd_opened_are_used(tmp_path: Path, hop: Hop) -> None:
    """systemd-socket-activate(1) plays systemd: it listens, and runs us with its sockets at the first connection."""
    need("systemd-socket-activate", "systemd")
    bank = new_bank(tmp_path / "bank", hop=hop.port, change=lean)
    log = bank.home / "gateway.log"
    command = ["systemd-socket-activate", f"--listen=127.0.0.1:{bank.ports.inbound}",
               f"--listen=127.0.0.1:{bank.ports.outbound}", "--fdname=any:outbound",
               sys.executable, "-m", "gateway", "--config", str(bank.config), "run"]
    with log.open("wb") as file, subprocess.Popen(command, cwd=ROOT, stderr=file) as process:
        one = Relay(bank, process, log)
        try:
            until(lambda: "Listening on" in one.told, one)
            assert one.submit(MAIL % b"1", [TO])[0] == 250
            process.send_signal(signal.SIGHUP)
            until(reloaded(one), one)
            assert one.submit(MAIL % b"2", [TO])[0] == 250
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()
    assert names(hop) == {"1": 1, "2": 1}


def test_a_socket_that_no_listener_has_is_refused(tmp_path: Path) -> None:
    bank = new_bank(tmp_path / "bank", change=lean)
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        program = ("import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_PID=str(os.getpid()), "
                   "LISTEN_FDS='1', LISTEN_FDNAMES='odd'); os.execv(sys.executable, [sys.executable, '-m', 'gateway', "
                   "'--config', sys.argv[2], 'run'])")
        ended = subprocess.run([sys.executable, "-c", program, str(stranger.fileno()), str(bank.config)], cwd=ROOT,
                               capture_output=True, text=True, check=False, timeout=60, pass_fds=(stranger.fileno(),))
    assert ended.returncode == 2, ended.stderr
    assert "a socket that no listener has: odd at" in ended.stderr.splitlines()[-1]


def test_systemd_hears_how_it_stands(tmp_path: Path, hop: Hop) -> None:
    """A datagram socket plays systemd's (sd_notify(3)): READY=1 when mail is taken, RELOADING=1 and READY=1 around a
    reload, also around one that fails; WATCHDOG=1 while all is well; STOPPING=1.
    """
    bank = new_bank(tmp_path / "bank", hop=hop.port, change=lean)
    heard: list[dict[str, str]] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(60)

        def hear(field: str) -> dict[str, str]:
            while True:
                heard.append(dict(line.split("=", 1) for line in ear.recv(65_536).decode().split("\n")))
                if field in (f"{name}={value}" for name, value in heard[-1].items()):
                    return heard[-1]

        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1500000"}
        program = ("import os, sys; os.environ['WATCHDOG_PID'] = str(os.getpid()); "
                   "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])")
        with (bank.home / "gateway.log").open("wb") as file, subprocess.Popen(
                [sys.executable, "-c", program, "-m", "gateway", "--config", str(bank.config), "run"], cwd=ROOT,
                stderr=file, env={**os.environ, **environment}) as process:
            try:
                hear("READY=1")
                assert heard == [{"READY": "1"}]
                one = Relay(bank, process, bank.home / "gateway.log")
                assert one.submit(MAIL % b"1", [TO])[0] == 250
                hear("WATCHDOG=1")
                process.send_signal(signal.SIGHUP)
                assert int(hear("RELOADING=1")["MONOTONIC_USEC"]) > 0
                assert hear("READY=1")["STATUS"] == ""
                bank.config.write_text(bank.config.read_text() + "encrypt_nothing: true\n")
                process.send_signal(signal.SIGHUP)
                hear("RELOADING=1")
                assert "the old rules stay in force" in hear("READY=1")["STATUS"]
                process.terminate()
                hear("STOPPING=1")
                assert process.wait(60) == 0
            finally:
                process.kill()


def reload(running: Relay) -> "subprocess.CompletedProcess[str]":
    """The command, as ExecReload= of the unit calls it."""
    return subprocess.run([*prefix(), "--config", str(running.bank.config), "reload"], cwd=ROOT,
                          capture_output=True, text=True, check=False, timeout=120)


def test_reload_waits_until_the_new_rules_hold(running: Relay, behind: Hop) -> None:
    """The next mail after the command has the new rules; a command that returned earlier let it go by the old ones."""
    before = running.bank.config.read_text()
    domain = "reloaded.example"
    for home in (domain, ""):
        bank_domains = before.replace("domains: [bank.example", f"domains: [{home}, bank.example") if home else before
        running.bank.config.write_text(bank_domains)
        done = reload(running)
        assert done.returncode == 0, done.stderr
        assert "rules are in force" in done.stderr
        code, text = running.receive(MAIL % b"to-new-domain", [f"support@{domain}"])
        assert (code == 550) is (not home), (home, code, text)


def test_a_reload_that_fails_says_why_and_does_not_exit_0(running: Relay) -> None:
    before = running.bank.config.read_text()
    policy = running.bank.home / "policies" / "broken.yaml"
    try:
        running.bank.config.write_text(before.replace("policies: [", f"policies: [{policy}, "))
        policy.write_text("rules: [{name: x, encrypt: yes, encrypt: no}]\n")
        done = reload(running)
        assert done.returncode == 2, done.stderr
        assert "broken.yaml" in done.stderr
    finally:
        running.bank.config.write_text(before)
        policy.unlink()
    assert reload(running).returncode == 0


def test_a_reload_without_a_gateway_says_so(tmp_path: Path) -> None:
    bank = new_bank(tmp_path / "bank")
    done = subprocess.run([*prefix(), "--config", str(bank.config), "reload"], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "systemctl reload sealgate" in done.stderr


def test_a_worker_that_replaces_another_works_by_the_set_in_force_whatever_the_files_say_now(
        running: Relay, behind: Hop) -> None:
    """Somebody is editing, and has not reloaded, when a worker dies; and another node has reloaded."""
    store = open_store(load(running.bank.config))
    own, others = store.policy_sets.in_force(), (("others.yaml", "version: 1\n"),)
    store.policy_sets.put_in_force("f" * 64, others)
    codes = running.bank.home / "policies" / "codes.yaml"
    good = {path: path.read_text() for path in (codes, running.bank.config)}
    codes.write_text("version: 1\nrules: [\n")
    running.bank.config.write_text("version: 1\n")
    for victim in workers(running):
        os.kill(victim, signal.SIGKILL)
    until(lambda: len(lines(running, "worker.started")) == 2, running)
    assert running.submit(MAIL % b"1", [TO])[0] == 250
    assert not lines(running, "worker.not_started")
    assert store.policy_sets.in_force() == others
    running.reload('"reload.failed"')
    for path, text in good.items():
        path.write_text(text)
    running.reload('"reload.done"')
    assert store.policy_sets.in_force() == own
    store.close()
    assert running.submit(MAIL % b"2", [TO])[0] == 250


def test_connections_of_both_workers_count_together(tmp_path: Path, hop: Hop) -> None:
    """Eight places for all: the ninth connection is refused wherever the first eight landed, until one has left."""
    limits = "limits: {connections_max: 8}"
    bank = new_bank(tmp_path / "bank", hop=hop.port, change=lambda text: lean(
        "\n".join(line for line in text.splitlines() if not line.startswith("limits:"))) + limits + "\n")
    with relay(bank) as running:
        until(lambda: len(lines(running, "worker.started")) == 2, running)
        inside = [smtplib.SMTP("127.0.0.1", bank.ports.outbound, timeout=60) for _ in range(8)]
        for _ in range(8):
            with pytest.raises(smtplib.SMTPConnectError) as refused:
                smtplib.SMTP("127.0.0.1", bank.ports.outbound, timeout=60)
            assert refused.value.smtp_code == 421
        inside.pop().quit()
        until(lambda: _greeted(bank.ports.outbound), running)
        for one in inside:
            one.close()


def _greeted(port: int) -> bool:
    try:
        smtplib.SMTP("127.0.0.1", port, timeout=60).quit()
    except smtplib.SMTPConnectError:
        return False
    return True


@pytest.mark.parametrize("when", ["in the middle of a reload", "after a reload"])
def test_a_mail_in_work_is_finished_though_all_ends(tmp_path: Path, hop: Hop, when: str) -> None:
    """The server behind us takes its time for the final dot; SIGHUP and SIGTERM come meanwhile."""
    at_dot, go_on = threading.Event(), threading.Event()

    def dot(_: bytes) -> None:
        at_dot.set()
        go_on.wait(60)

    hop.replies["dot"] = dot
    said: list[int] = []
    with relay(new_bank(tmp_path / "bank", hop=hop.port, change=lean)) as running:
        until(lambda: len(lines(running, "worker.started")) == 2 and lines(running, "jobs.started"), running)

        def send() -> None:
            smtp = smtplib.SMTP("127.0.0.1", running.bank.ports.outbound, timeout=120)
            smtp.sendmail("otp@bank.example", [TO], MAIL % b"1")
            said.append(250)
            smtp.close()  # no QUIT: behind the 250 stands a 421 already

        client = threading.Thread(target=send)
        client.start()
        assert at_dot.wait(60)
        running.process.send_signal(signal.SIGHUP)
        if when == "after a reload":
            until(reloaded(running), running)
        running.process.terminate()
        until(lambda: len(lines(running, "service.stopping")) >= 2, running)  # the supervisor, and who has the mail
        go_on.set()
        client.join()
    assert said == [250]
    assert names(hop) == {"1": 1}


def test_if_the_supervisor_is_killed_all_others_end(tmp_path: Path, hop: Hop) -> None:
    bank = new_bank(tmp_path / "bank", hop=hop.port, change=two)
    log = bank.home / "gateway.log"
    with log.open("wb") as file, subprocess.Popen(
            [sys.executable, "-m", "gateway", "--config", str(bank.config), "run"], cwd=ROOT, stderr=file) as process:
        one = Relay(bank, process, log)
        until(lambda: len(lines(one, "process.started")) == 2, one)
        everyone = workers(one) | {int(str(line["pid"])) for line in lines(one, "process.started")}
        assert len(everyone) == 4
        process.kill()
    end = time.monotonic() + 60
    while left := [pid for pid in everyone if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < end, [Path(f"/proc/{pid}/status").read_text() for pid in left]
        time.sleep(0.02)


def test_a_supervisor_that_stood_still_blames_nobody(running: Relay, behind: Hop) -> None:
    """A machine that was halted, a debugger: longer than `stuck_after_s`. What was said meanwhile is lost in a full
    queue; here nothing is to be waited for but time itself.
    """
    running.process.send_signal(signal.SIGSTOP)
    time.sleep(8)
    assert running.submit(MAIL % b"1", [TO])[0] == 250  # mail goes on without it
    running.process.send_signal(signal.SIGCONT)
    until(lambda: lines(running, "supervisor.delayed"), running)
    running.process.send_signal(signal.SIGHUP)
    until(reloaded(running), running)
    assert not lines(running, "worker.stuck")
    assert not lines(running, "process.stuck")
    assert names(behind) == {"1": 1}
