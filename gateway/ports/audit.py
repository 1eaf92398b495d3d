"""The audit log: what people and clients did. The database records an act with its change (`Database.write`)."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gateway.model.audit.acts import Act
from gateway.model.audit.record import AuditEntry


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


class AuditLog(Protocol):
    """GatewayError(STORE_UNAVAILABLE, retry=True) from every method that cannot."""

    def carrying_out(self, act: Act) -> AbstractContextManager[CarriedOut]:
        """Records an act on files, mail or the network: `begun` before it, `done` or `failed` after it.

        If it cannot be recorded, the act is not begun. What is raised inside is a failure.
        """
        ...

    def entries(self, query: AuditQuery) -> Iterator[AuditEntry]:
        """The latest first."""
        ...

    def entry(self, number: int) -> AuditEntry:
        """GatewayError(USAGE) if there is no such record."""
        ...

    def all_after(self, number: int) -> Iterator[AuditEntry]:
        """The oldest first, from the record after this one; read by pages."""
        ...

    def size(self) -> int:
        """How many records there are."""
        ...
