"""Private keys on PKCS#11 tokens (HSM, smart card, SoftHSM), behind `ports.keys.Keys`: they never leave the token.

Hashes are computed here and only digests are sent: signing costs the token one private-key operation at any length,
and works with tokens that know no hash. Rules for using modules are in `pkcs11_session`.
RFC 8017 (RSA), RFC 3218 (one failure for every fault of wrapped octets), RFC 3279 2.2.3 (Ecdsa-Sig-Value),
SEC 1 3.3.1 (ECDH). Ed25519 and X25519: file keys only.
"""

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from pkcs11 import KDF, MGF, Attribute, KeyType, Mechanism
from pkcs11 import exceptions as refused

from gateway.adapters.keys import oaep
from gateway.adapters.keys.files import SIGNING, Purposes
from gateway.adapters.keys.pkcs11_objects import Held, Listed, find, listed, make
from gateway.adapters.keys.pkcs11_session import Logins, OpenToken, error_text, unavailable, work
from gateway.adapters.keys.request import Asked, request
from gateway.der import build
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import SignScheme, UnwrapScheme
from gateway.ports.keys import KeyInfo, KeyPurpose
from gateway.settings import Token

T = TypeVar("T")

# RFC 8017 9.2, note 1: the DER of DigestInfo before the digest.
_DIGEST_INFO: Final = {
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440")}
_HASH: Final = {"sha1": (Mechanism.SHA_1, MGF.SHA1), "sha256": (Mechanism.SHA256, MGF.SHA256),
                "sha384": (Mechanism.SHA384, MGF.SHA384), "sha512": (Mechanism.SHA512, MGF.SHA512)}
_UNKNOWN: Final = (refused.MechanismInvalid, refused.MechanismParamInvalid, refused.ArgumentsBad)


@dataclass(frozen=True, slots=True)
class TokenKey:
    """The place and the purpose of a key. `object`: its label, or id:HEX."""

    key_id: str
    token: Token
    object: str
    purpose: KeyPurpose


class TokenKeys:
    """See ports.keys.Keys. Made again at each reload; the logins stay with the process."""

    def __init__(self, keys: Iterable[TokenKey], purposes: Purposes | None = None,
                 refused_pins: Path | None = None) -> None:
        """`refused_pins`: the directory of the module of that name."""
        self._keys = {key.key_id: key for key in keys}
        self._purposes = purposes or Purposes()
        self._logins = Logins(refused_pins)
        self._infos: dict[str, KeyInfo] = {}
        self._lock = threading.Lock()

    def sign(self, key_id: str, scheme: SignScheme, to_be_signed: bytes) -> bytes:
        """See ports.keys.Keys. KEY_WRONG_PURPOSE too where the scheme is not one of the key's kind."""
        key = self._key(key_id, *SIGNING)
        kind = self._info(key).algorithm
        form, _, _ = scheme.value.rpartition("-")
        if not kind.startswith({"ecdsa": "p-", "rsa-pkcs1": "rsa-", "rsa-pss": "rsa-"}.get(form, "?")):
            raise GatewayError(Reason.KEY_WRONG_PURPOSE, f"{key_id} cannot sign as {scheme}")
        digest = hashlib.new(scheme.digest, to_be_signed).digest()

        try:
            return self._work(key, lambda held, pin: _sign(held, scheme, digest, pin))
        except refused.PKCS11Error as error:
            raise unavailable(f"token {key.token.name} does not sign with {key_id}: {error_text(error)}") from None

    def decrypt(self, key_id: str, scheme: UnwrapScheme, wrapped: bytes) -> bytes:
        """See ports.keys.Keys. With PKCS#1 v1.5 bad octets may give random ones (implicit rejection), no error."""
        key = self._key(key_id, "decrypt")
        if not self._info(key).algorithm.startswith("rsa-"):
            raise GatewayError(Reason.DECRYPTION_FAILED)

        def task(held: Held, pin: str | None) -> bytes:
            if len(wrapped) != held.octets:
                raise GatewayError(Reason.DECRYPTION_FAILED)
            if scheme is UnwrapScheme.RSA_PKCS1:
                return bytes(held.private.decrypt(wrapped, mechanism=Mechanism.RSA_PKCS, pin=pin))
            return _oaep(held, scheme, wrapped, pin)

        try:
            return self._work(key, task)
        except refused.PKCS11Error:
            raise GatewayError(Reason.DECRYPTION_FAILED) from None

    def agree(self, key_id: str, peer_public: bytes) -> bytes:
        """See ports.keys.Keys."""
        key = self._key(key_id, "decrypt")
        own = self._info(key)
        try:
            peer = load_der_public_key(peer_public)  # the point is on its curve, or this is a ValueError
        except (ValueError, UnsupportedAlgorithm):
            raise GatewayError(Reason.DECRYPTION_FAILED) from None
        if not isinstance(peer, ec.EllipticCurvePublicKey) or _KINDS.get(peer.curve.name) != own.algorithm:
            raise GatewayError(Reason.DECRYPTION_FAILED)
        point = peer.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        try:
            return self._work(key, lambda held, _: _derive(held, point))
        except refused.PKCS11Error:
            raise GatewayError(Reason.DECRYPTION_FAILED) from None

    def public(self, key_id: str) -> KeyInfo:
        """See ports.keys.Keys."""
        return self._info(self._named(key_id))

    def health(self) -> tuple[str, ...]:
        """See ports.keys.Keys. Asks every token: called at the start, it logs in."""
        return tuple(self._troubles())

    def _troubles(self) -> Iterator[str]:
        for key_id, key in self._keys.items():
            try:
                self._info(key)
                self._work(key, lambda held, _: held.private[Attribute.CLASS])
            except GatewayError as error:
                yield f"key {key_id}: {error.detail}"
            except refused.PKCS11Error as error:
                yield f"key {key_id}: {error_text(error)}"

    def _named(self, key_id: str) -> TokenKey:
        key = self._keys.get(key_id)
        if key is None:
            raise unavailable(f"the key {key_id} is not configured")
        return key

    def _key(self, key_id: str, *purposes: KeyPurpose) -> TokenKey:
        key = self._named(key_id)
        if key.purpose not in purposes:
            raise GatewayError(Reason.KEY_WRONG_PURPOSE, f"{key_id} is for {key.purpose} only")
        return key

    def _info(self, key: TokenKey) -> KeyInfo:
        """Judged once: the kind of key, what the token lets it do, and that it serves no second purpose."""
        info = self._infos.get(key.key_id)
        if info is not None:
            return info
        try:
            held = work(key.token, self._logins, lambda opened: find(opened, key.token.name, key.object))
        except refused.PKCS11Error as error:
            raise unavailable(f"token {key.token.name}, key `{key.object}`: {error_text(error)}") from None
        where = f"`{key.object}` on token {key.token.name}"
        needed = "sign" if key.purpose in SIGNING else "decrypt" if held.algorithm.startswith("rsa-") else "derive"
        if needed not in held.may:
            raise GatewayError(Reason.KEY_WRONG_PURPOSE, f"{where} may not {needed} (CKA_{needed.upper()} is not set), "
                               f"and {key.key_id} is to {key.purpose}")
        with self._lock:
            self._purposes.claim(held.public, key.purpose, key.key_id, where)
            info = KeyInfo(key.key_id, frozenset({key.purpose}), held.algorithm, held.public)
            self._infos[key.key_id] = info
        return info

    def _work(self, key: TokenKey, task: Callable[[Held, str | None], T]) -> T:
        def with_key(opened: OpenToken) -> T:
            held = find(opened, key.token.name, key.object)
            info = self._infos.get(key.key_id)
            if info is not None and info.public != held.public:  # the token was made again while we run
                raise unavailable(f"`{key.object}` on token {key.token.name} has become another key: reload")
            return task(held, self._logins.pin(key.token) if held.again else None)

        return work(key.token, self._logins, with_key)


_KINDS: Final = {"secp256r1": "p-256", "secp384r1": "p-384", "secp521r1": "p-521"}


def _sign(held: Held, scheme: SignScheme, digest: bytes, pin: str | None) -> bytes:
    if scheme.startswith("ecdsa"):
        return _ecdsa_value(bytes(held.private.sign(digest, mechanism=Mechanism.ECDSA, pin=pin)))
    if scheme.startswith("rsa-pss"):
        return bytes(held.private.sign(digest, mechanism=Mechanism.RSA_PKCS_PSS, pin=pin,
                                       mechanism_param=(*_HASH[scheme.digest], len(digest))))
    return bytes(held.private.sign(_DIGEST_INFO[scheme.digest] + digest, mechanism=Mechanism.RSA_PKCS, pin=pin))


def _ecdsa_value(signature: bytes) -> bytes:
    """The token gives r and s side by side."""
    half = len(signature) // 2
    return encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))


