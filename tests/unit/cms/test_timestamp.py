"""RFC 3161 both ways: what openssl asks and answers is read, what the RFC forbids is refused.

Tokens with faults are made by tests/support/forge.py with right arithmetic. The embedded service is judged by openssl
and rfc3161-client in tests/unit/authority/test_tsa.py.
"""

import hashlib
from datetime import UTC, datetime

import pytest
from asn1crypto import tsp
from hypothesis import given
from hypothesis import strategies as st

from gateway.cms import algorithms, attributes, timestamp
from gateway.cms.signed_reader import find_certificate
from gateway.cms.timestamp import Failure, parse_request, parse_response, parse_token, token_of, verify_token
from gateway.der import build, walk
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import SignScheme
from tests.support import forge
from tests.support.peer_openssl import OpenSsl
from tests.support.peer_openssl import write as openssl_file
from tests.support.peers import run
from tests.support.pki import NOW, get_pki

DATA = b"a signature value"
DIGEST = hashlib.sha256(DATA).digest()
POLICY = "1.3.6.1.4.1.99999.1"


def digest_of(name: str) -> bytes:
    return hashlib.new(name, DATA).digest()


def info(*, version: int = 1, imprint: bytes | None = None, time: bytes | None = None, accuracy: bytes = b"",
         ordering: bytes = b"", nonce: bytes = b"", tail: bytes = b"", serial: bytes | None = None) -> bytes:
    return build.sequence(
        build.integer(version), build.oid(POLICY), imprint or timestamp.message_imprint(DIGEST, "sha256"),
        serial or build.integer(7), time or build.generalized_time(NOW), accuracy, ordering, nonce, tail)


def token(content: bytes, *, named: bool = True, signers: int = 1, of: str = algorithms.TST_INFO) -> bytes:
    person = get_pki().stamper()
    given = [forge.content_type(of), forge.message_digest(content)]
    if named:
        given.append(attributes.signing_certificate_v2(person.certificate))
    one = forge.signer_info(person, SignScheme.ECDSA_SHA256, content, given=given)
    return forge.signed_data([one] * signers, content=content, certificates=[person.der], of=of)


def judged(der: bytes) -> Reason | None:
    read = parse_token(der)
    certificate = find_certificate(read.signed.signer_infos[0], read.signed.certificate_values())
    assert certificate is not None
    return verify_token(read, certificate, digest_of, at=NOW)


def refused(der: bytes, parse=parse_token) -> Reason:
    with pytest.raises(GatewayError) as caught:
        parse(der)
    return caught.value.reason


# --- requests ---


@pytest.mark.parametrize("options, expected", [
    (("-sha256", "-cert"), ("sha256", None, True)),
    (("-sha512",), ("sha512", None, False)),
    (("-sha384", "-no_nonce", "-cert"), ("sha384", None, True)),
    (("-sha256", "-tspolicy", "1.2.3.4"), ("sha256", "1.2.3.4", False)),
    (("-sha1",), ("sha1", None, False)),
])
def test_what_openssl_asks_is_read(options, expected):
    request = parse_request(run(OpenSsl().program, "ts", "-query", "-data", openssl_file(DATA), *options))
    assert (request.digest_name, request.policy, request.cert_req) == expected
    assert request.imprint == digest_of(request.digest_name)
    assert (request.nonce is None) == ("-no_nonce" in options)
    assert request.extensions == ()


@given(st.sampled_from(["sha256", "sha384", "sha512"]), st.none() | st.just(POLICY),
       st.none() | st.integers(-2**64, 2**64), st.booleans())
def test_a_request_survives_writing_and_reading(name, policy, nonce, cert_req):
    der = timestamp.build_request(digest_of(name), name, policy=policy, nonce=nonce, cert_req=cert_req)
    read = parse_request(der)
    assert (read.imprint, read.digest_name, read.policy, read.nonce, read.cert_req) == (
        digest_of(name), name, policy, nonce, cert_req)
    other = tsp.TimeStampReq.load(der, strict=True)
    assert other["nonce"].native == nonce
    assert bool(other["cert_req"].native) == cert_req


@pytest.mark.parametrize("der", [
    b"", b"\x30\x00", build.sequence(build.integer(2), timestamp.message_imprint(DIGEST, "sha256")),
    build.sequence(build.integer(1), timestamp.message_imprint(DIGEST[:20], "sha256")),
    build.sequence(build.integer(1), timestamp.message_imprint(DIGEST, "sha256"), build.utf8("x")),
    build.sequence(build.integer(1), timestamp.message_imprint(DIGEST, "sha256"), build.boolean(True),
                   build.integer(1)),  # the nonce comes before certReq
    timestamp.build_request(DIGEST, "sha256", nonce=1 << 600),
    timestamp.build_request(DIGEST, "sha256") + b"\0",
    b"\x30" * 20_000,
], ids=["empty", "nothing in it", "version 2", "short imprint", "foreign field", "wrong order", "endless nonce",
        "more after it", "huge"])
