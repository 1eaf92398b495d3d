"""EnvelopedData or AuthEnvelopedData -> content (RFC 5652 6, RFC 5083, RFC 5084), for mail that anyone can send.

Read: RSA PKCS#1 v1.5 and OAEP, ECDH on P-256, P-384, P-521 and X25519; AES-CBC and AES-GCM; definite and indefinite
lengths, one octet string or segments; 3DES in CBC where the caller allows it, never by default. Skipped: recipients by
KEK, password, KEM or anything later. Ignored: originator certificates, unprotected attributes.

What a sender can try, and what is done about it:

- A distinguishable failure is an oracle for the content key (Bleichenbacher, Manger) or the content (Vaudenay).
  Every failure after a key fits is DECRYPTION_FAILED; when unwrapping fails or gives a key of the wrong size, a key
  that means nothing goes the rest of the way (RFC 3218 2.3.2). It is drawn from the wrapped octets under a secret of
  this process. In CBC any wrong key pads well once in 256 times. A key drawn again for each call would differ from a
  real one by answering the same mail once this way and once that. OAEP parameters that are not exactly
  understood end the matter: they never mean PKCS#1 v1.5.
- CBC is malleable and nothing in an EnvelopedData authenticates it (EFAIL). What comes out of it is worth as much as a
  signature inside it: `Enveloped.authenticated` says which, and the caller must report it.
- An AuthEnvelopedData relabelled as EnvelopedData with CBC turns the reader into a block decryption oracle for a key
  that was used with GCM, and the other way round (RFC 9709 1). CMS binds the key to no cipher, so that cannot be seen
  in one message. Kinds must fit (no GCM in an EnvelopedData, no CBC in an AuthEnvelopedData), key sizes must be
  exact, and with a `ContentKeys` memory a key that has served one cipher opens nothing under another. Beyond that
  memory the answer must not leak: nothing decrypted may go back to an unverified sender.
"""

import os
from collections.abc import Callable, Collection, Sequence
from hashlib import blake2b
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, GCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import load_der_public_key

from gateway.cms import algorithms, key_agreement, names
from gateway.cms.algorithms import AlgorithmIdentifier, ContentCipher, WeakCipher
from gateway.cms.certificate import Certificate
from gateway.cms.content_keys import ContentKeys
from gateway.cms.envelope import BLOCK, Enveloped, RecipientId, RecipientInfo, parse_enveloped
from gateway.der import build, walk
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import UnwrapScheme

__all__ = ["UNWRAPS_MAX", "Enveloped", "RecipientId", "RecipientInfo", "RecipientKey", "decrypt", "parse_enveloped"]

ONE_CALL_OCTETS_MAX: Final = 32_768
UNWRAPS_MAX: Final = 8  # private-key operations for one message: an RSA-4096 one costs 3 ms
_SECRET: Final = os.urandom(32)


class RecipientKey(Protocol):
    """A private key of the bank that may open messages, with the certificate that senders encrypt to.

    Both methods raise GatewayError: DECRYPTION_FAILED for every fault of the input, anything else for the key's own.
    """

    @property
    def certificate(self) -> Certificate:
        """Whose issuer and serial number, or subject key identifier, a RecipientInfo names."""
        ...

    def unwrap(self, scheme: UnwrapScheme, wrapped: bytes, /) -> bytes:
        """RSA: the octets that were encrypted; for PKCS#1 v1.5 random ones of any length are as good as an error."""
        ...

    def agree(self, peer_spki: bytes, /) -> bytes:
        """ECDH or X25519: the shared secret with a peer's DER SubjectPublicKeyInfo on the key's own curve."""
        ...


