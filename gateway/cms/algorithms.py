"""OIDs and names of algorithms; `cms.strength` says how long each is accepted.

RFC 5754 (SHA-2), RFC 4055/4056 (RSA PSS, OAEP), RFC 5753 (ECDH), RFC 8418 (X25519), RFC 8419 (Ed25519), RFC 5084 (GCM),
RFC 3565 (AES-CBC, AES wrap), RFC 5480 (curves). Names are ours and short: 'sha256', 'sha256_rsa', 'sha256_rsa_pss',
'sha256_ecdsa', 'ed25519', 'rsa-2048', 'p-256', 'aes256-cbc'. What has no name here is named by its dotted OID.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple

from gateway.cms import strength
from gateway.der import build, walk
from gateway.der.walk import DerMalformed, Tlv
from gateway.model.scheme import SignScheme, UnwrapScheme, oaep_scheme

# How long each is believed
TABLE_VERSION: Final = strength.TABLE_VERSION
EVER: Final = strength.EVER
RSA_BITS_MIN: Final = strength.RSA_BITS_MIN
RSA_BITS_MAX: Final = strength.RSA_BITS_MAX
Kind = strength.Kind
allowed = strength.allowed

# Content types (RFC 5652, 5083, 3274, 3161)
DATA: Final = "1.2.840.113549.1.7.1"
SIGNED_DATA: Final = "1.2.840.113549.1.7.2"
ENVELOPED_DATA: Final = "1.2.840.113549.1.7.3"
AUTH_ENVELOPED_DATA: Final = "1.2.840.113549.1.9.16.1.23"
COMPRESSED_DATA: Final = "1.2.840.113549.1.9.16.1.9"
TST_INFO: Final = "1.2.840.113549.1.9.16.1.4"

# Keys
RSA: Final = "1.2.840.113549.1.1.1"
RSA_OAEP: Final = "1.2.840.113549.1.1.7"
RSA_PSS: Final = "1.2.840.113549.1.1.10"
MGF1: Final = "1.2.840.113549.1.1.8"
P_SPECIFIED: Final = "1.2.840.113549.1.1.9"
EC_PUBLIC_KEY: Final = "1.2.840.10045.2.1"
ED25519: Final = "1.3.101.112"
X25519: Final = "1.3.101.110"

_NAMES_BY_DIGEST_OID: Final[Mapping[str, str]] = MappingProxyType({
    "1.2.840.113549.2.2": "md2",
    "1.2.840.113549.2.4": "md4",
    "1.2.840.113549.2.5": "md5",
    "1.3.36.3.2.1": "ripemd160",
    "1.3.14.3.2.26": "sha1",
    "2.16.840.1.101.3.4.2.4": "sha224",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
    "2.16.840.1.101.3.4.2.8": "sha3-256",
    "2.16.840.1.101.3.4.2.9": "sha3-384",
    "2.16.840.1.101.3.4.2.10": "sha3-512",
})
DIGEST_OIDS: Final[Mapping[str, str]] = MappingProxyType({name: oid for oid, name in _NAMES_BY_DIGEST_OID.items()})
DIGEST_OCTETS: Final[Mapping[str, int]] = MappingProxyType(
    {"sha1": 20, "sha224": 28, "sha256": 32, "sha384": 48, "sha512": 64})

_SIGNATURES_BY_OID: Final[Mapping[str, str]] = MappingProxyType({
    "1.2.840.113549.1.1.2": "md2_rsa",
    "1.2.840.113549.1.1.3": "md4_rsa",
    "1.2.840.113549.1.1.4": "md5_rsa",
    "1.2.840.113549.1.1.5": "sha1_rsa",
    "1.3.14.3.2.29": "sha1_rsa",
    "1.2.840.113549.1.1.14": "sha224_rsa",
    "1.2.840.113549.1.1.11": "sha256_rsa",
    "1.2.840.113549.1.1.12": "sha384_rsa",
    "1.2.840.113549.1.1.13": "sha512_rsa",
    "1.2.840.10040.4.3": "sha1_dsa",
    "2.16.840.1.101.3.4.3.1": "sha224_dsa",
    "2.16.840.1.101.3.4.3.2": "sha256_dsa",
    "1.2.840.10045.4.1": "sha1_ecdsa",
    "1.2.840.10045.4.3.1": "sha224_ecdsa",
    "1.2.840.10045.4.3.2": "sha256_ecdsa",
    "1.2.840.10045.4.3.3": "sha384_ecdsa",
    "1.2.840.10045.4.3.4": "sha512_ecdsa",
    ED25519: "ed25519",
    "1.3.101.113": "ed448",
    "2.16.840.1.101.3.4.3.17": "ml-dsa-44",
    "2.16.840.1.101.3.4.3.18": "ml-dsa-65",
    "2.16.840.1.101.3.4.3.19": "ml-dsa-87",
})
_KEY_ONLY: Final[Mapping[str, str]] = MappingProxyType({RSA: "rsa", "1.2.840.10040.4.1": "dsa", EC_PUBLIC_KEY: "ecdsa"})

_SCHEMES: Final[Mapping[str, SignScheme]] = MappingProxyType({
    "sha256_rsa": SignScheme.RSA_PKCS1_SHA256,
    "sha384_rsa": SignScheme.RSA_PKCS1_SHA384,
    "sha512_rsa": SignScheme.RSA_PKCS1_SHA512,
    "sha256_rsa_pss": SignScheme.RSA_PSS_SHA256,
    "sha384_rsa_pss": SignScheme.RSA_PSS_SHA384,
    "sha512_rsa_pss": SignScheme.RSA_PSS_SHA512,
    "sha256_ecdsa": SignScheme.ECDSA_SHA256,
    "sha384_ecdsa": SignScheme.ECDSA_SHA384,
    "sha512_ecdsa": SignScheme.ECDSA_SHA512,
    "ed25519": SignScheme.ED25519,
})

CURVES: Final[Mapping[str, str]] = MappingProxyType({
    "1.2.840.10045.3.1.7": "p-256",
    "1.3.132.0.34": "p-384",
    "1.3.132.0.35": "p-521",
    "1.3.132.0.33": "p-224",
    "1.2.840.10045.3.1.1": "p-192",
    "1.3.132.0.10": "secp256k1",
    "1.3.36.3.3.2.8.1.1.7": "brainpoolp256r1",
    "1.3.36.3.3.2.8.1.1.11": "brainpoolp384r1",
    "1.3.36.3.3.2.8.1.1.13": "brainpoolp512r1",
})
# By the name of a key's algorithm: which programs do not read what is made with it. tests/peers/test_signed.py
# (CANNOT_READ) and tests/peers/test_enveloped.py compare it with the programs.
FEW_READ: Final[Mapping[str, str]] = MappingProxyType({
    "ed25519": "Thunderbird (NSS) and gpgsm call what it signs forged",
    "x25519": "OpenSSL, Bouncy Castle, Thunderbird (NSS) and gpgsm do not decrypt mail that is encrypted to it",
})
KEY_OIDS: Final[Mapping[str, str]] = MappingProxyType({
    X25519: "x25519",
    "1.3.101.111": "x448",
    ED25519: "ed25519",
    "1.3.101.113": "ed448",
    "1.2.840.10040.4.1": "dsa",
    "2.16.840.1.101.3.4.3.17": "ml-dsa-44",
    "2.16.840.1.101.3.4.3.18": "ml-dsa-65",
    "2.16.840.1.101.3.4.3.19": "ml-dsa-87",
    "2.16.840.1.101.3.4.4.1": "ml-kem-512",
    "2.16.840.1.101.3.4.4.2": "ml-kem-768",
    "2.16.840.1.101.3.4.4.3": "ml-kem-1024",
})


class ContentCipher(StrEnum):
    """How content is encrypted (RFC 3565, RFC 5084)."""

    AES128_CBC = "aes128-cbc"
    AES192_CBC = "aes192-cbc"
    AES256_CBC = "aes256-cbc"
    AES128_GCM = "aes128-gcm"
    AES192_GCM = "aes192-gcm"
    AES256_GCM = "aes256-gcm"

    aead: bool
    """Whether the content is authenticated: GCM, and then the message is an AuthEnvelopedData."""
    key_octets: int
    """16, 24 or 32."""

    def __init__(self, value: str) -> None:
        self.aead = value.endswith("gcm")
        self.key_octets = int(value[3:6]) // 8

    @property
    def oid(self) -> str:
        """Dotted."""
        return _CIPHER_OIDS[self]


class WeakCipher(StrEnum):
    """Ciphers that the gateway opens only where `opening.weak` names them. It never writes them (RFC 8551 2.7)."""

    TRIPLE_DES = "3des-cbc"

    @property
    def aead(self) -> bool:
        """Whether the content is authenticated: never."""
        return False

    @property
    def key_octets(self) -> int:
        """Three DES keys."""
        return 24

    @property
    def block_octets(self) -> int:
        """Size of a block and of the IV."""
        return 8


class KeyTransport(StrEnum):
    """How we encrypt a content key to an RSA key. NSS and gpgsm read nothing newer than PKCS#1 v1.5 everywhere."""

    PKCS1 = "pkcs1"
    OAEP_SHA256 = "oaep-sha256"


