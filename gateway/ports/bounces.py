"""What came back: a mail of ours that did not reach its reader, or reached one who says that it was not his doing.

Each service's store of what it sent is one of these; the service's inbound way finds the id in the return path or in
the Message-ID (services.verp), so that no stranger can name one.
"""

from datetime import datetime
from typing import Final, Protocol

DIAGNOSTIC_CHARACTERS_MAX: Final = 300  # printable ASCII of a stranger's mail server; may name the address, no more


class BounceBook(Protocol):
    """GatewayError(STORE_UNAVAILABLE, retry=True) from every method that cannot tell."""

    def bounced(self, identifier: str, status: str, diagnostic: str, permanent: bool,  # noqa: FBT001 - always named
                at: datetime) -> bool:
        """Notes that the mail with this id came back; durable when it returns. True: this was not known before.

        `status`: RFC 3463, such as `5.1.1`; `diagnostic`: what the recipient's server said, at most
        DIAGNOSTIC_CHARACTERS_MAX of printable ASCII, '' for nothing; `permanent`: it will not be tried again.
        False, and nothing is changed: there is no such mail, or the same or a permanent one was noted before.
        """
        ...


class CodeBook(BounceBook, Protocol):
    """What the reply of a customer asks of the codes."""

    def customer_of(self, identifier: str) -> str | None:
        """Whose code this was, as long as it is remembered; None: there is none."""
        ...

    def block(self, customer: str, at: datetime) -> bool:
        """No more codes for this customer until somebody unblocks him, and those that live are dead; durable when it

        returns. True: he was not blocked before.
        """
        ...
