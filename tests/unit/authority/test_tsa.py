"""The embedded time-stamping service, judged by openssl, rfc3161-client and our own reader; and what it refuses."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest
import rfc3161_client
from cryptography import x509
from rfc3161_client.verify import VerifierBuilder

from gateway.authority.ca import Profile
from gateway.authority.tsa import EmbeddedTsa
from gateway.clock import FrozenClock, SystemClock
from gateway.cms import signed, timestamp
from gateway.cms.signed_reader import find_certificate, parse_signed
from gateway.cms.timestamp import Failure, parse_response, parse_token, verify_token
from gateway.der import build
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import SignScheme
from gateway.ports.stampers import TimeStamper
from tests.support.peer_openssl import OpenSsl
from tests.support.peer_openssl import write as openssl_file
from tests.support.peers import PeerRefused, run
from tests.support.pki import END, NOW, KeyRing, Person, get_pki

POLICY = "1.3.6.1.4.1.99999.1"
DATA = b"stamp me"


def service(person: Person | None = None, keys: KeyRing | None = None, **settings: Any) -> EmbeddedTsa:
    person = person or get_pki().stamper()
    settings = {"policy_oid": POLICY, "accuracy_ms": 1500, "clock": FrozenClock(NOW), "clock_check": "none"} | settings
    return EmbeddedTsa("internal", keys or KeyRing(tsa=(person, "stamp")), "tsa", person.certificate, person.chain,
                       **settings)


def ask(*options: str) -> bytes:
    return run(OpenSsl().program, "ts", "-query", "-data", openssl_file(DATA), *options)


def test_it_is_a_time_stamper():
    stamper: TimeStamper = service()
    assert (stamper.name, stamper.trust) == ("internal", "internal")


@pytest.mark.parametrize("algorithm", ["p-256", "p-384"])
@pytest.mark.parametrize("name", ["sha256", "sha384", "sha512"])
def test_its_stamp_is_verified_by_openssl_and_here(algorithm, name):
    person = get_pki().stamper(algorithm)
    digest = hashlib.new(name, DATA).digest()
    token = service(person, clock=SystemClock()).stamp(digest, name)
    OpenSsl().check_token(token, digest, get_pki())
    with pytest.raises(PeerRefused):
        OpenSsl().check_token(token, hashlib.new(name, b"other").digest(), get_pki())
    read = parse_token(token)
    certificate = find_certificate(read.signed.signer_infos[0], read.signed.certificate_values())
    assert certificate == person.certificate
    assert verify_token(read, certificate, lambda asked: hashlib.new(asked, DATA).digest(), at=NOW) is None


def test_a_stamped_signature_carries_a_token_over_its_value():
    """RFC 3161 appendix A; openssl still verifies the mail's signature with the token beside it."""
    person = get_pki().signer("rsa-2048")
    scheme = SignScheme.RSA_PKCS1_SHA256
    der = signed.sign(
        signed.prepare(signed.SignerProfile(person.certificate, person.chain, scheme)), content=DATA,
        digest=hashlib.sha256(DATA).digest(), at=NOW, raw_sign=lambda octets: person.sign(scheme, octets),
        stamp=lambda value: service(clock=SystemClock()).stamp(hashlib.sha256(value).digest(), "sha256"))
    assert OpenSsl().verify(der, None, get_pki()) == DATA
    (info,) = parse_signed(der).signer_infos
    (token,) = info.timestamps
    OpenSsl().check_token(token, hashlib.sha256(info.signature).digest(), get_pki())
    assert verify_token(parse_token(token), get_pki().stamper().certificate,
                        lambda name: hashlib.new(name, info.signature).digest(), at=NOW) is None


def test_what_it_says_of_itself():
    clock = FrozenClock(NOW.replace(microsecond=123_987))
    read = parse_token(service(clock=clock).stamp(hashlib.sha256(DATA).digest(), "sha256"))
    assert read.policy == POLICY
    assert read.accuracy_s == 1.5
    assert read.gen_time == NOW.replace(microsecond=123_000)
    assert read.serial.bit_length() == 127
    assert read.nonce is None
    assert len({parse_token(service().stamp(bytes(32), "sha256")).serial for _ in range(50)}) == 50


@pytest.mark.parametrize("options", [
    ("-sha256", "-cert"), ("-sha256",), ("-sha384", "-cert", "-no_nonce"), ("-sha512", "-cert"),
    ("-sha256", "-cert", "-tspolicy", POLICY)])
def test_requests_of_openssl_are_answered_to_its_content(options):
    person, request = get_pki().stamper(), ask(*options)
    response = service(clock=SystemClock()).respond(request)
    run(OpenSsl().program, "ts", "-verify", "-in", openssl_file(response), "-queryfile", openssl_file(request),
        "-CAfile", openssl_file(get_pki().tsa_root_pem, "pem"), "-untrusted", openssl_file(person.pem, "pem"))
    granted = parse_response(response)
    assert granted.token is not None
    enclosed = parse_token(granted.token).signed.certificates
    assert enclosed == ((person.der,) if "-cert" in options else ())


def test_rfc3161_client_agrees():
    request = rfc3161_client.TimestampRequestBuilder().data(DATA).hash_algorithm(
        rfc3161_client.HashAlgorithm.SHA256).nonce(nonce=True).cert_request(cert_request=True).build()
    response = rfc3161_client.decode_timestamp_response(service(clock=SystemClock()).respond(request.as_bytes()))
    root = x509.load_der_x509_certificate(get_pki().tsa_root.der)
    verifier = VerifierBuilder.from_request(request).add_root_certificate(root).build()
    assert verifier.verify_message(response, DATA)
    with pytest.raises(rfc3161_client.VerificationError):
        verifier.verify_message(response, DATA + b"!")


