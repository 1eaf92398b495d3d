"""Internationalised domains of mail addresses (RFC 5280 7.5, RFC 9598 5): one mailbox has several spellings.

Mail programs write `anna@müller.example` or `anna@xn--mller-kva.example`, and a certificate or the register of
customers has one of them. The answer for the other must not be that there is nothing: it is the same mailbox.
"""

from typing import Final
from unicodedata import normalize

import idna

from gateway.model.address import fold

_DOMAIN_OCTETS_MAX: Final = 255  # RFC 5321 4.5.3.1.2
_LABEL_OCTETS_MAX: Final = 63  # RFC 1035 2.3.4
_PREFIX: Final = "xn--"  # of A-labels (RFC 5890 2.3.2.1)


def spellings(address: str) -> tuple[str, ...]:
    """The folded address as it is, with its domain in A-labels, and in U-labels; each once. Mostly there is but one."""
    folded = fold(address)
    plain = in_ascii(folded)
    if plain == folded and _PREFIX not in folded:
        return (folded,)
    local, at, domain = plain.rpartition("@")
    return tuple(dict.fromkeys((folded, plain, f"{local}{at}{_in_letters(domain)}")))


def registered(address: str) -> str:
    """The folded address with a domain beyond ASCII in U-labels: as `spellings` of any writer's form has it."""
    return spellings(address)[-1] if not address.isascii() else fold(address)


def in_ascii(address: str) -> str:
    """The one spelling that all spellings of a mailbox have in common: folded, its domain in A-labels."""
    folded = fold(address)
    if folded.isascii():
        return folded
    local, at, domain = folded.rpartition("@")
    if domain.isascii() or len(domain) > _DOMAIN_OCTETS_MAX:
        return folded
    return f"{local}{at}{_in_ascii(domain)}"


def same_mailbox(one: str, other: str) -> bool:
    """Whether two addresses are the same mailbox, whatever spelling of its domain each has; '' is none."""
    return bool(one) and in_ascii(one) == in_ascii(other)


def _in_ascii(domain: str) -> str:
    """As mail servers look it up (UTS 46, not transitional). Some look up what IDNA 2008 does not allow, too."""
    try:
        return idna.encode(domain, uts46=True, transitional=False).decode("ascii")
    except UnicodeError:
        mapped = normalize("NFKC", normalize("NFKC", domain).casefold()).replace("\u3002", ".")
        return ".".join(map(_label_in_ascii, mapped.split(".")))


def _label_in_ascii(label: str) -> str:
    if label.isascii() or len(label) > _LABEL_OCTETS_MAX:
        return label
    return _PREFIX + label.encode("punycode").decode("ascii")


def _in_letters(domain: str) -> str:
    return ".".join(map(_label_in_letters, domain.split(".")))


def _label_in_letters(label: str) -> str:
    if not label.startswith(_PREFIX) or len(label) > _LABEL_OCTETS_MAX:
        return label
    try:
        return label.removeprefix(_PREFIX).encode("ascii").decode("punycode")
    except UnicodeError:
        return label
