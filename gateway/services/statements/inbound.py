"""What comes back of statements: bounces. A person's answer goes to the address in From or Reply-To, not here."""

from gateway.errors import Reason
from gateway.model.mail import Mail, Recipient
from gateway.pipeline.inbound.service import Received, Refused
from gateway.services.bounces import Bounces
from gateway.smime.open import Opened


class StatementMail:
    """See pipeline.inbound.service.MailService."""

    def __init__(self, bounces: Bounces) -> None:
        self._bounces = bounces

    def receive(self, mail: Mail, opened: Opened, to: Recipient) -> Received:
        """See MailService."""
        taken = self._bounces.take(mail, opened, to)
        return taken or Refused(Reason.SERVICE_REFUSED, "return paths accept delivery reports only")
