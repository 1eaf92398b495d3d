"""The audit log: what people and clients did. The database records an act with its change (`Database.write`)."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gateway.model.audit.acts import Act
from gateway.model.audit.record import AuditEntry, PersonalValue


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Every condition that is given must hold; '' and None are no condition.

    `actor`: a user, client or program. `act`: a name, or its first part such as `hold`. `object`: an id, or its
    beginning where it has eight characters at least. `result`: begun, done or failed. `since` is included, `until` is
    not.
    """

    actor: str = ""
    act: str = ""
    object: str = ""
    client: str = ""
    result: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(slots=True)
class CarriedOut:
    """How an act went. `failure`: why it failed, '' if it did not. `recorded`: its change has recorded `done`."""

    failure: str = ""
    recorded: bool = False


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it is stored, unexamined. `columns`: what the table repeats of the record, by name."""

    number: int
    octets: bytes
    columns: Mapping[str, str | int]
    values: Mapping[str, PersonalValue]


class AuditLog(Protocol):
    """GatewayError(STORE_UNAVAILABLE, retry=True) from every method that cannot."""

    def carrying_out(self, act: Act) -> AbstractContextManager[CarriedOut]:
        """Records an act on files, mail or the network: `begun` before it, `done` or `failed` after it.

        If it cannot be recorded, the act is not begun. What is raised inside is a failure.
        """
        ...

    def entries(self, query: AuditQuery, *, before: int | None = None) -> Iterator[AuditEntry]:
        """The latest first; only those with a smaller number than `before`."""
        ...

    def entry(self, number: int) -> AuditEntry:
        """GatewayError(USAGE) if there is no such record."""
        ...

    def all_after(self, number: int) -> Iterator[AuditEntry]:
        """The oldest first, from the record after this one; read by pages."""
        ...

    def stored(self) -> Iterator[StoredRecord]:
        """All records, the oldest first, as a verifier needs them; read by pages."""
        ...

    def last_done(self, act: str) -> datetime | None:
        """When this act was last carried out; None: never, as far as the log says."""
        ...

    def size(self) -> int:
        """The number of the last record."""
        ...

    def add_head(self, size: int, note: str) -> None:
        """Keeps a signed head; the first one of a size stays."""
        ...

    def head_size(self) -> int:
        """The size of the largest head that was kept; 0 if there is none."""
        ...

    def heads(self) -> tuple[tuple[int, str], ...]:
        """Size and note of all heads that were kept, the smallest first."""
        ...

    def missing_triggers(self) -> tuple[str, ...]:
        """Triggers that keep records from being changed, and are not there or do nothing."""
        ...

    def origin(self) -> str:
        """The name of this log in its heads: it ends with the id of the database."""
        ...
