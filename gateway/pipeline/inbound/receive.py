"""The inbound way: opens, judges and labels mail from the internet, and relays it by the rules.

1. Remove what only the gateway may say: status headers, its own results, tags and header fields of the rules' labels.
2. Open and judge, with the keys of the envelope's recipients only: a captured mail re-sent to another mailbox
   is not decrypted for it. Then step 1 again, on what was inside.
3. Facts with the verdicts; one decision per recipient; refusals as in `outbound`.
4. Compose what the mail server gets: opened, as received, or an explanation; then the status headers. Or a service
   of the bank gets it (`hand_in`).
5. The next hop under the journal, with RET=HDRS for opened mail; evidence; unknown authorities are noted,
   and what delivered mail teaches is learned.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import structlog

from gateway.actions.table import carry_out
from gateway.actions.verb import VerbContext
from gateway.errors import GatewayError, Reason
from gateway.mime.header import parse_headers, prepend_fields
from gateway.model.address import fold
from gateway.model.facts import Facts
from gateway.model.mail import Direction, Mail, Recipient
from gateway.model.mailbox import same_domain, same_mailbox
from gateway.model.outcome import Outcome, RecipientOutcome, Settled
from gateway.model.verdict import Status, Trust, Verdicts
from gateway.pipeline.context import Context, Opener
from gateway.pipeline.facts import Message
from gateway.pipeline.inbound.compose import compose
from gateway.pipeline.inbound.harvest import note_unknown
from gateway.pipeline.inbound.service import hand_in
from gateway.pipeline.message_key import identified, message_key
from gateway.pipeline.observe import observe
from gateway.pipeline.outbound.plan import Plan, group, plan, rejection_or_deferral, release
from gateway.pipeline.record import Sent, keep, stop
from gateway.pipeline.report import report_refused
from gateway.pipeline.run import Group, Run, hold, is_all_or_none, needs_report, refuse_all, undelivered
from gateway.pipeline.strip import without_forgeries
from gateway.smime.draft import Draft
from gateway.smime.open import Opened, open_mail

log = structlog.get_logger("sealgate.inbound")

NO_AUTOMATIC_ANSWER: Final = b"X-Auto-Response-Suppress: All\r\n"  # MS-OXCMAIL; Pigeonhole reads it as well
MEMORY_OCTETS: Final = 67_108_864  # of opened forms of one mail: one of 50 MB, or those of a usual mail for all keys


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the mail is with one set of keys. `opened`: None where it is opened again once it is needed."""

    facts: Facts
    verdicts: Verdicts
    signer: str | None
    opened: Opened | None = field(repr=False)


@dataclass(slots=True)
class _Work:
    """One mail in work. `opened`: once per set of keys, for recipients that share them; facts of it likewise.

    `first`: as the first recipient gets it. `memory_octets`: of all opened forms in memory.
    """

    mail: Mail
    key: str
    plans: list[Plan] = field(default_factory=list)
    first: Message | None = None
    memory_octets: int = 0
    opened: dict[tuple[Opener, ...], _Reading] = field(default_factory=dict)
    sent: dict[str, Sent] = field(default_factory=dict)
    delivered: dict[tuple[Opener, ...], bool] = field(default_factory=dict)  # and whether its rule says `harvest`


