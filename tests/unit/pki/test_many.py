"""Answers for very many addresses. Truth: `pki.select`, which judges each certificate in full."""

import random
from dataclasses import replace

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.authority.ca import Naming, create_intermediate, generate_signing_key
from gateway.cms.certificate import parse_certificate
from gateway.errors import Reason
from gateway.model.lookup import CertificateRow, Found, Unusable
from gateway.pki import bulk as module
from gateway.pki.bulk import BulkSelect, read
from gateway.pki.revocation.verdict import Known, Revocation
from gateway.pki.select import select
from gateway.pki.trust import anchors_of
from tests.support.pki import ALGORITHMS_ENCRYPT, END, LONG_AGO, NOW, START, get_pki
from tests.support.sealed import trust_of

PKI = get_pki()
BOB = "bob@customer.example"


def row(person, customer=None, **fields):
    certificate = person.certificate
    return CertificateRow(certificate.sha256, certificate.der, certificate.emails, certificate.not_before,
                          certificate.not_after, customer=customer, **fields)


def bob(algorithm="p-256", **options):
    return PKI.recipient(algorithm, **{"email": BOB, **options})


def trust():
    return trust_of(PKI, intermediates=True)


def below(constraint):
    """An authority that may not speak for all names."""
    return create_intermediate(PKI.root, Naming("Some Names", "Test Bank", "DE"), generate_signing_key("p-256"), START,
                               END, extensions=((constraint, True),))


MAIL_ONLY = below(x509.NameConstraints([x509.RFC822Name("customer.example")], None))
HOLDERS = below(x509.NameConstraints(None, [x509.DirectoryName(x509.Name([
    x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "XX")]))]))
STRANGERS = get_pki("Strangers of many")


