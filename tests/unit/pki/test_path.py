"""Paths: what RFC 5280 6, RFC 8550 4 and the field's own rules allow and refuse.

Truth: certificates made by `cryptography` with exactly one fault each; where openssl knows the rule, its verdict on
the same files is asked too.
"""

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from gateway.authority import ca
from gateway.authority.ca import Naming, Profile, Purpose
from gateway.cms.certificate import parse_certificate
from gateway.errors import Reason
from gateway.model.verdict import Status
from gateway.pki.path import validation as path
from gateway.pki.trust import TrustSet, anchors_of
from tests.support.pki import ALGORITHMS_ENCRYPT, ALGORITHMS_SIGN, END, LONG_AGO, NOW, START, get_pki, key, pem
from tests.support.sealed import trust_of

EMAIL = ("1.3.6.1.5.5.7.3.4",)
SIGN = frozenset({"digital_signature"})


def verdict(person, purpose="signer", at=NOW, trust=None, extra=None):
    return path.validate(person.certificate, at, purpose, trust or trust_of(get_pki()),
                         person.chain if extra is None else extra)


def authority(issuer=None, *, extensions=(), path_length=None, not_after=END, profile=None, which=0):
    """An intermediate of its own kind below the test root."""
    pki = get_pki()
    signing = ca.generate_signing_key("p-256")
    naming = Naming(f"Special CA {which}", "Test Bank", "DE")
    issuer = issuer or pki.root
    der = ca.issue(issuer, naming, signing.public_key(), profile or Profile(
        frozenset({"key_cert_sign", "crl_sign"}), is_ca=True, path_length=path_length), START, not_after,
        extensions=extensions)
    return ca.Authority(der, signing, (der, *issuer.chain) if issuer is not pki.root else ())


def below(issuer, email="eve@customer.example", profile=None, **options):
    return get_pki().person(Purpose.SIGN, "p-256", email=email, issuer=issuer,
                            profile=profile or Profile(SIGN, EMAIL), **options)


@pytest.mark.parametrize("algorithm", ALGORITHMS_SIGN)
def test_every_kind_of_signer_has_its_path(algorithm):
    found = verdict(get_pki().signer(algorithm))
    assert (found.status, found.reason) == (Status.VALID, None)
    assert [c.subject for c in found.path][1:] == ["CN=Test Bank Mail CA,O=Test Bank,C=DE",
                                                   "CN=Test Bank Root,O=Test Bank,C=DE"]


@pytest.mark.parametrize("algorithm", ALGORITHMS_ENCRYPT)
def test_every_kind_of_recipient_has_its_path(algorithm):
    assert verdict(get_pki().recipient(algorithm), "recipient").valid


def test_one_purpose_never_serves_another():
    pki = get_pki()
    assert verdict(pki.signer("p-256"), "recipient").reason is Reason.CERTIFICATE_WRONG_USAGE
    assert verdict(pki.recipient("rsa-2048"), "signer").reason is Reason.CERTIFICATE_WRONG_USAGE
    assert verdict(pki.signer("ed25519"), "recipient").reason is Reason.CERTIFICATE_WRONG_USAGE
    assert verdict(pki.recipient("x25519"), "signer").reason is Reason.CERTIFICATE_WRONG_USAGE
    assert verdict(pki.stamper(), "signer").reason is Reason.CERTIFICATE_WRONG_USAGE
    assert verdict(pki.signer("p-256"), "stamper").reason is Reason.CERTIFICATE_WRONG_USAGE


def test_roots_for_mail_are_no_roots_for_time_stamps():
    pki = get_pki()
    swapped = TrustSet(signers=anchors_of([pki.tsa_root_certificate]), stampers=anchors_of([pki.root_certificate]))
    assert verdict(pki.stamper(), "stamper", trust=swapped).reason is Reason.PATH_ISSUER_MISSING
    assert verdict(pki.stamper(), "stamper").valid


def test_without_anchors_nothing_is_decided():
    found = verdict(get_pki().signer("p-256"), trust=TrustSet())
    assert (found.status, found.reason) == (Status.INDETERMINATE, Reason.PATH_TRUST_ANCHOR_MISSING)


def test_a_missing_issuer_is_undecided_and_one_at_hand_completes_the_path():
    person = get_pki().signer("p-256")
    assert verdict(person).valid
    found = verdict(person, extra=())
    assert (found.status, found.reason) == (Status.INDETERMINATE, Reason.PATH_ISSUER_MISSING)
    assert verdict(person, trust=trust_of(get_pki(), intermediates=True), extra=()).valid


class Known:
    """An IntermediateSource with one certificate."""

    def __init__(self, *ders):
        self.ders = {parse_certificate(der).subject_der: der for der in ders}

    def by_subject(self, subject):
        return (self.ders[subject],) if subject in self.ders else (b"broken",)

    def awaits_issuer(self, certificate):
        return False

    def missing(self, certificate):
        return False


