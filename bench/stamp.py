"""Goal 4: what a time-stamp of the embedded TSA costs, beside one RSA-2048 signature."""

import hashlib
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from bench.material import Material
from gateway.authority.tsa import EmbeddedTsa
from gateway.clock import SystemClock
from gateway.model.scheme import SignScheme, UnwrapScheme
from gateway.ports.keys import KeyInfo


class StampKey:
    """The simplest ports.keys.Keys: one P-256 key in memory."""

    def __init__(self, material: Material) -> None:
        assert isinstance(material.stamper.key, ec.EllipticCurvePrivateKey)
        self._key = material.stamper.key
        self._info = KeyInfo("tsa", frozenset({"stamp"}), "p-256", material.stamper.certificate.spki)

    def sign(self, key_id: str, scheme: SignScheme, to_be_signed: bytes) -> bytes:
        """See Keys."""
        del key_id, scheme
        return self._key.sign(to_be_signed, ec.ECDSA(hashes.SHA256()))

    def decrypt(self, key_id: str, scheme: UnwrapScheme, wrapped: bytes) -> bytes:
        """See Keys; this key only stamps."""
        raise AssertionError

    def agree(self, key_id: str, peer_public: bytes) -> bytes:
        """See Keys; this key only stamps."""
        raise AssertionError

    def public(self, key_id: str) -> KeyInfo:
        """See Keys."""
        del key_id
        return self._info

    def health(self) -> tuple[str, ...]:
        """See Keys."""
        return ()


def stamping(material: Material) -> Callable[[str, str, str], Callable[[], object]]:
    """One token over a signature's digest."""
    tsa = EmbeddedTsa("internal", StampKey(material), "tsa", material.stamper.certificate, (),
                      policy_oid="1.3.6.1.4.1.99999.1", accuracy_ms=1000, clock=SystemClock(), clock_check="none")
    digest = hashlib.sha256(b"a signature").digest()
    return lambda _verb, _size, _cipher: lambda: tsa.stamp(digest, "sha256")


def signing(material: Material) -> Callable[[str, str, str], Callable[[], object]]:
    """One RSA-2048 signature with SHA-256."""
    key, scheme = material.signer.rsa, padding.PKCS1v15()
    return lambda _verb, _size, _cipher: lambda: key.sign(b"signed attributes", scheme, hashes.SHA256())
