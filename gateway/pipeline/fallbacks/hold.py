"""`hold`, and the holding of `invite`: mail is sent once there is a certificate, or is returned to its sender.

Each mail is held for one recipient (`plan.group`). A round begins with the mail that was examined longest ago:

1. Is there a certificate now? Then the mail goes the whole way again, every rule is asked: first in a dry run, and then
   live if it would not be held or rejected. Unusable and Conflict are no reason to weaken anything: such mail stays.
2. After `notify_after` its sender is notified that it is held; after `return_after` it is returned, with a report. No
   mail is returned because a directory does not answer, for a day.
3. Recipients that are to be invited get an invitation (`invite`).
4. People who had no certificate and have one now are counted, for the figures.

An effect is recorded after it: if the process ends in between, a notice, or a mail with the same Message-ID, may be
sent twice; nothing is lost.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from secrets import token_hex
from typing import Final

import structlog

from gateway.errors import GatewayError, Reason
from gateway.letters.write import Letter
from gateway.mime.addresses import encode_mailboxes
from gateway.mime.build import Status, date_field, message, report
from gateway.mime.header import parse_headers
from gateway.mime.trace import message_id, new_message_id
from gateway.mime.words import encode_unstructured
from gateway.model.address import Mailbox
from gateway.model.lookup import Absent, CertificateAnswer, Conflict, Found, Unavailable, Unusable
from gateway.model.mail import Envelope, Mail, Recipient
from gateway.model.outcome import Outcome, Settled
from gateway.model.record import EvidenceRecord
from gateway.model.sentences import SENTENCES
from gateway.pipeline.background.rejudge import in_hand, judge_again
from gateway.pipeline.context import Context
from gateway.pipeline.fallbacks.invite import Invitation, invite
from gateway.pipeline.message_key import message_key
from gateway.pipeline.record import note
from gateway.ports.hold import HeldRow
from gateway.ports.services.fallbacks import FallbackBook, WaitingMail

log = structlog.get_logger("sealgate.waiting")

EXAMINED_MAX: Final = 1_000  # mails, and as many people, in one round
EXAMINE_AFTER: Final = timedelta(minutes=10)  # held mail, if no certificate came into the store
ASK_AFTER: Final = timedelta(days=1)  # for people whose mail was sent without a certificate
FIGURES_KEPT: Final = timedelta(days=400)  # a year and a month: figures of the year
PATIENCE: Final = timedelta(days=1)  # with a directory that does not answer, before mail is returned

Handle = Callable[[Mail], Outcome]


@dataclass(frozen=True, slots=True)
class Terms:
    """How long mail is held. `notify_after` None: senders are not notified before it is returned."""

    return_after: timedelta
    notify_after: timedelta | None
    invitation: Invitation | None

    def due(self, book: FallbackBook, now: datetime) -> bool:
        """Whether a round has anything to do."""
        return book.due(
            examine_before=now - EXAMINE_AFTER, return_before=now - self.return_after, ask_before=now - ASK_AFTER,
            notify_before=None if self.notify_after is None else now - self.notify_after,
            invite_before=None if self.invitation is None else now - self.invitation.again_after)


@dataclass(slots=True)
class Round:
    """What one round did; `sent`: each mail with its outcome."""

    examined: int = 0
    sent: list[tuple[HeldRow, Outcome]] = field(default_factory=list)
    notified: int = 0
    returned: int = 0
    invited: int = 0
    converted: int = 0


@dataclass(frozen=True, slots=True)
class HeldMail:
    """`handle`: the whole way of a mail; `rehearse`: the same as a dry run."""

    context: Context
    terms: Terms
    handle: Handle
    rehearse: Handle

    def round(self) -> Round:
        """Examines all held mail, within bounds. A failure with one mail is logged, and the others go on.

        GatewayError STORE_UNAVAILABLE (retry), KEY_UNAVAILABLE without the archive key.
        """
        done, book = Round(), self.context.fallbacks.book
        answers: dict[tuple[str, str], CertificateAnswer] = {}
        still_held: list[str] = []
        for mail in book.waiting(EXAMINED_MAX):
            wanted = mail.wait.address, mail.wait.want
            if wanted not in answers:
                answers[wanted] = self._answer(mail)
            done.examined += 1
            try:
                if not self._examine(mail, answers[wanted], done):
                    still_held.append(mail.hold_id)
            except GatewayError as trouble:
                if trouble.reason.family == "store" or trouble.reason is Reason.KEY_UNAVAILABLE:
                    raise
                still_held.append(mail.hold_id)
                log.warning("held mail not looked at", hold_id=mail.hold_id, incident=mail.incident,
                            reason=str(trouble.reason), detail=trouble.detail)
        if still_held:
            book.mark_examined(still_held, self.context.clock.now())
        self._count_converted(done)
        return done

    def _answer(self, waiting: WaitingMail) -> CertificateAnswer:
        try:
            return self.context.select(waiting.wait.address, waiting.wait.want)
        except GatewayError as trouble:
            return Unavailable(trouble.detail)

    def _examine(self, waiting: WaitingMail, answer: CertificateAnswer, done: Round) -> bool:
        """Whether the mail is held no more."""
        now, book, terms = self.context.clock.now(), self.context.fallbacks.book, self.terms
        if isinstance(answer, Found) and self._send(waiting, done):
            book.mark_person(waiting.wait.address, found=True, at=now)
            return True
        overdue = now - waiting.since - terms.return_after
        if overdue >= (PATIENCE if isinstance(answer, Unavailable) else timedelta(0)):
            self._return(waiting, answer)
            done.returned += 1
            return True
        if terms.notify_after is not None and waiting.notified_at is None and now - waiting.since >= terms.notify_after:
            done.notified += self._notify(waiting, answer)
        if waiting.wait.way == "invite" and terms.invitation is not None and isinstance(answer, Absent):
            done.invited += invite(self.context, terms.invitation, waiting, self.rehearse, self.handle)
        return False

    def _send(self, waiting: WaitingMail, done: Round) -> bool:
        """1."""
        with in_hand(self.context.journal, waiting.hold_id) as hand:
            row, _ = self.context.hold.get(waiting.hold_id)
            outcome = judge_again(row, self.context.hold, self.rehearse, partial(hand.let_go, self.handle))
        if outcome is None:
            return False
        done.sent.append((row, outcome))
        return True

    def _notify(self, waiting: WaitingMail, answer: CertificateAnswer) -> bool:
        """2. Whether a notice was sent; the mail is also marked where the sender wants none."""
        _, mail = self.context.hold.get(waiting.hold_id)
        is_sent = self._report(mail, waiting, self._letter("held_notice", waiting, answer), "delayed", "4.7.5")
        if is_sent is None:
            return False
        self.context.fallbacks.book.mark_notified(waiting.hold_id, self.context.clock.now())
        log.info("sender told that mail waits", hold_id=waiting.hold_id, incident=waiting.incident, told=is_sent)
        return is_sent

    def _return(self, waiting: WaitingMail, answer: CertificateAnswer) -> None:
        """2. The mail stays held while the next hop does not accept the report: no mail ends without one."""
        with in_hand(self.context.journal, waiting.hold_id):
            _, mail = self.context.hold.get(waiting.hold_id)
            is_sent = self._report(mail, waiting, self._letter("held_given_up", waiting, answer), "failed", "5.4.7")
            if is_sent is None:
                raise GatewayError(Reason.NEXT_HOP_LATER, "the report of giving up is not taken", retry=True)
            self.context.hold.settle(waiting.hold_id, "rejected")
        self._record(mail, waiting)
        log.warning("held mail given up", hold_id=waiting.hold_id, incident=waiting.incident, told=is_sent)

    def _letter(self, kind: str, waiting: WaitingMail, answer: CertificateAnswer) -> Letter:
        fallbacks, return_after = self.context.fallbacks, self.terms.return_after
        return fallbacks.letters.write(kind, fallbacks.language, {
            "recipient": waiting.wait.address, "since": waiting.since, "until": waiting.since + return_after,
            "days": return_after.days, "state": type(answer).__name__.lower(),
            "why": SENTENCES[_reason(answer)].what, "invited": waiting.wait.way == "invite"})

    def _report(self, mail: Mail, waiting: WaitingMail, letter: Letter, action: str, status: str) -> bool | None:
        """Sends a report (RFC 3464), with header fields only, and those only to people of the bank.

        Whether it is sent; False: there is no sender, or the sender wants none; None: not now.
        """
        to = mail.envelope.reverse_path
        wanted = next((one for one in mail.envelope.recipients), Recipient(waiting.wait.address))
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
            log.warning("report not sent", incident=waiting.incident, reason=str(trouble.reason), detail=trouble.detail)
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
            facts={"fallback": waiting.wait.way}) for one in mail.envelope.recipients])

    def _count_converted(self, done: Round) -> None:
        """4."""
        now, book = self.context.clock.now(), self.context.fallbacks.book
        for one in book.people(now - ASK_AFTER, EXAMINED_MAX):
            try:
                found = isinstance(self.context.select(one.address, one.want), Found)
            except GatewayError:
                found = False
            book.mark_person(one.address, found=found, at=now)
            done.converted += found
        book.forget(now - FIGURES_KEPT)


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
