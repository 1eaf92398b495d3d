"""Counts and ages of the store's records for metrics, without names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """Held mail of one kind: how many, octets as received, since when the oldest waits."""

    mails: int
    octets: int
    oldest: datetime | None


@dataclass(frozen=True, slots=True)
class StoreNumbers:
    """`held` by kind (hold, quarantine). Of `fetch_tasks`: `due` now, and `failing`: the last attempt failed.

    `lists_stale`: revocation lists whose nextUpdate is past; `list_oldest`: the thisUpdate furthest back.
    `claims`: mails of several groups in work. `resent`: sends repeated because it was not known how the first went.
    `authorities_unknown`: roots and issuers that mail has shown, without a decision. `waiting`: held mails that
    leave once there is a certificate. `fallback_people`: people without one, by the fallback that was taken;
    `fallback_converted`: those of them who have one since.
    """

    held: Mapping[str, Waiting] = field(default_factory=dict)
    fetch_tasks: int = 0
    fetch_due: int = 0
    fetch_failing: int = 0
    lists: int = 0
    lists_stale: int = 0
    list_oldest: datetime | None = None
    claims: int = 0
    resent: int = 0
    authorities_unknown: int = 0
    waiting: int = 0
    fallback_people: Mapping[str, int] = field(default_factory=dict)
    fallback_converted: Mapping[str, int] = field(default_factory=dict)
