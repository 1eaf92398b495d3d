"""Runs of statements as the database keeps them: a run, its chunks, and an item for each mail.

A source is cut into chunks of rows that follow each other, so that processes can share a run; an item is one mail: one
row, one holder. No account number stands here: `series` is a MAC over customer, account and period. Series and version
together are of one item at most, whatever run it belongs to: that is what keeps a second run from sending again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from gateway.ports.services.bounces import BounceBook


class RunState(StrEnum):
    """Of a run. It ends as DONE, CANCELLED or STOPPED."""

    NEW = "new"  # taken, nothing of it was read yet
    PLANNING = "planning"  # rows are read and become items; nothing leaves
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"  # every item is settled
    CANCELLED = "cancelled"
    STOPPED = "stopped"  # it could not begin or go on: `reason` and `detail`


class ItemState(StrEnum):
    """Of one mail. PLANNED, SENDING and WAITING are still open."""

    PLANNED = "planned"
    SENDING = "sending"  # written before the final dot: it may have left
    WAITING = "waiting"  # temporary trouble; it is tried again
    SENT = "sent"  # the next hop has it
    HELD = "held"  # it waits in the hold store, for a certificate or a person
    REFUSED = "refused"  # `reason`
    REPEATED = "repeated"  # this statement is another item's: it was sent before, or goes with another run
    CANCELLED = "cancelled"


OPEN = (ItemState.PLANNED, ItemState.SENDING, ItemState.WAITING)


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. `spec`: the run's file as JSON (services.statements.spec.Spec), paths absolute.

    `kind`: statement, replace or recall. `sha256`: of the source file as it was at the start. `rows`: how many the
    source has, None until all are planned. `client`: a name of the settings. `about`: the run that is replaced or
    recalled, '' for none.
    """

    id: str
    kind: str
    client: str
    name: str
    period: str
    state: RunState
    spec: str
    sha256: str
    about: str
    rows: int | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class ItemRow:
    """One mail. `row`: of the source, from 1; `holder`: 0, or the number of the joint holder.

    `customer`: its number; `domain`: of the address, '' where there was none; `rule`: of the policy, that decided.
    `reason`: a Reason's value, '' for none; `detail`: in words, never with content. `at`: of the last change; of a
    SENDING or WAITING item the date of its mail, so that it is the same mail when it goes again. `resent`: how often it
    was sent although it may have left before. `delivery`: '' as long as nothing is known of it, else delivered,
    deferred or bounced, with the recipient server's `answer`. `channel`: sealed, encrypted_pdf or plain, of one that
    was sent.
    """

    id: int
    run: str
    row: int
    holder: int
    customer: str
    state: ItemState
    domain: str
    rule: str
    reason: str
    detail: str
    reply: str
    queue_id: str
    resent: int
    tries: int
    at: datetime
    delivery: str
    answer: str
    delivery_at: datetime | None
    channel: str = ""


@dataclass(frozen=True, slots=True)
class NewItem:
    """One that is planned. `series` b'': a row that cannot go, with the `reason` why (a Reason's value)."""

    row: int
    holder: int
    customer: str
    series: bytes
    version: str
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows that follow each other. `offset`: octets in the source file before the first; `token`: of the claim.

    `attempts` 0: no process died at work on them. Else each item is recorded before work on it begins: `item` was in
    work when the last process died, for the `attempts`-th time in a row; None: that is not known.
    """

    run: str
    number: int
    offset: int
    first_row: int
    rows: int
    token: str = ""
    item: int | None = None
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of an item. `free`: its statement may be sent by another run. `at`: None = now; see ItemRow.at.

    `queue_id` '': the one that the next hop's reply names.
    """

    item: int
    state: ItemState
    domain: str = ""
    rule: str = ""
    reason: str = ""
    detail: str = ""
    reply: str = ""
    queue_id: str = ""
    free: bool = False
    at: datetime | None = None
    channel: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many items there are in each state; `resent`: further copies that went; `bounced`: see ItemRow."""

    states: dict[ItemState, int] = field(default_factory=dict)
    resent: int = 0
    bounced: int = 0
    delivered: int = 0

    @property
    def all(self) -> int:
        """All items."""
        return sum(self.states.values())

    @property
    def open(self) -> int:
        """Those that are still to be sent."""
        return sum(self.states.get(state, 0) for state in OPEN)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the mail server behind us says of a mail. `state`: delivered, deferred or bounced.

    `handed_on_as`: it went to a filter of its own and came back under this queue id; nothing is known of it yet.
    """

    queue_id: str
    state: str
    answer: str
    at: datetime
    handed_on_as: str = ""


