"""What the adapters know of a database: a small surface, behind which SQLite and PostgreSQL have a recipe each.

The tables and statements are the same for both. What differs is how one opens it, and what one has to say so that a
transaction that reads and then writes is alone: in SQLite the write lock says it, in PostgreSQL `alone`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import structlog
from sqlalchemy import Connection, Engine, Insert, Select

from gateway.adapters.db.engine.audit_record import LOCK, write_record
from gateway.adapters.db.engine.claim_owner import Owner
from gateway.adapters.db.engine.group_commit import Changes, GroupCommit, Rows
from gateway.adapters.db.engine.identity import SELECT_ID
from gateway.adapters.db.engine.second_person import SecondPerson, approved_act
from gateway.clock import SystemClock
from gateway.errors import GatewayError, Reason
from gateway.model.audit.actor import Actor, current_actor
from gateway.model.audit.acts import ACTS, Act
from gateway.model.audit.four_eyes import ApprovalNeededError, FourEyesRule
from gateway.model.audit.record import Result
from gateway.settings import Postgresql

__all__ = ["Connection", "Database", "Level"]  # SQLAlchemy's connection, for those outside who write through it

log = structlog.get_logger("sealgate.database")

T = TypeVar("T")
Level = Literal["ok", "warning", "error"]

SNAPSHOT_ROWS = 50  # read at once: some hold a mail


class Database(ABC):
    """Open with `schema.open_database`. Safe to use from many threads; not across a fork: open after it.

    `where` it is, as the settings say; `name` is its name in messages.
    """

    def __init__(self, where: Path | Postgresql, name: str, writers: Engine) -> None:
        self.where = where
        self.name = name
        self._writers = writers
        self._identity: str | None = None  # of the database that the settings mean; None: any
        self._refused: GatewayError | None = None  # why it is not used just now
        self.second_person = SecondPerson(FourEyesRule())  # a process sets the rule of its settings
        self.called: frozenset[str] = frozenset()  # clients that get webhooks; a process sets those of its settings
        self.group = GroupCommit(writers, self.alone, self.short_way, self.begun, self.committed)

    @property
    def writers(self) -> Engine:
        """What `write` writes through."""
        return self._writers

    def urgent(self) -> AbstractContextManager[None]:
        """While it lasts, other processes' transactions wait for this process's, where they would be in its way."""
        return nullcontext()

    def write(self, work: Callable[[Connection], T], *, alone: str = "", acts: bool = False, act: Act | None = None,
              done: Callable[[T], Act | None] | None = None) -> T:
        """See GroupCommit.run. `alone`: what the work reads before it writes, so that no other node does it too.

        `acts`: it is what a request of a client stands for; its idempotency key is claimed in the same transaction.
        `act`: an act for the audit log, recorded in the same transaction: both are stored or neither is. `done`: the
        act as it is known afterwards, from the result of `work`; None: nothing was changed, nothing is recorded.
        """
        if act is None:
            return self.group.run(work, (alone,) if alone else (), acts=acts)
        actor, at, approved = current_actor(), self.now(), approved_act()

        def audited(connection: Connection) -> T:
            result = work(connection)
            finished = act if done is None else done(result)
            if finished is not None:
                if approved != (finished.name, finished.id):
                    self.second_person.check(connection, finished, actor, at)
                write_record(connection, finished, actor, "done", at)
            return result

        try:
            return self.group.run(audited, (alone, LOCK) if alone else (LOCK,), acts=acts)
        except ApprovalNeededError as needed:
            raise self._needs_approval(needed.act, actor, at) from None
        except GatewayError as trouble:
            self.record_failure(act, str(trouble.reason))
            raise

    def record(self, act: Act, result: Result, reason: str = "") -> int:
        """Records an act on files, mail or the network in a transaction of its own; the record's number.

        GatewayError USAGE (retry) if it begins and needs another person's approval first.
        """
        actor, at = current_actor(), self.now()

        def work(connection: Connection) -> int:
            if result == "begun":
                self.second_person.check(connection, act, actor, at)
            return write_record(connection, act, actor, result, at, reason)

        try:
            return self.group.run(work, (LOCK,))
        except ApprovalNeededError as needed:
            raise self._needs_approval(needed.act, actor, at) from None

    def change_rule(self, work: Callable[[Connection, Actor, datetime], T]) -> T:
        """Work on requests and on the rule of four eyes, for the present actor; errors as of `record`."""
        actor, at = current_actor(), self.now()
        try:
            return self.group.run(lambda connection: work(connection, actor, at), (LOCK,))
        except ApprovalNeededError as needed:
            raise self._needs_approval(needed.act, actor, at) from None

    def _needs_approval(self, act: Act, actor: Actor, at: datetime) -> GatewayError:
        """Creates the request; the error that says so."""
        if actor.kind == "program":
            return GatewayError(Reason.CONFIG_INVALID, f"{ACTS[act.name].sentence.rstrip('.')}: `four_eyes` demands "
                                f"that two persons approve it first ({act.id}). Run `sealgate reload` to request it")
        if actor.kind == "client":
            return GatewayError(Reason.REQUEST_NEEDS_APPROVAL, act.name)
        number = self.group.run(lambda connection: self.second_person.request(connection, act, actor, at), (LOCK,))
        return GatewayError(Reason.USAGE, f"nothing was changed: `four_eyes` demands a second person. This is request "
                            f"{number}. Another person approves it with `sealgate audit approve {number}` within 24 h; "
                            "then run the same command again", retry=True)

    def record_failure(self, act: Act, reason: str) -> None:
        """Records that an act has failed. The log names one that cannot be recorded."""
        try:
            self.record(act, "failed", reason)
        except GatewayError as error:
            log.critical("audit.not_recorded", act=act.name, reason=reason, detail=error.detail)

    def expect(self, identity: str) -> None:
        """From now on only the database with this id is worked with; another one in its place is refused by name."""
        self._identity = identity

    def verify(self) -> None:
        """Makes sure that this is still the expected database.

        For answers that mean something by being empty: "no certificate" of another or an emptied database must not
        weaken anything. GatewayError STORE_MISMATCH, STORE_MISSING or STORE_UNAVAILABLE (retry).
        """
        if self._identity is None:
            return
        found = [row[0] for row in self.look_up(SELECT_ID)]
        if found != [self._identity]:
            raise self.refuse(GatewayError(
                Reason.STORE_MISMATCH, f"{self.name}: its id is not the one that it was opened with", retry=True))
        self.accept()

    def refuse(self, trouble: GatewayError) -> GatewayError:
        """Uses the database no more until `accept`, and raises an alert once; `trouble`, for the caller to raise."""
        if self._refused is None:
            log.critical("database.unusable", reason=str(trouble.reason), detail=trouble.detail)
        self._refused = trouble.again()
        return trouble

    def accept(self) -> None:
        """Ends `refuse`."""
        if self._refused is not None:
            self._refused = None
            log.warning("database.usable", database=self.name)

    @abstractmethod
    def users(self, connection: Connection) -> Sequence[str]:
        """Other processes of Sealgate that have opened the database, for people; as far as they can be seen.

        `connection`: one of `migrating`, which has not asked before. Those that are creating the database do not count.
        """

    def begun(self) -> object:
        """Called before each transaction: what `committed` has to compare."""
        return None

    def committed(self, begun: object) -> None:  # noqa: B027 - what most have nothing to do for
        """Called after each commit: raises if it went into a database that is not the expected one any more."""

    @abstractmethod
    def alone(self, connection: Connection, names: Sequence[str]) -> None:
        """Locks the objects of these names until the transaction's end; sorted, so that there is no deadlock."""

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

        GatewayError(STORE_UNAVAILABLE, retry=True) for every error of the database.
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

        For the few statements on every mail's way. No rows of a statement with the option `kept.AGAIN` is an answer
        that may weaken a mail's protection, so `verify` comes before it. GatewayError as in `read`, and of `verify`.
        """

    @abstractmethod
    def attend(self) -> None:
        """Lets other nodes see that this process lives, before it claims anything. STORE_UNAVAILABLE (retry)."""

    @abstractmethod
    def is_dead(self, who: Owner) -> bool | None:
        """Whether a process has ended that claimed something; None: that cannot be known, or not yet."""

    @abstractmethod
    def leads(self, role: str) -> bool:
        """Whether of all nodes' processes this one does what only one should do; asked again and again.

        For a moment two may think so, when one of them has lost the database.
        """

    def when_there(self, work: Callable[[], None]) -> None:
        """Has `work` called at times while the database answers; it is short, and raises GatewayError alone.

        Not for a database that is there or not with the machine itself.
        """
        del work

    def now(self) -> datetime:
        """The time that all processes with this database share: a clock (gateway.clock.Clock).

        Of a database on this machine that is the machine's.
        """
        return SystemClock().now()

    def noted(self) -> Iterator[tuple[Level, str]]:
        """What `sealgate check` should report of it. GatewayError STORE_UNAVAILABLE (retry)."""
        yield "ok", self.name

    def close(self) -> None:
        """Closes what idles; a connection in use is closed by its user."""
        self._writers.dispose()
