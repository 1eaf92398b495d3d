"""Events for clients: filed with their subject, and sent to the callback until the client accepts them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Event:
    """Something became of a thing that a client had asked for.

    `client`: its name in the settings. `subject`: what it is about, such as a code's id; its events keep their order.
    `kind`: such as code.delivered. `key`: what makes it another one than an earlier of the same kind and subject, such
    as the number of the try; the same event filed again is one event. `data`: JSON, with nothing secret in it.
    """

    client: str
    subject: str
    kind: str
    at: datetime
    key: str = ""
    data: Mapping[str, str | int | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """One that is due. `event`: its id, the same at each try. `body`: JSON. `tries`: that failed so far."""

    id: int
    event: str
    client: str
    subject: str
    kind: str
    body: str
    at: datetime
    tries: int


class Callbacks(Protocol):
    """GatewayError(STORE_UNAVAILABLE, retry=True) if the database does not answer."""

    def file(self, *events: Event) -> int:
        """Durable when this returns, all or none. How many of them were not filed before."""
        ...

    def due(self, now: datetime, limit: int, without: Collection[str] = ()) -> tuple[Call, ...]:
        """What may be called out now, the oldest first: of one client and subject the first only.

        `without`: clients that are not called now.
        """
        ...

    def taken(self, call: Call) -> None:
        """The client has it, or will never have it: it is forgotten."""
        ...

    def later(self, call: Call, due_at: datetime) -> None:
        """It failed once more."""
        ...
