"""A whole gateway in one process for tests: the demo's bank, with a next hop whose answers a test writes."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.app import Gateway
from gateway.clock import SystemClock
from gateway.demo.bank import Bank, Ports, open_bank
from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.ports.next_hop import HopReply
from gateway.settings import Settings, load
from tests.support.process import demo_bank


@dataclass
class ScriptedHop:
    """Takes what it gets, but for recipients in `codes`; `taken` holds (recipients, octets, envelope)."""

    codes: dict[str, int] = field(default_factory=dict)
    taken: list[tuple[tuple[str, ...], bytes, Envelope]] = field(default_factory=list)

    def deliver(
        self,
        octets: bytes,
        envelope: Envelope,
        before_dot: Callable[[tuple[str, ...]], None] | None = None,
        *,
        all_or_none: bool = False,
    ) -> tuple[HopReply, ...]:
        """See ports.next_hop.NextHop."""
        wanted = tuple(one.address for one in envelope.recipients)
        accepted = tuple(address for address in wanted if self.codes.get(address, 250) == 250)
        if all_or_none and len(accepted) < len(wanted):
            return tuple(HopReply(a, 0 if a in accepted else self.codes[a], "as the test says") for a in wanted)
        if accepted:
            if before_dot is not None:
                before_dot(accepted)
            self.taken.append((accepted, octets, envelope))
        return tuple(HopReply(a, self.codes.get(a, 250), "as the test says") for a in wanted)

    def probe(self, reverse_path: str, recipient: str) -> HopReply:
        """See ports.next_hop.NextHop."""
        del reverse_path
        return HopReply(recipient, self.codes.get(recipient, 250), "as the test says")

    def octets_for(self, address: str) -> bytes:
        """The one mail that this recipient got."""
        found = [octets for recipients, octets, _ in self.taken if address in recipients]
        assert len(found) == 1, f"{address} got {len(found)} mails"
        return found[0]


@dataclass
class Context:
    """The gateway, its bank's directory, and the two hops."""

    bank: Bank
    gateway: Gateway
    outbound: ScriptedHop
    inbound: ScriptedHop

    def send(self, octets: bytes, *to: str, client: str = "online-banking", sender: str = "otp@bank.example") -> Mail:
        """A mail of a client of ours."""
        return _mail(octets, sender, to, client)

    def receive(self, octets: bytes, *to: str, sender: str = "anna@customer.example") -> Mail:
        """A mail from the world."""
        return _mail(octets, sender, to, None)


def _mail(octets: bytes, sender: str, to: tuple[str, ...], client: str | None) -> Mail:
    origin = Origin(client is not None, client, SystemClock().now(), secrets.token_hex(8))
    return Mail(octets, Envelope(sender, tuple(Recipient(one) for one in to)), origin)


@contextmanager
def context(home: Path, change: Callable[[Settings], Settings] = lambda settings: settings) -> Iterator[Context]:
    """A new gateway over the demo's bank in `home`, made if it is not there; `change` may alter its settings."""
    bank = open_bank(home, Ports()) if home.exists() else demo_bank(home, Ports())
    gateway = Gateway(change(load(bank.config)))
    hops = ScriptedHop(), ScriptedHop()
    rebuilt = replace(gateway.context, outbound_hop=hops[0], inbound_hop=hops[1])
    gateway.use(rebuilt)
    try:
        yield Context(bank, gateway, *hops)
    finally:
        gateway.close()


def policy(path: Path, text: str) -> Callable[[Settings], Settings]:
    """Settings with one policy file of the test's own in place of the bank's."""
    path.write_text(text, "utf-8")
    return lambda settings: settings.model_copy(update={"policies": (path,)})
