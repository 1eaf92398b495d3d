"""Which certificates a revocation list covers, and at which URLs a certificate names its lists and answers.

RFC 5280 4.2.1.13 and 4.2.1.15 (distribution points, freshest list), 4.2.2.1 (authority information access),
5.2.5 (issuing distribution point), 6.3.3 b (whether the one fits the other).

Names are compared as RFC 5280 7.1 wants; what is kept of them is a hash, so that a scope has one short text.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final

from asn1crypto.x509 import Name
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from gateway.cms.certificate import Certificate
from gateway.der import prescan, walk
from gateway.der.build import retag, sequence
from gateway.der.walk import DerMalformed, Tlv
from gateway.errors import GatewayError
from gateway.pki.asn1 import READING

POINTS_MAX: Final = 32  # distribution points of one certificate or list; public ones have one or two
URLS_MAX: Final = 8  # places of one certificate that are ever asked

REASONS: Final = frozenset(range(1, 9))  # bits of ReasonFlags; bit 0 is unused (RFC 5280 4.2.1.13)
_FLAGS: Final = {
    x509.ReasonFlags.key_compromise: 1, x509.ReasonFlags.ca_compromise: 2, x509.ReasonFlags.affiliation_changed: 3,
    x509.ReasonFlags.superseded: 4, x509.ReasonFlags.cessation_of_operation: 5, x509.ReasonFlags.certificate_hold: 6,
    x509.ReasonFlags.privilege_withdrawn: 7, x509.ReasonFlags.aa_compromise: 8}
_DIRECTORY_NAME: Final = 0xA4


@dataclass(frozen=True, slots=True)
class Point:
    """One distribution point of a certificate. `names`, `issuers`: hashes; `reasons`: bits, all where none are named.

    `issuers` is empty where the certificate's own issuer makes the list.
    """

    names: frozenset[str]
    urls: tuple[str, ...] = ()
    reasons: frozenset[int] = REASONS
    issuers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope of a list. `points` empty: no distribution point in particular.

    `by`: the hash of the name of its issuer, '' where that is the issuer of the certificates.
    """

    users_only: bool = False
    authorities_only: bool = False
    attributes_only: bool = False
    reasons: frozenset[int] = REASONS
    points: frozenset[str] = frozenset()
    by: str = ""

    @property
    def text(self) -> str:
        """One text for one scope, '' for a list of everything."""
        parts = [word for word, is_set in (("users", self.users_only), ("authorities", self.authorities_only),
                                         ("attributes", self.attributes_only)) if is_set]
        if self.reasons != REASONS:
            parts.append("reasons=" + ",".join(map(str, sorted(self.reasons))))
        if self.points:
            parts.append("points=" + ",".join(sorted(self.points)))
        if self.by:
            parts.append(f"by={self.by}")
        return " ".join(parts)

    def covers(self, certificate: Certificate) -> frozenset[int]:
        """The reasons for which this list would name the certificate, none where it does not cover it."""
        if self.attributes_only or (self.users_only and certificate.is_ca) or (
                self.authorities_only and not certificate.is_ca):
            return frozenset()
        own = name_hash(certificate.issuer_der)
        found: frozenset[int] = frozenset()
        # Lists that no point names count if the certificate's issuer made them (RFC 5280 6.3.3, at its end).
        for point in (*points_of(certificate), Point(frozenset({own}))):
            if self.by not in point.issuers if self.by else (point.issuers and own not in point.issuers):
                continue
            if self.points and not self.points & (point.names or point.issuers):
                continue
            found |= self.reasons & point.reasons
        return found


@lru_cache(maxsize=1024)
def parse_scope(text: str) -> Scope:
    """The way back from `Scope.text`."""
    words = text.split()
    named = dict(word.split("=", 1) for word in words if "=" in word)
    return Scope(
        "users" in words, "authorities" in words, "attributes" in words,
        frozenset(map(int, filter(None, named["reasons"].split(",")))) if "reasons" in named else REASONS,
        frozenset(named["points"].split(",")) if "points" in named else frozenset(), named.get("by", ""))


