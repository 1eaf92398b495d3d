"""Whatever the fast ways of reading say, the plain ones say too: over real objects and their mutations.

Truth is the plain way itself, tested against other programs in tests/peers and against asn1crypto in tests/unit.
"""

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.cms import content_info, envelope, signed_reader
from gateway.cms.algorithms import ContentCipher
from gateway.cms.enveloped import encrypt
from gateway.cms.signed import SignerProfile, prepare, sign
from gateway.errors import GatewayError
from gateway.mime import smime_forms
from gateway.mime.smime_forms import multipart_signed, pkcs7_mime
from gateway.model.scheme import SignScheme
from tests.support.pki import NOW, get_pki

CONTENT = b"Content-Type: text/plain\r\n\r\n" + b"hello\r\n" * 40
SIGNER = get_pki().signer("p-256")
ENVELOPES = [
    encrypt(CONTENT, [get_pki().recipient(kind).certificate], cipher)
    for kind in ("rsa-2048", "p-256") for cipher in (ContentCipher.AES256_GCM, ContentCipher.AES256_CBC)
]
SIGNATURES = [
    sign(prepare(SignerProfile(SIGNER.certificate, SIGNER.chain, SignScheme.ECDSA_SHA256)), content=content,
         digest=hashlib.sha256(CONTENT).digest(), at=NOW,
         raw_sign=lambda octets: SIGNER.sign(SignScheme.ECDSA_SHA256, octets))
    for content in (None, CONTENT)
]
HEADER, BODY = multipart_signed(CONTENT, SIGNATURES[0], "sha-256")
MAILS = [
    b"From: a@b.example\r\nMIME-Version: 1.0\r\n" + HEADER + b"\r\n" + BODY,
    b"From: a@b.example\r\nMIME-Version: 1.0\r\n" + pkcs7_mime(ENVELOPES[0], "authEnveloped-data"),
]

mutations = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255), st.sampled_from("rid")), max_size=3)


def mutated(octets: bytes, changes: list[tuple[int, int, str]], head: int) -> bytes:
    """Replaced, inserted, deleted octets; most of them in the first `head` octets, where structure is."""
    out = bytearray(octets)
    for place, value, how in changes:
        at = place % (head if place % 3 else len(out))
        if how == "r":
            out[at] = value
        elif how == "i":
            out.insert(at, value)
        else:
            del out[at]
    return bytes(out)


def told(read: Callable[[bytes], object], octets: bytes) -> object:
    try:
        return read(octets)
    except GatewayError as trouble:
        return trouble.reason


@pytest.mark.parametrize("read", [envelope.parse_enveloped, signed_reader.parse_signed])
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 3), changes=mutations)
def test_cms_objects(read: Callable[[bytes], object], which: int, changes: list[tuple[int, int, str]]) -> None:
    source = ENVELOPES[which] if read is envelope.parse_enveloped else SIGNATURES[which % 2]
    octets = mutated(source, changes, 120)
    fast = told(read, octets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(content_info, "usual", lambda _: None)
        patch.setattr(envelope, "_usual_cipher", lambda *_, **__: None)
        assert fast == told(read, octets)


@settings(max_examples=400, deadline=None)
@given(which=st.integers(0, 1), changes=mutations)
def test_forms_of_mails(which: int, changes: list[tuple[int, int, str]]) -> None:
    octets = mutated(MAILS[which], changes, 400)
    fast = told(smime_forms.detect, octets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smime_forms, "glance", lambda *_, **__: None)
        assert fast == told(smime_forms.detect, octets)


def test_the_fast_ways_are_taken() -> None:
    assert all(content_info.usual(octets) for octets in (*ENVELOPES, *SIGNATURES))
    assert all(smime_forms.glance(octets) for octets in MAILS)
