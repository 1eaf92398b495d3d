"""Every reason that a certificate can lose for: a real certificate loses for exactly it, as a recipient's and as a
signer's, and it has a sentence with its remedy.

Truth: certificates and lists made by `cryptography` with one fault each; the good one beside them is believed.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.authority import ca
from gateway.authority.ca import Naming, Profile, Purpose
from gateway.authority.crl import RevokedEntry, build_crl
from gateway.cms import algorithms
from gateway.cms import signed as cms_signed
from gateway.cms.certificate import Certificate, parse_certificate
from gateway.cms.signed_reader import parse_signed
from gateway.der import build, walk
from gateway.errors import Reason
from gateway.model.lookup import CertificateRow, Found, Unavailable, Unusable
from gateway.model.scheme import SignScheme
from gateway.model.sentences import SENTENCES
from gateway.model.verdict import Status
from gateway.pki.content import Content
from gateway.pki.judge import Judge
from gateway.pki.revocation.from_files import GivenFile, GivenRevocation
from gateway.pki.revocation.verdict import Revocation, RevocationMode
from gateway.pki.select import select
from gateway.pki.trust import TrustSet
from tests.support.pki import END, LONG_AGO, NOW, START, Person, get_pki, key
from tests.support.sealed import scheme_of, trust_of

EVE = "eve@customer.example"
EMAIL = ("1.3.6.1.5.5.7.3.4",)
PKI = get_pki()
MAIL_CA = parse_certificate(PKI.intermediate.der)
USES = {Purpose.SIGN: frozenset({"digital_signature"}), Purpose.DECRYPT: frozenset({"key_agreement"})}
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Case:
    """A certificate and what is known around it. `lists`: DER of revocation lists."""

    person: Person
    trust: TrustSet = field(default_factory=lambda: trust_of(PKI))
    mode: RevocationMode = "soft"
    lists: tuple[bytes, ...] = ()
    row: dict[str, object] = field(default_factory=dict)
    beside: tuple[CertificateRow, ...] = ()
    want: str = "any"

    @property
    def revocation(self) -> Revocation:
        """As it is judged here; the lists are read by the code that fills the gateway's table."""
        if not self.lists:
            return Revocation(self.mode)
        files = [GivenFile(f"list {number}", "crl", der) for number, der in enumerate(self.lists)]
        return Revocation(self.mode, GivenRevocation(files, self.trust, (MAIL_CA,)))


def person(purpose: Purpose, **options) -> Person:
    return PKI.person(purpose, "p-256", **{"email": EVE, **options})


def row_of(certificate: Certificate, **fields) -> CertificateRow:
    return CertificateRow(certificate.sha256, certificate.der, certificate.emails, certificate.not_before,
                          certificate.not_after, **fields)


@cache
def below(kind: str, purpose: Purpose) -> Person:
    """Somebody below an authority of a kind of its own."""
    signing = ca.generate_signing_key("p-256")
    options = {
        "expired": {"not_after": LONG_AGO},
        "constrained": {"extensions": ((x509.NameConstraints([x509.RFC822Name("bank.example")], None), True),)},
        "policies wanted": {"extensions": ((x509.PolicyConstraints(0, None), True),)},
    }[kind]
    der = ca.issue(PKI.root, Naming(f"CA {kind}", "Test Bank", "DE"), signing.public_key(),
                   Profile(frozenset({"key_cert_sign", "crl_sign"}), is_ca=True), START,
                   options.get("not_after", END), extensions=options.get("extensions", ()))
    return PKI.person(purpose, "p-256", email=EVE, issuer=ca.Authority(der, signing))


