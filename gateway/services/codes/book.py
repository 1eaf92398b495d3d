"""Mail that comes back to codes: bounces, and the customer's denial of a code (ports.services.bounces.CodeBook).

It sends nothing and makes no code, so it needs no secret: every worker that takes mail in has one.
"""

from datetime import datetime
from typing import Final

from gateway.errors import Reason
from gateway.ports.services.bounces import IssuedTo
from gateway.ports.services.codes import Block, CodeStore
from gateway.services.codes.events import EventSink, event, publish
from gateway.services.codes.message import code_of

_DISOWNED: Final = "disowned"


class Book:
    """See ports.services.bounces.CodeBook. Its acts are reported to the client that issued the code."""

    def __init__(self, store: CodeStore, sink: EventSink) -> None:
        self._store = store
        self._sink = sink

    def bounced(self, identifier: str, status: str, diagnostic: str, permanent: bool,  # noqa: FBT001 - as the port
                at: datetime) -> bool:
        """See ports.services.bounces.BounceBook. The code stays valid: it may have reached the customer elsewhere.

        That a mail is late is no news for the client: it may arrive yet, and what ends it has the same status.
        """
        code_id, number = code_of(identifier)
        row = self._store.bounced(code_id, number, status, diagnostic, at, permanent=permanent)
        if row is None:
            return False
        if permanent:
            publish(self._sink, event("bounced", row, at, detail=status, mail=number))
        return True

    def issued(self, identifier: str) -> IssuedTo | None:
        """See ports.services.bounces.CodeBook."""
        row = self._store.get(code_of(identifier)[0])
        if row is None:
            return None
        return IssuedTo(row.code_id, row.customer, row.client, row.reference, row.created_at)

    def disown(self, identifier: str, at: datetime) -> bool:
        """See ports.services.bounces.CodeBook. The issuer of the code gets an event even for a dead code."""
        row = self._store.get(code_of(identifier)[0])
        done = None if row is None else self._store.block(
            Block(row.customer, at, "customer"), (row.code_id, _DISOWNED))
        if row is None or done is None:
            return False
        others = (one for one in done.dead if one.code_id != row.code_id)
        publish(self._sink, *(event("blocked", one, at, Reason.CUSTOMER_BLOCKED) for one in (row, *others)))
        return True

    def noted(self, identifier: str, what: str) -> bool:
        """See ports.services.bounces.CodeBook."""
        return self._store.noted(code_of(identifier)[0], what)

    def note(self, identifier: str, what: str, at: datetime) -> None:
        """See ports.services.bounces.CodeBook."""
        self._store.note(code_of(identifier)[0], what, at)
