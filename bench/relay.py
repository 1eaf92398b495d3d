"""Goals 2 and 5: whole relays over SMTP, measured in turns.

The source and the sink are processes of their own, so that only the relay's CPU seconds count (user and system of the
supervisor and its relay workers, their threads included). Ours is `sealgate run` over the demo's bank with everything
on: rules, the certificate out of the store, header protection, signature, time-stamp, encryption, evidence, metrics;
with one worker and with two. The stock relay, one process, only signs and encrypts.
"""

import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, fields
from pathlib import Path

from bench.contest import Function
from bench.layer import primitives
from bench.material import Material
from bench.report import Progress, Report, Row
from bench.wire import MARK
from gateway.demo.bank import Bank, Ports, open_bank

CONNECTIONS = 20
OF_PRIMITIVES = {"5K": 0.25, "100K": 0.3, "1M": 0.3}  # further goals: printed, not required
GOALS = {"5K": (1.25, 1.5), "100K": (2.0, 2.3), "1M": (2.0, 2.3)}
COUNTS = {"5K": 400, "100K": 160, "1M": 24}
_TICKS_S = os.sysconf("SC_CLK_TCK")
RUN = [sys.executable, "-m", "gateway", "--config", "{}", "run"]
TWO_WORKERS = 0.9  # of what one worker does with a CPU-second


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Relay:
    """One relay's process and port."""

    name: str
    process: subprocess.Popen[bytes]
    port: int

    def cpu_s(self) -> float:
        """CPU seconds until now of the process and of its relay workers, ended ones included; not of jobs and HTTP."""
        pid = self.process.pid
        children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        workers = [one for one in children if b"worker" in Path(f"/proc/{one}/cmdline").read_bytes().split(b"\0")]
        return sum(map(_cpu_s, (pid, *workers)))


def _cpu_s(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, words[11:15])) / _TICKS_S


def start(name: str, command: list[str], port: int, log: Path) -> Relay:
    """Starts a relay and waits until its port answers."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended at once: {log.read_text()[-2000:]}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return Relay(name, process, port)
    process.kill()
    raise RuntimeError(f"{name} does not answer: {log.read_text()[-2000:]}")


class Source:
    """The process that sends."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", "bench.wire", "source"], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)

    def send(self, relay: Relay, file: Path, count: int, peer: str = "127.0.0.1") -> tuple[float, float]:
        """Mails per CPU-second of the relay, and mails per second of wall clock. `peer`: the address to come from."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        before = relay.cpu_s()
        self._process.stdin.write(f"{relay.port} {file} {count} {CONNECTIONS} {peer}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"sending to {relay.name} failed; it wrote nothing more")
        return count / max(relay.cpu_s() - before, 1 / _TICKS_S), count / float(line)

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()


def steps(*, short: bool, evidence: bool) -> int:
    """How many ticks `goals` takes."""
    return len(GOALS) * (2 if short else 4) * (4 if evidence else 3)


def goals(report: Report, made: Material, progress: Progress, *, short: bool, evidence: bool) -> None:
    """Adds the rows."""
    progress.stage("starting the relays")
    processes: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="sealgate-bench-relay-") as folder:
        home = Path(folder)
        sink = free_port()
        try:
            processes.append(subprocess.Popen([sys.executable, "-m", "bench.wire", "sink", str(sink)],
                                              stdout=subprocess.DEVNULL))
            relays = [_ours(home / "with", sink, RUN, "ours")]
            processes.append(relays[0].process)
            port = free_port()
            relays.append(start("stock", [sys.executable, "-m", "bench.stock", str(home / "with"), str(port),
                                          str(sink)], port, home / "stock.log"))
            processes.append(relays[1].process)
            relays.append(_ours(home / "two", sink, RUN, "two workers", workers=2))
            processes.append(relays[2].process)
            if evidence:
                relays.append(_ours(home / "without", sink, [sys.executable, "-m", "bench.without", "{}"], "forgetful"))
                processes.append(relays[3].process)
            source = Source()
            try:
                _measure(report, made, progress, relays, source, rounds=2 if short else 4, share=0.5 if short else 1.0)
            finally:
                source.close()
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()


def _ours(home: Path, sink: int, command: list[str], name: str, *, workers: int = 1) -> Relay:
    """A demo's bank of its own, served by `command`."""
    bank = bank_of(home, sink, workers=workers)
    return start(name, [word.replace("{}", str(bank.config)) for word in command], bank.ports.outbound,
                 home.with_suffix(".log"))


