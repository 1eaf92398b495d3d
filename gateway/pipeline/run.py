"""What both directions share: groups leave under the journal, and the client gets one answer.

1. Decisions are all made before anything is sent; `partial` says what a refusal does to the rest.
2. Recipients that an earlier attempt settled are not sent to again.
3. A mail of several groups, or one whose single group is taken only in part, has journal rows: claimed, `sending`
   written before the final dot, `taken` with the next hop's reply.
4. Once something was taken: temporary trouble elsewhere is 451 and the retry sends the rest; permanent trouble
   elsewhere is 250 plus a report.
5. Nothing taken: any refusal is 5xx, else any temporary trouble 451.
6. Where every recipient has an answer of its own (`Origin.answers_each`, LMTP) none waits for another: rules 1, 4 and
   5 do not apply, and nothing is reported that the client is told. It may have heard some answers and not the others,
   and come again for one recipient alone: so the journal is asked of that one, too.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

import structlog

from gateway.errors import GatewayError, Reason, where
from gateway.mime.canonical import with_short_lines
from gateway.mime.header import parse_headers
from gateway.model.address import fold
from gateway.model.changed import changed
from gateway.model.mail import Direction, Mail, Recipient
from gateway.model.outcome import Outcome, RecipientOutcome, Settled
from gateway.pipeline.context import Context
from gateway.pipeline.outbound.plan import Planned
from gateway.ports.journal import JournalRow, JournalState
from gateway.ports.next_hop import HopReply, NextHop
from gateway.ports.services.fallbacks import Waits

log = structlog.get_logger("sealgate.run")

SETTLED = frozenset({Settled.TAKEN, Settled.HELD, Settled.SERVED, Settled.REPORTED, Settled.DISCARDED})


@dataclass(frozen=True, slots=True)
class Passage:
    """What a group's sending is bound to: both are handed on to the next hop (see ports.next_hop)."""

    before_dot: Callable[[tuple[str, ...]], None]
    all_or_none: bool


Send = Callable[[tuple[Recipient, ...], Passage], tuple[RecipientOutcome, ...]]


@dataclass(frozen=True, slots=True)
class Group:
    """Recipients that get the same octets. `send` tries once and answers for each of its recipients."""

    recipients: tuple[Recipient, ...]
    rule: str
    send: Send


