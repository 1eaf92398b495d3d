"""What a recall does with statements that are still held. Truth: the hold store, the next hop, the run's own items."""

import pytest

from gateway.errors import GatewayError, Reason
from gateway.model.lookup import Customer
from gateway.pipeline.again import in_hand
from gateway.ports.statements import ItemState, RunRow, RunState
from tests.support.statements import address, number, plain_rows
from tests.unit.services.statements.conftest import CLIENT

LATE = Customer("79", "Late", ("late@crowd.example",), "retail")
ROWS = [*plain_rows(2), {"customer": "79", "account": "DE0279", "file": "1.pdf"}]


@pytest.fixture
def first(desk) -> RunRow:
    """Two have their statement, one waits for a certificate."""
    desk.store.customers.put([LATE])
    run = desk.send(desk.files(ROWS))
    assert desk.states(run) == ["sent", "sent", "held"]
    desk.hop.taken.clear()
    return run


def held(desk) -> list[tuple[str, str]]:
    return [(row.recipients[0], state) for state in ("waiting", "released", "rejected")
            for row in desk.store.hold.list(state=state)]


def test_what_is_held_does_not_leave_and_nobody_hears_of_it(desk, first) -> None:
    run = desk.go(desk.runs.recall(first.id, CLIENT))
    assert run.state is RunState.DONE
    assert desk.served == [address(0), address(1)]
    assert held(desk) == [("late@crowd.example", "rejected")]
    item = desk.items(first)[2]
    assert (item.state, item.detail) == (ItemState.CANCELLED, "recalled before it left")


def test_its_statement_may_be_sent_by_another_run(desk, first) -> None:
    desk.go(desk.runs.recall(first.id, CLIENT))
    again = desk.send(desk.files(ROWS, name="again"))
    assert desk.states(again) == ["repeated", "repeated", "held"]


def test_who_has_got_it_meanwhile_is_told(desk, first) -> None:
    [row] = desk.store.hold.list()
    desk.store.hold.settle(row.hold_id, "released")
    run = desk.go(desk.runs.recall(first.id, CLIENT))
    assert desk.states(run) == ["sent", "sent", "held"]  # he has no certificate yet
    assert desk.items(first)[2].state is ItemState.HELD


def test_what_was_given_up_before_is_not_told_of(desk, first) -> None:
    """So it stands, too, when planning dies between the hold store and the run."""
    [row] = desk.store.hold.list()
    desk.store.hold.settle(row.hold_id, "rejected")
    desk.go(desk.runs.recall(first.id, CLIENT))
    assert desk.served == [address(0), address(1)]


def test_what_somebody_lets_go_at_this_moment_is_waited_for(desk, first) -> None:
    [row] = desk.store.hold.list()
    run = desk.runs.recall(first.id, CLIENT)
    with in_hand(desk.store.journal, row.hold_id), pytest.raises(GatewayError) as caught:
        desk.go(run)
    assert (caught.value.reason, caught.value.retry) == (Reason.JOURNAL_IN_PROGRESS, True)
    assert not desk.served
    assert desk.go(run).state is RunState.DONE
    assert held(desk) == [("late@crowd.example", "rejected")]


def test_of_a_mail_that_left_in_part_the_rest_stays_and_all_are_told(desk) -> None:
    desk.store.customers.put([Customer(number(1), "Both", (address(1), "late@crowd.example"), "retail")])
    first = desk.send(desk.files([ROWS[1]]))
    item = desk.items(first)[0]
    assert (item.state, item.detail[:8]) == (ItemState.SENT, "held as ")
    desk.hop.taken.clear()
    desk.go(desk.runs.recall(first.id, CLIENT))
    assert desk.served == [address(1)]
    assert sorted(held(desk)) == [("late@crowd.example", "rejected"), ("late@crowd.example", "waiting")]  # its notice
