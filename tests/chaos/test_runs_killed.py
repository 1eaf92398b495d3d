"""kill -9 of a whole run, again and again: every good customer has exactly one statement, every bad one is named.

Truth: what the next hop took, mail by mail, against what the database says; a mail that came twice must have been
counted as resent, with the same Message-ID. The long form (20,000 mails, five times) is `make runs`.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from gateway.adapters.db.statements.store import statement_store
from gateway.ports.services.statements.rows import ItemState
from tests.support.databases import open_database
from tests.support.load import Hop
from tests.support.process import free_ports, new_bank
from tests.support.statements import address, crowd, document, number, plain_rows, run_files

ROOT = Path(__file__).parents[2]
MAILS = int(os.environ.get("RUN_MAILS", "300"))
KILLS = int(os.environ.get("RUN_KILLS", "3"))
BROKEN_EVERY = 100  # 1 % of the rows cannot go, each tenth of them in another way


class Taker(Hop):
    """Takes all; keeps of each mail only whom it was for and its Message-ID, in the order of their dots."""

    def __init__(self, port: int) -> None:
        self.taken: list[tuple[str, str]] = []
        super().__init__(("PIPELINING", "8BITMIME", "DSN"), port=port, dot=self._keep, RCPT=self._rcpt)

    def _rcpt(self, line: bytes) -> None:
        del line

    def _keep(self, content: bytes) -> str:
        head = content[: content.index(b"\r\n\r\n")].decode("latin-1")
        message_id = re.search(r"(?im)^message-id:\s*(\S+)", head)
        to = re.search(r"(?im)^to:\s*(\S+)", head)
        self.taken.append((to.group(1) if to else "", message_id.group(1) if message_id else ""))
        self.mails.clear()
        self.lines.clear()
        return f"250 2.0.0 Ok: queued as Q{len(self.taken)}"


def broken(index: int, row: dict[str, str]) -> dict[str, str]:
    """What is wrong with every hundredth row."""
    match index // BROKEN_EVERY % 5:
        case 0:
            return {**row, "customer": f"nobody{index}"}
        case 1:
            return {**row, "file": "missing.pdf"}
        case 2:
            return {**row, "file": "torn.pdf"}
        case 3:
            return {**row, "account": ""}
        case _:
            return {**row, "file": "../escape.pdf"}


def command(bank, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "gateway", "--config", str(bank.config), "statements", *arguments]


def kill(running: subprocess.Popen[bytes]) -> None:
    """The whole run at once: its leader and its processes are one group."""
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()


@pytest.fixture
def bank(tmp_path):
    [port] = free_ports(1)
    bank = new_bank(tmp_path / "bank", hop=port, change=two_by_two)
    crowd(bank, MAILS)
    return bank


def two_by_two(text: str) -> str:
    """Two processes of two threads, whatever the machine has."""
    changed = re.sub(r"(?m)^(statements: \{)", r"\1processes: 2, threads: 2, ", text)
    assert changed != text
    return changed


def store_of(bank):
    database = open_database(bank.home / "sealgate.db")
    return database, statement_store(database)


@pytest.mark.long
def test_a_run_that_is_killed_again_and_again_serves_everybody_once(bank) -> None:
    rows = [broken(i, row) if i % BROKEN_EVERY == 0 else row for i, row in enumerate(plain_rows(MAILS))]
    files = run_files(bank.home / "statements", rows)
    for i in range(10):
        (files.documents / f"{i}.pdf").write_bytes(document())
    (files.documents / "torn.pdf").write_bytes(document()[:300])
    (files.documents.parent / "escape.pdf").write_bytes(document())
    bad = {i for i in range(MAILS) if i % BROKEN_EVERY == 0}
    database, store = store_of(bank)
    with Taker(bank.ports.sink) as taker:
        running = subprocess.Popen(command(bank, "send", str(files.file)), cwd=ROOT, start_new_session=True,
                                   stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for part in range(KILLS):
            wanted = (part + 1) * MAILS // (KILLS + 2)
            deadline = time.monotonic() + 300
            while len(taker.taken) < wanted and running.poll() is None:
                assert time.monotonic() < deadline, f"only {len(taker.taken)} of {wanted} mails"
                time.sleep(0.005)
            kill(running)
            [run] = store.runs.runs()
            running = subprocess.Popen(command(bank, "resume", run.id), cwd=ROOT, start_new_session=True,
                                       stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        assert running.wait(600) == 1  # some were refused
        taken = list(taker.taken)
    items = list(store.results.items(run.id))
    counts = store.results.counts(run.id)
    database.close()
    served = Counter(to for to, _ in taken)
    assert set(served) == {address(i) for i in range(MAILS) if i not in bad}
    assert {one.customer for one in items if one.state is ItemState.SENT} == {
        number(i) for i in range(MAILS) if i not in bad}
    refused = {one.row: one for one in items if one.state is ItemState.REFUSED}
    assert set(refused) == {i + 1 for i in bad}
    assert all(one.reason for one in refused.values())
    assert counts.open == 0
    # Nobody knows of at most one mail a thread whether it had left: 2 processes of 2 threads.
    doubled = sum(number_ - 1 for number_ in served.values())
    assert doubled <= counts.resent <= KILLS * 4
    by_customer: dict[str, set[str]] = {}
    for to, message_id in taken:
        by_customer.setdefault(to, set()).add(message_id)
    assert all(len(ids) == 1 for ids in by_customer.values())


def test_a_second_run_of_the_same_period_sends_nothing(bank) -> None:
    files = run_files(bank.home / "statements", plain_rows(5, files=1))
    (files.documents / "0.pdf").write_bytes(document())
    with Taker(bank.ports.sink) as taker:
        for _ in range(2):
            done = subprocess.run(command(bank, "send", str(files.file), "--json"), cwd=ROOT, capture_output=True,
                                  check=False)
            assert done.returncode == 0, done.stderr
        assert len(taker.taken) == 5
    assert b'"repeated": 5' in done.stdout
