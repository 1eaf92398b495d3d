"""What people and programs do with codes that were issued: look at them, end them, block a customer.

It makes no code and sends nothing, so it needs neither secret nor key.
"""

from collections.abc import Callable
from typing import Final

from gateway.clock import Clock
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import Customer
from gateway.ports.services.codes import Block, CodeMail, CodeRow, CodeState, CodeStore
from gateway.services.codes.events import EventSink, event, publish
from gateway.services.codes.order import Shown

SENDS_MAX: Final = 4  # mails with one code; a customer who needs a fifth needs another channel


class Desk:
    """Safe on many threads. Every method with a `client` sees that client's codes only: others are CODE_UNKNOWN.

    GatewayError from each: STORE_UNAVAILABLE (retry), and what its own line says.
    """

    def __init__(self, store: CodeStore, clock: Clock, customer: Callable[[str], Customer | None], sink: EventSink,
                 tries_max: int) -> None:
        """`customer`: by number."""
        self.store = store
        self.clock = clock
        self.customer = customer
        self.sink = sink
        self._tries_max = tries_max

    def cancel(self, client: str, code_id: str) -> Shown:
        """Ends a live code; of another the state stays. CODE_UNKNOWN."""
        row = self.row(client, code_id)
        if row.state_at(self.clock.now()) is CodeState.LIVE:
            self.store.end(code_id, CodeState.CANCELLED)
        return self.show(client, code_id)

    def show(self, client: str, code_id: str) -> Shown:
        """CODE_UNKNOWN."""
        return self._shown(self.row(client, code_id))

    def looked_at(self, code_id: str) -> tuple[str, Shown, tuple[CodeMail, ...]]:
        """For people: whose client it was, the code, and its mails. CODE_UNKNOWN."""
        row = self.store.get(code_id)
        if row is None:
            raise GatewayError(Reason.CODE_UNKNOWN)
        return row.client, self._shown(row), self.store.mails(code_id)

    def of_customer(self, customer: str, rows_max: int) -> tuple[tuple[str, Shown], ...]:
        """What there was for a customer, the newest first, each with its client."""
        return tuple((row.client, self._shown(row)) for row in self.store.of_customer(customer, rows_max))

    def block(self, customer: str) -> bool:
        """No code for this customer until `unblock`, and those that live are dead. True: they were not blocked before.

        CUSTOMER_UNKNOWN.
        """
        if self.customer(customer) is None:
            raise GatewayError(Reason.CUSTOMER_UNKNOWN)
        block = Block(customer, self.clock.now(), "bank")
        done = self.store.block(block)
        if done is None:
            return False
        publish(self.sink, *(event("blocked", row, block.at, Reason.CUSTOMER_BLOCKED) for row in done.dead))
        return done.fresh

    def unblock(self, customer: str) -> bool:
        """True: they were blocked."""
        return self.store.unblock(customer)

    def blocks(self, customer: str | None = None) -> tuple[Block, ...]:
        """Who is blocked, since when and by whom."""
        return self.store.blocks(customer)

    def row(self, client: str, code_id: str) -> CodeRow:
        """The row in the store. CODE_UNKNOWN."""
        row = self.store.get(code_id)
        if row is None or row.client != client:
            raise GatewayError(Reason.CODE_UNKNOWN)
        return row

    def _shown(self, row: CodeRow) -> Shown:
        state = row.state_at(self.clock.now())
        alive = state is CodeState.LIVE
        return Shown(
            row.code_id, row.customer, row.purpose, state, row.created_at, row.expires_at, row.digits,
            tries_left=max(0, self._tries_max - row.tries) if alive else 0,
            resends_left=max(0, SENDS_MAX - row.sends) if alive else 0, reference=row.reference)
