"""Private keys in files, behind `ports.keys.Keys`: each loaded once per process, each for one purpose.

A file must be readable by its owner alone (mode 0600 or 0400); what systemd hands over in $CREDENTIALS_DIRECTORY is
protected by the directory and its ACL. Formats: see cms.private_keys. Loading an RSA key costs 40 ms, using it 0.4.
RFC 8017 (RSA), RFC 3218 (one failure for every fault of wrapped octets), RFC 5753 and RFC 8418 (agreement).
"""

import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from gateway.cms.certificate import Certificate, key_algorithm
from gateway.cms.private_keys import KEY_OCTETS_MAX, PrivateKey, read_private_key
from gateway.errors import GatewayError, Reason, file_error
from gateway.model.scheme import SignScheme, UnwrapScheme
from gateway.ports.keys import KeyInfo, KeyPurpose, Keys
from gateway.settings import InternalStamperSettings, Settings

CARD_KEY: Final = "trust:card"
AUDIT_KEY: Final = "audit:head"
ARCHIVE_KEY: Final = "hold:archive"  # key ids with a colon are the gateway's own; names in the settings have none

_HASHES: Final[dict[str, Callable[[], hashes.HashAlgorithm]]] = {
    "sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512}


def _way(scheme: SignScheme) -> tuple[Any, tuple[Any, ...]]:
    """The kind of key that signs by a scheme, and what its `sign` takes behind the octets."""
    if scheme is SignScheme.ED25519:
        return ed25519.Ed25519PrivateKey, ()
    digest = _HASHES[scheme.digest]()
    if scheme.startswith("ecdsa"):
        return ec.EllipticCurvePrivateKey, (ec.ECDSA(digest),)
    if scheme.startswith("rsa-pss"):
        return rsa.RSAPrivateKey, (padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    return rsa.RSAPrivateKey, (padding.PKCS1v15(), digest)


_WAYS: Final = {scheme: _way(scheme) for scheme in SignScheme}  # made once: making it for each mail costs 3 us
SIGNING: Final[tuple[KeyPurpose, ...]] = ("sign", "stamp", "issue", "card", "audit")


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The path and the purpose of a key."""

    key_id: str
    path: Path
    purpose: KeyPurpose
    passphrase_file: Path | None = None


def stamper_key(name: str) -> str:
    """The key id of a stamper in the settings."""
    return f"stamper:{name}"


def generation_key(name: str, number: int) -> str:
    """The key id of a generation of a key set: 0 is the set's own entry, 1 the first of its `generations`."""
    return f"{name}#{number + 1}" if number else name


def key_files(settings: Settings) -> tuple[KeyFile, ...]:
    """All keys in files that the settings name: key sets with generations, stampers, the archive key if on line."""
    found = [KeyFile(generation_key(key_set.name, number), one.key, key_set.purpose, one.passphrase_file)
             for key_set in settings.keys for number, one in enumerate((key_set, *key_set.generations))
             if one.key is not None]
    found += [KeyFile(stamper_key(s.name), s.key, "stamp", s.passphrase_file) for s in settings.stampers
              if isinstance(s, InternalStamperSettings) and s.key is not None]
    hold = settings.hold
    if hold.archive_key is not None:
        found.append(KeyFile(ARCHIVE_KEY, hold.archive_key, "decrypt", hold.archive_passphrase_file))
    if settings.trust_card is not None:
        found.append(KeyFile(CARD_KEY, settings.trust_card.key, "card", settings.trust_card.passphrase_file))
    return tuple(found)


def read_secret(path: Path, octets_max: int = KEY_OCTETS_MAX) -> bytes:
    """A file that no other user may read. KEY_UNAVAILABLE (retry) if it is missing, not readable, or open to others."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not stop us
        try:
            octets = _read_open(descriptor, path, octets_max)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise GatewayError(Reason.KEY_UNAVAILABLE, file_error(path, error), retry=True) from None
    if len(octets) > octets_max:
        raise GatewayError(Reason.KEY_UNAVAILABLE, f"{path} is larger than {octets_max} octets", retry=True)
    return octets


def _read_open(descriptor: int, path: Path, octets_max: int) -> bytes:
    """Judges what was opened, not what the path may name by now."""
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode):
        raise GatewayError(Reason.KEY_UNAVAILABLE, f"{path} is not a file", retry=True)
    if state.st_mode & 0o077 and not _is_credential(path):
        raise GatewayError(Reason.KEY_UNAVAILABLE, f"{path} is open to others (mode {state.st_mode & 0o777:04o}): "
                           f"chmod 600 {path}", retry=True)
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read(octets_max + 1)


def read_passphrase(path: Path | None) -> bytes | None:
    """The first line of a secret file, without its line end; None without a file."""
    return None if path is None else read_secret(path).partition(b"\n")[0].rstrip(b"\r")


def _is_credential(path: Path) -> bool:
    """Whether systemd put it there (systemd.exec, LoadCredential=): its ACL shows as group bits."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return directory is not None and path.resolve().is_relative_to(Path(directory).resolve())


def sign_with(key: PrivateKey, name: str, scheme: SignScheme, to_be_signed: bytes) -> bytes:
    """A signature by a key in memory. KEY_WRONG_PURPOSE where the scheme is not one of its kind."""
    kind, arguments = _WAYS[scheme]
    if not isinstance(key, kind):
        raise GatewayError(Reason.KEY_WRONG_PURPOSE, f"{name} cannot sign as {scheme}")
    signature: bytes = key.sign(to_be_signed, *arguments)
    return signature


class Purposes:
    """Which purpose each public key serves, in any key store: one, under every id."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[KeyPurpose, str]] = {}
        self._lock = threading.Lock()

    def claim(self, public: bytes, purpose: KeyPurpose, key_id: str, where: str) -> None:
        """KEY_WRONG_PURPOSE if the key of this SubjectPublicKeyInfo serves another purpose already."""
        with self._lock:
            known, other = self._known.setdefault(public, (purpose, key_id))
        if known != purpose:
            raise GatewayError(Reason.KEY_WRONG_PURPOSE, f"{where}: the key set {other} uses this key already, with "
                               f"`purpose: {known}`. Use another key")


class FileKeys:
    """See ports.keys.Keys. Each call checks the file again, so that repairing it is enough."""

    def __init__(self, files: Iterable[KeyFile], purposes: Purposes | None = None) -> None:
        self._files = {file.key_id: file for file in files}
        self._loaded: dict[str, tuple[PrivateKey, KeyInfo]] = {}
        self._purposes = purposes or Purposes()
        self._lock = threading.Lock()

    def sign(self, key_id: str, scheme: SignScheme, to_be_signed: bytes) -> bytes:
        """See ports.keys.Keys. KEY_WRONG_PURPOSE too where the scheme is not one of the key's kind."""
        return sign_with(self._key(key_id, *SIGNING), key_id, scheme, to_be_signed)

    def decrypt(self, key_id: str, scheme: UnwrapScheme, wrapped: bytes) -> bytes:
        """See ports.keys.Keys. With PKCS#1 v1.5 bad octets may give random ones (implicit rejection), no error."""
        key = self._key(key_id, "decrypt")
        if not isinstance(key, rsa.RSAPrivateKey):
            raise GatewayError(Reason.DECRYPTION_FAILED)
        form: padding.AsymmetricPadding = padding.PKCS1v15()
        if scheme is not UnwrapScheme.RSA_PKCS1:
            form = padding.OAEP(padding.MGF1(_HASHES[scheme.mask_digest]()), _HASHES[scheme.digest](), None)
        try:
            return key.decrypt(wrapped, form)
        except (ValueError, UnsupportedAlgorithm):
            raise GatewayError(Reason.DECRYPTION_FAILED) from None

    def agree(self, key_id: str, peer_public: bytes) -> bytes:
        """See ports.keys.Keys."""
        key = self._key(key_id, "decrypt")
        try:
            peer = load_der_public_key(peer_public)
            if isinstance(key, x25519.X25519PrivateKey) and isinstance(peer, x25519.X25519PublicKey):
                return key.exchange(peer)
            if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(peer, ec.EllipticCurvePublicKey):
                return key.exchange(ec.ECDH(), peer)
        except (ValueError, UnsupportedAlgorithm):
            pass
        raise GatewayError(Reason.DECRYPTION_FAILED)

    def public(self, key_id: str) -> KeyInfo:
        """See ports.keys.Keys."""
        return self._load(key_id)[1]

    def health(self) -> tuple[str, ...]:
        """See ports.keys.Keys. Loads what is not loaded yet: called at the start, it warms every key."""
        return tuple(self._troubles())

    def _troubles(self) -> Iterator[str]:
        for key_id in self._files:
            try:
                self._load(key_id)
            except GatewayError as error:
                yield f"key {key_id}: {error.detail}"

    def _key(self, key_id: str, *purposes: KeyPurpose) -> PrivateKey:
        key, info = self._loaded.get(key_id) or self._load(key_id)
        if not info.purposes.intersection(purposes):
            raise GatewayError(Reason.KEY_WRONG_PURPOSE, f"{key_id} is for {'/'.join(sorted(info.purposes))} only")
        return key

    def _load(self, key_id: str) -> tuple[PrivateKey, KeyInfo]:
        with self._lock:
            if key_id in self._loaded:
                return self._loaded[key_id]
            file = self._files.get(key_id)
            if file is None:
                raise GatewayError(Reason.KEY_UNAVAILABLE, f"the key {key_id} is not configured", retry=True)
            try:
                key = read_private_key(read_secret(file.path), read_passphrase(file.passphrase_file))
            except GatewayError as error:
                if error.reason is Reason.KEY_UNAVAILABLE:
                    raise
                raise GatewayError(Reason.KEY_UNAVAILABLE, f"{file.path}: {error.detail}", retry=True) from None
            self._loaded[key_id] = key, self._info(file, key)
            return self._loaded[key_id]

    def _info(self, file: KeyFile, key: PrivateKey) -> KeyInfo:
        """Also holds that the same key serves no second purpose under another id."""
        _refuse_unfit(file, key)
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self._purposes.claim(spki, file.purpose, file.key_id, str(file.path))
        return KeyInfo(file.key_id, frozenset({file.purpose}), key_algorithm(spki), spki)


def _refuse_unfit(file: KeyFile, key: PrivateKey) -> None:
    """X25519 signs nothing, Ed25519 decrypts nothing."""
    signs = not isinstance(key, x25519.X25519PrivateKey)
    if signs is not (file.purpose in SIGNING) and isinstance(key, x25519.X25519PrivateKey | ed25519.Ed25519PrivateKey):
        raise GatewayError(Reason.KEY_WRONG_PURPOSE, f"{file.path}: its kind of key cannot {file.purpose}")


class StoredKey:
    """One decryption key with its certificate, as `cms.enveloped_reader` asks for it (its RecipientKey)."""

    def __init__(self, keys: Keys, key_id: str, certificate: Certificate) -> None:
        self.certificate = certificate
        self._keys = keys
        self._key_id = key_id

    def unwrap(self, scheme: UnwrapScheme, wrapped: bytes) -> bytes:
        """See RecipientKey."""
        return self._keys.decrypt(self._key_id, scheme, wrapped)

    def agree(self, peer_public: bytes) -> bytes:
        """See RecipientKey."""
        return self._keys.agree(self._key_id, peer_public)
