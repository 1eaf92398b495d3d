"""The inbound way: mail from the world is opened, judged, labelled, and goes on as the rules say.

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
from typing import Final

import structlog

from gateway.actions.table import carry_out
from gateway.actions.verb import Rooms
from gateway.errors import GatewayError, Reason
from gateway.mime.header import parse_headers, prepend_fields
from gateway.model.address import domain_of, fold, same_address
from gateway.model.facts import Facts
from gateway.model.mail import Direction, Mail, Recipient
from gateway.model.outcome import Outcome, RecipientOutcome, Settled
from gateway.model.verdict import Status, Trust, Verdicts
from gateway.pipeline.context import Context, Opener
from gateway.pipeline.facts import Message
from gateway.pipeline.inbound.compose import compose
from gateway.pipeline.inbound.hand_in import hand_in
from gateway.pipeline.inbound.unknown_authorities import note_unknown
from gateway.pipeline.message_key import identified, message_key
from gateway.pipeline.observe import observed
from gateway.pipeline.outbound.plan import Planned, ended, in_groups, let_go, plan
from gateway.pipeline.record import Sent, keep, stopped
from gateway.pipeline.report import report_refused
from gateway.pipeline.run import Group, Passage, Run, Send, deliver, held, refuse_all, to_report, together
from gateway.pipeline.strip import without_forgeries
from gateway.smime.draft import Draft
from gateway.smime.open import Opened, open_mail

log = structlog.get_logger("sealgate.inbound")

NO_AUTOMATIC_ANSWER: Final = b"X-Auto-Response-Suppress: All\r\n"  # MS-OXCMAIL; Pigeonhole reads it as well
KEPT_OCTETS: Final = 67_108_864  # of opened forms of one mail: one of 50 MB, and those of the usual mails for all keys


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the mail is with one set of keys. `opened`: None where it is opened again once it is needed."""

    facts: Facts
    verdicts: Verdicts
    signer: str | None
    opened: Opened | None = field(repr=False)


@dataclass(slots=True)
class _Work:
    """One mail in work. `opened`: once per set of keys, for recipients that share them; facts of it likewise.

    `first`: as the first recipient gets it. `kept_octets`: of all opened forms in memory.
    """

    mail: Mail
    key: str
    planned: list[Planned] = field(default_factory=list)
    first: Message | None = None
    kept_octets: int = 0
    opened: dict[tuple[Opener, ...], _Seen] = field(default_factory=dict)
    sent: dict[str, Sent] = field(default_factory=dict)
    delivered: dict[tuple[Opener, ...], bool] = field(default_factory=dict)  # and whether its rule says `harvest`


