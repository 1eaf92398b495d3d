"""The life of a code: issued, sent again, verified once, cancelled. `app.codes` builds it."""

from datetime import datetime

from gateway.services.codes.order import Issued, Order, Shown, Verdict
from gateway.services.codes.transaction import Transaction


class Codes:
    """Safe on many threads. Every method with a `client` sees that client's codes only: others are CODE_UNKNOWN.

    GatewayError from each: STORE_UNAVAILABLE (retry), and what its own line says. `retry` is 503 with Retry-After.
    """

    def issue(self, client: str, order: Order) -> Issued:
        """Sends a new code; the one that lived for the same customer and purpose is replaced.

        Returns once the next hop has the mail. Else the code is cancelled and the reason raised: INPUT_MALFORMED,
        CUSTOMER_UNKNOWN, CUSTOMER_BLOCKED, CUSTOMER_NO_ADDRESS, CODE_OFTEN (retry), CERTIFICATE_*, NEXT_HOP_*, POLICY_*
        """
        raise NotImplementedError

    def resend(self, client: str, code_id: str, transaction: Transaction | None) -> Issued:
        """Sends the same code again while it lives. What is paid is stored nowhere, so the caller says it again.

        CODE_UNKNOWN, CODE_CHANGED if it is not the transaction of the order, CODE_OFTEN, else as the code's state;
        trouble with the mail as in `issue`, but the code lives on: the first mail may have been read.
        """
        raise NotImplementedError

    def verify(self, client: str, code_id: str, code: str, transaction: Transaction | None) -> Verdict:
        """One try: counted before it is compared, in the same commit. Raises CODE_UNKNOWN."""
        raise NotImplementedError

    def cancel(self, client: str, code_id: str) -> Shown:
        """Ends a live code; of another the state stays. CODE_UNKNOWN."""
        raise NotImplementedError

    def show(self, client: str, code_id: str) -> Shown:
        """CODE_UNKNOWN."""
        raise NotImplementedError

    def block(self, customer: str, at: datetime | None = None) -> bool:
        """No code for this customer until `unblock`, and those that live are dead. True: he was not blocked before.

        CUSTOMER_UNKNOWN.
        """
        raise NotImplementedError

    def unblock(self, customer: str) -> bool:
        """True: he was blocked."""
        raise NotImplementedError
