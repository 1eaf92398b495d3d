"""The next hop of a mail that its front end still holds and can change: Postfix, while it waits for its milter.

If one group has all recipients, its octets replace the mail that the front end holds, and the front end's own queue
delivers it. Every other group leaves through the real next hop, under the journal, and the front end drops its mail.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.model.address import fold
from gateway.model.mail import Envelope, Mail
from gateway.ports.next_hop import HopReply, NextHop

Take = Callable[[bytes, Envelope], bool]


@dataclass(frozen=True, slots=True)
class InPlace:
    """Of one mail. `take` gets octets and envelope of a group with all recipients: whether the front end can put them

    in place. It does not get other mail that goes the same way, such as a report to the sender.
    """

    hop: NextHop
    mail: Mail
    take: Take

    def deliver(self, octets: bytes, envelope: Envelope,
                before_dot: Callable[[tuple[str, ...]], None] | None = None, *,
                all_or_none: bool = False) -> tuple[HopReply, ...]:
        """See NextHop. Mail that is put in place counts as taken: the front end then answers its client itself."""
        if not self._has_all_recipients(envelope) or not self.take(octets, envelope):
            return self.hop.deliver(octets, envelope, before_dot, all_or_none=all_or_none)
        addresses = tuple(one.address for one in envelope.recipients)
        if before_dot is not None:
            before_dot(())
        text = f"2.0.0 Ok: in place as {self.mail.origin.attempt_id or 'received'}"
        return tuple(HopReply(address, 250, text) for address in addresses)

    def probe(self, reverse_path: str, recipient: str) -> HopReply:
        """See NextHop."""
        return self.hop.probe(reverse_path, recipient)

    def _has_all_recipients(self, envelope: Envelope) -> bool:
        held = self.mail.envelope
        return envelope.reverse_path == held.reverse_path and _recipients(envelope) == _recipients(held)


def _recipients(envelope: Envelope) -> frozenset[tuple[str, tuple[str, ...]]]:
    """With NOTIFY: the front end reports to the sender by the NOTIFY it received before, so it must be unchanged."""
    return frozenset((fold(one.address), one.notify) for one in envelope.recipients)
