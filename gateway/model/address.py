"""Mail addresses as values (RFC 5321 4.1.2): splitting, comparing, and what a stranger may not write."""

import re
from dataclasses import dataclass
from typing import Final

MAILBOX_OCTETS_MAX: Final = 254  # RFC 5321 4.5.3.1.3: a path of 256 with the brackets
_LABEL_OCTETS_MAX: Final = 63  # RFC 1035 2.3.4
# Dots anywhere in a local part and `_` in a domain exist in practice. Beyond ASCII: what `isprintable` lets pass.
_MAILBOX: Final = re.compile(
    r"""(?:[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+|"(?:[^"\\\x00-\x1f\x7f]|\\[ -~])*")"""
    r"@(?:([A-Za-z0-9_.\x80-\U0010ffff-]+)|\[[A-Za-z0-9.:-]+\])")

_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def domain_of(address: str) -> str:
    """The domain in lower case, '' for the null path or an address without one."""
    return fold(address.rpartition("@")[2]) if "@" in address else ""


def fold(text: str) -> str:
    """ASCII case folding only: 'K' (KELVIN SIGN) must not become 'k' (RFC 9598; see `From` in the design)."""
    return text.lower() if text.isascii() else text.translate(_ASCII_LOWER)


def is_mailbox(text: str) -> bool:
    """Whether `text` is one address to which mail can be sent, and nothing else: no name, no list, no blanks around.

    As the relay reads a path (RFC 5321 4.1.2, RFC 6531 3.3). A register that keeps anything else never finds it again.
    """
    if not text.isprintable() or len(text.encode()) > MAILBOX_OCTETS_MAX:
        return False
    found = _MAILBOX.fullmatch(text)
    if found is None:
        return False
    return found[1] is None or all(
        label and label[0] != "-" != label[-1] and len(label.encode()) <= _LABEL_OCTETS_MAX
        for label in found[1].split("."))


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One mailbox of a header: display name (decoded text, '' if none) and address."""

    name: str
    address: str
