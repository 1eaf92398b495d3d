"""What the bank's system hears of its codes, behind the answers that it gets at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import structlog

from gateway.errors import GatewayError, Reason
from gateway.ports.services.codes import CodeRow

EventKind = Literal["accepted", "delivered", "failed", "bounced", "blocked"]


@dataclass(frozen=True, slots=True)
class CodeEvent:
    """What the issuer's callback hears. Events of one code are told in their order.

    accepted: it was ordered, and will be sent. delivered: the next hop has the mail. failed: it did not get it, and the
    code is cancelled, for `reason`. bounced: the mail came back from one of the addresses (`detail`: RFC 3463 status).
    blocked: the customer said that it was not his doing, or the bank blocked him; his codes are dead.
    `mail`: which of the code's mails, from 1; 0 where it is about none.
    """

    kind: EventKind
    client: str
    code_id: str
    customer: str
    reference: str
    at: datetime
    reason: Reason | None = None
    detail: str = ""
    mail: int = 0


# Makes events durable, in their order; GatewayError if it cannot.
EventSink = Callable[[Sequence[CodeEvent]], None]

log = structlog.get_logger("sealgate.codes")


def event(kind: EventKind, row: CodeRow, at: datetime, reason: Reason | None = None, detail: str = "", mail: int = 0
          ) -> CodeEvent:
    """Of one code."""
    return CodeEvent(kind, row.client, row.code_id, row.customer, row.reference, at, reason, detail, mail)


def publish(sink: EventSink, *events: CodeEvent) -> None:
    """What happened has happened: an event that cannot be told changes nothing of that, and is a critical line."""
    try:
        if events:
            sink(events)
    except GatewayError as trouble:
        log.critical("callback.event_not_stored", code_id=events[0].code_id, events=[one.kind for one in events],
                     reason=trouble.reason, detail=trouble.detail)