class Inbound:
    """The one inbound way: relay and commands call `receive`."""

    def __init__(self, context: Context) -> None:
        self._house = context

    def receive(self, mail: Mail, *, released: bool = False) -> Outcome:
        """As `Outbound.send`."""
        if self._house.trial is not None and not released:
            return observed(self._house, mail, "inbound", lambda trial: Inbound(trial).receive(mail))
        try:
            stripped = replace(mail, octets=without_forgeries(mail.octets, self._house, mail.origin))
            work = _Work(stripped, message_key(mail, parse_headers(mail.octets), "inbound"))
            outcome = self._judged(work, released=released)
            if outcome.answer is not Settled.LATER:  # it will come again
                told = [seen.verdicts for seen in work.opened.values()]
                note_unknown(self._house.authorities, told, self._house.clock.now())
            return outcome
        except GatewayError as trouble:
            return stopped(self._house, mail, trouble, "inbound")

    def _judged(self, work: _Work, *, released: bool) -> Outcome:
        """2 and 3."""
        context, mail = self._house, work.mail
        if not all(context.identity.owns(recipient.address) for recipient in mail.envelope.recipients):
            raise GatewayError(Reason.RECIPIENT_NOT_OURS, "from the world to the world")
        for recipient in mail.envelope.recipients:
            seen = self._look(work, recipient)
            planned = plan(context, seen.facts, recipient, Direction.INBOUND, seen.signer)
            work.planned.append(let_go(planned) if released else planned)
        refused = {fold(one.recipient.address): end for one in work.planned if (end := ended(one)) is not None}
        going = [one for one in work.planned if fold(one.recipient.address) not in refused]
        first = work.first
        if first is None:
            raise GatewayError(Reason.INPUT_EMPTY, "no recipients")
        if refused and (together(context, mail) or not going):
            outcome = refuse_all(mail.origin.incident, tuple(one.address for one in mail.envelope.recipients), refused)
            keep(context, mail, first, work.planned, outcome, {}, work.key)
            return outcome
        return self._send(work, first, going, tuple(refused.values()))

    def _look(self, work: _Work, recipient: Recipient) -> _Seen:
        """Step 2 and the facts, once for all recipients that share their keys: their number is a stranger's choice.

        So is the number of keys that open the mail: of many large forms only the first ones stay in memory.
        """
        openers = openers_for(self._house, recipient)
        if openers not in work.opened:
            opened = self._opened(work, openers)
            message = Message.of(work.mail, self._house, octets=opened.octets, verdicts=opened.verdicts)
            work.first = work.first or message
            octets = len(opened.octets) if opened.changed else 0
            kept = not octets or work.kept_octets + octets <= max(KEPT_OCTETS, octets)
            work.kept_octets += octets if kept else 0
            work.opened[openers] = _Seen(message.facts, opened.verdicts, signer_of(opened), opened if kept else None)
        return work.opened[openers]

    def _opened(self, work: _Work, openers: tuple[Opener, ...]) -> Opened:
        # What was inside stands in its `octets` as well: of 50 MB once is enough.
        return replace(opened_with(self._house, work.mail, openers), payload=b"")

    def _whole(self, work: _Work, recipient: Recipient) -> Opened:
        """The opened form, opened again if it is not in memory, with the verdicts of the decision."""
        seen = self._look(work, recipient)
        if seen.opened is not None:
            return seen.opened
        opened = self._opened(work, openers_for(self._house, recipient))
        if opened.verdicts.decryption != seen.verdicts.decryption:
            raise GatewayError(Reason.INTERNAL, "the mail opens in another way than before", retry=True)
        return replace(opened, verdicts=seen.verdicts)

    def _send(
        self, work: _Work, message: Message, going: Sequence[Planned], refused: tuple[RecipientOutcome, ...]
    ) -> Outcome:
        """4 and 5."""
        context, mail = self._house, work.mail
        by_opened: dict[tuple[int, str], list[Planned]] = {}
        for one in going:
            seen = self._look(work, one.recipient)
            coverage = seen.verdicts.coverage
            named = coverage.addressed_to(one.recipient.address) if coverage is not None else ""
            by_opened.setdefault((id(seen), named), []).append(one)
        groups = [group for same in by_opened.values() for group in in_groups(same, frozenset())]
        run = Run(context, mail, work.key, has_message_id=identified(mail, parse_headers(mail.octets)))
        outcomes = [*run.groups(self._group(work, group) for group in groups), *refused]
        settled, reason = run.answer(outcomes)
        if to_report(mail, settled, outcomes):
            outcomes = report_refused(context, mail, outcomes, may_tell=answerable(message.facts))
        outcome = Outcome(mail.origin.incident, settled, tuple(outcomes), reason)
        keep(context, mail, message, work.planned, outcome, work.sent, work.key)
        self._learn(work)
        return run.answered(outcome)

    def _learn(self, work: _Work) -> None:
        """5. Of what was delivered."""
        if self._house.learning is None:
            return
        for openers, harvest in work.delivered.items():
            seen = work.opened[openers]
            if seen.opened is None:  # many large forms: learning a certificate is not urgent
                continue
            self._house.learning.from_mail(seen.opened, seen.facts.from_, work.mail.origin.incident,
                                           ours=self._house.identity.owns, harvest=harvest)

    def _group(self, work: _Work, group: tuple[Planned, ...]) -> Group:
        decision = group[0].decision
        recipients = tuple(one.recipient for one in group)
        if decision.end.kind in ("hold", "quarantine"):
            return Group(recipients, decision.rule, self._holder(work, group[0]))
        if decision.end.kind == "hand_to":
            return Group(recipients, decision.rule, self._server(work, group[0]))
        return Group(recipients, decision.rule, self._sender(work, group[0]))

    def _server(self, work: _Work, first: Planned) -> Send:
        def serve(recipients: tuple[Recipient, ...], passage: Passage) -> tuple[RecipientOutcome, ...]:
            passage.before_dot(())
            opened = self._whole(work, first.recipient)
            return hand_in(self._house, work.mail, opened, recipients, first.decision.end.service or "")

        return serve

    def _holder(self, work: _Work, first: Planned) -> Send:
        def hold(recipients: tuple[Recipient, ...], passage: Passage) -> tuple[RecipientOutcome, ...]:
            del passage
            return held(self._house, work.mail, recipients, first)

        return hold

    def _sender(self, work: _Work, first: Planned) -> Send:
        context, mail = self._house, work.mail

        def send(recipients: tuple[Recipient, ...], passage: Passage) -> tuple[RecipientOutcome, ...]:
            opened = self._whole(work, first.recipient)
            draft = carry_out(first.decision.steps, Draft(mail.octets), Rooms(self._house.clock.now()))
            octets = compose(context, mail, opened, draft, recipients)
            discloses = _discloses_fields(opened.verdicts, self._look(work, first.recipient).facts)
            if discloses:
                octets = prepend_fields(octets, NO_AUTOMATIC_ANSWER)
            recipients = tuple(
                replace(one, notify=("NEVER",) if discloses else _permitted_reports(one.notify, opened.verdicts))
                for one in recipients)
            outcomes = deliver(context, context.inbound_hop, octets, mail, recipients, passage,
                           headers_only=draft.opened)
            if any(one.settled is Settled.TAKEN for one in outcomes):
                openers = openers_for(context, first.recipient)
                work.delivered[openers] = work.delivered.get(openers, False) or draft.harvest
            sent = Sent(hashlib.sha256(octets).hexdigest())
            work.sent.update({fold(recipient.address): sent for recipient in recipients})
            return outcomes

        return send


