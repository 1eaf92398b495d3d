"""Which certificates a mail is encrypted to. Truth: the field's rules, complaint by complaint."""

import hashlib
from dataclasses import replace

import pytest

from gateway.authority.ca import Profile, Purpose
from gateway.errors import Reason
from gateway.model.lookup import Absent, CertificateRow, Conflict, Found, Unusable
from gateway.pki.revocation import Known, Revocation
from gateway.pki.select import select
from tests.support.pki import LONG_AGO, NOW, get_pki
from tests.support.sealed import trust_of

BOB = "bob@customer.example"


def row(person, customer=None, **fields):
    certificate = person.certificate
    return CertificateRow(certificate.sha256, certificate.der, certificate.emails, certificate.not_before,
                          certificate.not_after, customer=customer, **fields)


def bob(algorithm="p-256", **options):
    return get_pki().recipient(algorithm, **{"email": BOB, **options})


def chosen(*rows, address=BOB, want="any", **options):
    return select(rows, address, NOW, trust_of(get_pki(), intermediates=True), want, **options)


def reasons(answer):
    return [loser.reason for loser in answer.losers]


def test_nobody_knows_one():
    assert chosen() == Absent()


def test_the_one_that_is_there():
    answer = chosen(row(bob()))
    assert isinstance(answer, Found)
    assert not answer.enrolled
    assert len(answer.rows) == 1


def test_one_expired_beside_a_valid_one_never_hides_it():
    answer = chosen(row(bob(not_after=LONG_AGO)), row(bob("rsa-2048")))
    assert isinstance(answer, Found)
    assert [r.sha256 for r in answer.rows] == [bob("rsa-2048").certificate.sha256]
    assert reasons(answer) == [Reason.CERTIFICATE_EXPIRED]


def test_every_loser_has_its_reason():
    stranger = get_pki("Strangers").recipient("p-256", email=BOB)
    signing = get_pki().signer("p-256", email=BOB)
    other = bob(email="alice@customer.example")
    broken = replace(row(bob()), sha256="0" * 64, der=b"\x30\x03\x02\x01\x00")
    distrusted = replace(row(bob(which=1)), trust="distrusted")
    answer = chosen(row(bob(not_after=LONG_AGO)), row(stranger), row(signing), row(other), broken, distrusted)
    assert isinstance(answer, Unusable)
    assert reasons(answer) == [
        Reason.CERTIFICATE_EXPIRED, Reason.PATH_ISSUER_MISSING, Reason.CERTIFICATE_WRONG_USAGE,
        Reason.CERTIFICATE_ADDRESS_MISMATCH, Reason.CERTIFICATE_MALFORMED, Reason.CERTIFICATE_DISTRUSTED]


@pytest.mark.parametrize(("asked", "found"), [
    ("BOB@Customer.Example", True), ("bob@customer.example", True), ("bob@customer.example.", False),
    ("bo\N{KELVIN SIGN}@customer.example", False)])
def test_case_does_not_matter_and_nothing_else_is_folded(asked, found):
    assert isinstance(chosen(row(bob()), address=asked), Found) is found


def test_the_common_name_is_no_address():
    named = get_pki().person(Purpose.DECRYPT, "p-256", name=BOB, profile=Profile(
        frozenset({"key_agreement"}), ("1.3.6.1.5.5.7.3.4",)))
    assert reasons(chosen(row(named))) == [Reason.CERTIFICATE_ADDRESS_MISMATCH]


def test_all_of_one_customers_devices():
    answer = chosen(row(bob(), "4711"), row(bob("rsa-2048"), "4711"), row(bob("x25519"), "4711"))
    assert isinstance(answer, Found)
    assert answer.enrolled
    assert len(answer.rows) == 3


def test_bound_ones_exclude_found_ones_even_when_they_are_useless():
    found = row(bob("rsa-2048"))
    answer = chosen(found, row(bob(), "4711"))
    assert isinstance(answer, Found)
    assert answer.enrolled
    assert reasons(answer) == [Reason.CERTIFICATE_DISPLACED]
    answer = chosen(found, row(bob(not_after=LONG_AGO), "4711"))
    assert isinstance(answer, Unusable)
    assert sorted(reasons(answer)) == [Reason.CERTIFICATE_DISPLACED, Reason.CERTIFICATE_EXPIRED]


def test_where_enrolled_ones_are_wanted_found_ones_lose_by_name():
    answer = chosen(row(bob()), want="enrolled")
    assert isinstance(answer, Unusable)
    assert reasons(answer) == [Reason.CERTIFICATE_NOT_ENROLLED]
    assert isinstance(chosen(row(bob(), "4711"), want="enrolled"), Found)


def test_found_ones_of_one_holder_are_all_used():
    answer = chosen(row(bob()), row(bob(which=1)))
    assert isinstance(answer, Found)
    assert len(answer.rows) == 2


def test_found_ones_of_different_holders_are_a_conflict():
    other = bob(which=2, name="Robert Roe")
    answer = chosen(row(bob()), row(other))
    assert isinstance(answer, Conflict)
    assert len(answer.owners) == 2
    expired = bob(which=2, name="Robert Roe", not_after=LONG_AGO)
    assert isinstance(chosen(row(bob()), row(expired)), Found), "what is useless anyway is no rival"


def test_customers_with_one_address_are_a_conflict():
    answer = chosen(row(bob(), "4711"), row(bob("rsa-2048"), "4712"))
    assert isinstance(answer, Conflict)
    assert sorted(answer.owners) == ["4711", "4712"]


def test_the_same_certificate_from_two_sources_counts_once():
    answer = chosen(row(bob(), source="ldap"), row(bob(), "4711", source="store"))
    assert isinstance(answer, Found)
    assert len(answer.rows) == 1


def test_the_banks_trust_of_a_row_replaces_its_path_only():
    stranger = get_pki("Strangers").recipient("p-256", email=BOB)
    assert isinstance(chosen(replace(row(stranger), trust="trusted")), Found)
    late = get_pki("Strangers").recipient("p-256", email=BOB, not_after=LONG_AGO)
    assert reasons(chosen(replace(row(late), trust="trusted"))) == [Reason.CERTIFICATE_EXPIRED]
    elsewhere = get_pki("Strangers").recipient("p-256", email="x@y.example")
    assert reasons(chosen(replace(row(elsewhere), trust="trusted"))) == [Reason.CERTIFICATE_ADDRESS_MISMATCH]


class Revoked:
    """A table in which everything is revoked."""

    version = "all revoked"

    def known(self, certificate, issuer, at, received):
        return Known("revoked")


def test_revocation_by_its_mode():
    answer = chosen(row(bob()), revocation=Revocation("soft", Revoked()))
    assert reasons(answer) == [Reason.CERTIFICATE_REVOKED]
    assert reasons(chosen(row(bob()), revocation=Revocation("require"))) == [Reason.REVOCATION_UNAVAILABLE]
    assert isinstance(chosen(row(bob()), revocation=Revocation("none", Revoked())), Found)


def test_a_row_is_judged_by_its_octets():
    """A row that lies about its addresses or times does not get through."""
    lying = replace(row(bob(not_after=LONG_AGO)), not_after=NOW.replace(year=2040))
    assert reasons(chosen(lying)) == [Reason.CERTIFICATE_EXPIRED]
    assert lying.sha256 == hashlib.sha256(lying.der).hexdigest()
