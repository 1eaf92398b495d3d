"""A pre-flight of very many customers, by the command, over a store like a bank's. Truth: what was put into it.

20,000 customers; `make preflight` looks at a million, and says how long it took (at most a minute on two idle cores).
"""

import json
import os
import re
import resource
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gateway import app
from gateway.app.database import adopt
from gateway.app.statements import preflight
from gateway.app.statements.preflight import Plan
from gateway.clock import SystemClock
from gateway.demo.bank import Ports
from gateway.errors import GatewayError, Reason
from gateway.model.facts import Facts
from gateway.model.mail import Direction, Recipient
from gateway.pipeline.outbound.plan import plan
from gateway.services.statements.preflight import Slim
from gateway.services.statements.tally import Channel
from gateway.settings import Settings, load
from tests.support import crowd, pki
from tests.support.process import ROOT, demo_bank, free_ports
from tests.support.statements import document

COUNT = int(os.environ.get("SEALGATE_PREFLIGHT_ROWS", "20000"))
DOCUMENTS = int(os.environ.get("SEALGATE_PREFLIGHT_DOCUMENTS", "1000"))  # different ones, of about 30 KB
SECONDS_MAX = 60.0  # of the design, for a million on two idle cores; told, and held where the machine is ours alone
FROM = "statements@bank.example"


@dataclass(frozen=True)
class Big:
    """A bank, and the file of its run."""

    config: Path
    run: Path
    now: datetime
    settings: Settings


def sealgate(big: "Big", *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "gateway", "--config", big.config, "statements", *arguments], cwd=ROOT,
                          capture_output=True, text=True, timeout=1_800, check=False)


@pytest.fixture(scope="module")
def big(tmp_path_factory) -> Big:
    home = tmp_path_factory.mktemp("crowd") / "bank"
    bank = demo_bank(home, Ports.beginning(free_ports(1)[0]))
    settings = load(bank.config)
    now = SystemClock().now()
    for path in settings.database.parent.glob(f"{settings.database.name}*"):
        if path.is_file():
            path.unlink()
    crowd.fill(settings.database, pki.get_pki().intermediate, COUNT, now)
    adopt(settings)
    text = bank.config.read_text("utf-8")
    (home / "pki" / "crowd.pem").write_bytes(pki.get_pki().root_pem)
    (home / "pki" / "crowd-mail.pem").write_bytes(pki.pem(pki.get_pki().intermediate.der))
    text = re.sub(r"(?m)^  recipients: \[[^]]*\]", "  recipients: [pki/crowd.pem]", text)
    text = re.sub(r"intermediates: \[", "intermediates: [pki/crowd-mail.pem, ", text)
    bank.config.write_text(text, "utf-8")
    documents = home / "documents"
    documents.mkdir()
    whole = document()
    for number in range(DOCUMENTS):  # each with octets of its own: what follows the last %%EOF may be a comment
        (documents / f"{number}.pdf").write_bytes(whole + b"%% %d\n" % number)
    (documents / "broken.pdf").write_bytes(whole[:-40])
    with (home / "october.csv").open("w", encoding="utf-8") as file:
        file.writelines(crowd.rows(COUNT, DOCUMENTS))
    run = home / "october.yaml"
    run.write_text("version: 1\nname: October\nperiod: 2026-10\nsource: {csv: october.csv}\n"
                   "columns: {document: document}\ndocuments: {directory: documents, accessible: false}\n", "utf-8")
    return Big(bank.config, run, now, load(bank.config))


def test_every_mail_of_many_is_told_as_it_would_leave(big: Big, capsys) -> None:
    page = big.run.with_suffix(".html")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = sealgate(big, "check", big.run, "--json", "--html", page)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    channels, reasons = crowd.expected(COUNT)
    assert (told["rows"], told["mails"]) == (COUNT, COUNT)
    assert Counter({Channel(name): count for name, count in told["channels"].items() if count}) == channels
    assert {one["reason"]: one["mails"] for one in told["reasons"] if one["channel"] == "refused"} == {
        reason.value: count for reason, count in reasons.items()}
    assert told["certificates"]["end_before_the_run"] == len(range(crowd.ENDING, COUNT, crowd.EVERY))
    problems = {(one["row"], one["reason"]) for one in told["problems"] if not one["warning"]}
    assert problems >= {(number + 1, reason.value) for number, (_, reason) in crowd.TROUBLE.items() if reason}
    assert page.stat().st_mode & 0o777 == 0o600
    assert "The run may start." in page.read_text("utf-8")
    assert not re.search(r"DE0{6}", done.stdout + done.stderr + page.read_text("utf-8")), "an account"
    cpu_s = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    with capsys.disabled():
        sys.stdout.write(f"\n{COUNT} rows looked at in {told['took_s']} s; {cpu_s:.1f} s of CPU, start included\n")
    assert cpu_s < 2 * SECONDS_MAX * max(COUNT, 100_000) / 1_000_000 + 20, "counted in CPU: others may be at work, too"


