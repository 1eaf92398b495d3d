"""Deletes old records in small steps (docs/retention.md)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol

RecordKind = Literal["evidence", "codes", "runs", "audit_values"]
RECORD_KINDS: Final[tuple[RecordKind, ...]] = ("evidence", "codes", "runs", "audit_values")

Place = tuple[int | str, ...]  # of a record in the order in which its kind is deleted; () = before the first


@dataclass(frozen=True, slots=True)
class Step:
    """`held`: records that a legal hold covers. `next`: the place after which the next step begins; None = the end."""

    deleted: int
    held: int
    next: Place | None


class Retention(Protocol):
    """One step is one short transaction. GatewayError STORE_UNAVAILABLE (retry)."""

    def reached(self) -> datetime | None:
        """The time by which records were deleted last, as `reach` stored it; None: never."""
        ...

    def reach(self, at: datetime) -> None:
        """Stores it, for all nodes."""
        ...

    def delete(self, kind: RecordKind, before: datetime, after: Place) -> Step:
        """Deletes some records that are older than `before`, the oldest first, from the place `after` on.

        It compares them with the legal holds in the same transaction.
        """
        ...