def test_requests_that_are_none(der):
    assert refused(der, parse_request) is Reason.TIMESTAMP_MALFORMED


def test_extensions_of_a_request_are_told():
    extension = build.sequence(build.oid("1.2.3"), build.octet_string(b""))
    der = build.sequence(build.integer(1), timestamp.message_imprint(DIGEST, "sha256"), build.context(0, extension))
    assert parse_request(der).extensions == ("1.2.3",)


# --- tokens ---


def test_an_answer_of_openssl_is_read_and_verified():
    openssl, person = OpenSsl(), get_pki().stamper()
    request = openssl.stamp_request(DATA, policy=POLICY)
    response = openssl.answer_request(request, person)
    read = parse_response(response)
    assert read.status == 0
    assert read.token is not None
    found = parse_token(read.token)
    assert found.imprint == DIGEST
    assert found.digest_name == "sha256"
    assert found.policy == POLICY
    assert found.accuracy_s == 1.0
    assert found.nonce == parse_request(request).nonce
    assert abs((datetime.now(UTC) - found.gen_time).total_seconds()) < 120
    certificate = find_certificate(found.signed.signer_infos[0], found.signed.certificate_values())
    assert certificate == person.certificate
    assert verify_token(found, certificate, digest_of, at=NOW) is None
    assert verify_token(found, certificate, lambda name: hashlib.new(name, b"other").digest(),
                        at=NOW) is Reason.TIMESTAMP_IMPRINT
    assert token_of(response) == token_of(read.token) == read.token


def test_the_least_token_is_valid_and_openssl_agrees():
    der = token(info())
    assert judged(der) is None
    OpenSsl().check_token(der, DIGEST, get_pki())


def test_all_fields_are_told():
    accuracy = build.sequence(build.integer(2), build.retag(0x80, build.integer(250)),
                              build.retag(0x81, build.integer(500)))
    tsa = build.context(0, build.context(4, get_pki().stamper().certificate.subject_der))
    harmless = build.context(1, build.sequence(build.oid("1.2.3"), build.octet_string(b"x")))
    read = parse_token(token(info(accuracy=accuracy, ordering=build.boolean(True), nonce=build.integer(-5),
                                  tail=tsa + harmless, time=build.tlv(0x18, b"20261124120000.125Z"))))
    assert read.accuracy_s == pytest.approx(2.2505)
    assert read.ordering is True
    assert read.nonce == -5
    assert read.gen_time == NOW.replace(microsecond=125_000)
    assert read.serial == 7


CRITICAL = build.context(1, build.sequence(build.oid("1.2.3"), build.boolean(True), build.octet_string(b"x")))
WRONG = {
    "version 2": info(version=2),
    "genTime as UTCTime": info(time=build.utc_time(NOW)),
    "genTime with an offset": info(time=build.tlv(0x18, b"20261124120000+0100")),
    "genTime without seconds": info(time=build.tlv(0x18, b"202611241200Z")),
    "fraction with a trailing zero": info(time=build.tlv(0x18, b"20261124120000.10Z")),
    "imprint too short": info(imprint=timestamp.message_imprint(DIGEST[:31], "sha256")),
    "millis of 1000": info(accuracy=build.sequence(build.retag(0x80, build.tlv(2, b"\x03\xe8")))),
    "negative accuracy": info(accuracy=build.sequence(build.integer(-1))),
    "accuracy out of order": info(accuracy=build.sequence(build.retag(0x80, build.integer(1)), build.integer(1))),
    "critical extension": info(tail=CRITICAL),
    "foreign field": info(tail=build.utf8("x")),
    "serial of 2,000 bits": info(serial=build.integer(1 << 2000)),
    "nothing": build.sequence(),
    "no sequence": build.null(),
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG.keys())
def test_a_tst_info_that_is_not_as_the_rfc_wants_it(content):
    """RFC 3161 2.4.2; the signatures of all of these are right."""
    assert refused(token(content)) is Reason.TIMESTAMP_MALFORMED


