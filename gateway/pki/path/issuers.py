"""Who signed whom: the bounded search for ways from a certificate up to an anchor (RFC 5280 3.2, RFC 4158).

Certificates that came with a mail are a stranger's. A search that follows names alone can be made to run for
ever by certificates that all carry one name; here a step is taken only along a signature that verifies, and the
number of verified signatures, the length of a way and the number of ways are bounded. What a found way is worth
is judged in `pki.path.validation`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from asn1crypto import x509
from asn1crypto.keys import PublicKeyInfo
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from pyhanko_certvalidator.sig_validate import DEFAULT_SIGNATURE_VALIDATOR

from gateway.cms import names
from gateway.cms.certificate import Certificate, parse_certificate
from gateway.der import walk
from gateway.errors import GatewayError
from gateway.pki.asn1 import READING
from gateway.pki.trust import Anchor
from gateway.ports.certificates import IntermediateSource

SIGNATURES_MAX = 32  # verified per search; an honest way needs two or three
RSA_BITS_MAX = 8192  # of an issuer; public ones have 4096, and checking larger ones costs milliseconds each
LENGTH_MAX = 8  # certificates in a way, anchor included; public hierarchies have three or four
WAYS_MAX = 8  # cross-signed hierarchies have two or three
EXTRA_MAX = 32  # certificates of one mail that are looked at


@dataclass(slots=True)
class Search:
    """What a search found. `ways` go from the certificate to the anchor, both included.

    `dead_ends`: certificates whose issuer was not found, each once.
    """

    ways: list[tuple[tuple[Certificate, ...], Anchor]] = field(default_factory=list)
    unknown_root: Certificate | None = None
    issuer_missing: bool = False
    bad_signature: bool = False
    dead_ends: list[Certificate] = field(default_factory=list)
    signatures_left: int = SIGNATURES_MAX


class Pool:
    """Certificates by subject, those of the bank before those of the mail."""

    def __init__(self, own: Iterable[Certificate], extra: Sequence[Certificate],
                 known: IntermediateSource | None) -> None:
        self._by_subject: dict[object, list[Certificate]] = {}
        self._known = known
        for certificate in dict.fromkeys((*own, *extra[:EXTRA_MAX])):
            if certificate.is_ca and _bearable(certificate):
                self._by_subject.setdefault(subject_key(certificate), []).append(certificate)

    def issuers_of(self, certificate: Certificate) -> Iterator[Certificate]:
        """Those whose name fits; their keys are not looked at yet."""
        found = self._by_subject.get(issuer_key(certificate), ())
        yield from found
        if self._known is not None:
            for der in self._known.by_subject(certificate.issuer_der):
                try:
                    candidate = parse_certificate(der)
                except GatewayError:
                    continue
                if candidate.is_ca and _bearable(candidate) and candidate not in found:
                    yield candidate


def search(certificate: Certificate, anchors: Sequence[Anchor], pool: Pool) -> Search:
    """Every way up from `certificate`, within the bounds."""
    result = Search()
    by_subject: dict[object, list[Anchor]] = {}
    for anchor in anchors:
        by_subject.setdefault(subject_key(anchor.certificate), []).append(anchor)
    _climb((certificate,), by_subject, pool, result)
    return result


def _climb(way: tuple[Certificate, ...], anchors: dict[object, list[Anchor]], pool: Pool, result: Search) -> None:
    last = way[-1]
    named = False
    verified = False
    for anchor in anchors.get(issuer_key(last), ()):
        if len(result.ways) < WAYS_MAX and key_ids_fit(last, anchor.certificate):
            named = True
            if _signed_within(last, anchor.certificate, result):
                verified = True
                result.ways.append(((*way, anchor.certificate), anchor))
    if self_signed(last):
        # An anchor with the same name and key has been found above; this one is its own, unknown root.
        if not verified and result.unknown_root is None:
            result.unknown_root = last
        return
    if len(way) + 1 < LENGTH_MAX:
        for issuer in pool.issuers_of(last):
            if len(result.ways) >= WAYS_MAX:
                return
            if issuer in way or not key_ids_fit(last, issuer):
                continue
            named = True
            if _signed_within(last, issuer, result):
                verified = True
                _climb((*way, issuer), anchors, pool, result)
    if not verified:
        if named and result.signatures_left > 0:
            result.bad_signature = True
        else:
            result.issuer_missing = True
            if not named and last not in result.dead_ends:
                result.dead_ends.append(last)


def _signed_within(child: Certificate, issuer: Certificate, result: Search) -> bool:
    if result.signatures_left <= 0:
        return False
    result.signatures_left -= 1
    return signed_by(child, issuer)


def _bearable(issuer: Certificate) -> bool:
    family, _, bits = issuer.key_algorithm.partition("-")
    return family != "rsa" or int(bits) <= RSA_BITS_MAX


def key_ids_fit(child: Certificate, issuer: Certificate) -> bool:
    """Whether the key identifiers allow it: only a contradiction rules an issuer out (RFC 5280 4.2.1.1)."""
    return not (child.aki and issuer.ski) or child.aki == issuer.ski


@lru_cache(maxsize=4096)
def signed_by(child: Certificate, issuer: Certificate) -> bool:
    """Whether the issuer's key verifies the child's signature; False if it cannot be computed."""
    try:
        with READING:
            DEFAULT_SIGNATURE_VALIDATOR.validate_signature(
                signature=child.x509.signature, signed_data=_to_be_signed(child),
                public_key_info=PublicKeyInfo.load(issuer.spki, strict=True),
                signature_algorithm=as_asn1(child)["signature_algorithm"])
    except (InvalidSignature, UnsupportedAlgorithm, AssertionError, ArithmeticError, LookupError, TypeError, ValueError,
            AttributeError, NotImplementedError):
        # The libraries below answer hostile keys and parameters in all of these ways.
        return False
    return True


def _to_be_signed(certificate: Certificate) -> bytes:
    """The octets as received: the library below writes some of what it has read again, and not always the same."""
    first = walk.children(certificate.der, walk.single(certificate.der, walk.SEQUENCE), limit=3)[0]
    return walk.whole(certificate.der, first)


@lru_cache(maxsize=4096)
def self_signed(certificate: Certificate) -> bool:
    """Same name above and below, and its own key verifies it."""
    return subject_key(certificate) == issuer_key(certificate) and signed_by(certificate, certificate)


@lru_cache(maxsize=4096)
def as_asn1(certificate: Certificate) -> x509.Certificate:
    """The same octets as the path library wants them. They have passed `der.prescan` when they were parsed.

    All threads share it: a caller that reads its fields holds `asn1.READING`.
    """
    return x509.Certificate.load(certificate.der, strict=True)


def subject_key(certificate: Certificate) -> object:
    """The subject, comparable as RFC 5280 7.1 wants: case, spaces and string type do not matter."""
    return names.comparable(certificate.subject_der)


def issuer_key(certificate: Certificate) -> object:
    """The issuer in the same form."""
    return names.comparable(certificate.issuer_der)
