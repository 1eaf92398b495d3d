"""The mail server behind us."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.model.mail import Envelope


@dataclass(frozen=True, slots=True)
class HopReply:
    """One recipient's answer. `code` 0: never reached an answer (connection lost, temporary)."""

    address: str
    code: int
    text: str

    @property
    def taken(self) -> bool:
        """2xx."""
        return 200 <= self.code < 300

    @property
    def permanent(self) -> bool:
        """5xx."""
        return 500 <= self.code < 600


class NextHop(Protocol):
    """Takes a whole mail or says why not; never raises for what the other side answers."""

    def deliver(self, octets: bytes, envelope: Envelope,
                before_dot: Callable[[tuple[str, ...]], None] | None = None, *,
                all_or_none: bool = False) -> tuple[HopReply, ...]:
        """One reply per recipient, in the envelope's order. `before_dot` is called with the accepted recipients

        right before the final dot goes out (the journal's `sending`); what it raises goes up, and nothing was sent.
        With () where the front end keeps the mail itself, and nothing is to go out.
        `all_or_none`: if any recipient is refused nothing is sent either; those accepted answer with code 0.
        GatewayError(NEXT_HOP_UNAVAILABLE |
        NEXT_HOP_TLS, retry=True) if there is no session to be had, and NEXT_HOP_EIGHT_BIT | NEXT_HOP_SMTPUTF8
        if the next hop lacks what the mail needs (never downgraded silently).
        """
        ...

    def probe(self, reverse_path: str, recipient: str) -> HopReply:
        """What the next hop says to this RCPT, without sending anything."""
        ...