def rows():
    """One of each sort that there is, by name."""
    good = row(bob(), customer="1001")
    forged = good.der[:-1] + bytes([good.der[-1] ^ 1])
    return {
        **{algorithm: row(bob(algorithm), customer="1001") for algorithm in ALGORITHMS_ENCRYPT},
        "found": row(bob(which=1)),
        "expired": row(bob(not_after=LONG_AGO), customer="1001"),
        "not yet": row(bob(not_before=END, not_after=END.replace(year=2046)), customer="1001"),
        "last second": row(bob(not_after=NOW), customer="1001"),
        "signs": row(PKI.signer("p-256", email=BOB), customer="1001"),
        "stranger": row(STRANGERS.recipient("p-256", email=BOB)),
        "vouched for": row(STRANGERS.recipient("p-256", email=BOB, which=1), trust="trusted"),
        "distrusted": row(bob(which=2), customer="1001", trust="distrusted"),
        "somebody else": row(bob(email="alice@customer.example"), customer="1001"),
        "two names": row(bob(emails=("b@customer.example", BOB)), customer="1001"),
        "written large": row(bob(email="Bob@Customer.Example"), customer="1001"),
        "utf-8": row(bob(emails=("bób@customer.example", BOB)), customer="1001"),
        "policies": row(bob(policies=("1.2.3.4",)), customer="1001"),
        "may not name": row(bob(email="bob@else.example", issuer=MAIL_ONLY), customer="1001"),
        "may name": row(bob(issuer=MAIL_ONLY), customer="1001"),
        "names of holders": row(bob(issuer=HOLDERS), customer="1001"),
        "unknown critical": row(bob(extensions=((x509.UnrecognizedExtension(
            x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00"), True),)), customer="1001"),
        "no certificate": replace(good, sha256="0" * 64, der=b"\x30\x03\x02\x01\x00"),
        "cut": replace(good, sha256="1" * 64, der=good.der[:-9]),
        "forged": replace(row(bob(which=7)), sha256="2" * 64, der=forged),
    }


ROWS = rows()


class Listed:
    """Revocation data that names some serial numbers."""

    version = "of this test"

    def __init__(self, *serials, unknown=()):
        self.serials, self.unknown = serials, unknown

    def known(self, certificate, issuer, at, received):
        del issuer, at, received
        if certificate.serial in self.serials:
            return Known("revoked", revoked_at=START)
        return Known("unknown") if certificate.serial in self.unknown else Known("good", fresh=True)


def intermediates():
    return replace(trust(), intermediates=(*trust().intermediates, *(
        parse_certificate(issuer.der) for issuer in (MAIL_ONLY, HOLDERS))))


REVOCATION = Revocation("require", Listed(bob("rsa-2048").certificate.serial,
                                          unknown={bob("x25519").certificate.serial}))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.lists(st.sampled_from(sorted(set(ROWS) - {"forged"})), max_size=3, unique=True),
                          st.sampled_from(["any", "enrolled"]),
                          st.sampled_from([BOB, "BOB@customer.EXAMPLE", "bob@else.example"])), min_size=1, max_size=8))
def test_the_answer_is_that_of_select_whatever_came_before(asked) -> None:
    many = BulkSelect(intermediates(), REVOCATION, NOW)
    for names, want, address in asked:
        given_rows = tuple(ROWS[name] for name in names)
        assert many(given_rows, address, want) == select(
            given_rows, address, NOW, intermediates(), want, revocation=REVOCATION), names


@pytest.mark.parametrize("name", sorted(set(ROWS) - {"forged"}))
def test_each_alone_is_judged_as_select_judges_it(name: str) -> None:
    address = "bob@else.example" if name == "may not name" else BOB
    for revocation in (Revocation(), REVOCATION):
        many = BulkSelect(intermediates(), revocation, NOW)
        for _ in range(2):  # as the first of its kind, and as another one
            assert many((ROWS[name],), address) == select((ROWS[name],), address, NOW, intermediates(),
                                                          revocation=revocation)


@pytest.mark.parametrize("algorithm", ALGORITHMS_ENCRYPT)
def test_what_is_read_the_quick_way_is_what_the_reader_reads(algorithm: str) -> None:
    person = bob(algorithm, emails=(BOB, "b2@customer.example"))
    found = read(person.der)
    assert found is not None
    assert (found.serial, found.emails) == (person.certificate.serial, person.certificate.emails)


def test_those_of_one_authority_are_one_kind_and_the_path_is_walked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []
    validate = module.path.validate
    monkeypatch.setattr(module.path, "validate", lambda *given: judged.append(given) or validate(*given))
    many = BulkSelect(trust(), Revocation(), NOW)
    for number in range(50):
        person = PKI.recipient("p-256", email=f"c{number}@customer.example", which=number)
        assert isinstance(many((row(person, customer=str(number)),), f"c{number}@customer.example"), Found)
    assert (len(judged), many.quick, many.full) == (1, 50, 0)


@pytest.mark.parametrize("different", [
    {"policies": ("1.2.3.4",)}, {"issuer": MAIL_ONLY},
    {"extensions": ((x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00"), False),)}])
def test_whatever_is_not_known_to_differ_harmlessly_makes_another_kind(different) -> None:
    one, other = read(bob().der), read(bob(**different).der)
    assert one is not None
    assert other is not None
    assert one.kind != other.kind


def test_a_short_key_is_no_long_one_of_the_same_length_of_octets() -> None:
    """2040 bits in 255 octets and a zero before: the modulus' first octets are part of the kind."""
    person = bob("rsa-2048")
    modulus = person.certificate.x509.public_key().public_numbers().n.to_bytes(256, "big")
    short = person.der.replace(modulus, b"\0" * 8 + modulus[8:])
    assert short != person.der
    assert read(short).kind != read(person.der).kind


def test_a_forged_one_that_comes_first_refuses_no_genuine_one() -> None:
    many = BulkSelect(trust(), Revocation(), NOW)
    assert many((ROWS["forged"],), BOB) == Unusable((module.Loser(ROWS["forged"], Reason.PATH_SIGNATURE),))
    assert isinstance(many((ROWS["p-256"],), BOB), Found)


def test_where_nobody_verifies_it_is_not_tried_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = []
    validate = module.path.validate
    monkeypatch.setattr(module.path, "validate", lambda *given: judged.append(given) or validate(*given))
    many = BulkSelect(trust(), Revocation(), NOW)
    der = ROWS["forged"].der
    for number in range(3 * module.DOUBTED_MAX):
        forged = replace(ROWS["forged"], sha256=f"{number:064x}", der=der[:-4] + number.to_bytes(4, "big"))
        assert isinstance(many((forged,), BOB), Unusable)
    assert len(judged) == module.DOUBTED_MAX


def test_octets_that_lie_about_lengths_never_end_a_pre_flight() -> None:
    """What can be read is no matter: nothing is raised."""
    chance = random.Random(5280)
    for der in (bob().der, bob("rsa-2048").der):
        for _ in range(3_000):
            at = chance.randrange(len(der))
            read(der[:at] + bytes([chance.randrange(256)]) + der[at + 1:])
            read(der[:at])


def test_without_anchors_nothing_is_decided() -> None:
    nobody = replace(trust(), recipients=anchors_of(()))
    assert BulkSelect(nobody, Revocation(), NOW)((ROWS["p-256"],), BOB) == select((ROWS["p-256"],), BOB, NOW, nobody)
