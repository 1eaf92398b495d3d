"""Spellings of one mailbox (RFC 5280 7.5); expected forms from UTS 46's conformance examples and `idn2`."""

import pytest

from gateway.cms.mailbox import in_ascii, same_mailbox, spellings

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
    ("anna@\u2603.example", "anna@xn--n3h.example"),  # not allowed by IDNA 2008
    ("anna@xn--\u00fc.example", "anna@xn--xn---3ra.example"),
    ("anna@xn--99999999.example", "anna@xn--99999999.example"),
    ("", ""),
])
def test_what_servers_look_up(address: str, plain: str) -> None:
    assert in_ascii(address) == plain


def test_a_plain_address_has_one_spelling() -> None:
    assert spellings("J\u00f6rg@Customer.example") == ("j\u00f6rg@customer.example",)
    assert len(spellings("anna@" + "\u00fc" * 300)) == 1


def test_no_address_is_no_mailbox() -> None:
    assert not same_mailbox("", "")
    assert not same_mailbox("anna@m\u00fcller.example", "anna@muller.example")
    assert same_mailbox(PLAIN, LETTERS)
