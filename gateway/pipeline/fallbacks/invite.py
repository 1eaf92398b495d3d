"""`invite`: one neutral mail in so many days to a recipient for whom mail is held, however many mails that are.

It is sent in the name of a client of the bank, and the rules decide on it as on any other mail.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_hex

import structlog

from gateway.errors import Reason
from gateway.letters.compose import Heading, compose
from gateway.mime.trace import new_message_id
from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.model.outcome import Outcome, Settled
from gateway.pipeline.context import Context
from gateway.ports.services.fallbacks import WaitingMail

log = structlog.get_logger("sealgate.waiting")


@dataclass(frozen=True, slots=True)
class Invitation:
    """`sender`: header From; `client`: in whose name; `way`: how a customer gets a certificate, one sentence."""

    sender: str
    client: str
    way: str
    again_after: timedelta


def invite(context: Context, invitation: Invitation, waiting: WaitingMail, rehearse: Callable[[Mail], Outcome],
           handle: Callable[[Mail], Outcome]) -> bool:
    """Whether an invitation is sent now. An invitation that the rules would hold or reject is not sent."""
    now, book, address = context.clock.now(), context.fallbacks.book, waiting.wait.address
    if not book.begin_invitation(address, now, not_since=now - invitation.again_after):
        return False
    mail = _mail(context, invitation, address, now)
    outcome = rehearse(mail)
    if outcome.answer is Settled.TAKEN and all(one.settled is Settled.TAKEN for one in outcome.recipients):
        outcome = handle(mail)
        if outcome.answer is Settled.TAKEN:
            book.mark_invited(address, now)
            log.info("invitation.sent", hold_id=waiting.hold_id, incident=mail.origin.incident)
            return True
    held = any(one.settled is Settled.HELD for one in outcome.recipients)
    log.warning("invitation.not_sent", hold_id=waiting.hold_id, incident=mail.origin.incident,
                reason=str(outcome.reason or (Reason.POLICY_HELD if held else Reason.INTERNAL)))
    return False


def _mail(context: Context, invitation: Invitation, address: str, now: datetime) -> Mail:
    fallbacks = context.fallbacks
    letter = fallbacks.letters.write("invite", fallbacks.language, {"way": invitation.way, "sender": invitation.sender})
    identifier = new_message_id(token_hex(16), context.identity.hostname)
    octets = compose(letter, Heading(
        invitation.sender, (address,), identifier.partition(b":")[2].strip().decode("ascii"), now,
        fallbacks.letters.letterhead.sender,
        more=(b"Auto-Submitted: auto-generated\r\n",)))
    origin = Origin(ours=True, client=invitation.client, received_at=now, incident=token_hex(8), listener="invite")
    return Mail(octets, Envelope(invitation.sender, (Recipient(address),)), origin)
