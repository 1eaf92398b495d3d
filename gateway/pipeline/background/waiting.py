"""Mail that waits for its recipient's certificate: it leaves by itself, is told of, and given up in the end.

Each mail waits for one recipient (`plan.in_groups`). A round looks at what was not looked at for longest:

1. Is there a certificate now? Then the mail goes the whole way again, every rule asked: first as a try of which nothing
   leaves, and in earnest if it would not be held or refused. What Unusable or Conflict say is no reason to weaken
   anything: such mail stays.
2. After so many days its sender hears that it waits; after more it is given up, and he hears that. Nothing is given up
   because a directory did not answer, for a day.
3. Who is to be invited is, once in so many days, whatever waits for him: a neutral mail in the name of a client of the
   bank, on which the rules decide as on any other.
4. Who had no certificate and has one now is noted, for the figures.

What is sent before it is noted may be sent twice if the process dies between: a notice, or a mail with the same
Message-ID; nothing is lost.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from secrets import token_hex
from typing import Final

import structlog

from gateway.errors import GatewayError, Reason
from gateway.letters.compose import Heading, compose
from gateway.letters.write import Letter, Writer
from gateway.mime.addresses import encode_mailboxes
from gateway.mime.build import Status, date_field, message, report
from gateway.mime.header import parse_headers
from gateway.mime.trace import message_id, new_message_id
from gateway.mime.words import encode_unstructured
from gateway.model.address import Mailbox
from gateway.model.lookup import Absent, CertificateAnswer, Conflict, Found, Unavailable, Unusable
from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.model.outcome import Outcome, Settled
from gateway.model.record import EvidenceRecord
from gateway.model.sentences import SENTENCES
from gateway.pipeline.background.rejudge import in_hand, judge_again
from gateway.pipeline.context import Context
from gateway.pipeline.message_key import message_key
from gateway.pipeline.outbound.fallback import Fallbacks
from gateway.pipeline.record import note
from gateway.ports.hold import HeldRow
from gateway.ports.services.fallbacks import FallbackBook, WaitingMail

log = structlog.get_logger("sealgate.waiting")

LOOKED_AT_MAX: Final = 1_000  # mails, and as many people, in one round
LOOK_AGAIN: Final = timedelta(minutes=10)  # at what waits, where no certificate came into the store
ASK_AGAIN: Final = timedelta(days=1)  # after people who have had their mail in another way
FORGET: Final = timedelta(days=400)  # a year and a month: figures of the year
PATIENCE: Final = timedelta(days=1)  # with a directory that does not answer, at the end of the waiting

Handle = Callable[[Mail], Outcome]


@dataclass(frozen=True, slots=True)
class Invitation:
    """`sender`: header From; `client`: in whose name; `way`: how somebody comes to a certificate, one sentence."""

    sender: str
    client: str
    way: str
    again_after: timedelta


@dataclass(frozen=True, slots=True)
class Terms:
    """How long mail waits. `tell_after` None: senders hear nothing before the end."""

    give_up_after: timedelta
    tell_after: timedelta | None
    invitation: Invitation | None

    def due(self, book: FallbackBook, now: datetime) -> bool:
        """Whether a round is worth while."""
        return book.due(
            look_before=now - LOOK_AGAIN, give_up_before=now - self.give_up_after, ask_before=now - ASK_AGAIN,
            tell_before=None if self.tell_after is None else now - self.tell_after,
            invite_before=None if self.invitation is None else now - self.invitation.again_after)


@dataclass(slots=True)
class Round:
    """What one round came to; `left`: each mail with its outcome."""

    looked: int = 0
    left: list[tuple[HeldRow, Outcome]] = field(default_factory=list)
    told: int = 0
    given_up: int = 0
    invited: int = 0
    converted: int = 0


@dataclass(frozen=True, slots=True)
class WaitingRoom:
    """`handle`: the whole way; `rehearse`: the same with nothing leaving the house."""

    context: Context
    fallbacks: Fallbacks
    terms: Terms
    handle: Handle
    rehearse: Handle

    def round(self) -> Round:
        """One look at everything, within bounds. What fails with one mail is told, and the others go on.

        GatewayError STORE_UNAVAILABLE (retry), KEY_UNAVAILABLE without the archive key.
        """
        done = Round()
        answers: dict[tuple[str, str], CertificateAnswer] = {}
        still: list[str] = []
        for waiting in self.fallbacks.book.waiting(LOOKED_AT_MAX):
            wanted = waiting.waits.address, waiting.waits.want
            if wanted not in answers:
                answers[wanted] = self._answer(waiting)
            done.looked += 1
            try:
                if not self._one(waiting, answers[wanted], done):
                    still.append(waiting.hold_id)
            except GatewayError as trouble:
                if trouble.reason.family == "store" or trouble.reason is Reason.KEY_UNAVAILABLE:
                    raise
                still.append(waiting.hold_id)
                log.warning("hold.check_failed", hold_id=waiting.hold_id, incident=waiting.incident,
                            reason=str(trouble.reason), detail=trouble.detail)
        if still:
            self.fallbacks.book.looked(still, self.context.clock.now())
        self._note_converted(done)
        return done

    def _answer(self, waiting: WaitingMail) -> CertificateAnswer:
        try:
            return self.context.select(waiting.waits.address, waiting.waits.want)
        except GatewayError as trouble:
            return Unavailable(trouble.detail)

    def _one(self, waiting: WaitingMail, answer: CertificateAnswer, done: Round) -> bool:
        """Whether it waits no more."""
        now = self.context.clock.now()
        if isinstance(answer, Found) and self._left(waiting, done):
            self.fallbacks.book.seen(waiting.waits.address, found=True, at=now)
            return True
        over = now - waiting.since - self.terms.give_up_after
        if over >= (PATIENCE if isinstance(answer, Unavailable) else timedelta(0)):
            self._give_up(waiting, answer)
            done.given_up += 1
            return True
        tell_after = self.terms.tell_after
        if tell_after is not None and waiting.told_at is None and now - waiting.since >= tell_after:
            done.told += self._tell(waiting, answer)
        if waiting.waits.way == "invite" and isinstance(answer, Absent):
            done.invited += self._invite(waiting)
        return False

    def _left(self, waiting: WaitingMail, done: Round) -> bool:
        """1."""
        with in_hand(self.context.journal, waiting.hold_id) as hand:
            row, _ = self.context.hold.get(waiting.hold_id)
            outcome = judge_again(row, self.context.hold, self.rehearse, partial(hand.let_go, self.handle))
        if outcome is None:
            return False
        done.left.append((row, outcome))
        return True

    def _tell(self, waiting: WaitingMail, answer: CertificateAnswer) -> bool:
        """2. Whether somebody heard; marked as told also where nobody wants to."""
        _, mail = self.context.hold.get(waiting.hold_id)
        letter = self._letter("held_notice", waiting, answer)
        told = self._reported(mail, waiting, letter, "delayed", "4.7.5")
        if told is None:
            return False
        self.fallbacks.book.told(waiting.hold_id, self.context.clock.now())
        log.info("hold.sender_notified", hold_id=waiting.hold_id, incident=waiting.incident, notified=told)
        return told

    def _give_up(self, waiting: WaitingMail, answer: CertificateAnswer) -> None:
        """2. Stays as it is while the report cannot be handed over: nothing ends in silence."""
        with in_hand(self.context.journal, waiting.hold_id):
            _, mail = self.context.hold.get(waiting.hold_id)
            letter = self._letter("held_given_up", waiting, answer)
            told = self._reported(mail, waiting, letter, "failed", "5.4.7")
            if told is None:
                raise GatewayError(Reason.NEXT_HOP_LATER, "the report of giving up is not taken", retry=True)
            self.context.hold.settle(waiting.hold_id, "rejected")
        self._record(mail, waiting)
        log.warning("hold.expired", hold_id=waiting.hold_id, incident=waiting.incident, notified=told)

    def _letter(self, kind: str, waiting: WaitingMail, answer: CertificateAnswer) -> Letter:
        terms = self.terms
        until = waiting.since + terms.give_up_after
        return self.fallbacks.letters.write(kind, self.fallbacks.language, {
            "recipient": waiting.waits.address, "since": waiting.since, "until": until,
            "days": terms.give_up_after.days, "state": type(answer).__name__.lower(),
            "why": SENTENCES[_reason(answer)].what, "invited": waiting.waits.way == "invite"})

    def _reported(self, mail: Mail, waiting: WaitingMail, letter: Letter, action: str, status: str) -> bool | None:
        """Whether the sender was told (RFC 3464); False: nobody to tell; None: not now. Header fields only, and those

        only to people of the bank.
        """
        to = mail.envelope.reverse_path
        wanted = next((one for one in mail.envelope.recipients), Recipient(waiting.waits.address))
        word = "DELAY" if action == "delayed" else "FAILURE"
        if not to or (wanted.notify and word not in wanted.notify):
            return False
        ours = self.context.identity.owns(to)
        entity = report(
            f"{letter.text}\n{_incident(letter.language)}: {waiting.incident}\n", self.context.identity.hostname,
            [Status(wanted.address, "delayed" if action == "delayed" else "failed", status)],
            mail.octets if ours else None, arrived_at=mail.origin.received_at, envelope_id=mail.envelope.envid)
        octets = message((
            encode_mailboxes("From", (Mailbox("Mail gateway", self.context.identity.postmaster),)),
            encode_mailboxes("To", (Mailbox("", to),)), encode_unstructured("Subject", letter.subject),
            date_field(self.context.clock.now()), new_message_id(token_hex(16), self.context.identity.hostname),
            b"Auto-Submitted: auto-replied\r\n"), entity)
        hop = self.context.inbound_hop if ours else self.context.outbound_hop
        try:
            replies = hop.deliver(octets, Envelope("", (Recipient(to, notify=("NEVER",)),),
                                                   eight_bit=not octets.isascii()))
        except GatewayError as trouble:
            log.warning("report.not_sent", incident=waiting.incident, reason=str(trouble.reason), detail=trouble.detail)
            return None
        # A permanent refusal ends it: a report about a report is never sent (RFC 5321 6.1).
        if any(not reply.taken and not reply.permanent for reply in replies):
            return None
        return all(reply.taken for reply in replies)

    def _record(self, mail: Mail, waiting: WaitingMail) -> None:
        headers = parse_headers(mail.octets)
        note(self.context, mail, [EvidenceRecord(
            at=self.context.clock.now(), incident=waiting.incident, message_key=message_key(mail, headers, "outbound"),
            message_id=message_id(headers), direction="outbound", client=mail.origin.client,
            sender=mail.envelope.reverse_path, recipient=one.address, rule=waiting.rule, steps=(), end="hold",
            settled=Settled.REPORTED, reasons=(str(Reason.HOLD_EXPIRED),), certificates=(),
            policy_digest=self.context.rules().digest, next_hop_reply=None, sealed_digest="",
            facts={"fallback": waiting.waits.way}) for one in mail.envelope.recipients])

    def _invite(self, waiting: WaitingMail) -> bool:
        """3. Nobody is invited by a mail that would be held itself."""
        invitation, now = self.terms.invitation, self.context.clock.now()
        address = waiting.waits.address
        if invitation is None or not self.fallbacks.book.may_invite(
                address, now, not_since=now - invitation.again_after):
            return False
        mail = self._invitation(invitation, address, now)
        outcome = self.rehearse(mail)
        if outcome.answer is Settled.TAKEN and all(one.settled is Settled.TAKEN for one in outcome.recipients):
            outcome = self.handle(mail)
            if outcome.answer is Settled.TAKEN:
                self.fallbacks.book.invited(address, now)
                log.info("invitation.sent", hold_id=waiting.hold_id, incident=mail.origin.incident)
                return True
        held = any(one.settled is Settled.HELD for one in outcome.recipients)
        log.warning("invitation.not_sent", hold_id=waiting.hold_id, incident=mail.origin.incident,
                    reason=str(outcome.reason or (Reason.POLICY_HELD if held else Reason.INTERNAL)))
        return False

    def _invitation(self, invitation: Invitation, address: str, now: datetime) -> Mail:
        letters: Writer = self.fallbacks.letters
        letter = letters.write("invite", self.fallbacks.language, {"way": invitation.way, "sender": invitation.sender})
        identifier = new_message_id(token_hex(16), self.context.identity.hostname)
        octets = compose(letter, Heading(
            invitation.sender, (address,), identifier.partition(b":")[2].strip().decode("ascii"), now,
            more=(b"Auto-Submitted: auto-generated\r\n",)))
        origin = Origin(ours=True, client=invitation.client, received_at=now, incident=token_hex(8), listener="invite")
        return Mail(octets, Envelope(invitation.sender, (Recipient(address),)), origin)

    def _note_converted(self, done: Round) -> None:
        """4."""
        now = self.context.clock.now()
        for one in self.fallbacks.book.without(now - ASK_AGAIN, LOOKED_AT_MAX):
            try:
                found = isinstance(self.context.select(one.address, one.want), Found)
            except GatewayError:
                found = False
            self.fallbacks.book.seen(one.address, found=found, at=now)
            done.converted += found
        self.fallbacks.book.forget(now - FORGET)


def _incident(language: str) -> str:
    """What the templates call the incident id, by which an administrator finds the mail."""
    return "Vorgangsnummer" if language.partition("-")[0] == "de" else "Incident number"


def _reason(answer: CertificateAnswer) -> Reason:
    """Why there is nothing to encrypt to."""
    if isinstance(answer, Unusable):
        reasons = {loser.reason for loser in answer.losers}
        return reasons.pop() if len(reasons) == 1 else Reason.CERTIFICATE_UNUSABLE
    if isinstance(answer, Conflict):
        return Reason.CERTIFICATE_CONFLICT
    return Reason.CERTIFICATE_UNAVAILABLE if isinstance(answer, Unavailable) else Reason.CERTIFICATE_ABSENT
