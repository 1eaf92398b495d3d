"""The entries of a revocation list in one blob: written once by the jobs, looked up by everybody in microseconds.

An entry has 30 octets: the serial number (20), the second from which on it counts (8, signed), its reason (1),
flags (1). Entries are sorted by serial number, each number once, so that half a million of them are 15 MB that no
process ever unpacks.

When a newer list takes the place of an older one, entries that have vanished are carried over, unless they were
holds: a certificate leaves a list because it has expired (RFC 5280 3.3), which makes nothing of it good again. So
the stored row of lists continues to cover certificates that were valid when it began (`StoredList.since`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from struct import Struct
from typing import Final, NamedTuple

from gateway.cms.certificate import Certificate
from gateway.der.build import integer
from gateway.ports.revocation import ListKind, StoredList

WIDTH: Final = 30
KEY: Final = 20  # octets; RFC 5280 4.1.2.2 allows no longer serial number
_RECORD: Final = Struct(">20sqBB")
CARRIED: Final = 1  # flag: of an older list; the certificate has expired

ON_HOLD: Final = 6  # CRLReason certificateHold
REMOVED: Final = 8  # CRLReason removeFromCRL, of delta lists only
UNSPECIFIED: Final = 0
NO_REASON: Final = 255  # the list gives none, which is not the same as `unspecified` for time-stampers (RFC 3161 4)

_KEY_WAS_SAFE: Final = frozenset({0, 3, 4, 5})  # RFC 3161 4: what a service stamped before stays good

REASON_NAMES: Final = {
    0: "unspecified", 1: "keyCompromise", 2: "cACompromise", 3: "affiliationChanged", 4: "superseded",
    5: "cessationOfOperation", 6: "certificateHold", 8: "removeFromCRL", 9: "privilegeWithdrawn", 10: "aACompromise"}

SCHEDULE: Final = timedelta(days=1)
"""Lists are made at least as seldom as this. An entry stays for one regular list after its certificate has expired,

so that two lists of one day cannot have hidden a third one that alone named it."""


class Entry(NamedTuple):
    """One revoked serial number. `at`: from when on it counts; `reason`: CRLReason, NO_REASON where none is given."""

    at: datetime
    reason: int
    carried: bool = False

    @property
    def on_hold(self) -> bool:
        """It may become good again."""
        return self.reason == ON_HOLD

    @property
    def reason_name(self) -> str | None:
        """As RFC 5280 5.3.1 spells it."""
        return REASON_NAMES.get(self.reason)


@dataclass(frozen=True, slots=True)
class NewList:
    """A list that has been read and authenticated for one authority. Fields as in `ports.revocation.StoredList`.

    `covers_since`: what expired after this is still on it (expiredCertsOnCRL, else its own thisUpdate).
    """

    authority: str
    scope: str
    kind: ListKind
    number: int | None
    base_number: int | None
    this_update: datetime
    next_update: datetime | None
    covers_since: datetime
    sha256: str
    records: bytes = field(repr=False)


def authority_id(issuer: Certificate) -> str:
    """Who issues: hex of SHA-256 over the DER of its name and of its key. A new key is a new authority."""
    return _authority_id(issuer.subject_der, issuer.spki)


@lru_cache(maxsize=4096)
def _authority_id(name: bytes, spki: bytes) -> str:
    return sha256(name + spki).hexdigest()


def reason_number(name: str | None) -> int:
    """The way back from `Entry.reason_name`."""
    return next((number for number, known in REASON_NAMES.items() if known == name), NO_REASON)


def serial_key(serial: int) -> bytes:
    """The number as its record has it: 20 octets; numbers that do not fit, negative ones too, by their hash."""
    if 0 <= serial < 1 << 8 * KEY:
        return serial.to_bytes(KEY, "big")
    return sha256(b"long" + integer(serial)).digest()[:KEY]


def pack(entries: Iterable[tuple[bytes, int, int]]) -> bytes:
    """Records of (serial key, second since 1970, reason). Of a number that comes twice the worse entry stays:

    revoked before on hold, then the earlier one, then the one that leaves the key in doubt.
    """
    kept: dict[bytes, tuple[int, int]] = {}
    for key, second, reason in entries:
        before = kept.get(key)
        kept[key] = (second, reason) if before is None else min((second, reason), before, key=_badness)
    make = _RECORD.pack
    return b"".join([make(key, *kept[key], 0) for key in sorted(kept)])


def _badness(entry: tuple[int, int]) -> tuple[int, int, bool, int]:
    second, reason = entry
    return (2 if reason == REMOVED else 1 if reason == ON_HOLD else 0, second, reason in _KEY_WAS_SAFE, reason)


def find(records: bytes, key: bytes) -> Entry | None:
    """The entry of a serial key, by some twenty comparisons."""
    low, high = 0, len(records) // WIDTH
    while low < high:
        middle = (low + high) // 2
        start = middle * WIDTH
        at = records[start:start + KEY]
        if at < key:
            low = middle + 1
        elif at > key:
            high = middle
        else:
            _, second, reason, flags = _RECORD.unpack_from(records, start)
            return Entry(_EPOCH + timedelta(seconds=second), reason, bool(flags & CARRIED))
    return None


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def count(records: bytes) -> int:
    """How many entries there are."""
    return len(records) // WIDTH


def carry_over(old: bytes, new: bytes) -> bytes:
    """`new`, and those entries of `old` that it does not have any more and that were no holds."""
    known = {new[start:start + KEY] for start in range(0, len(new), WIDTH)}
    gone = []
    for start in range(0, len(old), WIDTH):
        key = old[start:start + KEY]
        if key not in known and old[start + WIDTH - 2] not in (ON_HOLD, REMOVED):
            gone.append(old[start:start + WIDTH - 1] + bytes((CARRIED,)))
    if not gone:
        return new
    merged = [new[start:start + WIDTH] for start in range(0, len(new), WIDTH)]
    return b"".join(sorted(merged + gone))


def stored(new: NewList, before: StoredList | None, *, url: str, fetched_at: datetime) -> StoredList:
    """What is put into the store when `new` comes after `before`, the list with the same key (None: the first one)."""
    since, records = new.covers_since, new.records
    if before is not None:
        if new.kind == "full" and _unbroken(before, new):
            since = min(since, before.since)
        # What was revoked once stays so, even if lists between were missed, or a delta's new base is not here yet.
        records = carry_over(before.records, records)
    return StoredList(new.authority, new.scope, new.kind, url, new.number, new.base_number, new.this_update,
                      new.next_update, since, fetched_at, new.sha256, records)


def _unbroken(before: StoredList, new: NewList) -> bool:
    """Whether no list between them can have been missed."""
    if before.number is not None and new.number is not None and 0 <= new.number - before.number <= 1:
        return True
    return new.this_update - before.this_update <= SCHEDULE
