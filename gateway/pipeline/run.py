"""What both directions share: groups leave under the journal, and the client gets one answer.

1. Decisions are all made before anything is sent; `partial` says what a refusal does to the rest.
2. Recipients that an earlier attempt settled are not sent to again.
3. A mail of several groups, or one whose single group is accepted only in part, has journal rows: claimed, `sending`
   written before the final dot, `taken` with the next hop's reply.
4. Once something was taken: temporary trouble elsewhere is 451 and the retry sends the rest; permanent trouble
   elsewhere is 250 plus a report.
5. Nothing taken: any refusal is 5xx, else any temporary trouble 451.
6. Where every recipient has an answer of its own (`Origin.answers_each`, LMTP) none waits for another: rules 1, 4 and
   5 do not apply, and no report repeats what the client got as an answer. The client may have received only some of the
   answers, and retry one recipient alone: so the journal is asked for a single recipient, too.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Literal, Self

import structlog

from gateway.errors import GatewayError, Reason, where
from gateway.mime.canonical import with_short_lines
from gateway.mime.header import parse_headers
from gateway.model.address import fold
from gateway.model.changed import changed
from gateway.model.fallbacks import FALLBACKS
from gateway.model.mail import Direction, Envelope, Mail, Recipient
from gateway.model.outcome import Outcome, RecipientOutcome, Settled
from gateway.pipeline.context import Context
from gateway.pipeline.outbound.plan import Plan
from gateway.ports.journal import JournalRow, JournalState
from gateway.ports.next_hop import HopReply, NextHop
from gateway.ports.services.fallbacks import CertificateWait

log = structlog.get_logger("sealgate.run")

SETTLED: Final = frozenset({Settled.TAKEN, Settled.HELD, Settled.SERVED, Settled.REPORTED, Settled.DISCARDED})


@dataclass(frozen=True, slots=True)
class Group:
    """Recipients that get the same octets. `rule`: the one that decided for them."""

    recipients: tuple[Recipient, ...]
    rule: str = ""

    @classmethod
    def of(cls, plans: Sequence[Plan]) -> Self:
        """The recipients of these plans, which have the same decision."""
        return cls(tuple([one.recipient for one in plans]), plans[0].decision.rule)


@dataclass(slots=True)
class Run:
    """The delivery of one mail, used once, by `with`: a claim of the journal ends with the block.

    For each group: `pending`, then `deliver` (or another way to settle them), then `settle`. `leaves`: see
    Outbound.send. GatewayError of the journal at the beginning and the end. An error after something was settled is
    suppressed, because the outcomes are needed for the evidence: see `answer` and `for_client`.
    """

    context: Context
    mail: Mail
    key: str
    has_message_id: bool
    groups: Sequence[Group]
    leaves: Callable[[], None] | None = None
    outcomes: list[RecipientOutcome] = field(default_factory=list, init=False)
    _all_or_none: bool = field(default=False, init=False)
    _claimed: bool = field(default=False, init=False)
    _known: dict[str, JournalRow] = field(default_factory=dict, init=False)  # settled before, by folded address
    _in_doubt: tuple[str, ...] = field(default=(), init=False)
    _sent: set[str] = field(default_factory=set, init=False)  # to whom octets left this process: see in_place
    _unwritten: tuple[str, ...] = field(default=(), init=False)  # taken, and the journal could not be written
    _recorded: set[str] = field(default_factory=set, init=False)  # whose evidence is kept: folded addresses
    _failure: GatewayError | None = field(default=None, init=False)  # after something was settled

    def __enter__(self) -> Self:
        """Asks the journal. The reply to a single recipient is the next hop's and needs none, except by rule 6. A mail

        that has rows is claimed: no other process may work on it.
        """
        several = len(self.groups) > 1
        self._all_or_none = not several and is_all_or_none(self.context, self.mail)
        addresses = tuple([recipient.address for group in self.groups for recipient in group.recipients])
        if len(addresses) == 1 and not self.mail.origin.answers_each:
            return self
        rows = () if several else self._rows()
        if several or rows:
            rows = self._claim(addresses)
        self._known = {fold(row.recipient): row for row in rows if row.state is JournalState.TAKEN}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        """Ends the claim. Whether the error is suppressed."""
        try:
            if self._claimed:
                self._release()
        except Exception as failure:
            if not self._suppress(failure):
                raise
            return True
        return isinstance(error, Exception) and self._suppress(error)

    def _release(self) -> None:
        """A recipient in doubt without an answer, because this attempt was not for it or ended before, stays in doubt:

        sending to it is counted.
        """
        answered = {fold(one.address) for one in self.outcomes if one.reply and not self._in_place(one)}
        unanswered = tuple(one.address for one in self.outcomes if one.settled is Settled.LATER and one.reply == "")
        unanswered += tuple(one for one in self._in_doubt if fold(one) not in answered) + self._unwritten
        acknowledged = self.mail.origin.answers_each or answer(self.outcomes)[0] is Settled.TAKEN
        self.context.journal.release(self.key, acknowledged=acknowledged, unanswered=unanswered)

    def _suppress(self, error: Exception) -> bool:
        """Whether something was settled. Then recipients without an outcome get LATER."""
        if not any(one.settled in SETTLED and not self._in_place(one) for one in self.outcomes):
            return False
        trouble = error if isinstance(error, GatewayError) else GatewayError(Reason.INTERNAL, where(error), retry=True)
        log.critical("mail.left_in_part", incident=self.mail.origin.incident, reason=str(trouble.reason),
                     detail=trouble.detail)
        self._failure = trouble
        reached = {fold(one.address) for one in self.outcomes}
        self.outcomes += [
            RecipientOutcome(recipient.address, Settled.LATER, trouble.reason, group.rule, trouble.detail)
            for group in self.groups for recipient in group.recipients if fold(recipient.address) not in reached]
        return True

    def answer(self, outcomes: Iterable[RecipientOutcome]) -> tuple[Settled, Reason | None]:
        """As the function `answer`; LATER after a failure."""
        return answer(outcomes) if self._failure is None else (Settled.LATER, self._failure.reason)

    def for_client(self, outcome: Outcome) -> Outcome:
        """The outcome that the client gets. After a failure it must retry the whole mail.

        The journal knows who has the mail, but not that the client got that answer: otherwise it would take the next
        equal mail without a Message-ID for this one.
        """
        trouble = self._failure
        if trouble is None:
            return outcome
        return replace(outcome, recipients=tuple(
            RecipientOutcome(one.address, Settled.LATER, trouble.reason, one.rule, trouble.detail)
            for one in outcome.recipients))

    def _rows(self) -> tuple[JournalRow, ...]:
        """Of a mail that leaves as one group. Without the database it goes on: only a recipient to whom another group

        of it was sent before, and that is retried just then, may get it twice. Each such mail is logged.
        """
        try:
            return self.context.journal.rows(self.key, unacknowledged_only=not self.has_message_id)
        except GatewayError as trouble:
            if not trouble.retry:
                raise
            log.warning("journal.not_read", incident=self.mail.origin.incident, detail=trouble.detail)
            return ()

    def _claim(self, addresses: tuple[str, ...]) -> tuple[JournalRow, ...]:
        """Also notes who may have the mail from an attempt that got no answer."""
        rows = self.context.journal.claim(self.key, addresses, unacknowledged_only=not self.has_message_id)
        self._claimed = True
        self._in_doubt = tuple(row.recipient for row in rows if row.state is JournalState.SENDING)
        return rows

    def pending(self, group: Group) -> tuple[Recipient, ...]:
        """Those of a group that no earlier attempt settled; the outcome of the others is DISCARDED."""
        if not self._known:
            return group.recipients
        for recipient in group.recipients:
            if (row := self._known.get(fold(recipient.address))) is not None:
                self.outcomes.append(
                    RecipientOutcome(recipient.address, Settled.DISCARDED, rule=group.rule, reply=row.reply))
        return tuple(recipient for recipient in group.recipients if fold(recipient.address) not in self._known)

    def deliver(self, hop: NextHop, octets: bytes, recipients: tuple[Recipient, ...], *,
                headers_only: bool = False) -> tuple[RecipientOutcome, ...]:
        """Octets of the pipeline to the next hop. `headers_only`: bounces must not carry the opened body (RET=HDRS)."""
        octets = with_short_lines(octets)
        envelope, eight_bit = self.mail.envelope, not octets.isascii()
        if envelope.eight_bit != eight_bit or envelope.recipients != recipients:
            envelope = changed(envelope, recipients=recipients, eight_bit=eight_bit)
        if headers_only:
            envelope = replace(envelope, ret="HDRS")
        return self.transmit(hop, octets, envelope)

    def transmit(self, hop: NextHop, octets: bytes, envelope: Envelope) -> tuple[RecipientOutcome, ...]:
        """Exactly these octets to the next hop. GatewayError of the hop and of `before_dot`: nothing was sent."""
        addresses = tuple([recipient.address for recipient in envelope.recipients])
        replies = hop.deliver(octets, envelope, partial(self.before_dot, addresses), all_or_none=self._all_or_none)
        self.context.reach("after-250")
        outcomes = tuple([_outcome(reply) for reply in replies])
        if self._all_or_none and any(one.settled is Settled.REFUSED for one in outcomes):
            return tuple(
                one
                if one.settled is Settled.REFUSED
                else replace(one, settled=Settled.REFUSED, reason=Reason.POLICY_OTHER_RECIPIENT_REFUSED, reply=None)
                for one in outcomes
            )
        return outcomes

    def before_dot(self, addresses: tuple[str, ...], accepted: tuple[str, ...]) -> None:
        """A single group that is accepted whole goes on without the journal; anything else is written down first.

        A client that may have given up by now must not find its mail sent, because it will retry. `accepted`: those of
        `addresses` to whom the next hop takes it; () if nothing leaves this process, see in_place.
        """
        deadline = self.mail.origin.deadline_at
        if deadline is not None and self.context.clock.now() >= deadline:
            raise GatewayError(Reason.MAIL_DEADLINE, "the work took longer than the client waits", retry=True)
        self.context.evidence.ready()
        if accepted and not self._claimed and set(accepted) != set(addresses):
            self._claim(addresses)
        doubtful = set(map(fold, self._in_doubt))
        leaving = accepted or tuple(one for one in addresses if fold(one) in doubtful)  # in place it may be a copy
        if leaving and self._claimed:
            self.context.journal.sending(self.key, leaving)
        if self.leaves is not None:
            self.leaves()
        self._sent.update(accepted)
        self.context.reach("before-dot")

    def settle(self, group: Group, outcomes: Iterable[RecipientOutcome],
               record: Callable[[Sequence[RecipientOutcome]], None] | None = None) -> None:
        """The outcomes of one group. A journal that fails now must not turn a taken mail into a deferred one, which the

        client would send again. The row stays `sending`: if the mail is retried for another group, sending to them once
        more is counted. `record` keeps the evidence of what is settled before the journal knows it: a retry after a
        kill does not send to them again, and could not say what they got.
        """
        outcomes = [changed(one, rule=group.rule) for one in outcomes]
        self.outcomes += outcomes
        if not self._claimed:
            return
        settled = [one for one in outcomes if one.settled in SETTLED and not self._in_place(one)]
        if record is not None and settled:
            record(settled)
            self._recorded.update(fold(one.address) for one in settled)
        replies: dict[str, list[str]] = {}
        for one in settled:
            replies.setdefault(one.reply or str(one.settled), []).append(one.address)
        self.context.reach("before-commit")
        for reply, addresses in replies.items():
            try:
                self.context.journal.taken(self.key, tuple(addresses), reply)
            except GatewayError as trouble:
                if trouble.reason.family != "store":
                    raise
                self._unwritten += tuple(addresses)
                log.critical("journal.not_written", incident=self.mail.origin.incident, detail=trouble.detail)
        self.context.reach("after-commit")

    def not_recorded(self, outcomes: Iterable[RecipientOutcome]) -> list[RecipientOutcome]:
        """Those whose evidence is still to be kept."""
        return [one for one in outcomes if fold(one.address) not in self._recorded]

    def _in_place(self, outcome: RecipientOutcome) -> bool:
        return outcome.settled is Settled.TAKEN and outcome.address not in self._sent


def _outcome(reply: HopReply) -> RecipientOutcome:
    """The next hop's reply as an outcome; the reply '' means that none came after the final dot."""
    if reply.taken:
        settled, reason = Settled.TAKEN, None
    elif reply.permanent:
        settled, reason = Settled.REFUSED, Reason.NEXT_HOP_REFUSED
    else:
        settled, reason = Settled.LATER, Reason.NEXT_HOP_LATER
    return RecipientOutcome(reply.address, settled, reason, reply=f"{reply.code} {reply.text}" if reply.code else "")