def decrypt(enveloped: Enveloped, keys: Sequence[RecipientKey], used_keys: ContentKeys | None = None,
            weak: Collection[WeakCipher] = ()) -> bytes:
    """The content, by the first of `keys` that a RecipientInfo means and that opens it.

    `used_keys` remembers which cipher a content key has served; give the same one for all messages. `weak`: the weak
    ciphers that may be opened; others are refused before any key is used.
    GatewayError: DECRYPTION_NO_KEY if none of `keys` is meant, DECRYPTION_FAILED for every fault after that, and
    the key's own error if it cannot be reached. At most UNWRAPS_MAX private-key operations are made.
    """
    fitting = _fitting(enveloped.recipients, keys)
    if not fitting:
        raise GatewayError(Reason.DECRYPTION_NO_KEY)
    cipher = enveloped.cipher
    if cipher is None or (isinstance(cipher, WeakCipher) and cipher not in weak):
        raise GatewayError(Reason.DECRYPTION_FAILED)
    for info, key in fitting[:UNWRAPS_MAX]:
        content = _try(enveloped, cipher, info, key, used_keys)
        if content is not None:
            return content
    raise GatewayError(Reason.DECRYPTION_FAILED)


def _fitting(recipients: Sequence[RecipientInfo],
             keys: Sequence[RecipientKey]) -> list[tuple[RecipientInfo, RecipientKey]]:
    """Who is meant, in the order of the message; linear in recipients and in keys."""
    known: dict[tuple[str, int | bytes], list[RecipientKey]] = {}
    for key in keys:
        kind = "key_transport" if key.certificate.key_algorithm.startswith("rsa-") else "key_agreement"
        known.setdefault((kind, key.certificate.serial), []).append(key)
        if key.certificate.ski is not None:
            known.setdefault((kind, key.certificate.ski), []).append(key)
    found: list[tuple[RecipientInfo, RecipientKey]] = []
    for info in recipients:
        if info.who is None:
            continue
        ski, serial, issuer = info.who.ski, info.who.serial, info.who.issuer_der
        named: int | bytes | None = ski if ski is not None else serial
        found += [(info, key) for key in (known.get((info.kind, named), ()) if named is not None else ())
                  if ski is not None or names.same(issuer, key.certificate.issuer_der)]
    return found


def _try(enveloped: Enveloped, cipher: ContentCipher | WeakCipher, info: RecipientInfo, key: RecipientKey,
         used_keys: ContentKeys | None) -> bytes | None:
    """The content, or None for every failure. The private-key operation and the decryption run in any case."""
    unwrap = _unwrapper(info, key)
    if unwrap is None:
        return None
    content_key = blake2b(info.wrapped, digest_size=cipher.key_octets, key=_SECRET).digest()
    try:
        unwrapped = unwrap()
    except GatewayError as error:
        if error.reason is not Reason.DECRYPTION_FAILED:
            raise
    else:
        if len(unwrapped) == cipher.key_octets:
            content_key = unwrapped
    content = (_gcm if cipher.aead else _cbc)(enveloped, content_key)
    if used_keys is not None and not used_keys.first_use(content_key, cipher, opened=content is not None):
        return None
    return content


def _unwrapper(info: RecipientInfo, key: RecipientKey) -> Callable[[], bytes] | None:
    """How the content key comes out, None if the RecipientInfo asks for something that is not exactly understood."""
    if info.algorithm is None:
        return None
    try:
        if info.kind == "key_transport":
            scheme = _transport(info.algorithm)
            return None if scheme is None else lambda: key.unwrap(scheme, info.wrapped)
        return _agreement(info, info.algorithm, key)
    except GatewayError:
        return None


def _transport(algorithm: AlgorithmIdentifier) -> UnwrapScheme | None:
    """PKCS#1 v1.5 for rsaEncryption, OAEP only with complete and known parameters (RFC 4055 4.1), else None."""
    if algorithm.oid == algorithms.RSA:
        return UnwrapScheme.RSA_PKCS1 if algorithms.no_parameters(algorithm) else None
    return algorithms.read_oaep(algorithm.parameters) if algorithm.oid == algorithms.RSA_OAEP else None


