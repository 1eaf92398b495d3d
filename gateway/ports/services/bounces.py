"""Bounced or denied mail: a mail of the gateway that did not reach its reader, or whose reader denies the order.

Each service's store of what it sent is one of these; the service's inbound way finds the id in the return path or in
the Message-ID (services.verp), so that no stranger can name one.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

DIAGNOSTIC_CHARACTERS_MAX: Final = 300  # printable ASCII of a stranger's mail server; may name the address, no more


class BounceBook(Protocol):
    """GatewayError(STORE_UNAVAILABLE, retry=True) from every method if the store does not answer."""

    def bounced(self, identifier: str, status: str, diagnostic: str, permanent: bool,  # noqa: FBT001 - always named
                at: datetime) -> bool:
        """Notes that the mail with this id came back; durable when it returns. True: this was not known before.

        `status`: RFC 3463, such as `5.1.1`; `diagnostic`: the reply of the recipient's server, at most
        DIAGNOSTIC_CHARACTERS_MAX of printable ASCII, '' for nothing; `permanent`: it will not be tried again.
        False, and nothing is changed: there is no such mail, or the same or a permanent one was noted before.
        """
        ...


@dataclass(frozen=True, slots=True)
class IssuedTo:
    """Whose code a mail carried. `client`: a name of the settings, who asked for it; `reference`: the client's own.

    `at`: when it was issued; an answer that was signed before that is no answer to it.
    """

    code_id: str
    customer: str
    client: str
    reference: str
    at: datetime


class CodeBook(BounceBook, Protocol):
    """What a customer's answer asks of the codes. `identifier`: of the mail, as in its return path and Message-ID."""

    def issued(self, identifier: str) -> IssuedTo | None:
        """As long as the code is remembered; None: there is none."""
        ...

    def disown(self, identifier: str, at: datetime) -> bool:
        """The customer denies the order of this code: no more codes for them until an operator unblocks them.

        Their live codes are dead; one commit, durable when it returns. It counts once for each code, so that a mail
        that was kept and comes again undoes no unblocking. True: this call did it.
        """
        ...

    def noted(self, identifier: str, what: str) -> bool:
        """Whether `note` was called with these."""
        ...

    def note(self, identifier: str, what: str, at: datetime) -> None:
        """Records a word about the code's report (`alarmed`, `doubted`), at most 32 ASCII letters.

        So an act is not repeated when the same mail comes again. Calling it twice changes nothing.
        """
        ...
