"""The JSON of answers as typed dictionaries. Times are texts of RFC 3339; an answer may have further members."""

from typing import Any, Generic, Literal, NotRequired, TypedDict, TypeVar

Item = TypeVar("Item")


class Page(TypedDict, Generic[Item]):
    """Some of a list. `next`: the cursor of the next page; None: this is the last one."""

    items: list[Item]
    next: str | None


class CodeIssued(TypedDict):
    """A code that was sent. `recipients`: the number of addresses."""

    id: str
    state: str
    expires_at: str
    digits: int
    recipients: int
    resends_left: int


class Code(TypedDict):
    """A code, as its issuer may see it at any time."""

    id: str
    customer: str
    purpose: str
    state: str
    created_at: str
    expires_at: str
    digits: int
    tries_left: int
    resends_left: int
    reference: str


class Verdict(TypedDict):
    """Of one try. `reason`: None if and only if it is valid."""

    valid: bool
    reason: str | None
    tries_left: int
    state: str


class Block(TypedDict):
    """A customer who gets no codes."""

    since: str
    by: Literal["bank", "customer"]


class BlockChange(TypedDict):
    """`changed`: False if it was so before."""

    state: Literal["blocked", "not_blocked"]
    changed: bool


class Run(TypedDict):
    """A statement run."""

    id: str
    kind: str
    name: str
    period: str
    state: str
    about: str
    rows: int | None
    created_at: str
    started_at: str | None
    ended_at: str | None
    reason: str


class RunProgress(Run):
    """A statement run, and how far it is."""

    mails: int
    states: dict[str, int]
    resent: int
    delivered: int | None
    bounced: int
    rate: float
    rest_s: float | None


class Mail(TypedDict):
    """A mail to one recipient."""

    at: str
    id: str
    direction: str
    client: str | None
    sender: str
    recipient: str
    outcome: str
    reasons: list[str]
    rule: str


class HeldMail(TypedDict):
    """A held mail, without its content."""

    id: str
    kind: Literal["hold", "quarantine"]
    state: Literal["waiting", "released", "rejected"]
    at: str
    direction: Literal["outbound", "inbound"]
    sender: str
    recipients: list[str]
    rule: str
    reason: str
    size: int
    incident: str


class Outcome(TypedDict):
    """What happened to a released mail for one recipient."""

    address: str
    outcome: str
    reason: str | None


class Released(HeldMail):
    """A held mail that was released."""

    outcomes: list[Outcome]


class Value(TypedDict):
    """A personal value with the salt of its commitment."""

    value: str
    salt: str


class AuditRecord(TypedDict):
    """A record of the audit log."""

    v: int
    number: int
    at: str
    act: str
    result: Literal["begun", "done", "failed"]
    reason: NotRequired[str]
    actor: dict[str, str]
    object: dict[str, str]
    details: dict[str, Any]
    personal: dict[str, str]
    values: dict[str, Value]


class Status(TypedDict):
    """The state of the gateway. `good`: whether mail can be accepted. None: it is not known."""

    at: str
    good: bool
    version: str
    hostname: str
    mode: str
    checks: list[dict[str, str]]
    hour: dict[str, int] | None
    day: dict[str, int] | None
    numbers: dict[str, Any] | None
    processes: dict[str, int] | None
    not_asked: list[str] | None
    expiring: list[dict[str, str]]
    disks: list[dict[str, Any]]