def test_the_store_completes_paths_too():
    person = get_pki().signer("p-256")
    trust = replace(trust_of(get_pki()), known=Known(person.chain_der[0]))
    assert verdict(person, trust=trust, extra=()).valid


class Learning:
    """An IntermediateSource that knows nothing until it is told what is missing; `asked` holds for whom."""

    def __init__(self, *ders):
        self.later = list(ders)
        self.ders = []
        self.asked = []

    def by_subject(self, subject):
        return tuple(der for der in self.ders if parse_certificate(der).subject_der == subject)

    def awaits_issuer(self, certificate):
        return False

    def missing(self, certificate):
        self.asked.append(certificate)
        if self.later:
            self.ders.append(self.later.pop(0))
            return True
        return False


def test_missing_issuers_are_asked_for_and_searched_for_again():
    upper = authority(which=6)
    lower = authority(which=7, issuer=upper)
    person = below(lower, email="deep@customer.example")
    source = Learning(lower.der, upper.der)
    found = verdict(person, trust=replace(trust_of(get_pki()), known=source), extra=())
    assert found.valid
    assert source.asked == [person.certificate, parse_certificate(lower.der)]


def test_what_cannot_be_had_is_asked_for_once_and_stays_missing():
    person = below(get_pki().intermediate, email="lost@customer.example")
    source = Learning()
    trust = replace(trust_of(get_pki()), known=source)
    assert verdict(person, trust=trust, extra=()).reason is Reason.PATH_ISSUER_MISSING
    assert source.asked == [person.certificate]


def test_a_source_that_answers_with_junk_for_ever_is_asked_twice_at_most():
    strangers = get_pki("Strangers")
    source = Learning(*[strangers.intermediate.der] * 9)
    trust = replace(trust_of(get_pki()), known=source)
    assert verdict(get_pki().signer("p-256"), trust=trust, extra=()).reason is Reason.PATH_ISSUER_MISSING
    assert len(source.asked) <= 2


def test_an_issuer_learned_meanwhile_counts_at_once():
    """The store's issuers are part of no cache key: a missing one may be there the next moment."""
    source = Known()
    person = below(get_pki().intermediate, email="soon@customer.example")
    trust = replace(trust_of(get_pki()), known=source)
    assert verdict(person, trust=trust, extra=()).reason is Reason.PATH_ISSUER_MISSING
    issuer = parse_certificate(get_pki().intermediate.der)
    source.ders[issuer.subject_der] = issuer.der
    assert verdict(person, trust=trust, extra=()).valid


def test_a_complete_path_to_a_strangers_root_is_false():
    stranger = get_pki("Strangers")
    person = stranger.signer("p-256")
    root = parse_certificate(stranger.root.der)
    found = verdict(person, extra=(*person.chain, root))
    assert (found.status, found.reason) == (Status.INVALID, Reason.PATH_UNTRUSTED_ROOT)


def test_a_root_with_the_same_name_but_another_key_is_a_stranger():
    pki = get_pki()
    twin = ca.create_root(Naming("Test Bank Root", "Test Bank", "DE"), ca.generate_signing_key("p-256"), START, END)
    person = below(twin)
    assert parse_certificate(twin.der).subject == pki.root_certificate.subject
    assert verdict(person, extra=(parse_certificate(twin.der),)).status is Status.INVALID


def test_a_forged_issuer_signature_is_false():
    pki = get_pki()
    twin = ca.Authority(pki.intermediate.der, ca.generate_signing_key("p-256"))
    forged = below(twin, email="forged@customer.example")
    # The key identifier tells of the forger's key; without it only the arithmetic does.
    assert verdict(forged, extra=pki.signer("p-256").chain).valid is False
    bare = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(pki.intermediate.certificate.subject) \
        .public_key(key("p-256").public_key()).serial_number(7).not_valid_before(START).not_valid_after(END) \
        .sign(twin.key, ca._CURVE_HASHES["secp256r1"]())
    from cryptography.hazmat.primitives.serialization import Encoding

    certificate = parse_certificate(bare.public_bytes(Encoding.DER))
    found = path.validate(certificate, NOW, "signer", trust_of(pki, intermediates=True))
    assert (found.status, found.reason) == (Status.INVALID, Reason.PATH_SIGNATURE)


@pytest.mark.parametrize(("at", "reason"), [
    (START - timedelta(seconds=1), Reason.CERTIFICATE_NOT_YET_VALID), (START, None), (LONG_AGO, None),
    (LONG_AGO + timedelta(seconds=1), Reason.CERTIFICATE_EXPIRED)])
