"""Delivery reports (RFC 3464) for recipients that were refused after others were taken: header fields only."""

from dataclasses import replace
from secrets import token_hex

import structlog

from gateway.errors import GatewayError, Reason
from gateway.mime.addresses import encode_mailboxes
from gateway.mime.build import Status, date_field, message, report
from gateway.mime.trace import new_message_id
from gateway.mime.words import encode_unstructured
from gateway.model.address import Mailbox
from gateway.model.mail import Envelope, Mail, Recipient
from gateway.model.outcome import RecipientOutcome, Settled
from gateway.model.sentences import SENTENCES
from gateway.pipeline.context import Context

log = structlog.get_logger("sealgate.report")


def report_refused(
    context: Context, mail: Mail, outcomes: list[RecipientOutcome], *, may_tell: bool = True
) -> list[RecipientOutcome]:
    """Sends one report for all refused recipients; they become REPORTED, or LATER if it could not be handed over.

    Nobody is told where the reverse-path is null or NOTIFY says so (RFC 3461 4.1): then REPORTED with that detail.
    `may_tell`: whether the reverse-path is known to be the sender's own; a stranger's could be anybody's.
    """
    refused = [one for one in outcomes if one.settled is Settled.REFUSED]
    wanted = {recipient.address: recipient for recipient in mail.envelope.recipients}
    told = [one for one in refused if _wants_failure(wanted.get(one.address))]
    if not may_tell or not mail.envelope.reverse_path or not told:
        return [
            replace(one, settled=Settled.REPORTED, detail="no report: the sender is unknown or wants none")
            if one in refused else one
            for one in outcomes
        ]
    settled = Settled.REPORTED if _sent(context, mail, told, whole=told == refused) else Settled.LATER
    return [replace(one, settled=settled) if one in refused else one for one in outcomes]


def _wants_failure(recipient: Recipient | None) -> bool:
    return recipient is None or not recipient.notify or "FAILURE" in recipient.notify


def _sent(context: Context, mail: Mail, refused: list[RecipientOutcome], *, whole: bool) -> bool:
    to = mail.envelope.reverse_path
    hop = context.inbound_hop if context.identity.owns(to) else context.outbound_hop
    octets = _report(context, mail, to, refused, whole=whole)
    envelope = Envelope("", (Recipient(to, notify=("NEVER",)),), eight_bit=not octets.isascii())
    try:
        replies = hop.deliver(octets, envelope)
    except GatewayError as trouble:
        log.warning("report.not_sent", incident=mail.origin.incident, reason=str(trouble.reason), detail=trouble.detail)
        return False
    # A permanent refusal of a report ends it: a report about a report is never sent (RFC 5321 6.1).
    return all(reply.taken or reply.permanent for reply in replies)


def _report(context: Context, mail: Mail, to: str, refused: list[RecipientOutcome], *, whole: bool) -> bytes:
    """The message. `whole`: no recipient was refused who is not named here."""
    now = context.clock.now()
    fields = (
        encode_mailboxes("From", (Mailbox("Mail gateway", context.identity.postmaster),)),
        encode_mailboxes("To", (Mailbox("", to),)),
        encode_unstructured("Subject", "Your message was not delivered to all recipients"),
        date_field(now),
        new_message_id(token_hex(16), context.identity.hostname),
        b"Auto-Submitted: auto-replied\r\n",
    )
    failures = "\n\n".join(f"{one.address}\n    {_why(one)}" for one in refused)
    statuses = [Status(one.address, "failed", "5.7.1" if one.reply is None else "5.0.0", one.reply) for one in refused]
    others = "It was accepted for all other recipients. Please do not send it to them again.\n\n" if whole else ""
    text = (
        "Hello,\n\nYour message could not be delivered to the following recipients:\n\n"
        f"{failures}\n\n{others}"
        "If you have any questions, reply to this email and quote the incident number.\n\n"
        f"Kind regards\n{context.identity.name}\n"
    )
    return message(
        fields,
        report(
            f"{text}\nIncident number: {mail.origin.incident}\n",
            context.identity.hostname,
            statuses,
            mail.octets,
            arrived_at=mail.origin.received_at,
            envelope_id=mail.envelope.envid,
        ),
    )


def _why(outcome: RecipientOutcome) -> str:
    sentence = SENTENCES[outcome.reason or Reason.INTERNAL]
    return f"{outcome.text or sentence.what} {sentence.remedy}"
