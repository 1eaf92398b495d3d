"""Work on a run: processes claim its chunks, and settle the items in them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from gateway.ports.services.statements.rows import Chunk, ItemRow, Settlement


class WorkStore(Protocol):
    """GatewayError(STORE_UNAVAILABLE, retry=True) from every method that cannot answer."""

    def claim(self, run: str, at: datetime, *, number: int | None = None) -> Chunk | None:
        """Claims a chunk that is due and that no other process works on; None: there is none now.

        `number`: this one, if it is open, whenever it is due.
        """
        ...

    def idle(self, run: str, at: datetime) -> Mapping[int, datetime]:
        """The open chunks that no living process works on, and when they are due.

        Claims of dead processes are ended. The process that takes the chunk next may have started too late to see that
        they died.
        """
        ...

    def due_at(self, run: str, number: int) -> datetime | None:
        """When a chunk is to be tried again; None: everything in it is settled."""
        ...

    def next_due(self, run: str) -> datetime | None:
        """When the next chunk is to be tried; None: no chunk is open."""
        ...

    def attempt(self, chunk: Chunk, item: int | None) -> Chunk:
        """Records, in a commit of its own, that work on an item begins; None: that it has come to its end.

        The chunk with these values. GatewayError RUN_STATE (retry) if another process has taken the chunk over.
        """
        ...

    def todo(self, chunk: Chunk) -> Sequence[ItemRow]:
        """Its open items, in the order of rows."""
        ...

    def note(self, chunk: Chunk, settled: Sequence[Settlement], leaving: Sequence[int], at: datetime) -> frozenset[int]:
        """Settles items and marks others as SENDING, in one commit; which of `leaving` may leave.

        None of a run that is paused or cancelled, none of a chunk that another process has taken over, none that is
        settled. An item that is SENDING already is counted as resent.
        """
        ...

    def release(self, chunk: Chunk, at: datetime, *, due_at: datetime | None) -> None:
        """Gives a chunk back. `due_at`: when it is to be tried again; None: everything in it is settled."""
        ...
