"""RFC 3161 against other programs, both ways: tokens inside signatures, tokens alone, requests and responses.

Truth: the verdict of `openssl ts`, Bouncy Castle and rfc3161-client on our time-stamping unit, and ours on tokens
that openssl and Bouncy Castle make.
"""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
import rfc3161_client
from cryptography import x509

from gateway.authority.tsa import EmbeddedTsa
from gateway.clock import SystemClock
from gateway.cms import signed_reader, timestamp
from gateway.cms.certificate import parse_certificate
from gateway.errors import Reason
from gateway.model.scheme import SignScheme
from tests.support.ours import Ours, algorithm_of
from tests.support.peer_bc import BouncyCastle
from tests.support.peer_gpgsm import gpgsm
from tests.support.peer_nss import nss
from tests.support.peer_openssl import OpenSsl
from tests.support.peers import Peer, PeerRefused, Signing
from tests.support.pki import KeyRing, Pki

CONTENT = b"Content-Type: text/plain\r\n\r\nA statement of account.\r\n"
POLICY = "1.3.6.1.4.1.99999.7"


def unit(pki: Pki, algorithm: str = "p-256") -> EmbeddedTsa:
    person = pki.stamper(algorithm)
    return EmbeddedTsa("internal", KeyRing(tsa=(person, "stamp")), "tsa", person.certificate, person.chain,
                       policy_oid=POLICY, accuracy_ms=500, clock=SystemClock(), clock_check="none")


def is_now(at: datetime) -> bool:
    return abs(datetime.now(UTC) - at) < timedelta(minutes=1)


@pytest.mark.parametrize("name", ["openssl", "bouncycastle", "nss", "gpgsm"])
@pytest.mark.parametrize("scheme", [SignScheme.RSA_PKCS1_SHA256, SignScheme.RSA_PSS_SHA512, SignScheme.ECDSA_SHA384])
def test_a_stamped_signature_disturbs_nobody(name: str, scheme: SignScheme, pki: Pki, ours: Ours, openssl: OpenSsl,
                                             bc: BouncyCastle) -> None:
    """And Bouncy Castle finds the token over the signature's value (RFC 3161 appendix A)."""
    tsa = unit(pki)
    cms = ours.sign(CONTENT, pki.signer(algorithm_of(scheme)), Signing(scheme),
                    stamp=lambda value: tsa.stamp(hashlib.sha256(value).digest(), "sha256"))
    makers: dict[str, Peer] = {"openssl": openssl, "bouncycastle": bc}
    reader = makers.get(name) or (nss(pki) if name == "nss" else gpgsm(pki))
    assert reader.verify(cms, CONTENT, pki) == CONTENT
    if name == "bouncycastle":
        assert is_now(bc.check_stamped(cms, pki.stamper()))
        (token,) = signed_reader.parse_signed(cms).signer_infos[0].timestamps
        value = signed_reader.parse_signed(cms).signer_infos[0].signature
        openssl.check_token(token, hashlib.sha256(value).digest(), pki)


def test_bouncy_castle_refuses_a_stamp_over_something_else(pki: Pki, ours: Ours, bc: BouncyCastle) -> None:
    tsa = unit(pki)
    cms = ours.sign(CONTENT, pki.signer("p-256"), Signing(SignScheme.ECDSA_SHA256),
                    stamp=lambda value: tsa.stamp(hashlib.sha256(value + b"!").digest(), "sha256"))
    with pytest.raises(PeerRefused, match="another imprint"):
        bc.check_stamped(cms, pki.stamper())


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("algorithm", ["p-256", "p-384"])
def test_openssl_verifies_our_tokens(algorithm: str, digest: str, pki: Pki, openssl: OpenSsl) -> None:
    imprint = hashlib.new(digest, CONTENT).digest()
    token = unit(pki, algorithm).stamp(imprint, digest)
    openssl.check_token(token, imprint, pki)
    with pytest.raises(PeerRefused):
        openssl.check_token(token, hashlib.new(digest, CONTENT + b"!").digest(), pki)


def test_our_answer_to_openssls_request(pki: Pki, openssl: OpenSsl) -> None:
    request = openssl.stamp_request(CONTENT, policy=POLICY)
    response = unit(pki).respond(request)
    openssl.check_response(response, request, pki)
    other = openssl.stamp_request(CONTENT, policy=POLICY)  # same data, another nonce
    with pytest.raises(PeerRefused):
        openssl.check_response(response, other, pki)


def test_our_answer_to_bouncy_castles_request(pki: Pki, bc: BouncyCastle) -> None:
    request = bc.stamp_request(hashlib.sha256(CONTENT).digest())
    assert is_now(bc.check_response(unit(pki).respond(request), request, pki.stamper()))


def test_a_refusal_is_understood(pki: Pki, openssl: OpenSsl, bc: BouncyCastle) -> None:
    """A policy that is not ours."""
    request = openssl.stamp_request(CONTENT, policy="1.3.6.1.4.1.99999.8")
    response = unit(pki).respond(request)
    with pytest.raises(PeerRefused, match=r"token not present|rejection"):
        openssl.check_response(response, request, pki)
    with pytest.raises(PeerRefused, match="refused"):
        bc.check_response(response, request, pki.stamper())


def test_rfc3161_client_verifies_our_response(pki: Pki) -> None:
    """Trail of Bits' verifier: imprint, nonce, policy, path and usage."""
    request = rfc3161_client.TimestampRequestBuilder().data(CONTENT).nonce(nonce=True).build()
    response = rfc3161_client.decode_timestamp_response(unit(pki).respond(request.as_bytes()))
    verifier = (rfc3161_client.VerifierBuilder.from_request(request)
                .policy_id(x509.ObjectIdentifier(POLICY))
                .add_root_certificate(x509.load_der_x509_certificate(pki.tsa_root.der)).build())
    assert verifier.verify_message(response, CONTENT)


def judged(token_der: bytes, content: bytes, pki: Pki) -> Reason | None:
    token = timestamp.parse_token(token_der)
    certificate = signed_reader.find_certificate(
        token.signed.signer_infos[0], [parse_certificate(der) for der in token.signed.certificates])
    assert certificate == pki.stamper().certificate
    assert is_now(token.gen_time)
    return timestamp.verify_token(token, certificate, lambda name: hashlib.new(name, content).digest(),
                                  at=datetime.now(UTC))


def test_openssls_token_is_verified_here(pki: Pki, openssl: OpenSsl) -> None:
    request = timestamp.build_request(hashlib.sha256(CONTENT).digest(), "sha256", nonce=2**64 + 1)
    response = timestamp.parse_response(openssl.answer_request(request, pki.stamper()))
    assert (response.status, response.failures) == (0, ())
    assert response.token is not None
    assert timestamp.parse_token(response.token).nonce == 2**64 + 1
    assert timestamp.parse_token(response.token).accuracy_s == 1.0
    assert judged(response.token, CONTENT, pki) is None
    assert judged(response.token, CONTENT + b"!", pki) is Reason.TIMESTAMP_IMPRINT


def test_bouncy_castles_token_is_verified_here(pki: Pki, bc: BouncyCastle) -> None:
    token = bc.make_token(hashlib.sha256(CONTENT).digest(), pki.stamper())
    assert judged(token, CONTENT, pki) is None
    assert judged(token, CONTENT + b"!", pki) is Reason.TIMESTAMP_IMPRINT
