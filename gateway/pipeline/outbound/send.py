"""The outbound way: what leaves the bank is signed, stamped and encrypted as the rules say, or does not leave.

1. Facts of the message; the client may use this From.
2. One decision per recipient, all of them before anything is sent.
3. Refusals and deferrals: `partial` says what they do to the rest.
4. Groups; a draft for each, filled by the verbs (who may sign what is checked here, before anything is sent).
5. Sealing, at the moment of sending; signature and stamp are made once where the content is the same.
6. The next hop, under the journal; reports for what was refused after something was taken.
7. Evidence of every recipient, whatever became of it.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from gateway.actions.table import carry_out
from gateway.actions.verb import Rooms
from gateway.errors import GatewayError, Reason
from gateway.mime.canonical import seven_bit
from gateway.mime.header import closed, remove_fields
from gateway.mime.trace import without_keywords
from gateway.model.address import fold, permitted_from
from gateway.model.changed import changed
from gateway.model.decision import ENCRYPTED_PDF
from gateway.model.mail import Direction, Mail, Recipient, direction
from gateway.model.outcome import Outcome, RecipientOutcome, Settled
from gateway.pipeline.context import Context
from gateway.pipeline.facts import Message, shown_addresses, shown_in_from
from gateway.pipeline.message_key import identified, message_key
from gateway.pipeline.observe import observed
from gateway.pipeline.outbound.bounce import without_returned_content
from gateway.pipeline.outbound.fallback import count, locked
from gateway.pipeline.outbound.plan import Planned, ended, in_groups, let_go, plan, way_of
from gateway.pipeline.record import Sent, keep, stopped
from gateway.pipeline.report import report_refused
from gateway.pipeline.run import Group, Passage, Run, Send, deliver, held, refuse_all, to_report, together
from gateway.pipeline.strip import has_forgeries, without_forgeries
from gateway.ports.services.fallbacks import Fallen
from gateway.smime.draft import Draft
from gateway.smime.seal import seal

HIDDEN_FIELDS = ("bcc", "resent-bcc")  # RFC 5322 3.6.3; Postfix drops them too (message_drop_headers)

log = structlog.get_logger("sealgate.outbound")


@dataclass(slots=True)
class _Work:
    """One mail in work: what is computed once and shared by its groups."""

    mail: Mail
    message: Message
    key: str
    planned: tuple[Planned, ...] = ()
    canonical: bytes | None = None
    signed_once: dict[Any, tuple[bytes, str | None]] | None = None  # where several groups may share it
    sent: dict[str, Sent] = field(default_factory=dict)
    leaves: Callable[[], None] | None = None


class Outbound:
    """The one outbound way: relay, commands and services all call `send`."""

    def __init__(self, context: Context) -> None:
        self._house = context

    def send(self, mail: Mail, *, released: bool = False, leaves: Callable[[], None] | None = None) -> Outcome:
        """Settles every recipient or says why not. `released`: an operator let it go, so `hold` delivers.

        `leaves` is called before each final dot, and before a mail goes into the hold store: what it raises keeps the
        mail in the house. It is for services that write down what leaves; over the wire the journal is enough. With it
        outcomes tell their `way`.
        Raises nothing for what may happen to a mail; a surprise comes out as it is and is the front end's 451.
        """
        if self._house.trial is not None and not released and not mail.origin.held_as:
            return observed(self._house, mail, "outbound", lambda trial: Outbound(trial).send(mail))
        try:
            message = Message.of(mail, self._house)
            work = _Work(mail, message, message_key(mail, message.headers, "outbound"), leaves=leaves)
            self._check_from(mail, message)
            return self._decided(work, released=released)
        except GatewayError as trouble:
            return stopped(self._house, mail, trouble, "outbound")

    def _check_from(self, mail: Mail, message: Message) -> None:
        """1. A client speaks only for its own addresses, in the header that people see, the name in it included."""
        facts = message.facts
        patterns = self._house.client_from.get(mail.origin.client or "", ())
        if "*" in patterns:
            return
        if facts.from_ is None:
            reason = Reason.FROM_MISSING if facts.no_from == "none" else Reason.FROM_AMBIGUOUS
            raise GatewayError(reason, "header From must name exactly one mailbox")
        if not permitted_from(patterns, facts.from_):
            raise GatewayError(
                Reason.CLIENT_FROM_NOT_ALLOWED, f"client {mail.origin.client!r} may not use From {facts.from_}"
            )
        for shown in shown_in_from(message):
            if self._house.identity.owns(shown) and not permitted_from(patterns, shown):
                raise GatewayError(Reason.CLIENT_FROM_NOT_ALLOWED, f"From {facts.from_} is shown as {shown}")

    def _decided(self, work: _Work, *, released: bool) -> Outcome:
        """2 and 3."""
        mail = work.mail
        planned = tuple([self._plan(work, recipient) for recipient in mail.envelope.recipients])
        if released:
            planned = tuple(let_go(one, alone=len(planned) == 1) for one in planned)
        work.planned = planned
        refused = {fold(one.recipient.address): end for one in planned if (end := ended(one)) is not None}
        going = [one for one in planned if fold(one.recipient.address) not in refused]
        drafts: list[tuple[tuple[Planned, ...], Draft | None]] = []
        for group in in_groups(going, shown_addresses(work.message)):
            try:
                drafts.append((group, self._draft(work, group)))
            except GatewayError as trouble:
                refused.update({fold(one.recipient.address): _failed(one, trouble) for one in group})
        if refused and (together(self._house, mail) or not drafts):
            everybody = tuple(recipient.address for recipient in mail.envelope.recipients)
            outcome = refuse_all(mail.origin.incident, everybody, refused)
            keep(self._house, mail, work.message, planned, outcome, {}, work.key)
            return outcome
        return self._send(work, drafts, tuple(refused.values()))

    def _plan(self, work: _Work, recipient: Recipient) -> Planned:
        ours = self._house.identity.owns(recipient.address)
        return plan(self._house, work.message.facts, recipient,
                    direction(client_is_ours=True, recipient_is_ours=ours), customers=work.mail.origin.customers)

    def _draft(self, work: _Work, group: tuple[Planned, ...]) -> Draft | None:
        """4. None for a group that is held: its octets are stored as received."""
        decision = group[0].decision
        if decision.end.kind in ("hold", "quarantine"):
            return None
        mail, facts = work.mail, work.message.facts
        rooms = Rooms(
            at=self._house.clock.now(),
            key_sets=self._house.key_sets,
            stampers=self._house.stampers,
            escrow=self._house.escrow,
            from_=facts.from_,
            sender_is_ours=self._house.identity.owns(facts.sender),
            client=mail.origin.client,
            client_is_ours=mail.origin.ours,
            chosen=tuple({row.sha256: row for one in group for row in one.rows}.values()),
        )
        steps = decision.steps
        if decision.fallback == "encrypted_pdf":
            steps = tuple(step for step in steps if step.verb != ENCRYPTED_PDF)  # done at the moment of sending
        return carry_out(steps, Draft(mail.octets, work.message.entity), rooms)

    def _send(
        self,
        work: _Work,
        drafts: Sequence[tuple[tuple[Planned, ...], Draft | None]],
        refused: tuple[RecipientOutcome, ...],
    ) -> Outcome:
        """5 to 7."""
        context, mail = self._house, work.mail
        run = Run(context, mail, work.key, has_message_id=identified(mail, work.message.headers),
                  leaves=work.leaves)
        if len(drafts) > 1:
            work.signed_once = {}
        outcomes = [*run.groups([self._group(work, group, draft) for group, draft in drafts]), *refused]
        settled, reason = run.answer(outcomes)
        if to_report(mail, settled, outcomes):
            outcomes = report_refused(context, mail, outcomes)
        if work.leaves is not None:
            ways = {fold(one.recipient.address): way_of(one.decision) for one in work.planned}
            outcomes = [replace(one, way=ways.get(fold(one.address), "")) for one in outcomes]
        outcome = Outcome(mail.origin.incident, settled, tuple(outcomes), reason)
        keep(context, mail, work.message, work.planned, outcome, work.sent, work.key)
        if context.fallbacks is not None and any(one.decision.fallback for one in work.planned):
            count(context.fallbacks, _fallen(work.planned, outcome), context.clock.now(), mail.origin.incident)
        return run.answered(outcome)

    def _group(self, work: _Work, group: tuple[Planned, ...], draft: Draft | None) -> Group:
        recipients = tuple([one.recipient for one in group])
        send = self._holder(work, group) if draft is None else self._sender(work, group, draft)
        return Group(recipients, group[0].decision.rule, send)

    def _holder(self, work: _Work, group: tuple[Planned, ...]) -> Send:
        def hold(recipients: tuple[Recipient, ...], passage: Passage) -> tuple[RecipientOutcome, ...]:
            del passage
            if work.leaves is not None:
                work.leaves()
            return held(self._house, work.mail, recipients, group[0])

        return hold

    def _sender(self, work: _Work, group: tuple[Planned, ...], draft: Draft) -> Send:
        context = self._house
        hop = context.inbound_hop if group[0].facts.direction is Direction.INTERNAL else context.outbound_hop

        def send(recipients: tuple[Recipient, ...], passage: Passage) -> tuple[RecipientOutcome, ...]:
            stamped_by: list[str] = []
            if group[0].decision.fallback == "encrypted_pdf":
                octets = self._as_pdf(work, draft, recipients[0], stamped_by.append)
            else:
                octets = self._sealed(work, draft, stamped_by.append)
            outcomes = deliver(context, hop, octets, work.mail, recipients, passage)
            sent = Sent(hashlib.sha256(octets).hexdigest(), tuple(one.sha256 for one in draft.encrypt_to),
                        "".join(stamped_by), dict(draft.escrow))
            work.sent.update({fold(recipient.address): sent for recipient in recipients})
            return outcomes

        return send

    def _as_pdf(self, work: _Work, draft: Draft, to: Recipient, told: Callable[[str], None]) -> bytes:
        """Another mail in its place, signed like any. Its password is handed over by then: it may leave now."""
        context = self._house
        if context.fallbacks is None or draft.signer is None or draft.encrypt_to:
            raise GatewayError(Reason.INTERNAL, "a mail as PDF was planned that cannot be one", retry=True)
        at = context.clock.now()
        octets = locked(context.fallbacks, context.customers, self._cleaned(work), work.key, to.address, at)
        return seal(replace(draft, octets=seven_bit(octets, crlf=True), entity=None), at, None, told)

    def _cleaned(self, work: _Work) -> bytes:
        """Without hidden recipients, keywords, and what only the gateway may say: colleagues believe it, too.

        A header that ended early gets its empty line.
        """
        octets, known, seen = work.mail.octets, self._house.rules().keywords, work.message.seen
        if has_forgeries(seen, self._house, work.mail.origin):
            octets = without_forgeries(octets, self._house, work.mail.origin)
        if any(seen.all(name) for name in HIDDEN_FIELDS):
            octets = remove_fields(octets, HIDDEN_FIELDS)
        if work.message.facts.keywords & known:
            octets = without_keywords(octets, known)
        return closed(octets) if seen.broken else octets

    def _sealed(self, work: _Work, draft: Draft, told: Callable[[str], None]) -> bytes:
        """5. What is not signed leaves as it came, but for a bounce that would carry a mail back in clear.

        `told`: which stamper stamped it.
        """
        octets = self._cleaned(work)
        if draft.signer is None:
            if draft.encrypt_to:
                raise GatewayError(Reason.INTERNAL, "an encryption without a signature was planned")
            return seal(
                replace(draft, octets=without_returned_content(octets, work.message)), self._house.clock.now(), {}
            )
        if work.canonical is None:
            work.canonical = seven_bit(octets, crlf=True)
        if draft.octets is not work.canonical:
            draft = changed(draft, octets=work.canonical)
        return seal(draft, self._house.clock.now(), work.signed_once, told)


def _fallen(planned: Sequence[Planned], outcome: Outcome) -> list[Fallen]:
    """Who had no certificate, and whose mail has gone the other way now: it waits, or it was sent."""
    settled = {fold(one.address): one.settled for one in outcome.recipients}
    return [Fallen(one.recipient.address, one.decision.rule, way, one.want) for one in planned
            if (way := one.decision.fallback) is not None and settled[fold(one.recipient.address)] is (
                Settled.HELD if way in {"hold", "invite"} else Settled.TAKEN)]


def _failed(planned: Planned, trouble: GatewayError) -> RecipientOutcome:
    settled = Settled.LATER if trouble.retry else Settled.REFUSED
    return RecipientOutcome(planned.recipient.address, settled, trouble.reason, planned.decision.rule, trouble.detail)