@dataclass(slots=True)
class Run:
    """One mail's way out of the house; used once."""

    context: Context
    mail: Mail
    key: str
    has_message_id: bool
    claimed: bool = False
    all_or_none: bool = False
    outcomes: list[RecipientOutcome] = field(default_factory=list)
    in_doubt: tuple[str, ...] = ()
    sent: set[str] = field(default_factory=set)  # to whom something left this house: see in_place
    unwritten: tuple[str, ...] = ()  # who has it, and the journal could not be told
    leaves: Callable[[], None] | None = None  # of a service that writes down itself what leaves: see Outbound.send
    failure: GatewayError | None = None  # of the journal, or a surprise, after something was settled

    def groups(self, groups: Iterable[Group]) -> tuple[RecipientOutcome, ...]:
        """Sends every group that is not settled yet. Never raises for a group's trouble: it becomes its outcome.

        GatewayError where the journal fails and nothing is settled, or a surprise. If something is settled, its
        outcomes are returned for the evidence: see `answer` and `answered`.
        """
        groups = tuple(groups)
        self.all_or_none = len(groups) == 1 and together(self.context, self.mail)
        everybody = tuple([recipient.address for group in groups for recipient in group.recipients])
        known = self._known(everybody, several=len(groups) > 1)
        try:
            try:
                for group in groups:
                    self._one(group, known)
            finally:
                if self.claimed:
                    self._release()
        except Exception as error:
            if not any(one.settled in SETTLED and not self._in_place(one) for one in self.outcomes):
                raise
            trouble = error if isinstance(error, GatewayError) else GatewayError(
                Reason.INTERNAL, where(error), retry=True)
            log.critical("mail.left_in_part", incident=self.mail.origin.incident, reason=str(trouble.reason),
                         detail=trouble.detail)
            self.failure = trouble
            reached = {fold(one.address) for one in self.outcomes}
            self.outcomes.extend(
                RecipientOutcome(recipient.address, Settled.LATER, trouble.reason, group.rule, trouble.detail)
                for group in groups for recipient in group.recipients if fold(recipient.address) not in reached)
        return tuple(self.outcomes)

    def answer(self, outcomes: Iterable[RecipientOutcome]) -> tuple[Settled, Reason | None]:
        """As the function `answer`; LATER after a failure."""
        trouble = self.failure
        return answer(outcomes) if trouble is None else (Settled.LATER, trouble.reason)

    def answered(self, outcome: Outcome) -> Outcome:
        """What the client hears. After a failure the whole mail is to come again.

        The journal knows who has the mail, but not that the client heard so: without that, it would take the next
        equal mail without a Message-ID for this one.
        """
        trouble = self.failure
        if trouble is None:
            return outcome
        return replace(outcome, recipients=tuple(
            RecipientOutcome(one.address, Settled.LATER, trouble.reason, one.rule, trouble.detail)
            for one in outcome.recipients))

    def _known(self, everybody: tuple[str, ...], *, several: bool) -> dict[str, JournalRow]:
        """What earlier attempts settled. One recipient's reply is the next hop's reply: it needs no journal, unless it

        was one of several before (rule 6). A mail that stands in the journal is claimed: nobody else is to work on it.
        """
        if len(everybody) == 1 and not self.mail.origin.answers_each:
            return {}
        rows = () if several else self._rows()
        if several or rows:
            rows = self._claim(everybody)
        return {fold(row.recipient): row for row in rows if row.state is JournalState.TAKEN}

    def _rows(self) -> tuple[JournalRow, ...]:
        """Of a mail that leaves as one group. Without the database it goes on: only who was sent to before, in another

        group or alone, and comes again just then, may get it twice; the line tells of each such mail.
        """
        try:
            return self.context.journal.rows(self.key, unacknowledged_only=not self.has_message_id)
        except GatewayError as trouble:
            if not trouble.retry:
                raise
            log.warning("journal.not_read", incident=self.mail.origin.incident, detail=trouble.detail)
            return ()

    def _claim(self, recipients: tuple[str, ...]) -> tuple[JournalRow, ...]:
        """Also notes who may have the mail from an attempt whose answer nobody heard."""
        rows = self.context.journal.claim(self.key, recipients, unacknowledged_only=not self.has_message_id)
        self.claimed = True
        self.in_doubt = tuple(row.recipient for row in rows if row.state is JournalState.SENDING)
        return rows

    def _release(self) -> None:
        """Who was in doubt and has no answer now, because this attempt was not for him or did not get so far, stays

        so: sending to him will be counted.
        """
        answered = {fold(one.address) for one in self.outcomes if one.reply and not self._in_place(one)}
        unanswered = tuple(one.address for one in self.outcomes if one.settled is Settled.LATER and one.reply == "")
        unanswered += tuple(one for one in self.in_doubt if fold(one) not in answered) + self.unwritten
        acknowledged = self.mail.origin.answers_each or answer(self.outcomes)[0] is Settled.TAKEN
        self.context.journal.release(self.key, acknowledged=acknowledged, unanswered=unanswered)

    def _one(self, group: Group, known: dict[str, JournalRow]) -> None:
        todo: list[Recipient] = []
        for recipient in group.recipients:
            row = known.get(fold(recipient.address))
            if row is None:
                todo.append(recipient)
            else:
                self.outcomes.append(
                    RecipientOutcome(recipient.address, Settled.DISCARDED, rule=group.rule, reply=row.reply)
                )
        if not todo:
            return
        wanted = tuple([recipient.address for recipient in todo])
        try:
            results = group.send(
                tuple(todo), Passage(lambda accepted: self._before_dot(wanted, accepted), self.all_or_none)
            )
        except GatewayError as trouble:
            settled = Settled.LATER if trouble.retry else Settled.REFUSED
            results = tuple(
                RecipientOutcome(address, settled, trouble.reason, group.rule, trouble.detail) for address in wanted
            )
        self.outcomes.extend([changed(result, rule=group.rule) for result in results])
        self._taken(results)

    def _before_dot(self, wanted: tuple[str, ...], accepted: tuple[str, ...]) -> None:
        """A single group that is accepted whole goes on without the journal; anything else is written down first.

        A client that may have given up by now must not find its mail sent: it will come again. `accepted` (): nothing
        leaves this house, see in_place.
        """
        deadline = self.mail.origin.deadline_at
        if deadline is not None and self.context.clock.now() >= deadline:
            raise GatewayError(Reason.MAIL_DEADLINE, "the work took longer than the client waits", retry=True)
        self.context.evidence.ready()
        if accepted and not self.claimed and set(accepted) != set(wanted):
            self._claim(wanted)
        doubtful = set(map(fold, self.in_doubt))
        leaving = accepted or tuple(one for one in wanted if fold(one) in doubtful)  # in place it may be a second time
        if leaving and self.claimed:
            self.context.journal.sending(self.key, leaving)
        if self.leaves is not None:
            self.leaves()
        self.sent.update(accepted)
        self.context.reach("before-dot")

    def _in_place(self, outcome: RecipientOutcome) -> bool:
        return outcome.settled is Settled.TAKEN and outcome.address not in self.sent

    def _taken(self, results: tuple[RecipientOutcome, ...]) -> None:
        """A journal that fails now must not turn a taken mail into a deferred one, which would come a second time.

        The row stays `sending`: if another group has this mail come again, sending to them once more is counted.
        """
        if not self.claimed:
            return
        taken: dict[str, list[str]] = {}
        for result in results:
            if result.settled in SETTLED and not self._in_place(result):
                taken.setdefault(result.reply or str(result.settled), []).append(result.address)
        self.context.reach("before-commit")
        for reply, addresses in taken.items():
            try:
                self.context.journal.taken(self.key, tuple(addresses), reply)
            except GatewayError as trouble:
                if trouble.reason.family != "store":
                    raise
                self.unwritten += tuple(addresses)
                log.critical("journal.not_written", incident=self.mail.origin.incident, detail=trouble.detail)
        self.context.reach("after-commit")


