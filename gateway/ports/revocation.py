"""What the bank knows of revocations: lists and answers that have been authenticated, kept for every process.

The caller that stores something here has checked its signature (`pki.revocation.crl`, `pki.revocation.ocsp`); readers
judge with it (`pki.revocation.entries`). RFC 5280 5 (lists), RFC 6960 (answers).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

ListKind = Literal["full", "delta"]
AnswerStatus = Literal["good", "revoked", "unknown"]


@dataclass(frozen=True, slots=True)
class StoredList:
    """One revocation list as it is used. Its key is (authority, scope, kind). Times are aware, UTC.

    `authority`: whose certificates it covers (`pki.revocation.entries.authority_id`). `scope`: which of them, '' = all
    (`pki.revocation.scope`). `number`, `base_number`: CRL number and, of a delta, that of its base; None where it has
    none. `next_update` None: the list does not say when it ends. `since`: certificates that were still valid then are
    covered, though expired since. `sha256`: hex, of the DER of the list. `records`: its entries in the form of
    `pki.revocation.entries`, with those carried over from lists before; b'' in what `all_lists` gives.
    """

    authority: str
    scope: str
    kind: ListKind
    url: str
    number: int | None
    base_number: int | None
    this_update: datetime
    next_update: datetime | None
    since: datetime
    fetched_at: datetime
    sha256: str
    records: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """One OCSP answer about one certificate of `authority`. Its key is (authority, serial).

    `revoked_at`: from when on it does not count any more, set where it is revoked; `reason`: 'keyCompromise',
    'certificateHold', … as RFC 5280 5.3.1 spells them, None where none is given.
    """

    authority: str
    serial: int
    status: AnswerStatus
    this_update: datetime
    next_update: datetime | None
    revoked_at: datetime | None
    reason: str | None
    fetched_at: datetime


class RevocationStore(Protocol):
    """Every method raises GatewayError(STORE_UNAVAILABLE, retry=True) if the store does not answer."""

    def generation(self) -> int:
        """A number that grows with every write of any process. Cheap; ask it once a second."""
        ...

    def lists(self, authority: str) -> tuple[StoredList, ...]:
        """All lists that cover the authority's certificates, with their records."""
        ...

    def answer(self, authority: str, serial: int) -> StoredAnswer | None:
        """The newest answer about this certificate."""
        ...

    def put_list(self, new: StoredList) -> bool:
        """Keeps it in the place of the one with its key. False, and nothing is changed, where that one is newer.

        Of two of one second the one with the higher number is the newer.
        """
        ...

    def put_answer(self, new: StoredAnswer) -> bool:
        """Keeps it in the place of the one with its key. False, and nothing is changed, where that one is newer,

        or says revoked for good and this one does not.
        """
        ...

    def all_lists(self) -> Iterator[StoredList]:
        """Every list without its records, for listing and refreshing."""
        ...