class Inbound:
    """The one inbound way: relay and commands call `receive`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def receive(self, mail: Mail, *, released: bool = False) -> Outcome:
        """As `Outbound.send`."""
        if self._context.trial is not None and not released:
            return observe(self._context, mail, "inbound", lambda trial: Inbound(trial).receive(mail))
        try:
            stripped = replace(mail, octets=without_forgeries(mail.octets, self._context, mail.origin))
            work = _Work(stripped, message_key(mail, parse_headers(mail.octets), "inbound"))
            outcome = self._judged(work, released=released)
            if outcome.answer is not Settled.LATER:  # it will come again
                verdicts = [reading.verdicts for reading in work.opened.values()]
                note_unknown(self._context.authorities, verdicts, self._context.clock.now())
            return outcome
        except GatewayError as trouble:
            return stop(self._context, mail, trouble, "inbound")

    def _judged(self, work: _Work, *, released: bool) -> Outcome:
        """2 and 3."""
        context, mail = self._context, work.mail
        if not all(context.identity.owns(recipient.address) for recipient in mail.envelope.recipients):
            raise GatewayError(Reason.RECIPIENT_NOT_OURS, "from the world to the world")
        for recipient in mail.envelope.recipients:
            reading = self._read(work, recipient)
            one = plan(context, reading.facts, recipient, Direction.INBOUND, reading.signer)
            work.plans.append(release(one) if released else one)
        refused = {fold(one.recipient.address): end for one in work.plans
                   if (end := rejection_or_deferral(one)) is not None}
        going = [one for one in work.plans if fold(one.recipient.address) not in refused]
        first = work.first
        if first is None:
            raise GatewayError(Reason.INPUT_EMPTY, "no recipients")
        if refused and (is_all_or_none(context, mail) or not going):
            outcome = refuse_all(mail.origin.incident, tuple(one.address for one in mail.envelope.recipients), refused)
            keep(context, mail, first, work.plans, outcome.recipients, {}, work.key)
            return outcome
        return self._send(work, first, going, tuple(refused.values()))

    def _read(self, work: _Work, recipient: Recipient) -> _Reading:
        """Step 2 and the facts, once for all recipients that share their keys: their number is a stranger's choice.

        So is the number of keys that open the mail: of many large forms only the first ones stay in memory.
        """
        openers = openers_for(self._context, recipient)
        if openers not in work.opened:
            opened = self._opened(work, openers)
            message = Message.of(work.mail, self._context, octets=opened.octets, verdicts=opened.verdicts)
            work.first = work.first or message
            octets = len(opened.octets) if opened.changed else 0
            in_memory = not octets or work.memory_octets + octets <= max(MEMORY_OCTETS, octets)
            work.memory_octets += octets if in_memory else 0
            work.opened[openers] = _Reading(
                message.facts, opened.verdicts, signer_of(opened), opened if in_memory else None)
        return work.opened[openers]

    def _opened(self, work: _Work, openers: tuple[Opener, ...]) -> Opened:
        # The content is in its `octets` as well: of 50 MB one copy is enough.
        return replace(open_with(self._context, work.mail, openers), payload=b"")

    def _reopen(self, work: _Work, recipient: Recipient) -> Opened:
        """The opened form, opened again if it is not in memory, with the verdicts of the decision."""
        reading = self._read(work, recipient)
        if reading.opened is not None:
            return reading.opened
        opened = self._opened(work, openers_for(self._context, recipient))
        if opened.verdicts.decryption != reading.verdicts.decryption:
            raise GatewayError(Reason.INTERNAL, "the mail opens in another way than before", retry=True)
        return replace(opened, verdicts=reading.verdicts)

    def _send(
        self, work: _Work, message: Message, going: Sequence[Plan], refused: tuple[RecipientOutcome, ...]
    ) -> Outcome:
        """4 and 5."""
        context, mail = self._context, work.mail
        by_opened: dict[tuple[int, str], list[Plan]] = {}
        for one in going:
            reading = self._read(work, one.recipient)
            coverage = reading.verdicts.coverage
            addressed = coverage.addressed_to(one.recipient.address) if coverage is not None else ""
            by_opened.setdefault((id(reading), addressed), []).append(one)
        groups = [members for same in by_opened.values() for members in group(same, frozenset())]
        with Run(context, mail, work.key, identified(mail, parse_headers(mail.octets)),
                 [Group.of(members) for members in groups]) as run:
            for (first, *_), recipients in zip(groups, run.groups, strict=True):
                if to := run.pending(recipients):
                    try:
                        results = self._settle(work, run, first, to)
                    except GatewayError as trouble:
                        results = undelivered(to, trouble)
                    run.settle(recipients, results, partial(keep, context, mail, message, work.plans, sent=work.sent,
                                                            key=work.key))
        outcomes = [*run.outcomes, *refused]
        settled, reason = run.answer(outcomes)
        if needs_report(mail, settled, outcomes):
            outcomes = report_refused(context, mail, outcomes, may_report=answerable(message.facts))
        outcome = Outcome(mail.origin.incident, settled, tuple(outcomes), reason)
        keep(context, mail, message, work.plans, run.not_recorded(outcomes), work.sent, work.key)
        self._learn(work)
        return run.for_client(outcome)

    def _learn(self, work: _Work) -> None:
        """5. Of what was delivered."""
        if self._context.learning is None:
            return
        for openers, harvest in work.delivered.items():
            reading = work.opened[openers]
            if reading.opened is None:  # many large forms: learning a certificate is not urgent
                continue
            self._context.learning.from_mail(reading.opened, reading.facts.from_, work.mail.origin.incident,
                                           ours=self._context.identity.owns, harvest=harvest)

    def _settle(self, work: _Work, run: Run, plan: Plan, to: tuple[Recipient, ...]) -> tuple[RecipientOutcome, ...]:
        """4 and 5 for one group."""
        context, mail, end = self._context, work.mail, plan.decision.end
        if end.kind in ("hold", "quarantine"):
            return hold(context, mail, to, plan)
        if end.kind == "hand_to":
            run.before_dot(tuple(one.address for one in to), ())
            return hand_in(context.services, end.service or "", mail, self._reopen(work, plan.recipient), to)
        opened = self._reopen(work, plan.recipient)
        draft = carry_out(plan.decision.steps, Draft(mail.octets), VerbContext(context.clock.now()))
        octets = compose(context, mail, opened, draft, to)
        discloses = _discloses_fields(opened.verdicts, self._read(work, plan.recipient).facts)
        if discloses:
            octets = prepend_fields(octets, NO_AUTOMATIC_ANSWER)
        to = tuple(replace(one, notify=("NEVER",) if discloses else _permitted_reports(one.notify, opened.verdicts))
                   for one in to)
        outcomes = run.deliver(context.inbound_hop, octets, to, headers_only=draft.opened)
        if any(one.settled is Settled.TAKEN for one in outcomes):
            openers = openers_for(context, plan.recipient)
            work.delivered[openers] = work.delivered.get(openers, False) or draft.harvest
        sent = Sent(hashlib.sha256(octets).hexdigest())
        work.sent.update({fold(recipient.address): sent for recipient in to})
        return outcomes


def openers_for(context: Context, recipient: Recipient) -> tuple[Opener, ...]:
    """The keys that are tried for this envelope recipient, and no others."""
    return tuple(opener for opener in context.openers if opener.opens_for(recipient.address))


def _discloses_fields(verdicts: Verdicts, facts: Facts) -> bool:
    """Whether an answer of a program would quote decrypted header fields to a sender who is not proven.

    An attacker who captured a mail can send it again with a reverse-path of their own: an absence notice has its
    Subject, a report of a failure (RFC 3461 6.2) its header.
    """
    return verdicts.decryption.status == "decrypted" and verdicts.headers.protected and not answerable(facts)


def _permitted_reports(notify: tuple[str, ...], verdicts: Verdicts) -> tuple[str, ...]:
    """NOTIFY (RFC 3461 4.1) without SUCCESS and DELAY for a mail that was, or claimed to be, signed or encrypted.

    The sender of such a report chooses when it is written, and it shows what the signature is worth and whether the
    mail could be decrypted.
    """
    if (all(layer.type == "plain" for layer in verdicts.layers) and verdicts.decryption.status == "not_encrypted"
            and verdicts.signature.status is Status.NOT_SIGNED):
        return notify
    if {"SUCCESS", "DELAY"}.isdisjoint(notify):
        return notify
    return ("FAILURE",) if "FAILURE" in notify else ("NEVER",)


def open_with(context: Context, mail: Mail, openers: tuple[Opener, ...]) -> Opened:
    """Step 2 with these keys."""
    keys = tuple(opener.key for opener in openers)
    opened = open_mail(
        mail.octets, keys, context.judge, mail.origin.received_at, context.opening, used_keys=context.content_keys)
    if ciphers := opened.verdicts.weak_ciphers:
        log.info("mail.weak_encryption", incident=mail.origin.incident, ciphers=list(ciphers),
                 opened=opened.verdicts.decryption.status == "decrypted")
    if not opened.changed:
        return opened
    return replace(opened, octets=without_forgeries(opened.octets, context, mail.origin))


def answerable(facts: Facts) -> bool:
    """Whether a mail of our own may go back to the reverse-path (RFC 3834 2): anybody can write one there, and the
    innocent owner would get what we send. Only where it is the From's own and the From is proven; to no machine.
    """
    if facts.from_ is None or facts.kind in ("dsn", "mdn", "auto_reply", "list"):
        return False
    if facts.verdicts is not None and facts.verdicts.verdict is Trust.TRUSTED:
        return same_mailbox(facts.sender, facts.from_)
    if facts.verdicts is not None and Reason.FROM_OUTER_DIFFERS in facts.verdicts.why:
        return False  # DMARC was about the outer From, and this is the protected one
    return facts.authentication.get("dmarc") == "pass" and same_domain(facts.sender, facts.from_)


def signer_of(opened: Opened) -> str | None:
    """SHA-256 of the certificate of the verified signer who is the From; None without one."""
    if opened.signed is None:
        return None
    return next((signer.certificate.sha256 for signer in opened.signed.signers if signer.matches_from), None)
