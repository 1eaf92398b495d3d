"""What both ends of a key agreement compute: secret -> key-encryption key (RFC 5753 7.2, RFC 8418 2).

The elliptic curve secret goes through the X9.63 KDF or HKDF over an ECC-CMS-SharedInfo into an AES key that wraps
the content key (RFC 3394). SHA-1 as KDF digest is what OpenSSL still writes by default: read, never written.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final, NamedTuple

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from gateway.cms import algorithms
from gateway.der import build

WRAPS: Final[Mapping[str, int]] = MappingProxyType({  # RFC 3565 2.3.2; the octets of the key-encryption key
    "2.16.840.1.101.3.4.1.5": 16,
    "2.16.840.1.101.3.4.1.25": 24,
    "2.16.840.1.101.3.4.1.45": 32,
})
_WRAP_OIDS: Final = {octets: oid for oid, octets in WRAPS.items()}


class Scheme(NamedTuple):
    """A key agreement scheme: which KDF it names, and for which keys it is defined."""

    oid: str
    kdf: Callable[[bytes, bytes, bytes | None, int], bytes]  # secret, shared info, ukm, octets -> key-encryption key
    for_curves: bool  # NIST curves; else X25519
    for_x25519: bool


def _x963(digest: hashes.HashAlgorithm, secret: bytes, info: bytes, _ukm: bytes | None, octets: int) -> bytes:
    return X963KDF(digest, octets, info).derive(secret)


def _hkdf(digest: hashes.HashAlgorithm, secret: bytes, info: bytes, ukm: bytes | None, octets: int) -> bytes:
    return HKDF(digest, octets, ukm, info).derive(secret)  # RFC 8418 2.2: the ukm, if there is one, is the salt


def _schemes() -> dict[str, Scheme]:
    digests: dict[str, hashes.HashAlgorithm] = {
        "sha1": hashes.SHA1(),  # noqa: S303 - as a KDF, and only to read what OpenSSL writes by default
        "sha224": hashes.SHA224(), "sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
    # dhSinglePass-stdDH and -cofactorDH: the NIST curves have the cofactor 1, so both are one computation
    x963 = {"1.3.133.16.840.63.0.2": "sha1", "1.3.133.16.840.63.0.3": "sha1",
            **{f"1.3.132.1.{arc}.{number}": name for arc in (11, 14)
               for number, name in enumerate(("sha224", "sha256", "sha384", "sha512"))}}
    hkdf = {"1.2.840.113549.1.9.16.3.19": "sha256", "1.2.840.113549.1.9.16.3.20": "sha384",
            "1.2.840.113549.1.9.16.3.21": "sha512"}
    found = {oid: Scheme(oid, partial(_x963, digests[name]), for_curves=True,
                         for_x25519=oid.startswith("1.3.132.1.11.")) for oid, name in x963.items()}
    found |= {oid: Scheme(oid, partial(_hkdf, digests[name]), for_curves=False, for_x25519=True)
              for oid, name in hkdf.items()}
    return found


SCHEMES: Final[Mapping[str, Scheme]] = MappingProxyType(_schemes())

# What we write. RFC 5753 8: the KDF digest fits the curve. RFC 8551 2.3: X25519 with HKDF and SHA-256.
WRITTEN: Final[Mapping[str, Scheme]] = MappingProxyType({
    "p-256": SCHEMES["1.3.132.1.11.1"],
    "p-384": SCHEMES["1.3.132.1.11.2"],
    "p-521": SCHEMES["1.3.132.1.11.3"],
    "x25519": SCHEMES["1.2.840.113549.1.9.16.3.19"],
})


def wrap_identifier(octets: int) -> bytes:
    """DER AlgorithmIdentifier of the AES key wrap with a key of 16, 24 or 32 octets; parameters absent (RFC 3565)."""
    return algorithms.identifier(_WRAP_OIDS[octets])


def shared_info(wrap: bytes, ukm: bytes | None, octets: int) -> bytes:
    """DER ECC-CMS-SharedInfo (RFC 5753 7.2): the wrap AlgorithmIdentifier as received, ukm, key length in bits."""
    return build.sequence(
        wrap,
        b"" if ukm is None else build.context(0, build.octet_string(ukm)),
        build.context(2, build.octet_string((octets * 8).to_bytes(4, "big"))))
