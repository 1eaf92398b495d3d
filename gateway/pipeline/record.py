"""What is kept of each recipient: facts and decisions, never content."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import structlog

from gateway.errors import GatewayError, Reason
from gateway.mime.header import parse_headers
from gateway.mime.trace import came_as, message_id
from gateway.model.address import fold
from gateway.model.changed import changed
from gateway.model.facts import Facts
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome, RecipientOutcome, Settled
from gateway.model.record import EvidenceRecord
from gateway.pipeline.context import Context
from gateway.pipeline.facts import Message
from gateway.pipeline.message_key import message_key
from gateway.pipeline.outbound.plan import Planned
from gateway.policy.recorded.facts import to_record

log = structlog.get_logger("sealgate.evidence")

_CONFIDENTIAL: Final = frozenset({"subject", "thread-topic", "keywords", "comments"})  # what smime.protect hides


@dataclass(frozen=True, slots=True)
class Sent:
    """What left for a recipient: SHA-256 of the octets, fingerprints of the certificates they are encrypted to.

    `stamped_by`: the stamper whose time-stamp is in it, '' if none is. `escrow`: name to fingerprint of those of the
    certificates that are the bank's escrow.
    """

    digest: str
    certificates: tuple[str, ...] = ()
    stamped_by: str = ""
    escrow: Mapping[str, str] = field(default_factory=dict)


def keep(
    context: Context,
    mail: Mail,
    message: Message,
    planned: Sequence[Planned],
    outcome: Outcome,
    sent: Mapping[str, Sent],
    key: str,
) -> None:
    """Adds one record per recipient. The mail is settled already: a store that fails now is told, not suffered."""
    outcomes = {fold(one.address): one for one in outcome.recipients}
    came = _came(mail, message)
    records = []
    for one in planned:
        result = outcomes[fold(one.recipient.address)]
        left = sent.get(fold(one.recipient.address))
        records.append(
            EvidenceRecord(
                at=context.clock.now(),
                incident=mail.origin.incident,
                message_key=key,
                message_id=message.message_id,
                direction=str(one.facts.direction),
                client=mail.origin.client,
                sender=mail.envelope.reverse_path,
                recipient=one.recipient.address,
                rule=one.decision.rule,
                steps=tuple([step.verb for step in one.decision.steps]),
                end=one.decision.end.kind,
                settled=result.settled,
                reasons=(str(result.reason),) if result.reason else (),
                certificates=left.certificates if left else (),
                policy_digest=context.rules().digest,
                next_hop_reply=result.reply,
                sealed_digest=left.digest if left else "",
                facts=_facts(context, message.facts, one, result.settled)
                | ({"stamped_by": left.stamped_by} if left and left.stamped_by else {})
                | ({"escrow": dict(left.escrow)} if left and left.escrow else {})
                | came,
            )
        )
    note(context, mail, records)


def _came(mail: Mail, message: Message) -> dict[str, str]:
    """By what the mail server in front knew it, where that is something else: `sealgate trace` finds it by that too.

    Its queue id, and the Message-ID outside where an opened mail has another one inside.
    """
    came = {"came_as": mail.origin.attempt_id or mail.origin.queue_id or came_as(mail.octets, mail.origin.incident)}
    verdicts = message.facts.verdicts
    if verdicts is not None and verdicts.decryption.status == "decrypted":
        outside = message_id(parse_headers(mail.octets))
        came["outside"] = outside if outside != message.message_id else ""
    return {name: value for name, value in came.items() if value}


def _facts(context: Context, facts: Facts, planned: Planned, settled: Settled) -> dict[str, Any]:
    """The recorded facts. Fields that did not travel in clear do not stand in the record in clear either:

    a customer hid them inside an encryption; ours were encrypted, or the mail did not leave at all.
    """
    if facts.verdicts is not None:
        sealed = facts.verdicts.decryption.status == "decrypted" and facts.verdicts.headers.protected
    else:
        left = settled in (Settled.TAKEN, Settled.DISCARDED)
        sealed = not left or any(step.verb == "encrypt" for step in planned.decision.steps)
    if not sealed:
        return to_record(facts, planned.facts, planned.decision)
    if facts.keywords:
        facts = changed(facts, keywords=facts.keywords & context.rules().keywords)
    return to_record(facts, planned.facts, planned.decision, hidden=_CONFIDENTIAL)


def stopped(context: Context, mail: Mail, trouble: GatewayError, way: Literal["outbound", "inbound"]) -> Outcome:
    """One fate for every recipient, because the message itself cannot go; told and kept like any other."""
    settled = Settled.LATER if trouble.retry else Settled.REFUSED
    log.info("mail.stopped", incident=mail.origin.incident, reason=str(trouble.reason), detail=trouble.detail)
    outcomes = tuple(
        RecipientOutcome(one.address, settled, trouble.reason, detail=trouble.detail)
        for one in mail.envelope.recipients
    )
    message_id, key = _read(mail, way)
    records = [
        EvidenceRecord(
            at=context.clock.now(),
            incident=mail.origin.incident,
            message_key=key,
            message_id=message_id,
            direction=way,
            client=mail.origin.client,
            sender=mail.envelope.reverse_path,
            recipient=one.address,
            rule="",
            steps=(),
            end="reject" if settled is Settled.REFUSED else "defer",
            settled=settled,
            reasons=(str(trouble.reason),),
            certificates=(),
            policy_digest=context.rules().digest,
            next_hop_reply=None,
            sealed_digest="",
            facts={},
        )
        for one in outcomes
    ]
    note(context, mail, records)
    return Outcome(mail.origin.incident, settled, outcomes, trouble.reason)


def _read(mail: Mail, way: str) -> tuple[str, str]:
    """Message-ID and key of a mail that may be beyond reading."""
    try:
        headers = parse_headers(mail.octets)
    except GatewayError:
        return "", ""
    return message_id(headers), message_key(mail, headers, way)


def note(context: Context, mail: Mail, records: Sequence[EvidenceRecord]) -> None:
    """Keeps them; trouble is told and changes nothing: a mail that is taken must not become a 451, and so two."""
    try:
        context.evidence.add(tuple(records))
    except GatewayError as trouble:
        log.critical(
            "evidence.lost", incident=mail.origin.incident, reason=str(trouble.reason), detail=trouble.detail
        )
    except Exception as surprise:  # noqa: BLE001 - see above
        log.critical("evidence.lost", incident=mail.origin.incident, reason=str(Reason.INTERNAL),
                     detail=type(surprise).__name__)
