"""Content -> EnvelopedData or AuthEnvelopedData for several recipients (RFC 5652 6, RFC 5083, RFC 5084).

RSA PKCS#1 v1.5 (RFC 3370 4.2.1) and OAEP (RFC 3560), ECDH on P-256, P-384, P-521 (RFC 5753) and X25519 (RFC 8418);
AES-CBC (RFC 3565) makes an EnvelopedData, AES-GCM an AuthEnvelopedData. One call makes one content key for one
cipher: no content key ever serves two algorithms. Everything about a recipient that does not change is prepared once
per certificate; a message then costs one public-key operation per recipient and one pass of AES.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from threading import local
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, GCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.cms import algorithms, key_agreement
from gateway.cms.algorithms import ContentCipher, KeyTransport
from gateway.cms.certificate import Certificate
from gateway.der import build, walk
from gateway.errors import GatewayError, Reason

RECIPIENTS_MAX: Final = 2048  # what our own reader takes; a group of the relay has at most 100 addresses
BLOCK: Final = 16  # octets of an AES block
GCM_NONCE_OCTETS: Final = 12  # RFC 5084 3.2: recommended
GCM_TAG_OCTETS: Final = 16
SCRATCH_OCTETS_MIN: Final = 64 * 1024
SCRATCH_OCTETS_MAX: Final = 4 * 1024 * 1024  # kept per thread that encrypts

_PKCS1: Final = padding.PKCS1v15()
_OAEP_SHA256: Final = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
_SIGN_ONLY: Final = frozenset({"ed25519", "ed448", "dsa", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"})


@dataclass(frozen=True, slots=True)
class Recipient:
    """To whom, and how if the key is RSA. Plain certificates are recipients with the call's own default."""

    certificate: Certificate
    rsa: KeyTransport = KeyTransport.PKCS1


def encrypt(content: bytes, recipients: Sequence[Recipient | Certificate], cipher: ContentCipher,
            rsa: KeyTransport = KeyTransport.PKCS1) -> bytes:
    """DER ContentInfo with `content` (id-data: a MIME entity in canonical form) for everyone in `recipients`.

    Each certificate gets one RecipientInfo, however often it is named; DER sorts them, so their order reveals nothing.
    `rsa` is for those that are plain certificates.
    GatewayError: CERTIFICATE_ABSENT without recipients, INPUT_LIMIT_EXCEEDED beyond RECIPIENTS_MAX, and of the first
    certificate that cannot be encrypted to CERTIFICATE_WEAK_KEY, CERTIFICATE_WRONG_USAGE or
    CERTIFICATE_ALGORITHM_UNKNOWN.
    """
    chosen = dict.fromkeys([r if isinstance(r, Recipient) else Recipient(r, rsa) for r in recipients])
    if not chosen:
        raise GatewayError(Reason.CERTIFICATE_ABSENT, "there is no recipient to encrypt to")
    if len(chosen) > RECIPIENTS_MAX:
        raise GatewayError(Reason.INPUT_LIMIT_EXCEEDED, f"{len(chosen)} recipients")
    cipher = ContentCipher(cipher)
    content_key = os.urandom(cipher.key_octets)
    infos = build.set_of(*[_prepared(r.certificate, r.rsa, cipher.key_octets)(content_key) for r in chosen])
    if cipher.aead:
        return _auth_enveloped(content, _VERSION[0] + infos, cipher, content_key)
    agreement = any(not r.certificate.key_algorithm.startswith("rsa-") for r in chosen)
    return _enveloped(content, _VERSION[2 if agreement else 0] + infos, cipher, content_key)


# --- content -------------------------------------------------------------------------------------------------------

_ENVELOPED: Final = build.oid(algorithms.ENVELOPED_DATA)
_AUTH_ENVELOPED: Final = build.oid(algorithms.AUTH_ENVELOPED_DATA)
_DATA: Final = build.oid(algorithms.DATA)
_CIPHER_OID: Final = {cipher: build.oid(cipher.oid) for cipher in ContentCipher}
_VERSION: Final = {number: build.integer(number) for number in (0, 2)}


def _enveloped(content: bytes, head: bytes, cipher: ContentCipher, key: bytes) -> bytes:
    """EnvelopedData with AES-CBC, padded as RFC 5652 6.3. `head`: version (6.1) and recipientInfos."""
    vector = os.urandom(BLOCK)
    short = BLOCK - len(content) % BLOCK
    encryptor = Cipher(AES(key), CBC(vector)).encryptor()
    algorithm = build.sequence(_CIPHER_OID[cipher], build.octet_string(vector))
    lead = _lead(_ENVELOPED, head, algorithm, len(content) + short, 0)
    return _sealed(lead, encryptor, content, short,
                   lambda: encryptor.update(bytes((short,)) * short) + encryptor.finalize())


