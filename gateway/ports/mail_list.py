"""Mails as they are found again: a record for each recipient, the latest first."""

from dataclasses import dataclass
from typing import Protocol

from gateway.model.mail_query import MailQuery
from gateway.model.record import EvidenceRecord
from gateway.ports.place import Place


@dataclass(frozen=True, slots=True)
class MailPage:
    """`records`: the latest first. `next`: where the next page begins; None: there is nothing older."""

    records: tuple[EvidenceRecord, ...]
    next: Place | None


class MailList(Protocol):
    """Reads only."""

    def page(self, query: MailQuery, count: int, before: Place | None = None) -> MailPage:
        """At most `count` records before this place. A page of a long search may have fewer, or none, and a `next`.

        GatewayError STORE_UNAVAILABLE (retry).
        """
        ...
