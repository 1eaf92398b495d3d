"""Names and records of SMIMEA. Truth: RFC 8162 3 with its example, the example of Bouncy Castle's DANE test (`test`),
RFC 3492 and RFC 5890 for domains, dnspython's reading of the names.
"""

from hashlib import sha256

import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.smimea import dns_name, owner_name, owner_names, record


@pytest.mark.parametrize(("address", "name"), [
    ("hugh@example.com", "c93f1e400f26708f98cb19d936620da35eec8f72e57f9eec01c1afd6._smimecert.example.com."),
    ("test@test.com", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15._smimecert.test.com."),
])
def test_published_examples(address, name) -> None:
    assert owner_name(address) == name


def hashed(text):
    return sha256(text.encode()).hexdigest()[:56]


@pytest.mark.parametrize(("written", "meant"), [
    ("Anna", "Anna"),  # case counts
    ("anna+bank", "anna+bank"),
    ('"anna"', "anna"),
    ('"a b"', "a b"),
    ('"a\\"b"', 'a"b'),
    ('"a@b"', "a@b"),
    ("do\u0308rte", "d\u00f6rte"),  # normal form C
    ("\u4f8b", "\u4f8b"),
    ('"', '"'),
])
def test_the_local_part_that_is_hashed(written, meant) -> None:
    assert owner_name(f"{written}@example.com") == f"{hashed(meant)}._smimecert.example.com."


@pytest.mark.parametrize(("domain", "name"), [
    ("Example.COM", "example.com"),
    ("example.com.", "example.com"),
    ("m\u00fcller.example", "xn--mller-kva.example"),
    ("M\u00dcLLER.example", "xn--mller-kva.example"),
    ("stra\u00dfe.example", "xn--strae-oqa.example"),  # IDNA2008: another domain than strasse.example
    ("xn--mller-kva.example", "xn--mller-kva.example"),
    ("a_b.example", "a_b.example"),
    ("x" * 63 + ".example", "x" * 63 + ".example"),
])
def test_domains(domain, name) -> None:
    assert dns_name(domain) == name


@pytest.mark.parametrize("address", [
    "", "@", "anna", "anna@", "@example.com", "anna@a..b", "anna@.example.com", "anna@[192.0.2.1]", "anna@a b.example",
    "anna@" + "x" * 64 + ".example", "anna@" + "abc." * 60 + "example", "an\0na@example.com", "an\ud800na@example.com",
    "anna@\ud800.example", "anna@a\u200bb.example", "anna@ex*mple.com", "anna@(x).example",
])
def test_what_can_have_no_name(address) -> None:
    assert owner_name(address) is None
    assert owner_names(address) == ()


def test_the_longest_name() -> None:
    """RFC 1035 2.3.4: 255 octets on the wire, 253 as text; 56 + 12 go before the domain."""
    fits = ".".join(["x" * 61] * 2 + ["y" * 61])  # 185 characters
    assert len(owner_name(f"a@{fits}") or "") == 254
    assert owner_name(f"a@{fits}y") is None


def test_two_names_only_where_case_makes_a_difference() -> None:
    assert owner_names("anna@Example.com") == (owner_name("anna@example.com"),)
    assert owner_names("Anna@example.com") == (owner_name("Anna@example.com"), owner_name("anna@example.com"))
    assert owner_names("\u00c4nna@example.com") == (owner_name("\u00c4nna@example.com"),)  # ASCII alone is folded


def test_the_record_is_the_whole_certificate() -> None:
    assert record(b"\x30\x00") == "3 0 0 3000"


@given(st.text(), st.text())
def test_every_name_is_one_that_dns_can_hold(local, domain) -> None:
    for name in owner_names(f"{local}@{domain}"):
        read = dns.name.from_text(name)
        assert read.is_absolute()
        assert read.labels[1] == b"_smimecert"
        assert read.to_text() == name


@given(st.text(st.characters(categories=["Ll", "Lu", "Nd"]), min_size=1))
def test_different_local_parts_have_different_names(local) -> None:
    assert owner_name(f"{local}@example.com") != owner_name(f"{local}x@example.com")
