"""The answers of `pki.select` for very many addresses, before a statement run: a hundredth of its price.

Nearly all certificates of one authority differ in little: serial number, dates, holder, key bits, addresses, key
identifier, signature. What is left is their *kind*, and the path of one of a kind is the path of all. So one of each
kind is judged in full, and the others by what differs: dates, addresses, fingerprint on the bank's list, serial number
in the revocation data. A field that is not known to differ harmlessly (such as an unknown extension) is part
of the kind, and where the short way does not fit at all the long one is taken:

1. an address with several certificates
2. a certificate on which the bank has spoken itself, whose alternative names hold more than plain addresses, or that
   cannot be read the quick way
3. an authority that may not speak for all names: but for constraints on mail addresses, which are looked at each time

It does not verify the signature of *each* certificate, nor that each point is on the curve. The run would find a forged
certificate that was imported into the store: it judges every certificate in full. A pre-flight may count it as good.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple

from cryptography import x509

from gateway.cms.certificate import Certificate, parse_certificate
from gateway.errors import GatewayError, Reason
from gateway.model.address import fold, is_mailbox
from gateway.model.lookup import Absent, CertificateAnswer, CertificateRow, Found, Loser, Unavailable, Unusable, Want
from gateway.model.verdict import Status
from gateway.pki.path import validation as path
from gateway.pki.path.constraints import addresses_permitted
from gateway.pki.path.verdicts import revocable
from gateway.pki.revocation.verdict import Revocation
from gateway.pki.select import select
from gateway.pki.trust import TrustSet

KINDS_MAX: Final = 4_096  # kept; beyond them each certificate is judged alone
DOUBTED_MAX: Final = 32  # signatures that do not verify, until no certificate of this kind is believed

_RSA_SPKI_OCTETS: Final = 160  # a SubjectPublicKeyInfo that is longer holds an RSA key of 1024 bits or more
_SAN: Final = bytes.fromhex("0603551d11")
_SKI: Final = bytes.fromhex("0603551d0e")
_RFC822: Final = 0x81  # [1] IA5String (RFC 5280 4.2.1.6)


class Differs(NamedTuple):
    """The fields in which certificates of one kind differ, and the kind itself."""

    kind: tuple[object, ...]
    serial: int
    emails: tuple[str, ...]


@dataclass(slots=True)
class _Kind:
    """`one` represents all; `way` is its path from the first issuer on, () where that is none; `refused`: for all."""

    one: Certificate
    way: tuple[Certificate, ...] = ()
    refused: Reason | None = None
    constrained: bool = False
    doubted: int = 0


class BulkSelect:
    """See the module. For one time and trust set; one per process of a pre-flight, used by one thread."""

    def __init__(self, trust: TrustSet, revocation: Revocation, at: datetime) -> None:
        self._trust = trust
        self._revocation = revocation
        self._at = at
        self._kinds: dict[tuple[object, ...], _Kind] = {}
        self.quick = self.full = 0

    def __call__(self, rows: Sequence[CertificateRow], address: str, want: Want = "any") -> CertificateAnswer:
        """As `select` would answer for this address."""
        if not rows:
            return Absent()
        if len(rows) > 1:
            return self._in_full(rows, address, want)
        row = rows[0]
        differs = None if row.trust == "trusted" or row.sha256 in self._trust.trusted else read(row.der)
        if differs is None:
            return self._in_full(rows, address, want)
        reason = self._reason(row, address, differs)
        if reason is _IN_FULL:
            return self._in_full(rows, address, want)
        self.quick += 1
        if reason is Reason.REVOCATION_UNAVAILABLE:
            return Unavailable(f"not known yet of 1 certificate: {reason}", (Loser(row, reason),))
        if reason is None and want == "enrolled" and row.customer is None:
            reason = Reason.CERTIFICATE_NOT_ENROLLED
        if isinstance(reason, Reason):
            return Unusable((Loser(row, reason),))
        return Found((row,), enrolled=row.customer is not None)

    def _in_full(self, rows: Sequence[CertificateRow], address: str, want: Want) -> CertificateAnswer:
        self.full += 1
        return select(rows, address, self._at, self._trust, want, revocation=self._revocation)

    def _reason(self, row: CertificateRow, address: str, differs: Differs) -> "Reason | _InFull | None":
        """In the order of `select` and `path.validate`."""
        if fold(address) not in map(fold, differs.emails):
            return Reason.CERTIFICATE_ADDRESS_MISMATCH
        if row.trust == "distrusted" or row.sha256 in self._trust.distrusted:
            return Reason.CERTIFICATE_DISTRUSTED
        if self._at < row.not_before:
            return Reason.CERTIFICATE_NOT_YET_VALID
        if self._at > row.not_after:
            return Reason.CERTIFICATE_EXPIRED
        kind = self._kinds.get(differs.kind)
        if kind is None:
            if len(self._kinds) >= KINDS_MAX:
                return _IN_FULL
            kind = self._judged(row)
            if kind is None:
                return _IN_FULL
            self._kinds[differs.kind] = kind
        if kind.doubted:  # no certificate of this kind has verified yet
            kind = self._once_more(kind, row, differs)
        if kind.refused is not None:
            return kind.refused
        if not kind.way:
            return _IN_FULL
        alike = replace(kind.one, der=row.der, sha256=row.sha256, serial=differs.serial, emails=differs.emails,
                        not_before=row.not_before, not_after=row.not_after)
        if kind.constrained and not addresses_permitted(alike, kind.way):
            return Reason.PATH_CONSTRAINT
        revoked = self._revocation.judge((alike, *kind.way), self._at, self._at)
        return None if revoked.status is Status.VALID else revoked.reason or Reason.CERTIFICATE_REVOKED

    def _once_more(self, kind: _Kind, row: CertificateRow, differs: Differs) -> _Kind:
        """A forged certificate that came first must not refuse all genuine ones."""
        if kind.doubted >= DOUBTED_MAX:
            return kind
        again = self._judged(row)
        if again is None:
            return kind
        if again.doubted:
            again.doubted = kind.doubted + 1
        self._kinds[differs.kind] = again
        return again

    def _judged(self, row: CertificateRow) -> _Kind | None:
        """One in full, at a time in which it is valid. None: it cannot be read."""
        try:
            one = parse_certificate(row.der)
        except GatewayError:
            return None
        found = path.validate(one, self._at, "recipient", self._trust)
        if found.reason is Reason.PATH_SIGNATURE:
            return _Kind(one, refused=found.reason, doubted=1)
        if found.reason is not None:
            return _Kind(one, refused=found.reason)
        way = revocable(found, "recipient", self._trust)[1:]
        constrained = False
        for issuer in way:
            on_mail_alone = _mail_constraints_alone(issuer)
            if on_mail_alone is False:
                return _Kind(one)  # each in full
            constrained = constrained or on_mail_alone is True
        return _Kind(one, way, constrained=constrained)


class _InFull:
    """No reason: the long way is to be taken."""


_IN_FULL: Final = _InFull()


def _mail_constraints_alone(issuer: Certificate) -> bool | None:
    """None: no name constraints. True: on mail addresses alone."""
    try:
        found = issuer.x509.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return None
    except ValueError:
        return False
    return all(isinstance(tree, x509.RFC822Name)
               for tree in (*(found.permitted_subtrees or ()), *(found.excluded_subtrees or ())))


def read(der: bytes) -> Differs | None:
    """A certificate (DER, RFC 5280 4.1) the quick way; None for a certificate of an unusual form.

    It has been read in full when it came into the store: here lengths are followed, and nothing is verified.
    """
    try:
        return _read(der)
    except (IndexError, ValueError):
        return None


def _read(der: bytes) -> Differs | None:
    _, body, end = _element(der, 0)
    tag, at, tbs_end = _element(der, body)
    if end != len(der) or tag != 0x30 or der[at:at + 5] != b"\xa0\x03\x02\x01\x02":  # [0] version 3
        return None
    tag, serial_at, issuing_at = _element(der, at + 5)
    serial = int.from_bytes(der[serial_at:issuing_at], "big")
    if tag != 0x02 or serial <= 0 or der[serial_at] & 0x80:
        return None
    _, _, issuer_at = _element(der, issuing_at)
    _, _, validity_at = _element(der, issuer_at)
    _, _, subject_at = _element(der, validity_at)
    _, _, spki_at = _element(der, subject_at)
    _, key_at, spki_end = _element(der, spki_at)
    tag, extensions_at, extensions_end = _element(der, spki_end)
    if tag != 0xA3 or extensions_end != tbs_end:  # [3]; unique identifiers are no longer made
        return None
    _, at, extensions_end = _element(der, extensions_at)
    alike: list[bytes] = []
    emails: tuple[str, ...] | None = None
    while at < extensions_end:
        _, inside, after = _element(der, at)
        oid = der[inside:inside + 5]
        if oid == _SAN:
            emails = _emails(der, inside + 5, after)
        elif oid != _SKI:
            alike.append(der[at:after])
        at = after
    if not emails:
        return None
    _, _, signature_at = _element(der, tbs_end)
    kind = (der[issuing_at:validity_at], _key(der, key_at, spki_end), der[tbs_end:signature_at], *alike)
    return Differs(kind, serial, emails)


def _key(der: bytes, at: int, end: int) -> tuple[object, ...]:
    """Of a key all but its value: algorithm, length, for RSA the exponent, and that the modulus is odd and as long."""
    _, _, bits_at = _element(der, at)
    _, bits, _ = _element(der, bits_at)
    if end - at > _RSA_SPKI_OCTETS:
        return (der[at:bits + 10], der[bits + 10] >= 0x80, der[end - 5:end], der[end - 6] & 1)
    return (der[at:bits + 2],)


def _emails(der: bytes, at: int, end: int) -> tuple[str, ...] | None:
    """The rfc822Names of a SAN's value; None where there is anything else, as in the words of `Certificate.emails`."""
    tag, value, value_end = _element(der, at)
    if tag == 0x01:  # critical
        tag, value, value_end = _element(der, value_end)
    if tag != 0x04 or value_end != end:
        return None
    _, at, names_end = _element(der, value)
    found: list[str] = []
    while at < names_end:
        tag, body, after = _element(der, at)
        if tag != _RFC822:
            return None
        address = der[body:after].decode("ascii")
        if is_mailbox(address):
            found.append(address)
        at = after
    return tuple(dict.fromkeys(found))


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Tag, start of the content, end. ValueError for lengths that no certificate has."""
    length = der[at + 1]
    if length < 0x80:
        return der[at], at + 2, at + 2 + length
    if length == 0x82:
        return der[at], at + 4, at + 4 + (der[at + 2] << 8 | der[at + 3])
    if length == 0x81:
        return der[at], at + 3, at + 3 + der[at + 2]
    raise ValueError(length)
