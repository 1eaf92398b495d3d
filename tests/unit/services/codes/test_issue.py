"""Issuing: who gets a mail, what stands in it, and what becomes of the code when it cannot leave.

Truth: what openssl finds in the mails, and what the store says afterwards. The next hop's answers are a test's own.
"""

import re
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy

import pytest
import structlog

from gateway.app import enrol
from gateway.authority.ca import generate_signing_key
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import Customer, Found
from gateway.ports.services.codes import CodeState
from gateway.services.codes.administration import SENDS_MAX
from gateway.services.codes.transaction import Batch, Money, Payee
from tests.support.codes import code_in, parts
from tests.support.pki import NOW
from tests.unit.services.codes.conftest import CLIENT, PAID, Office

ANNA, WORK = "anna@customer.example", "anna@work.example"


def refused(office: Office, **changed: object) -> GatewayError:
    """Why there is no code; and there is none."""
    with pytest.raises(GatewayError) as caught:
        office.codes.issue(CLIENT, office.order(**changed))
    assert [one.state for one in office.context.gateway.store.codes.of_customer("10001", 99)
            if one.state is CodeState.LIVE] == []
    return caught.value


# --- the mail


def test_the_mail_is_sealed_and_says_what_the_code_is_good_for(office: Office) -> None:
    issued = office.codes.issue(CLIENT, office.order(language="de"))
    (to, octets, envelope), = office.context.outbound.taken
    assert to == (ANNA,)
    assert octets.count(b"application/pkcs7-mime") == 1
    text = parts(office.mails()[0])
    assert issued.digits == len(office.code()) == 8
    for form in text.values():
        assert "1.234,50\N{NO-BREAK SPACE}EUR" in form
        assert "Stadtwerke Köln" in form
        assert "DE89 3704 0044 0532 0130 00" in form
        assert "5 Minuten" in form
        assert office.code() in form
    assert envelope.reverse_path.startswith(f"codes+{issued.id}-1.")
    assert (issued.recipients, issued.state, issued.resends_left) == (1, CodeState.LIVE, SENDS_MAX - 1)
    assert issued.expires_at - office.clock.now() <= timedelta(minutes=5)


def test_nothing_but_the_envelope_shows_outside(office: Office) -> None:
    office.codes.issue(CLIENT, office.order())
    outside = message_from_bytes(office.context.outbound.taken[0][1], policy=policy.default)
    assert outside["Subject"] == "[...]"
    assert outside["Auto-Submitted"] == "auto-generated"
    assert outside["Reply-To"] == "codes@bank.example"
    assert re.fullmatch(r"<[0-9a-f]{24}-1\.[a-z2-7]{16}@bank\.example>", outside["Message-ID"])


@pytest.mark.parametrize("language, words, amount", [
    ("en", "Your code for this payment", "1,234.50"), ("de", "Ihr Code für diese Zahlung", "1.234,50"),
    ("de-CH", "Ihr Code für diese Zahlung", "1'234.50"),
    (None, "Your code for this payment", "1,234.50")])
def test_the_language_asked_for_else_the_banks(office: Office, language, words, amount) -> None:
    """Truth of amounts: CLDR."""
    office.codes.issue(CLIENT, office.order(language=language))
    text = parts(office.mails()[0])["text/plain"]
    assert words in text
    assert f"{amount}\N{NO-BREAK SPACE}EUR" in text


@pytest.mark.parametrize("language", ["it", "zz", "it-CH"])
def test_a_language_without_texts_is_rejected_when_it_is_asked_for(office: Office, language: str) -> None:
    with pytest.raises(GatewayError, match="language: no texts in this language; write one of de, en") as caught:
        office.codes.issue(CLIENT, office.order(language=language))
    assert caught.value.reason is Reason.INPUT_MALFORMED
    assert not office.context.outbound.taken


def test_html_loads_nothing_and_reads_well_aloud(office: Office) -> None:
    office.codes.issue(CLIENT, office.order(language="de"))
    html = parts(office.mails()[0])["text/html"]
    assert '<html lang="de">' in html
    assert html.count("<h1") == 1
    assert html.count('<th scope="row"') == 2
    assert not re.search(r"(?i)https?:|src=|href=|url\(|<script|@import", html)


