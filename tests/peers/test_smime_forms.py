"""The S/MIME shapes of whole mails against openssl's own reader and writer (`-inform SMIME`), both ways."""

import hashlib
from datetime import UTC, datetime

import pytest

from gateway.cms import signed, signed_reader
from gateway.mime import smime_forms
from gateway.mime.smime_forms import Cms, Detached
from gateway.model.scheme import SignScheme
from tests.support.ours import Ours
from tests.support.peer_openssl import OpenSsl, write
from tests.support.peers import Sealing, Signing, run
from tests.support.pki import Pki

BODIES = {
    "text": b"Content-Type: text/plain; charset=us-ascii\r\n\r\nOne line.\r\n",
    "no final line end": b"Content-Type: text/plain\r\n\r\nOne line.",
    "trailing empty lines": b"Content-Type: text/plain\r\n\r\nOne line.\r\n\r\n\r\n",
    "trailing spaces": b"Content-Type: text/plain\r\n\r\nOne line.  \r\n \t\r\n",
    "dots and dashes": b"Content-Type: text/plain\r\n\r\n.\r\n..\r\n--\r\n-- \r\nFrom here\r\n",
    "multipart": b'Content-Type: multipart/mixed; boundary="b"\r\n\r\npreamble\r\n--b\r\n\r\none\r\n--b\r\n'
                 b"Content-Type: text/html\r\n\r\n<p>two</p>\r\n--b--\r\nepilogue\r\n",
    "empty body": b"Content-Type: text/plain\r\n\r\n",
}
HEADER = b"From: sign-rsa-2048@bank.example\r\nTo: x@customer.example\r\nSubject: [...]\r\nMIME-Version: 1.0\r\n"
BODY = pytest.mark.parametrize("body", list(BODIES.values()), ids=list(BODIES))


def signed_mail(content: bytes, pki: Pki) -> bytes:
    person = pki.signer("rsa-2048")
    prepared = signed.prepare(signed.SignerProfile(person.certificate, person.chain, SignScheme.RSA_PKCS1_SHA256))
    der = signed.sign(prepared, content=None, digest=hashlib.sha256(content).digest(), at=datetime.now(UTC),
                      raw_sign=lambda octets: person.sign(SignScheme.RSA_PKCS1_SHA256, octets))
    header, body = smime_forms.multipart_signed(content, der, prepared.micalg)
    return HEADER + header + b"\r\n" + body


def openssl_verify(mail: bytes, pki: Pki, openssl: OpenSsl) -> bytes:
    return run(openssl.program, "cms", "-verify", "-inform", "SMIME", "-in", write(mail, "eml"),
               "-purpose", "smimesign", "-CAfile", write(pki.root_pem, "pem"), "-no-CApath", "-no-CAstore")


@BODY
def test_openssl_reads_our_multipart_signed(body: bytes, pki: Pki, openssl: OpenSsl) -> None:
    assert openssl_verify(signed_mail(body, pki), pki, openssl) == body


@BODY
def test_openssl_reads_our_opaque_mail(body: bytes, pki: Pki, ours: Ours, openssl: OpenSsl) -> None:
    der = ours.sign(body, pki.signer("rsa-2048"), Signing(SignScheme.RSA_PKCS1_SHA256, detached=False))
    assert openssl_verify(HEADER + smime_forms.pkcs7_mime(der, "signed-data"), pki, openssl) == body


@pytest.mark.parametrize("cipher, kind", [("aes256-cbc", "enveloped-data"), ("aes256-gcm", "authEnveloped-data")])
@BODY
def test_openssl_reads_our_sealed_mail(body: bytes, cipher: str, kind: str, pki: Pki, ours: Ours, openssl: OpenSsl,
                                       ) -> None:
    """Signed, then encrypted: opened in two steps by openssl alone."""
    person = pki.recipient("rsa-2048")
    inner = signed_mail(body, pki)
    mail = HEADER + smime_forms.pkcs7_mime(ours.encrypt(inner, (person,), Sealing(cipher, "pkcs1")), kind)
    opened = run(openssl.program, "cms", "-decrypt", "-binary", "-inform", "SMIME", "-in", write(mail, "eml"),
                 "-recip", write(person.pem, "pem"), "-inkey", write(person.key_pem, "pem"))
    assert opened == inner
    assert openssl_verify(opened, pki, openssl) == body


@BODY
def test_openssls_multipart_signed_is_read_here(body: bytes, pki: Pki, ours: Ours, openssl: OpenSsl) -> None:
    person = pki.signer("rsa-2048")
    mail = run(openssl.program, "cms", "-sign", "-binary", "-crlfeol", "-in", write(body, "bin"), "-outform", "SMIME",
               "-signer", write(person.pem, "pem"), "-inkey", write(person.key_pem, "pem"),
               "-certfile", write(person.chain_pem, "pem"))
    form = smime_forms.detect(HEADER + mail)
    assert isinstance(form, Detached)
    assert form.content == body
    assert ours.verify(form.signature, form.content, pki) == body


@BODY
def test_openssls_sealed_mail_is_read_here(body: bytes, pki: Pki, ours: Ours, openssl: OpenSsl) -> None:
    person = pki.recipient("rsa-2048")
    mail = run(openssl.program, "cms", "-encrypt", "-binary", "-crlfeol", "-aes256", "-in", write(body, "bin"),
               "-outform", "SMIME", "-recip", write(person.pem, "pem"))
    form = smime_forms.detect(HEADER + mail)
    assert isinstance(form, Cms)
    assert ours.decrypt(form.der, person) == body


@BODY
def test_openssls_opaque_mail_is_read_here(body: bytes, pki: Pki, ours: Ours, openssl: OpenSsl) -> None:
    person = pki.signer("p-256")
    mail = run(openssl.program, "cms", "-sign", "-nodetach", "-binary", "-crlfeol", "-in", write(body, "bin"),
               "-outform", "SMIME", "-signer", write(person.pem, "pem"), "-inkey", write(person.key_pem, "pem"))
    form = smime_forms.detect(HEADER + mail)
    assert isinstance(form, Cms)
    assert ours.verify(form.der, None, pki) == body
    assert signed_reader.parse_signed(form.der).content == body
