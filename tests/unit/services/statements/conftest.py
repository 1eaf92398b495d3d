"""A run in one process: the demo's bank with a crowd, a next hop whose answers a test writes, no crew but itself."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import pytest

from gateway.adapters.db.statements.store import statement_store
from gateway.app import Store, open_store
from gateway.app.statements.runs import Worker, lead, statements
from gateway.demo.bank import Bank
from gateway.ports.services.statements.rows import ItemRow, RunRow
from gateway.ports.services.statements.store import StatementStore
from gateway.services.statements.runs import Statements
from gateway.settings import Settings, load
from tests.support.bank import ScriptedHop
from tests.support.process import new_bank
from tests.support.statements import RunFiles, crowd, document, plain_rows, run_files

CLIENT = "core-banking"
CROWD = 8


class Inline:
    """A crew of one, which works in the leader's own thread."""

    def __init__(self, desk: "Desk", run: RunRow) -> None:
        self.desk, self.run = desk, run
        self.rounds = 0

    def tend(self) -> None:
        self.rounds += 1
        if self.rounds > self.desk.rounds_max:
            self.desk.over = True
            return
        worker = Worker(self.desk.settings, share=1)
        worker.gateway.use(replace(worker.gateway.context, outbound_hop=self.desk.hop, **self.desk.changes))
        self.desk.workers.append(worker)
        try:
            self.desk.prepare(worker)
            worker.work(self.run.id)
        finally:
            worker.close()

    def dismiss(self) -> None: ...


@dataclass
class Desk:
    bank: Bank
    settings: Settings
    store: Store
    runs: Statements
    book: StatementStore
    hop: ScriptedHop
    changes: dict[str, object] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    rounds_max: int = 3
    over: bool = False

    def prepare(self, worker: Worker) -> None:
        """A test puts what it likes here."""

    def files(self, rows: list[dict[str, str]] | None = None, **how: str) -> RunFiles:
        files = run_files(self.bank.home / "statements", rows or plain_rows(CROWD), **how)
        for i in range(10):
            if not (files.documents / f"{i}.pdf").exists():
                (files.documents / f"{i}.pdf").write_bytes(document(f"statement {i}"))
        return files

    def take(self, files: RunFiles) -> RunRow:
        return self.runs.create(CLIENT, files.file.read_text(), base=files.file.parent)

    def go(self, run: RunRow) -> RunRow:
        self.over = False
        return lead(self.settings, self.store, run.id, lambda row: Inline(self, row), ending=lambda: self.over,
                    gate=lambda *_: None)

    def send(self, files: RunFiles) -> RunRow:
        return self.go(self.take(files))

    def items(self, run: RunRow) -> list[ItemRow]:
        return list(self.book.results.items(run.id))

    def states(self, run: RunRow) -> list[str]:
        return [str(one.state) for one in self.items(run)]

    @property
    def served(self) -> list[str]:
        return sorted(one for to, _, _ in self.hop.taken for one in to)


@pytest.fixture
def desk(tmp_path) -> Iterator[Desk]:
    bank = new_bank(tmp_path / "bank")
    crowd(bank, CROWD)
    settings = load(bank.config)
    own = settings.statements.model_copy(update={"threads": 2, "processes": 1, "nice": 0})
    settings = settings.model_copy(update={"statements": own})
    store = open_store(settings)
    yield Desk(bank, settings, store, statements(settings, store), statement_store(store.database), ScriptedHop())
    store.close()
