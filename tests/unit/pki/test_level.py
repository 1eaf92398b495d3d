"""What counts of a signer's identity. Truth: S/MIME BR 7.1.6.1, ETSI EN 319 412-5 4.2, RFC 5280 6.1 (policies), and
the house's rule: nothing counts but below a marked root, on a policy that survives, or by the bank's own registration.
"""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509

from gateway.authority import ca
from gateway.authority.ca import Naming, Profile, Purpose
from gateway.cms.certificate import parse_certificate
from gateway.der import build
from gateway.model.lookup import CertificateRow
from gateway.pki.level import OWN_POLICIES_MAX, WORDS, level_of
from gateway.pki.path import validation as path
from gateway.pki.trust import STATED, Mark, same_for_mail
from gateway.policy.levels import MESIGN, meant, stated
from gateway.policy.levels import WORDS as IN_POLICIES
from tests.support.pki import END, NOW, START, get_pki
from tests.support.sealed import trust_of

QC = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.3")
ANY = "2.5.29.32.0"
OWN = "1.3.6.1.4.1.99999.1.1"
TOKEN = "1.3.6.1.4.1.99999.2.1"
COMPLIANCE, SSCD = "0.4.0.1862.1.1", "0.4.0.1862.1.4"


def statements(*oids):
    return ((x509.UnrecognizedExtension(QC, build.sequence(*(build.sequence(build.oid(oid)) for oid in oids))), False),)


def policies(*oids):
    return (x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in oids]), False)