def _agreement(info: RecipientInfo, algorithm: AlgorithmIdentifier, key: RecipientKey) -> Callable[[], bytes] | None:
    """Agree, derive, unwrap; the scheme, the curve and the wrap must be ones that go together."""
    scheme = key_agreement.SCHEMES.get(algorithm.oid)
    kind = key.certificate.key_algorithm
    wrap = algorithm.parameters
    if scheme is None or wrap is None or info.originator is None:
        return None
    if not (scheme.for_x25519 if kind == "x25519" else scheme.for_curves and kind in key_agreement.WRITTEN):
        return None
    wrap_algorithm = algorithms.read_identifier(wrap, walk.single(wrap))
    octets = key_agreement.WRAPS.get(wrap_algorithm.oid)
    peer = _peer(info.originator, key.certificate)
    if octets is None or peer is None or not algorithms.no_parameters(wrap_algorithm):
        return None
    shared = key_agreement.shared_info(wrap, info.ukm, octets)
    kdf, wrapped, ukm = scheme.kdf, info.wrapped, info.ukm

    def unwrap() -> bytes:
        kek = kdf(key.agree(peer), shared, ukm, octets)
        try:
            return aes_key_unwrap(kek, wrapped)
        except (InvalidUnwrap, ValueError):
            raise GatewayError(Reason.DECRYPTION_FAILED) from None

    return unwrap


def _peer(originator: tuple[AlgorithmIdentifier, bytes], certificate: Certificate) -> bytes | None:
    """DER SubjectPublicKeyInfo of the sender's point on our certificate's curve; None if it is not a point of it."""
    algorithm, point = originator
    spki = certificate.spki
    own = walk.read(spki, walk.read(spki).body)
    own_algorithm = algorithms.read_identifier(spki, own)
    if algorithm.oid != own_algorithm.oid:
        return None
    if not algorithms.no_parameters(algorithm) and algorithm.parameters != own_algorithm.parameters:
        return None
    peer = build.sequence(walk.whole(spki, own), build.bit_string(point))
    try:
        load_der_public_key(peer)
    except (ValueError, UnsupportedAlgorithm):
        return None
    return peer


def _run(decryptor: CipherContext, enveloped: Enveloped) -> bytes:
    """All segments through the cipher, without a copy of the ciphertext."""
    view = memoryview(enveloped.octets)
    if len(enveloped.segments) == 1:
        start, end = enveloped.segments[0]
        return decryptor.update(view[start:end])
    return b"".join([decryptor.update(view[start:end]) for start, end in enveloped.segments])


def _gcm(enveloped: Enveloped, content_key: bytes) -> bytes | None:
    """Authenticated and decrypted; nothing of it is let out before the tag is verified.

    A short content goes in one call, 3 us less at 5 KiB. Beyond it the copy costs more than the call saves (8 times
    at 1 MiB), and a tag of less than 16 octets is for the other way.
    """
    if enveloped.size <= ONE_CALL_OCTETS_MAX and len(enveloped.mac) == BLOCK:
        octets = enveloped.octets
        sealed = b"".join([*(octets[start:end] for start, end in enveloped.segments), enveloped.mac])
        try:
            return AESGCM(content_key).decrypt(enveloped.vector, sealed, enveloped.authenticated_attributes)
        except InvalidTag:
            return None
    mode = GCM(enveloped.vector, enveloped.mac, min_tag_length=12)
    decryptor = Cipher(AES(content_key), mode).decryptor()
    decryptor.authenticate_additional_data(enveloped.authenticated_attributes)
    content = _run(decryptor, enveloped)
    try:
        decryptor.finalize()
    except InvalidTag:
        return None
    return content


def _cbc(enveloped: Enveloped, content_key: bytes) -> bytes | None:
    """Decrypted and unpadded; every octet of the padding is looked at (RFC 5652 6.3)."""
    cipher = (TripleDES if isinstance(enveloped.cipher, WeakCipher) else AES)(content_key)
    block = cipher.block_size // 8
    if not enveloped.size or enveloped.size % block:
        return None
    decryptor = Cipher(cipher, CBC(enveloped.vector)).decryptor()
    padded = _run(decryptor, enveloped)
    decryptor.finalize()
    unpadder = PKCS7(cipher.block_size).unpadder()
    try:
        last = unpadder.update(padded[-block:]) + unpadder.finalize()
    except ValueError:
        return None
    return padded[:len(padded) - block + len(last)]
