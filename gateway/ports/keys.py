"""Private keys behind a small port: they are used where they are stored, and cannot be exported."""

from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.model.scheme import SignScheme, UnwrapScheme

KeyPurpose = Literal["sign", "decrypt", "stamp", "issue", "card", "audit"]


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What is known of a key in the open. `algorithm`: 'rsa-3072', 'p-256', 'ed25519', 'x25519', …

    `public` is the DER SubjectPublicKeyInfo.
    """

    key_id: str
    purposes: frozenset[KeyPurpose]
    algorithm: str
    public: bytes


class Keys(Protocol):
    """Every method raises GatewayError(KEY_UNAVAILABLE, retry=True) if the key cannot be reached,

    KEY_WRONG_PURPOSE if it may not do this.
    """

    def sign(self, key_id: str, scheme: SignScheme, to_be_signed: bytes) -> bytes:
        """The signature over the octets `to_be_signed` (hashed by the scheme). ECDSA: DER Ecdsa-Sig-Value."""
        ...

    def decrypt(self, key_id: str, scheme: UnwrapScheme, wrapped: bytes) -> bytes:
        """The unwrapped octets. GatewayError(DECRYPTION_FAILED) for every fault of the input alike."""
        ...

    def agree(self, key_id: str, peer_public: bytes) -> bytes:
        """The raw shared secret with a peer's DER SubjectPublicKeyInfo (ECDH, X25519)."""
        ...

    def public(self, key_id: str) -> KeyInfo:
        """What is known of the key in the open."""
        ...

    def health(self) -> tuple[str, ...]:
        """One sentence per trouble; empty when all keys can work."""
        ...