@lru_cache(maxsize=4096)
def name_hash(name: bytes) -> str:
    """Of a Name (DER): equal for names that RFC 5280 7.1 takes for the same. 128 bits in hex."""
    try:
        prescan.check(name)
        with READING:
            text = Name.load(name, strict=True).hashable
        octets = b"n" + text.encode("utf-8", "surrogatepass") if isinstance(text, str) else name
    except (GatewayError, ValueError, TypeError, LookupError, AttributeError, UnicodeError):
        octets = name
    return sha256(octets).hexdigest()[:32]


def general_name_hash(octets: bytes, name: Tlv) -> str:
    """Of one GeneralName: a directory name by `name_hash`, all others as written."""
    if name.tag == _DIRECTORY_NAME:
        inner = walk.read(octets, name.body, name.end)
        return name_hash(walk.whole(octets, walk.expect(inner, walk.SEQUENCE)))
    return sha256(walk.whole(octets, name)).hexdigest()[:32]


def relative_hash(issuer: bytes, rdn: bytes) -> str:
    """Of a name relative to the issuer of a list: `rdn` is its DER, with any tag."""
    whole = walk.single(issuer, walk.SEQUENCE)
    return name_hash(sequence(walk.content(issuer, whole), retag(walk.SET, rdn)))


@lru_cache(maxsize=4096)
def points_of(certificate: Certificate) -> tuple[Point, ...]:
    """The certificate's own distribution points; () where it has none, or none that can be read."""
    return _points(certificate, x509.CRLDistributionPoints)


def list_urls(certificate: Certificate) -> tuple[str, ...]:
    """URLs of the lists that cover this certificate: of any scheme, in order, each once."""
    return _first(url for point in points_of(certificate) for url in point.urls)


def delta_urls(certificate: Certificate) -> tuple[str, ...]:
    """URLs of newer, shorter lists (freshestCRL)."""
    return _first(url for point in _points(certificate, x509.FreshestCRL) for url in point.urls)


def answer_urls(certificate: Certificate) -> tuple[str, ...]:
    """Where OCSP responders answer about this certificate."""
    return _access(certificate, AuthorityInformationAccessOID.OCSP)


def issuer_urls(certificate: Certificate) -> tuple[str, ...]:
    """URLs of certificates of its issuer (caIssuers)."""
    return _access(certificate, AuthorityInformationAccessOID.CA_ISSUERS)


def _access(certificate: Certificate, method: x509.ObjectIdentifier) -> tuple[str, ...]:
    try:
        value = certificate.x509.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return ()
    return _first(access.access_location.value for access in value
                  if access.access_method == method
                  and isinstance(access.access_location, x509.UniformResourceIdentifier))


def _first(urls: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(urls))[:URLS_MAX]


def _points(certificate: Certificate, kind: type[x509.CRLDistributionPoints | x509.FreshestCRL]) -> tuple[Point, ...]:
    try:
        value = certificate.x509.extensions.get_extension_for_class(kind).value
        return tuple(_point(point, certificate) for point in list(value)[:POINTS_MAX])
    except (x509.ExtensionNotFound, ValueError, TypeError, DerMalformed):
        return ()


def _point(point: x509.DistributionPoint, certificate: Certificate) -> Point:
    issuers = [name.value.public_bytes() for name in point.crl_issuer or () if isinstance(name, x509.DirectoryName)]
    names = {_object_hash(name) for name in point.full_name or ()}
    if point.relative_name is not None:
        # The tag does not matter: what `public_bytes` of a Name with this one RDN holds is its SET.
        rdn = x509.Name([point.relative_name]).public_bytes()
        names.add(relative_hash(issuers[0] if issuers else certificate.issuer_der,
                                walk.content(rdn, walk.single(rdn, walk.SEQUENCE))))
    urls = tuple(name.value for name in point.full_name or () if isinstance(name, x509.UniformResourceIdentifier))
    reasons = frozenset(_FLAGS[flag] for flag in point.reasons if flag in _FLAGS) if point.reasons else REASONS
    return Point(frozenset(names), urls, reasons, frozenset(map(name_hash, issuers)))


def _object_hash(name: x509.GeneralName) -> str:
    if isinstance(name, x509.DirectoryName):
        return name_hash(name.value.public_bytes())
    # A GeneralNames of one, encoded by the library: its only child is the GeneralName.
    der = x509.SubjectAlternativeName([name]).public_bytes()
    return sha256(walk.content(der, walk.single(der))).hexdigest()[:32]
