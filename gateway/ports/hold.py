"""The hold store: hold and quarantine. Bodies are encrypted to an archive key (design 2.2)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol

from gateway.model.audit.acts import Act
from gateway.model.mail import Mail
from gateway.model.mail_query import is_of
from gateway.model.mailbox import address_matches
from gateway.ports.place import Place
from gateway.ports.services.fallbacks import CertificateWait

HOLD_ID_DIGITS: Final = 12  # hexadecimal


@dataclass(frozen=True, slots=True)
class HeldRow:
    """What can be listed without opening the body. `state`: waiting, released, rejected.

    `subject`: in clear of mail from outside; '' for the bank's own mail, whose subject is inside, with the body.
    `incident`: by which its evidence is found.
    """

    hold_id: str
    kind: Literal["hold", "quarantine"]
    at: datetime
    direction: Literal["outbound", "inbound"]
    sender: str
    recipients: tuple[str, ...]
    subject: str
    rule: str
    reason: str
    state: Literal["waiting", "released", "rejected"]
    size: int
    incident: str = ""


@dataclass(frozen=True, slots=True)
class HoldQuery:
    """Every condition that is given must hold; '' and None are no condition.

    `address`: of the sender or a recipient, or `@domain`, in any spelling. `reason`: a dotted Reason or its first
    part, such as `policy`. `since` is included, `until` is not.
    """

    kind: str = ""
    address: str = ""
    direction: str = ""
    reason: str = ""
    rule: str = ""
    since: datetime | None = None
    until: datetime | None = None

    def matches(self, row: HeldRow) -> bool:
        """Whether the held mail meets all conditions."""
        equal = ((self.kind, row.kind), (self.direction, row.direction), (self.rule, row.rule))
        return (all(expected in ("", value) for expected, value in equal)
                and (not self.reason or is_of(row.reason, self.reason))
                and (self.since is None or row.at >= self.since)
                and (self.until is None or row.at < self.until)
                and (not self.address or any(address_matches(self.address, one)
                                             for one in (row.sender, *row.recipients))))


@dataclass(frozen=True, slots=True)
class HeldPage:
    """`rows`: the oldest first. `next`: the last one that was examined; None: there are no others."""

    rows: tuple[HeldRow, ...]
    next: Place | None


def held_key(hold_id: str) -> str:
    """The journal's key of a held mail; the message keys of what leaves of it begin with it."""
    return f"held as {hold_id}"


def held_act(name: str, row: HeldRow) -> Act:
    """An act on a held mail, for the audit log."""
    return Act(name, row.hold_id, {"kind": row.kind, "incident": row.incident, "rule": row.rule, "reason": row.reason},
               {"sender": row.sender, "recipients": " ".join(row.recipients)})


class Hold(Protocol):
    """Durable when `put` returns."""

    def put(self, mail: Mail, recipients: tuple[str, ...], *, kind: Literal["hold", "quarantine"],
            direction: Literal["outbound", "inbound"], subject: str, rule: str, reason: str,
            wait: CertificateWait | None = None) -> str:
        """Stores the mail; returns the hold id. GatewayError(HOLD_FULL, retry=True) at its limit.

        `wait`: it is held until the recipient has a certificate (ports.services.fallbacks); kept until it is settled.
        """
        ...

    def list(self, *, state: str = "waiting", query: HoldQuery | None = None) -> tuple[HeldRow, ...]:
        """Oldest first; with `query` those that meet its conditions."""
        ...

    def get(self, hold_id: str) -> tuple[HeldRow, Mail]:
        """With the body opened; the mail says what it was held as. GatewayError(USAGE) if there is no such id."""
        ...

    def row(self, hold_id: str) -> HeldRow:
        """One without its body. GatewayError(USAGE) if there is no such id."""
        ...

    def settle(self, hold_id: str, state: Literal["released", "rejected"]) -> None:
        """Marks it done and drops the body."""
        ...


class HeldList(Protocol):
    """Held mail as it is listed page by page. GatewayError STORE_UNAVAILABLE (retry)."""

    def page(self, query: HoldQuery, count: int, *, state: str, after: Place | None = None) -> HeldPage:
        """At most `count` rows after this place. A page of a long search may have fewer, or none, and a `next`."""
        ...

    def row(self, hold_id: str) -> HeldRow:
        """See Hold."""
        ...
