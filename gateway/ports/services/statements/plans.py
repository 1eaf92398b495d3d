"""Planning: the items of a run, and what other runs have of the same statements."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from gateway.ports.services.statements.rows import Chunk, ItemRow, NewItem


class PlanStore(Protocol):
    """GatewayError(STORE_UNAVAILABLE, retry=True) from every method that cannot answer."""

    def planned_up_to(self, run: str) -> Chunk | None:
        """The last chunk that was planned, where planning continues after a crash; None if none was."""
        ...

    def plan(self, chunk: Chunk, items: Sequence[NewItem], at: datetime) -> int:
        """Stores a chunk with its items, all or nothing; how many of them are repeated."""
        ...

    def sent_of(self, run: str, series: Sequence[bytes]) -> Sequence[tuple[bytes, str | None]]:
        """Series and version of those of these that this run sent or held, or may have sent.

        A run that replaces or recalls it is about these. The version of a bounced one is None: another run may send it.
        """
        ...

    def repeated_of(self, run: str) -> Mapping[str, int]:
        """How many of its REPEATED items' statements each other run has, by its id; the largest number first."""
        ...

    def replaced_of(self, run: str, series: Sequence[bytes]) -> frozenset[bytes]:
        """Those of these of which a run that replaces this one sent or held another version."""
        ...

    def held_of(self, run: str, *, also: Sequence[int], replaced_by: str | None) -> Sequence[ItemRow]:
        """Its items that are held, wholly or in part, and those of these ids.

        `replaced_by`: only those of which another version is PLANNED in that run.
        """
        ...

    def taken_back(self, item: int, at: datetime, *, detail: str, free: bool) -> None:
        """A HELD item will not leave: it is CANCELLED. `free`: another run may send its statement."""
        ...
