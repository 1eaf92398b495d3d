"""Pre-flights: what is counted as what. Truth: so few rows that each is looked at by hand; and that a source cut
anywhere gives the same counts.
"""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.app.statements.preflight import Plan
from gateway.errors import Reason
from gateway.model.decision import Decision, End, Step
from gateway.model.lookup import Absent, CertificateRow, Customer, Found
from gateway.services.statements import tally as module
from gateway.services.statements.preflight import Decided, Looking, Slim, channel_of, check, once_each, slim
from gateway.services.statements.source import BadRow, Row
from gateway.services.statements.tally import Channel, Preflight, Problem, Tally, first_of_each
from tests.support.pki import NOW, START

UNTIL = NOW + timedelta(days=1)


def found(not_after, customer=None):
    return Found((CertificateRow("0" * 64, b"", (), START, not_after, customer=customer),), enrolled=True)


def decided(end="deliver", *, verbs=("sign", "encrypt"), reason=None, answer=None, fallback=None, asks=False):
    decision = Decision("statements:statement", tuple(Step(verb, None) for verb in verbs), End(end), reason=reason)
    return Decided(replace(decision, fallback=fallback), answer, asks)


LATE = found(NOW + timedelta(days=400))
WAYS = {
    "anna@customer.example": decided(answer=LATE),
    "ben@customer.example": decided("reject", reason=Reason.CERTIFICATE_EXPIRED),
    "cem@customer.example": decided("hold", reason=Reason.CERTIFICATE_ABSENT, fallback="hold", answer=Absent()),
    "dora@customer.example": decided("hold", reason=Reason.CERTIFICATE_ABSENT, fallback="invite", answer=Absent()),
    "emil@customer.example": decided(verbs=("sign", "encrypted_pdf"), fallback="encrypted_pdf", answer=Absent()),
    "fritz@customer.example": decided(verbs=("sign",), fallback="plain_knowingly", answer=Absent()),
    "gina@customer.example": decided("defer", reason=Reason.CERTIFICATE_UNAVAILABLE),
    "hugo@customer.example": decided(asks=True),
    "ida@customer.example": decided(answer=found(UNTIL)),
}
CUSTOMERS = {str(number): Customer(str(number), "", (address,)) for number, address in enumerate(WAYS, 1)} | {
    "20": Customer("20", "No Address"),
    "21": Customer("21", "Wrong", ("wrong@localhost",)),
    "22": Customer("22", "Two", ("anna@customer.example", "ben@customer.example")),
    "23": Customer("23", "Two, one waits", ("anna@customer.example", "cem@customer.example")),
}
OWNERS = {address: number for number, one in CUSTOMERS.items() for address in one.addresses[:1] if len(number) == 1}
DOCUMENTS = {"missing.pdf": Reason.PDF_MISSING, "locked.pdf": Reason.PDF_LOCKED}


def document(name, deep):
    return Reason.PDF_INACCESSIBLE if deep and name == "mute.pdf" else DOCUMENTS.get(name)


def looking(blocked=frozenset(), sent=frozenset()):
    return Looking(lambda numbers: {one: CUSTOMERS[one] for one in numbers if one in CUSTOMERS},
                   lambda numbers: blocked & set(numbers),
                   lambda addresses: {one: OWNERS[one] for one in addresses if one in OWNERS},
                   lambda series: frozenset(s for s in sent if s[0] in series),
                   lambda segments: {address: WAYS[address] for address in segments}, document,
                   lambda name: "a language (Lang)")


def tally_of(*rows, deep=False, **given_):
    return check(rows, looking(**given_), UNTIL, lambda number: deep)


@pytest.mark.parametrize(("number", "channel"), [
    ("1", Channel.SEALED), ("2", Channel.REFUSED), ("3", Channel.HELD), ("4", Channel.INVITED),
    ("5", Channel.ENCRYPTED_PDF), ("6", Channel.PLAIN), ("7", Channel.LATER), ("8", Channel.DIRECTORY),
    ("9", Channel.SEALED), ("20", Channel.REFUSED), ("21", Channel.REFUSED), ("99", Channel.REFUSED),
    ("22", Channel.REFUSED), ("23", Channel.HELD)])
