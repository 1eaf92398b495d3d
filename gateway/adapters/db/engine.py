"""What the adapters know of a database: a small surface, behind which SQLite and PostgreSQL have a recipe each.

The tables and statements are the same for both. What differs is how one opens it, and what one has to say so that a
transaction that reads and then writes is alone: in SQLite the write lock says it, in PostgreSQL `alone`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import Connection, Engine, Insert, Select

from gateway.adapters.db.group import Changes, GroupCommit, Rows
from gateway.adapters.db.owner import Owner
from gateway.settings.deployment import Postgresql

T = TypeVar("T")
Level = Literal["ok", "warning", "error"]

SNAPSHOT_ROWS = 50  # read at once: some hold a mail


class Database(ABC):
    """Open with `schema.open_database`. Safe to use from many threads; not across a fork: open after it.

    `where` it is, as the settings say; `name` is what people are told of it.
    """

    def __init__(self, where: Path | Postgresql, name: str, writers: Engine) -> None:
        self.where = where
        self.name = name
        self._writers = writers
        self.group = GroupCommit(writers, self.alone, self.short_way)

    @property
    def writers(self) -> Engine:
        """What `write` writes through."""
        return self._writers

    def write(self, work: Callable[[Connection], T], *, alone: str = "") -> T:
        """See GroupCommit.run. `alone`: what the work reads before it writes, so that no other node does it too."""
        return self.group.run(work, alone)

    @abstractmethod
    def alone(self, connection: Connection, names: Sequence[str]) -> None:
        """Holds until the transaction's end what the names stand for; sorted, so that nobody waits in a circle."""

    def short_way(self, inserts: Mapping[Insert, Rows], changes: Sequence[Changes]) -> list[list[int]] | None:
        """Does all this in a transaction of its own and makes it durable, where a driver has a shorter way.

        How many rows each change of each sequence changed. None: it has no such way, and nothing was done. Used by one
        thread at a time.
        """
        del inserts, changes
        return None

    @abstractmethod
    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """A transaction in which tables may be changed: one of all processes at a time."""
        yield from ()

    @abstractmethod
    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection on which each SELECT sees all that was committed before it.

        GatewayError(STORE_UNAVAILABLE, retry=True) for whatever the database says.
        """
        yield from ()

    @abstractmethod
    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A connection that sees everything as it is at this moment, however long it reads; rows come as they are read.

        GatewayError as in `read`.
        """
        yield from ()

    @abstractmethod
    def look_up(self, statement: Select[Any], **values: object) -> list[tuple[Any, ...]]:
        """All rows of a SELECT as the driver has them: JSON as text, truth as 0 and 1 or as bool.

        For the few statements on every mail's way.
        """

    @abstractmethod
    def attend(self) -> None:
        """Lets other nodes see that this process lives, before it claims anything. STORE_UNAVAILABLE (retry)."""

    def when_there(self, work: Callable[[], None]) -> None:
        """Has `work` called at times while the database answers; it is short, and raises GatewayError alone.

        Not for a database that is there or not with the machine itself.
        """
        del work

    @abstractmethod
    def is_dead(self, who: Owner) -> bool | None:
        """Whether a process has ended that claimed something; None: that cannot be known, or not yet."""

    @abstractmethod
    def leads(self, role: str) -> bool:
        """Whether of all nodes' processes this one does what only one should do; asked again and again.

        For a moment two may think so, when one of them has lost the database.
        """

    def now(self) -> datetime:
        """The time that all processes with this database share: a clock (gateway.clock.Clock).

        Of a database on this machine that is the machine's.
        """
        return datetime.now(UTC)

    def noted(self) -> Iterator[tuple[Level, str]]:
        """What `sealgate check` should tell of it. GatewayError STORE_UNAVAILABLE (retry)."""
        yield "ok", self.name

    def close(self) -> None:
        """Closes what idles; a connection in use is closed by its user."""
        self._writers.dispose()
