"""Checks that a client may use the From address of its mail.

`frontends/clients.py` checks the reverse-path, `actions/sign.py` the From against the key set and its certificate.
"""

from gateway.errors import GatewayError, Reason
from gateway.model.mail import Mail
from gateway.model.mailbox import permitted_from
from gateway.pipeline.context import Context
from gateway.pipeline.facts import Message, shown_in_from


def check_from(context: Context, mail: Mail, message: Message) -> None:
    """A client uses only its own addresses in the From that people see, the name in it included.

    GatewayError: CLIENT_FROM_NOT_ALLOWED, FROM_MISSING, FROM_AMBIGUOUS.
    """
    facts = message.facts
    patterns = context.client_from.get(mail.origin.client or "", ())
    if "*" in patterns:
        return
    if facts.from_ is None:
        reason = Reason.FROM_MISSING if facts.no_from == "none" else Reason.FROM_AMBIGUOUS
        raise GatewayError(reason, "header From must name exactly one mailbox")
    if not permitted_from(patterns, facts.from_):
        raise GatewayError(
            Reason.CLIENT_FROM_NOT_ALLOWED, f"client {mail.origin.client!r} may not use From {facts.from_}")
    for shown in shown_in_from(message):
        if context.identity.owns(shown) and not permitted_from(patterns, shown):
            raise GatewayError(Reason.CLIENT_FROM_NOT_ALLOWED, f"From {facts.from_} is shown as {shown}")