def _auth_enveloped(content: bytes, head: bytes, cipher: ContentCipher, key: bytes) -> bytes:
    """AuthEnvelopedData with AES-GCM and no authenticated attributes, which id-data does not need (RFC 5083 2.1)."""
    nonce = os.urandom(GCM_NONCE_OCTETS)
    encryptor = Cipher(AES(key), GCM(nonce)).encryptor()
    algorithm = build.sequence(_CIPHER_OID[cipher], build.sequence(
        build.octet_string(nonce), build.integer(GCM_TAG_OCTETS)))
    mac_octets = 2 + GCM_TAG_OCTETS
    lead = _lead(_AUTH_ENVELOPED, head, algorithm, len(content), mac_octets)
    return _sealed(lead, encryptor, content, mac_octets,
                   lambda: encryptor.finalize() + build.octet_string(encryptor.tag))


class _Scratch(local):
    """The buffer of a thread's ciphertext until it is copied into the message.

    A fresh megabyte for every message costs more than AES: the allocator gives it back and faults it in again.
    """

    octets = bytearray()


_scratch: Final = _Scratch()


def _run(encryptor: CipherContext, content: bytes | memoryview) -> bytes | memoryview:
    """The ciphertext of whole blocks; a view is good until this thread's next call."""
    if len(content) < SCRATCH_OCTETS_MIN:
        return encryptor.update(content)
    if len(_scratch.octets) < len(content) + BLOCK:
        _scratch.octets = bytearray(min(2 * len(content), SCRATCH_OCTETS_MAX))
    size = encryptor.update_into(content, _scratch.octets)
    return memoryview(_scratch.octets)[:size]


def _sealed(lead: bytes, encryptor: CipherContext, content: bytes, more: int, end: Callable[[], bytes]) -> bytes:
    """`lead`, the ciphertext, and what `end` gives when all of it is through: `more` octets than `content` has.

    What is beyond the scratch goes through it in pieces: the ciphertext is there once, in the message.
    """
    if len(content) <= SCRATCH_OCTETS_MAX - BLOCK:
        return b"".join((lead, _run(encryptor, content), end()))
    # Room for all of it from the start: a buffer that grows leaves holes of its former sizes.
    written, view = BytesIO(bytes(len(lead) + len(content) + more)), memoryview(content)
    written.write(lead)
    for start in range(0, len(content), SCRATCH_OCTETS_MAX - BLOCK):
        written.write(_run(encryptor, view[start:start + SCRATCH_OCTETS_MAX - BLOCK]))
    written.write(end())
    return written.getvalue()


def _lead(content_type: bytes, head: bytes, algorithm: bytes, size: int, mac_octets: int) -> bytes:
    """ContentInfo around one EncryptedContentInfo, up to its `size` octets; lengths inside out."""
    held = build.header(0x80, size)
    lead = _DATA + algorithm + held
    lead = build.header(walk.SEQUENCE, len(lead) + size) + lead
    lead = head + lead
    rest = size + mac_octets
    lead = build.header(walk.SEQUENCE, len(lead) + rest) + lead
    lead = content_type + build.header(0xA0, len(lead) + rest) + lead
    return build.header(walk.SEQUENCE, len(lead) + rest) + lead


# --- recipients ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _prepared(certificate: Certificate, transport: KeyTransport, key_octets: int) -> Callable[[bytes], bytes]:
    """From a content key to the DER RecipientInfo for this certificate, all constant octets laid out beforehand."""
    kind = certificate.key_algorithm
    if kind in _SIGN_ONLY:
        raise GatewayError(Reason.CERTIFICATE_WRONG_USAGE, f"nothing can be encrypted to a key of {kind}")
    if reason := algorithms.allowed("key", kind, algorithms.EVER):
        raise GatewayError(reason, f"a key of {kind}")
    try:
        public = certificate.x509.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise GatewayError(Reason.CERTIFICATE_ALGORITHM_UNKNOWN, f"a key of {kind}: {error}") from None
    if isinstance(public, rsa.RSAPublicKey):
        if _key_oid(certificate) != algorithms.RSA:
            raise GatewayError(Reason.CERTIFICATE_WRONG_USAGE, "an RSA key that is bound to PSS signatures")
        _may(certificate, "key_encipherment")
        return _key_transport(certificate, public, transport)
    if isinstance(public, ec.EllipticCurvePublicKey | x25519.X25519PublicKey) and kind in key_agreement.WRITTEN:
        _may(certificate, "key_agreement")
        return _key_agreement(certificate, public, key_octets)
    raise GatewayError(Reason.CERTIFICATE_ALGORITHM_UNKNOWN, f"no way to encrypt to a key of {kind}")