def hold(context: Context, mail: Mail, recipients: tuple[Recipient, ...], plan: Plan) -> tuple[RecipientOutcome, ...]:
    """One group into the hold store, as received; it is settled once it is durable there.

    The list of held mail needs no key, so it shows of a subject only what travelled in clear: the outer one of mail
    from outside. Ours would have been hidden, and is stored with the body under the archive certificate.
    Ours keeps for whom it is: when it leaves, its address may be another customer's.
    """
    decision = plan.decision
    inbound = plan.facts.direction is Direction.INBOUND
    kind: Literal["hold", "quarantine"] = "quarantine" if decision.end.kind == "quarantine" else "hold"
    reason = Reason.POLICY_QUARANTINED if kind == "quarantine" else Reason.POLICY_HELD
    addresses = tuple(recipient.address for recipient in recipients)
    wait = None
    if decision.fallback is not None and FALLBACKS[decision.fallback].held:  # else the rule itself holds, for people
        reason = FALLBACKS[decision.fallback].reason or reason
        wait = CertificateWait(addresses[0], decision.fallback, plan.want)
    hold_id = context.hold.put(
        mail if inbound else _with_customers(context, mail, addresses),
        addresses,
        kind=kind,
        direction="inbound" if inbound else "outbound",
        subject=(parse_headers(mail.octets).text("subject") or "") if inbound else "",
        rule=decision.rule,
        reason=decision.end.text or str(reason),
        wait=wait,
    )
    return tuple(RecipientOutcome(address, Settled.HELD, reason, reply=f"held as {hold_id}") for address in addresses)


