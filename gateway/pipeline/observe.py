"""`mode: observe`: everything is decided and recorded, and each mail goes on as it came.

1. A dry run of the whole way, in a context that sends nothing (`Context.trial`): rules, look-ups, keys, signature,
   stamp and encryption are the real ones; next hop, hold store and journal are not.
2. What stands in any mode: a stranger's mail for strangers is refused. Nothing else that the try says is done.
3. The mail goes to the next hop, octet by octet as it came (the front end's Received is on it, as on any mail), under
   the journal like any other.
4. Evidence: the decision, what would have become of the mail (`facts.would`), and what became of it.

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
from gateway.model.address import fold, permitted_from
from gateway.model.mail import Mail, Recipient
from gateway.model.outcome import Outcome, RecipientOutcome, Settled
from gateway.model.record import EvidenceRecord
from gateway.pipeline.context import Context
from gateway.pipeline.message_key import identified, message_key
from gateway.pipeline.record import note, stopped
from gateway.pipeline.report import report_refused
from gateway.pipeline.run import Group, Passage, Run, from_replies, to_report
from gateway.ports.next_hop import NextHop

Way = Literal["outbound", "inbound"]

log = structlog.get_logger("sealgate.observe")


@dataclass(slots=True)
class _Records:
    """See ports.evidence.Evidence: keeps what the try would have written."""

    kept: list[EvidenceRecord] = field(default_factory=list)

    def ready(self) -> None:
        """Always."""

    def add(self, records: tuple[EvidenceRecord, ...]) -> None:
        """See Evidence."""
        self.kept += records

    def since(self, at: datetime) -> Iterator[EvidenceRecord]:
        """Nobody asks a try."""
        del at
        return iter(())

    def find(self, key: str) -> tuple[EvidenceRecord, ...]:
        """Nobody asks a try."""
        del key
        return ()


def observed(context: Context, mail: Mail, way: Way, send: Callable[[Context], Outcome]) -> Outcome:
    """The four steps of the module. `send`: the live way of this mail in the house that it is given."""
    if way == "inbound" and not all(context.identity.owns(one.address) for one in mail.envelope.recipients):
        trouble = GatewayError(Reason.RECIPIENT_NOT_OURS, "from the world to the world")
        return stopped(context, mail, trouble, way)
    would = {fold(one.recipient): one for one in _tried(context, mail, way, send)}
    try:
        run, outcome, left = _passed(context, mail, way, would)
    except GatewayError as trouble:  # the journal: somebody works on this very mail, or the database is away
        return stopped(context, mail, trouble, way)
    note(context, mail, [_record(would[fold(one.address)], one, left) for one in outcome.recipients])
    return run.answered(outcome)


def _tried(context: Context, mail: Mail, way: Way, send: Callable[[Context], Outcome]) -> list[EvidenceRecord]:
    """What the live way would have written of each recipient. A surprise in it is a 451 that does not happen."""
    records = _Records()
    if context.trial is None:
        raise GatewayError(Reason.INTERNAL, "observing, and nowhere to try", retry=True)
    trial = context.trial(context, records)
    try:
        _may_use_sender(context, mail)
        send(trial)
    except GatewayError as trouble:
        records.kept.clear()
        stopped(trial, mail, trouble, way)
    except Exception as surprise:  # noqa: BLE001 - told, recorded, and no reason to stop a mail in this mode
        log.warning("observe.internal_error", incident=mail.origin.incident, error=type(surprise).__name__)
        records.kept.clear()
        stopped(trial, mail, GatewayError(Reason.INTERNAL, type(surprise).__name__, retry=True), way)
    return records.kept


def _may_use_sender(context: Context, mail: Mail) -> None:
    """What the front end asks at MAIL while the gateway is live."""
    sender, client = mail.envelope.reverse_path, mail.origin.client
    if sender and client is not None and not permitted_from(context.client_from.get(client, ()), sender):
        raise GatewayError(Reason.CLIENT_FROM_NOT_ALLOWED, f"{client} as {sender}")


def _passed(context: Context, mail: Mail, way: Way, would: dict[str, EvidenceRecord]
            ) -> tuple[Run, Outcome, str]:
    """3. One group for each mail server behind us; the next hop's answers are ours. And the digest of what left."""
    # A recipient that the next hop refuses keeps no other from the mail; nor does evidence that cannot be kept.
    context = replace(context, partial="deliver_rest", evidence=_Records())
    key, known_id = _key(mail, way)
    by_hop: dict[bool, list[Recipient]] = {}
    for recipient in mail.envelope.recipients:
        by_hop.setdefault(context.identity.owns(recipient.address), []).append(recipient)
    run = Run(context, mail, key, has_message_id=known_id)
    outcomes = list(run.groups(
        _group(context, mail, tuple(recipients), context.inbound_hop if ours else context.outbound_hop)
        for ours, recipients in by_hop.items()))
    outcomes = [replace(one, rule=would[fold(one.address)].rule) for one in outcomes]
    settled, reason = run.answer(outcomes)
    if to_report(mail, settled, outcomes):
        outcomes = report_refused(context, mail, outcomes, may_tell=way == "outbound")
    outcome = Outcome(mail.origin.incident, settled, tuple(outcomes), reason)
    return run, outcome, hashlib.sha256(mail.octets).hexdigest()


def _group(context: Context, mail: Mail, recipients: tuple[Recipient, ...], hop: NextHop) -> Group:
    def send(todo: tuple[Recipient, ...], passage: Passage) -> tuple[RecipientOutcome, ...]:
        envelope = replace(mail.envelope, recipients=todo,
                           eight_bit=mail.envelope.eight_bit or not mail.octets.isascii())
        replies = hop.deliver(mail.octets, envelope, passage.before_dot, all_or_none=passage.all_or_none)
        context.reach("after-250")
        return from_replies(replies)

    return Group(recipients, "", send)


def _key(mail: Mail, way: Way) -> tuple[str, bool]:
    """The message key, and whether there is a Message-ID. A mail beyond reading passes too, known by its octets."""
    try:
        headers = parse_headers(mail.octets)
    except GatewayError:
        return hashlib.sha256(way.encode() + mail.octets).hexdigest(), False
    return message_key(mail, headers, way), identified(mail, headers)


def _record(would: EvidenceRecord, outcome: RecipientOutcome, left: str) -> EvidenceRecord:
    """4. Rule, steps, end and certificates as decided; settled, reasons and reply as they came to be."""
    return replace(
        would,
        settled=outcome.settled,
        reasons=(str(outcome.reason),) if outcome.reason else (),
        next_hop_reply=outcome.reply,
        sealed_digest=left if outcome.settled is Settled.TAKEN else "",
        facts=would.facts | {"would": {"settled": str(would.settled), "reasons": list(would.reasons)}},
    )