def test_how_each_would_leave(number: str, channel: Channel) -> None:
    tally = tally_of(Slim(1, (number,)))
    assert tally.channels == {channel: 1}
    assert tally.mails == tally.rows == 1


@pytest.mark.parametrize(("number", "reason"), [
    ("2", Reason.CERTIFICATE_EXPIRED), ("20", Reason.CUSTOMER_NO_ADDRESS), ("21", Reason.RECIPIENT_ADDRESS_REFUSED),
    ("99", Reason.CUSTOMER_UNKNOWN), ("22", Reason.CERTIFICATE_EXPIRED)])
def test_what_cannot_go_is_told_by_row_customer_and_reason(number: str, reason: Reason) -> None:
    tally = tally_of(Slim(7, (number,)))
    assert tally.reasons == {(Channel.REFUSED, reason): 1}
    (problem,) = tally.problems
    assert (problem.row, problem.customer, problem.reason, problem.warning) == (7, number, reason, False)


def test_an_address_of_the_row_counts_before_the_customers_own_and_for_the_first_holder_only() -> None:
    tally = tally_of(Slim(1, ("2", "1"), address="ANNA@customer.example"))  # the address is the second holder's
    assert tally.channels == {Channel.SEALED: 2}


@pytest.mark.parametrize("address", ["anna@customer.example", "fritz@customer.example", "hugo@customer.example"])
def test_an_address_of_another_customer_is_refused_and_the_row_is_named(address: str) -> None:
    """Whether it is enrolled, served in clear, or asked of a directory."""
    tally = tally_of(Slim(7, ("3",), address=address))
    assert tally.reasons == {(Channel.REFUSED, Reason.RECIPIENT_OTHER_CUSTOMER): 1}
    assert tally.problems == [Problem(7, "3", Reason.RECIPIENT_OTHER_CUSTOMER, address)]


def test_a_certificate_that_is_bound_to_another_customer_refuses_the_row() -> None:
    """Of an address that the store knows for nobody, and of a customer's own address."""
    WAYS["shared@customer.example"] = decided(answer=found(NOW + timedelta(days=400), "1"))
    CUSTOMERS["24"] = Customer("24", "Shared", ("shared@customer.example",))
    for row in (Slim(1, ("2",), address="shared@customer.example"), Slim(1, ("24",))):
        assert tally_of(row).reasons == {(Channel.REFUSED, Reason.RECIPIENT_OTHER_CUSTOMER): 1}
    assert tally_of(Slim(1, ("24", "1"))).channels == {Channel.SEALED: 2}, "1 is a holder, too"


def test_each_holder_has_a_mail() -> None:
    tally = tally_of(Slim(1, ("1", "2", "3")))
    assert tally.channels == {Channel.SEALED: 1, Channel.REFUSED: 1, Channel.HELD: 1}
    assert (tally.rows, tally.mails) == (1, 3)


def test_a_document_with_a_fault_stops_the_mails_of_its_row_alone() -> None:
    tally = tally_of(Slim(1, ("1", "9"), document="missing.pdf"), Slim(2, ("1",), document="good.pdf"),
                     Slim(3, ("1",), document="locked.pdf"), Slim(4, ("1",), document="missing.pdf"))
    assert tally.channels == {Channel.REFUSED: 4, Channel.SEALED: 1}
    assert tally.documents == 3, "each is looked at once"
    assert {(one.row, one.what) for one in tally.problems} >= {
        (1, "missing.pdf"), (3, "locked.pdf"), (4, "missing.pdf")}


def test_whether_everybody_can_read_it_is_asked_of_the_sample_alone() -> None:
    assert tally_of(Slim(1, ("1",), document="mute.pdf")).channels == {Channel.SEALED: 1}
    deep = tally_of(Slim(1, ("1",), document="mute.pdf"), deep=True)
    assert deep.channels == {Channel.REFUSED: 1}
    assert (deep.sampled, deep.sample_faults, deep.inaccessible) == (1, 1, 1)
    assert [one.what for one in deep.problems] == ["mute.pdf lacks a language (Lang)"]


