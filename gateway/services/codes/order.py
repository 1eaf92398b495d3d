"""Requests to the code service and its answers. None of these values contains a code."""

from dataclasses import dataclass
from datetime import datetime

from gateway.errors import Reason
from gateway.ports.services.codes import CodeState
from gateway.services.codes.transaction import Transaction


@dataclass(frozen=True, slots=True, repr=False)
class Order:
    """A code, please. None: as the settings have it; a `life_s` beyond what they allow is cut to that.

    `purpose`: 1 to 32 of lower-case letters, digits and `-`, such as `login` or `payment`; of each client's codes one
    per customer and purpose lives. `reference`: the caller's own, at most 64 printable ASCII characters; it stands in
    the database and in events, so it is no account number.
    """

    customer: str
    purpose: str
    transaction: Transaction | None = None
    digits: int | None = None
    life_s: int | None = None
    language: str | None = None
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Issued:
    """The next hop has the mail. `recipients`: how many addresses it went to, one or more."""

    id: str
    expires_at: datetime
    digits: int
    recipients: int
    state: CodeState
    resends_left: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A code as its issuer may see it at any time."""

    id: str
    customer: str
    purpose: str
    state: CodeState
    created_at: datetime
    expires_at: datetime
    digits: int
    tries_left: int
    resends_left: int
    reference: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one try. `reason` None exactly if it is valid, and then the code is used.

    Else CODE_WRONG or CODE_CHANGED (another transaction) while there are tries left; CODE_TRIES once there are none;
    CODE_EXPIRED, CODE_USED, CODE_CANCELLED, CODE_REPLACED, CUSTOMER_BLOCKED. What came after that needs a new code.
    """

    valid: bool
    reason: Reason | None
    tries_left: int
    state: CodeState