def test_a_name_of_a_payee_is_a_name_and_no_html(office: Office) -> None:
    payee = Payee.of("URL (Pty) Ltd <b>src = x</b>", "DE02")
    office.codes.issue(CLIENT, office.order(transaction=type(PAID)(PAID.amount, payee)))
    text = parts(office.mails()[0])
    assert payee.name in text["text/plain"]
    assert "URL (Pty) Ltd &lt;b&gt;src = x&lt;/b&gt;" in text["text/html"]


def test_a_batch_shows_its_total_and_every_payee(office: Office) -> None:
    payees = [Payee.of(f"Payee {number}", f"ACC{number}") for number in range(200)]
    office.codes.issue(CLIENT, office.order(transaction=Batch.of(Money.of("100000", "JPY"), payees), digits=10))
    text = parts(office.mails()[0])
    assert len(office.code()) == 10
    for form in text.values():
        assert "100,000\N{NO-BREAK SPACE}JPY" in form
        assert all(f"Payee {number}" in form and f"ACC{number}" in form for number in range(200))


def test_a_login_has_no_payment(office: Office) -> None:
    office.codes.issue(CLIENT, office.order(purpose="login", transaction=None, digits=6, life_s=45))
    text = parts(office.mails()[0])["text/plain"]
    assert "Your code to sign in" in text
    assert re.search(r"for 4\d seconds", text)
    assert "Amount" not in text


# --- who gets it


def with_two_addresses(office: Office) -> None:
    """Anna has another address, and her certificate for it."""
    authorities, store = office.context.bank.authorities, office.context.gateway.store
    store.customers.put([Customer("10001", "Anna", (ANNA, WORK))])
    enrol(store, [(authorities.person("Anna", WORK, generate_signing_key("rsa-2048"), NOW), "10001")])


@pytest.mark.parametrize("customer, reason", [
    ("10003", Reason.CERTIFICATE_ABSENT), ("99999", Reason.CUSTOMER_UNKNOWN), ("10004", Reason.CUSTOMER_NO_ADDRESS)])
def test_without_a_way_there_is_no_code(office: Office, customer, reason) -> None:
    office.context.gateway.store.customers.put([Customer("10004", "Dora")])
    trouble = refused(office, customer=customer)
    assert (trouble.reason, trouble.retry) == (reason, False)
    assert office.context.gateway.store.codes.of_customer(customer, 9) == ()
    assert office.context.outbound.taken == []
    assert office.events == []


def test_an_address_with_the_certificate_of_another_customer_gets_nothing(office: Office) -> None:
    """Whoever could move an address to his own number would read the code of the one to whom it was bound."""
    store = office.context.gateway.store.customers
    store.put([Customer("10001", "Anna"), Customer("10007", "Mallory", (ANNA,))])
    assert refused(office, customer="10007").reason is Reason.CERTIFICATE_CONFLICT
    assert office.context.outbound.taken == []


def test_the_pipeline_checks_the_customer_of_a_certificate_once_more(office: Office) -> None:
    """The service looked before; the binding may have changed since then."""
    store = office.context.gateway.store.customers
    store.put([Customer("10001", "Anna"), Customer("10007", "Mallory", (ANNA,))])
    way = office.codes._way
    office.codes._way = replace(way, select=lambda address: Found(tuple(
        replace(row, customer="10007") for row in way.select(address).rows), enrolled=True))
    assert refused(office, customer="10007").reason is Reason.RECIPIENT_OTHER_CUSTOMER
    assert office.context.outbound.taken == []


def test_a_distrusted_certificate_counts_no_more_at_once(office: Office) -> None:
    office.codes.issue(CLIENT, office.order())
    gateway = office.context.gateway
    (entry,) = gateway.store.certificates.list(customer="10001")
    gateway.store.certificates.set_trust(entry.row.sha256, "distrusted")
    gateway._looked -= 2  # a mail looks once a second
    with pytest.raises(GatewayError) as caught:
        office.codes.issue(CLIENT, office.order())
    assert caught.value.reason is Reason.CERTIFICATE_DISTRUSTED


