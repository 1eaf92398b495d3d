"""EnvelopedData and AuthEnvelopedData with any fault that a test wants: what the gateway's own writer never writes.

    der = envelope("aes256-cbc", iv(vector), ciphertext, [key_transport(person, wrapped)])

Key derivation stands here a second time, in hashlib and hmac, so that the gateway's is held against another one.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.cms import algorithms
from gateway.cms.algorithms import ContentCipher
from gateway.cms.certificate import Certificate
from gateway.der import build
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import UnwrapScheme
from tests.support.pki import Person, raw_agree, raw_decrypt

AES_WRAPS = {16: "2.16.840.1.101.3.4.1.5", 24: "2.16.840.1.101.3.4.1.25", 32: "2.16.840.1.101.3.4.1.45"}


# --- content --------------------------------------------------------------------------------------------------------


def cbc(key: bytes, vector: bytes, padded: bytes) -> bytes:
    """AES-CBC over octets that are padded already, well or ill."""
    encryptor = Cipher(AES(key), CBC(vector)).encryptor()
    return encryptor.update(padded) + encryptor.finalize()


def pad(content: bytes) -> bytes:
    short = 16 - len(content) % 16
    return content + bytes((short,)) * short


def gcm(key: bytes, nonce: bytes, content: bytes, authenticated: bytes = b"") -> tuple[bytes, bytes]:
    """Ciphertext and tag."""
    sealed = AESGCM(key).encrypt(nonce, content, authenticated or None)
    return sealed[:-16], sealed[-16:]


def gcm_parameters(nonce: bytes, tag_octets: int | None = 16) -> bytes:
    return build.sequence(build.octet_string(nonce), b"" if tag_octets is None else build.integer(tag_octets))


def envelope(cipher: ContentCipher | str, parameters: bytes, held: bytes, infos: Sequence[bytes], *,
             mac: bytes | None = None, attributes: bytes = b"", of: str = algorithms.DATA, originator: bytes = b"",
             unprotected: bytes = b"", place: bytes | None = None) -> bytes:
    """The ContentInfo: an AuthEnvelopedData if there is a `mac`. `cipher` may be a dotted OID.

    `attributes` and `unprotected`: contents of [1] and [2]. `place`: the element instead of [0] `held`.
    """
    oid = cipher.oid if isinstance(cipher, ContentCipher) else cipher
    encrypted = build.sequence(build.oid(of), algorithms.identifier(oid, parameters),
                               build.context(0, held, constructed=False) if place is None else place)
    fields = [build.integer(0), originator, build.tlv(0x31, *infos), encrypted]
    if mac is not None:
        fields += [build.context(1, attributes) if attributes else b"", build.octet_string(mac)]
        fields += [build.context(2, unprotected) if unprotected else b""]
    else:
        fields += [build.context(1, unprotected) if unprotected else b""]
    kind = algorithms.ENVELOPED_DATA if mac is None else algorithms.AUTH_ENVELOPED_DATA
    return build.sequence(build.oid(kind), build.context(0, build.sequence(*fields)))


# --- recipients -----------------------------------------------------------------------------------------------------


def issuer_and_serial(certificate: Certificate) -> bytes:
    return build.sequence(certificate.issuer_der, build.integer(certificate.serial))


RSA = algorithms.identifier(algorithms.RSA, build.null())


def oaep(name: str, mask: str | None = None, *, label: bytes | None = None) -> bytes:
    """The AlgorithmIdentifier of OAEP, every field stated."""
    digest = algorithms.identifier(algorithms.DIGEST_OIDS[name], build.null())
    masked = algorithms.identifier(algorithms.DIGEST_OIDS[mask or name], build.null())
    return algorithms.identifier(algorithms.RSA_OAEP, build.sequence(
        build.context(0, digest), build.context(1, algorithms.identifier(algorithms.MGF1, masked)),
        b"" if label is None else build.context(2, algorithms.identifier(
            algorithms.P_SPECIFIED, build.octet_string(label)))))


def rsa_wrap(person: Person, key: bytes, scheme: padding.AsymmetricPadding | None = None) -> bytes:
    public = person.key.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    return public.encrypt(key, scheme or padding.PKCS1v15())


def key_transport(person: Person, wrapped: bytes, algorithm: bytes = RSA, who: bytes | None = None) -> bytes:
    return build.sequence(build.integer(0), who or issuer_and_serial(person.certificate), algorithm,
                          build.octet_string(wrapped))


def x963(name: str, secret: bytes, info: bytes, octets: int) -> bytes:
    """ANSI X9.63 as SEC 1 3.6.1 has it."""
    out = b""
    counter = 1
    while len(out) < octets:
        out += hashlib.new(name, secret + counter.to_bytes(4, "big") + info).digest()
        counter += 1
    return out[:octets]


def hkdf(name: str, secret: bytes, info: bytes, octets: int, salt: bytes | None) -> bytes:
    """RFC 5869, one block at least."""
    size = hashlib.new(name).digest_size
    extracted = hmac.digest(salt or bytes(size), secret, name)
    out = block = b""
    for counter in range(1, octets // size + 2):
        block = hmac.digest(extracted, block + info + bytes((counter,)), name)
        out += block
    return out[:octets]


def shared_info(wrap: bytes, ukm: bytes | None, octets: int) -> bytes:
    """ECC-CMS-SharedInfo, RFC 5753 7.2."""
    return build.sequence(wrap, b"" if ukm is None else build.context(0, build.octet_string(ukm)),
                          build.context(2, build.octet_string((8 * octets).to_bytes(4, "big"))))


def key_agreement(person: Person, key: bytes, scheme: str, derive: Callable[[bytes, bytes, int], bytes], *,
                  ukm: bytes | None = None, wrap_octets: int = 32, wrap: bytes | None = None,
                  originator: bytes | None = None, who: bytes | None = None, point: bytes | None = None,
                  compressed: bool = False, parameters: bytes | None = None, before: bytes = b"") -> bytes:
    """A KeyAgreeRecipientInfo. `derive`: (secret, shared info, octets) -> key-encryption key.

    `originator`: content of [0] instead of our point; `point`: the point that is written instead of the true one;
    `parameters` of its algorithm; `before`: RecipientEncryptedKeys that come first.
    """
    public = person.key.public_key()
    wrap = wrap or algorithms.identifier(AES_WRAPS[wrap_octets])
    if isinstance(public, x25519.X25519PublicKey):
        ours = x25519.X25519PrivateKey.generate()
        true_point, secret = ours.public_key().public_bytes_raw(), ours.exchange(public)
        algorithm = algorithms.identifier(algorithms.X25519, parameters)
    else:
        assert isinstance(public, ec.EllipticCurvePublicKey)
        private = ec.generate_private_key(public.curve)
        form = PublicFormat.CompressedPoint if compressed else PublicFormat.UncompressedPoint
        true_point, secret = private.public_key().public_bytes(Encoding.X962, form), private.exchange(ec.ECDH(), public)
        algorithm = algorithms.identifier(algorithms.EC_PUBLIC_KEY, parameters)
    kek = derive(secret, shared_info(wrap, ukm, wrap_octets), wrap_octets)
    held = originator or build.context(1, algorithm, build.bit_string(true_point if point is None else point))
    return build.context(
        1, build.integer(3), build.context(0, held),
        b"" if ukm is None else build.context(1, build.octet_string(ukm)), algorithms.identifier(scheme, wrap),
        build.sequence(before, build.sequence(who or issuer_and_serial(person.certificate),
                                              build.octet_string(aes_key_wrap(kek, key)))))


# --- keys -----------------------------------------------------------------------------------------------------------


@dataclass
class SpyKey:
    """A RecipientKey that writes down what it is asked, and answers `answer` if there is one."""

    person: Person
    answer: bytes | GatewayError | None = None
    asked: list[str] = field(default_factory=list)

    @property
    def certificate(self) -> Certificate:
        return self.person.certificate

    def _answer(self) -> bytes | None:
        if isinstance(self.answer, GatewayError):
            raise self.answer
        return self.answer

    def unwrap(self, scheme: UnwrapScheme, wrapped: bytes) -> bytes:
        self.asked.append(scheme.value)
        answer = self._answer()
        return raw_decrypt(self.person.key, scheme, wrapped) if answer is None else answer

    def agree(self, peer_spki: bytes) -> bytes:
        self.asked.append("agree")
        answer = self._answer()
        return raw_agree(self.person.key, peer_spki) if answer is None else answer


def failed() -> GatewayError:
    return GatewayError(Reason.DECRYPTION_FAILED)


IMPOSSIBLE_OIDS = build.tlv(0x06, b"\xff" * 5000 + b"\x01")  # quadratic to decode
