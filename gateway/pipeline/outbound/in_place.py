"""The next hop of a mail that its front end still holds and can change: Postfix, while it waits for its milter.

A group that is everybody needs no other way: what it would be sent is put in the place of what came, and the front
end's own queue has it. Every other group leaves through the real next hop, under the journal, and the front end is
told to drop what it holds.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.model.address import fold
from gateway.model.mail import Envelope, Mail
from gateway.ports.next_hop import HopReply, NextHop

Take = Callable[[bytes, Envelope], bool]


@dataclass(frozen=True, slots=True)
class InPlace:
    """Of one mail. `take` is offered the octets and the envelope of a group that is everybody: whether the front end

    can put them in place. It is not asked about other mail that goes the same way, such as a report to the sender.
    """

    hop: NextHop
    mail: Mail
    take: Take

    def deliver(self, octets: bytes, envelope: Envelope,
                before_dot: Callable[[tuple[str, ...]], None] | None = None, *,
                all_or_none: bool = False) -> tuple[HopReply, ...]:
        """See NextHop. What is put in place is taken: the front end's answer to its client is then its own."""
        if not self._everybody(envelope) or not self.take(octets, envelope):
            return self.hop.deliver(octets, envelope, before_dot, all_or_none=all_or_none)
        addresses = tuple(one.address for one in envelope.recipients)
        if before_dot is not None:
            before_dot(())
        text = f"2.0.0 Ok: in place as {self.mail.origin.attempt_id or 'received'}"
        return tuple(HopReply(address, 250, text) for address in addresses)

    def probe(self, reverse_path: str, recipient: str) -> HopReply:
        """See NextHop."""
        return self.hop.probe(reverse_path, recipient)

    def _everybody(self, envelope: Envelope) -> bool:
        held = self.mail.envelope
        return envelope.reverse_path == held.reverse_path and _recipients(envelope) == _recipients(held)


def _recipients(envelope: Envelope) -> frozenset[tuple[str, tuple[str, ...]]]:
    """With NOTIFY: the front end reports to the sender as it was told before, so that must not have changed."""
    return frozenset((fold(one.address), one.notify) for one in envelope.recipients)
