"""What would be decided of a mail, without sending it: for `sealgate policy explain`.

The same facts, the same look-ups and the same rules as on the ways out and in; nothing is stored, nothing leaves.
"""

from collections.abc import Iterator
from dataclasses import replace

from gateway.model.facts import Facts
from gateway.model.mail import Mail, direction
from gateway.pipeline.context import Context
from gateway.pipeline.facts import Message
from gateway.pipeline.inbound.receive import open_with, openers_for, signer_of
from gateway.pipeline.outbound.plan import Plan, plan
from gateway.pipeline.strip import without_forgeries


def foresee(context: Context, mail: Mail) -> Iterator[tuple[Facts, Plan]]:
    """For each recipient of the envelope: the facts, and the plan with every fact that its rules asked for.

    GatewayError as the ways themselves have it, for a mail that comes to no decision.
    """
    if mail.origin.ours:
        facts = Message.of(mail, context).facts
        for recipient in mail.envelope.recipients:
            ours = context.identity.owns(recipient.address)
            yield facts, plan(context, facts, recipient, direction(client_is_ours=True, recipient_is_ours=ours))
        return
    mail = replace(mail, octets=without_forgeries(mail.octets, context, mail.origin))
    for recipient in mail.envelope.recipients:
        opened = open_with(context, mail, openers_for(context, recipient))
        facts = Message.of(mail, context, octets=opened.octets, verdicts=opened.verdicts).facts
        ours = context.identity.owns(recipient.address)
        where = direction(client_is_ours=False, recipient_is_ours=ours)
        yield facts, plan(context, facts, recipient, where, signer_of(opened))