def openers_for(context: Context, recipient: Recipient) -> tuple[Opener, ...]:
    """The keys that are tried for this envelope recipient, and no others."""
    return tuple(opener for opener in context.openers if opener.opens_for(recipient.address))


def _discloses_fields(verdicts: Verdicts, facts: Facts) -> bool:
    """Whether an answer of a program would quote decrypted header fields to a sender who is not proven.

    Whoever captured a mail can send it again with a reverse-path of their own: an absence notice has its Subject, a
    report of a failure (RFC 3461 6.2) its header.
    """
    return verdicts.decryption.status == "decrypted" and verdicts.headers.protected and not answerable(facts)


def _permitted_reports(asked: tuple[str, ...], verdicts: Verdicts) -> tuple[str, ...]:
    """NOTIFY (RFC 3461 4.1) without SUCCESS and DELAY for a mail that was, or claimed to be, signed or encrypted.

    The sender of such a report chooses when it is written, and it shows what the signature is worth and whether the
    mail could be decrypted.
    """
    if (all(layer.type == "plain" for layer in verdicts.layers) and verdicts.decryption.status == "not_encrypted"
            and verdicts.signature.status is Status.NOT_SIGNED):
        return asked
    if {"SUCCESS", "DELAY"}.isdisjoint(asked):
        return asked
    return ("FAILURE",) if "FAILURE" in asked else ("NEVER",)


def opened_with(context: Context, mail: Mail, openers: tuple[Opener, ...]) -> Opened:
    """Step 2 with these keys."""
    keys = tuple(opener.key for opener in openers)
    opened = open_mail(mail.octets, keys, context.judge, mail.origin.received_at, context.opening, seen=context.seen)
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
        return same_address(facts.sender, facts.from_)
    if facts.verdicts is not None and Reason.FROM_OUTER_DIFFERS in facts.verdicts.why:
        return False  # DMARC was about the outer From, and this is the protected one
    return facts.authentication.get("dmarc") == "pass" and domain_of(facts.sender) == domain_of(facts.from_)


def signer_of(opened: Opened) -> str | None:
    """SHA-256 of the certificate of the verified signer who is the From; None without one."""
    if opened.signed is None:
        return None
    return next((signer.certificate.sha256 for signer in opened.signed.signers if signer.matches_from), None)