def test_rules_of_the_signed_data():
    assert refused(token(info(), signers=2)) is Reason.TIMESTAMP_MALFORMED
    assert refused(token(info(), signers=0)) is Reason.TIMESTAMP_MALFORMED
    assert refused(token(info(), named=False)) is Reason.TIMESTAMP_MALFORMED
    assert refused(token(info(), of=algorithms.DATA)) is Reason.TIMESTAMP_MALFORMED
    assert refused(token(info()) + b"\0") is Reason.TIMESTAMP_MALFORMED
    assert refused(b"\x30\x80" * 200_000) is Reason.TIMESTAMP_MALFORMED


def test_a_weak_imprint_proves_nothing():
    imprint = timestamp.message_imprint(hashlib.sha1(DATA).digest(), "sha1")
    assert judged(token(info(imprint=imprint))) is Reason.TIMESTAMP_WEAK_ALGORITHM


def test_an_imprint_by_a_digest_of_tomorrow_is_undecided():
    digest = hashlib.sha3_512(DATA).digest()
    imprint = build.sequence(algorithms.digest_identifier("sha3-512"), build.octet_string(digest))
    assert judged(token(info(imprint=imprint))) is Reason.SIGNATURE_ALGORITHM_UNKNOWN


def test_altered_after_stamping():
    der = token(info())
    later = der.replace(b"20261124120000Z", b"20251124120000Z")
    assert later != der
    assert judged(later) is Reason.TIMESTAMP_ALTERED


def test_a_token_names_its_certificate_rightly_or_not_at_all():
    person, other = get_pki().stamper(), get_pki().signer("p-256")
    content = info()
    given = [forge.content_type(algorithms.TST_INFO), forge.message_digest(content),
             attributes.signing_certificate_v2(other.certificate)]
    one = forge.signer_info(person, SignScheme.ECDSA_SHA256, content, given=given)
    der = forge.signed_data([one], content=content, certificates=[person.der], of=algorithms.TST_INFO)
    assert judged(der) is Reason.TIMESTAMP_MALFORMED


@given(st.datetimes(timezones=st.just(UTC)))
def test_gen_time_is_der_with_and_without_a_fraction(at):
    """X.690 11.7: no trailing zeros, no lonely point."""
    der = timestamp.build_tst_info(timestamp.message_imprint(DIGEST, "sha256"), policy=build.oid(POLICY), serial=7,
                                   gen_time=at, accuracy=b"")
    assert build.generalized_time(at, fraction=True) in der
    assert tsp.TSTInfo.load(der, strict=True)["gen_time"].native == at


@given(st.integers(1, 10_000_000))
def test_accuracy_survives(milliseconds):
    accuracy = timestamp.build_accuracy(milliseconds)
    assert parse_token(token(info(accuracy=accuracy))).accuracy_s == pytest.approx(milliseconds / 1000)


# --- responses ---


@pytest.mark.parametrize("failure", list(Failure))
def test_a_rejection_is_read_by_another_implementation(failure):
    der = timestamp.build_rejection(failure, "no")
    read = parse_response(der)
    assert (read.status, read.failures, read.text, read.token) == (2, (int(failure),), ("no",), None)
    status = tsp.PKIStatusInfo.load(walk.content(der, walk.single(der)), strict=True)
    assert status["status"].native == "rejection"
    assert status["status_string"].native == ["no"]
    (name,) = status["fail_info"].native
    assert name.rstrip("s") == failure.name.lower().rstrip("s")


def test_a_rejection_is_no_token():
    assert refused(timestamp.build_rejection(Failure.BAD_ALG), token_of) is Reason.TIMESTAMP_REFUSED
    assert refused(b"\x30\x00", token_of) is Reason.TIMESTAMP_MALFORMED


@pytest.mark.parametrize("der", [
    build.sequence(build.sequence(build.integer(0))),  # granted, but nothing given
    build.sequence(build.sequence(build.integer(2)), build.sequence()),  # rejected, but something given
    build.sequence(build.sequence(build.integer(9))),
    build.sequence(build.sequence(build.integer(2), build.tlv(3, b"\x09\x80"))),
    build.sequence(build.sequence(build.integer(2), build.sequence(build.null()))),
    build.sequence(), b"", b"\xff" * 300_000])
def test_responses_that_are_none(der):
    assert refused(der, parse_response) is Reason.TIMESTAMP_MALFORMED


def test_cut_at_every_octet_nothing_but_a_gateway_error_comes_out():
    response = timestamp.build_response(token(info()))
    for end in range(0, len(response), 3):
        for parse in (parse_response, parse_token, token_of, parse_request):
            assert refused(response[:end], parse) is Reason.TIMESTAMP_MALFORMED
