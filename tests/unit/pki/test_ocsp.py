"""OCSP answers read, authenticated and judged. Answers come from `cryptography`'s builder (gateway.authority.ocsp) or,

where that refuses to build what is wrong, from DER put together here; expectations are RFC 6960 and RFC 9654.
"""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import ocsp

from gateway.authority import ca
from gateway.authority.ca import Authority, Naming, Profile
from gateway.authority.ocsp import RESPONDER, build_answer
from gateway.cms import algorithms
from gateway.cms.certificate import parse_certificate
from gateway.der import build
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import SignScheme
from gateway.pki.revocation.entries import authority_id
from gateway.pki.revocation.ocsp import build_request, parse_response, read_answer
from gateway.pki.revocation.verdict import Known
from gateway.pki.trust import TrustSet
from tests.support.pki import END, NOW, START, get_pki, key, raw_sign
from tests.support.sealed import anna, trust_of

DAY = timedelta(days=1)
PKI = get_pki()
ISSUER = parse_certificate(PKI.intermediate.der)
ANNA = anna()
TRUST = trust_of(PKI)


def delegate(which=60, *, issuer=None, profile=RESPONDER, nocheck=True, not_after=END):
    private = key("p-256", which)
    extensions = [(x509.OCSPNoCheck(), False)] if nocheck else []
    return Authority(ca.issue(issuer or PKI.intermediate, Naming("Responder", "Test Bank", "DE"), private.public_key(),
                              profile, START, not_after, extensions=extensions), private)


def answer(status="good", *, responder=None, this_update=NOW - DAY, next_update=NOW + DAY, person=ANNA, **options):
    return build_answer(PKI.intermediate.der, person.der, responder or PKI.intermediate, status, this_update,
                        next_update, **options)


def read(der, *, person=ANNA, issuer=ISSUER, trust=TRUST, at=NOW, nonce=None, data=None):
    return read_answer(der, person.certificate, issuer, trust, at, nonce, data)


def refused(der, **options):
    with pytest.raises(GatewayError) as caught:
        read(der, **options)
    return caught.value


# --- by hand: what no builder makes -----------------------------------------------------------------------------------

SHA1 = algorithms.identifier(algorithms.DIGEST_OIDS["sha1"], build.null())


def cert_id(serial=None):
    import hashlib

    from gateway.pki.revocation.ocsp import _key_of

    return build.sequence(SHA1, build.octet_string(hashlib.sha1(ISSUER.subject_der).digest()),
                          build.octet_string(hashlib.sha1(_key_of(ISSUER)).digest()),
                          build.integer(ANNA.certificate.serial if serial is None else serial))


def single(*, status=b"\x80\0", this=NOW - DAY, until=NOW + DAY, identifier=None, extensions=()):
    return build.sequence(
        identifier or cert_id(), status, build.generalized_time(this),
        build.context(0, build.generalized_time(until)) if until else b"",
        build.context(1, build.sequence(*extensions)) if extensions else b"")


def extension(oid, value, *, critical=False):
    return build.sequence(build.oid(oid), build.boolean(True) if critical else b"", build.octet_string(value))


def by_hand(*singles, name=None, extensions=(), oid="1.2.840.10045.4.3.2", kind="1.3.6.1.5.5.7.48.1.1",
            private=None):
    data = build.sequence(
        build.context(1, name or ISSUER.subject_der), build.generalized_time(NOW - DAY), build.sequence(*singles),
        build.context(1, build.sequence(*extensions)) if extensions else b"")
    signature = raw_sign(private or PKI.intermediate.key, SignScheme.ECDSA_SHA256, data)
    basic = build.sequence(data, algorithms.identifier(oid, build.null() if "113549" in oid else None),
                           build.bit_string(signature))
    return build.sequence(build.enumerated(0), build.context(0, build.sequence(
        build.oid(kind), build.octet_string(basic))))


# --- the question -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_the_question_as_another_library_reads_it(digest):
    request = ocsp.load_der_ocsp_request(build_request(ANNA.certificate, ISSUER, b"n" * 32, digest=digest))
    assert request.serial_number == ANNA.certificate.serial
    assert request.hash_algorithm.name == digest
    made = ocsp.OCSPRequestBuilder().add_certificate(
        ANNA.certificate.x509, ISSUER.x509, hashes.SHA1() if digest == "sha1" else hashes.SHA256()).build()
    assert (request.issuer_name_hash, request.issuer_key_hash) == (made.issuer_name_hash, made.issuer_key_hash)
    assert request.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"n" * 32


def test_the_question_without_a_nonce():
    assert not ocsp.load_der_ocsp_request(build_request(ANNA.certificate, ISSUER)).extensions


# --- what it says -----------------------------------------------------------------------------------------------------


def test_good():
    found = read(answer())
    assert (found.authority, found.serial, found.status) == (
        authority_id(ISSUER), ANNA.certificate.serial, "good")
    assert (found.this_update, found.next_update, found.revoked_at) == (NOW - DAY, NOW + DAY, None)
    assert found.responder == ISSUER.subject
    stored = found.stored(NOW)
    assert (stored.status, stored.serial, stored.fetched_at) == ("good", ANNA.certificate.serial, NOW)


