"""Hierarchies as they are in the wild: cross-signed, renewed, re-keyed, entangled; and attacks on the search.

Truth: RFC 4158 (path building) and the field's complaints: intermediates that the gateway holds but does not use,
expired ones beside good ones, authorities without a mail address. openssl judges the same files where it can.
"""

import subprocess
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.authority import ca
from gateway.authority.ca import Authority, Naming, Profile, Purpose
from gateway.cms.certificate import parse_certificate
from gateway.errors import Reason
from gateway.model.verdict import Status
from gateway.pki.path import validation as path
from gateway.pki.trust import anchors_of
from tests.support.pki import END, LONG_AGO, NOW, START, get_pki, pem
from tests.support.sealed import trust_of

CA = Profile(frozenset({"key_cert_sign", "crl_sign"}), is_ca=True)
PKI = get_pki()


def read(*authorities):
    return tuple(parse_certificate(one.der) for one in authorities)


def key():
    return ca.generate_signing_key("p-256")


def under(issuer, name, signing=None, **options):
    """An authority below `issuer`; with `signing` one more certificate for the same key."""
    signing = signing or key()
    der = ca.issue(issuer, Naming(name, "Test Bank", "DE"), signing.public_key(), CA, START,
                   options.pop("not_after", END), **options)
    return Authority(der, signing)


def root(name, not_after=END):
    return ca.create_root(Naming(name, "Elsewhere", "DE"), key(), START, not_after)


def eve(issuer, **options):
    return PKI.person(Purpose.SIGN, "p-256", email="eve@customer.example", issuer=issuer, **options).certificate


def judged(certificate, *extra, roots=(PKI.root_certificate,), **options):
    trust = replace(trust_of(PKI), signers=anchors_of(roots), **options)
    return path.validate(certificate, NOW, "signer", trust, read(*extra))


def openssl(tmp_path, certificate, extra, roots):
    for name, ders in (("leaf", [certificate.der]), ("chain", [one.der for one in extra]),
                       ("roots", [one.der for one in roots])):
        (tmp_path / f"{name}.pem").write_bytes(b"".join(map(pem, ders)))
    return subprocess.run(
        ["openssl", "verify", "-attime", str(int(NOW.timestamp())), "-trusted_first", "-CAfile",
         tmp_path / "roots.pem", "-untrusted", tmp_path / "chain.pem", tmp_path / "leaf.pem"],
        capture_output=True, check=False).returncode == 0


def test_an_expired_intermediate_beside_its_renewal(tmp_path):
    """The same key and name, certified twice: whichever comes first in the mail."""
    signing = key()
    old = under(PKI.root, "Renewed CA", signing, not_after=LONG_AGO)
    new = under(PKI.root, "Renewed CA", signing)
    certificate = eve(new)
    for extra in ((old, new), (new, old)):
        found = judged(certificate, *extra)
        assert found.valid
        assert found.path[1].der == new.der
    assert judged(certificate, old).reason is Reason.PATH_EXPIRED
    assert openssl(tmp_path, certificate, (new,), [PKI.root_certificate])


def test_the_banks_own_intermediate_counts_before_the_mails():
    signing = key()
    old = under(PKI.root, "Held CA", signing, not_after=LONG_AGO)
    new = under(PKI.root, "Held CA", signing)
    assert judged(eve(new), old, intermediates=read(new)).valid


def test_four_ways_up_of_which_one_is_good(tmp_path):
    """Cross-signed by three roots: one expired, one unknown, one of which a constraint forbids the address."""
    expired, unknown = root("Expired Root", LONG_AGO), root("Unknown Root")
    bound = root("Bound Root")
    signing = key()
    crossed = [under(expired, "Cross CA", signing), under(unknown, "Cross CA", signing),
               under(bound, "Cross CA", signing, extensions=(
                   (x509.NameConstraints([x509.RFC822Name("bank.example")], None), True),)),
               under(PKI.root, "Cross CA", signing)]
    roots = [*read(expired, bound), PKI.root_certificate]
    certificate = eve(crossed[0])
    assert judged(certificate, *crossed, roots=roots).valid
    found = judged(certificate, *crossed[:3], unknown, roots=roots)
    assert (found.status, found.reason) == (Status.INVALID, Reason.PATH_EXPIRED)
    assert judged(certificate, crossed[1], unknown, roots=roots).reason is Reason.PATH_UNTRUSTED_ROOT
    assert openssl(tmp_path, certificate, crossed[3:], [PKI.root_certificate])


def test_a_root_that_is_cross_signed_by_a_trusted_one(tmp_path):
    """New root, self-signed in the mail, and as an intermediate below the old root that everybody has."""
    signing = key()
    naming = Naming("New Root", "Test Bank", "DE")
    new = ca.create_root(naming, signing, START, END)
    bridge = Authority(ca.issue(PKI.root, naming, signing.public_key(), CA, START, END), signing)
    certificate = eve(new)
    for extra in ((new, bridge), (bridge, new), (bridge,)):
        assert judged(certificate, *extra).valid
    assert judged(certificate, new).reason is Reason.PATH_UNTRUSTED_ROOT
    assert openssl(tmp_path, certificate, (bridge,), [PKI.root_certificate])


