"""Revocation lists: read, authenticated, and turned into records (RFC 5280 5 and 6.3).

Steps, in the order of the code:

1. the list is DER with everything in its place and within bounds; no entry and no extension is critical and unknown
2. its signature is by an algorithm of the table (`pki.revocation.signatures`)
3. who signed: the issuer of the certificates itself, by this key or another one; or, in an indirect list, the cRLIssuer
   of the certificates' distribution points. A signer that is not that very issuer needs a path of its own to
   the same anchor, the usage cRLSign, and must not be revoked itself (`pki.revocation.authorised_signers`)
4. its times: thisUpdate is not in the future. That a list is out of date does not make it untrue: what it says is
   kept, and counts as far as it goes (`pki.revocation.table`)
5. of an indirect list only those entries are taken that name this issuer's certificates

Lists of half a million entries are read in seconds, so entries are walked by hand and what repeats is kept.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

import pybase64

from gateway.cms import algorithms
from gateway.cms.algorithms import AlgorithmIdentifier
from gateway.cms.certificate import Certificate
from gateway.der import walk
from gateway.der.walk import DerMalformed, Tlv
from gateway.errors import GatewayError, Reason
from gateway.pki.revocation.authorised_signers import find_speaker
from gateway.pki.revocation.entries import KEY, NO_REASON, NewList, authority_id, pack, serial_key
from gateway.pki.revocation.scope import POINTS_MAX, REASONS, Scope, general_name_hash, name_hash, relative_hash
from gateway.pki.revocation.signatures import check_algorithm
from gateway.pki.revocation.verdict import RevocationData
from gateway.pki.trust import TrustSet

ENTRIES_MAX: Final = 2_000_000  # of 35 octets or so: more does not fit into what is fetched
EXTENSIONS_MAX: Final = 32
SKEW: Final = timedelta(minutes=5)  # how far two well-kept clocks may be apart
_KEPT_MAX: Final = 65_536  # different times and extensions that are kept while one list is read

_REASON: Final = "2.5.29.21"
_HOLD_INSTRUCTION: Final = "2.5.29.23"
_INVALIDITY_DATE: Final = "2.5.29.24"
_CERTIFICATE_ISSUER: Final = "2.5.29.29"
_NUMBER: Final = "2.5.29.20"
_DELTA: Final = "2.5.29.27"
_ISSUING_POINT: Final = "2.5.29.28"
_AUTHORITY_KEY: Final = "2.5.29.35"
_EXPIRED: Final = "2.5.29.60"  # expiredCertsOnCRL (X.509 9.5.2.8)
_PROCESSED: Final = frozenset({_NUMBER, _DELTA, _ISSUING_POINT, _AUTHORITY_KEY, _EXPIRED,
                               "2.5.29.18", "2.5.29.46", "1.3.6.1.5.5.7.1.1"})
_COMPROMISED: Final = frozenset({1, 2, 10})  # reasons with which invalidityDate counts (RFC 5280 5.3.2)
_ENTRY_REASONS: Final = frozenset({0, 1, 2, 3, 4, 5, 6, 8, 9, 10})


@dataclass(frozen=True, slots=True)
class CrlHead:
    """A list without its entries, not verified yet.

    `issuer`: its Name (DER). `point`: the names of the issuing distribution point, hashed. `entries`: the span of
    revokedCertificates. `signed`: the octets under the signature.
    """

    issuer: bytes
    this_update: datetime
    next_update: datetime | None
    number: int | None
    base_number: int | None
    authority_key: bytes | None
    expired_since: datetime | None
    scope: Scope
    indirect: bool
    algorithm: AlgorithmIdentifier
    signature: bytes = field(repr=False)
    signed: bytes = field(repr=False)
    entries: Tlv | None = None


def read_list(der: bytes, issuer: Certificate, certificates: Sequence[Certificate], trust: TrustSet, at: datetime,
              data: RevocationData | None = None) -> NewList:
    """What the list says of certificates of `issuer`, authenticated at the aware time `at`.

    `certificates` may complete the path of its signer and are no anchors; `data` says whether that
    one was revoked itself. `der`: DER or PEM.
    GatewayError REVOCATION_MALFORMED, _WEAK_ALGORITHM, _UNTRUSTED, _ALTERED, _FUTURE.
    """
    der = from_pem(der)
    head = read_head(der)
    check_algorithm(head.algorithm, at)
    own = name_hash(issuer.subject_der)
    theirs = name_hash(head.issuer)
    if theirs != own and not head.indirect:
        raise GatewayError(Reason.REVOCATION_UNTRUSTED, "the list is of another issuer")
    find_speaker(head.algorithm, head.signature, head.signed, issuer, head.issuer, head.authority_key, certificates,
                 trust, at, data)
    if head.this_update > at + SKEW:
        raise GatewayError(Reason.REVOCATION_FUTURE, f"thisUpdate is {head.this_update:%Y-%m-%dT%H:%M:%SZ}")
    try:
        records = pack(_entries(der, head, own, theirs))
    except DerMalformed as error:
        raise GatewayError(Reason.REVOCATION_MALFORMED, error.detail) from None
    scope = head.scope if theirs == own else _by(head.scope, theirs)
    return NewList(
        authority_id(issuer), scope.text, "full" if head.base_number is None else "delta", head.number,
        head.base_number, head.this_update, head.next_update,
        min(head.this_update, head.expired_since or head.this_update), sha256(der).hexdigest(), records)


def _by(scope: Scope, issuer: str) -> Scope:
    return Scope(scope.users_only, scope.authorities_only, scope.attributes_only, scope.reasons, scope.points, issuer)


def from_pem(octets: bytes) -> bytes:
    """The DER of a list in PEM; DER as it is. GatewayError REVOCATION_MALFORMED."""
    start = octets.find(b"-----BEGIN X509 CRL-----") if octets[:1] != b"\x30" else -1
    if start < 0:
        return octets
    body = octets[start + 24:octets.find(b"-----END ", start)]
    try:
        return pybase64.b64decode(b"".join(body.split()), validate=True)
    except ValueError as error:
        raise GatewayError(Reason.REVOCATION_MALFORMED, f"PEM: {error}") from None


def read_head(der: bytes) -> CrlHead:
    """The list without its entries. GatewayError REVOCATION_MALFORMED."""
    try:
        return _head(der)
    except GatewayError as error:
        raise GatewayError(Reason.REVOCATION_MALFORMED, error.detail) from None


def _head(der: bytes) -> CrlHead:
    parts = walk.children(der, walk.single(der, walk.SEQUENCE), limit=3)
    if len(parts) != 3:
        raise DerMalformed("a list without its signature")
    tbs, outer, signature = parts
    fields = walk.children(der, walk.expect(tbs, walk.SEQUENCE), limit=8)
    version = 0
    if fields and fields[0].tag == walk.INTEGER:
        version = walk.decode_integer(der, fields.pop(0))
        if version != 1:
            raise DerMalformed("a list of an unknown version")
    if len(fields) < 3 or walk.whole(der, fields[0]) != walk.whole(der, outer):
        raise DerMalformed("a list that names two signature algorithms, or lacks its fields (RFC 5280 5.1.1.2)")
    issuer, this_update, rest = walk.expect(fields[1], walk.SEQUENCE), walk.decode_time(der, fields[2]), fields[3:]
    next_update = walk.decode_time(der, rest.pop(0)) if rest and rest[0].tag in (
        walk.UTC_TIME, walk.GENERALIZED_TIME) else None
    entries = rest.pop(0) if rest and rest[0].tag == walk.SEQUENCE else None
    extensions: dict[str, bytes] = {}
    if rest and rest[0].tag == 0xA0:
        if version != 1:
            raise DerMalformed("a list of version 1 with extensions")
        extensions = _extensions(der, rest.pop(0))
    if rest:
        raise DerMalformed("a list with fields that no list has")
    issuer_der = walk.whole(der, issuer)
    scope, indirect = (_issuing_point(extensions[_ISSUING_POINT], issuer_der) if _ISSUING_POINT in extensions
                       else (Scope(), False))
    return CrlHead(
        issuer_der, this_update, next_update, _number(extensions.get(_NUMBER)), _number(extensions.get(_DELTA)),
        _authority_key(extensions.get(_AUTHORITY_KEY)), _time(extensions.get(_EXPIRED)), scope, indirect,
        algorithms.read_identifier(der, outer), walk.decode_bit_string(der, signature), walk.whole(der, tbs), entries)


def _extensions(der: bytes, explicit: Tlv) -> dict[str, bytes]:
    """The values of extensions by dotted OID. An unknown critical one invalidates the whole list."""
    inner = walk.read(der, explicit.body, explicit.end)
    if inner.end != explicit.end:
        raise DerMalformed("extensions that are followed by something")
    found: dict[str, bytes] = {}
    for extension in walk.children(der, walk.expect(inner, walk.SEQUENCE), limit=EXTENSIONS_MAX):
        oid, critical, value = _extension(der, extension)
        if oid in found:
            raise DerMalformed(f"extension {oid} is repeated")
        if critical and oid not in _PROCESSED:
            raise DerMalformed(f"the critical extension {oid} is unknown here")
        found[oid] = value
    return found


def _extension(der: bytes, extension: Tlv) -> tuple[str, bool, bytes]:
    parts = walk.children(der, walk.expect(extension, walk.SEQUENCE), limit=3)
    if len(parts) < 2:
        raise DerMalformed("an extension without its value")
    critical = len(parts) == 3 and walk.decode_boolean(der, parts[1])
    return walk.decode_oid(der, parts[0]), critical, walk.content(der, walk.expect(parts[-1], walk.OCTET_STRING))


def _number(value: bytes | None) -> int | None:
    if value is None:
        return None
    number = walk.decode_integer(value, walk.single(value, walk.INTEGER))
    if number < 0 or len(value) > 66:
        raise DerMalformed("a list number that is negative or absurd")
    return number


def _time(value: bytes | None) -> datetime | None:
    return None if value is None else walk.decode_time(value, walk.single(value))


def _authority_key(value: bytes | None) -> bytes | None:
    if value is None:
        return None
    for part in walk.children(value, walk.single(value, walk.SEQUENCE), limit=3):
        if part.tag == 0x80:
            return walk.content(value, part)
    return None


def _issuing_point(value: bytes, issuer: bytes) -> tuple[Scope, bool]:
    """The scope, and whether the list is indirect (RFC 5280 5.2.5)."""
    names: set[str] = set()
    flags = dict.fromkeys((0x81, 0x82, 0x84, 0x85), False)  # users, authorities, indirect, attributes
    reasons = REASONS
    last = -1
    for part in walk.children(value, walk.single(value, walk.SEQUENCE), limit=6):
        if part.tag & 0x1F <= last:
            raise DerMalformed("an issuing distribution point out of order")
        last = part.tag & 0x1F
        if part.tag == 0xA0:
            names = _point_names(value, part, issuer)
        elif part.tag in flags:
            flags[part.tag] = walk.decode_boolean(value, part._replace(tag=walk.BOOLEAN))
        elif part.tag == 0x83:
            reasons = _reasons(walk.content(value, part))
        else:
            raise DerMalformed("an issuing distribution point with a field that none has")
    users, authorities, indirect, attributes = flags.values()
    if users + authorities + attributes > 1:
        raise DerMalformed("a list that is of one kind of certificates only, twice (RFC 5280 5.2.5)")
    return Scope(users, authorities, attributes, reasons, frozenset(names)), indirect


def _point_names(value: bytes, part: Tlv, issuer: bytes) -> set[str]:
    choice = walk.read(value, part.body, part.end)
    if choice.end != part.end:
        raise DerMalformed("a distribution point of two names")
    if choice.tag == 0xA0:
        return {general_name_hash(value, name) for name in walk.children(value, choice, limit=POINTS_MAX)}
    if choice.tag == 0xA1:
        return {relative_hash(issuer, walk.whole(value, choice))}
    raise DerMalformed("a distribution point without a name")


def _reasons(content: bytes) -> frozenset[int]:
    if not 2 <= len(content) <= 3 or content[0] > 7:
        raise DerMalformed("reasons that are none")
    return frozenset(bit for bit in range(8 * (len(content) - 1))
                     if content[1 + bit // 8] & 0x80 >> bit % 8) & REASONS


# --- entries ----------------------------------------------------------------------------------------------------------


def _entries(der: bytes, head: CrlHead, own: str, theirs: str) -> Iterator[tuple[bytes, int, int]]:
    """(serial key, second, reason) of every entry that is of the issuer whose name has the hash `own`."""
    if head.entries is None:
        return
    _, _, offset, end = head.entries
    speaks_of = theirs  # in an indirect list an entry without certificateIssuer goes on with the one before it
    seconds: dict[bytes, int] = {}
    extras: dict[bytes, tuple[int, datetime | None, str | None]] = {}
    count = 0
    while offset < end:
        count += 1
        if count > ENTRIES_MAX:
            raise DerMalformed(f"more than {ENTRIES_MAX} entries")
        body, serial_end, time_end, offset = _spans(der, offset, end)
        dated = der[serial_end:time_end]
        second = seconds.get(dated)
        if second is None:
            second = _second(walk.decode_time(dated, walk.single(dated)))
            if len(seconds) < _KEPT_MAX:
                seconds[dated] = second
        reason = NO_REASON
        if time_end != offset:
            extra = der[time_end:offset]
            fields = extras.get(extra)
            if fields is None:
                fields = _entry_extensions(extra)
                if len(extras) < _KEPT_MAX:
                    extras[extra] = fields
            reason, invalid_since, named = fields
            if named is not None:
                if not head.indirect:
                    raise DerMalformed("an entry of another issuer in a list that is not indirect")
                speaks_of = named
            if invalid_since is not None and reason in _COMPROMISED:
                second = min(second, _second(invalid_since))
        if speaks_of == own:
            yield _key(der[body:serial_end]), second, reason


def _spans(der: bytes, offset: int, end: int) -> tuple[int, int, int, int]:
    """Of the entry at `offset`: where its serial number begins and ends, where its time ends, where it ends itself.

    Nearly all have lengths under 128 everywhere: read here, for a fifth of the price of three calls.
    """
    if offset + 4 < end and der[offset] == walk.SEQUENCE and der[offset + 2] == walk.INTEGER:
        stop = offset + 2 + der[offset + 1]
        serial_end = offset + 4 + der[offset + 3]
        if der[offset + 1] < 0x80 and der[offset + 3] < 0x80 and stop <= end and serial_end + 2 <= stop:
            time_end = serial_end + 2 + der[serial_end + 1]
            if der[serial_end + 1] < 0x80 and time_end <= stop:
                return offset + 2, serial_end, time_end, stop
    entry = walk.expect(walk.read(der, offset, end), walk.SEQUENCE)
    serial = walk.read(der, entry.body, entry.end)
    return entry.body, serial.end, walk.read(der, serial.end, entry.end).end, entry.end


def _key(serial: bytes) -> bytes:
    """`serial_key` of an INTEGER's DER, of the usual ones without making a number of it."""
    if 4 <= len(serial) <= KEY + 2 and serial[0] == walk.INTEGER and serial[1] == len(serial) - 2 \
            and 0 < serial[2] < 0x80:
        return serial[2:].rjust(KEY, b"\0")
    if len(serial) > 260:
        raise DerMalformed(f"a serial number of {len(serial)} octets")
    return serial_key(walk.decode_integer(serial, walk.single(serial, walk.INTEGER)))


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _second(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(seconds=1)


def _entry_extensions(octets: bytes) -> tuple[int, datetime | None, str | None]:
    """Reason, invalidityDate, and the hash of the certificateIssuer, of crlEntryExtensions that fill `octets`."""
    reason, invalid_since, issuer = NO_REASON, None, None
    oids: set[str] = set()
    for extension in walk.children(octets, walk.single(octets, walk.SEQUENCE), limit=EXTENSIONS_MAX):
        oid, critical, value = _extension(octets, extension)
        if oid in oids:
            raise DerMalformed(f"entry extension {oid} is repeated")
        oids.add(oid)
        if oid == _REASON:
            reason = walk.decode_integer(value, walk.single(value), walk.ENUMERATED)
            if reason not in _ENTRY_REASONS:
                raise DerMalformed("a reason that none is")
        elif oid == _INVALIDITY_DATE:
            invalid_since = walk.decode_time(value, walk.single(value, walk.GENERALIZED_TIME))
        elif oid == _CERTIFICATE_ISSUER:
            issuer = _issuer_hash(value)
        elif critical and oid != _HOLD_INSTRUCTION:
            raise DerMalformed(f"the critical entry extension {oid} is unknown here")
    return reason, invalid_since, issuer


def _issuer_hash(value: bytes) -> str:
    for name in walk.children(value, walk.single(value, walk.SEQUENCE), limit=POINTS_MAX):
        if name.tag == 0xA4:
            return general_name_hash(value, name)
    raise DerMalformed("a certificateIssuer without a directory name")