def authority(*oids, mapped=()):
    """An authority below the test root that asserts these policies."""
    pki = get_pki()
    signing = ca.generate_signing_key("p-256")
    extensions = [policies(*oids)] if oids else []
    if mapped:
        pairs = build.sequence(*(build.sequence(build.oid(upper), build.oid(lower)) for upper, lower in mapped))
        extensions.append((x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.33"), pairs), True))
    der = ca.issue(pki.root, Naming("Policy CA", "Test Bank", "DE"), signing.public_key(),
                   Profile(frozenset({"key_cert_sign", "crl_sign"}), is_ca=True), START, END,
                   extensions=tuple(extensions))
    return ca.Authority(der, signing)


WIDE = authority(ANY)


def level(person=None, mark=None, row=None, issuer=WIDE, trusted=False, **options):
    """The level of somebody below a root with this mark."""
    person = person or get_pki().person(Purpose.SIGN, "p-256", email="eve@customer.example", issuer=issuer, **options)
    pki = get_pki()
    marks = {} if mark is None else {pki.root_certificate.sha256: mark}
    trust = replace(trust_of(pki), marks=marks,
                    trusted=frozenset({person.certificate.sha256}) if trusted else frozenset())
    found = path.validate(person.certificate, NOW, "signer", trust, (parse_certificate(issuer.der), *person.chain))
    assert found.valid, found.reason
    return level_of(person.certificate, found, trust, row)


ALL = Mark(STATED)


@pytest.mark.parametrize(("oids", "words"), [
    ((), ()), (("2.23.140.1.5.1.1",), ("mailbox",)), (("2.23.140.1.5.1.2",), ("mailbox",)),
    (("2.23.140.1.5.2.3",), ("organisation",)), (("2.23.140.1.5.3.3",), ("sponsor",)),
    (("2.23.140.1.5.4.1",), ("individual",)), (("2.23.140.1.5.1.1", "2.23.140.1.5.4.2"), ("mailbox", "individual")),
    (("2.23.140.1.5.4.1", OWN), ("individual", OWN)),
    (("2.23.140.1.5.9.1",), ("2.23.140.1.5.9.1",)), (("2.23.140.1.5.1.4",), ("2.23.140.1.5.1.4",)), ((ANY,), ()),
    (("2.23.140.1.2.2",), ("2.23.140.1.2.2",))])  # the policy of a web server's certificate
def test_policies_below_a_marked_root(oids, words):
    assert level(mark=ALL, policies=oids) == words


def test_without_a_mark_nothing_that_a_certificate_says_counts():
    said = {"policies": ("2.23.140.1.5.4.3", OWN, TOKEN), "extensions": statements(COMPLIANCE, SSCD)}
    assert level(**said) == ()
    assert level(mark=Mark(), **said) == (OWN, TOKEN)  # marked, but for none of the words


def test_a_mark_lets_through_what_it_names_and_no_more():
    assert level(mark=Mark(frozenset({"mailbox"})), policies=("2.23.140.1.5.1.1", "2.23.140.1.5.4.1")) == ("mailbox",)


def test_a_policy_counts_only_if_every_authority_on_the_way_asserts_it():
    same = authority("2.23.140.1.5.4.1")
    other = authority("2.23.140.1.5.1.1")
    none = authority()
    assert level(mark=ALL, issuer=same, policies=("2.23.140.1.5.4.1",)) == ("individual",)
    assert level(mark=ALL, issuer=other, policies=("2.23.140.1.5.4.1",)) == ()
    assert level(mark=ALL, issuer=none, policies=("2.23.140.1.5.4.1",)) == ()


def test_an_authority_that_inhibits_any_policy_does_not_pass_it_on():
    inhibiting = authority(ANY)
    pki = get_pki()
    signing = ca.generate_signing_key("p-256")
    der = ca.issue(pki.root, Naming("Inhibiting CA", "Test Bank", "DE"), signing.public_key(),
                   Profile(frozenset({"key_cert_sign"}), is_ca=True), START, END,
                   extensions=(policies("2.23.140.1.5.1.1"), (x509.InhibitAnyPolicy(0), True)))
    strict = ca.Authority(der, signing)
    assert level(mark=ALL, issuer=strict, policies=("2.23.140.1.5.1.1",)) == ("mailbox",)
    assert level(mark=ALL, issuer=strict, policies=(ANY,)) == ()
    assert level(mark=ALL, issuer=inhibiting, policies=("2.23.140.1.5.1.1",)) == ("mailbox",)


def test_mapped_policies_count_as_what_the_root_calls_them():
    mapping = authority("2.23.140.1.5.4.1", mapped=(("2.23.140.1.5.4.1", OWN),))
    assert level(mark=ALL, issuer=mapping, policies=(OWN,)) == ("individual",)
    assert level(mark=ALL, issuer=mapping, policies=("2.23.140.1.5.4.1",)) == ()


def test_the_authoritys_own_policies_are_translated_by_the_mark():
    mark = Mark(policies={OWN: "sponsor"})
    assert level(mark=mark, policies=(OWN,)) == ("sponsor", OWN)
    assert level(mark=mark, policies=(TOKEN,)) == (TOKEN,)


def test_hardware_by_policy_or_by_a_statement_that_is_believed():
    assert level(mark=Mark(hardware_policies=frozenset({TOKEN})), policies=(TOKEN,)) == ("hardware", TOKEN)
    assert level(mark=Mark(qcsscd=True), extensions=statements(SSCD)) == ("hardware",)
    assert level(mark=Mark(), extensions=statements(SSCD)) == ()
    assert level(mark=Mark(qcsscd=True), extensions=statements(COMPLIANCE)) == ()


def test_qualified_where_the_root_may_say_so():
    assert level(mark=ALL, extensions=statements(COMPLIANCE)) == ("qualified",)
    assert level(mark=Mark(frozenset({"mailbox"})), extensions=statements(COMPLIANCE)) == ()


@pytest.mark.parametrize("value", [b"broken", b"\x30\x02\x30\x00", b"\x30\x04\x30\x02\x06\x00"])
def test_statements_that_cannot_be_read_say_nothing(value):
    broken = ((x509.UnrecognizedExtension(QC, value), False),)
    assert level(mark=Mark(STATED, qcsscd=True), extensions=broken) == ()


def row(person, **fields):
    certificate = person.certificate
    return CertificateRow(certificate.sha256, certificate.der, certificate.emails, certificate.not_before,
                          certificate.not_after, **fields)


@pytest.mark.parametrize(("fields", "words"), [
    ({"customer": "4711"}, ("bank_enrolled",)),
    ({"customer": "4711", "device_bound": True}, ("bank_enrolled", "hardware")),
    ({"customer": "4711", "key_origin": "token"}, ("bank_enrolled", "hardware")),
    ({"customer": "4711", "key_origin": "customer"}, ("bank_enrolled",)),
    ({"device_bound": True, "key_origin": "token"}, ())])  # merely found: nobody of the bank has looked at the token
def test_the_banks_own_registration_needs_no_mark(fields, words):
    person = get_pki().signer("p-256")
    assert level(person, row=row(person, **fields)) == words


def test_the_banks_word_on_a_certificate_replaces_the_path_and_so_all_that_hangs_on_it():
    person = get_pki().person(Purpose.SIGN, "p-256", email="pinned@customer.example", issuer=WIDE,
                              policies=("2.23.140.1.5.4.1",))
    assert level(person, ALL) == ("individual",)
    assert level(person, ALL, trusted=True) == ()
    assert level(person, ALL, row(person, customer="4711"), trusted=True) == ("bank_enrolled",)


def test_a_path_that_does_not_hold_gives_nothing():
    person = get_pki().signer("p-256", policies=("2.23.140.1.5.4.1",))
    trust = replace(trust_of(get_pki()), marks={get_pki().root_certificate.sha256: ALL})
    late = path.validate(person.certificate, datetime(2046, 1, 1, tzinfo=UTC), "signer", trust, person.chain)
    assert level_of(person.certificate, late, trust, row(person, customer="4711")) == ()


def test_roots_named_by_hand_are_marked_for_the_forums_words_and_nothing_else():
    """`inspect --trust`: who names a root wants to hear what its certificates say; nothing acts on it."""
    person = get_pki().person(Purpose.SIGN, "p-256", email="eve@customer.example", issuer=WIDE,
                              policies=("2.23.140.1.5.4.1",), extensions=statements(COMPLIANCE, SSCD))
    trust = same_for_mail([get_pki().root_certificate])
    found = path.validate(person.certificate, NOW, "signer", trust, person.chain)
    assert level_of(person.certificate, found, trust) == ("individual", "qualified")


def test_a_flood_of_policies_is_bounded():
    many = tuple(f"1.3.6.1.4.1.99999.3.{number}" for number in range(100))
    assert len(level(mark=ALL, policies=many)) == OWN_POLICIES_MAX


def test_policies_speak_the_words_of_the_judge():
    assert IN_POLICIES == WORDS
    assert {word for words in MESIGN.values() for word in words} <= set(WORDS)
    assert meant("V4") == ("sponsor",)
    assert meant("organization") == ()
    assert stated(OWN)
    assert not any(map(stated, ("V4", "3.1.2", "1.2", "1..2", "1.02.3", "2.5.29.", "mailbox ", "")))
