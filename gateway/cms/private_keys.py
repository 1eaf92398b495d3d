"""Private keys as files hold them: PKCS#8 (RFC 5958) in PEM or DER, encrypted or not, and PKCS#12 (RFC 7292).

The old ciphers of PKCS#12 (RC2-40, RC2-128, 3DES with SHA-1) are read, for Windows and old tools write them still;
they are never written. PKCS#1 and SEC 1 PEM ('RSA PRIVATE KEY', 'EC PRIVATE KEY') are read as well.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from asn1crypto import algos, core, pkcs12
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key, load_pem_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates

from gateway.cms.certificate import Certificate, parse_certificate
from gateway.der import prescan, walk
from gateway.errors import GatewayError, Reason

KEY_OCTETS_MAX: Final = 1_048_576  # a PKCS#12 with a long chain has a hundredth of it
_PBMAC1: Final = "1.2.840.113549.1.5.14"  # RFC 9579
KEYS_MAX: Final = 16  # in one PKCS#12; Outlook exports two, one to sign and one to decrypt
KDF_ROUNDS_MAX: Final = 10_000_000  # OpenSSL writes 2,048, Windows 10,000, OWASP asks for 600,000: more is an attack

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | x25519.X25519PrivateKey


@dataclass(frozen=True, slots=True)
class Pkcs12:
    """What a PKCS#12 held: its keys, the certificate that fits the first one, and all further certificates."""

    keys: tuple[PrivateKey, ...]
    certificate: Certificate | None
    others: tuple[Certificate, ...]

    def only_key(self) -> PrivateKey:
        """INPUT_UNREADABLE where there is none, or more than one: none is dropped silently."""
        if not self.keys:
            raise GatewayError(Reason.INPUT_UNREADABLE, "a PKCS#12 without a private key")
        if len(self.keys) > 1:
            raise GatewayError(Reason.INPUT_UNREADABLE, f"a PKCS#12 with {len(self.keys)} private keys, one is "
                               "expected: export each key into a separate file")
        return self.keys[0]


def is_pkcs12(octets: bytes) -> bool:
    """A SEQUENCE that begins with the version 3; a PKCS#8 begins with 0, 1 or a SEQUENCE."""
    if octets[:1] != b"\x30":
        return False
    try:
        top = walk.read(octets)
        first = walk.read(octets, top.body, top.end)
        return first.tag == walk.INTEGER and walk.decode_integer(octets, first) == 3
    except GatewayError:
        return octets[1:2] == b"\x80" and octets[2:5] == b"\x02\x01\x03"  # indefinite length


def read_private_key(octets: bytes, passphrase: bytes | None = None) -> PrivateKey:
    """The one private key of a file. A passphrase that a PEM or DER key does not need is ignored.

    INPUT_PASSWORD_WRONG where a passphrase is missing or wrong, INPUT_UNREADABLE for everything else.
    """
    if len(octets) > KEY_OCTETS_MAX:
        raise GatewayError(Reason.INPUT_TOO_LARGE, f"a key file of {len(octets)} octets")
    if is_pkcs12(octets):
        return read_pkcs12(octets, passphrase).only_key()
    if b"-----BEGIN " in octets:
        return _checked(_load_pem(_key_block(octets), passphrase))
    return _checked(_load_der(octets, passphrase))


def read_pkcs12(octets: bytes, passphrase: bytes | None) -> Pkcs12:
    """Keys and certificates of a PKCS#12. Reasons as `read_private_key`; weak certificates are for others to refuse.

    Of several keys all are found that have a bag of their own outside of encrypted content, as all programs write them.
    """
    if len(octets) > KEY_OCTETS_MAX:
        raise GatewayError(Reason.INPUT_TOO_LARGE, f"a PKCS#12 of {len(octets)} octets")
    bags = _key_bags(_bounded(octets))
    try:
        key, certificate, others = load_key_and_certificates(octets, passphrase)
    except ValueError as error:
        if "password" in str(error).lower():
            raise GatewayError(Reason.INPUT_PASSWORD_WRONG, "PKCS#12: wrong password") from None
        raise GatewayError(Reason.INPUT_UNREADABLE, f"PKCS#12: {error}") from None
    except (UnsupportedAlgorithm, TypeError) as error:
        raise GatewayError(Reason.INPUT_UNREADABLE, f"PKCS#12: {error}") from None
    certificates = [parse_certificate(one.public_bytes(Encoding.DER))
                    for one in (*((certificate,) if certificate else ()), *others)]
    own = certificates[0] if certificate else None
    keys: tuple[object, ...] = () if key is None else (key,)
    if len(bags) > 1:
        keys = tuple(_load_der(bag, passphrase) for bag in bags)
    return Pkcs12(tuple(map(_checked, keys)), own, tuple(c for c in certificates if c is not own))


def _key_block(octets: bytes) -> bytes:
    """The one block of a PEM file that is a private key; certificates may be beside it."""
    blocks: list[bytes] = []
    at = 0
    while (start := octets.find(b"-----BEGIN ", at)) >= 0:
        label = octets[start + 11:octets.find(b"-----", start + 11)]
        ending = b"-----END " + label + b"-----"
        end = octets.find(ending, start)
        if end < 0 or len(label) > 64:
            raise GatewayError(Reason.INPUT_UNREADABLE, "a PEM block without its end")
        at = end + len(ending)
        if label.endswith(b"PRIVATE KEY"):
            blocks.append(octets[start:at] + b"\n")
    if len(blocks) != 1:
        raise GatewayError(Reason.INPUT_UNREADABLE, f"{len(blocks)} private keys in the file, one is expected")
    return blocks[0]


