"""Puts a group of recipients into the hold store: for an operator, or until the recipient has a certificate."""

from typing import Literal

from gateway.errors import Reason
from gateway.mime.header import parse_headers
from gateway.model.fallbacks import FALLBACKS
from gateway.model.mail import Direction, Mail, Recipient
from gateway.model.outcome import RecipientOutcome, Settled
from gateway.pipeline.context import Context
from gateway.pipeline.outbound.plan import Plan
from gateway.ports.services.fallbacks import CertificateWait


def hold(context: Context, mail: Mail, recipients: tuple[Recipient, ...], plan: Plan) -> tuple[RecipientOutcome, ...]:
    """One group into the hold store, as received; it is settled once it is durable there.

    The list of held mail needs no key, so it shows of a subject only what travelled in clear: the outer one of mail
    from outside. Ours would have been hidden, and is stored with the body under the archive certificate.
    """
    decision = plan.decision
    inbound = plan.facts.direction is Direction.INBOUND
    kind: Literal["hold", "quarantine"] = "quarantine" if decision.end.kind == "quarantine" else "hold"
    reason = Reason.POLICY_QUARANTINED if kind == "quarantine" else Reason.POLICY_HELD
    addresses = tuple(recipient.address for recipient in recipients)
    wait = None
    if decision.fallback is not None and FALLBACKS[decision.fallback].held:  # else the rule itself holds, for people
        reason = FALLBACKS[decision.fallback].reason or reason
        wait = CertificateWait(addresses[0], decision.fallback, plan.want)
    hold_id = context.hold.put(
        mail,
        addresses,
        kind=kind,
        direction="inbound" if inbound else "outbound",
        subject=(parse_headers(mail.octets).text("subject") or "") if inbound else "",
        rule=decision.rule,
        reason=decision.end.text or str(reason),
        wait=wait,
    )
    return tuple(RecipientOutcome(address, Settled.HELD, reason, reply=f"held as {hold_id}") for address in addresses)