def by_sha1(der: bytes) -> bytes:
    """The same certificate signed once more, with ECDSA over SHA-1, which the library refuses to put into one."""
    weak = algorithms.identifier("1.2.840.10045.4.1")
    fields = walk.children(der, walk.children(der, walk.single(der))[0])
    parts = [walk.whole(der, part) for part in fields]
    tbs = build.sequence(*parts[:2], weak, *parts[3:])
    return build.sequence(tbs, weak, build.bit_string(PKI.intermediate.key.sign(tbs, ec.ECDSA(hashes.SHA1()))))


@cache
def by_hand(kind: str, purpose: Purpose) -> Person:
    """What the house's own authority refuses to make, by the library itself; signed by the test's mail CA."""
    private = key("p-256", 77)
    if kind == "weak key":
        private = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    if kind == "unknown curve":
        private = ec.generate_private_key(ec.SECP256K1())
    usage = {"digital_signature": purpose is Purpose.SIGN, "key_agreement": purpose is Purpose.DECRYPT and kind !=
             "weak key", "key_encipherment": purpose is Purpose.DECRYPT and kind == "weak key"}
    builder = (x509.CertificateBuilder()
               .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, kind)]))
               .issuer_name(PKI.intermediate.certificate.subject).public_key(private.public_key())
               .serial_number(4711).not_valid_before(START).not_valid_after(END)
               .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(EVE)]), critical=False)
               .add_extension(x509.KeyUsage(content_commitment=False, data_encipherment=False, key_cert_sign=False,
                                            crl_sign=False, encipher_only=False, decipher_only=False, **usage),
                              critical=True))
    forger = ca.generate_signing_key("p-256") if kind == "forged" else PKI.intermediate.key
    der = builder.sign(forger, hashes.SHA256()).public_bytes(Encoding.DER)
    if kind == "weak signature":
        der = by_sha1(der)
    return Person(kind, der, private, (PKI.intermediate.der,))


def crl(issuer: ca.Authority, serial: int, reason: str) -> bytes:
    return build_crl(issuer, [RevokedEntry(serial, NOW - DAY, reason)], 1, NOW - DAY / 2, NOW + DAY)


def revoked(purpose: Purpose, reason: str) -> Case:
    one = person(purpose)
    return Case(one, lists=(crl(PKI.intermediate, one.certificate.serial, reason), crl(PKI.root, 1, reason)))


def strangers(purpose: Purpose, *, root: bool) -> Person:
    pki = get_pki("Strangers")
    one = pki.person(purpose, "p-256", email=EVE)
    return replace(one, chain_der=(*one.chain_der, pki.root.der)) if root else one


