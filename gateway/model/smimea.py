"""The name and text of SMIMEA records: where DNS has the certificate of an address.

RFC 8162 3: the local part, without quotes, in UTF-8 (beyond ASCII in normal form C), SHA-256, its first 28 octets in
hexadecimal; then `_smimecert` and the domain. Upper and lower case give different names. RFC 6698 2.1 (the fields),
RFC 5890 (domains beyond ASCII as A-labels), RFC 1035 (sizes).
"""

from hashlib import sha256
from typing import Final
from unicodedata import normalize

from gateway.model.address import fold

DOMAIN_ISSUED: Final = 3  # DANE-EE: the certificate itself, of an end entity
FULL_CERTIFICATE: Final = 0  # selector
EXACT: Final = 0  # matching type: no hash

_HASH_OCTETS: Final = 28
_NAME_OCTETS_MAX: Final = 253  # as text, without the last dot
_LABEL_OCTETS_MAX: Final = 63


def owner_name(address: str) -> str | None:
    """The name, with its last dot. None for what can have none: no mailbox, or a domain that DNS cannot hold."""
    local, _, domain = address.rpartition("@")
    host = dns_name(domain)
    if not local or host is None or not local.isprintable():
        return None
    name = f"{sha256(_canonical(local)).digest()[:_HASH_OCTETS].hex()}._smimecert.{host}"
    return f"{name}." if len(name) <= _NAME_OCTETS_MAX else None


def owner_names(address: str) -> tuple[str, ...]:
    """The name of the local part exactly as written; then, if it differs, that of its folded form."""
    local, _, domain = address.rpartition("@")
    names = (owner_name(address), owner_name(f"{fold(local)}@{domain}"))
    return tuple(dict.fromkeys(name for name in names if name is not None))


def record(der: bytes) -> str:
    """The record's data in the form of a zone file: usage 3, selector 0, matching type 0, the whole certificate."""
    return f"{DOMAIN_ISSUED} {FULL_CERTIFICATE} {EXACT} {der.hex()}"


def dns_name(domain: str) -> str | None:
    """A domain in lower case with A-labels, without a last dot; None if it can be none."""
    labels = [_a_label(label) for label in domain.removesuffix(".").split(".")]
    if any(label is None for label in labels):
        return None
    name = ".".join(label for label in labels if label is not None)
    return name if len(name) <= _NAME_OCTETS_MAX else None


def _a_label(label: str) -> str | None:
    """An A-label is `xn--` and the Punycode of the U-label (RFC 5890 2.3.2.1), which is in lower case and in form C.

    Whether the characters are permitted is the registry's business: a label that is not simply does not exist.
    """
    if not label.isascii():
        if not label.isprintable():
            return None
        lowered = normalize("NFC", label.lower())
        label = "xn--" + lowered.encode("punycode").decode("ascii")
    good = bool(label) and len(label) <= _LABEL_OCTETS_MAX and all(c.isalnum() or c in "-_" for c in label)
    return fold(label) if good else None


def _canonical(local: str) -> bytes:
    """The local part as it is hashed: enclosing quotes and the backslashes within them taken away."""
    if len(local) >= 2 and local[0] == local[-1] == '"':
        characters = iter(local[1:-1])
        local = "".join(next(characters, "") if c == "\\" else c for c in characters)
    return normalize("NFC", local).encode()
