"""Mail addresses as values (RFC 5321 4.1.2): splitting, comparing, and what a stranger may not write."""

from collections.abc import Iterable
from dataclasses import dataclass

_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def domain_of(address: str) -> str:
    """The domain in lower case, '' for the null path or an address without one."""
    return fold(address.rpartition("@")[2]) if "@" in address else ""


def fold(text: str) -> str:
    """ASCII case folding only: 'K' (KELVIN SIGN) must not become 'k' (RFC 9598; see `From` in the design)."""
    return text.lower() if text.isascii() else text.translate(_ASCII_LOWER)


def address_matches(pattern: str, address: str) -> bool:
    """Whether `address` is covered by `pattern`: a full address, '@domain', '*@domain' or '*'."""
    pattern, address = fold(pattern), fold(address)
    if pattern == "*":
        return True
    if pattern.startswith("*@"):
        pattern = pattern[1:]
    if pattern.startswith("@"):
        return "@" in address and address.rpartition("@")[2] == pattern[1:]
    return pattern == address


def permitted_from(patterns: Iterable[str], address: str) -> bool:
    """Whether a client or key with these `from` patterns may use this address; the null path is never meant."""
    return bool(address) and any(address_matches(pattern, address) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One mailbox of a header: display name (decoded text, '' if none) and address."""

    name: str
    address: str
