"""Runs of statements as the database keeps them: a run, its chunks, and an item for each mail.

A source is cut into chunks of rows that follow each other, so that processes can share a run; an item is one mail: one
row, one holder. It holds no account number: `series` is a MAC over customer, account and period. Series and version
together are of one item at most, over all runs: so a second run does not send again.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


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
    """The result for an item. `free`: its statement may be sent by another run. `at`: None = now; see ItemRow.at.

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
