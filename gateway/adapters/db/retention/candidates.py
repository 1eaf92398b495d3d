"""What each kind of record says of its old rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection

from gateway.model.legal_hold import RecordWords
from gateway.ports.retention import Place


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record that is old enough. `key`: by which it is deleted; `place`: in the order of deletion.

    `words`: what the record says. Asked only if there are holds: it costs half a millisecond of a mail's evidence.
    """

    key: int | str
    place: Place
    words: Callable[[], RecordWords]


class OldRecords(Protocol):
    """One kind of record."""

    def find(self, connection: Connection, before: int, after: Place, limit: int) -> Sequence[Candidate]:
        """At most `limit` records older than `before` (microseconds) behind the place `after`, the oldest first."""
        ...

    def delete(self, connection: Connection, keys: Sequence[int | str]) -> int:
        """Deletes these; how many there were."""
        ...
