"""Reports to the bank at once that a customer denies a code: a mail of the gateway by the one outbound way."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.errors import GatewayError, Reason
from gateway.letters.compose import Heading, compose
from gateway.letters.write import Writer
from gateway.model.mail import GATEWAY_CLIENT, Envelope, Mail, Origin, Recipient
from gateway.model.outcome import Outcome, Settled
from gateway.ports.services.bounces import IssuedTo
from gateway.services.verp import Verp

_ALARM: Final = "alarm-"  # what its return path begins with; no code is called so


@dataclass(frozen=True, slots=True)
class Alarm:
    """Sends it. `to`: who looks after it; `send`: the outbound way."""

    from_: str
    to: str
    writer: Writer
    returns: Verp
    send: Callable[[Mail], Outcome]

    def raised(self, issued: IssuedTo, at: datetime, *, proven: bool) -> GatewayError | None:
        """Sends the alarm; None: it has left. The same alarm sent again has the same Message-ID.

        `proven`: the customer is blocked. Otherwise the sender of the answer could not prove who they are.
        """
        outcome = self.send(self._mail(issued, at, proven=proven))
        if outcome.answer is Settled.TAKEN:
            return None
        return GatewayError(outcome.reason or Reason.INTERNAL, f"the alarm, incident {outcome.incident}",
                            retry=outcome.answer is Settled.LATER)

    def _mail(self, issued: IssuedTo, at: datetime, *, proven: bool) -> Mail:
        identifier = f"{_ALARM}{issued.code_id}"[:32]
        letter = self.writer.write("code_alarm", None, {
            "proven": proven, "customer": issued.customer, "code_id": issued.code_id, "client": issued.client,
            "reference": issued.reference, "issued_at": issued.at, "answered_at": at})
        message_id = self.returns.message_id(identifier if proven else f"{identifier[:30]}-d")
        octets = compose(letter, Heading(
            self.from_, (self.to,), f"<{message_id}>", at, self.writer.letterhead.sender,
            more=(b"Auto-Submitted: auto-generated\r\n", b"Importance: high\r\n" if proven else b"")))
        # Its rule lets it leave unencrypted, so it needs a client that no SMTP connection can be.
        origin = Origin(ours=True, client=GATEWAY_CLIENT, received_at=at, incident=secrets.token_hex(8),
                        listener="codes")
        return Mail(octets, Envelope(self.returns.address(identifier), (Recipient(self.to),)), origin)


def is_alarm(identifier: str) -> bool:
    """Whether the id of a return path is an alarm's."""
    return identifier.startswith(_ALARM)
