"""Verifying: what makes a code fail, how often, and who hears of it. EU 2018/389 Articles 4 and 5."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import structlog

from gateway.errors import GatewayError, Reason
from gateway.ports.services.codes import CodeState
from gateway.services.codes.order import Issued, Verdict
from gateway.services.codes.transaction import Batch, Money, Payee, Payment, Transaction
from tests.support.codes import parts
from tests.unit.services.codes.conftest import CLIENT, PAID, Office


@pytest.fixture
def issued(office: Office) -> Issued:
    return office.codes.issue(CLIENT, office.order())


def tried(office: Office, issued: Issued, code: str | None = None, transaction: Transaction | None = PAID) -> Verdict:
    return office.codes.verify(CLIENT, issued.id, office.code() if code is None else code, transaction)


def other(code: str) -> str:
    """One that is wrong."""
    return str((int(code[0]) + 1) % 10) + code[1:]


def test_the_code_of_the_mail_is_valid_once(office: Office, issued: Issued) -> None:
    assert tried(office, issued) == Verdict(True, None, 0, CodeState.USED)
    assert tried(office, issued) == Verdict(False, Reason.CODE_USED, 0, CodeState.USED)


@pytest.mark.parametrize("typed", ["{0} {1}", " {0}{1} ", "{0}\N{NO-BREAK SPACE}{1}\n"])
def test_blanks_do_not_count(office: Office, issued: Issued, typed) -> None:
    code = office.code()
    assert tried(office, issued, typed.format(code[:4], code[4:])).valid


@pytest.mark.parametrize("typed", ["", "1", "1" * 10_000, "١٢٣٤٥٦٧٨", "\ud800", "12345678\x00", "+1234567", "0x1234"])
def test_what_is_no_code_is_wrong(office: Office, issued: Issued, typed) -> None:
    assert tried(office, issued, typed) == Verdict(False, Reason.CODE_WRONG, 4, CodeState.LIVE)


CHANGED = [
    None,
    Payment(Money.of("1234.51", "EUR"), PAID.payee),
    Payment(Money.of("12345.00", "EUR"), PAID.payee),
    Payment(Money.of("1234.50", "USD"), PAID.payee),
    Payment(PAID.amount, Payee.of("Stadtwerke Köln GmbH", "DE89370400440532013000")),
    Payment(PAID.amount, Payee.of("Stadtwerke Köln", "DE89370400440532013001")),
    Batch.of(PAID.amount, [PAID.payee]),
]


@pytest.mark.parametrize("transaction", CHANGED, ids=range(len(CHANGED)))
def test_any_change_of_amount_or_payee_makes_the_code_fail(office: Office, issued: Issued, transaction) -> None:
    assert tried(office, issued, None, transaction) == Verdict(False, Reason.CODE_CHANGED, 4, CodeState.LIVE)
    assert tried(office, issued).valid, "it was a try, and not the end"


def test_a_batch_is_its_total_and_its_payees(office: Office) -> None:
    total, payees = Money.of("30", "EUR"), [Payee.of("A", "DE02"), Payee.of("B", "DE03")]
    batch = office.codes.issue(CLIENT, office.order(transaction=Batch.of(total, payees)))
    for changed in (Batch.of(Money.of("31", "EUR"), payees), Batch.of(total, payees[:1]),
                    Batch.of(total, [*payees, Payee.of("C", "DE04")])):
        assert tried(office, batch, None, changed).reason is Reason.CODE_CHANGED
    assert tried(office, batch, None, Batch.of(Money.of("30.00", "EUR"), payees[::-1])).valid


def test_in_a_batch_with_amounts_each_amount_counts(office: Office) -> None:
    def batch(*amounts: str) -> Batch:
        return Batch.of(Money.of("30", "EUR"), [
            Payee.of(name, name, Money.of(amount, "EUR")) for name, amount in zip("AB", amounts, strict=True)])

    issued = office.codes.issue(CLIENT, office.order(transaction=batch("10", "20")))
    for form in parts(office.mails()[-1]).values():
        assert "10.00\N{NO-BREAK SPACE}EUR" in form
        assert "20.00\N{NO-BREAK SPACE}EUR" in form
    without = Batch.of(Money.of("30", "EUR"), [Payee.of("A", "A"), Payee.of("B", "B")])
    for changed in (batch("20", "10"), batch("15", "15"), without):
        assert tried(office, issued, None, changed).reason is Reason.CODE_CHANGED
    assert tried(office, issued, None, batch("10", "20")).valid


def test_the_code_of_one_order_is_not_that_of_the_next(office: Office, issued: Issued) -> None:
    first = office.code()
    second = office.codes.issue(CLIENT, office.order(purpose="second"))
    assert office.code() != first
    assert tried(office, second, first).reason is Reason.CODE_WRONG
    assert tried(office, issued, first).valid


def test_five_tries_and_then_not_even_the_right_one(office: Office, issued: Issued) -> None:
    code = office.code()
    found = [tried(office, issued, other(code)) for _ in range(5)]
    assert [one.tries_left for one in found] == [4, 3, 2, 1, 0]
    assert [one.reason for one in found] == [Reason.CODE_WRONG] * 4 + [Reason.CODE_TRIES]
    assert tried(office, issued, code) == Verdict(False, Reason.CODE_TRIES, 0, CodeState.DEAD)


def test_the_fifth_try_may_be_right(office: Office, issued: Issued) -> None:
    code = office.code()
    for _ in range(4):
        tried(office, issued, other(code))
    assert tried(office, issued, code).valid


def test_of_many_who_present_the_right_code_one_has_used_it(office: Office, issued: Issued) -> None:
    code, barrier = office.code(), threading.Barrier(16)

    def run(_: int) -> Verdict:
        barrier.wait(30)
        return tried(office, issued, code)

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(run, range(16)))
    assert [one.valid for one in found].count(True) == 1
    assert {one.reason for one in found if not one.valid} == {Reason.CODE_USED}


def test_a_code_lives_as_long_as_was_said(office: Office, issued: Issued) -> None:
    code = office.code()
    office.clock.late = timedelta(seconds=301)
    assert tried(office, issued, code) == Verdict(False, Reason.CODE_EXPIRED, 0, CodeState.EXPIRED)
    assert office.codes.show(CLIENT, issued.id).state is CodeState.EXPIRED


@pytest.mark.parametrize("end, reason", [
    (lambda office, code_id: office.codes.cancel(CLIENT, code_id), Reason.CODE_CANCELLED),
    (lambda office, _: office.codes.issue(CLIENT, office.order()), Reason.CODE_REPLACED),
    (lambda office, _: office.codes.block("10001"), Reason.CUSTOMER_BLOCKED)])
def test_what_was_ended_is_told_by_its_end(office: Office, issued: Issued, end, reason) -> None:
    code = office.code()
    end(office, issued.id)
    assert tried(office, issued, code).reason is reason


def test_what_has_ended_stays_what_it_was(office: Office, issued: Issued) -> None:
    tried(office, issued)
    assert office.codes.cancel(CLIENT, issued.id).state is CodeState.USED
    office.codes.block("10001")
    assert office.codes.show(CLIENT, issued.id).state is CodeState.USED


@pytest.mark.parametrize("call", [
    lambda codes, client, code_id: codes.verify(client, code_id, "12345678", PAID),
    lambda codes, client, code_id: codes.resend(client, code_id, PAID),
    lambda codes, client, code_id: codes.cancel(client, code_id),
    lambda codes, client, code_id: codes.show(client, code_id)])
def test_another_client_finds_no_such_code(office: Office, issued: Issued, call) -> None:
    for client, code_id in (("core-banking", issued.id), (CLIENT, "0" * 24), (CLIENT, "")):
        with pytest.raises(GatewayError) as caught:
            call(office.codes, client, code_id)
        assert caught.value.reason is Reason.CODE_UNKNOWN
    assert office.codes.show(CLIENT, issued.id).tries_left == 5


# --- blocked, disowned, bounced: who hears of it


def test_a_blocked_customer_gets_no_code_until_he_is_unblocked(office: Office, issued: Issued) -> None:
    assert office.codes.block("10001") is True
    assert office.codes.block("10001") is False
    with pytest.raises(GatewayError) as caught:
        office.codes.issue(CLIENT, office.order())
    assert (caught.value.reason, caught.value.retry) == (Reason.CUSTOMER_BLOCKED, False)
    assert [(one.kind, one.code_id) for one in office.events[2:]] == [("blocked", issued.id)]
    assert office.codes.unblock("10001") is True
    office.codes.issue(CLIENT, office.order())
    with pytest.raises(GatewayError) as caught:
        office.codes.block("99999")
    assert caught.value.reason is Reason.CUSTOMER_UNKNOWN


def test_who_disowns_a_used_code_is_blocked_and_its_issuer_hears_of_it(office: Office, issued: Issued) -> None:
    """The code was used by somebody else: exactly then the bank must know."""
    tried(office, issued)
    login = office.codes.issue(CLIENT, office.order(purpose="login", transaction=None, reference="order-8"))
    before = len(office.events)
    now = office.clock.now()
    assert [office.book.disown(f"{issued.id}-1", now) for _ in range(2)] == [True, False]
    told = office.events[before:]
    assert [(one.kind, one.code_id, one.reference) for one in told] == [
        ("blocked", issued.id, "order-7"), ("blocked", login.id, "order-8")]
    assert office.codes.show(CLIENT, login.id).state is CodeState.BLOCKED
    assert [(one.customer, one.by) for one in office.codes.desk.blocks()] == [("10001", "customer")]


def test_a_bounce_is_told_once_and_the_code_lives_on(office: Office, issued: Issued) -> None:
    now = office.clock.now()
    found = [office.book.bounced(f"{issued.id}-1", "5.1.1", "no such user", True, now) for _ in range(2)]
    assert found == [True, False]
    (bounced,) = [one for one in office.events if one.kind == "bounced"]
    assert (bounced.code_id, bounced.client, bounced.detail, bounced.mail) == (issued.id, CLIENT, "5.1.1", 1)
    assert tried(office, issued).valid


def test_a_delay_is_no_bounce_and_hides_none(office: Office, issued: Issued) -> None:
    """Postfix says 4.2.2 when a mail is late, and again when it gives up: only then it has come back."""
    now = office.clock.now()
    for permanent, told in ((False, []), (True, ["bounced"])):
        assert office.book.bounced(f"{issued.id}-1", "4.2.2", "mailbox full", permanent, now)
        assert office.kinds == ["accepted", "delivered", *told]


@pytest.mark.parametrize("identifier", ["", "-", "x", "-1", "{0}", "{0}-", "{0}-9", "{0}-²", "{0}-1-1", "{0}--1"])
def test_what_names_no_mail_of_ours_does_nothing(office: Office, issued: Issued, identifier) -> None:
    identifier = identifier.format(issued.id)
    assert office.book.bounced(identifier, "5.1.1", "", True, office.clock.now()) is False
    assert office.kinds == ["accepted", "delivered"]


# --- kept nowhere


def test_neither_code_nor_payment_is_kept_or_logged(office: Office) -> None:
    """In the database and its log, in lines, in what is told, in what is printed of the values themselves."""
    payee = Payee.of("Planted Payee Name", "XX99PLANTEDACCOUNT0042")
    paid = Payment(Money.of("7391.42", "EUR"), payee)
    order = office.order(transaction=paid, digits=10)
    with structlog.testing.capture_logs() as lines:
        issued = office.codes.issue(CLIENT, order)
        code = office.code()
        office.codes.resend(CLIENT, issued.id, paid)
        verdicts = [tried(office, issued, other(code), paid), tried(office, issued, code, paid)]
        shown = office.codes.show(CLIENT, issued.id)
    assert verdicts[1].valid
    stored = b"".join(file.read_bytes() for file in office.context.bank.home.rglob("*") if file.is_file())
    assert issued.id.encode() in stored, "the searcher looks where codes are"
    told = repr((lines, office.events, order, issued, shown, verdicts, office.codes)).encode()
    for secret in (code, payee.name, payee.account, payee.account[-12:], "7391.42", "739142"):
        assert secret.encode() not in stored
        assert secret.encode() not in told


def test_what_became_of_mails_and_tries_is_counted(office: Office) -> None:
    counted: list[tuple[str, str, str]] = []
    office.codes._counted = lambda *what: counted.append(what)
    issued = office.codes.issue(CLIENT, office.order())
    code = office.code()
    tried(office, issued, other(code))
    tried(office, issued, code)
    office.context.outbound.codes["anna@customer.example"] = 451
    for customer in ("10001", "10003"):
        with pytest.raises(GatewayError):
            office.codes.issue(CLIENT, office.order(customer=customer))
    assert counted == [
        (CLIENT, "sent", ""), (CLIENT, "invalid", "code.wrong"), (CLIENT, "valid", ""),
        (CLIENT, "not_sent", "next_hop.later"), (CLIENT, "refused", "certificate.absent")]