NEVER_SERVED = build.sequence(
    build.integer(1), timestamp.message_imprint(bytes(32), "sha256"),
    build.context(0, build.sequence(build.oid("1.2.3"), build.octet_string(b""))))


@pytest.mark.parametrize("request_der, failure", [
    (timestamp.build_request(bytes(20), "sha1"), Failure.BAD_ALG),
    (timestamp.build_request(bytes(16), "md5"), Failure.BAD_ALG),
    (build.sequence(build.integer(1), build.sequence(build.sequence(build.oid("1.2.3.4")), build.octet_string(b"x"))),
     Failure.BAD_ALG),
    (timestamp.build_request(bytes(32), "sha256", policy="1.2.3.4"), Failure.UNACCEPTED_POLICY),
    (NEVER_SERVED, Failure.UNACCEPTED_EXTENSION),
    (timestamp.build_request(bytes(31), "sha256"), Failure.BAD_DATA_FORMAT),
    (b"GET / HTTP/1.1", Failure.BAD_DATA_FORMAT), (b"", Failure.BAD_DATA_FORMAT),
    (b"\x30\x80" * 100_000, Failure.BAD_DATA_FORMAT),
])
def test_what_it_refuses_and_how_it_says_so(request_der, failure):
    keys = KeyRing(tsa=(get_pki().stamper(), "stamp"))
    read = parse_response(service(keys=keys).respond(request_der))
    assert (read.status, read.failures, read.token) == (2, (int(failure),), None)
    assert keys.calls == [], "the key was used for nothing"


def test_openssl_shows_the_rejection():
    text = run(OpenSsl().program, "ts", "-reply", "-in", openssl_file(service().respond(ask("-sha1"))), "-text")
    assert b"Status: Rejected" in text
    assert b"unrecognized or unsupported algorithm" in text


@pytest.mark.parametrize("digest, name", [(bytes(20), "sha1"), (bytes(31), "sha256"), (bytes(32), "sha3-256"),
                                          (bytes(32), "nonsense")])
def test_the_gateway_itself_gets_no_weak_stamp_either(digest, name):
    with pytest.raises(GatewayError) as caught:
        service().stamp(digest, name)
    assert caught.value.reason is Reason.TIMESTAMP_REFUSED
    assert not caught.value.retry


def test_no_stamp_while_the_clock_is_not_synchronised(monkeypatch):
    monkeypatch.setattr("gateway.authority.tsa.is_synchronised", lambda: False)
    unsure = service(clock_check="kernel")
    with pytest.raises(GatewayError) as caught:
        unsure.stamp(bytes(32), "sha256")
    assert caught.value.reason is Reason.STAMPER_CLOCK
    assert caught.value.retry
    assert parse_response(unsure.respond(ask("-sha256"))).failures == (Failure.TIME_NOT_AVAILABLE,)
    assert parse_token(service(clock_check="none").stamp(bytes(32), "sha256")).gen_time == NOW


def test_with_a_synchronised_clock_it_stamps(monkeypatch):
    monkeypatch.setattr("gateway.authority.tsa.is_synchronised", lambda: True)
    assert parse_token(service(clock_check="kernel").stamp(bytes(32), "sha256")).gen_time == NOW


@pytest.mark.parametrize("at", [END + timedelta(seconds=1), NOW - timedelta(days=3650)])
def test_no_stamp_outside_the_certificates_validity(at):
    with pytest.raises(GatewayError) as caught:
        service(clock=FrozenClock(at)).stamp(bytes(32), "sha256")
    assert caught.value.reason is Reason.STAMPER_UNAVAILABLE


def test_a_key_that_fails_is_a_failure_of_the_system():
    class Broken(KeyRing):
        def sign(self, key_id, scheme, to_be_signed):
            raise GatewayError(Reason.KEY_UNAVAILABLE, retry=True)

    broken = service(keys=Broken(tsa=(get_pki().stamper(), "stamp")))
    assert parse_response(broken.respond(ask("-sha256"))).failures == (Failure.SYSTEM_FAILURE,)
    with pytest.raises(GatewayError) as caught:
        broken.stamp(bytes(32), "sha256")
    assert caught.value.reason is Reason.KEY_UNAVAILABLE


STAMPING, EMAIL = "1.3.6.1.5.5.7.3.8", "1.3.6.1.5.5.7.3.4"
DIGITAL_SIGNATURE = frozenset({"digital_signature"})


@pytest.mark.parametrize("profile", [
    Profile(DIGITAL_SIGNATURE, (STAMPING,), extended_critical=False),
    Profile(DIGITAL_SIGNATURE, (STAMPING, EMAIL), extended_critical=True),
    Profile(DIGITAL_SIGNATURE, (EMAIL,), extended_critical=True),
    Profile(DIGITAL_SIGNATURE)], ids=["not critical", "not sole", "another", "none"])
def test_certificates_that_may_not_stamp(profile):
    """RFC 3161 2.3."""
    with pytest.raises(GatewayError) as caught:
        service(get_pki().stamper(profile=profile))
    assert caught.value.reason is Reason.CONFIG_INVALID


def test_other_faults_of_the_configuration():
    for build_it in (lambda: service(get_pki().stamper("rsa-2048")),
                     lambda: service(keys=KeyRing(tsa=(get_pki().stamper(which=1), "stamp"))),
                     lambda: service(policy_oid="not an oid")):
        with pytest.raises(GatewayError) as caught:
            build_it()
        assert caught.value.reason is Reason.CONFIG_INVALID


def test_one_private_key_operation_per_stamp():
    keys = KeyRing(tsa=(get_pki().stamper(), "stamp"))
    stamper = service(keys=keys)
    stamper.stamp(bytes(32), "sha256")
    assert keys.calls == [("sign", "tsa")]
