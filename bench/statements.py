"""Goal 7, the first half: a run of statements against the relay, which is sent the very same mails.

Each statement has a finished PDF (rendering is another row). The relay is `sealgate run` with two workers, as a run has
two processes; source and sink are processes of their own. A run is a command, and what it costs to start has nothing to
do with how many mails it sends, so two runs of different length are measured, and the difference is what counts. CPU
seconds are those of the command and all its workers; the relay's those of its supervisor and workers.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pikepdf

from bench.relay import CONNECTIONS, Relay, Source, bank_of, free_port, smtp, start
from bench.report import Progress, Report, Row
from bench.wire import MARK
from gateway.demo.bank import Bank
from gateway.letters.compose import Attachment, Heading, compose
from gateway.letters.write import Writer

# Octets of the PDF, and how many statements a long and a short run have.
SIZES = {"5K": (1 << 10, 1200, 200), "100K": (70 << 10, 500, 100), "1M": (760 << 10, 90, 30)}
GOAL, WORKERS = 1.2, 2
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
        """CPU seconds and wall seconds of a run of so many."""
        command = self.command(count)
        before, began = _children_s(), time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the run ended with {done.returncode}: {done.stderr[-2000:]}{done.stdout[-500:]}")
        return _children_s() - before, time.perf_counter() - began


def _children_s() -> float:
    """CPU seconds of all that were started and have ended; the bench's other processes go on meanwhile."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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
            runs = Statements(bank_of(Path(folder) / "runs", sink))
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
    octets, long, brief = SIZES[size]
    if short:
        long = brief + (long - brief) // 2
    file = folder / f"statement-{size}"
    file.write_bytes(smtp(mail_of(runs.prepare(octets)), FROM, ADDRESS))
    source.send(relay, file, CONNECTIONS, PEER)  # warm
    runs.send(brief)
    samples: dict[str, list[tuple[float, float]]] = {"run": [], "relay": []}
    progress.stage(f"a run of statements and the relay, {size}")
    for _ in range(_ROUNDS[short]):
        less, more = runs.send(brief), runs.send(long)
        cpu_s, wall_s = (max(after - before, 0.01) for before, after in zip(less, more, strict=True))
        samples["run"].append(((long - brief) / cpu_s, (long - brief) / wall_s))
        progress.tick()
        samples["relay"].append(source.send(relay, file, long - brief, PEER))
        progress.tick()
    found = {name: [statistics.median(values) for values in zip(*turns, strict=True)]
             for name, turns in samples.items()}
    for which, unit in enumerate(("mails/CPUs", "mails/s")):
        report.rows.append(Row("7", f"a run of statements, {size}", "the relay, same mails", found["run"][which],
                               found["relay"][which], unit, found["run"][which] / found["relay"][which], GOAL))


def mail_of(document: bytes) -> bytes:
    """As a run writes it (`gateway.services.statements.mail`)."""
    values = {"name": "Ben", "account": "••• 0042", "period": "bench", "run": "Bench", "version": "1", "row": {},
              "values": {}}
    letter = Writer(None, "en").write("statement", "en", values)
    heading = Heading(FROM, (ADDRESS,), f"<{MARK.decode()}@bank.example>", datetime.now(UTC),
                      more=(b"Auto-Submitted: auto-generated\r\n",))
    return compose(letter, heading, (Attachment("statement-bench.pdf", "application/pdf", document),), seed=b"bench")
