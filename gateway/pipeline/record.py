"""The evidence of each recipient: facts and decisions, never content."""

from collections.abc import Iterable, Mapping, Sequence
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
from gateway.pipeline.outbound.plan import Plan
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
    plans: Sequence[Plan],
    outcomes: Iterable[RecipientOutcome],
    sent: Mapping[str, Sent],
    key: str,
) -> None:
    """Adds one record for each of `outcomes`. They are settled: a store that fails now is logged, see `note`."""
    by_address = {fold(one.address): one for one in outcomes}
    origin = _origin(mail, message)
    records = []
    for one in plans:
        result = by_address.get(fold(one.recipient.address))
        if result is None:
            continue
        octets_sent = sent.get(fold(one.recipient.address))
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
                certificates=octets_sent.certificates if octets_sent else (),
                policy_digest=context.rules().digest,
                next_hop_reply=result.reply,
                sealed_digest=octets_sent.digest if octets_sent else "",
                facts=_facts(context, message.facts, one, result.settled)
                | ({"stamped_by": octets_sent.stamped_by} if octets_sent and octets_sent.stamped_by else {})
                | ({"escrow": dict(octets_sent.escrow)} if octets_sent and octets_sent.escrow else {})
                | origin,
            )
        )
    note(context, mail, records)


def _origin(mail: Mail, message: Message) -> dict[str, str]:
    """Other ids by which `sealgate trace` finds the mail, because the mail server in front of the gateway uses them.

    Its queue id, and the Message-ID outside where an opened mail has another one inside.
    """
    ids = {"came_as": mail.origin.attempt_id or mail.origin.queue_id or came_as(mail.octets, mail.origin.incident)}
    verdicts = message.facts.verdicts
    if verdicts is not None and verdicts.decryption.status == "decrypted":
        outside = message_id(parse_headers(mail.octets))
        ids["outside"] = outside if outside != message.message_id else ""
    return {name: value for name, value in ids.items() if value}


def _facts(context: Context, facts: Facts, plan: Plan, settled: Settled) -> dict[str, Any]:
    """The recorded facts. Header fields that did not travel in clear are not recorded in clear either:

    a customer hid them inside an encryption; ours were encrypted, or the mail was not sent at all.
    """
    if facts.verdicts is not None:
        hidden = facts.verdicts.decryption.status == "decrypted" and facts.verdicts.headers.protected
    else:
        was_sent = settled in (Settled.TAKEN, Settled.DISCARDED)
        hidden = not was_sent or any(step.verb == "encrypt" for step in plan.decision.steps)
    if not hidden:
        return to_record(facts, plan.facts, plan.decision)
    if facts.keywords:
        facts = changed(facts, keywords=facts.keywords & context.rules().keywords)
    return to_record(facts, plan.facts, plan.decision, hidden=_CONFIDENTIAL)


def stop(context: Context, mail: Mail, trouble: GatewayError, way: Literal["outbound", "inbound"]) -> Outcome:
    """The same outcome for every recipient, because the message itself cannot be sent; logged and recorded."""
    settled = Settled.LATER if trouble.retry else Settled.REFUSED
    log.info("mail.stopped", incident=mail.origin.incident, reason=str(trouble.reason), detail=trouble.detail)
    outcomes = tuple(
        RecipientOutcome(one.address, settled, trouble.reason, detail=trouble.detail)
        for one in mail.envelope.recipients
    )
    keep_outcomes(context, mail, outcomes, way, "reject" if settled is Settled.REFUSED else "defer")
    return Outcome(mail.origin.incident, settled, outcomes, trouble.reason)


def keep_outcomes(context: Context, mail: Mail, outcomes: Sequence[RecipientOutcome], way: str, end: str,
                  facts: Mapping[str, Any] | None = None) -> None:
    """Adds one record for each outcome of a mail on which no rule decides now."""
    message_id, key = _ids(mail, way)
    note(context, mail, [
        EvidenceRecord(
            at=context.clock.now(),
            incident=mail.origin.incident,
            message_key=key,
            message_id=message_id,
            direction=way,
            client=mail.origin.client,
            sender=mail.envelope.reverse_path,
            recipient=one.address,
            rule=one.rule or "",
            steps=(),
            end=end,
            settled=one.settled,
            reasons=(str(one.reason),),
            certificates=(),
            policy_digest=context.rules().digest,
            next_hop_reply=None,
            sealed_digest="",
            facts=dict(facts or {}),
        )
        for one in outcomes
    ])


def _ids(mail: Mail, way: str) -> tuple[str, str]:
    """Message-ID and message key; '' for both if the header cannot be parsed."""
    try:
        headers = parse_headers(mail.octets)
    except GatewayError:
        return "", ""
    return message_id(headers), message_key(mail, headers, way)


def note(context: Context, mail: Mail, records: Sequence[EvidenceRecord]) -> None:
    """Adds them; a failure is logged and changes nothing: a mail that is taken must not be deferred, and sent twice."""
    try:
        context.evidence.add(tuple(records))
    except GatewayError as trouble:
        log.critical(
            "evidence.lost", incident=mail.origin.incident, reason=str(trouble.reason), detail=trouble.detail
        )
    except Exception as unexpected:  # noqa: BLE001 - see above
        log.critical("evidence.lost", incident=mail.origin.incident, reason=str(Reason.INTERNAL),
                     detail=type(unexpected).__name__)
