"""One run of statements on two nodes that share a PostgreSQL: jobs hand its chunks out, and one node is killed amid it.

Starts: two `sealgate runs`, each in a process namespace of its own (as on two machines), a next hop for each, so
that one sees who sent what; a PostgreSQL server of its own.
Truth: what the next hops took, mail by mail, against what the database says; a mail that came twice must have been
counted as resent, with the same Message-ID. The tables of jobs are looked at as procrastinate has them.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.adapters.db.statements.store import statement_store
from gateway.adapters.run_jobs import schema
from gateway.app.statements.runs import statements
from gateway.app.store import open_store
from gateway.demo.bank import Bank
from gateway.ports.services.statements.rows import ItemState, RunState
from gateway.settings import load
from tests.support import postgres
from tests.support.load import Hop
from tests.support.nodes import moved, sealgate, section, small
from tests.support.peers import need
from tests.support.process import ROOT, free_ports, new_bank
from tests.support.smtp import until
from tests.support.statements import RUN, RunFiles, address, crowd, document, number, plain_rows, run_files

MAILS = 400
SHARED = 300  # of the run whose leader is killed
THREADS = 2
# A node counts as dead after 2 s of silence instead of 8, a worker of jobs after 6 s instead of 30.
SHORTENED = {
    "gateway.adapters.db.engine.heartbeat.BEAT_S": 0.5, "gateway.adapters.db.engine.heartbeat.COUNTED_MAX_S": 0.625,
    "gateway.adapters.db.engine.heartbeat.DEAD_S": 2.0, "gateway.adapters.run_jobs.BEAT_S": 1.0,
    "gateway.adapters.run_jobs.STALLED_S": 6.0, "gateway.adapters.run_jobs.POLL_S": 0.5,
    "gateway.app.statements.worker_pool.JOBS_LOOK_S": 0.5}


class Taker(Hop):
    """Takes all, slowly enough for two nodes; keeps of each mail whom it was for and its Message-ID.

    `busy`: recipients whose next mail it answers with 451.
    """

    def __init__(self, port: int, takes_s: float = 0.01) -> None:
        self.taken: list[tuple[str, str]] = []
        self.busy: set[str] = set()
        self.takes_s = takes_s
        super().__init__(("PIPELINING", "8BITMIME", "DSN"), port=port, dot=self._keep)

    def _keep(self, content: bytes) -> str:
        head = content[: content.index(b"\r\n\r\n")].decode("latin-1")
        self.mails.clear()
        self.lines.clear()
        to, message_id = (re.search(rf"(?im)^{name}:\s*(\S+)", head).group(1) for name in ("to", "message-id"))
        if to in self.busy:
            self.busy.remove(to)
            return "451 4.3.0 later"
        time.sleep(self.takes_s)
        self.taken.append((to, message_id))
        return f"250 2.0.0 Ok: queued as Q{len(self.taken)}"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A server of its own with the demo bank's state and the crowd in the database `bank`."""
    postgres.need_postgres()
    with postgres.own(postgres.scratch("postgres-runs")) as server:
        server.sql("CREATE DATABASE bank")
        where = server.settings("bank")
        home = tmp_path_factory.mktemp("moved")
        moved(home / "bank", where)
        crowd(new_bank(home / "filled", change=lambda text: text + section(where)), MAILS)
        yield server


@pytest.fixture
def where(template):
    name = f"runs{time.monotonic_ns()}"
    template.sql(f"CREATE DATABASE {name} TEMPLATE bank")
    return template.settings(name)


@pytest.fixture
def banks(where, tmp_path):
    """Two nodes: the same keys, rules and database; documents and source lie where both see them.

    Runs stand back behind all else on the machine (`nice`). Here they do not, so that the rest of it is not measured.
    """
    def change(text: str) -> str:
        changed = re.sub(r"(?m)^(statements: \{)", rf"\1processes: 1, threads: {THREADS}, nice: 0, ", small(text))
        assert changed != small(text)
        return changed + section(where)

    first, second = (new_bank(tmp_path / name, hop=port, change=change)
                     for name, port in zip(("first", "second"), free_ports(2), strict=True))
    for directory in ("keys", "pki", "customers", "partners"):
        shutil.rmtree(second.home / directory)
        shutil.copytree(first.home / directory, second.home / directory)
    return first, second