def _oaep(held: Held, scheme: UnwrapScheme, wrapped: bytes, pin: str | None) -> bytes:
    """By the token; where it does not know the hashes (SoftHSM), its RSA operation and the padding here.

    It stays OAEP either way: a sender cannot make this read PKCS#1 v1.5.
    """
    if scheme not in held.raw_oaep:
        try:
            return bytes(held.private.decrypt(wrapped, mechanism=Mechanism.RSA_PKCS_OAEP, pin=pin,
                                              mechanism_param=(_HASH[scheme.digest][0], _HASH[scheme.mask_digest][1],
                                                               None)))
        except _UNKNOWN:
            held.raw_oaep |= {scheme}
    plain = bytes(held.private.decrypt(wrapped, mechanism=Mechanism.RSA_X_509, pin=pin))
    return oaep.unpad(plain.rjust(held.octets, b"\0"), scheme.digest, scheme.mask_digest)


def _derive(held: Held, point: bytes) -> bytes:
    """The x coordinate. Tokens want the point plain (PKCS #11 2.40) or, old ones, as an OCTET STRING."""
    template = {Attribute.EXTRACTABLE: True, Attribute.SENSITIVE: False}
    for form in (point, build.octet_string(point)):
        try:
            secret = held.private.derive_key(KeyType.GENERIC_SECRET, held.octets * 8, mechanism=Mechanism.ECDH1_DERIVE,
                                             mechanism_param=(KDF.NULL, None, form), template=template)
        except _UNKNOWN:
            continue
        try:
            return bytes(secret[Attribute.VALUE]).rjust(held.octets, b"\0")
        finally:
            secret.destroy()  # it would stay in the session permanently
    raise GatewayError(Reason.DECRYPTION_FAILED, "the token does not agree on keys (CKM_ECDH1_DERIVE)")


def list_token(token: Token, refused_pins: Path | None = None) -> tuple[Listed, ...]:
    """Every private key of a token, for people. KEY_UNAVAILABLE."""
    try:
        return work(token, Logins(refused_pins), listed)
    except refused.PKCS11Error as error:
        raise unavailable(f"token {token.name}: {error_text(error)}") from None


def make_key(token: Token, label: str, algorithm: str, whom: Asked, *, decrypts: bool,
             refused_pins: Path | None = None) -> bytes:
    """Makes a key on a token and the request for its certificate, in PEM. If the request fails, so does the key.

    USAGE (the label is in use), KEY_UNAVAILABLE.
    """
    def task(opened: OpenToken) -> bytes:
        with make(opened, token.name, label, algorithm, decrypts=decrypts) as held:
            return request(held.public, held.algorithm, whom, lambda scheme, octets: _sign(
                held, scheme, hashlib.new(scheme.digest, octets).digest(), None))

    try:
        return work(token, Logins(refused_pins), task)
    except refused.PKCS11Error as error:
        raise unavailable(f"token {token.name} does not make an {algorithm} key: {error_text(error)}") from None
