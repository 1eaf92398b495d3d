"""A mail for a service of the bank: nobody reads it, a program acts on it (`end: {hand_to: SERVICE}`).

The service has committed before its recipient is SERVED, and the client is told 250 after that. What it says of a mail
goes where a next hop's reply would stand: into the evidence, which `sealgate trace` shows.
"""

import structlog

from gateway.errors import GatewayError, Reason
from gateway.model.mail import Mail, Recipient
from gateway.model.outcome import RecipientOutcome, Settled
from gateway.pipeline.context import Context
from gateway.pipeline.inbound.service import Received, Refused, Taken
from gateway.smime.open import Opened


class Nobody:
    """See MailService: of a try, in which nothing outside is touched."""

    def receive(self, mail: Mail, opened: Opened, to: Recipient) -> Received:
        """Nothing is done."""
        del self, mail, opened, to
        return Taken("nothing was done")


log = structlog.get_logger("sealgate.services")


def hand_in(context: Context, mail: Mail, opened: Opened, recipients: tuple[Recipient, ...], service: str
            ) -> tuple[RecipientOutcome, ...]:
    """Each recipient's by itself: what one of them means is no matter of the others."""
    return tuple(_one(context, mail, opened, recipient, service) for recipient in recipients)


def _one(context: Context, mail: Mail, opened: Opened, to: Recipient, service: str) -> RecipientOutcome:
    served = context.services.get(service)
    if served is None:  # rules that name it do not load; so only for as long as a reload takes
        return RecipientOutcome(to.address, Settled.LATER, Reason.STORE_UNAVAILABLE, detail=f"no service {service}")
    try:
        said = served.receive(mail, opened, to)
    except GatewayError as trouble:
        settled = Settled.LATER if trouble.retry else Settled.REFUSED
        return RecipientOutcome(to.address, settled, trouble.reason, detail=trouble.detail)
    if isinstance(said, Taken):
        log.info("service.mail_received", incident=mail.origin.incident, service=service, note=said.note)
        return RecipientOutcome(to.address, Settled.SERVED, reply=f"{service}: {said.note}" if said.note else service)
    settled = Settled.REFUSED if isinstance(said, Refused) else Settled.LATER
    return RecipientOutcome(to.address, settled, said.reason, detail=said.detail)