def test_a_certificate_that_ends_before_the_run_may_have_ended_is_a_warning() -> None:
    tally = tally_of(Slim(1, ("1",)), Slim(2, ("9",)))
    assert tally.channels == {Channel.SEALED: 2}
    assert tally.ending == 1
    assert tally.ends == {"2027-12": 1, "2026-11": 1}
    (problem,) = tally.problems
    assert (problem.row, problem.reason, problem.warning) == (2, Reason.CERTIFICATE_EXPIRED, True)


def test_a_customer_who_gets_no_codes_gets_his_statement_and_is_told() -> None:
    tally = tally_of(Slim(1, ("1",)), blocked=frozenset({"1"}))
    assert tally.channels == {Channel.SEALED: 1}
    assert tally.blocked == 1
    assert [(one.reason, one.warning) for one in tally.problems] == [(Reason.CUSTOMER_BLOCKED, True)]


def series(customer: str, account: str) -> bytes:
    return f"{customer}/{account}".encode()


def row(number: int, *customers: str, account="DE1", version="1") -> Row:
    return Row(number, customers, account, version, "", "", "", {"account": account})


def test_a_bad_row_is_told_and_nothing_else_is_asked() -> None:
    tally = tally_of(slim(BadRow(3, "1", "5 columns in place of 6"), series))
    assert tally.reasons == {(Channel.REFUSED, Reason.STATEMENT_ROW): 1}
    assert tally.problems == [Problem(3, "1", Reason.STATEMENT_ROW, "5 columns in place of 6")]


def test_the_same_statement_a_second_time_is_told_for_whom_it_is() -> None:
    rows = [slim(one, series) for one in (row(1, "1", "2"), row(2, "1"), row(3, "1", version="2"), row(4, "3", "2"))]
    assert [one.repeated for one in once_each(rows)] == [(), ("1",), (), ("2",)]
    tally = tally_of(*once_each(rows))
    assert tally.reasons[Channel.SENT_BEFORE, Reason.STATEMENT_REPEATED] == 2
    assert tally.refused == 1, "the second row's alone"


def test_two_documents_for_one_statement_stop_the_run() -> None:
    """Nobody can say which of them is right; the plan would send the first."""
    def with_(number: int, document: str, version: str = "1") -> Row:
        return Row(number, ("1",), "DE1", version, document, "", "", {})

    same = tally_of(*once_each([slim(one, series) for one in (with_(1, "a.pdf"), with_(2, "a.pdf"))]))
    assert same.ambiguous == 0
    tally = tally_of(*once_each([slim(one, series) for one in (
        with_(1, "a.pdf"), with_(2, "b.pdf"), with_(3, "b.pdf", "2"), with_(4, "a.pdf"))]))
    assert tally.ambiguous == 1
    assert [(one.row, one.what) for one in tally.problems if one.reason is Reason.STATEMENT_AMBIGUOUS] == [(2, "b.pdf")]
    done = Preflight("x", "2026-10", NOW, UNTIL, 0.0, 100.0, tally)
    assert (done.may_start, done.reason) == (False, Reason.STATEMENT_AMBIGUOUS)


def test_data_that_differ_are_two_documents_where_they_are_made_from_a_template() -> None:
    one, other = row(1, "1"), replace(row(2, "1"), values={"account": "DE1", "closing": "2.00"})
    assert [found.differs for found in once_each([slim(one, series), slim(other, series)])] == [False, True]


def test_the_sample_is_extrapolated_into_the_threshold() -> None:
    """20,000 documents that are not accessible: a sample of 200 is 1 % of the mails, and stands for all of them."""
    rows = [Slim(number, ("1",), document=f"{number}/mute.pdf") for number in range(1, 2_001)]
    with_sample = replace(looking(), document=lambda _, deep: Reason.PDF_INACCESSIBLE if deep else None)
    plan = Plan("core-banking", "x@bank.example", None, True, NOW, UNTIL, rows=2_000)
    tally = check(rows, with_sample, UNTIL, plan.deep)
    assert 150 < tally.sampled < 250
    assert tally.refused == tally.sampled
    assert (tally.expected, tally.expected_percent) == (2_000, 100.0)
    done = Preflight("x", "2026-10", NOW, UNTIL, 0.0, 20.0, tally)
    assert (done.may_start, done.reason) == (False, Reason.RUN_THRESHOLD)
    assert "of the sample" in done.why_not


