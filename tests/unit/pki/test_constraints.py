"""Mail name constraints. Truth: the table of RFC 5280 4.2.1.10, and certificates that carry them."""

import pytest
from cryptography import x509

from gateway.authority import ca
from gateway.authority.ca import Naming, Profile, Purpose
from gateway.cms.certificate import parse_certificate
from gateway.errors import Reason
from gateway.model.mailbox import same_mailbox
from gateway.pki.path import validation as path
from gateway.pki.path.constraints import MailConstraints, _allowed
from gateway.pki.trust import TrustSet, anchors_of
from tests.support.pki import END, NOW, START, get_pki

EMAIL = ("1.3.6.1.5.5.7.3.4",)


@pytest.mark.parametrize(("tree", "address", "within"), [
    ("bank.example", "a@bank.example", True), ("bank.example", "a@BANK.example", True),
    ("bank.example", "a@sub.bank.example", False), ("bank.example", "a@notbank.example", False),
    (".bank.example", "a@sub.bank.example", True), (".bank.example", "a@bank.example", False),
    (".bank.example", "a@notbank.example", False), ("a@bank.example", "a@bank.example", True),
    ("a@bank.example", "A@bank.example", True), ("a@bank.example", "b@bank.example", False),
    ("bank.example", '"x@evil.example"@bank.example', True), ("bank.example", "a@bank.example.", True),
    ("bank.example", "ä@\uff42ank.example", True), ("bank.example", "ä@bank\u3002example", True),
    (".bank.example", "ä@team.\uff42ank.example", True), ("a@bank.example", "a@\uff42ank.example", True),
    ("xn--mller-kva.example", "a@müller.example", True), ("xn--mller-kva.example", "a@mueller.example", False),
    ("bank.example", "nobody", False), ("", "a@bank.example", False)])
def test_the_table(tree, address, within):
    assert _allowed(address, MailConstraints((tree,), ())) is within
    assert _allowed(address, MailConstraints(None, (tree,))) is not within


def constrained(permitted=(), excluded=(), which=0):
    names = lambda trees: [x509.RFC822Name._init_without_validation(tree) for tree in trees] or None  # noqa: E731
    return ca.create_intermediate(
        get_pki().root, Naming(f"Constrained CA {which}"), ca.generate_signing_key("p-256"), START, END,
        extensions=[(x509.NameConstraints(names(permitted), names(excluded)), True)])


def reason(issuer, **options):
    person = get_pki().person(Purpose.SIGN, "p-256", issuer=issuer, profile=Profile(
        frozenset({"digital_signature"}), EMAIL), **options)
    trust = TrustSet(signers=anchors_of([get_pki().root_certificate]))
    return path.validate(person.certificate, NOW, "signer", trust, (parse_certificate(issuer.der),)).reason


def test_an_authority_speaks_only_for_its_addresses():
    issuer = constrained(["customer.example", ".customer.example"], which=1)
    assert reason(issuer, email="a@customer.example") is None
    assert reason(issuer, email="a@team.customer.example") is None
    assert reason(issuer, email="boss@bank.example") is Reason.PATH_CONSTRAINT
    assert reason(issuer, emails=("a@customer.example", "boss@bank.example")) is Reason.PATH_CONSTRAINT


def test_an_excluded_domain_is_out():
    issuer = constrained(excluded=["bank.example"], which=2)
    assert reason(issuer, email="a@customer.example") is None
    assert reason(issuer, email="boss@bank.example") is Reason.PATH_CONSTRAINT


def test_addresses_that_the_path_library_does_not_see():
    """A SmtpUTF8Mailbox, and a subject's e-mail address beside another alternative name, escape rfc822Name trees."""
    issuer = constrained(["customer.example"], which=3)
    assert reason(issuer, email="chef-ä@bank.example") is Reason.PATH_CONSTRAINT
    assert reason(issuer, email="chef-ä@customer.example") is None
    key = ca.generate_signing_key("p-256")
    subject = x509.Name([x509.NameAttribute(x509.NameOID.EMAIL_ADDRESS, "boss@bank.example")])
    builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.certificate.subject)
               .public_key(key.public_key()).serial_number(77).not_valid_before(START).not_valid_after(END)
               .add_extension(x509.SubjectAlternativeName([x509.DNSName("customer.example")]), critical=False))
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding

    smuggled = parse_certificate(builder.sign(issuer.key, SHA256()).public_bytes(Encoding.DER))
    assert smuggled.emails == ("boss@bank.example",)
    trust = TrustSet(signers=anchors_of([get_pki().root_certificate]))
    found = path.validate(smuggled, NOW, "signer", trust, (parse_certificate(issuer.der),))
    assert found.reason is Reason.PATH_CONSTRAINT


@pytest.mark.parametrize(("excluded", "email"), [
    ("boss@xn--mller-kva.example", "boss@m\u00fcller.example"), ("boss@bank.example", "BOSS@bank.example")])
def test_an_excluded_mailbox_is_out_in_each_spelling_that_is_the_same_mailbox(excluded, email):
    """Its mail would be the excluded mailbox's own: a From is compared with these addresses in the same way."""
    assert same_mailbox(email, excluded)
    issuer = constrained(excluded=[excluded], which=5)
    assert reason(issuer, email=email) is Reason.PATH_CONSTRAINT
    assert reason(issuer, email="staff@bank.example") is None


def test_constraints_of_the_anchor_count():
    root = constrained(["customer.example"], which=4)
    trust = TrustSet(signers=anchors_of([parse_certificate(root.der)]))
    person = get_pki().person(Purpose.SIGN, "p-256", issuer=root, email="boss@bank.example", profile=Profile(
        frozenset({"digital_signature"}), EMAIL))
    assert path.validate(person.certificate, NOW, "signer", trust).reason is Reason.PATH_CONSTRAINT
