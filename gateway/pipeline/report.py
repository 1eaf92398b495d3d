"""Delivery reports (RFC 3464): of recipients that were rejected after others were taken, and of held mail."""

from collections.abc import Sequence
from dataclasses import replace
from secrets import token_hex

import structlog

from gateway.errors import GatewayError, Reason
from gateway.letters.write import Letter
from gateway.mime.addresses import encode_mailboxes
from gateway.mime.build import Status, date_field, message, report
from gateway.mime.trace import new_message_id
from gateway.mime.words import encode_unstructured
from gateway.model.address import Mailbox
from gateway.model.mail import Envelope, Mail, Recipient
from gateway.model.outcome import RecipientOutcome, Settled
from gateway.model.sentences import public_texts
from gateway.pipeline.context import Context

log = structlog.get_logger("sealgate.report")


def report_refused(
    context: Context, mail: Mail, outcomes: list[RecipientOutcome], *, may_report: bool = True
) -> list[RecipientOutcome]:
    """Sends one report for all refused recipients; they become REPORTED, or LATER if the next hop does not accept it.

    No report is sent if the reverse-path is null or NOTIFY says so (RFC 3461 4.1): then REPORTED with that detail.
    `may_report`: whether the reverse-path is known to be the sender's own; a foreign one could be anyone's.
    """
    refused = [one for one in outcomes if one.settled is Settled.REFUSED]
    recipients = {recipient.address: recipient for recipient in mail.envelope.recipients}
    reported = [one for one in refused if wants(recipients.get(one.address), "FAILURE")]
    detail = ""
    if not may_report or not mail.envelope.reverse_path or not reported:
        settled, detail = Settled.REPORTED, "no report: the sender is unknown or asked for none"
    else:
        statuses = [Status(one.address, "failed", "5.7.1" if one.reply is None else "5.0.0", one.reply)
                    for one in reported]
        letter = _letter(context, mail, reported, is_complete=reported == refused)
        is_sent = send_report(context, mail, letter, statuses)
        settled = Settled.LATER if is_sent is None else Settled.REPORTED
    return [replace(one, settled=settled, detail=detail or one.detail) if one in refused else one for one in outcomes]


def wants(recipient: Recipient | None, event: str) -> bool:
    """Whether the sender wants a report of this event (RFC 3461 4.1): DELAY or FAILURE."""
    return recipient is None or not recipient.notify or event in recipient.notify


def send_report(context: Context, mail: Mail, letter: Letter, statuses: Sequence[Status], *,
                with_header: bool = True) -> bool | None:
    """Sends a report to the reverse-path. `with_header`: it contains the header fields of the mail.

    Whether the next hop took it; None: not now. A permanent refusal of a report ends it: a report about a report is
    never sent (RFC 5321 6.1).
    """
    to, hostname = mail.envelope.reverse_path, context.identity.hostname
    entity = report(letter.text, hostname, statuses, mail.octets if with_header else None,
                    arrived_at=mail.origin.received_at, envelope_id=mail.envelope.envid)
    octets = message((
        encode_mailboxes("From", (Mailbox(context.identity.name, context.identity.postmaster),)),
        encode_mailboxes("To", (Mailbox("", to),)),
        encode_unstructured("Subject", letter.subject),
        date_field(context.clock.now()),
        new_message_id(token_hex(16), hostname),
        b"Auto-Submitted: auto-replied\r\n",
        f"Content-Language: {letter.language}\r\n".encode("ascii"),
    ), entity)
    hop = context.inbound_hop if context.identity.owns(to) else context.outbound_hop
    envelope = Envelope("", (Recipient(to, notify=("NEVER",)),), eight_bit=not octets.isascii())
    try:
        replies = hop.deliver(octets, envelope)
    except GatewayError as trouble:
        log.warning("report.not_sent", incident=mail.origin.incident, reason=str(trouble.reason), detail=trouble.detail)
        return None
    if any(not reply.taken and not reply.permanent for reply in replies):
        return None
    return all(reply.taken for reply in replies)


def _letter(context: Context, mail: Mail, refused: Sequence[RecipientOutcome], *, is_complete: bool) -> Letter:
    """`is_complete`: every recipient that was refused is named here."""
    notices, kind = context.notices, "not_delivered"
    language = notices.chosen(kind, None)
    failures = []
    for one in refused:
        what, remedy = public_texts(one.reason or Reason.INTERNAL, language)
        failures.append({"recipient": one.address, "what": one.text or what, "remedy": remedy})
    return notices.write(kind, language, {
        "failures": failures, "others": is_complete, "at": mail.origin.received_at, "incident": mail.origin.incident})