def together(context: Context, mail: Mail) -> bool:
    """Whether a refusal of one recipient keeps all others from the mail, as long as nothing was sent."""
    return context.partial == "refuse_all" and not mail.origin.answers_each


def answer(outcomes: Iterable[RecipientOutcome]) -> tuple[Settled, Reason | None]:
    """The transaction's answer out of its recipients' (rules 4 and 5 of the module)."""
    outcomes = tuple(outcomes)
    later = next((one for one in outcomes if one.settled is Settled.LATER), None)
    refused = next((one for one in outcomes if one.settled is Settled.REFUSED), None)
    anything_taken = any(one.settled in SETTLED for one in outcomes)
    if anything_taken:
        return (Settled.LATER, later.reason) if later else (Settled.TAKEN, None)
    if refused and not later:
        return Settled.REFUSED, refused.reason
    if later:
        return Settled.LATER, later.reason
    return Settled.REFUSED, refused.reason if refused else Reason.INTERNAL


def to_report(mail: Mail, settled: Settled, outcomes: Iterable[RecipientOutcome]) -> bool:
    """Whether somebody was refused whom the client's answer does not tell of (rules 4 and 6)."""
    told = settled is not Settled.TAKEN or mail.origin.answers_each
    return not told and any(one.settled is Settled.REFUSED for one in outcomes)


