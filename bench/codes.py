"""Goal 7, the second half: how long a code takes, on an idle machine and while a run of statements goes on beside it.

`sealgate run` with the HTTP interface; codes are ordered at a steady pace by a process of its own, and the next hop
takes everything at once, so that what is measured is our own time (and that process's). The 99th percentile counts:
somebody waits for each code. The run is a command beside it, on all cores, as nice as its settings say.
"""

import json
import math
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.relay import bank_of, free_port, start
from bench.report import Progress, Report, Row
from bench.statements import SIZES, Statements

IDLE_MS, TIMES_IDLE = 50.0, 5.0
PER_SECOND = 20
NUMBER = {True: 200, False: 600}  # short, long; of 200 the third slowest, of 600 the seventh
STATEMENTS = {True: 10_000, False: 30_000}  # so many that the run outlives the codes
LIMITS = "per_customer_per_hour_max: 0, per_client_per_minute_max: 0, "


def steps() -> int:
    """How many ticks `goals` takes."""
    return 2


def goals(report: Report, progress: Progress, *, short: bool) -> None:
    """Adds the rows."""
    progress.stage("starting the interface that codes are ordered at")
    with ExitStack() as ends, tempfile.TemporaryDirectory(prefix="sealgate-bench-codes-") as folder:
        sink = free_port()
        _process(ends, [sys.executable, "-m", "bench.wire", "sink", str(sink)])
        bank = bank_of(Path(folder) / "bank", sink)
        bank.config.write_text(bank.config.read_text().replace("codes: {", "codes: {" + LIMITS))
        relay = start("codes", [sys.executable, "-m", "gateway", "--config", str(bank.config), "run"], bank.ports.api,
                      Path(folder) / "run.log")
        ends.callback(_ended, relay.process)
        ordering = _process(ends, [sys.executable, "-m", "bench.ordering", str(bank.ports.api),
                                   str(bank.home / "clients" / "online-banking.token"), "10002"])
        _ordered(ordering, 50)  # warm
        progress.stage("codes, idle")
        idle = percentile(_ordered(ordering, NUMBER[short]), 0.99)
        progress.tick()
        progress.stage("codes, while statements are sent")
        runs = Statements(bank)
        runs.prepare(SIZES["100K"][0])
        sending = _process(ends, runs.command(STATEMENTS[short]))
        _busy(sending)
        beside = percentile(_ordered(ordering, NUMBER[short]), 0.99)
        progress.tick()
        if sending.poll() is not None:
            report.notes.append("the run of statements ended before the codes did: their row is too good")
    report.rows.append(Row("7", "a code, 99th percentile, idle", "50 ms", idle, IDLE_MS, "ms", idle / IDLE_MS, 1.0,
                           at_most=True))
    report.rows.append(Row("7", "a code, 99th percentile, in a run", "idle", beside, idle, "ms", beside / idle,
                           TIMES_IDLE, at_most=True))


def percentile(values: list[float], part: float) -> float:
    """Of sorted values the one below which `part` of them lie (nearest rank)."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]


def _process(ends: ExitStack, command: list[str]) -> "subprocess.Popen[str]":
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               text=True)
    ends.callback(_ended, process)
    return process


def _ended(process: "subprocess.Popen[str] | subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _ordered(ordering: "subprocess.Popen[str]", count: int) -> list[float]:
    assert ordering.stdin is not None
    assert ordering.stdout is not None
    ordering.stdin.write(f"{count} {PER_SECOND}\n")
    ordering.stdin.flush()
    line = ordering.stdout.readline()
    if not line:
        raise RuntimeError("ordering codes failed; it wrote nothing more")
    return [float(one) for one in json.loads(line)]


def _busy(sending: "subprocess.Popen[str]") -> None:
    """Until the run has loaded and sends."""
    time.sleep(8)
    if sending.poll() is not None:
        raise RuntimeError(f"the run ended with {sending.returncode} before codes were ordered")


if __name__ == "__main__":
    from bench import contest

    whole = Report(contest.machine())
    goals(whole, Progress(steps()), short="--short" in sys.argv)
    print(whole.as_text())