def _with_customers(context: Context, mail: Mail, addresses: tuple[str, ...]) -> Mail:
    """The mail with the customers to whom the register gives its addresses now, where each of them is a customer's."""
    if mail.origin.customers:
        return mail
    owners = [context.customers.by_address(address) for address in addresses]
    if None in owners:
        return mail
    numbers = dict.fromkeys(owner.number for owner in owners if owner is not None)
    return replace(mail, origin=replace(mail.origin, customers=tuple(numbers)))


def undelivered(recipients: Iterable[Recipient], trouble: GatewayError, rule: str = "") -> tuple[RecipientOutcome, ...]:
    """The outcome of recipients whose mail `trouble` stopped."""
    settled = Settled.LATER if trouble.retry else Settled.REFUSED
    return tuple([RecipientOutcome(one.address, settled, trouble.reason, rule, trouble.detail) for one in recipients])


def is_all_or_none(context: Context, mail: Mail) -> bool:
    """Whether a refusal of one recipient keeps all others from the mail, as long as nothing was sent."""
    return context.partial == "refuse_all" and not mail.origin.answers_each


def answer(outcomes: Iterable[RecipientOutcome]) -> tuple[Settled, Reason | None]:
    """The transaction's answer, of the outcomes of its recipients (rules 4 and 5 of the module)."""
    outcomes = tuple(outcomes)
    later = next((one for one in outcomes if one.settled is Settled.LATER), None)
    refused = next((one for one in outcomes if one.settled is Settled.REFUSED), None)
    if any(one.settled in SETTLED for one in outcomes):
        return (Settled.LATER, later.reason) if later else (Settled.TAKEN, None)
    if refused and not later:
        return Settled.REFUSED, refused.reason
    if later:
        return Settled.LATER, later.reason
    return Settled.REFUSED, refused.reason if refused else Reason.INTERNAL


def needs_report(mail: Mail, settled: Settled, outcomes: Iterable[RecipientOutcome]) -> bool:
    """Whether a recipient was refused and the client's answer does not say so (rules 4 and 6)."""
    if settled is not Settled.TAKEN or mail.origin.answers_each:
        return False
    return any(one.settled is Settled.REFUSED for one in outcomes)


def refuse_all(incident: str, addresses: tuple[str, ...], refused: dict[str, RecipientOutcome]) -> Outcome:
    """`partial: refuse_all`: a recipient is refused or deferred, so nothing is sent at all.

    `refused`: folded address to outcome. A refusal outweighs a deferral: trying again would not help.
    """
    cause = next((one for one in refused.values() if one.settled is Settled.REFUSED), None) or next(
        iter(refused.values())
    )
    outcomes = tuple(
        refused.get(fold(address)) or RecipientOutcome(address, cause.settled, Reason.POLICY_OTHER_RECIPIENT_REFUSED)
        for address in addresses
    )
    return Outcome(incident, cause.settled, outcomes, cause.reason)