_CIPHER_OIDS: Final[Mapping[ContentCipher, str]] = MappingProxyType({
    ContentCipher.AES128_CBC: "2.16.840.1.101.3.4.1.2",
    ContentCipher.AES192_CBC: "2.16.840.1.101.3.4.1.22",
    ContentCipher.AES256_CBC: "2.16.840.1.101.3.4.1.42",
    ContentCipher.AES128_GCM: "2.16.840.1.101.3.4.1.6",
    ContentCipher.AES192_GCM: "2.16.840.1.101.3.4.1.26",
    ContentCipher.AES256_GCM: "2.16.840.1.101.3.4.1.46",
})
CIPHERS: Final[Mapping[str, ContentCipher]] = MappingProxyType({oid: cipher for cipher, oid in _CIPHER_OIDS.items()})
WEAK_CIPHERS: Final[Mapping[str, WeakCipher]] = MappingProxyType({"1.2.840.113549.3.7": WeakCipher.TRIPLE_DES})
_WEAK_CIPHERS: Final[Mapping[str, str]] = MappingProxyType({
    "1.2.840.113549.3.2": "rc2-cbc",
    "1.2.840.113549.3.4": "rc4",
    "1.2.840.113549.3.7": "3des-cbc",
    "1.3.14.3.2.7": "des-cbc",
})