@pytest.mark.parametrize(("reason", "told"), [("keyCompromise", "keyCompromise"), (None, None),
                                              ("certificateHold", "certificateHold")])
def test_revoked(reason, told):
    found = read(answer("revoked", revoked_at=NOW - 3 * DAY, reason=reason))
    assert (found.status, found.revoked_at, found.reason) == ("revoked", NOW - 3 * DAY, told)


def test_unknown():
    assert read(answer("unknown")).status == "unknown"


@pytest.mark.parametrize("identifier", [hashes.SHA1(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
@pytest.mark.parametrize("by_name", [True, False])
def test_whatever_names_the_issuer_and_the_responder(identifier, by_name):
    assert read(answer(identifier=identifier, by_name=by_name)).status == "good"
    assert read(answer(identifier=identifier, by_name=by_name, responder=delegate())).status == "good"


def test_of_several_answers_the_one_about_this_certificate():
    revoked = build.context(1, build.generalized_time(NOW - DAY))
    der = by_hand(single(identifier=cert_id(5), status=revoked), single(), single(identifier=cert_id(6)))
    assert read(der).status == "good"
    assert read(by_hand(single(this=NOW - 2 * DAY), single(status=revoked))).status == "revoked"  # the newest


def test_an_answer_about_another_certificate():
    error = refused(answer(person=anna(which=1)))
    assert error.reason is Reason.REVOCATION_REFUSED
    strangers = get_pki("Strangers")
    other = build_answer(strangers.intermediate.der, ANNA.der, PKI.intermediate, "good", NOW - DAY, enclosed=())
    assert refused(other).reason is Reason.REVOCATION_REFUSED  # the same number at another issuer


def test_good_says_nothing_of_a_certificate_that_had_expired():
    """RFC 6960 4.4.4: responders forget; one that does not says so by archiveCutoff."""
    late = anna(not_after=NOW - 30 * DAY)
    assert read(answer(person=late), person=late).status == "unknown"
    assert read(answer("revoked", person=late, revoked_at=NOW - 60 * DAY), person=late).status == "revoked"

    def kept(since):
        return by_hand(single(identifier=cert_id(late.certificate.serial), extensions=[
            extension("1.3.6.1.5.5.7.48.1.6", build.generalized_time(since))]))

    assert read(kept(NOW - 31 * DAY), person=late).status == "good"
    assert read(kept(NOW - 29 * DAY), person=late).status == "unknown"


# --- who says it ------------------------------------------------------------------------------------------------------


def test_a_delegate_of_this_very_issuer():
    assert read(answer(responder=delegate())).responder.startswith("CN=Responder")


@pytest.mark.parametrize(("responder", "detail"), [
    (lambda: delegate(61, issuer=PKI.root), "not of the issuer"),
    (lambda: delegate(62, issuer=get_pki("Strangers").intermediate), "not of the issuer"),
    (lambda: delegate(63, profile=Profile(frozenset({"digital_signature"}), ("1.3.6.1.5.5.7.3.4",))), "OCSPSigning"),
    (lambda: delegate(64, profile=Profile(frozenset({"digital_signature"}))), "OCSPSigning"),
    (lambda: delegate(65, profile=Profile(frozenset({"digital_signature"}), ("2.5.29.37.0",))), "OCSPSigning"),
    (lambda: delegate(66, profile=Profile(frozenset({"key_encipherment"}), RESPONDER.extended)), "not for signing"),
    (lambda: delegate(67, not_after=NOW - DAY), "not valid")])
def test_a_delegate_that_is_none(responder, detail):
    error = refused(answer(responder=responder()))
    assert error.reason is Reason.REVOCATION_UNTRUSTED
    assert detail in error.detail


def test_a_delegate_whose_certificate_is_not_in_the_house():
    """RFC 6960 4.2.2.3: it should be enclosed; where it is not, nobody can say who answers."""
    assert refused(answer(responder=delegate(), enclosed=())).reason is Reason.REVOCATION_UNTRUSTED


def test_the_banks_own_responder_needs_no_delegation():
    own = delegate(68, issuer=get_pki("Strangers").root, profile=Profile(frozenset({"digital_signature"})))
    der = answer(responder=own, enclosed=())
    assert refused(der).reason is Reason.REVOCATION_UNTRUSTED
    believed = TrustSet(signers=TRUST.signers, ocsp_responders=(parse_certificate(own.der),))
    assert read(der, trust=believed).status == "good"


@pytest.mark.parametrize(("nocheck", "status", "good"), [
    (True, "revoked", True), (False, "revoked", False), (False, "on_hold", False), (False, "good", True),
    (False, "unknown", True)])
def test_a_revoked_delegate_says_nothing_any_more(nocheck, status, good):
    class Table:
        version = "one"

        def known(self, certificate, issuer, at, received):
            return Known(status)

    der = answer(responder=delegate(69, nocheck=nocheck))
    if good:
        assert read(der, data=Table()).status == "good"
    else:
        assert "revoked itself" in refused(der, data=Table()).detail


def test_a_signature_that_is_not_the_responders():
    assert refused(by_hand(single(), private=key("p-256", 70))).reason is Reason.REVOCATION_ALTERED
    assert refused(by_hand(single(), name=build.sequence())).reason is Reason.REVOCATION_UNTRUSTED


# --- nonce and times --------------------------------------------------------------------------------------------------


def test_nonce():
    mine, other = b"m" * 32, b"o" * 32
    assert read(answer(nonce=mine), nonce=mine).status == "good"
    assert refused(answer(nonce=other), nonce=mine).reason is Reason.REVOCATION_UNTRUSTED
    assert read(answer(), nonce=mine).status == "good"  # made before: its times must hold
    assert read(answer(nonce=other)).status == "good"  # nobody asked for one


@pytest.mark.parametrize(("this_update", "next_update", "reason"), [
    (NOW - 2 * DAY, NOW - timedelta(minutes=6), Reason.REVOCATION_STALE),
    (NOW - 2 * DAY, NOW - timedelta(minutes=4), None),
    (NOW + timedelta(minutes=6), NOW + DAY, Reason.REVOCATION_FUTURE),
    (NOW + timedelta(minutes=4), NOW + DAY, None), (NOW - DAY, None, None)])
def test_times(this_update, next_update, reason):
    der = by_hand(single(this=this_update, until=next_update))
    if reason is None:
        assert read(der).status == "good"
    else:
        assert refused(der).reason is reason


# --- refusals, and what nobody may write ------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "said", "retry"), [
    (1, "malformedRequest", False), (2, "internalError", True), (3, "tryLater", True), (5, "sigRequired", False),
    (6, "unauthorized", False), (4, "status 4", False)])
def test_no_answer(status, said, retry):
    error = refused(build.sequence(build.enumerated(status)))
    assert (error.reason, error.retry) == (Reason.REVOCATION_REFUSED, retry)
    assert said in error.detail


@pytest.mark.parametrize(("oid", "said"), [("1.2.840.113549.1.1.5", "sha1_rsa"), ("1.2.840.113549.1.1.4", "md5_rsa"),
                                           ("1.2.840.10045.4.1", "sha1_ecdsa")])
def test_broken_algorithms_are_refused_by_name(oid, said):
    error = refused(by_hand(single(), oid=oid))
    assert (error.reason, error.detail) == (Reason.REVOCATION_WEAK_ALGORITHM, f"signed with {said}")


@pytest.mark.parametrize("der", [
    b"", b"\x30\0", b"\x30" * 10_000, b"\x30\x84\xff\xff\xff\xff", build.sequence(build.enumerated(0)),
    by_hand(single(), kind="2.999.1"), by_hand(single(extensions=[extension("2.999.1", b"\5\0", critical=True)])),
    by_hand(single(), extensions=[extension("2.999.1", b"\5\0", critical=True)]),
    by_hand(single(), extensions=[extension("1.3.6.1.5.5.7.48.1.2", b"\4\1x")] * 2),
    by_hand(single(status=build.context(1))), by_hand(single(status=b"\x83\0")),
    by_hand(single(status=build.context(1, build.generalized_time(NOW), build.context(0, build.enumerated(7))))),
    by_hand(*[single()] * 257), by_hand(single(identifier=build.sequence(SHA1))),
    by_hand(single(), extensions=[extension(f"2.999.{n}", b"\5\0") for n in range(20)]),
    by_hand(single(), extensions=[build.sequence(build.tlv(6, b"\x88" + b"\x81" * 50_000 + b"\1"), b"\4\0")])])
def test_what_is_no_answer(der):
    assert refused(der).reason is Reason.REVOCATION_MALFORMED


def test_unknown_extensions_that_are_not_critical_do_no_harm():
    harmless = [extension("2.999.1", b"\5\0")]
    assert read(by_hand(single(extensions=harmless), extensions=harmless)).status == "good"


def test_every_truncation_is_malformed():
    der = answer(responder=delegate(), nonce=b"n" * 16)
    for size in range(len(der)):
        assert refused(der[:size]).reason is Reason.REVOCATION_MALFORMED
    assert refused(der + b"\0").reason is Reason.REVOCATION_MALFORMED


def test_no_changed_octet_changes_the_answer():
    der = answer("revoked", revoked_at=NOW - DAY, reason="superseded", responder=delegate())
    whole, told = read(der), set()
    for place in range(len(der)):
        changed = der[:place] + bytes((der[place] ^ 1,)) + der[place + 1:]
        try:
            assert read(changed) == whole
        except GatewayError as error:
            told.add(str(error.reason).partition(".")[0])
    assert told == {"revocation"}


def test_a_huge_answer():
    der = answer() + b"\0" * 262_144
    with pytest.raises(GatewayError) as caught:
        parse_response(der)
    assert caught.value.reason is Reason.REVOCATION_MALFORMED
