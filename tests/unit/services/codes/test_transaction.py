"""One spelling of what is paid. Truth: ISO 4217's minor units (list of 2026), EU 2018/389 Article 5, hypothesis."""

import unicodedata
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, Reason
from gateway.services.codes import transaction as module
from gateway.services.codes.transaction import Batch, Money, Payee, minor_digits


def refused(call, *secrets: str) -> str:
    """INPUT_MALFORMED, and nothing of what was handed in is told."""
    with pytest.raises(GatewayError) as caught:
        call()
    assert caught.value.reason is Reason.INPUT_MALFORMED
    assert not [one for one in secrets if one.strip() and one in str(caught.value)]
    return caught.value.detail


@pytest.mark.parametrize("amount, currency, minor, shown", [
    ("10", "EUR", 1000, "10.00"), ("10.0", "EUR", 1000, "10.00"), ("10.00", "EUR", 1000, "10.00"),
    ("10.000", "EUR", 1000, "10.00"), ("0.01", "EUR", 1, "0.01"), ("1000", "JPY", 1000, "1000"),
    ("1000.0", "JPY", 1000, "1000"), ("1.234", "KWD", 1234, "1.234"), ("0.0001", "CLF", 1, "0.0001"),
    ("100.50", "HUF", 10050, "100.50"), ("5.05", "RSD", 505, "5.05"), ("1", "XOF", 1, "1"),
    ("9999999999999.99", "EUR", 999999999999999, "9999999999999.99"),
])
def test_amounts_are_minor_units(amount, currency, minor, shown) -> None:
    money = Money.of(amount, currency)
    assert (money.minor, str(money), money.decimal) == (minor, shown, Decimal(shown))


@pytest.mark.parametrize("amount", [
    "", "-1", "+1", "1,50", "1.234.50", "01", ".5", "5.", "1e3", "1 000", " 1", "1\n", "0", "0.00", "NaN", "Infinity",
    "١٢", "1.001", "0x10", "10000000000000.00", "1" * 40])
def test_what_is_no_amount_is_refused(amount) -> None:
    refused(lambda: Money.of(amount, "EUR"))


@pytest.mark.parametrize("currency", ["", "eur", "EURO", "€", "X" * 3, "XAU", "DEM", "E1R", "EUR\n"])
def test_what_is_no_currency_of_today_is_refused(currency) -> None:
    refused(lambda: Money.of("1", currency), currency)


def test_digits_are_those_of_payments_not_those_of_prices() -> None:
    digits = {code: minor_digits(code) for code in ("EUR", "HUF", "IDR", "COP", "ISK", "JPY", "TND", "CLF")}
    assert digits == {"EUR": 2, "HUF": 2, "IDR": 2, "COP": 2, "ISK": 0, "JPY": 0, "TND": 3, "CLF": 4}


@given(st.integers(1, 10**15 - 1), st.sampled_from(["EUR", "JPY", "KWD", "CLF"]))
def test_an_amount_as_shown_is_that_amount(minor, currency) -> None:
    money = Money(minor, currency, minor_digits(currency))
    assert Money.of(str(money), currency) == money


@pytest.mark.parametrize("one, other", [
    (("  Stadtwerke   Köln ", "DE89 3704 0044 0532 0130 00"), ("Stadtwerke Köln", "de89370400440532013000")),
    (("Sta\u0308dt", "1"), ("St\u00e4dt", "1")),
    (("A\u00a0B\tC", "1 2\u00a03"), ("A B C", "123")),
])
def test_what_people_read_alike_is_alike(one, other) -> None:
    assert Payee.of(*one) == Payee.of(*other)


@pytest.mark.parametrize("one, other", [
    (("Anna", "1"), ("anna", "1")), (("A B", "1"), ("AB", "1")), (("A", "O0"), ("A", "00")),
    (("A\u0430", "1"), ("Aa", "1"))])
def test_what_is_not_alike_stays_apart(one, other) -> None:
    assert Payee.of(*one) != Payee.of(*other)


@pytest.mark.parametrize("one, other", [("stra\u00dfe@pay", "strasse@pay"), ("\u017fepa@pay", "sepa@pay"),
                                        ("\ufb01n@pay", "fin@pay"), ("p\u0131n@pay", "pin@pay")])
