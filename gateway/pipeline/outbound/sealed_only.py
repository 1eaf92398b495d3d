"""A context that sends only encrypted mail: for one-time codes, which must never leave readable.

A bank writes its own rules, and a mistake in a rule must not matter here: the octets are checked once more before the
next hop. Such mail is not held either, because it would be worthless when it is released, and `mode: observe` does not
send it as it came.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn

from gateway.cms.envelope import parse_enveloped
from gateway.errors import GatewayError, Reason
from gateway.mime.smime_forms import Cms, detect
from gateway.model.mail import Envelope, Mail
from gateway.pipeline.context import Context
from gateway.ports.hold import HeldRow, Hold, HoldQuery
from gateway.ports.next_hop import HopReply, NextHop


def sealed_only(context: Context) -> Context:
    """The same context with this check. GatewayError POLICY_REJECTED in `mode: observe`."""
    if context.trial is not None:
        raise GatewayError(Reason.POLICY_REJECTED, "mode: observe lets mail leave as it came")
    return replace(context, outbound_hop=SealedHop(context.outbound_hop), inbound_hop=SealedHop(context.inbound_hop),
                   hold=NoHold(context.hold))


@dataclass(frozen=True, slots=True)
class SealedHop:
    """See ports.next_hop.NextHop. GatewayError POLICY_REJECTED for a mail that is not encrypted at its root."""

    hop: NextHop

    def deliver(self, octets: bytes, envelope: Envelope,
                before_dot: Callable[[tuple[str, ...]], None] | None = None, *,
                all_or_none: bool = False) -> tuple[HopReply, ...]:
        """See NextHop."""
        if not is_sealed(octets):
            raise GatewayError(Reason.POLICY_REJECTED, "the rule would let it leave without encryption")
        return self.hop.deliver(octets, envelope, before_dot, all_or_none=all_or_none)

    def probe(self, reverse_path: str, recipient: str) -> HopReply:
        """See NextHop."""
        return self.hop.probe(reverse_path, recipient)


@dataclass(frozen=True, slots=True)
class NoHold:
    """See ports.hold.Hold. GatewayError POLICY_HELD instead of holding a mail."""

    hold: Hold

    def put(self, mail: Mail, recipients: tuple[str, ...], **about: Any) -> NoReturn:
        """See Hold."""
        del mail, recipients, about
        raise GatewayError(Reason.POLICY_HELD, "the rule would hold mail that must not be held")

    def list(self, *, state: str = "waiting", query: HoldQuery | None = None) -> tuple[HeldRow, ...]:
        """See Hold."""
        return self.hold.list(state=state, query=query)

    def get(self, hold_id: str) -> tuple[HeldRow, Mail]:
        """See Hold."""
        return self.hold.get(hold_id)

    def row(self, hold_id: str) -> HeldRow:
        """See Hold."""
        return self.hold.row(hold_id)

    def settle(self, hold_id: str, state: Literal["released", "rejected"]) -> None:
        """See Hold."""
        self.hold.settle(hold_id, state)


def is_sealed(octets: bytes) -> bool:
    """Whether the root of the mail is an envelope with a recipient (RFC 5652 6, RFC 5083)."""
    try:
        form = detect(octets)
        return isinstance(form, Cms) and bool(parse_enveloped(form.der).recipients)
    except GatewayError:
        return False