class StatementStore(BounceBook, Protocol):
    """GatewayError(STORE_UNAVAILABLE, retry=True) from every method that cannot tell."""

    def add(self, run: RunRow) -> None:
        """A new run."""
        ...

    def run(self, run: str) -> RunRow | None:
        """None: there is none."""
        ...

    def runs(self, *, client: str | None = None, limit: int = 100) -> Sequence[RunRow]:
        """The newest first."""
        ...

    def unfinished(self) -> Sequence[RunRow]:
        """All that somebody has to work on, the oldest first: neither paused nor ended."""
        ...

    def change(self, run: str, states: Iterable[RunState], to: RunState, *, reason: str = "",
               detail: str = "") -> bool:
        """Moves a run from one of `states`; False if it is in none of them, and nothing is changed.

        What is CANCELLED or STOPPED has ended when `finish` says so.
        """
        ...

    def lead(self, run: str) -> bool:
        """Whether this process is the one that plans and ends the run: nobody else that lives is."""
        ...

    def leave(self, run: str) -> None:
        """Gives the lead back."""
        ...

    def planned_up_to(self, run: str) -> Chunk | None:
        """The last chunk that was planned, None if none was: where planning goes on after a crash."""
        ...

    def plan(self, chunk: Chunk, items: Sequence[NewItem], at: datetime) -> int:
        """A chunk with its items, all or nothing; how many of them are repeated."""
        ...

    def source(self, run: str, sha256: str) -> None:
        """What its source is; before anything is planned."""
        ...

    def begin(self, run: str, rows: int, at: datetime) -> None:
        """All is planned: the run is RUNNING, unless it was paused or cancelled meanwhile."""
        ...

    def claim(self, run: str, at: datetime, *, number: int | None = None) -> Chunk | None:
        """A chunk that nobody else works on and that is due; `number`: this one, if it is open, whenever it is due.

        None: there is none now.
        """
        ...

    def idle(self, run: str, at: datetime) -> Mapping[int, datetime]:
        """The open chunks that no living process works on, and when they are due.

        Claims of dead processes are ended. The process that takes the chunk next may have started too late to see that
        they died.
        """
        ...

    def due_at(self, run: str, number: int) -> datetime | None:
        """When a chunk is to be tried again; None: all in it is settled."""
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
        """In one commit: what became of items, and which leave now (SENDING). Of those, the ones that may leave:

        none of a run that is paused or cancelled, none of a chunk that another has taken over, none that is settled.
        One that is SENDING already is counted as resent.
        """
        ...

    def sent_of(self, run: str, series: Sequence[bytes]) -> Sequence[tuple[bytes, str | None]]:
        """What of these was sent or held by this run, or may have been: what a run that replaces or recalls it speaks

        of. Series and version; the version of what has bounced is None, for another run may send it.
        """
        ...

    def repeated_of(self, run: str) -> Mapping[str, int]:
        """How many of its REPEATED items' statements each other run has, by its id; the largest number first."""
        ...

    def replaced_of(self, run: str, series: Sequence[bytes]) -> frozenset[bytes]:
        """Of which of these another version was sent or held by a run that replaces this one."""
        ...

    def held_of(self, run: str, *, also: Sequence[int], replaced_by: str | None) -> Sequence[ItemRow]:
        """Its items that are held, wholly or in part, and those of these ids. `replaced_by`: only those of which

        another version is PLANNED in that run.
        """
        ...

    def taken_back(self, item: int, at: datetime, *, detail: str, free: bool) -> None:
        """What was HELD will not leave: it is CANCELLED. `free`: its statement is no run's own any more."""
        ...

    def release(self, chunk: Chunk, at: datetime, *, due_at: datetime | None) -> None:
        """Gives a chunk back. `due_at`: when it is to be tried again; None: all in it is settled."""
        ...

    def next_due(self, run: str) -> datetime | None:
        """When the next chunk is to be tried; None: no chunk is open."""
        ...

    def finish(self, run: str, at: datetime) -> bool:
        """DONE, if no item is open; of a run that was cancelled or stopped the open ones are CANCELLED. Whether it has

        ended.
        """
        ...

    def counts(self, run: str) -> Counts:
        """Of all items of a run."""
        ...

    def items(self, run: str) -> Iterator[ItemRow]:
        """All, in the order of rows and holders; read by pages."""
        ...

    def deliveries(self, told: Sequence[Delivery]) -> int:
        """What the mail server behind us tells of mails by their queue ids; how many of them were known."""
        ...

    def forget(self, before: datetime) -> int:
        """Ended runs older than this, with their items; how many."""
        ...
