"""Checked in pairs: a fault of ours must never leave. Each check is shown to fail."""

import hashlib

import pytest

from gateway.cms.algorithms import ContentCipher
from gateway.cms.enveloped import encrypt
from gateway.cms.signed import SignerProfile, prepare, sign
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import SignScheme
from gateway.smime.check import check_encrypted, check_signed
from tests.support.pki import NOW, get_pki

CONTENT = b"Content-Type: text/plain\r\n\r\nhello\r\n"
DIGEST = hashlib.sha256(CONTENT).digest()
ANNA, BEN = (get_pki().recipient(one) for one in ("rsa-2048", "p-256"))
SIGNER = get_pki().signer("p-256")


def signed(content: bytes | None = None) -> bytes:
    prepared = prepare(SignerProfile(SIGNER.certificate, SIGNER.chain, SignScheme.ECDSA_SHA256))
    return sign(prepared, content=content, digest=DIGEST, at=NOW,
                raw_sign=lambda octets: SIGNER.sign(SignScheme.ECDSA_SHA256, octets))


def wrong(check: object) -> None:
    with pytest.raises(GatewayError) as caught:
        check()  # type: ignore[operator]
    assert caught.value.reason is Reason.INTERNAL
    assert caught.value.retry


def test_what_was_meant_passes() -> None:
    check_signed(signed(), SIGNER.certificate, CONTENT, DIGEST, NOW, detached=True)
    check_signed(signed(CONTENT), SIGNER.certificate, CONTENT, DIGEST, NOW, detached=False)
    both = (ANNA.certificate, BEN.certificate)
    check_encrypted(encrypt(CONTENT, both, ContentCipher.AES256_CBC), both, ContentCipher.AES256_CBC)


def test_signatures_that_were_not_meant() -> None:
    other = get_pki().signer("p-256", which=1).certificate
    wrong(lambda: check_signed(signed(), other, CONTENT, DIGEST, NOW, detached=True))
    wrong(lambda: check_signed(signed(CONTENT), SIGNER.certificate, CONTENT, DIGEST, NOW, detached=True))
    wrong(lambda: check_signed(signed(CONTENT), SIGNER.certificate, CONTENT + b"x", DIGEST, NOW, detached=False))
    wrong(lambda: check_signed(signed(), SIGNER.certificate, CONTENT, bytes(32), NOW, detached=True))
    broken = signed()[:-1] + bytes([signed()[-1] ^ 1])
    with pytest.raises(GatewayError):
        check_signed(broken, SIGNER.certificate, CONTENT, DIGEST, NOW, detached=True)


def test_envelopes_that_were_not_meant() -> None:
    one, both = (ANNA.certificate,), (ANNA.certificate, BEN.certificate)
    wrong(lambda: check_encrypted(encrypt(CONTENT, both, ContentCipher.AES256_CBC), one, ContentCipher.AES256_CBC))
    wrong(lambda: check_encrypted(encrypt(CONTENT, one, ContentCipher.AES256_CBC), both, ContentCipher.AES256_CBC))
    wrong(lambda: check_encrypted(encrypt(CONTENT, one, ContentCipher.AES256_CBC), both[1:], ContentCipher.AES256_CBC))
    wrong(lambda: check_encrypted(encrypt(CONTENT, one, ContentCipher.AES256_CBC), one, ContentCipher.AES256_GCM))
