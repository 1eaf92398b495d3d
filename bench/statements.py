"""Goal 7, the first half: a run of statements against the relay, which is sent the very same mails.

Each statement has a finished PDF (rendering is counted apart). The relay is `sealgate run` with two workers, as a run
has two processes; source and sink are processes of their own on the same cores. What a run costs to start has nothing
to do with how many mails it sends: it is measured from its first tenth to its last, by what its database says.

Mails a second are the goal: for a run nobody has to send each mail by SMTP first. CPU seconds are those of the command
and its workers, and of the relay's supervisor and workers.
"""

import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pikepdf

from bench import tree
from bench.relay import CONNECTIONS, Relay, Source, bank_of, free_port, smtp, start
from bench.report import Progress, Report, Row
from bench.wire import MARK
from gateway.demo.bank import Bank
from gateway.letters.compose import Attachment, Heading, compose
from gateway.letters.write import Writer

SIZES = {"5K": (1 << 10, 1200), "100K": (70 << 10, 600), "1M": (760 << 10, 400)}  # octets of the PDF, statements
GOALS = {"5K": None, "100K": 1.2, "1M": 1.2}  # statements have documents
WORKERS = 2
NICE = ("statements: {", "statements: {nice: 0, ")  # the relay beside it gives way to nobody, either
CUSTOMER, ADDRESS, FROM = "10002", "ben@customer.example", "statements@bank.example"
PEER = "127.0.0.2"  # core banking
_ROUNDS = {True: 2, False: 4}  # short, long
RUN_YAML = """version: 1
name: Bench {period}
period: {period}
source: {{csv: {period}.csv}}
columns: {{document: document}}
documents: {{{documents}}}
"""


@dataclass
class Statements:
    """A bank and the documents of one size."""

    bank: Bank
    documents: str = ""
    turns: int = 0

    def prepare(self, octets: int) -> bytes:
        """A PDF of about this size, which does not compress; the directory's only one."""
        folder = self.bank.home / f"pdf-{octets}"
        folder.mkdir(exist_ok=True)
        path = folder / "statement.pdf"
        with pikepdf.new() as pdf:
            pdf.add_blank_page()
            pdf.Root.Padding = pdf.make_stream(os.urandom(octets))
            pdf.save(path)
        self.documents = f"directory: {folder.name}, accessible: false"
        return path.read_bytes()

    def command(self, count: int) -> list[str]:
        """That sends so many which nobody has sent before."""
        self.turns += 1
        period = f"bench-{self.turns}"
        rows = "".join(f"{CUSTOMER},DE{self.turns:08d}{number:012d},statement.pdf\n" for number in range(count))
        (self.bank.home / f"{period}.csv").write_text("customer,account,document\n" + rows)
        run = self.bank.home / f"{period}.yaml"
        run.write_text(RUN_YAML.format(period=period, documents=self.documents))
        return [sys.executable, "-m", "gateway", "--config", str(self.bank.config), "statements", "send", str(run)]

    def send(self, count: int) -> tuple[float, float]:
        """Mails per CPU-second and mails per second of a run of so many, between its first and its last tenth."""
        process = subprocess.Popen(self.command(count), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        marks: list[tuple[int, float, float]] = []
        while process.poll() is None:
            time.sleep(0.02)
            sent = self._sent()
            if len(marks) < 2 and sent >= count * (0.9 if marks else 0.1):
                marks.append((sent, tree.cpu_s(process.pid), time.perf_counter()))
        if process.returncode or len(marks) < 2:
            told = process.stderr.read() if process.stderr else ""
            raise RuntimeError(f"the run ended with {process.returncode}: {told[-2000:]}")
        (first, cpu_s, began), (last, cpu_end_s, ended) = marks
        return (last - first) / max(cpu_end_s - cpu_s, 0.01), (last - first) / (ended - began)

    def _sent(self) -> int:
        """Of the run of this turn."""
        place = f"file:{self.bank.home / 'sealgate.db'}?mode=ro"
        with closing(sqlite3.connect(place, uri=True, timeout=5)) as database:
            return int(database.execute(
                "SELECT count(*) FROM statement_item JOIN statement_run ON statement_run.id = statement_item.run"
                " WHERE statement_item.state = 'sent' AND period = ?", (f"bench-{self.turns}",)).fetchone()[0])


def steps(*, short: bool) -> int:
    """How many ticks `goals` takes."""
    return len(SIZES) * _ROUNDS[short] * 2


def goals(report: Report, progress: Progress, *, short: bool) -> None:
    """Adds the rows."""
    progress.stage("starting a relay and a bank for runs")
    processes: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="sealgate-bench-run-") as folder:
        sink = free_port()
        source = Source()
        try:
            processes.append(subprocess.Popen([sys.executable, "-m", "bench.wire", "sink", str(sink)],
                                              stdout=subprocess.DEVNULL))
            taking = bank_of(Path(folder) / "relay", sink, workers=WORKERS)
            relay = start("relay", [sys.executable, "-m", "gateway", "--config", str(taking.config), "run"],
                          taking.ports.outbound, Path(folder) / "relay.log")
            processes.append(relay.process)
            bank = bank_of(Path(folder) / "runs", sink)
            bank.config.write_text(bank.config.read_text().replace(*NICE))
            runs = Statements(bank)
            for size in SIZES:
                _measure(report, progress, runs, relay, source, size, Path(folder), short=short)
        finally:
            source.close()
            for process in processes:
                process.terminate()
            for process in processes:
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()


def _measure(report: Report, progress: Progress, runs: Statements, relay: Relay, source: Source, size: str,
             folder: Path, *, short: bool) -> None:
    octets, count = SIZES[size]
    count = count // 2 if short else count
    file = folder / f"statement-{size}"
    file.write_bytes(smtp(mail_of(runs.prepare(octets)), FROM, ADDRESS))
    source.send(relay, file, CONNECTIONS, PEER)  # warm
    samples: dict[str, list[tuple[float, float]]] = {"run": [], "relay": []}
    progress.stage(f"a run of statements and the relay, {size}")
    for _ in range(_ROUNDS[short]):
        samples["run"].append(runs.send(count))
        progress.tick()
        samples["relay"].append(source.send(relay, file, count, PEER))
        progress.tick()
    found = {name: [statistics.median(values) for values in zip(*turns, strict=True)]
             for name, turns in samples.items()}
    for which, unit, goal in ((1, "mails/s", GOALS[size]), (0, "mails/CPUs", None)):
        report.rows.append(Row("7", f"a run of statements, {size}", "the relay, same mails", found["run"][which],
                               found["relay"][which], unit, found["run"][which] / found["relay"][which], goal))


def mail_of(document: bytes) -> bytes:
    """As a run writes it (`gateway.services.statements.mail`)."""
    values = {"name": "Ben", "account": "••• 0042", "period": "bench", "run": "Bench", "version": "1", "row": {},
              "values": {}}
    letter = Writer(None, "en").write("statement", "en", values)
    heading = Heading(FROM, (ADDRESS,), f"<{MARK.decode()}@bank.example>", datetime.now(UTC),
                      more=(b"Auto-Submitted: auto-generated\r\n",))
    return compose(letter, heading, (Attachment("statement-bench.pdf", "application/pdf", document),), seed=b"bench")