def test_one_mail_to_all_addresses_that_have_a_certificate(office: Office) -> None:
    office.context.gateway.store.customers.put([Customer("10001", "Anna", (ANNA, WORK))])
    assert office.codes.issue(CLIENT, office.order()).recipients == 1
    with_two_addresses(office)
    assert office.codes.issue(CLIENT, office.order()).recipients == 2
    first, second = office.context.outbound.taken
    assert (first[0], second[0]) == ((ANNA,), (ANNA, WORK))
    assert message_from_bytes(second[1])["To"] == f"{ANNA}, {WORK}"


@pytest.mark.parametrize("answer", [451, 550])
def test_one_address_that_is_not_taken_keeps_no_other_from_its_code(office: Office, answer) -> None:
    with_two_addresses(office)
    office.context.outbound.codes[WORK] = answer
    issued = office.codes.issue(CLIENT, office.order())
    assert (issued.recipients, issued.state) == (1, CodeState.LIVE)
    assert [to for to, _, _ in office.context.outbound.taken] == [(ANNA,)]
    assert office.codes.verify(CLIENT, issued.id, office.code(), PAID).valid


@pytest.mark.parametrize("answers, reason, retry", [
    ((550, 451), Reason.NEXT_HOP_LATER, True), ((451, 550), Reason.NEXT_HOP_LATER, True),
    ((550, 550), Reason.NEXT_HOP_REFUSED, False)])
def test_of_two_that_are_not_taken_the_one_counts_that_may_pass(office: Office, answers, reason, retry) -> None:
    with_two_addresses(office)
    office.context.outbound.codes |= dict(zip((ANNA, WORK), answers, strict=True))
    trouble = refused(office)
    assert (trouble.reason, trouble.retry) == (reason, retry)


# --- what becomes of it when it cannot leave


@pytest.mark.parametrize("answer, reason, retry", [
    (451, Reason.NEXT_HOP_LATER, True), (0, Reason.NEXT_HOP_LATER, True), (550, Reason.NEXT_HOP_REFUSED, False)])
def test_what_the_next_hop_does_not_take_is_cancelled_and_never_queued(office: Office, answer, reason, retry) -> None:
    office.context.outbound.codes[ANNA] = answer
    trouble = refused(office)
    assert (trouble.reason, trouble.retry) == (reason, retry)
    (row,) = office.context.gateway.store.codes.of_customer("10001", 9)
    assert row.state is CodeState.CANCELLED
    assert office.kinds == ["accepted", "failed"]
    assert office.events[1].reason is reason
    assert office.context.gateway.store.hold.list() == ()


def test_a_mail_that_fails_ends_the_code_before_it_as_well(office: Office) -> None:
    """Two that live would be one too many; the caller who asks again gets a third."""
    office.codes.issue(CLIENT, office.order())
    office.context.outbound.codes[ANNA] = 451
    refused(office)


