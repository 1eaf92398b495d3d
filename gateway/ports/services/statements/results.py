"""Results of a run: its items, how many are in each state, and the delivery status of each mail."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from gateway.ports.services.bounces import BounceBook
from gateway.ports.services.statements.rows import Counts, Delivery, ItemRow


class ResultStore(BounceBook, Protocol):
    """GatewayError(STORE_UNAVAILABLE, retry=True) from every method that cannot answer."""

    def counts(self, run: str) -> Counts:
        """Of all items of a run."""
        ...

    def items(self, run: str) -> Iterator[ItemRow]:
        """All, in the order of rows and holders; read by pages."""
        ...

    def deliveries(self, batch: Sequence[Delivery]) -> int:
        """Stores the delivery status of mails by their queue ids; how many of them were known."""
        ...
