"""The outbound way: what leaves the bank is signed, stamped and encrypted as the rules say, or does not leave.

1. Facts of the message; the client may use this From.
2. One decision per recipient, all of them before anything is sent.
3. Refusals and deferrals: `partial` says what they do to the rest.
4. Groups; a draft for each, filled by the verbs (who may sign what is checked here, before anything is sent).
5. Sealing, at the moment of sending; signature and stamp are made once where the content is the same.
6. The next hop, under the journal; reports for what was refused after something was taken.
7. Evidence of every recipient, for each outcome.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from gateway.actions.table import carry_out
from gateway.actions.verb import VerbContext
from gateway.errors import GatewayError, Reason
from gateway.mime.canonical import seven_bit
from gateway.mime.header import closed, remove_fields
from gateway.mime.trace import without_keywords
from gateway.model.address import fold
from gateway.model.changed import changed
from gateway.model.decision import Decision
from gateway.model.fallbacks import FALLBACKS
from gateway.model.mail import Direction, Mail, Recipient, direction
from gateway.model.outcome import Outcome, RecipientOutcome, Settled
from gateway.pipeline.context import Context, Conversion, Original
from gateway.pipeline.facts import Message, shown_addresses
from gateway.pipeline.message_key import identified, message_key
from gateway.pipeline.observe import observe
from gateway.pipeline.outbound.bounce import without_returned_content
from gateway.pipeline.outbound.from_check import check_from
from gateway.pipeline.outbound.plan import Plan, group, plan, rejection_or_deferral, release
from gateway.pipeline.record import Sent, keep, stop
from gateway.pipeline.report import report_refused
from gateway.pipeline.run import Group, Run, hold, is_all_or_none, needs_report, refuse_all, undelivered
from gateway.pipeline.strip import has_forgeries, without_forgeries
from gateway.ports.services.fallbacks import FallbackUse
from gateway.smime.draft import Draft
from gateway.smime.seal import Sealed, SignedOnce, seal

log = structlog.get_logger("sealgate.fallback")

HIDDEN_FIELDS = ("bcc", "resent-bcc")  # RFC 5322 3.6.3; Postfix drops them too (message_drop_headers)


@dataclass(slots=True)
class _Work:
    """One mail in work: what is computed once and shared by its groups."""

    mail: Mail
    message: Message
    key: str
    canonical: bytes | None = None
    signed_once: SignedOnce | None = None  # where several groups may share it
    sent: dict[str, Sent] = field(default_factory=dict)


class Outbound:
    """The one outbound way: relay, commands and services all call `send`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def send(self, mail: Mail, *, released: bool = False, leaves: Callable[[], None] | None = None) -> Outcome:
        """Settles every recipient or says why not. `released`: an operator released it, so `hold` delivers.

        `leaves` is called before each final dot, and before a mail goes into the hold store: if it raises, the mail is
        not sent. It is for services that record what leaves; over the wire the journal is enough. With it outcomes
        have their `way`.
        Raises nothing for what may happen to a mail; an unexpected error passes through and is the front end's 451.
        """
        context = self._context
        if context.trial is not None and not released and not mail.origin.held_as:
            return observe(context, mail, "outbound", lambda trial: Outbound(trial).send(mail))
        try:
            return self._send(mail, released=released, leaves=leaves)
        except GatewayError as trouble:
            return stop(context, mail, trouble, "outbound")

    def _send(self, mail: Mail, *, released: bool, leaves: Callable[[], None] | None) -> Outcome:
        context = self._context
        message = Message.of(mail, context)  # 1
        work = _Work(mail, message, message_key(mail, message.headers, "outbound"))
        check_from(context, mail, message)

        plans = [plan(context, message.facts, recipient,  # 2
                      direction(client_is_ours=True, recipient_is_ours=context.identity.owns(recipient.address)),
                      customers=mail.origin.customers) for recipient in mail.envelope.recipients]
        if released:
            plans = [release(one, alone=len(plans) == 1) for one in plans]

        refused = {fold(one.recipient.address): end for one in plans  # 3 and 4
                   if (end := rejection_or_deferral(one)) is not None}
        going = [one for one in plans if fold(one.recipient.address) not in refused]
        drafts: list[tuple[Group, Plan, Draft | None]] = []
        for members in group(going, shown_addresses(message)):
            try:
                drafts.append((Group.of(members), members[0], self._draft(work, members)))
            except GatewayError as trouble:
                failed = undelivered((one.recipient for one in members), trouble, members[0].decision.rule)
                refused.update({fold(one.address): one for one in failed})
        if refused and (is_all_or_none(context, mail) or not drafts):
            everybody = tuple(recipient.address for recipient in mail.envelope.recipients)
            outcome = refuse_all(mail.origin.incident, everybody, refused)
            keep(context, mail, message, plans, outcome.recipients, {}, work.key)
            return outcome

        if len(drafts) > 1:  # 5 and 6
            work.signed_once = {}
        with Run(context, mail, work.key, identified(mail, message.headers), [one for one, _, _ in drafts],
                 leaves) as run:
            for one, first, draft in drafts:
                if to := run.pending(one):
                    try:
                        results = self._settle(work, run, first, draft, to)
                    except GatewayError as trouble:
                        results = undelivered(to, trouble)
                    run.settle(one, results, partial(keep, context, mail, message, plans, sent=work.sent, key=work.key))
        outcomes = [*run.outcomes, *refused.values()]
        settled, reason = run.answer(outcomes)
        if needs_report(mail, settled, outcomes):
            outcomes = report_refused(context, mail, outcomes)
        if leaves is not None:
            channels = {fold(one.recipient.address): one.decision.channel for one in plans
                        if one.decision.end.kind == "deliver"}
            outcomes = [replace(one, way=channels.get(fold(one.address), "")) for one in outcomes]

        outcome = Outcome(mail.origin.incident, settled, tuple(outcomes), reason)  # 7
        keep(context, mail, message, plans, run.not_recorded(outcomes), work.sent, work.key)
        self._count_fallbacks(plans, outcome)
        return run.for_client(outcome)

    def _draft(self, work: _Work, plans: tuple[Plan, ...]) -> Draft | None:
        """4. None for a group that is held. The step of a fallback is done at the moment of sending."""
        context, mail, facts, decision = self._context, work.mail, work.message.facts, plans[0].decision
        if decision.end.kind in ("hold", "quarantine"):
            return None
        verb_context = VerbContext(
            at=context.clock.now(),
            key_sets=context.key_sets,
            stampers=context.stampers,
            escrow=context.escrow,
            from_=facts.from_,
            sender_is_ours=context.identity.owns(facts.sender),
            client=mail.origin.client,
            client_is_ours=mail.origin.ours,
            chosen=tuple({row.sha256: row for one in plans for row in one.rows}.values()),
        )
        steps = decision.steps
        if decision.fallback is not None:
            steps = tuple(step for step in steps if step.verb != decision.fallback)
        return carry_out(steps, Draft(mail.octets, work.message.entity), verb_context)

    def _settle(self, work: _Work, run: Run, plan: Plan, draft: Draft | None, to: tuple[Recipient, ...]
                ) -> tuple[RecipientOutcome, ...]:
        """5 and 6 for one group."""
        context = self._context
        if draft is None:
            if run.leaves is not None:
                run.leaves()
            return hold(context, work.mail, to, plan)
        sealed = self._seal(work, draft, plan, to)
        hop = context.inbound_hop if plan.facts.direction is Direction.INTERNAL else context.outbound_hop
        outcomes = run.deliver(hop, sealed.octets, to)
        sent = Sent(hashlib.sha256(sealed.octets).hexdigest(), tuple(one.sha256 for one in draft.encrypt_to),
                    sealed.stamped_by, dict(draft.escrow))
        work.sent.update({fold(recipient.address): sent for recipient in to})
        return outcomes

    def _seal(self, work: _Work, draft: Draft, plan: Plan, to: tuple[Recipient, ...]) -> Sealed:
        """5. What is not signed leaves as it came, but for a bounce that would carry a mail back in clear."""
        octets, clock = self._clean(work), self._context.clock
        conversion = self._conversion(plan.decision)
        if conversion is not None:
            if draft.signer is None or draft.encrypt_to:
                raise GatewayError(Reason.INTERNAL, "a fallback was planned without a signature", retry=True)
            at = clock.now()
            octets = seven_bit(conversion.convert(Original(octets, work.key, to[0].address), at), crlf=True)
            return seal(replace(draft, octets=octets, entity=None), at, None)
        if draft.signer is None:
            if draft.encrypt_to:
                raise GatewayError(Reason.INTERNAL, "an encryption without a signature was planned")
            if plan.facts.direction is Direction.OUTBOUND:
                octets = without_returned_content(octets, work.message)
            return seal(replace(draft, octets=octets), clock.now(), {})
        if work.canonical is None:
            work.canonical = seven_bit(octets, crlf=True)
        if draft.octets is not work.canonical:
            draft = changed(draft, octets=work.canonical)
        return seal(draft, clock.now(), work.signed_once)

    def _conversion(self, decision: Decision) -> Conversion | None:
        """What makes another mail in the place of this one; None: the mail itself is sent."""
        name = decision.fallback
        if name is None or not FALLBACKS[name].encrypts:
            return None
        found = self._context.fallbacks.conversions.get(name)
        if found is None:
            raise GatewayError(Reason.CONFIG_INVALID, f"fallbacks.{name} is not configured", retry=True)
        return found

    def _clean(self, work: _Work) -> bytes:
        """Without hidden recipients, keywords, and what only the gateway may say: colleagues believe it, too.

        A header that ended early gets its empty line.
        """
        octets, known, lenient = work.mail.octets, self._context.rules().keywords, work.message.lenient
        if has_forgeries(lenient, self._context, work.mail.origin):
            octets = without_forgeries(octets, self._context, work.mail.origin)
        if any(lenient.all(name) for name in HIDDEN_FIELDS):
            octets = remove_fields(octets, HIDDEN_FIELDS)
        if work.message.facts.keywords & known:
            octets = without_keywords(octets, known)
        return closed(octets) if lenient.broken else octets

    def _count_fallbacks(self, plans: Iterable[Plan], outcome: Outcome) -> None:
        """7. For the figures. The mail is settled: a failure is logged and changes nothing."""
        applied = [(one, FALLBACKS[name]) for one in plans if (name := one.decision.fallback) is not None]
        if not applied:
            return
        settled = {fold(one.address): one.settled for one in outcome.recipients}
        uses = [FallbackUse(one.recipient.address, one.decision.rule, fallback.name, one.want)
                for one, fallback in applied
                if settled[fold(one.recipient.address)] is (Settled.HELD if fallback.held else Settled.TAKEN)]
        try:
            if uses:
                self._context.fallbacks.book.add(uses, self._context.clock.now())
        except GatewayError as trouble:
            log.warning("fallback.not_counted", incident=outcome.incident, reason=str(trouble.reason),
                        detail=trouble.detail)