# Reason: what to make for a purpose, and the reason that a signature by it is told (None: signatures do not ask).
CASES: dict[Reason, tuple[Callable[[Purpose], Case], Reason | None]] = {
    Reason.CERTIFICATE_EXPIRED: (lambda p: Case(person(p, not_after=LONG_AGO)), Reason.SIGNATURE_EXPIRED),
    Reason.CERTIFICATE_NOT_YET_VALID: (lambda p: Case(person(p, not_before=NOW + DAY)),
                                       Reason.SIGNATURE_NOT_YET_VALID),
    Reason.CERTIFICATE_REVOKED: (lambda p: revoked(p, "keyCompromise"), Reason.SIGNATURE_REVOKED),
    Reason.CERTIFICATE_ON_HOLD: (lambda p: revoked(p, "certificateHold"), Reason.SIGNATURE_ON_HOLD),
    Reason.CERTIFICATE_WEAK_KEY: (lambda p: Case(by_hand("weak key", p)), Reason.SIGNATURE_WEAK_KEY),
    Reason.CERTIFICATE_WEAK_ALGORITHM: (lambda p: Case(by_hand("weak signature", p)),
                                        Reason.SIGNATURE_WEAK_ALGORITHM),
    Reason.CERTIFICATE_ALGORITHM_UNKNOWN: (lambda p: Case(by_hand("unknown curve", p)),
                                           Reason.SIGNATURE_ALGORITHM_UNKNOWN),
    Reason.CERTIFICATE_WRONG_USAGE: (lambda p: Case(person(p, profile=Profile(USES[p], ("1.3.6.1.5.5.7.3.1",)))),
                                     Reason.SIGNATURE_WRONG_USAGE),
    Reason.CERTIFICATE_ADDRESS_MISMATCH: (lambda p: Case(person(p, email="other@customer.example")), None),
    Reason.CERTIFICATE_NOT_ENROLLED: (lambda p: Case(person(p), want="enrolled"), None),
    Reason.CERTIFICATE_DISPLACED: (
        lambda p: Case(person(p), beside=(row_of(person(p, which=1).certificate, customer="4711"),)), None),
    Reason.CERTIFICATE_DISTRUSTED: (
        lambda p: Case(person(p), replace(trust_of(PKI), distrusted=frozenset({person(p).certificate.sha256}))),
        Reason.CERTIFICATE_DISTRUSTED),
    Reason.CERTIFICATE_MALFORMED: (lambda p: Case(person(p), row={"der": b"\x30\x03\x02\x01\x00"}), None),
    Reason.PATH_TRUST_ANCHOR_MISSING: (lambda p: Case(person(p), TrustSet()), Reason.PATH_TRUST_ANCHOR_MISSING),
    Reason.PATH_ISSUER_MISSING: (lambda p: Case(strangers(p, root=False)), Reason.PATH_ISSUER_MISSING),
    Reason.PATH_UNTRUSTED_ROOT: (lambda p: Case(strangers(p, root=True)), Reason.PATH_UNTRUSTED_ROOT),
    Reason.PATH_CONSTRAINT: (lambda p: Case(below("constrained", p)), Reason.PATH_CONSTRAINT),
    Reason.PATH_SIGNATURE: (lambda p: Case(by_hand("forged", p)), Reason.PATH_SIGNATURE),
    Reason.PATH_EXPIRED: (lambda p: Case(below("expired", p)), Reason.PATH_EXPIRED),
    Reason.PATH_POLICY: (lambda p: Case(below("policies wanted", p)), Reason.PATH_POLICY),
    Reason.PATH_REVOKED: (
        lambda p: Case(person(p), lists=(crl(PKI.intermediate, 1, "superseded"),
                                         crl(PKI.root, MAIL_CA.serial, "cACompromise"))), Reason.PATH_REVOKED),
    Reason.REVOCATION_UNAVAILABLE: (lambda p: Case(person(p), mode="require"), Reason.REVOCATION_UNAVAILABLE),
}
# Reasons of the families that no single certificate loses for.
OTHERS = {
    Reason.CERTIFICATE_ABSENT: "the answer of a look-up that found nothing",
    Reason.CERTIFICATE_UNUSABLE: "the answer of a look-up in which every certificate lost",
    Reason.CERTIFICATE_CONFLICT: "the answer of a look-up with several owners",
    Reason.CERTIFICATE_UNAVAILABLE: "the answer of a source that did not answer",
    Reason.CERTIFICATE_NOT_DEVICE_BOUND: "of a rule that asks for keys of one device: test_device_bound",
    Reason.REVOCATION_NOT_CHECKED: "told under `soft`; nothing loses for it",
    **dict.fromkeys((Reason.REVOCATION_MALFORMED, Reason.REVOCATION_ALTERED, Reason.REVOCATION_UNTRUSTED,
                     Reason.REVOCATION_STALE, Reason.REVOCATION_FUTURE, Reason.REVOCATION_WEAK_ALGORITHM,
                     Reason.REVOCATION_REFUSED), "of a list or an answer, which is not used then: test_crl, test_ocsp"),
}


def told(case: Case) -> list[Reason]:
    """The reasons of `select` for the one row in question."""
    row = replace(row_of(case.person.certificate), **case.row)
    chain = case.person.chain
    answer = select((row, *case.beside), EVE, NOW, case.trust, case.want, revocation=case.revocation,
                    extra=(*chain, MAIL_CA))
    assert isinstance(answer, Found | Unusable | Unavailable)
    return [loser.reason for loser in answer.losers if loser.row.sha256 == row.sha256]