def test_validity_at_the_second(at, reason):
    assert verdict(get_pki().signer("p-256", not_after=LONG_AGO), at=at).reason is reason


def test_a_kept_verdict_does_not_outlive_its_second():
    """All four within one slot of kept verdicts, asked forth and back."""
    person = get_pki().signer("p-256", not_before=NOW, not_after=NOW + timedelta(seconds=2))
    asked = [NOW + timedelta(seconds=seconds) for seconds in (-1, 0, 2, 3, 2, 0, -1, 1, 3)]
    assert [verdict(person, at=at).valid for at in asked] == [
        False, True, True, False, True, True, False, True, False]


def test_an_expired_authority_ends_the_path():
    issuer = authority(not_after=LONG_AGO, which=1)
    person = below(issuer)
    assert verdict(person, extra=(parse_certificate(issuer.der),)).reason is Reason.PATH_EXPIRED
    assert verdict(person, at=LONG_AGO, extra=(parse_certificate(issuer.der),)).valid


def test_an_expired_anchor_ends_the_path():
    root = ca.create_root(Naming("Old Root"), ca.generate_signing_key("p-256"), START, LONG_AGO)
    person = below(root)
    trust = TrustSet(signers=anchors_of([parse_certificate(root.der)]))
    assert verdict(person, trust=trust).reason is Reason.PATH_EXPIRED


@pytest.mark.parametrize(("extended", "fits"), [
    ((), True), (EMAIL, True), (("2.5.29.37.0",), True), (("1.3.6.1.5.5.7.3.1",), False),
    (("1.3.6.1.5.5.7.3.1", *EMAIL), True)])
def test_extended_usage_of_the_leaf(extended, fits):
    person = below(get_pki().intermediate, profile=Profile(SIGN, extended))
    assert verdict(person).reason is (None if fits else Reason.CERTIFICATE_WRONG_USAGE)
    strict = replace(trust_of(get_pki()), eku_required=True)
    assert verdict(person, trust=strict).valid is (fits and extended != ())


def test_extended_usage_is_nested():
    """pyhanko-certvalidator and openssl's default purpose checks differ here; the root programmes demand it."""
    tls_only = authority(which=2, profile=Profile(frozenset({"key_cert_sign"}), ("1.3.6.1.5.5.7.3.1",), is_ca=True))
    person = below(tls_only)
    assert verdict(person, extra=(parse_certificate(tls_only.der),)).reason is Reason.PATH_CONSTRAINT
    both = Profile(frozenset({"key_cert_sign"}), ("1.3.6.1.5.5.7.3.1", *EMAIL), is_ca=True)
    mail_too = authority(which=3, profile=both)
    assert verdict(below(mail_too), extra=(parse_certificate(mail_too.der),)).valid


@pytest.mark.parametrize("usage", [frozenset({"digital_signature"}), frozenset({"content_commitment"}), frozenset()])
def test_either_signing_usage_or_none_at_all_will_do(usage):
    assert verdict(below(get_pki().intermediate, profile=Profile(usage, EMAIL))).valid


@pytest.mark.parametrize("profile", [
    Profile(frozenset({"digital_signature"}), ("1.3.6.1.5.5.7.3.8",)),  # not critical
    Profile(frozenset({"digital_signature"}), ("1.3.6.1.5.5.7.3.8", *EMAIL), extended_critical=True),  # not alone
    Profile(frozenset({"digital_signature"}), ("2.5.29.37.0",), extended_critical=True),
    Profile(frozenset({"digital_signature"}), ())])
def test_a_time_stamper_has_its_usage_alone_and_critical(profile):
    pki = get_pki()
    person = pki.person(Purpose.STAMP, "p-256", issuer=pki.tsa_root, profile=profile, name="almost a TSA")
    assert verdict(person, "stamper").reason is Reason.CERTIFICATE_WRONG_USAGE


def test_path_length_and_authority_flag():
    first = authority(path_length=0, which=4)
    second_key = ca.generate_signing_key("p-256")
    second_der = ca.issue(first, Naming("One too many"), second_key.public_key(),
                          Profile(frozenset({"key_cert_sign"}), is_ca=True), START, END)
    second = ca.Authority(second_der, second_key)
    person = below(second)
    extra = tuple(map(parse_certificate, (first.der, second_der)))
    assert verdict(person, extra=extra).reason is Reason.PATH_CONSTRAINT
    assert verdict(below(first), extra=extra).valid
    no_authority = get_pki().signer("p-256", email="mallory@customer.example")
    child = below(ca.Authority(no_authority.der, no_authority.key), email="boss@bank.example")
    assert verdict(child, extra=(no_authority.certificate, *no_authority.chain)).reason is Reason.PATH_ISSUER_MISSING


