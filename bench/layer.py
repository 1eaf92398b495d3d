"""Goal 1, ours: the CMS layer with the S/MIME shapes, and the primitives alone as the limit.

Signed detached with all attributes and the chain enclosed, inside the envelope; a whole CRLF mail in and out. As for
the peers, certificates are parsed once and paths are not validated (`cms` judges arithmetic and form; verdicts on
paths are cached per certificate).
"""

import base64
import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache

import pybase64
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, GCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bench.material import Material
from gateway.cms import enveloped, enveloped_reader, signed, signed_reader
from gateway.cms.algorithms import ContentCipher
from gateway.cms.certificate import Certificate
from gateway.mime import smime_forms
from gateway.mime.smime_forms import Cms, Detached
from gateway.model.scheme import SignScheme, UnwrapScheme

HEADER = b"From: bank@bank.example\r\nTo: customer@customer.example\r\nSubject: [...]\r\nMIME-Version: 1.0\r\n"
CIPHERS = {"gcm": ContentCipher.AES256_GCM, "cbc": ContentCipher.AES256_CBC}
_PKCS1 = padding.PKCS1v15()


class MemoryKey:
    """The recipient's key: cms.enveloped_reader.RecipientKey over a loaded RSA key."""

    def __init__(self, certificate: Certificate, pem: bytes) -> None:
        self.certificate = certificate
        self._key = load_pem_private_key(pem, None)

    def unwrap(self, scheme: UnwrapScheme, wrapped: bytes) -> bytes:
        """See RecipientKey."""
        assert scheme is UnwrapScheme.RSA_PKCS1
        return self._key.decrypt(wrapped, _PKCS1)  # type: ignore[union-attr]

    def agree(self, peer_public: bytes) -> bytes:
        """See RecipientKey; an RSA key agrees on nothing."""
        raise AssertionError


class Ours:
    """`seal` and `open_mail` as the gateway's cms and mime rooms do them."""

    def __init__(self, material: Material) -> None:
        self._recipient = material.recipient.certificate
        self._sign = material.signer.rsa.sign
        self._prepared = signed.prepare(signed.SignerProfile(
            material.signer.certificate, (material.chain,), SignScheme.RSA_PKCS1_SHA256))
        self._keys = [MemoryKey(material.recipient.certificate, material.recipient.key_pem)]

    def seal(self, entity: bytes, cipher: ContentCipher) -> bytes:
        """A whole mail around the entity."""
        der = signed.sign(self._prepared, content=None, digest=hashlib.sha256(entity).digest(), at=datetime.now(UTC),
                          raw_sign=lambda octets: self._sign(octets, _PKCS1, hashes.SHA256()))
        signed_entity = smime_forms.signed_entity(entity, der, self._prepared.micalg)
        envelope = enveloped.encrypt(signed_entity, [self._recipient], cipher)
        return smime_forms.pkcs7_mime(
            envelope, "authEnveloped-data" if cipher.aead else "enveloped-data", outer=HEADER)

    def open_mail(self, mail: bytes) -> bytes:
        """The signed entity; raises if anything does not hold."""
        outer = smime_forms.detect(mail)
        assert isinstance(outer, Cms)
        inner = smime_forms.detect(enveloped_reader.decrypt(enveloped_reader.parse_enveloped(outer.der), self._keys))
        assert isinstance(inner, Detached)
        found = signed_reader.parse_signed(inner.signature)
        (info,) = found.signer_infos
        certificate = signed_reader.find_certificate(info, found.certificate_values())
        assert certificate is not None
        fault = signed_reader.verify(info, certificate, lambda name: hashlib.new(name, inner.content).digest(),
                                     at=datetime.now(UTC))
        if fault is not None:
            raise RuntimeError(fault)
        return inner.content


class Primitives:
    """Only what cannot be left out: one RSA operation each way, SHA-256, AES, base64. No structure at all."""

    def __init__(self, material: Material) -> None:
        self._sign = material.signer.rsa.sign
        self._verify = material.signer.rsa.public_key().verify
        self._wrap = material.recipient.rsa.public_key().encrypt
        self._unwrap = material.recipient.rsa.decrypt
        self._signature = self._sign(b"", _PKCS1, hashes.SHA256())
        self._wrapped = self._wrap(bytes(32), _PKCS1)

    def seal(self, entity: bytes, cipher: ContentCipher) -> bytes:
        """The octets of a sealed mail's size."""
        self._sign(hashlib.sha256(entity).digest(), _PKCS1, Prehashed(hashes.SHA256()))
        key = os.urandom(32)
        self._wrap(key, _PKCS1)
        encryptor = Cipher(AES(key), GCM(bytes(12)) if cipher.aead else CBC(bytes(16))).encryptor()
        return pybase64.encodebytes(encryptor.update(entity[:len(entity) // 16 * 16]))

    def prepare_open(self, entity: bytes, cipher: ContentCipher) -> Callable[[], None]:
        """Opens octets of this entity's size."""
        text = base64.b64encode(entity[:len(entity) // 16 * 16])

        def work() -> None:
            octets = pybase64.b64decode(text)
            self._unwrap(self._wrapped, _PKCS1)
            mode = GCM(bytes(12), bytes(16)) if cipher.aead else CBC(bytes(16))
            content = Cipher(AES(bytes(32)), mode).decryptor().update(octets)
            hashlib.sha256(content).digest()
            self._verify(self._signature, b"", _PKCS1, hashes.SHA256())

        return work


def ours(material: Material) -> Callable[[str, str, str], Callable[[], object]]:
    """The functions for contest.Function; leaves the mails that all contenders open in the directory."""
    layer = Ours(material)
    for size, entity in material.entities.items():
        for name, cipher in CIPHERS.items():
            mail = layer.seal(entity, cipher)
            if layer.open_mail(mail) != entity:
                raise RuntimeError("what was opened is not what was sealed")
            (material.home / f"mail-{size}-{name}").write_bytes(mail)

    @cache
    def find(verb: str, size: str, cipher: str) -> Callable[[], object]:
        entity, mail = material.entities[size], (material.home / f"mail-{size}-{cipher}").read_bytes()
        if verb == "seal":
            return lambda: layer.seal(entity, CIPHERS[cipher])
        return lambda: layer.open_mail(mail)

    return find


def primitives(material: Material) -> Callable[[str, str, str], Callable[[], object]]:
    """The functions for contest.Function."""
    limit = Primitives(material)

    @cache
    def find(verb: str, size: str, cipher: str) -> Callable[[], object]:
        entity = material.entities[size]
        if verb == "seal":
            return lambda: limit.seal(entity, CIPHERS[cipher])
        return limit.prepare_open(entity, CIPHERS[cipher])

    return find


def check_peer(material: Material, name: str) -> None:
    """That a peer's loop does the whole work: its sealed mails open here, to the very entity."""
    layer = Ours(material)
    for size, entity in material.entities.items():
        for cipher in CIPHERS:
            if layer.open_mail((material.home / f"{name}-{size}-{cipher}").read_bytes()) != entity:
                raise RuntimeError(f"the mail sealed by {name} ({size}, {cipher}) is another one")