def test_aliases_whose_capitals_are_one_are_two_accounts(one, other) -> None:
    assert Payee.of("A", one) != Payee.of("A", other)


@pytest.mark.parametrize("name, account", [
    ("", "DE02"), (" ", "DE02"), ("A", ""), ("A", " \t"), ("A" * 141, "DE02"), ("A", "1" * 65), ("A\x00B", "DE02"),
    ("A\u202eB", "DE02"), ("A\u200bB", "DE02"), ("A", "DE\u202e02"), ("A\x1b[2J", "DE02"), ("\ud800", "DE02"),
    # Letters and marks by Unicode's tables, nothing to the eye: fillers, a joiner of graphemes, Braille without a dot.
    ("\u3164", "DE02"), ("A\u3164B", "DE02"), ("\u115f\u1160", "DE02"), ("A\uffa0", "DE02"), ("A\u034fB", "DE02"),
    ("\u2800", "DE02"), ("A", "DE\u034f02"), ("A\u180bB", "DE02"),
    ("A" + "\u0336" * 9, "DE02")])  # marks piled up over the amount in the next line
def test_what_would_not_show_as_it_is_is_refused(name, account) -> None:
    """Direction marks and invisible characters would show the customer another payee than the bank pays."""
    refused(lambda: Payee.of(name, account), name, account)


@pytest.mark.parametrize("name", [
    "Nguy\u1ec5n", "\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd", "\u0e19\u0e49\u0e33",
    "\u0f66\u0f92\u0fb2\u0f74\u0f56", "\u8fbb\U000e0100",
    "caf\u00e9 \u2764\ufe0f"])
def test_names_of_all_scripts_pass(name) -> None:
    assert Payee.of(name, "DE02").name == unicodedata.normalize("NFC", name)


def test_the_longest_names_and_accounts_pass() -> None:
    payee = Payee.of("A" * module.NAME_CHARACTERS_MAX, "1" * module.ACCOUNT_CHARACTERS_MAX)
    assert (len(payee.name), len(payee.account)) == (140, 64)


@given(st.text(max_size=60), st.text(max_size=40))
def test_a_spelling_is_its_own_spelling(name, account) -> None:
    try:
        payee = Payee.of(name, account)
    except GatewayError:
        return
    assert Payee.of(payee.name, payee.account) == payee
    assert unicodedata.is_normalized("NFC", payee.name)
    assert payee.name.isprintable()
    assert " " not in payee.account


def test_of_a_batch_neither_order_nor_repetition_counts() -> None:
    total = Money.of("3", "EUR")
    a, b = Payee.of("A", "DE02"), Payee.of("B", "DE03")
    assert Batch.of(total, [a, b]) == Batch.of(total, [b, a, b])
    assert Batch.of(total, [a]) != Batch.of(total, [a, b])


@pytest.mark.parametrize("count, right", [(0, False), (1, True), (200, True), (201, False)])
def test_a_batch_has_as_many_payees_as_a_mail_can_show(count, right) -> None:
    payees = [Payee.of("A", f"{number}") for number in range(count)]
    if right:
        assert len(Batch.of(Money.of("1", "EUR"), payees).payees) == count
    else:
        refused(lambda: Batch.of(Money.of("1", "EUR"), payees))


def euros(text: str) -> Money:
    return Money.of(text, "EUR")


def test_with_amounts_two_equal_entries_are_two_payments() -> None:
    a, b = Payee.of("A", "DE02", euros("1")), Payee.of("A", "DE02", euros("2"))
    assert Batch.of(euros("4"), [a, b, a]) == Batch.of(euros("4"), [b, a, a])
    assert len(Batch.of(euros("4"), [a, b, a]).payees) == 3


@pytest.mark.parametrize(("payees", "words"), [
    ([Payee.of("A", "1", Money.of("1", "EUR")), Payee.of("B", "2")], "an amount for each, or for none"),
    ([Payee.of("A", "1", Money.of("1", "EUR")), Payee.of("B", "2", Money.of("1", "EUR"))], "do not add up"),
    ([Payee.of("A", "1", Money.of("3", "USD"))], "do not add up"),
])
def test_amounts_that_do_not_make_the_total_are_refused(payees, words) -> None:
    assert words in refused(lambda: Batch.of(euros("3"), payees))
