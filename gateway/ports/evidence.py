"""Where evidence records are kept."""

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from gateway.model.record import EvidenceRecord


class Evidence(Protocol):
    """Durable when `add` returns; several records cost one commit."""

    def ready(self) -> None:
        """Called before a mail leaves: its record can be kept, even if the database fails from now on.

        GatewayError STORE_UNAVAILABLE (retry) if it cannot: the mail must not leave.
        """
        ...

    def add(self, records: tuple[EvidenceRecord, ...]) -> None:
        """Keeps them."""
        ...

    def since(self, at: datetime) -> Iterator[EvidenceRecord]:
        """Oldest first."""
        ...

    def find(self, key: str) -> tuple[EvidenceRecord, ...]:
        """By incident, Message-ID (with or without brackets) or the next hop's queue id in its reply."""
        ...
