"""What the mail server behind us writes of the mails that it took from us."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.ports.services.statements.rows import Delivery


@dataclass(frozen=True, slots=True)
class Place:
    """How far the log was read: in this very file (by device and inode), so many octets."""

    device: int
    inode: int
    offset: int


@dataclass(frozen=True, slots=True)
class DeliveryBatch:
    """Deliveries, and the place behind their lines. `lost`: earlier lines could not be read."""

    deliveries: Sequence[Delivery]
    place: Place
    lost: bool = False


class DeliveryLog(Protocol):
    """Read again and again, each time from where the last reading ended."""

    def read(self) -> Iterator[DeliveryBatch]:
        """What has been written since, a thousand lines at a time. INPUT_UNREADABLE where the log cannot be read."""
        ...

    def keep(self, place: Place) -> None:
        """Records, durably, that the lines up to here were processed. INPUT_UNREADABLE where that cannot be written."""
        ...
