"""Which certificates a mail is encrypted to. Truth: the field's rules, complaint by complaint."""

import hashlib
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gateway.authority.ca import Profile, Purpose
from gateway.errors import Reason
from gateway.model.lookup import Absent, CertificateRow, Conflict, Found, Unavailable, Unusable
from gateway.pki.revocation.verdict import Known, Revocation
from gateway.pki.select import select
from tests.support.pki import END, LONG_AGO, NOW, START, Person, get_pki
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


class Partly:
    """A table that knows some certificates to be good, and nothing of the others."""

    version = "partly"

    def __init__(self, *good):
        self.good = good

    def known(self, certificate, issuer, at, received):
        return Known("good" if certificate.is_ca or certificate in self.good else "unknown")


def test_where_revocation_is_required_and_not_known_it_is_unavailable_not_unusable():
    answer = chosen(row(bob()), revocation=Revocation("require"))
    assert isinstance(answer, Unavailable)
    assert "revocation" in answer.detail
    assert reasons(answer) == [Reason.REVOCATION_UNAVAILABLE]
    beside = chosen(row(bob(not_after=LONG_AGO)), row(bob()), revocation=Revocation("require"))
    assert isinstance(beside, Unavailable)
    assert reasons(beside) == [Reason.CERTIFICATE_EXPIRED, Reason.REVOCATION_UNAVAILABLE]


def test_what_is_known_to_be_good_does_not_wait_for_what_is_not_known():
    known, unknown = bob(), bob(which=1)
    answer = chosen(row(unknown), row(known), revocation=Revocation("require", Partly(known.certificate)))
    assert isinstance(answer, Found)
    assert [one.sha256 for one in answer.rows] == [known.certificate.sha256]
    assert reasons(answer) == [Reason.REVOCATION_UNAVAILABLE]


def test_a_found_one_of_unknown_revocation_is_displaced_and_nobody_waits_for_it():
    bound, found = bob(not_after=LONG_AGO), bob(which=1)
    answer = chosen(row(bound, "1001"), row(found), revocation=Revocation("require"))
    assert isinstance(answer, Unusable)
    assert reasons(answer) == [Reason.CERTIFICATE_EXPIRED, Reason.CERTIFICATE_DISPLACED]
    alone = chosen(row(found), want="enrolled", revocation=Revocation("require"))
    assert isinstance(alone, Unusable)
    assert reasons(alone) == [Reason.CERTIFICATE_NOT_ENROLLED]


def weak():
    """Bob's certificate over RSA-1024, which our own authority does not issue."""
    pki = get_pki()
    issuer = x509.load_der_x509_certificate(pki.intermediate.der)
    der = (
        x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Bob")]))
        .issuer_name(issuer.subject).public_key(rsa.generate_private_key(65537, 1024).public_key())
        .serial_number(1024).not_valid_before(START).not_valid_after(END)
        .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(BOB)]), critical=False)
        .sign(pki.intermediate.key, hashes.SHA256()).public_bytes(Encoding.DER))
    return Person("weak", der, pki.intermediate.key, ())


@pytest.mark.parametrize("bad", ["expired", "revoked", "weak", "wrong usage", "of a stranger", "malformed"])
@pytest.mark.parametrize("first", [True, False], ids=["before", "behind"])
def test_field_6_no_bad_certificate_hides_a_good_one(bad, first):
    """Zammad 4029: one expired certificate beside a valid one blocks encryption, with no reason shown."""
    good = bob(which=3)
    others = {
        "expired": row(bob(not_after=LONG_AGO)), "revoked": row(bob(which=4)),
        "weak": row(weak()), "wrong usage": row(get_pki().signer("p-256", email=BOB)),
        "of a stranger": row(get_pki("Strangers").recipient("p-256", email=BOB)),
        "malformed": replace(row(bob()), sha256="0" * 64, der=b"\x30\x03\x02\x01\x00"),
    }

    class One:
        version = f"one {bad}"

        def known(self, certificate, issuer, at, received):
            return Known("revoked" if certificate == bob(which=4).certificate else "good")

    rows = [others[bad], row(good)] if first else [row(good), others[bad]]
    answer = chosen(*rows, revocation=Revocation("require", One()))
    assert isinstance(answer, Found)
    assert [one.sha256 for one in answer.rows] == [good.certificate.sha256]
    (reason,) = reasons(answer)
    expected = {
        "expired": Reason.CERTIFICATE_EXPIRED, "revoked": Reason.CERTIFICATE_REVOKED,
        "weak": Reason.CERTIFICATE_WEAK_KEY, "wrong usage": Reason.CERTIFICATE_WRONG_USAGE,
        "malformed": Reason.CERTIFICATE_MALFORMED}
    assert reason is expected.get(bad, reason)
    assert bad != "of a stranger" or reason.family == "path"


class Fetching:
    """An IntermediateSource that has asked for the issuer and has no answer yet; or was told that there is none."""

    def __init__(self, *, awaited):
        self._awaited = awaited

    def by_subject(self, subject):
        return ()

    def missing(self, certificate):
        return False

    def awaits_issuer(self, certificate):
        return self._awaited


@pytest.mark.parametrize(("awaited", "kind"), [(True, Unavailable), (False, Unusable)])
def test_a_missing_issuer_that_is_being_fetched_defers_and_one_that_is_not_to_be_had_refuses(awaited, kind):
    trust = replace(trust_of(get_pki()), known=Fetching(awaited=awaited))
    answer = select((row(bob()),), BOB, NOW, trust)
    assert isinstance(answer, kind)
    assert reasons(answer) == [Reason.PATH_ISSUER_MISSING]


def test_what_is_being_fetched_hides_no_good_one_and_makes_no_bad_one_wait():
    trust = replace(trust_of(get_pki()), known=Fetching(awaited=True))
    good = select((row(bob()), row(bob("rsa-2048"))), BOB, NOW, replace(trust, intermediates=bob().chain))
    assert isinstance(good, Found)
    assert isinstance(select((row(bob(not_after=LONG_AGO)),), BOB, NOW, trust), Unusable)


def test_field_7_mostly_expired_ones_are_no_ambiguity():
    """Mew 182: several collected certificates, mostly expired, none chosen."""
    old = [row(bob(not_after=LONG_AGO, which=which)) for which in range(4)]
    answer = chosen(*old, row(bob(which=5)))
    assert isinstance(answer, Found)
    assert len(answer.losers) == 4


def test_field_8_an_address_only_in_the_alternative_names_is_found():
    """Zammad 5517. The subject of the test PKI's certificates names a person, never an address."""
    person = get_pki().person(Purpose.DECRYPT, "p-256", emails=("first@customer.example", BOB), name="Bob Builder")
    assert "@" not in person.certificate.subject
    assert isinstance(chosen(row(person)), Found)


def test_field_9_a_common_name_that_looks_like_an_address_is_none():
    """Nextcloud 13379."""
    person = get_pki().person(Purpose.DECRYPT, "p-256", emails=("other@customer.example",), name=BOB)
    answer = chosen(row(person))
    assert reasons(answer) == [Reason.CERTIFICATE_ADDRESS_MISMATCH]