def test_an_authority_without_key_cert_sign_signs_no_certificates():
    issuer = authority(which=5, profile=Profile(frozenset({"crl_sign"}), is_ca=True))
    assert verdict(below(issuer), extra=(parse_certificate(issuer.der),)).reason is Reason.PATH_CONSTRAINT


def test_unknown_critical_extensions_are_refused():
    extension = (x509.UnrecognizedExtension(x509.ObjectIdentifier("2.999.7"), b"\x05\x00"), True)
    assert verdict(below(get_pki().intermediate, extensions=(extension,))).reason is Reason.PATH_CONSTRAINT


def test_weak_and_unknown_algorithms_by_name():
    pki = get_pki()
    strange = pki.person(Purpose.SIGN, "p-256", email="e@customer.example", which=5)
    certificate = replace(strange.certificate, der=strange.der + b"1", sha256="1" * 64, key_algorithm="rsa-1024")
    assert path.validate(certificate, NOW, "signer", trust_of(pki)).reason is Reason.CERTIFICATE_WEAK_KEY
    certificate = replace(certificate, der=strange.der + b"2", sha256="2" * 64, key_algorithm="p-256",
                          signature_algorithm="sha1_rsa")
    assert path.validate(certificate, NOW, "signer", trust_of(pki)).reason is Reason.CERTIFICATE_WEAK_ALGORITHM
    certificate = replace(certificate, der=strange.der + b"3", sha256="3" * 64, signature_algorithm="2.999.1")
    found = path.validate(certificate, NOW, "signer", trust_of(pki))
    assert (found.status, found.reason) == (Status.INDETERMINATE, Reason.CERTIFICATE_ALGORITHM_UNKNOWN)


def test_the_banks_own_word_overrides_the_path_and_nothing_else():
    stranger = get_pki("Strangers").signer("p-256")
    pinned = replace(trust_of(get_pki()), trusted=frozenset({stranger.certificate.sha256}))
    assert verdict(stranger, trust=pinned).valid
    assert verdict(stranger, "recipient", trust=pinned).reason is Reason.CERTIFICATE_WRONG_USAGE
    assert verdict(stranger, at=END + timedelta(days=1), trust=pinned).reason is Reason.CERTIFICATE_EXPIRED
    person = get_pki().signer("p-256")
    for fingerprint in (person.certificate.sha256, person.chain[0].sha256):
        listed = replace(trust_of(get_pki()), distrusted=frozenset({fingerprint}))
        found = verdict(person, trust=listed)
        assert (found.status, found.reason) == (Status.INVALID, Reason.CERTIFICATE_DISTRUSTED)


def test_a_leaf_may_be_an_anchor_itself():
    person = get_pki("Strangers").signer("p-256")
    assert verdict(person, trust=TrustSet(signers=anchors_of([person.certificate]))).valid


def test_a_good_way_beside_a_bad_one_is_found():
    """Cross-signing: the same authority key below an expired root and below a good one."""
    pki = get_pki()
    old = ca.create_root(Naming("Expired Cross Root"), ca.generate_signing_key("p-256"), START, LONG_AGO)
    signing = ca.generate_signing_key("p-256")
    profile = Profile(frozenset({"key_cert_sign"}), is_ca=True)
    ders = [ca.issue(root, Naming("Cross CA"), signing.public_key(), profile, START, END) for root in (old, pki.root)]
    person = below(ca.Authority(ders[0], signing))
    trust = replace(trust_of(pki), signers=anchors_of([parse_certificate(old.der), pki.root_certificate]))
    assert verdict(person, trust=trust, extra=tuple(map(parse_certificate, ders))).valid


def test_openssl_agrees_on_the_plain_cases(tmp_path):
    pki = get_pki()
    (tmp_path / "root.pem").write_bytes(pki.root_pem)
    for person, at, good in ((pki.signer("rsa-2048"), NOW, True), (pki.signer("p-256", not_after=LONG_AGO), NOW, False),
                             (get_pki("Strangers").signer("p-256"), NOW, False)):
        (tmp_path / "leaf.pem").write_bytes(person.pem)
        (tmp_path / "chain.pem").write_bytes(b"".join(map(pem, person.chain_der)))
        asked = subprocess.run(
            ["openssl", "verify", "-purpose", "smimesign", "-attime", str(int(at.timestamp())), "-CAfile",
             tmp_path / "root.pem", "-untrusted", tmp_path / "chain.pem", tmp_path / "leaf.pem"],
            capture_output=True, check=False)
        assert (asked.returncode == 0) is good
        assert verdict(person, at=at).valid is good


def test_the_verdict_tells_how_long_its_path_holds():
    found = verdict(get_pki().signer("p-256", not_after=datetime(2030, 1, 1, tzinfo=UTC)))
    assert (found.since, found.until) == (START, datetime(2030, 1, 1, tzinfo=UTC))