@contextmanager
def working(bank: Bank) -> Iterator["subprocess.Popen[bytes]"]:
    """`sealgate runs` as its supervisor starts it; ended by SIGTERM if it still lives."""
    apart = ["--pid", "--fork", "--kill-child", "--mount-proc"]
    apart = [] if os.geteuid() else [need("unshare", "util-linux"), *apart]
    with (bank.home / "runs.log").open("ab") as log:
        process = subprocess.Popen(
            [*apart, sys.executable, "-m", "gateway", "--config", str(bank.config), "runs"], cwd=ROOT,
            stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": f"{ROOT / 'tests/support/shortened'}:{ROOT}",
                                         "SHORTENED_CONSTANTS": json.dumps(SHORTENED)})
    try:
        yield process
    finally:
        kill(process)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """As if its power went: with everything it has started."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
        process.wait(30)


def end(process: "subprocess.Popen[bytes]") -> None:
    """As its supervisor ends it: it has to end well."""
    inner = [int(word) for word in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    os.kill(process.pid if os.geteuid() else inner[0], signal.SIGTERM)
    assert process.wait(60) == 0


class Desk:
    """What is asked of runs, over the first node's settings."""

    def __init__(self, bank: Bank) -> None:
        self.bank, settings = bank, load(bank.config)
        self._opened = open_store(settings)
        self.runs, self.book = statements(settings, self._opened), statement_store(self._opened.database)

    def files(self, rows: int, period: str = "2026-10") -> RunFiles:
        files = run_files(self.bank.home / "statements", plain_rows(rows), text=RUN.replace("2026-10", period),
                          name=f"run-{period}")
        for i in range(10):
            (files.documents / f"{i}.pdf").write_bytes(document())
        return files

    def take(self, rows: int, period: str = "2026-10") -> str:
        files = self.files(rows, period)
        return self.runs.create("core-banking", files.file.read_text(), base=files.file.parent).id

    def ended(self, run: str, state: RunState = RunState.DONE) -> bool:
        found = self.book.runs.run(run)
        return found.ended_at is not None and found.state is state

    def close(self) -> None:
        self._opened.close()


@pytest.fixture
def desk(banks):
    opened = Desk(banks[0])
    yield opened
    opened.close()


def jobs(server: postgres.Postgres, where) -> list[tuple[object, ...]]:
    """All that is in the tables of jobs, whatever becomes of them."""
    return server.sql(f"SELECT queue_name, args::text, status::text FROM {schema()}.procrastinate_jobs ORDER BY id",
                      where.name)


def leads(bank: Bank) -> bool:
    """Whether a process of this node has led a run."""
    return '"event": "run.started"' in (bank.home / "runs.log").read_text()


def test_nodes_share_a_run_and_its_leader_is_killed_amid_it(template, where, banks, desk) -> None:
    """The other node ends its claims, sends what is left and finishes the run."""
    with Taker(banks[0].ports.sink, 0.05) as one, Taker(banks[1].ports.sink, 0.05) as two:
        with working(banks[0]) as first, working(banks[1]) as second:
            run = desk.take(SHARED)
            until(lambda: len(one.taken) > 10 and len(two.taken) > 10, 90)
            seen = jobs(template, where)
            assert leads(banks[0]) != leads(banks[1])
            dead, killed, alive = (one, first, two) if leads(banks[0]) else (two, second, one)
            kill(killed)
            time.sleep(1.0)  # its namespace ends with it, and what the next hop had read by then is taken
            before, alive.takes_s = len(dead.taken), 0.0
            assert not desk.ended(run)
            until(lambda: desk.ended(run), 120)
        assert len(dead.taken) == before
        taken = one.taken + two.taken
    assert seen
    assert all(queue == run and set(re.findall(r'"(\w+)":', text)) == {"run", "number"} for queue, text, _ in seen)
    served = Counter(to for to, _ in taken)
    assert set(served) == {address(i) for i in range(SHARED)}
    assert len(set(taken)) == SHARED  # each customer has one Message-ID
    counts = desk.book.results.counts(run)
    assert counts.states == {ItemState.SENT: SHARED}
    assert sum(served.values()) - SHARED <= counts.resent <= THREADS
    assert {one.customer for one in desk.book.results.items(run)} == {number(i) for i in range(SHARED)}
    assert jobs(template, where) == []


