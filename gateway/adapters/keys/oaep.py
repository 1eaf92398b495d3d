"""OAEP taken off in Python, for tokens that do the RSA operation but know OAEP with SHA-1 alone (RFC 8017 7.1.2).

Manger's attack needs to know where decoding failed. So every check runs for any octets, and every fault is
the same error at the end. Python cannot promise equal time to the nanosecond; the RSA operation before it takes a
thousand times as long and differs by more.
"""

import hashlib
import hmac
from typing import Final

from gateway.errors import GatewayError, Reason

_EMPTY_LABEL: Final = {name: hashlib.new(name).digest() for name in ("sha1", "sha256", "sha384", "sha512")}


def unpad(encoded: bytes, digest: str, mask_digest: str) -> bytes:
    """The message in `encoded` (as long as the modulus), for the empty label.

    `digest`, `mask_digest` (of MGF1): names in hashlib. DECRYPTION_FAILED for every fault alike.
    """
    empty = _EMPTY_LABEL[digest]
    size = len(empty)
    if len(encoded) < 2 * size + 2:  # known from the key alone
        raise GatewayError(Reason.DECRYPTION_FAILED)
    masked_seed, masked_data = encoded[1:1 + size], encoded[1 + size:]
    seed = _xor(masked_seed, _mask(masked_data, size, mask_digest))
    data = _xor(masked_data, _mask(seed, len(masked_data), mask_digest))
    good = int(encoded[0] == 0) & int(hmac.compare_digest(data[:size], empty))
    found, start = 0, 0
    for place in range(size, len(data)):  # 3.g: zeros, then 0x01; all of it is read
        octet = data[place]
        first_one = int(octet == 1) & (1 - found)
        start += first_one * (place + 1)
        good &= found | int(octet <= 1)
        found |= first_one
    message = data[start:]
    if not good & found:
        raise GatewayError(Reason.DECRYPTION_FAILED)
    return message


def _mask(seed: bytes, octets: int, digest: str) -> bytes:
    """MGF1 (RFC 8017 B.2.1)."""
    size = len(_EMPTY_LABEL[digest])
    blocks = (hashlib.new(digest, seed + number.to_bytes(4, "big")).digest() for number in range(-(-octets // size)))
    return b"".join(blocks)[:octets]


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")
