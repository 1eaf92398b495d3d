"""Planted account numbers: a run of statements leaves none of them anywhere but in the customers' sealed mail.

`sealgate run` at log level debug, and a run that it works on: good rows, joint holders, a customer without a
certificate, one whom nobody knows, a missing PDF, a PDF that is none, rows that are none, a second run of the same
rows, a recall.
Then the accounts and the words of the source's other columns are looked for: in the log of all processes, in what the
commands print, in pre-flight and report (HTML, CSV, JSON), in the database with its write-ahead log, in every file but
the source itself, in the memory of every process that lives.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pikepdf
import pytest

from gateway.demo import openssl
from tests.support import memory
from tests.support.command_server import prefix
from tests.support.planted import Planted, grouped, needs_memory, until
from tests.support.process import ROOT, new_bank, relay
from tests.support.smtp import Hop

ACCOUNTS = {who: f"DE2137040044{number:010d}" for who, number in (
    ("anna", 7310552901), ("joint", 7310552902), ("dora", 7310552903), ("nobody", 7310552904), ("missing", 7310552905),
    ("broken", 7310552906), ("bad", 7310552907))}
BALANCE, NOTE = "Saldo-48151623,42-Mandarine", "Verwendungszweck Blutorange 77"
WORDS = (*ACCOUNTS.values(), *map(grouped, ACCOUNTS.values()), BALANCE, NOTE)
SOURCES = ("source", "pdf")  # folders of the bank's own
RUN = """version: 1
name: October
period: {period}
source: {{csv: rows.csv}}
columns: {{document: document, holders: holders}}
documents: {{directory: ../pdf, accessible: false}}
refused_percent_max: 100
"""


class Scene(Planted):
    """With what left."""

    hop: Hop

    def command(self, *words: str | Path) -> str:
        """`sealgate …`; what it printed, on both ways."""
        command = [*prefix(), "--config", str(self.relay.bank.config), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
        self.told.append(done.stdout + done.stderr)
        return done.stdout

    def run_of(self, file: Path, *, background: bool) -> str:
        """The run's id, once it has ended."""
        before = set(self.runs())
        self.command("statements", "send", file, *(["--background"] if background else []))
        (run,) = set(self.runs()) - before
        if background:
            until(lambda: f'"run": "{run}", "state": "done"' in self.relay.told, self.relay)
        assert '"done"' in self.command("statements", "show", run, "--json")
        return run

    def runs(self) -> list[str]:
        return [one["id"] for one in json.loads(self.command("statements", "list", "--json"))]


def prepare(home: Path) -> Path:
    """The source and its documents; the run's file."""
    source, pdf = home / "source", home / "pdf"
    source.mkdir()
    pdf.mkdir()
    with pikepdf.new() as made:
        made.add_blank_page()
        made.save(pdf / "good.pdf")
    (pdf / "broken.pdf").write_bytes(b"%PDF-1.7 nothing of the kind")
    rows = ["customer,account,document,holders,balance,note",
            f"10001,{ACCOUNTS['anna']},good.pdf,,{BALANCE.replace(',', '.')},{NOTE}",
            f"10002,{ACCOUNTS['joint']},good.pdf,10001,\"{BALANCE}\",{NOTE}",
            f"10003,{ACCOUNTS['dora']},good.pdf,,\"{BALANCE}\",{NOTE}",
            f"99999,{ACCOUNTS['nobody']},good.pdf,,\"{BALANCE}\",{NOTE}",
            f"10001,{ACCOUNTS['missing']},none.pdf,,\"{BALANCE}\",{NOTE}",
            f"10001,{ACCOUNTS['broken']},broken.pdf,,\"{BALANCE}\",{NOTE}",
            f"10001,{ACCOUNTS['bad']},good.pdf,,\"{BALANCE}\",{NOTE},one,cell,more",
            f",{ACCOUNTS['bad']}x,,,{NOTE}"]
    (source / "rows.csv").write_text("\n".join(rows) + "\n", "utf-8")
    run = source / "run.yaml"
    run.write_text(RUN.format(period="2026-10"))
    return run


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with Hop() as hop:
        bank = new_bank(tmp_path_factory.mktemp("accounts") / "bank", hop=hop.port, api=True,
                        change=lambda text: "log_level: debug\n" + re.sub(
                            r"refused_percent_max: [0-9.]+", "refused_percent_max: 100", text))
        file = prepare(bank.home)
        with relay(bank) as running:
            scene = Scene(running, list(WORDS))
            scene.hop = hop
            reports = bank.home / "told"
            reports.mkdir()
            scene.command("statements", "check", file, "--html", reports / "check.html")
            scene.command("statements", "check", file, "--json")
            until(lambda: "runs" in " ".join(Path(f"/proc/{pid}/cmdline").read_text()
                                             for pid in memory.processes(running.process.pid)), running)
            run = scene.run_of(file, background=True)
            scene.command("statements", "report", run, "--html", reports / "report.html")
            for form in ("--csv", "--json"):
                scene.command("statements", "report", run, form)
            scene.run_of(file, background=False)  # nothing leaves twice
            scene.command("statements", "recall", run, "--yes")
            yield scene


def test_the_statements_were_really_sent(scene: Scene) -> None:
    """Else the rest would prove nothing: three mails, and the recall to the same three."""
    assert len(scene.hop.mails) == 6
    told = "".join(scene.told)
    for word in ("customer.unknown", "pdf.missing", "pdf.unreadable"):
        assert word in told, word
    opened = [openssl.verify(openssl.decrypt(mail, scene.relay.bank.people[who]), scene.relay.bank.root)
              for mail in scene.hop.mails[:3] for who in ("anna", "ben") if _is_for(mail, who)]
    assert any(ACCOUNTS["anna"][-4:].encode() in mail for mail in opened)


def _is_for(mail: bytes, who: str) -> bool:
    return f"To: {who}@".encode() in mail


def test_no_line_of_the_log(scene: Scene) -> None:
    assert scene.in_log() == []


def test_no_word_of_a_command(scene: Scene) -> None:
    assert scene.in_answers() == []


def test_no_file_no_report_and_no_database(scene: Scene) -> None:
    assert scene.in_files(*SOURCES) == {}
    assert any("check.html" in str(path) for path in (scene.relay.bank.home / "told").iterdir())
    assert any("report.html" in str(path) for path in (scene.relay.bank.home / "told").iterdir())


def test_the_search_finds_them_in_the_source(scene: Scene) -> None:
    assert list(scene.in_files("pdf")) == ["source/rows.csv"]


def test_nothing_leaves_in_clear(scene: Scene) -> None:
    for mail in scene.hop.mails:
        assert [secret for secret in scene.secrets if any(form in mail for form in memory.forms(secret))] == []


@needs_memory
def test_no_memory_of_any_process_that_lives(scene: Scene) -> None:
    assert scene.in_memory() == {}
