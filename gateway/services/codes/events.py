"""Events about codes for the bank's system, after the answers that it gets at once."""

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
    """An event for the issuer's callback. The callback gets the events of one code in their order.

    accepted: the gateway took the order and will send. delivered: the next hop has the mail. failed: the next hop did
    not get it, and the code is cancelled, for `reason`. bounced: the mail came back from one of the addresses
    (`detail`: RFC 3463 status). blocked: the customer denied the order, or the bank blocked them; their codes are dead.
    `mail`: which of the code's mails, from 1; 0 for events about none.
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
    """Publishes events. A failure to publish changes no result; it is logged as critical."""
    try:
        if events:
            sink(events)
    except GatewayError as trouble:
        log.critical("callback.event_not_stored", code_id=events[0].code_id, events=[one.kind for one in events],
                     reason=trouble.reason, detail=trouble.detail)
