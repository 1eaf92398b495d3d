"""No statement reaches another customer. Truth: a named attack: one wrong address in the bank's own source.

The next hop here hears every mail; the certificates are bound to customers by the store.
"""

from dataclasses import replace

import pytest

from gateway.app import Gateway
from gateway.app.statements.preflight import look
from gateway.errors import Reason
from gateway.model.lookup import Customer
from gateway.ports.services.statements.rows import RunState
from tests.support.statements import RUN, account, address, number, plain_rows

COLUMNS = RUN.replace("document: file", "document: file, address: to, holders: with")
OTHER = Reason.RECIPIENT_OTHER_CUSTOMER


def rows(to: str, *, holders: str = "") -> list[dict[str, str]]:
    """The first customer's statement goes to `to`."""
    return [one | {"to": to if i == 0 else "", "with": holders if i == 0 else ""}
            for i, one in enumerate(plain_rows(2))]


def refused(desk, run) -> list[tuple[int, str]]:
    return [(one.row, one.reason) for one in desk.items(run) if one.state == "refused"]


def test_a_statement_is_not_sealed_to_the_certificate_of_another_customer(desk) -> None:
    run = desk.send(desk.files(rows(address(5).upper()), text=COLUMNS))
    assert run.state is RunState.DONE
    assert refused(desk, run) == [(1, OTHER)]
    assert desk.served == [address(1)], "the next customer's statement left"


def test_the_certificate_of_a_joint_holder_is_right(desk) -> None:
    run = desk.send(desk.files(rows(address(5), holders=number(5)), text=COLUMNS))
    assert set(desk.states(run)) == {"sent"}
    assert desk.served == sorted([address(1), address(5), address(5)])


def test_a_certificate_counts_by_its_customer_where_the_address_is_in_no_customers_record(desk) -> None:
    desk.store.customers.put([Customer(number(5), "Person 5", (), "retail")])
    run = desk.send(desk.files(rows(address(5)), text=COLUMNS))
    assert refused(desk, run) == [(1, OTHER)]


def test_an_own_address_with_the_certificate_of_another_customer_is_refused(desk) -> None:
    desk.store.customers.put([Customer(number(5), "Person 5", (), "retail"),
                              Customer(number(0), "Person 0", (address(0), address(5)), "retail")])
    run = desk.send(desk.files(plain_rows(2)))
    assert refused(desk, run) == [(1, OTHER)], "nothing of it leaves, also not to the first address"
    assert desk.served == [address(1)]


def test_an_address_of_another_customer_without_a_certificate_is_refused_and_not_held(desk) -> None:
    desk.store.customers.put([Customer("900", "No Certificate", ("none@crowd.example",), "retail")])
    run = desk.send(desk.files(rows("none@crowd.example"), text=COLUMNS))
    assert refused(desk, run) == [(1, OTHER)]
    assert desk.store.hold.list() == ()


@pytest.mark.parametrize("released", [False, True])
def test_held_mail_does_not_leave_to_a_customer_who_enrols_its_address_later(desk, released) -> None:
    """Let go by an operator, and by itself when there is a certificate."""
    desk.store.customers.put([Customer("900", "Late", (), "retail")])
    run = desk.send(desk.files(rows("late@crowd.example"), text=COLUMNS))
    assert sorted(desk.states(run)) == ["held", "sent"]
    [held] = desk.store.hold.list()
    desk.store.customers.put([Customer("900", "Late", ("late@crowd.example",), "retail")])
    gateway = Gateway(desk.settings)
    try:
        gateway.use(replace(gateway.context, outbound_hop=desk.hop))
        _, mail = gateway.context.hold.get(held.hold_id)  # as it comes out of the database
        assert mail.origin.customers == (number(0),)
        outcome = gateway.handle(mail, released=released)
    finally:
        gateway.close()
    assert [one.reason for one in outcome.recipients] == [OTHER]
    assert desk.served == [address(1)]


def test_a_replacement_and_a_recall_do_not_reach_another_customer(desk) -> None:
    old = desk.send(desk.files(rows(""), text=COLUMNS))
    changed = [one | {"version": "2"} for one in rows(address(5))]
    files = desk.files(changed, text=COLUMNS.replace("address: to", "address: to, version: version"), name="new")
    new = desk.go(desk.runs.replace(old.id, "core-banking", files.file.read_text(), base=files.file.parent))
    assert refused(desk, new) == [(1, OTHER)]
    assert address(5) not in desk.served
    desk.store.customers.put([Customer(number(0), "Person 0", (), "retail"),
                              Customer("901", "New owner", (address(0),), "retail")])
    notice = desk.go(desk.runs.recall(old.id, "core-banking"))
    assert [reason for _, reason in refused(desk, notice)] == ["customer.no_address"]


def test_the_preflight_names_the_row(desk) -> None:
    files = desk.files([*rows(address(5)), {"customer": number(3), "account": account(3), "file": "3.pdf",
                                            "to": "somebody@elsewhere.example", "with": ""}], text=COLUMNS)
    run = desk.take(files)
    spec = desk.runs.spec(run)
    done = look(desk.settings, spec, desk.runs.source_of(run, spec), desk.store.hold._clock.now())
    assert [(one.row, one.customer, one.what) for one in done.tally.problems if one.reason is OTHER] == [
        (1, number(0), address(5))]


def test_the_preflight_knows_another_customers_address_by_each_spelling_of_its_domain(desk) -> None:
    """As the run does: the register has letters, the source what DNS has (RFC 5890 2.3.2.1)."""
    desk.store.customers.put([Customer("900", "No Certificate", ("none@kröte.example",), "retail")])
    to = "none@xn--krte-6qa.example"
    files = desk.files(rows(to), text=COLUMNS)
    run = desk.take(files)
    spec = desk.runs.spec(run)
    done = look(desk.settings, spec, desk.runs.source_of(run, spec), desk.store.hold._clock.now())
    assert [(one.row, one.what) for one in done.tally.problems if one.reason is OTHER] == [(1, to)]
    assert refused(desk, desk.send(files)) == [(1, OTHER)]