def _load_pem(block: bytes, passphrase: bytes | None) -> object:
    encrypted = b"ENCRYPTED" in block
    return _loaded(load_pem_private_key, block, passphrase if encrypted else None, encrypted=encrypted)


def _load_der(octets: bytes, passphrase: bytes | None) -> object:
    try:
        parts = walk.children(octets, walk.single(octets, walk.SEQUENCE), limit=8)
        encrypted = [part.tag for part in parts] == [walk.SEQUENCE, walk.OCTET_STRING]  # RFC 5958 3
    except GatewayError as error:
        raise GatewayError(Reason.INPUT_UNREADABLE,
                           f"not a private key in PEM, DER or PKCS#12: {error.detail}") from None
    return _loaded(load_der_private_key, octets, passphrase if encrypted else None, encrypted=encrypted)


def _loaded(load: Callable[[bytes, bytes | None], object], octets: bytes, passphrase: bytes | None, *,
            encrypted: bool) -> object:
    if encrypted and passphrase is None:
        raise GatewayError(Reason.INPUT_PASSWORD_WRONG, "the key is encrypted and no passphrase is given")
    try:
        return load(octets, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if encrypted and "password" in str(error).lower():
            raise GatewayError(Reason.INPUT_PASSWORD_WRONG, "this passphrase does not open the key") from None
        # Of 256 wrong passphrases one leaves a padding that looks right, and octets that are no key.
        doubt = "the passphrase is wrong, or " if encrypted else ""
        raise GatewayError(Reason.INPUT_UNREADABLE,
                           f"{doubt}not a private key that can be read: {str(error)[:200]}") from None


def _checked(key: object) -> PrivateKey:
    """The key, if it is of a supported kind and strong enough."""
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < 2048:
            raise GatewayError(Reason.CERTIFICATE_WEAK_KEY, f"an RSA key of {key.key_size} bits, 2048 are the least")
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if key.curve.name not in {"secp256r1", "secp384r1", "secp521r1"}:
            raise GatewayError(Reason.CERTIFICATE_ALGORITHM_UNKNOWN, f"a key on the curve {key.curve.name}")
        return key
    if isinstance(key, ed25519.Ed25519PrivateKey | x25519.X25519PrivateKey):
        return key
    raise GatewayError(Reason.CERTIFICATE_ALGORITHM_UNKNOWN, f"a key of the kind {type(key).__name__}")


def _bounded(octets: bytes) -> pkcs12.Pfx:
    """The outer layers. Refuses a PKCS#12 that asks for hours of key derivation before anything can be known of it.

    What cannot be read here is refused too: the loader reads more (octets behind the end, for one), and would run
    an unlimited number of rounds.
    """
    try:
        prescan.check(octets)
        pfx = pkcs12.Pfx.load(octets, strict=True)
        rounds = tuple(_outer_rounds(pfx))
    except GatewayError as error:
        if error.reason is Reason.INPUT_LIMIT_EXCEEDED:
            raise
        raise GatewayError(Reason.INPUT_UNREADABLE, f"PKCS#12: {error.detail}") from None
    except (ValueError, TypeError, LookupError, AttributeError, NotImplementedError):
        raise GatewayError(Reason.INPUT_UNREADABLE, "PKCS#12: its outer layers cannot be read") from None
    if max(rounds, default=0) > KDF_ROUNDS_MAX or sum(rounds) > 4 * KDF_ROUNDS_MAX:  # MAC, key, certificates, spare
        raise GatewayError(Reason.INPUT_LIMIT_EXCEEDED,
                           f"PKCS#12: {' + '.join(map(str, rounds[:8]))} rounds of key derivation")
    return pfx


def _key_bags(pfx: pkcs12.Pfx) -> tuple[bytes, ...]:
    """DER of every PrivateKeyInfo and EncryptedPrivateKeyInfo in plain content (RFC 7292 4.2.1, 4.2.2)."""
    found: list[bytes] = []
    for info in pfx.authenticated_safe:
        if info["content_type"].native == "data":
            found += [bag["bag_value"].untag().dump() for bag in pkcs12.SafeContents.load(info["content"].native)
                      if bag["bag_id"].native in {"key_bag", "pkcs8_shrouded_key_bag"}]
    if len(found) > KEYS_MAX:
        raise GatewayError(Reason.INPUT_LIMIT_EXCEEDED, f"PKCS#12: {len(found)} private keys")
    return tuple(found)


def _outer_rounds(pfx: pkcs12.Pfx) -> Iterator[int]:
    mac = pfx["mac_data"]
    if mac.native is not None:
        yield mac["iterations"].native
        algorithm = mac["mac"]["digest_algorithm"]
        if algorithm["algorithm"].dotted == _PBMAC1:
            kdf = core.SequenceOf.load(algorithm["parameters"].dump(), spec=core.Any)[0]
            yield algos.KdfAlgorithm.load(kdf.dump())["parameters"]["iteration_count"].native
    for info in pfx.authenticated_safe:
        if info["content_type"].native == "encrypted_data":
            yield info["content"]["encrypted_content_info"]["content_encryption_algorithm"].kdf_iterations
        elif info["content_type"].native == "data":
            for bag in pkcs12.SafeContents.load(info["content"].native):
                if bag["bag_id"].native == "pkcs8_shrouded_key_bag":
                    yield bag["bag_value"]["encryption_algorithm"].kdf_iterations
