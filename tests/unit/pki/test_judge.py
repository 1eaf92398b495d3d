"""One signed layer judged: time, arithmetic, path, revocation; and several SignerInfos of one signer.

Truth: signatures made by the gateway's writer and by tests/support/forge.py with exactly one fault each.
"""

from datetime import timedelta
from itertools import count

import pytest

from gateway.cms.signed_reader import parse_signed
from gateway.errors import Reason
from gateway.model.scheme import SignScheme
from gateway.model.verdict import Status
from gateway.pki.content import Content
from gateway.pki.judge import Judge
from gateway.pki.revocation.verdict import Known, Revocation
from tests.support import forge
from tests.support.pki import LONG_AGO, NOW, START, get_pki
from tests.support.sealed import ANNA, TEXT, anna, judge, signature, stamper, trust_of

S = SignScheme


def judged(der, by=None, content=TEXT, at=NOW):
    return (by or judge()).signed(parse_signed(der), Content(content), 0, at)


def only(der, **options):
    (signer,) = judged(der, **options)
    return signer.verdict


@pytest.mark.parametrize("scheme", list(S))
def test_every_scheme(scheme):
    algorithm = {"ed25519": "ed25519", "ecdsa-sha256": "p-256", "ecdsa-sha384": "p-384",
                 "ecdsa-sha512": "p-521"}.get(scheme.value, "rsa-2048")
    verdict = only(signature(TEXT, anna(algorithm), scheme=scheme))
    assert (verdict.status, verdict.reason) == (Status.VALID, None)
    assert verdict.emails == (ANNA,)
    assert verdict.signing_time == NOW
    assert verdict.judged_at == NOW
    assert verdict.notes == (Reason.REVOCATION_NOT_CHECKED,)


def test_nobody_signed():
    assert judged(forge.signed_data([], content=None)) == ()


def test_an_altered_content():
    verdict = only(signature(TEXT, anna()), content=TEXT.replace(b"100", b"900"))
    assert (verdict.status, verdict.reason) == (Status.INVALID, Reason.SIGNATURE_ALTERED)


def test_a_certificate_that_is_not_there_is_undecided():
    der = forge.signed_data([forge.signer_info(anna(), S.ECDSA_SHA256, TEXT)], content=None)
    verdict = only(der)
    assert (verdict.status, verdict.reason) == (Status.INDETERMINATE, Reason.SIGNATURE_CERTIFICATE_MISSING)
    assert verdict.subject is None


def test_a_certificate_that_the_bank_knows_need_not_be_enclosed():
    der = forge.signed_data([forge.signer_info(anna(), S.ECDSA_SHA256, TEXT)], content=None)
    by = Judge(trust_of(get_pki(), intermediates=True), known=(anna().certificate,))
    assert only(der, by=by).status is Status.VALID


def test_broken_certificates_beside_the_good_ones_do_no_harm():
    der = forge.signed_data([forge.signer_info(anna(), S.ECDSA_SHA256, TEXT)], content=None,
                            certificates=[b"\x30\x03\x02\x01\x05", anna().der, *anna().chain_der])
    assert only(der).status is Status.VALID


@pytest.mark.parametrize(("options", "reason", "status"), [
    ({"not_after": LONG_AGO}, Reason.SIGNATURE_EXPIRED, Status.INVALID),
    ({"not_before": NOW + timedelta(days=1)}, Reason.SIGNATURE_NOT_YET_VALID, Status.INVALID)])
def test_what_a_certificate_lacks_is_told_as_the_signatures(options, reason, status):
    verdict = only(signature(TEXT, anna(**options)))
    assert (verdict.status, verdict.reason) == (status, reason)


def test_strangers_and_missing_issuers():
    stranger = get_pki("Strangers").signer("p-256", email=ANNA)
    assert only(signature(TEXT, stranger)).reason is Reason.PATH_ISSUER_MISSING
    root = get_pki("Strangers").root.der
    der = forge.signed_data([forge.signer_info(stranger, S.ECDSA_SHA256, TEXT)], content=None,
                            certificates=[stranger.der, *stranger.chain_der, root])
    verdict = only(der)
    assert (verdict.status, verdict.reason) == (Status.INVALID, Reason.PATH_UNTRUSTED_ROOT)


def test_wrong_usage_is_the_signatures_fault():
    wrong = get_pki().recipient("p-256", email=ANNA)
    assert only(signature(TEXT, wrong)).reason is Reason.SIGNATURE_WRONG_USAGE


TABLES = count()