# --- AlgorithmIdentifier ---------------------------------------------------------------------------------------------


class AlgorithmIdentifier(NamedTuple):
    """`oid` dotted; `parameters` the complete DER element, None where absent."""

    oid: str
    parameters: bytes | None


def identifier(oid: str, parameters: bytes | None = None) -> bytes:
    """DER of an AlgorithmIdentifier; `parameters` None leaves them out (which is not NULL)."""
    return build.sequence(build.oid(oid), parameters or b"")


IDENTIFIER_OCTETS_KEPT: Final = 128  # PSS with all its parameters has under 70


def read_identifier(octets: bytes, tlv: Tlv) -> AlgorithmIdentifier:
    """An AlgorithmIdentifier inside `octets`; the usual dozen of them is kept. DerMalformed."""
    der = octets[tlv.start:tlv.end]
    return _kept_identifier(der) if len(der) <= IDENTIFIER_OCTETS_KEPT else fresh_identifier(der, walk.single(der))


@lru_cache(maxsize=512)
def _kept_identifier(der: bytes) -> AlgorithmIdentifier:
    return fresh_identifier(der, walk.single(der))


def fresh_identifier(octets: bytes, tlv: Tlv) -> AlgorithmIdentifier:
    """The same for one whose parameters no other message has: a cipher with its nonce."""
    parts = walk.children(octets, walk.expect(tlv, walk.SEQUENCE), limit=2)
    if not parts:
        raise DerMalformed("an algorithm without its identifier")
    return AlgorithmIdentifier(walk.decode_oid(octets, parts[0]), walk.whole(octets, parts[1]) if parts[1:] else None)


def no_parameters(algorithm: AlgorithmIdentifier) -> bool:
    """Whether the parameters are absent or NULL: the two forms that most algorithms have in the wild."""
    return algorithm.parameters in (None, b"\x05\x00")


@cache
def digest_identifier(name: str) -> bytes:
    """DER of the digest's AlgorithmIdentifier, parameters absent (RFC 5754 2). `name` as in hashlib."""
    return identifier(DIGEST_OIDS[name])


def digest_name(algorithm: AlgorithmIdentifier) -> str:
    """The name in hashlib, or the dotted OID of an unknown digest. DerMalformed for parameters other than NULL."""
    name = _NAMES_BY_DIGEST_OID.get(algorithm.oid)
    if name is None:
        return algorithm.oid
    if not no_parameters(algorithm):
        raise DerMalformed("a digest with parameters")
    return name


@cache
def signature_identifier(scheme: SignScheme) -> bytes:
    """DER of the signatureAlgorithm that a SignerInfo names for `scheme`.

    RSA PKCS#1 v1.5 is rsaEncryption with NULL (RFC 3370 3.2: what every reader knows), ECDSA and Ed25519 have no
    parameters, PSS states all of its own with a salt as long as the digest (RFC 4056 3).
    """
    digest = scheme.digest
    if scheme.startswith("rsa-pss"):
        hashed = identifier(DIGEST_OIDS[digest], build.null())
        return identifier(RSA_PSS, build.sequence(
            build.context(0, hashed),
            build.context(1, identifier(MGF1, hashed)),
            build.context(2, build.integer(DIGEST_OCTETS[digest]))))
    if scheme.startswith("rsa"):
        return identifier(RSA, build.null())
    if scheme is SignScheme.ED25519:
        return identifier(ED25519)
    name = f"{digest}_ecdsa"
    return identifier(next(oid for oid, known in _SIGNATURES_BY_OID.items() if known == name))