def test_a_query_is_asked_and_what_it_gave_is_gone(big: Big) -> None:
    home = big.run.parent
    with closing(sqlite3.connect(home / "core.db")) as core:
        core.execute("CREATE TABLE statement (customer TEXT, account TEXT, file TEXT)")
        core.executemany("INSERT INTO statement VALUES (?, ?, ?)", [
            (crowd.name(number), f"DE{number:020d}", "7.pdf") for number in range(300, 340)])
        core.commit()
    url = home / "core.url"
    url.write_text(f"sqlite:///{home / 'core.db'}\n")
    url.chmod(0o600)
    run = big.run.with_name("query.yaml")
    run.write_text("version: 1\nname: October\nperiod: 2026-10\nrefused_percent_max: 0\n"
                   "source: {sql: {url_file: core.url, query: SELECT * FROM statement}}\n"
                   "columns: {document: file}\ndocuments: {directory: documents, accessible: false}\n", "utf-8")
    done = sealgate(big, "check", run, "--json")
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert (told["mails"], told["channels"]["sealed"], told["channels"]["refused"]) == (40, 39, 1)  # 333 is unknown
    assert big.settings.statements is not None
    assert not list(big.settings.statements.reports.glob("check-*"))


def test_the_quick_way_decides_as_the_way_of_a_mail(big: Big) -> None:
    """For some of each kind: the same rule, end and reason that a mail to this customer would meet."""
    numbers = [number for number in range(0, min(COUNT, 20_000), 37)
               if number % crowd.EVERY not in (333, 444, 555, 666, 888)] + [11, 222, 777, crowd.ENDING]
    gateway = app.Gateway(big.settings)
    until = big.now + timedelta(days=1)
    try:
        plan_ = Plan("core-banking", FROM, None, False, big.now, until)
        checker = preflight.Checker(big.settings, plan_, gateway.store, gateway.clock)
        quick = checker._decide({crowd.address(number): None for number in numbers})
        facts = Facts("core-banking", FROM, FROM, "", 150_000)
        for number in numbers:
            full = plan(gateway.context, facts, Recipient(crowd.address(number)), Direction.OUTBOUND)
            assert quick[crowd.address(number)].decision == full.decision, number
        assert checker._answer.quick > len(numbers) // 2
    finally:
        gateway.close()


def dies(rows: object) -> None:
    del rows
    os._exit(9)


def test_a_process_that_dies_ends_the_pre_flight_by_name(big: Big, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_check", dies)
    plan_ = Plan("core-banking", FROM, None, False, big.now, big.now)
    rows = (Slim(number, ("1",)) for number in range(20_000))
    with preflight.checking(big.settings, plan_) as tallies, pytest.raises(GatewayError) as caught:
        list(tallies(rows))
    assert (caught.value.reason, caught.value.retry) == (Reason.INTERNAL, True)


def test_a_run_with_too_much_that_cannot_go_does_not_start_and_its_pre_flight_is_kept(big: Big) -> None:
    strict = big.run.with_name("strict.yaml")
    strict.write_text(big.run.read_text("utf-8") + "refused_percent_max: 0.1\n", "utf-8")
    done = sealgate(big, "send", strict, "--json")
    assert "run.threshold" in done.stderr
    assert done.returncode == 69, done.stderr
    run = json.loads(done.stdout)
    assert (run["state"], run["reason"]) == ("stopped", "run.threshold")
    assert not any(run["items"].values())
    assert big.settings.statements is not None
    reports = big.settings.statements.reports
    kept = json.loads((reports / f"{run['id']}.preflight.json").read_text("utf-8"))
    assert (kept["may_start"], kept["mails"], kept["refused_percent_max"]) == (False, COUNT, 0.1)
    for path in (reports / f"{run['id']}.preflight.json", reports / f"{run['id']}.preflight.html"):
        assert path.stat().st_mode & 0o777 == 0o600