class Table:
    """A revocation table with one answer, which remembers what it was asked."""

    def __init__(self, answer):
        self.version = f"test {next(TABLES)}"
        self.answer = Known(answer, fresh=answer == "good")
        self.asked = []

    def known(self, certificate, issuer, at, received):
        self.asked.append((certificate.subject, at, received))
        return self.answer


@pytest.mark.parametrize(("mode", "answer", "status", "reason", "notes", "fresh"), [
    ("none", "revoked", Status.VALID, None, (), False),
    ("soft", "unknown", Status.VALID, None, (Reason.REVOCATION_NOT_CHECKED,), False),
    ("soft", "good", Status.VALID, None, (), True),
    ("soft", "revoked", Status.INVALID, Reason.SIGNATURE_REVOKED, (), False),
    ("soft", "on_hold", Status.INVALID, Reason.SIGNATURE_ON_HOLD, (), False),
    ("require", "unknown", Status.INDETERMINATE, Reason.REVOCATION_UNAVAILABLE, (), False),
    ("require", "good", Status.VALID, None, (), True),
    ("require", "revoked", Status.INVALID, Reason.SIGNATURE_REVOKED, (), False)])
def test_revocation_by_its_mode(mode, answer, status, reason, notes, fresh):
    (signer,) = judged(signature(TEXT, anna()), by=Judge(trust_of(get_pki()), Revocation(mode, Table(answer))))
    assert (signer.verdict.status, signer.verdict.reason, signer.verdict.notes, signer.fresh) == (
        status, reason, notes, fresh)


def test_revocation_is_asked_for_the_time_of_the_stamp():
    table = Table("good")
    at = NOW - timedelta(days=30)
    der = signature(TEXT, anna(), stamp=stamper(at))
    judged(der, by=Judge(trust_of(get_pki()), Revocation("soft", table)))
    assert ("CN=" + ANNA, at + timedelta(seconds=1), NOW) in table.asked


# --- several SignerInfos of one signer ------------------------------------------------------------------------------


def good(person=None, scheme=S.ECDSA_SHA256):
    return forge.signer_info(person or anna(), scheme, TEXT)


def false(person=None):
    return forge.signer_info(person or anna(), S.ECDSA_SHA256, b"something else")


def unknown(person=None):
    from gateway.cms import algorithms

    person = person or anna()
    return forge.signer_info(person, S.ECDSA_SHA256, TEXT, signature_id=algorithms.identifier("2.999.5"))


def by_ski(person):
    from gateway.der import build

    return forge.signer_info(person, S.ECDSA_SHA256, TEXT, sid=build.tlv(0x80, person.certificate.ski))


@pytest.mark.parametrize(("infos", "status", "reason"), [
    (lambda: [good()], Status.VALID, None),
    (lambda: [good(), good()], Status.VALID, None),
    (lambda: [good(), unknown()], Status.VALID, None),
    (lambda: [unknown(), good()], Status.VALID, None),
    (lambda: [unknown()], Status.INDETERMINATE, Reason.SIGNATURE_ALGORITHM_UNKNOWN),
    (lambda: [good(), false()], Status.INVALID, Reason.SIGNATURE_ALTERED),
    (lambda: [false(), unknown(), good()], Status.INVALID, Reason.SIGNATURE_ALTERED),
    (lambda: [good(), by_ski(anna())], Status.VALID, None)])
def test_one_signer_with_several_infos(infos, status, reason):
    der = forge.signed_data(infos(), content=None, certificates=[anna().der, *anna().chain_der])
    verdict = only(der)
    assert (verdict.status, verdict.reason) == (status, reason)


def test_different_certificates_are_different_signers():
    other = anna(email="bert@customer.example")
    der = forge.signed_data([good(), good(other)], content=None,
                            certificates=[anna().der, other.der, *anna().chain_der])
    assert [signer.verdict.emails for signer in judged(der)] == [(ANNA,), ("bert@customer.example",)]


def test_sha1_and_md5_are_never_believed():
    from gateway.cms import algorithms

    digest = algorithms.identifier("1.3.14.3.2.26")
    info = forge.signer_info(anna(), S.ECDSA_SHA256, TEXT, digest_id=digest,
                             given=[forge.content_type(), forge.message_digest(TEXT, "sha1")])
    der = forge.signed_data([info], content=None, certificates=[anna().der, *anna().chain_der])
    for at in (NOW, START):
        verdict = only(der, at=at)
        assert (verdict.status, verdict.reason) == (Status.INVALID, Reason.SIGNATURE_WEAK_ALGORITHM)
