"""`mode: observe`: everything is decided and recorded, and each mail goes on as it came.

1. A dry run of the whole way, in a context that sends nothing (`Context.trial`): rules, look-ups, keys, signature,
   stamp and encryption are the real ones; next hop, hold store and journal are not.
2. In any mode foreign mail for foreign recipients is rejected. No other result of the dry run has an effect.
3. The mail goes to the next hop, octet by octet as it came (the front end's Received is on it, as on any mail), under
   the journal like any other.
4. Evidence: the decision, the outcome of the dry run (`facts.would`), and the actual outcome.

A mail out of the hold store was held while the gateway was live, and goes the live way.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

import structlog

from gateway.errors import GatewayError, Reason
from gateway.mime.header import parse_headers
from gateway.model.address import fold
from gateway.model.mail import Mail, Recipient
from gateway.model.mailbox import permitted_from
from gateway.model.outcome import Outcome, RecipientOutcome, Settled
from gateway.model.record import EvidenceRecord
from gateway.pipeline.context import Context
from gateway.pipeline.message_key import identified, message_key
from gateway.pipeline.record import note, stop
from gateway.pipeline.report import report_refused
from gateway.pipeline.run import Group, Run, needs_report, undelivered

Way = Literal["outbound", "inbound"]

log = structlog.get_logger("sealgate.observe")


@dataclass(slots=True)
class _Records:
    """See ports.evidence.Evidence: keeps what the dry run would have written."""

    kept: list[EvidenceRecord] = field(default_factory=list)

    def ready(self) -> None:
        """Always."""

    def add(self, records: tuple[EvidenceRecord, ...]) -> None:
        """See Evidence."""
        self.kept += records

    def since(self, at: datetime) -> Iterator[EvidenceRecord]:
        """A dry run is not asked."""
        del at
        return iter(())

    def find(self, key: str) -> tuple[EvidenceRecord, ...]:
        """A dry run is not asked."""
        del key
        return ()


def observe(context: Context, mail: Mail, way: Way, send: Callable[[Context], Outcome]) -> Outcome:
    """The four steps of the module. `send`: the live way of this mail in the context that it gets."""
    if way == "inbound" and not all(context.identity.owns(one.address) for one in mail.envelope.recipients):
        trouble = GatewayError(Reason.RECIPIENT_NOT_OURS, "from the world to the world")
        return stop(context, mail, trouble, way)
    would = {fold(one.recipient): one for one in _rehearse(context, mail, way, send)}
    try:
        run, outcome, digest = _pass_on(context, mail, way, would)
    except GatewayError as trouble:  # the journal: another process works on this mail, or the database does not answer
        return stop(context, mail, trouble, way)
    note(context, mail, [_record(would[fold(one.address)], one, digest) for one in outcome.recipients])
    return run.for_client(outcome)


def _rehearse(context: Context, mail: Mail, way: Way, send: Callable[[Context], Outcome]) -> list[EvidenceRecord]:
    """The records that the live way would have written. An unexpected error in it would have been a 451."""
    records = _Records()
    if context.trial is None:
        raise GatewayError(Reason.INTERNAL, "mode: observe without a context for the dry run", retry=True)
    trial = context.trial(context, records)
    try:
        _check_sender(context, mail)
        send(trial)
    except GatewayError as trouble:
        records.kept.clear()
        stop(trial, mail, trouble, way)
    except Exception as unexpected:  # noqa: BLE001 - logged, recorded, and no reason to stop a mail in this mode
        log.warning("observe.internal_error", incident=mail.origin.incident, error=type(unexpected).__name__)
        records.kept.clear()
        stop(trial, mail, GatewayError(Reason.INTERNAL, type(unexpected).__name__, retry=True), way)
    return records.kept


def _check_sender(context: Context, mail: Mail) -> None:
    """The check of the front end at MAIL while the gateway is live."""
    sender, client = mail.envelope.reverse_path, mail.origin.client
    if sender and client is not None and not permitted_from(context.client_from.get(client, ()), sender):
        raise GatewayError(Reason.CLIENT_FROM_NOT_ALLOWED, f"{client} as {sender}")


def _pass_on(context: Context, mail: Mail, way: Way, would: dict[str, EvidenceRecord]) -> tuple[Run, Outcome, str]:
    """3. One group for each next hop, whose answers are ours. And the digest of what was sent."""
    # Neither a recipient that the next hop rejects nor evidence that cannot be written stops the mail for the others.
    context = replace(context, partial="deliver_rest", evidence=_Records())
    key, known_id = _key(mail, way)
    by_hop: dict[bool, list[Recipient]] = {}
    for recipient in mail.envelope.recipients:
        by_hop.setdefault(context.identity.owns(recipient.address), []).append(recipient)
    eight_bit = mail.envelope.eight_bit or not mail.octets.isascii()
    with Run(context, mail, key, known_id, [Group(tuple(recipients)) for recipients in by_hop.values()]) as run:
        for ours, group in zip(by_hop, run.groups, strict=True):
            hop = context.inbound_hop if ours else context.outbound_hop
            if to := run.pending(group):
                try:
                    results = run.transmit(
                        hop, mail.octets, replace(mail.envelope, recipients=to, eight_bit=eight_bit))
                except GatewayError as trouble:
                    results = undelivered(to, trouble)
                run.settle(group, results)
    outcomes = [replace(one, rule=would[fold(one.address)].rule) for one in run.outcomes]
    settled, reason = run.answer(outcomes)
    if needs_report(mail, settled, outcomes):
        outcomes = report_refused(context, mail, outcomes, may_report=way == "outbound")
    outcome = Outcome(mail.origin.incident, settled, tuple(outcomes), reason)
    return run, outcome, hashlib.sha256(mail.octets).hexdigest()


def _key(mail: Mail, way: Way) -> tuple[str, bool]:
    """The message key, and whether there is a Message-ID. A mail beyond reading passes too, known by its octets."""
    try:
        headers = parse_headers(mail.octets)
    except GatewayError:
        return hashlib.sha256(way.encode() + mail.octets).hexdigest(), False
    return message_key(mail, headers, way), identified(mail, headers)


def _record(would: EvidenceRecord, outcome: RecipientOutcome, digest: str) -> EvidenceRecord:
    """4. Rule, steps, end and certificates as decided; settled, reasons and reply of the actual delivery."""
    return replace(
        would,
        settled=outcome.settled,
        reasons=(str(outcome.reason),) if outcome.reason else (),
        next_hop_reply=outcome.reply,
        sealed_digest=digest if outcome.settled is Settled.TAKEN else "",
        facts=would.facts | {"would": {"settled": str(would.settled), "reasons": list(would.reasons)}},
    )
