"""Octets of a directory as rows. Truth: RFC 8551 3.8 (bundles, as `cryptography` writes them), and the house's rule
that nothing which a directory says may look like absence.
"""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.directories.rows import CERTIFICATES_MAX, OCTETS_MAX, rows_of
from gateway.der.build import sequence
from gateway.errors import GatewayError, Reason
from tests.support.pki import get_pki

PKI = get_pki()
ANNA = PKI.recipient("p-256", emails=("Anna@Customer.Example", "a@customer.example"))
BEN = PKI.recipient("p-256", email="ben@customer.example")


def bundle(*ders):
    return pkcs7.serialize_certificates([x509.load_der_x509_certificate(der) for der in ders], Encoding.DER)


def ders(*values):
    return [row.der for row in rows_of(values, "partner")]


def refused(*values):
    with pytest.raises(GatewayError) as caught:
        rows_of(values, "partner")
    assert (caught.value.reason, caught.value.retry) == (Reason.CERTIFICATE_UNAVAILABLE, True)
    assert caught.value.detail.startswith("partner: ")


def test_a_row_says_what_the_certificate_says() -> None:
    (row,) = rows_of([ANNA.der], "partner")
    certificate = ANNA.certificate
    assert (row.sha256, row.source, row.customer, row.trust) == (certificate.sha256, "partner", None, None)
    assert row.addresses == ("anna@customer.example", "a@customer.example")
    assert (row.not_before, row.not_after) == (certificate.not_before, certificate.not_after)


def test_each_certificate_comes_once_and_in_order() -> None:
    assert ders(BEN.der, ANNA.der, BEN.der, bundle(ANNA.der)) == [BEN.der, ANNA.der]


def test_issuers_in_a_bundle_are_left_out() -> None:
    assert set(ders(bundle(ANNA.der, *ANNA.chain_der, PKI.root.der))) == {ANNA.der}


def test_an_issuer_alone_is_refused_by_select_not_dropped() -> None:
    assert ders(PKI.root.der) == [PKI.root.der]


def test_a_bundle_of_issuers_only_is_something() -> None:
    octets = bundle(*ANNA.chain_der, PKI.root.der)
    assert ders(octets) == [octets]


def test_a_bundle_of_nothing_is_something() -> None:
    empty = bundle(ANNA.der).replace(ANNA.der, b"")  # its lengths are wrong, then
    assert ders(empty) == [empty]


def test_a_damaged_member_does_not_hide_the_others() -> None:
    broken = bytearray(ANNA.der)
    broken[5] ^= 0xFF
    octets = bundle(ANNA.der, BEN.der).replace(ANNA.der, bytes(broken))
    assert set(ders(octets)) == {bytes(broken), BEN.der}


@pytest.mark.parametrize("junk", [b"", b"\0", b"junk", ANNA.der[:-1], ANNA.der + b"\0", b"-----BEGIN CERTIFICATE-----",
                                  sequence(), bytes(70_000)])
def test_junk_is_a_row_that_nothing_believes(junk) -> None:
    (row,) = rows_of([junk], "partner")
    assert (row.der, row.addresses) == (junk, ())


def test_the_limit_of_certificates() -> None:
    values = [b"\x30\x02%02d" % number for number in range(100)]
    assert len(rows_of(values, "partner")) == CERTIFICATES_MAX == 100
    refused(*values, b"one more")
    assert rows_of(values + values, "partner")  # the same ones again are none more


def test_the_limit_of_octets() -> None:
    half = bytes(OCTETS_MAX // 2)
    assert len(rows_of([half, half], "partner")) == 1
    refused(half, half, b"x")


def test_no_answer_is_absence() -> None:
    assert rows_of([], "partner") == ()


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_octets_are_never_nothing(values) -> None:
    assert rows_of(values, "partner")


@given(st.integers(0, len(bundle(ANNA.der, BEN.der)) - 1), st.integers(1, 255))
def test_a_mutated_bundle_is_never_nothing(at, change) -> None:
    octets = bytearray(bundle(ANNA.der, BEN.der))
    octets[at] ^= change
    assert rows_of([bytes(octets)], "partner")