def test_what_waits_has_a_job_for_later_and_a_pause_leaves_none(template, where, banks, desk) -> None:
    """The next hop is busy for a while: the mails that were refused go again, and by then the run was paused once.

    The half minutes until they are due are not waited for: one chunk is made due at once, the others much later.
    """
    with Taker(banks[0].ports.sink) as one, working(banks[0]) as process:
        one.busy = {address(i) for i in (38, 48, 58)}  # each at the end of a chunk of ten
        run = desk.take(60)
        ended = (ItemState.SENT, ItemState.WAITING)
        until(lambda: sum(desk.book.results.counts(run).states.get(state, 0) for state in ended) == 60, 90)
        later = (f"SELECT count(*) FROM {schema()}.procrastinate_jobs WHERE status = 'todo' AND queue_name = '{run}' "
                 "AND scheduled_at > now() + interval '5 seconds'")
        until(lambda: template.sql(later, where.name) != [(0,)], 10)
        desk.runs.pause(run)
        until(lambda: jobs(template, where) == [], 30)
        assert desk.book.results.counts(run).states[ItemState.WAITING] == 3
        template.sql("UPDATE statement_chunk SET due_at = (extract(epoch FROM now()) * 1e6)::bigint "
                     f"+ CASE number WHEN 3 THEN 0 ELSE 600000000 END WHERE run = '{run}' AND due_at IS NOT NULL",
                     where.name)
        desk.runs.resume(run)
        until(lambda: template.sql(later, where.name) == [(2,)], 90)  # out of what the chunks say, for no job was left
        until(lambda: desk.book.results.counts(run).states[ItemState.SENT] == 58, 60)
        assert not desk.ended(run)
        template.sql(f"SET search_path TO {schema()}; UPDATE procrastinate_jobs SET scheduled_at = now()", where.name)
        until(lambda: desk.ended(run), 60)
        assert sorted(to for to, _ in one.taken) == sorted(address(i) for i in range(60))
        assert jobs(template, where) == []
        stopped = desk.take(150, "2026-11")
        until(lambda: len(one.taken) > 70, 60)
        desk.runs.cancel(stopped)
        until(lambda: desk.ended(stopped, RunState.CANCELLED), 30)
        until(lambda: jobs(template, where) == [], 30)
        end(process)
    assert "surprised" not in (banks[0].home / "runs.log").read_text()


def test_the_database_goes_away_amid_a_run_and_a_node_is_ended(template, where, banks, desk) -> None:
    """Who had a chunk when the database went gives it back when it is there again; the other node needs nobody else."""
    with Taker(banks[0].ports.sink) as one, Taker(banks[1].ports.sink) as two:
        with working(banks[0]), working(banks[1]) as second:
            run = desk.take(MAILS)
            until(lambda: len(one.taken) > 20 and len(two.taken) > 20, 90)
            template.stop("immediate")
            time.sleep(2.0)
            template.start()
            before = len(two.taken)
            until(lambda: len(two.taken) > before + 5, 90)
            end(second)
            until(lambda: desk.ended(run), 240)
        taken = one.taken + two.taken
    assert {to for to, _ in taken} == {address(i) for i in range(MAILS)}
    assert len(set(taken)) == MAILS
    counts = desk.book.results.counts(run)
    assert counts.states == {ItemState.SENT: MAILS}
    assert len(taken) - MAILS <= counts.resent <= 2 * THREADS
    assert jobs(template, where) == []
    assert "surprised" not in (banks[1].home / "runs.log").read_text()


def test_a_command_leads_a_run_while_a_node_helps(template, where, banks, desk) -> None:
    """`statements send` needs no process `runs`; those of the other node take jobs of its run all the same."""
    made = f"SELECT to_regclass('{schema()}.procrastinate_jobs') IS NOT NULL"
    with Taker(banks[0].ports.sink) as one, Taker(banks[1].ports.sink) as two, working(banks[1]):
        files = desk.files(MAILS)
        until(lambda: template.sql(made, where.name) == [(True,)], 60)  # `runs` has started
        sent = sealgate(banks[0], "statements", "send", files.file, "--json")
    assert json.loads(sent)["items"]["sent"] == MAILS
    assert sorted(to for to, _ in one.taken + two.taken) == sorted(address(i) for i in range(MAILS))
    assert len(two.taken) > 0
    assert jobs(template, where) == []