def bank_of(home: Path, sink: int, *, workers: int = 1, more: str = "") -> Bank:
    """A demo's bank on free ports that hands on to `sink`. `more`: further sections of its settings."""
    bank = open_bank(home, Ports(free_port(), sink, free_port(), *(free_port() for _ in fields(Ports)[3:])))
    text = re.sub(r"^processes:.*$", f"processes: {{relay: {workers}, milter: 2}}", bank.config.read_text(),
                  flags=re.MULTILINE)
    bank.config.write_text(text + more)
    return bank


def _measure(report: Report, made: Material, progress: Progress, relays: list[Relay], source: Source, *,
             rounds: int, share: float) -> None:
    for size, (goal, further) in GOALS.items():
        file = made.home / f"transaction-{size}"
        file.write_bytes(transaction(made.entities[size]))
        count = max(CONNECTIONS, round(COUNTS[size] * share))
        for relay in relays:
            source.send(relay, file, CONNECTIONS * 2 if size == "5K" else CONNECTIONS)  # warm
        samples: dict[str, list[tuple[float, float]]] = {relay.name: [] for relay in relays}
        progress.stage(f"relays, {size}")
        alone: list[float] = []  # the primitives, in the same rounds
        seal = Function(primitives(made))
        for _ in range(rounds):
            alone.append(count / max(seal.run("seal", size, "cbc", count), 1 / _TICKS_S))
            for relay in relays:
                samples[relay.name].append(source.send(relay, file, count))
                progress.tick()
        found = {name: (statistics.median(cpu for cpu, _ in values), statistics.median(wall for _, wall in values))
                 for name, values in samples.items()}
        report.rows.append(Row("2", f"relay, everything on, {size}", "stock, sign+encrypt", found["ours"][0],
                               found["stock"][0], "mails/CPUs", found["ours"][0] / found["stock"][0], goal, further))
        report.rows.append(Row("2", f"relay, everything on, {size}", "stock, sign+encrypt", found["ours"][1],
                               found["stock"][1], "mails/s", found["ours"][1] / found["stock"][1], None))
        limit = statistics.median(alone)
        report.rows.append(Row("2", f"relay, everything on, {size}", "primitives alone", found["ours"][0], limit,
                               "mails/CPUs", found["ours"][0] / limit, None, OF_PRIMITIVES[size]))
        report.rows.append(Row("2", f"two relay workers, {size}", "one", found["two workers"][0], found["ours"][0],
                               "mails/CPUs", found["two workers"][0] / found["ours"][0], TWO_WORKERS))
        report.rows.append(Row("2", f"two relay workers, {size}", "one", found["two workers"][1], found["ours"][1],
                               "mails/s", found["two workers"][1] / found["ours"][1], None))
        if "forgetful" in found:
            report.rows.append(Row("5", f"evidence and journal on, {size}", "off", found["ours"][0],
                                   found["forgetful"][0], "mails/CPUs", found["ours"][0] / found["forgetful"][0], 0.8))


def transaction(entity: bytes) -> bytes:
    """Envelope commands, a NUL, and the message with its dot, as wire.py sends it."""
    message = (b"From: Online Banking <otp@bank.example>\r\nTo: Ben <ben@customer.example>\r\n"
               b"Subject: Your code\r\nDate: Tue, 24 Nov 2026 12:00:00 +0000\r\n"
               b"Message-ID: <" + MARK + b"@bank.example>\r\nMIME-Version: 1.0\r\n" + entity)
    return smtp(message, "otp@bank.example", "ben@customer.example")


def smtp(message: bytes, sender: str, to: str) -> bytes:
    """A message as wire.py sends it."""
    if not message.endswith(b"\r\n"):
        message += b"\r\n"
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    return f"MAIL FROM:<{sender}>\r\nRCPT TO:<{to}>\r\nDATA\r\n\0".encode() + stuffed + b".\r\n"