class SignatureAlgorithm(NamedTuple):
    """`name` for `allowed`; `digest` is '' where the algorithm has none of its own (unknown ones).

    `scheme` is None for everything that we do not verify: weak or unknown. `salt_octets` only of PSS.
    """

    name: str
    digest: str
    scheme: SignScheme | None
    salt_octets: int | None = None


@lru_cache(maxsize=512)
def _signature_of(oid: str, parameters: bytes | None, digest: str) -> SignatureAlgorithm:
    algorithm = AlgorithmIdentifier(oid, parameters)
    if oid == RSA_PSS:
        name, salt = read_pss(parameters)
        full = f"{name}_rsa_pss"
        return SignatureAlgorithm(full, name, _SCHEMES.get(full), salt)
    full = _SIGNATURES_BY_OID.get(oid, oid)
    if oid in _KEY_ONLY and digest:
        full = f"{digest}_{_KEY_ONLY[oid]}"
    if full == oid:
        return SignatureAlgorithm(oid, "", None)
    if oid != EC_PUBLIC_KEY and not no_parameters(algorithm):
        raise DerMalformed("a signature algorithm with parameters")
    own = "sha512" if full == "ed25519" else full.partition("_")[0] if "_" in full else ""
    return SignatureAlgorithm(full, own, _SCHEMES.get(full))


def signature_algorithm(algorithm: AlgorithmIdentifier, digest: str = "") -> SignatureAlgorithm:
    """What a signatureAlgorithm means; `digest` is the name beside it, for identifiers that name only a key.

    That both digests agree is for the caller to check. DerMalformed if its parameters are not as its RFC wants.
    """
    if algorithm.parameters is not None and len(algorithm.parameters) > 256:
        raise DerMalformed("the parameters of a signature algorithm are absurdly long")
    return _signature_of(algorithm.oid, algorithm.parameters, digest)


def read_pss(parameters: bytes | None) -> tuple[str, int]:
    """Digest name and salt length of RSASSA-PSS-params (RFC 4055 3.1). The mask must use the same digest.

    Absent fields have their defaults (SHA-1, 20), absent parameters are refused: DerMalformed.
    """
    digest, mask, salt, trailer = "sha1", "sha1", 20, 1
    if parameters is None:
        raise DerMalformed("PSS without parameters")
    last = -1
    for field in walk.children(parameters, walk.single(parameters, walk.SEQUENCE), limit=4):
        number = field.tag - 0xA0
        if not last < number <= 3:
            raise DerMalformed("PSS parameters out of order")
        last = number
        inner = walk.read(parameters, field.body, field.end)
        if inner.end != field.end:
            raise DerMalformed("a PSS parameter holds more than one value")
        if number == 0:
            digest = digest_name(read_identifier(parameters, inner))
        elif number == 1:
            mask = read_mask(parameters, inner)
        elif number == 2:
            salt = walk.decode_integer(parameters, inner)
        else:
            trailer = walk.decode_integer(parameters, inner)
    if mask != digest or trailer != 1 or not 0 <= salt <= 1024:
        raise DerMalformed("unsupported PSS parameters")
    return digest, salt


def read_oaep(parameters: bytes | None) -> UnwrapScheme | None:
    """What RSAES-OAEP-params ask for (RFC 4055 4.1); None for anything that is not exactly understood.

    Absent fields have their defaults (SHA-1), absent parameters are not understood. DerMalformed.
    """
    if parameters is None:
        return None
    digest = mask = "sha1"
    last = -1
    for field in walk.children(parameters, walk.single(parameters, walk.SEQUENCE), limit=3):
        number, inner = field.tag - 0xA0, walk.read(parameters, field.body, field.end)
        if not last < number <= 2 or inner.end != field.end:
            return None
        last = number
        if number == 0:
            digest = digest_name(read_identifier(parameters, inner))
        elif number == 1:
            mask = read_mask(parameters, inner)
        else:
            label = read_identifier(parameters, inner)
            if label.oid != P_SPECIFIED or label.parameters != b"\x04\x00":  # the empty label: no other is in use
                return None
    return oaep_scheme(digest, mask)


def read_mask(octets: bytes, tlv: Tlv) -> str:
    """The digest of a mask generation function, which must be MGF1 (RFC 4055 2.2). DerMalformed."""
    mask = read_identifier(octets, tlv)
    if mask.oid != MGF1 or mask.parameters is None:
        raise DerMalformed("a mask generation function other than MGF1")
    return digest_name(read_identifier(mask.parameters, walk.single(mask.parameters)))


def cipher_name(oid: str) -> str:
    """The name of a content cipher for reports, weak ones too; the dotted OID if unknown."""
    return CIPHERS.get(oid) or _WEAK_CIPHERS.get(oid, oid)
