"""The store of codes: that there was one, for whom, and its result; never the code or the transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

from gateway.errors import Reason


class CodeState(StrEnum):
    """Only LIVE can be used. A code whose life has ended is EXPIRED, with any state in the row."""

    LIVE = "live"
    USED = "used"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REPLACED = "replaced"
    DEAD = "dead"  # too many wrong tries
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class CodeRow:
    """`code_id`: 24 hexadecimal digits. `nonce` and `digest`: with the secret they make the code, without it nothing.

    `digest`: keyed, over the transaction. `sends`: how often it was mailed, `tries` counts right and wrong ones.
    """

    code_id: str
    client: str
    customer: str
    purpose: str
    state: CodeState
    digits: int
    nonce: bytes
    digest: bytes
    language: str
    reference: str
    created_at: datetime
    expires_at: datetime
    tries: int = 0
    sends: int = 0

    def state_at(self, now: datetime) -> CodeState:
        """As it is at this moment."""
        return CodeState.EXPIRED if self.state is CodeState.LIVE and now >= self.expires_at else self.state


@dataclass(frozen=True, slots=True)
class CodeMail:
    """One mail with a code. `bounced_status`: RFC 3463, None: nothing came back; `diagnostic`: the server's words."""

    number: int
    at: datetime
    bounced_at: datetime | None = None
    bounced_status: str | None = None
    diagnostic: str | None = None


@dataclass(frozen=True, slots=True)
class SendLimits:
    """How many mails with codes; 0 = no limit. They hold over all processes and nodes."""

    per_customer_per_hour: int
    per_client_per_minute: int


@dataclass(frozen=True, slots=True)
class FailureLock:
    """After so many wrong tries in a row, over all codes of a customer, none is accepted or sent.

    The lock ends when fewer than `failures_max` of them are within `window_s`, or with `unblock`; a right try begins
    the count again. EU 2018/389 Art. 4 (3)(b).
    """

    failures_max: int
    window_s: int


@dataclass(frozen=True, slots=True)
class Tried:
    """One try, counted. `before`: the row with this try in it; `state` after it; `fault` None: it was right."""

    before: CodeRow
    state: CodeState
    fault: Reason | None


@dataclass(frozen=True, slots=True)
class Block:
    """A customer who gets no codes. `by`: who blocked them."""

    customer: str
    at: datetime
    by: Literal["bank", "customer"]


@dataclass(frozen=True, slots=True)
class Blocked:
    """`fresh`: the customer was not blocked before. `dead`: the codes that lived until now."""

    fresh: bool
    dead: tuple[CodeRow, ...]


# Whether a try is right: None, or what is wrong. Called inside a transaction, perhaps twice: touches nothing.
Compare = Callable[[CodeRow], Reason | None]


class CodeStore(Protocol):
    """Every write is durable when the method returns, in one commit.

    GatewayError(STORE_UNAVAILABLE, retry=True) from every method if the store does not answer.
    """

    def issue(self, row: CodeRow, limits: SendLimits, lock: FailureLock | None = None) -> Reason | None:
        """Notes a code that is about to be mailed, and replaces the live one of its client, customer and purpose.

        Nothing is changed for CUSTOMER_BLOCKED, CUSTOMER_LOCKED and CODE_OFTEN. The row's `created_at` is now.
        """
        ...

    def send_again(self, code_id: str, now: datetime, sends_max: int, limits: SendLimits,
                   lock: FailureLock | None = None) -> CodeRow | Reason:
        """Notes one more mail; the row with it. CODE_OFTEN at a limit, CODE_UNKNOWN if the code lives no more,

        CUSTOMER_LOCKED.
        """
        ...

    def attempt(self, client: str, code_id: str, now: datetime, tries_max: int, compare: Compare,
                lock: FailureLock | None = None) -> Tried | None:
        """One try: while the code lives the try is counted, then compared, then the code is used or, at `tries_max`,

        dead. However many come at once, no more than `tries_max` are compared, and one is right. If it lives no more
        nothing is counted, `fault` is CODE_UNKNOWN, and `state` says why. Nothing is counted or compared either while
        the customer is locked: `fault` is CUSTOMER_LOCKED. None: this client has no such code.
        """
        ...

    def end(self, code_id: str, state: CodeState) -> bool:
        """Ends a live code. False: it lives no more."""
        ...

    def get(self, code_id: str) -> CodeRow | None:
        """As it was written; see `state_at`."""
        ...

    def mails(self, code_id: str) -> tuple[CodeMail, ...]:
        """All with this code, in their order."""
        ...

    def of_customer(self, customer: str, rows_max: int) -> tuple[CodeRow, ...]:
        """The newest first."""
        ...

    def block(self, block: Block, noted: tuple[str, str] | None = None) -> Blocked | None:
        """Blocks the customer and their live codes.

        `noted`: (code_id, what) that is noted with it. None, and nothing is changed: it was noted before, or there is
        no such code.
        """
        ...

    def unblock(self, customer: str) -> bool:
        """Ends a block and a lock. False: the customer had neither, and no wrong try is remembered."""
        ...

    def blocks(self, customer: str | None = None) -> tuple[Block, ...]:
        """All, by customer number, or that of one."""
        ...

    def bounced(self, code_id: str, number: int, status: str, diagnostic: str, at: datetime, *,
                permanent: bool) -> CodeRow | None:
        """Notes that this mail came back. None: no such mail, or the same or something permanent was noted before."""
        ...

    def noted(self, code_id: str, what: str) -> bool:
        """Whether that was noted with the code."""
        ...

    def note(self, code_id: str, what: str, at: datetime) -> None:
        """Notes it, once. A code that is not remembered is passed over."""
        ...
