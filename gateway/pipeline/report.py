"""Delivery reports (RFC 3464) for recipients that were refused after others were taken: header fields only."""

from dataclasses import replace
from email.utils import format_datetime
from secrets import token_hex

import structlog

from gateway.errors import GatewayError, Reason
from gateway.mime.build import Failure, report
from gateway.mime.header import parse_headers
from gateway.model.mail import Envelope, Mail, Recipient
from gateway.model.outcome import RecipientOutcome, Settled
from gateway.model.sentences import SENTENCES
from gateway.pipeline.facts import Message
from gateway.pipeline.house import House

log = structlog.get_logger("sealgate.report")


def report_refused(house: House, mail: Mail, message: Message, outcomes: list[RecipientOutcome]) -> list[RecipientOutcome]:
    """Sends one report for all refused recipients; they become REPORTED, or LATER if it could not be handed over.

    Nobody is told where the reverse-path is null or NOTIFY says so (RFC 3461 4.1): then REPORTED with that detail.
    """
    del message
    refused = [one for one in outcomes if one.settled is Settled.REFUSED]
    wanted = {recipient.address: recipient for recipient in mail.envelope.recipients}
    told = [one for one in refused if _wants_failure(wanted.get(one.address))]
    if not mail.envelope.reverse_path or not told:
        return [replace(one, settled=Settled.REPORTED, detail="nobody to tell") if one in refused else one for one in outcomes]
    settled = Settled.REPORTED if _sent(house, mail, told) else Settled.LATER
    return [replace(one, settled=settled) if one in refused else one for one in outcomes]


def _wants_failure(recipient: Recipient | None) -> bool:
    return recipient is None or not recipient.notify or "FAILURE" in recipient.notify


def _sent(house: House, mail: Mail, refused: list[RecipientOutcome]) -> bool:
    to = mail.envelope.reverse_path
    hop = house.inbound_hop if house.identity.owns(to) else house.outbound_hop
    now = house.clock.now()
    octets = report(
        sender=house.identity.postmaster, to=to, reporting_mta=house.identity.hostname, date=format_datetime(now),
        message_id=f"<{token_hex(16)}@{house.identity.hostname}>", envid=mail.envelope.envid,
        failures=tuple(_failure(one) for one in refused),
        header=mail.octets[:parse_headers(mail.octets).end],
    )
    envelope = Envelope("", (Recipient(to, notify=("NEVER",)),), eight_bit=not octets.isascii())
    try:
        replies = hop.deliver(octets, envelope)
    except GatewayError as trouble:
        log.warning("report not sent", incident=mail.origin.incident, reason=str(trouble.reason), detail=trouble.detail)
        return False
    # A permanent refusal of a report ends it: a report about a report is never sent (RFC 5321 6.1).
    return all(reply.taken or reply.permanent for reply in replies)


def _failure(outcome: RecipientOutcome) -> Failure:
    sentence = SENTENCES[outcome.reason or Reason.INTERNAL]
    return Failure(outcome.address, status="5.7.1" if outcome.reply is None else "5.0.0",
                   diagnostic=outcome.reply, text=f"{outcome.text or sentence.what} {sentence.remedy}")