def _may(certificate: Certificate, usage: str) -> None:
    """RFC 5280 4.2.1.3: a key usage extension that is there binds."""
    if certificate.key_usage is not None and usage not in certificate.key_usage:
        raise GatewayError(Reason.CERTIFICATE_WRONG_USAGE, f"its key usage lacks {usage}")


def _key_oid(certificate: Certificate) -> str:
    """The dotted OID of the public key: an RSA key may be bound to PSS, and then nothing is encrypted to it."""
    spki = certificate.spki
    return algorithms.read_identifier(spki, walk.read(spki, walk.read(spki).body)).oid


def _identifier(certificate: Certificate) -> bytes:
    """IssuerAndSerialNumber: what every reader knows."""
    return build.sequence(certificate.issuer_der, build.integer(certificate.serial))


def _key_transport(certificate: Certificate, public: rsa.RSAPublicKey,
                   transport: KeyTransport) -> Callable[[bytes], bytes]:
    """KeyTransRecipientInfo (RFC 5652 6.2.1); the encrypted key is as long as the modulus, so all lengths are fixed."""
    if transport is KeyTransport.OAEP_SHA256:
        digest = algorithms.identifier(algorithms.DIGEST_OIDS["sha256"], build.null())
        algorithm = algorithms.identifier(algorithms.RSA_OAEP, build.sequence(
            build.context(0, digest), build.context(1, algorithms.identifier(algorithms.MGF1, digest))))
        scheme: padding.AsymmetricPadding = _OAEP_SHA256
    else:
        algorithm = algorithms.identifier(algorithms.RSA, build.null())
        scheme = _PKCS1
    size = (public.key_size + 7) // 8
    lead = _VERSION[0] + _identifier(certificate) + algorithm + build.header(walk.OCTET_STRING, size)
    lead = build.header(walk.SEQUENCE, len(lead) + size) + lead
    encrypt_key = public.encrypt
    return lambda content_key: lead + encrypt_key(content_key, scheme)


def _key_agreement(certificate: Certificate, public: ec.EllipticCurvePublicKey | x25519.X25519PublicKey,
                   key_octets: int) -> Callable[[bytes], bytes]:
    """KeyAgreeRecipientInfo (RFC 5652 6.2.2) with a key of our own that lives for one message.

    The key-encryption key is as long as the content key (RFC 8551 2.7: no weaker), the ukm is left out.
    """
    scheme = key_agreement.WRITTEN[certificate.key_algorithm]
    wrap = key_agreement.wrap_identifier(key_octets)
    info = key_agreement.shared_info(wrap, None, key_octets)
    wrapped_octets = key_octets + 8
    keys = _identifier(certificate) + build.header(walk.OCTET_STRING, wrapped_octets)
    keys = build.header(walk.SEQUENCE, len(keys) + wrapped_octets) + keys
    keys = build.header(walk.SEQUENCE, len(keys) + wrapped_octets) + keys
    after_point = algorithms.identifier(scheme.oid, wrap) + keys
    agree, point_algorithm, point_octets = _ephemeral(public)
    point_lead = point_algorithm + build.header(walk.BIT_STRING, point_octets + 1) + b"\0"
    lead = build.header(0xA1, len(point_lead) + point_octets) + point_lead
    lead = build.integer(3) + build.header(0xA0, len(lead) + point_octets) + lead
    rest = point_octets + len(after_point) + wrapped_octets
    lead = build.header(0xA1, len(lead) + rest) + lead

    def recipient_info(content_key: bytes) -> bytes:
        point, secret = agree()
        kek = scheme.kdf(secret, info, None, key_octets)
        return b"".join((lead, point, after_point, aes_key_wrap(kek, content_key)))

    return recipient_info


def _ephemeral(public: ec.EllipticCurvePublicKey | x25519.X25519PublicKey,
               ) -> tuple[Callable[[], tuple[bytes, bytes]], bytes, int]:
    """A maker of (our public point, shared secret), the originator's AlgorithmIdentifier, octets of the point."""
    if isinstance(public, x25519.X25519PublicKey):
        peer = public

        def agree_x25519() -> tuple[bytes, bytes]:
            private = x25519.X25519PrivateKey.generate()
            return private.public_key().public_bytes_raw(), private.exchange(peer)

        return agree_x25519, algorithms.identifier(algorithms.X25519), 32
    curve, other = public.curve, public

    def agree() -> tuple[bytes, bytes]:
        private = ec.generate_private_key(curve)
        point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return point, private.exchange(ec.ECDH(), other)

    # RFC 5753 3.1.1: the parameters may be absent; the curve is the recipient's own
    return agree, algorithms.identifier(algorithms.EC_PUBLIC_KEY), 1 + 2 * ((curve.key_size + 7) // 8)
