"""What reads before it writes, by several nodes at once: bounds hold, nothing counts twice, nobody is refused so.

Two databases opened as two processes have them, four threads each, released together. Truth: arithmetic.
"""

import threading
from datetime import timedelta

import pytest

from gateway.adapters.db.certificates.customers import DbCustomers
from gateway.adapters.db.certificates.fetch_tasks import DbFetchTasks
from gateway.adapters.db.certificates.revocations import DbRevocations
from gateway.adapters.db.daily import DbDaily
from gateway.adapters.db.hold import DbHold
from gateway.clock import SystemClock
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import Customer
from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.ports.fetch import FetchRequest
from gateway.ports.revocation import StoredAnswer
from tests.support.pki import NOW, get_pki

THREADS = 4  # on each of two nodes
MAIL = Mail(b"Subject: x\r\n\r\n" + b"x" * 2000, Envelope("a@bank.example", (Recipient("b@else.example"),)),
            Origin(ours=True, client=None, received_at=NOW, incident="1", listener="out", peer="192.0.2.1",
                   helo="x", tls=False, login=None, queue_id=None))


@pytest.fixture
def together(database, again):
    """What each call on each node returned or raised."""
    nodes = (database, again())

    def run(call):
        start, results = threading.Barrier(2 * THREADS), []

        def one(node, number: int) -> None:
            start.wait(30)
            try:
                results.append(call(node, number))
            except Exception as error:  # noqa: BLE001
                results.append(error)

        threads = [threading.Thread(target=one, args=(nodes[number % 2], number)) for number in range(2 * THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(results) == 2 * THREADS
        return results

    return run


def reasons(results) -> list[object]:
    return [one.reason if isinstance(one, GatewayError) else one for one in results]


def test_the_hold_store_takes_no_more_than_its_bound(database, together, tmp_path) -> None:
    certificate, key, _ = get_pki().recipient("rsa-2048", email="archive@bank.example").write(tmp_path)

    def put(node, number: int) -> str:
        hold = DbHold(node, SystemClock(), certificate, key, octets_max=10_000)
        return hold.put(MAIL, ("b@else.example",), kind="hold", direction="outbound", subject="", rule="", reason="")

    results = together(put)
    full = [one for one in results if isinstance(one, GatewayError)]
    assert {one.reason for one in full} == {Reason.HOLD_FULL}
    kept = DbHold(database, SystemClock(), certificate, key).list()
    assert len(kept) == 2 * THREADS - len(full)
    assert 1 <= len(kept) <= 4  # 2,000 octets and an envelope each


def test_one_of_all_sends_the_report(together) -> None:
    assert sorted(together(lambda node, number: DbDaily(node).take(NOW.date()))) == [False] * 7 + [True]


def test_the_generation_counts_every_change(database, together) -> None:
    def put(node, number: int) -> bool:
        return DbRevocations(node).put_answer(
            StoredAnswer("a" * 64, number, "good", NOW, NOW + timedelta(days=1), None, None, NOW))

    assert together(put) == [True] * 8
    assert DbRevocations(database).generation() == 8


def test_of_two_customers_with_one_address_one_is_refused_by_name(together) -> None:
    results = reasons(together(lambda node, number: DbCustomers(node).put(
        [Customer(str(number), "", ("anna@customer.example",))])))
    assert sorted(results, key=str) == [None] + [Reason.USAGE] * 7


def test_a_wish_of_all_is_one_task_and_the_jobs_may_begin_together(database, together) -> None:
    wanted = FetchRequest("key", "crl", "http://ca.test/1", b"\x30\x03\x02\x01\x07", b"\x30\x03\x02\x01\x08")

    def want(node, number: int) -> int:
        DbFetchTasks(node).attend(NOW)
        return len(DbFetchTasks(node).want([wanted], NOW, again_s=300))

    assert together(want) == [1] * 8
    assert len(tuple(DbFetchTasks(database).list())) == 1


def test_a_held_mail_is_settled_once(database, together, tmp_path) -> None:
    certificate, key, _ = get_pki().recipient("rsa-2048", email="archive@bank.example").write(tmp_path)
    hold_id = DbHold(database, SystemClock(), certificate, key).put(
        MAIL, ("b@else.example",), kind="hold", direction="outbound", subject="", rule="", reason="")
    results = reasons(together(lambda node, number: DbHold(node, SystemClock()).settle(hold_id, "released")))
    assert sorted(results, key=str) == [None] + [Reason.USAGE] * 7