def signer(case: Case):
    """The verdict on a signature by the person."""
    content = b"Content-Type: text/plain\r\n\r\nhello\r\n"
    curve = isinstance(case.person.key, ec.EllipticCurvePrivateKey)
    scheme = SignScheme.ECDSA_SHA256 if curve else scheme_of(case.person)
    # Our writer refuses keys that it does not know: it is told a name that it does; the octets are the true ones.
    known = replace(case.person.certificate, key_algorithm="p-256") if curve else case.person.certificate
    prepared = cms_signed.prepare(cms_signed.SignerProfile(known, case.person.chain, scheme))
    der = cms_signed.sign(prepared, content=content, digest=hashlib.new(scheme.digest, content).digest(), at=NOW,
                          raw_sign=lambda octets: case.person.sign(scheme, octets))
    (judged,) = Judge(case.trust, case.revocation).signed(parse_signed(der), Content(content), 0, NOW)
    return judged.verdict


@pytest.mark.parametrize("reason", CASES)
def test_a_recipients_certificate_loses_for_exactly_it(reason):
    make, _ = CASES[reason]
    assert told(make(Purpose.DECRYPT)) == [reason]


@pytest.mark.parametrize("reason", [reason for reason, (_, signature) in CASES.items() if signature is not None])
def test_a_signers_certificate_loses_for_exactly_it(reason):
    make, expected = CASES[reason]
    verdict = signer(make(Purpose.SIGN))
    assert verdict.reason is expected
    assert verdict.status in (Status.INVALID, Status.INDETERMINATE)


def test_the_good_one_beside_them_wins():
    assert told(Case(person(Purpose.DECRYPT))) == []
    assert signer(Case(person(Purpose.SIGN))).status is Status.VALID


def test_no_reason_is_forgotten():
    asked = {reason for reason in Reason if reason.family in ("certificate", "path", "revocation")}
    assert set(CASES) | set(OTHERS) == asked
    assert not set(CASES) & set(OTHERS)


@pytest.mark.parametrize("reason", [*CASES, *OTHERS])
def test_every_one_has_a_sentence_and_a_remedy(reason):
    sentence = SENTENCES[reason]
    assert sentence.what.endswith(".")
    assert sentence.remedy.endswith(".")


# --- the bank's own word on a row: it replaces the path to a root, and nothing else (field rule 2.2.4) ----------------

OVERRIDDEN = {Reason.PATH_TRUST_ANCHOR_MISSING, Reason.PATH_ISSUER_MISSING, Reason.PATH_UNTRUSTED_ROOT,
              Reason.PATH_CONSTRAINT, Reason.PATH_SIGNATURE, Reason.PATH_EXPIRED, Reason.PATH_POLICY}
PATH_OF_THE_ISSUER = {Reason.PATH_REVOKED}  # what is above a pinned certificate is not asked


@pytest.mark.parametrize("reason", sorted(OVERRIDDEN))
def test_trust_of_a_row_overrides_the_path(reason):
    case = CASES[reason][0](Purpose.DECRYPT)
    assert told(replace(case, row={**case.row, "trust": "trusted"})) == []


@pytest.mark.parametrize("reason", sorted(set(CASES) - OVERRIDDEN - PATH_OF_THE_ISSUER))
def test_trust_of_a_row_overrides_nothing_else(reason):
    case = CASES[reason][0](Purpose.DECRYPT)
    assert told(replace(case, row={**case.row, "trust": "trusted"})) == [reason]


def test_distrust_of_a_row_beats_every_path():
    assert told(Case(person(Purpose.DECRYPT), row={"trust": "distrusted"})) == [
        Reason.CERTIFICATE_DISTRUSTED]
