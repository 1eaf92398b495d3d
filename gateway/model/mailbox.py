"""Spellings of mail addresses: internationalised domains (RFC 5280 7.5, RFC 9598 5), quotes (RFC 5321 4.1.2).

Mail programs write `anna@müller.example` or `anna@xn--mller-kva.example`, and a certificate or the register of
customers has one of them. The answer for the other must not be that there is nothing: it is the same mailbox. So is
`"anna"@customer.example`: the relay has taken quotes away that say nothing, files of the bank may have them.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from unicodedata import normalize

import idna

from gateway.model.address import domain_of, fold

_DOMAIN_OCTETS_MAX: Final = 255  # RFC 5321 4.5.3.1.2
_LABEL_OCTETS_MAX: Final = 63  # RFC 1035 2.3.4
_PREFIX: Final = "xn--"  # of A-labels (RFC 5890 2.3.2.1)
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)+)"(@[^@"]*)')
_PLAIN: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+")  # as `is_mailbox`


def spellings(address: str) -> tuple[str, ...]:
    """The folded address as it is, with its domain in A-labels, and in U-labels, both without quotes; each once.

    Mostly there is but one.
    """
    folded = fold(address)
    plain = in_ascii(folded)
    if plain == folded and _PREFIX not in folded:
        return (folded,)
    local, at, domain = plain.rpartition("@")
    return tuple(dict.fromkeys((folded, plain, f"{local}{at}{_in_letters(domain)}")))


def has_spellings(address: str) -> bool:
    """Whether its domain is an internationalised one; not so where letters beyond ASCII only represent ASCII ones."""
    return _PREFIX in in_ascii(address)


def registered(address: str) -> str:
    """The folded address with a domain beyond ASCII in U-labels: as `spellings` of any writer's form has it."""
    return spellings(address)[-1] if not address.isascii() else _folded(address)


def in_ascii(address: str) -> str:
    """The one spelling that all spellings of a mailbox have in common: folded, its domain in A-labels."""
    folded = _folded(address)
    if folded.isascii():
        return folded
    local, at, domain = folded.rpartition("@")
    if domain.isascii() or len(domain) > _DOMAIN_OCTETS_MAX:
        return folded
    return f"{local}{at}{_in_ascii(domain)}"


def _folded(address: str) -> str:
    """Without quotes where the local part needs none."""
    folded = fold(address)
    if not folded.startswith('"'):
        return folded
    found = _QUOTED.fullmatch(folded)
    local = re.sub(r"\\(.)", r"\1", found[1]) if found is not None else ""
    return f"{local}{found[2]}" if found is not None and _PLAIN.fullmatch(local) else folded


def in_domains(address: str, domains: Iterable[str]) -> bool:
    """Whether the address is in one of these domains, in any spelling."""
    return _is_exact(address) and domain_of(in_ascii(address)) in _in_ascii_once(tuple(domains))


@lru_cache(maxsize=64)
def _in_ascii_once(domains: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(in_ascii, domains))


def address_matches(pattern: str, address: str) -> bool:
    """Whether `address` is covered by `pattern`: a full address, '@domain', '*@domain' or '*', in any spelling."""
    pattern, address = in_ascii(pattern), in_ascii(address)
    if pattern == "*":
        return True
    if pattern.startswith("*@"):
        pattern = pattern[1:]
    if pattern.startswith("@"):
        return "@" in address and address.rpartition("@")[2] == pattern[1:]
    return pattern == address


def permitted_from(patterns: Iterable[str], address: str) -> bool:
    """Whether a client or key with these `from` patterns may use this address; the null path is never meant.

    A domain with letters that only represent others (KELVIN SIGN for k) is never permitted: readers see the letters.
    """
    return bool(address) and _is_exact(address) and any(address_matches(pattern, address) for pattern in patterns)


def same_domain(one: str, other: str) -> bool:
    """Whether two addresses have the same domain, in any spelling."""
    return domain_of(in_ascii(one)) == domain_of(in_ascii(other))


def same_mailbox(one: str, other: str) -> bool:
    """Whether two addresses are the same mailbox, with any spelling of the domain; '' is none.

    Only U-labels and A-labels are spellings (RFC 9598 5), not what a look-up maps to them: KELVIN SIGN is no k.
    """
    if not one or fold(one) == fold(other):
        return bool(one)
    return in_ascii(one) == in_ascii(other) and _is_exact(one) and _is_exact(other)


def _is_exact(address: str) -> bool:
    """Whether the domain is in ASCII or in U-labels of IDNA 2008, but for capitals."""
    if address.isascii():
        return True
    domain = "".join(lower if not (lower := letter.lower()).isascii() or letter.isascii() else letter
                     for letter in domain_of(address))
    if domain.isascii():
        return True
    try:
        idna.encode(domain)
    except UnicodeError:
        return False
    return True


def _in_ascii(domain: str) -> str:
    """As mail servers look it up (UTS 46, not transitional). Some look up what IDNA 2008 does not allow, too."""
    try:
        return idna.encode(domain, uts46=True, transitional=False).decode("ascii")
    except UnicodeError:
        mapped = normalize("NFKC", _casefold(normalize("NFKC", domain))).replace("\u3002", ".")
        return ".".join(map(_label_in_ascii, mapped.split(".")))


def _casefold(text: str) -> str:
    """As UTS 46 does: sharp s and final sigma are letters of their own, for IDNA 2003 alone they were others."""
    return "".join(letter if letter in "\u00df\u03c2" else "\u00df" if letter == "\u1e9e" else letter.casefold()
                   for letter in text)


def _label_in_ascii(label: str) -> str:
    if label.isascii() or len(label) > _LABEL_OCTETS_MAX:
        return label
    return _PREFIX + label.encode("punycode").decode("ascii")


def _in_letters(domain: str) -> str:
    return ".".join(map(_label_in_letters, domain.split(".")))


def _label_in_letters(label: str) -> str:
    """Only of an A-label (RFC 5890 2.3.2.1): `xn--bank-` would be the ASCII label of another domain."""
    if not label.startswith(_PREFIX) or len(label) > _LABEL_OCTETS_MAX:
        return label
    try:
        letters = label.removeprefix(_PREFIX).encode("ascii").decode("punycode")
    except UnicodeError:
        return label
    return letters if not letters.isascii() and letters.isprintable() and _label_in_ascii(letters) == label else label
