"""What a code and a statement cost, counted as mails are: private-key operations, commits, statements of SQL."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway.adapters.db.requests import DbRequests
from gateway.adapters.db.statements.store import statement_store
from gateway.app import open_store
from gateway.app.codes.service import load_codes
from gateway.app.statements.runs import Worker, lead, statements
from gateway.ports.services.requests import Answered
from gateway.services.codes.codes import Codes
from gateway.services.codes.order import Order
from gateway.services.codes.transaction import Money, Payee, Payment
from gateway.settings import Settings, load
from tests.counted.test_counted import OTP_KEY, TSA_KEY, Counted, Counts, bank, counting
from tests.support.bank import ScriptedHop
from tests.support.process import new_bank
from tests.support.statements import crowd, document, plain_rows, run_files

PAID = Payment(Money.of("1234.50", "EUR"), Payee.of("Stadtwerke Musterstadt", "DE89370400440532013000"))
CLIENT, STATEMENTS_KEY = "online-banking", ("sign", "statements")


@dataclass
class Desk:
    counted: Counted
    codes: Codes

    @property
    def counts(self) -> Counts:
        return self.counted.counts

    def order(self, purpose: str) -> str:
        self.counts.none()
        return self.codes.issue(CLIENT, Order("10001", purpose, PAID)).id


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    def unlimited(settings: Settings) -> Settings:
        assert settings.codes is not None
        return settings.model_copy(update={"codes": settings.codes.model_copy(update={
            "per_customer_per_hour_max": 0, "per_client_per_minute_max": 0})})

    with bank(tmp_path / "home", monkeypatch, unlimited) as counted:
        gateway = counted.context.gateway
        made = Desk(counted, load_codes(gateway._loaded.settings, gateway, lambda _events: None))
        made.order("warm")
        yield made


@pytest.mark.parametrize("number", range(3))
def test_a_code_costs_a_signature_a_stamp_and_two_commits(desk: Desk, number: int) -> None:
    """The row before the mail leaves, the evidence after: a code that was mailed is known whatever happens then."""
    desk.order(f"payment-{number}")
    assert desk.counts.keys == {OTP_KEY: 1, TSA_KEY: 1}
    assert (desk.counts.commits, desk.counts.loads, desk.counts.paths) == (2, 0, 0)
    assert desk.counts.selects <= 8


def test_a_code_with_an_idempotency_key_costs_no_commit_more(desk: Desk) -> None:
    """The claim on the key shares the code's commit, the evidence that of the answer (four before)."""
    gateway = desk.counted.context.gateway
    book = DbRequests(gateway.store.database, gateway.clock, gateway.store.evidence)
    desk.counts.none()
    claim = book.begin("key", "digest")
    assert isinstance(claim, str)
    desk.codes.issue(CLIENT, Order("10001", "keyed", PAID))
    book.answer(claim, Answered(201, "{}"))
    assert desk.counts.commits == 2
    assert book.begin("key", "digest") == Answered(201, "{}")


def test_a_try_costs_one_commit_and_no_key(desk: Desk) -> None:
    code_id = desk.order("payment")
    for _ in range(3):
        desk.counts.none()
        assert not desk.codes.verify(CLIENT, code_id, "000000000", PAID).valid
        assert (desk.counts.commits, desk.counts.keys, desk.counts.look_ups) == (1, {}, [])


def test_a_code_sent_again_costs_what_a_code_costs(desk: Desk) -> None:
    code_id = desk.order("payment")
    desk.counts.none()
    desk.codes.resend(CLIENT, code_id, PAID)
    assert (desk.counts.commits, desk.counts.keys) == (2, {OTP_KEY: 1, TSA_KEY: 1})


def test_the_cost_of_a_code_does_not_grow_with_those_there_were(desk: Desk) -> None:
    def statements() -> int:
        """Of the cheapest of three: verdicts are judged anew now and then."""
        return min(len(desk.counts.statements) for _ in range(3) if desk.order("payment"))

    before = statements()
    for number in range(200):
        desk.codes.issue(CLIENT, Order("10002", f"many-{number}", None))
    assert statements() == before


class Alone:
    """A crew of one worker in the leader's thread."""

    def __init__(self, work: Worker, run_id: str) -> None:
        self.worker, self.run = work, run_id

    def tend(self) -> None:
        self.worker.work(self.run)

    def dismiss(self) -> None: ...


def sent(tmp_path: Path, number: int) -> Counts:
    """What the worker of a run of so many costs, planning apart."""
    with pytest.MonkeyPatch.context() as patch:
        counts = Counts()
        counting(patch, counts)
        patch.setattr("gateway.app.TRUST_LOOK_S", 1e9)
        return _sent(tmp_path, counts, number)


def _sent(tmp_path: Path, counts: Counts, number: int) -> Counts:
    bank_ = new_bank(tmp_path / f"run-{number}")
    crowd(bank_, number)
    settings = load(bank_.config)
    assert settings.statements is not None
    settings = settings.model_copy(update={
        "statements": settings.statements.model_copy(update={"threads": 1, "processes": 1, "nice": 0})})
    files = run_files(bank_.home / "statements", plain_rows(number))
    for one in range(10):
        (files.documents / f"{one}.pdf").write_bytes(document(f"statement {one}"))
    store = open_store(settings)
    try:
        runs = statements(settings, store)
        run = runs.create("core-banking", files.file.read_text(), base=files.file.parent)
        worker = Worker(settings, share=1)
        worker.gateway.use(replace(worker.gateway.context, outbound_hop=ScriptedHop()))
        def worker_pool(_row: object) -> Alone:
            counts.none()  # planned
            return Alone(worker, run.id)

        ended = lead(settings, store, run.id, worker_pool, ending=lambda: False, gate=lambda *_: None)
        worker.close()
        states: Mapping[str, int] = statement_store(store.database).results.counts(ended.id).states
        assert states == {"sent": number}
        return counts
    finally:
        store.close()


def test_a_statement_costs_a_signature_a_stamp_and_a_commit(tmp_path: Path) -> None:
    """That it leaves, with what became of the one before and its evidence. All else is three for each chunk of a run.

    A chunk is claimed and given back, and what became of its last mail is noted.
    """
    few, more = (sent(tmp_path, number) for number in (10, 30))
    assert more.keys == {STATEMENTS_KEY: 30, TSA_KEY: 30}
    assert more.commits - few.commits == 20 + 2 * 3
    assert few.commits <= 10 + 10