def test_authorities_that_certify_each_other_in_a_circle():
    one, two = key(), key()
    first = Authority(ca.issue(PKI.root, Naming("Circle 1"), one.public_key(), CA, START, END), one)
    second = Authority(ca.issue(first, Naming("Circle 2"), two.public_key(), CA, START, END), two)
    back = Authority(ca.issue(second, Naming("Circle 1"), one.public_key(), CA, START, END), one)
    assert judged(eve(second), second, back, first).valid
    assert judged(eve(second), second, back).reason is Reason.PATH_ISSUER_MISSING


def test_a_rekeyed_authority_is_told_apart_by_its_key_identifier():
    """Two authorities of one name: the wrong one alone means that the right one is missing, and nothing is false."""
    old, new = under(PKI.root, "Rekeyed CA"), under(PKI.root, "Rekeyed CA")
    assert judged(eve(new), old, new).valid
    found = judged(eve(new), old)
    assert (found.status, found.reason) == (Status.INDETERMINATE, Reason.PATH_ISSUER_MISSING)
    assert found.end == eve(new)


def without_identifiers(issuer, signer):
    """A customer's certificate that names no key of its issuer (RFC 5280 would have it do so)."""
    builder = (x509.CertificateBuilder().subject_name(x509.Name([]))
               .issuer_name(x509.load_der_x509_certificate(issuer.der).subject).public_key(key().public_key())
               .serial_number(5).not_valid_before(START).not_valid_after(END)
               .add_extension(x509.SubjectAlternativeName([x509.RFC822Name("boss@bank.example")]), critical=True))
    return parse_certificate(builder.sign(signer.key, hashes.SHA256()).public_bytes(Encoding.DER))


def test_name_chaining_alone_convinces_nobody():
    """A certificate that merely names a trusted authority as its issuer; the attacker brings one of that name, too."""
    real, attackers = under(PKI.root, "Named CA"), root("x")
    twin = Authority(ca.issue(attackers, Naming("Named CA", "Test Bank", "DE"), (forger := key()).public_key(), CA,
                              START, END), forger)
    forged = without_identifiers(real, twin)
    assert judged(forged, real).reason is Reason.PATH_SIGNATURE
    assert judged(forged, twin, real).reason in (Reason.PATH_ISSUER_MISSING, Reason.PATH_SIGNATURE)
    assert judged(forged, twin, attackers, real).reason is Reason.PATH_UNTRUSTED_ROOT
    assert judged(without_identifiers(real, real), twin, attackers, real).valid


def test_thirty_namesakes_do_not_hide_the_right_one_that_the_bank_holds():
    real = under(PKI.root, "Crowded CA")
    crowd = [under(PKI.root, "Crowded CA") for _ in range(30)]
    assert judged(without_identifiers(real, real), *crowd, intermediates=read(real)).valid


@pytest.mark.parametrize("names", [
    (), (x509.RFC822Name("ca@test.example"),), (x509.DNSName("ca.test.example"),),
    (x509.UniformResourceIdentifier("https://ca.test.example/"),)])
def test_an_authority_without_a_mail_address_is_one_like_others(names):
    """Verification crashed elsewhere on a chain whose authority names no mailbox (field complaint 35)."""
    extensions = ((x509.SubjectAlternativeName(list(names)), False),) if names else ()
    issuer = under(PKI.root, f"Addressless CA {len(names)}", extensions=extensions)
    assert parse_certificate(issuer.der).emails == tuple(n.value for n in names if isinstance(n, x509.RFC822Name))
    assert judged(eve(issuer), issuer).valid


def test_intermediates_of_the_store_complete_the_path_whatever_the_mail_brings():
    """Field complaint 12: verification failed for want of intermediates that the gateway held."""
    upper = under(PKI.root, "Stored CA")
    lower = under(upper, "Stored sub CA")

    class Store:
        def by_subject(self, subject):
            return tuple(one.der for one in (upper, lower) if parse_certificate(one.der).subject_der == subject)

        def awaits_issuer(self, certificate):
            return False

        def missing(self, certificate):
            raise AssertionError("nothing is missing")

    assert judged(eve(lower), known=Store()).valid
    assert judged(eve(lower), lower, known=Store()).valid


def test_a_source_that_answers_with_another_authority_is_not_believed():
    class Lying:
        def by_subject(self, subject):
            del subject
            return (get_pki("Strangers").intermediate.der, b"rubbish", PKI.signer("p-256").der)

        def awaits_issuer(self, certificate):
            return False

        def missing(self, certificate):
            del certificate
            return True

    assert judged(eve(under(PKI.root, "Unheard-of CA")), known=Lying()).reason in (
        Reason.PATH_ISSUER_MISSING, Reason.PATH_SIGNATURE)
