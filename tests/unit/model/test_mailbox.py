"""Spellings of one mailbox (RFC 5280 7.5); expected forms from UTS 46's conformance examples and `idn2`."""

import pytest

from gateway.model.mailbox import (
    address_matches,
    in_ascii,
    in_domains,
    permitted_from,
    registered,
    same_domain,
    same_mailbox,
    spellings,
)

PLAIN, LETTERS = "anna@xn--mller-kva.example", "anna@m\u00fcller.example"


@pytest.mark.parametrize("address", [
    PLAIN, LETTERS, "Anna@M\u00dcLLER.example", "anna@mu\u0308ller.example", "ANNA@XN--MLLER-KVA.EXAMPLE"])
def test_all_spellings_lead_to_one_another(address: str) -> None:
    assert {PLAIN, LETTERS} <= set(spellings(address))
    assert in_ascii(address) == PLAIN


@pytest.mark.parametrize(("address", "plain"), [
    ("Anna@Customer.example", "anna@customer.example"),
    ("anna@\uff43ustomer\u3002example", "anna@customer.example"),
    ("anna@fa\u00df.example", "anna@xn--fa-hia.example"),
    ("anna@FA\u1e9e.example", "anna@xn--fa-hia.example"),
    ("anna@fa\u00df.\u2603.example", "anna@xn--fa-hia.xn--n3h.example"),  # sharp s beside what IDNA 2008 does not allow
    ("anna@\u2603.\u03c3\u03c2.example", "anna@xn--n3h.xn--3xab.example"),
    ("anna@\u2603.example", "anna@xn--n3h.example"),  # not allowed by IDNA 2008
    ("anna@xn--\u00fc.example", "anna@xn--xn---3ra.example"),
    ("anna@xn--99999999.example", "anna@xn--99999999.example"),
    ("", ""),
    ('"Anna"@Customer.example', "anna@customer.example"),
    ('"an\\na"@m\u00fcller.example', "anna@xn--mller-kva.example"),
    ('"an na"@customer.example', '"an na"@customer.example'),
    ('"a@b"@customer.example', '"a@b"@customer.example'),
    ('"a\\"b"@customer.example', '"a\\"b"@customer.example'),
    ('""@customer.example', '""@customer.example'),
    ('"anna@customer.example', '"anna@customer.example'),
])
def test_what_servers_look_up(address: str, plain: str) -> None:
    assert in_ascii(address) == plain


def test_a_plain_address_has_one_spelling() -> None:
    assert spellings("J\u00f6rg@Customer.example") == ("j\u00f6rg@customer.example",)
    assert len(spellings("anna@" + "\u00fc" * 300)) == 1


SHARP = ("anna@stra\u00dfe.example", "anna@STRA\u1e9eE.example", "anna@xn--strae-oqa.example")


def test_sharp_s_is_a_letter_of_its_own() -> None:
    """IDNA 2003 made two letters of it, which is the domain of somebody else today."""
    for one in SHARP:
        assert all(same_mailbox(one, other) for other in SHARP)
        assert not same_mailbox(one, "anna@strasse.example")
        assert same_domain(one, "@xn--strae-oqa.example")
        assert not same_domain(one, "anna@strasse.example")
        assert in_domains(one, ("Stra\u00dfe.example",))
        assert in_domains(one, frozenset({"xn--strae-oqa.example"}))
        assert not in_domains(one, ("strasse.example",))
        assert address_matches("*@STRA\u1e9eE.example", one)
        assert not address_matches("@strasse.example", one)


@pytest.mark.parametrize("label", ["xn--", "xn--bank-", "xn--strasse-", "xn--a", "xn--99999999"])
def test_what_is_no_a_label_is_no_other_domain(label: str) -> None:
    assert spellings(f"anna@{label}.example") == (f"anna@{label}.example",)


def test_no_address_is_no_mailbox() -> None:
    assert not same_mailbox("", "")
    assert not same_mailbox("anna@m\u00fcller.example", "anna@muller.example")
    assert same_mailbox(PLAIN, LETTERS)


def test_a_letter_that_only_stands_for_another_makes_no_mailbox() -> None:
    """RFC 5892: KELVIN SIGN and fullwidth letters are in no U-label; a look-up maps them (UTS 46), a name does not."""
    for other in ("anna@ban\u212a.example", "anna@\uff42ank.example"):
        assert in_ascii(other) == "anna@bank.example", "it is looked up, and routed, as the bank's"
        assert not same_mailbox("anna@bank.example", other)
        assert not permitted_from(("*@bank.example",), other)
        assert same_mailbox(other, other)
    assert permitted_from(("*@m\u00fcller.example",), "anna@M\u00dcLLER.example")


def test_quotes_that_say_nothing_make_no_other_mailbox() -> None:
    assert spellings('"Anna"@customer.example') == ('"anna"@customer.example', "anna@customer.example")
    assert registered('"Anna"@customer.example') == "anna@customer.example"
    assert same_mailbox('"anna"@customer.example', "anna@customer.example")
    assert not same_mailbox('"an na"@customer.example', "anna@customer.example")