@pytest.mark.parametrize("period", [2, 4, 10, 100, 128])
def test_the_sample_meets_rows_that_repeat_as_often_as_they_are(period: int) -> None:
    """A source of which each so-many-th row is of another kind, as with joint accounts or a second generator."""
    plan = Plan("core-banking", "x@bank.example", None, True, NOW, UNTIL, rows=1_000_000)
    sampled = [number for number in range(1, 1_000_001) if plan.deep(number)]
    assert 190 <= len(sampled) <= 210
    met = sum(number % period == 0 for number in sampled) / len(sampled)
    assert abs(met - 1 / period) < 0.05


def test_what_another_run_has_sent_is_told_and_counts_as_nothing_bad() -> None:
    rows = [slim(one, series) for one in (row(1, "1"), row(2, "1", version="2"), row(3, "1", account="DE2"))]
    tally = tally_of(*rows, sent=frozenset({(b"1/DE1", "1")}))
    assert tally.channels == {Channel.SENT_BEFORE: 1, Channel.SEALED: 2}
    assert tally.refused_percent == 0


def test_no_account_leaves_the_process_that_reads_the_source() -> None:
    slimmed = slim(row(1, "1", account="DE02120300000000202051"), lambda customer, account: b"mac")
    assert "DE02120300000000202051" not in repr(slimmed)


ROWS = st.lists(st.builds(
    Slim, st.integers(1, 50), st.lists(st.sampled_from(sorted(CUSTOMERS)), min_size=1, max_size=3, unique=True).map(
        tuple), document=st.sampled_from(["", "missing.pdf", "good.pdf", "mute.pdf"])), max_size=30)


@given(ROWS, st.integers(0, 30))
def test_counts_are_the_same_however_the_source_is_cut(rows, cut) -> None:
    # A document that stands in both parts is looked at in both.
    rows = [replace(one, document=f"{one.document and place}{one.document}") for place, one in enumerate(rows)]
    DOCUMENTS.update({f"{place}missing.pdf": Reason.PDF_MISSING for place in range(30)})
    whole, parts = tally_of(*rows), Tally()
    for part in (rows[:cut], rows[cut:]):
        parts.add(tally_of(*part))
    key = lambda one: (one.row, one.customer, one.reason, one.what)  # noqa: E731
    assert sorted(parts.problems, key=key) == sorted(whole.problems, key=key)
    assert replace(parts, problems=[]) == replace(whole, problems=[])
    assert whole.channels.total() == whole.mails == sum(len(one.customers) for one in rows)
    assert sum(count for (channel, _), count in whole.reasons.items() if channel is Channel.REFUSED) == whole.refused


def test_of_each_reason_so_many_are_named_and_all_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOLD_MAX", 2)
    problems = [Problem(number, "1", reason) for number in (5, 3, 9, 1)
                for reason in (Reason.PDF_MISSING, Reason.PDF_LOCKED)]
    kept = first_of_each(problems)
    assert [(one.row, one.reason) for one in kept] == [
        (1, Reason.PDF_MISSING), (1, Reason.PDF_LOCKED), (3, Reason.PDF_MISSING), (3, Reason.PDF_LOCKED)]


def test_domains_without_end_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DOMAINS_MAX", 3)
    tally = Tally()
    for number in range(10):
        tally.count(Channel.SEALED, f"d{number}.example")
    assert len(tally.domains) == 4
    assert tally.domains[module.ELSEWHERE] == {Channel.SEALED: 7}


@pytest.mark.parametrize(("refused", "others", "percent_max", "starts"), [
    (0, 0, 2.0, False), (0, 1, 0.0, True), (1, 99, 1.0, True), (1, 98, 1.0, False), (1, 0, 100.0, True)])
def test_the_threshold(refused: int, others: int, percent_max: float, starts) -> None:
    tally = Tally()
    for number in range(refused + others):
        tally.count(Channel.REFUSED if number < refused else Channel.HELD, "customer.example")
    assert Preflight("x", "2026-10", NOW, UNTIL, 0.0, percent_max, tally).may_start is starts


@pytest.mark.parametrize("end", ["deliver", "hold", "reject", "defer", "quarantine", "hand_to"])
def test_every_end_is_a_channel(end) -> None:
    assert channel_of(decided(end)) in Channel
