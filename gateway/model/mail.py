"""A mail as it is handed through the gateway: octets, envelope, origin."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

GATEWAY_CLIENT: Final = "sealgate"  # client of mail that the gateway itself writes; no settings can name it so


class Direction(StrEnum):
    """Of one recipient (design 2.6)."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"
    INTERNAL = "internal"
    FOREIGN = "foreign"  # stranger to stranger: always refused


def direction(*, client_is_ours: bool, recipient_is_ours: bool) -> Direction:
    """Two facts decide it and nothing else; above all not the header From."""
    if client_is_ours:
        return Direction.INTERNAL if recipient_is_ours else Direction.OUTBOUND
    return Direction.INBOUND if recipient_is_ours else Direction.FOREIGN


@dataclass(frozen=True, slots=True)
class Recipient:
    """One RCPT TO. `notify` and `orcpt` are the RFC 3461 parameters, verbatim, () and None if not given."""

    address: str
    notify: tuple[str, ...] = ()
    orcpt: str | None = None


@dataclass(frozen=True, slots=True)
class Envelope:
    """One SMTP transaction's envelope. `reverse_path` '' is the null path; addresses without brackets."""

    reverse_path: str
    recipients: tuple[Recipient, ...]
    smtputf8: bool = False
    eight_bit: bool = False  # BODY=8BITMIME was declared
    ret: Literal["FULL", "HDRS"] | None = None
    envid: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a mail came from, as the front end knows it.

    `ours`: the client is one of the bank's. `client`: its name in the settings, None for a stranger.
    `deadline_at`: after it no final dot may go out any more, the client may have given up; None: no such client.
    `attempt_id`: the front's queue id of this attempt, another one at each retry (a milter's): no part of the mail.
    `answers_each`: every recipient gets an answer of its own (LMTP), so none waits for another's result.
    `incident`: the random id that log lines and replies carry. `peer`: IP address as text, '' if not by SMTP.
    `queue_id`: of the mail server in front, the same at each of its attempts (XFORWARD IDENT). `forwarded`: the address
    of that server's client as it states it, '' if not; it identifies the client, but only the peer is trusted.
    `held_as`: the id of a mail that comes out of the hold store; it is settled again, after any earlier result.
    `customers`: the numbers of those for whom a service of the bank wrote the mail; nothing of it leaves to an address
    or a certificate of another customer. (): the gateway does not know for whom it is.
    """

    ours: bool
    client: str | None
    received_at: datetime
    incident: str
    listener: str = ""
    peer: str = ""
    helo: str = ""
    tls: bool = False
    login: str | None = None
    queue_id: str | None = None
    attempt_id: str | None = None
    deadline_at: datetime | None = None
    answers_each: bool = False
    forwarded: str = ""
    held_as: str = ""
    customers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mail:
    """The octets are the truth: a whole RFC 5322 message, CRLF line ends, as received, without dot-stuffing."""

    octets: bytes
    envelope: Envelope
    origin: Origin