def refuse_all(incident: str, everybody: tuple[str, ...], stopped: dict[str, RecipientOutcome]) -> Outcome:
    """`partial: refuse_all`: somebody is refused or deferred, so nothing is sent to anybody.

    `stopped`: folded address to outcome. A refusal outweighs a deferral: trying again would not help.
    """
    cause = next((one for one in stopped.values() if one.settled is Settled.REFUSED), None) or next(
        iter(stopped.values())
    )
    outcomes = tuple(
        stopped.get(fold(address)) or RecipientOutcome(address, cause.settled, Reason.POLICY_OTHER_RECIPIENT_REFUSED)
        for address in everybody
    )
    return Outcome(incident, cause.settled, outcomes, cause.reason)


def from_replies(replies: tuple[HopReply, ...]) -> tuple[RecipientOutcome, ...]:
    """The next hop's replies as outcomes; the reply '' means that none came after the final dot."""
    outcomes = []
    for reply in replies:
        if reply.taken:
            settled, reason = Settled.TAKEN, None
        elif reply.permanent:
            settled, reason = Settled.REFUSED, Reason.NEXT_HOP_REFUSED
        else:
            settled, reason = Settled.LATER, Reason.NEXT_HOP_LATER
        outcomes.append(
            RecipientOutcome(reply.address, settled, reason, reply=f"{reply.code} {reply.text}" if reply.code else "")
        )
    return tuple(outcomes)


def deliver(
    context: Context,
    hop: NextHop,
    octets: bytes,
    mail: Mail,
    recipients: tuple[Recipient, ...],
    passage: Passage,
    *,
    headers_only: bool = False,
) -> tuple[RecipientOutcome, ...]:
    """One group to the next hop. `headers_only`: bounces must not carry the opened body (RET=HDRS)."""
    octets = with_short_lines(octets)
    envelope, eight_bit = mail.envelope, not octets.isascii()
    if envelope.eight_bit != eight_bit or envelope.recipients != recipients:
        envelope = changed(envelope, recipients=recipients, eight_bit=eight_bit)
    if headers_only:
        envelope = replace(envelope, ret="HDRS")
    replies = hop.deliver(octets, envelope, passage.before_dot, all_or_none=passage.all_or_none)
    context.reach("after-250")
    outcomes = from_replies(replies)
    if passage.all_or_none and any(one.settled is Settled.REFUSED for one in outcomes):
        return tuple(
            one
            if one.settled is Settled.REFUSED
            else replace(one, settled=Settled.REFUSED, reason=Reason.POLICY_OTHER_RECIPIENT_REFUSED, reply=None)
            for one in outcomes
        )
    return outcomes


def held(
    context: Context, mail: Mail, recipients: tuple[Recipient, ...], planned: Planned
) -> tuple[RecipientOutcome, ...]:
    """One group into the hold store, as received; it is settled once it is durable there.

    The list of held mail needs no key, so it shows of a subject only what travelled in clear: the outer one of mail
    from outside. Ours would have been hidden, and stands with the body under the archive certificate.
    """
    decision = planned.decision
    inbound = planned.facts.direction is Direction.INBOUND
    kind: Literal["hold", "quarantine"] = "quarantine" if decision.end.kind == "quarantine" else "hold"
    reason = Reason.POLICY_QUARANTINED if kind == "quarantine" else Reason.POLICY_HELD
    way = decision.fallback
    waits = way in {"hold", "invite"}  # a rule that holds whatever has another way holds it for people
    if waits:
        reason = Reason.FALLBACK_INVITED if way == "invite" else Reason.CERTIFICATE_ABSENT
    addresses = tuple(recipient.address for recipient in recipients)
    hold_id = context.hold.put(
        mail,
        addresses,
        kind=kind,
        direction="inbound" if inbound else "outbound",
        subject=(parse_headers(mail.octets).text("subject") or "") if inbound else "",
        rule=decision.rule,
        reason=decision.end.text or str(reason),
        waits=Waits(addresses[0], way, planned.want) if way is not None and waits else None,
    )
    return tuple(RecipientOutcome(address, Settled.HELD, reason, reply=f"held as {hold_id}") for address in addresses)
