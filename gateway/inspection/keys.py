"""Private keys handed to `sealgate inspect`: software keys in memory, paired with the certificates they belong to.

For inspecting mail on a desktop; the gateway's own keys are behind `ports.keys`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from gateway.cms.certificate import Certificate, load_certificates
from gateway.cms.private_keys import PrivateKey, is_pkcs12, read_pkcs12, read_private_key
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import UnwrapScheme

_HASHES: Final[dict[str, Callable[[], hashes.HashAlgorithm]]] = {"sha1": hashes.SHA1, "sha256": hashes.SHA256,
                                                              "sha384": hashes.SHA384, "sha512": hashes.SHA512}


@dataclass(frozen=True, slots=True)
class KeyFile:
    """One file's octets with the password for it (None: none was given). `name` is for messages."""

    name: str
    octets: bytes = field(repr=False)
    password: bytes | None = field(default=None, repr=False)


class DeskKey:
    """`cms.enveloped_reader.RecipientKey` over a key object."""

    def __init__(self, key: PrivateKey, certificate: Certificate) -> None:
        self.certificate = certificate
        self._key = key

    def unwrap(self, scheme: UnwrapScheme, wrapped: bytes) -> bytes:
        """See RecipientKey. OpenSSL answers a bad PKCS#1 v1.5 padding with random octets, as it should."""
        if not isinstance(self._key, rsa.RSAPrivateKey):
            raise GatewayError(Reason.DECRYPTION_FAILED)
        form: padding.AsymmetricPadding = padding.PKCS1v15()
        if scheme is not UnwrapScheme.RSA_PKCS1:
            form = padding.OAEP(padding.MGF1(_HASHES[scheme.mask_digest]()), _HASHES[scheme.digest](), None)
        try:
            return self._key.decrypt(wrapped, form)
        except (ValueError, UnsupportedAlgorithm):
            raise GatewayError(Reason.DECRYPTION_FAILED) from None

    def agree(self, peer_spki: bytes) -> bytes:
        """See RecipientKey."""
        try:
            peer = load_der_public_key(peer_spki)
            if isinstance(self._key, x25519.X25519PrivateKey) and isinstance(peer, x25519.X25519PublicKey):
                return self._key.exchange(peer)
            if isinstance(self._key, ec.EllipticCurvePrivateKey) and isinstance(peer, ec.EllipticCurvePublicKey):
                return self._key.exchange(ec.ECDH(), peer)
        except (ValueError, UnsupportedAlgorithm):
            pass
        raise GatewayError(Reason.DECRYPTION_FAILED)


def desk_keys(files: Sequence[KeyFile], chain: Iterable[Certificate] = ()) -> tuple[DeskKey, ...]:
    """Every key of the files with every certificate of them or of `chain` that belongs to it.

    GatewayError INPUT_PASSWORD_WRONG, INPUT_UNREADABLE; USAGE for a key whose certificate is nowhere.
    """
    keys: list[tuple[str, PrivateKey]] = []
    certificates: dict[Certificate, None] = dict.fromkeys(chain)
    for file in files:
        try:
            private, beside = _read(file)
        except GatewayError as error:
            raise GatewayError(error.reason, f"{file.name}: {error.detail}") from None
        certificates.update(dict.fromkeys(beside))
        keys += [(file.name, key) for key in private]
    pairs: list[DeskKey] = []
    for name, key in keys:
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        fitting = [DeskKey(key, certificate) for certificate in certificates if certificate.spki == spki]
        if not fitting:
            raise GatewayError(Reason.USAGE, f"{name}: no certificate belongs to this key; give it by another --key or "
                               "by --chain")
        pairs += fitting
    return tuple(pairs)


def _read(file: KeyFile) -> tuple[tuple[PrivateKey, ...], tuple[Certificate, ...]]:
    if is_pkcs12(file.octets):
        store = read_pkcs12(file.octets, file.password)
        own = (store.certificate,) if store.certificate is not None else ()
        return store.keys, (*own, *store.others)
    if b"-----BEGIN " not in file.octets:
        try:
            return (), load_certificates(file.octets)
        except GatewayError:
            return (read_private_key(file.octets, file.password),), ()
    has_key = b"PRIVATE KEY-----" in file.octets
    has_certificate = b"CERTIFICATE-----" in file.octets
    return ((read_private_key(file.octets, file.password),) if has_key or not has_certificate else (),
            load_certificates(file.octets) if has_certificate else ())