def test_a_surprise_says_nothing_of_the_mail(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the code is 12345678")

    monkeypatch.setattr(office.context.outbound, "deliver", broken, raising=False)
    trouble = refused(office)
    assert (trouble.reason, trouble.retry) == (Reason.INTERNAL, True)
    assert "12345678" not in str(trouble)
    assert trouble.__cause__ is None


def test_events_that_cannot_be_told_keep_no_code_back(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(_: object) -> None:
        raise GatewayError(Reason.STORE_UNAVAILABLE, retry=True)

    monkeypatch.setattr(office.codes.desk, "sink", dead)
    with structlog.testing.capture_logs() as lines:
        issued = office.codes.issue(CLIENT, office.order())
    assert office.codes.verify(CLIENT, issued.id, office.code(), PAID).valid
    events = [one["events"] for one in lines if one["event"] == "callback.event_not_stored"]
    assert events == [["accepted", "delivered"]]


@pytest.mark.parametrize("changed, field", [
    ({"purpose": ""}, "purpose"), ({"purpose": "Login"}, "purpose"), ({"purpose": "a" * 33}, "purpose"),
    ({"purpose": "a\n"}, "purpose"), ({"digits": 5}, "digits"), ({"digits": 11}, "digits"), ({"life_s": 29}, "life_s"),
    ({"language": "de\r\nBcc: x@y"}, "language"), ({"language": "../x"}, "language"),
    ({"reference": "a" * 65}, "reference"), ({"reference": "ä"}, "reference"), ({"reference": "a\r\n"}, "reference")])
def test_an_order_out_of_bounds_is_told_by_its_field(office: Office, changed, field) -> None:
    trouble = refused(office, **changed)
    assert (trouble.reason, trouble.retry) == (Reason.INPUT_MALFORMED, False)
    assert trouble.detail.startswith(field)


def test_a_longer_life_than_the_bank_allows_is_cut(office: Office) -> None:
    issued = office.codes.issue(CLIENT, office.order(life_s=3600))
    assert timedelta(seconds=890) < issued.expires_at - office.clock.now() <= timedelta(seconds=900)


# --- limits, and sending again


def test_limits_hold_and_are_told_as_such(office: Office) -> None:
    for number in range(20):
        office.codes.issue(CLIENT, office.order(purpose=f"p{number}"))
    with pytest.raises(GatewayError) as caught:
        office.codes.issue(CLIENT, office.order())
    assert (caught.value.reason, caught.value.retry) == (Reason.CODE_OFTEN, True)
    assert len(office.mails()) == 20
    office.clock.late = timedelta(hours=1)
    office.codes.issue(CLIENT, office.order())


def test_the_same_code_is_sent_again_a_few_times(office: Office) -> None:
    issued = office.codes.issue(CLIENT, office.order())
    for left in range(SENDS_MAX - 2, -1, -1):
        again = office.codes.resend(CLIENT, issued.id, PAID)
        assert (again.id, again.expires_at, again.resends_left) == (issued.id, issued.expires_at, left)
    with pytest.raises(GatewayError) as caught:
        office.codes.resend(CLIENT, issued.id, PAID)
    assert (caught.value.reason, caught.value.retry) == (Reason.CODE_OFTEN, False)
    assert len({code_in(one) for one in office.mails()}) == 1
    headers = {message_from_bytes(octets)["Message-ID"] for _, octets, _ in office.context.outbound.taken}
    paths = {envelope.reverse_path for _, _, envelope in office.context.outbound.taken}
    assert (len(headers), len(paths)) == (SENDS_MAX, SENDS_MAX)
    assert [(one.kind, one.mail) for one in office.events] == [
        ("accepted", 0), ("delivered", 1), ("delivered", 2), ("delivered", 3), ("delivered", 4)]


def test_sent_again_is_what_was_ordered_and_nothing_else(office: Office) -> None:
    issued = office.codes.issue(CLIENT, office.order())
    other = type(PAID)(Money.of("1234.51", "EUR"), PAID.payee)
    for transaction in (other, None):
        with pytest.raises(GatewayError) as caught:
            office.codes.resend(CLIENT, issued.id, transaction)
        assert caught.value.reason is Reason.CODE_CHANGED
    assert len(office.mails()) == 1
    assert office.codes.show(CLIENT, issued.id).tries_left == 5


def test_a_code_that_cannot_be_sent_again_lives_on(office: Office) -> None:
    issued = office.codes.issue(CLIENT, office.order())
    office.context.outbound.codes[ANNA] = 451
    with pytest.raises(GatewayError) as caught:
        office.codes.resend(CLIENT, issued.id, PAID)
    assert caught.value.retry is True
    assert office.codes.verify(CLIENT, issued.id, office.code(), PAID).valid


@pytest.mark.parametrize("end, reason", [
    (lambda codes, code_id: codes.cancel(CLIENT, code_id), Reason.CODE_CANCELLED),
    (lambda codes, _: codes.block("10001"), Reason.CUSTOMER_BLOCKED)])
def test_what_lives_no_more_is_not_sent_again(office: Office, end, reason) -> None:
    issued = office.codes.issue(CLIENT, office.order())
    end(office.codes, issued.id)
    with pytest.raises(GatewayError) as caught:
        office.codes.resend(CLIENT, issued.id, PAID)
    assert caught.value.reason is reason
