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
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Literal

import structlog

from gateway.errors import GatewayError, Reason
from gateway.languages import words
from gateway.letters.write import Letter
from gateway.mime.build import Status
from gateway.model.lookup import Absent, CertificateAnswer, Found, Unavailable, reason_of
from gateway.model.mail import Mail, Recipient
from gateway.model.outcome import Outcome, RecipientOutcome, Settled
from gateway.model.sentences import public_texts
from gateway.pipeline.background.rejudge import in_hand, judge_again
from gateway.pipeline.context import Context
from gateway.pipeline.fallbacks.invite import Invitation, invite
from gateway.pipeline.record import keep_outcomes
from gateway.pipeline.report import send_report, wants
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
        result, book = Round(), self.context.fallbacks.book
        answers: dict[tuple[str, str], CertificateAnswer] = {}
        still_held: list[str] = []
        for mail in book.waiting(EXAMINED_MAX):
            query = mail.wait.address, mail.wait.want
            if query not in answers:
                answers[query] = self._answer(mail)
            result.examined += 1
            try:
                if not self._examine(mail, answers[query], result):
                    still_held.append(mail.hold_id)
            except GatewayError as trouble:
                if trouble.reason.family == "store" or trouble.reason is Reason.KEY_UNAVAILABLE:
                    raise
                still_held.append(mail.hold_id)
                log.warning("hold.check_failed", hold_id=mail.hold_id, incident=mail.incident,
                            reason=str(trouble.reason), detail=trouble.detail)
        if still_held:
            book.mark_examined(still_held, self.context.clock.now())
        self._count_converted(result)
        return result

    def _answer(self, waiting: WaitingMail) -> CertificateAnswer:
        try:
            return self.context.select(waiting.wait.address, waiting.wait.want)
        except GatewayError as trouble:
            return Unavailable(trouble.detail)

    def _examine(self, waiting: WaitingMail, answer: CertificateAnswer, result: Round) -> bool:
        """Whether the mail is held no more."""
        now, book, terms = self.context.clock.now(), self.context.fallbacks.book, self.terms
        if isinstance(answer, Found) and self._send(waiting, result):
            book.mark_person(waiting.wait.address, found=True, at=now)
            return True
        overdue = now - waiting.since - terms.return_after
        if overdue >= (PATIENCE if isinstance(answer, Unavailable) else timedelta(0)):
            self._return(waiting, answer)
            result.returned += 1
            return True
        if terms.notify_after is not None and waiting.notified_at is None and now - waiting.since >= terms.notify_after:
            result.notified += self._notify(waiting, answer)
        if waiting.wait.way == "invite" and terms.invitation is not None and isinstance(answer, Absent):
            result.invited += invite(self.context, terms.invitation, waiting, self.rehearse, self.handle)
        return False

    def _send(self, waiting: WaitingMail, result: Round) -> bool:
        """1."""
        with in_hand(self.context.journal, waiting.hold_id) as hand:
            row, _ = self.context.hold.get(waiting.hold_id)
            outcome = judge_again(row, self.context.hold, self.rehearse, partial(hand.let_go, self.handle))
        if outcome is None:
            return False
        result.sent.append((row, outcome))
        return True

    def _notify(self, waiting: WaitingMail, answer: CertificateAnswer) -> bool:
        """2. Whether a notice was sent; the mail is also marked where the sender wants none."""
        _, mail = self.context.hold.get(waiting.hold_id)
        is_sent = self._report(mail, waiting, self._letter("held_notice", waiting, answer), "delayed", "4.7.5")
        if is_sent is None:
            return False
        self.context.fallbacks.book.mark_notified(waiting.hold_id, self.context.clock.now())
        log.info("hold.sender_notified", hold_id=waiting.hold_id, incident=waiting.incident, notified=is_sent)
        return is_sent

    def _return(self, waiting: WaitingMail, answer: CertificateAnswer) -> None:
        """2. The mail stays held while the next hop does not accept the report: no mail ends without one."""
        with in_hand(self.context.journal, waiting.hold_id):
            _, mail = self.context.hold.get(waiting.hold_id)
            is_sent = self._report(mail, waiting, self._letter("held_given_up", waiting, answer), "failed", "5.4.7")
            if is_sent is None:
                raise GatewayError(Reason.NEXT_HOP_LATER, "the report of giving up is not taken", retry=True)
            self.context.hold.settle(waiting.hold_id, "rejected")
        outcomes = [RecipientOutcome(one.address, Settled.REPORTED, Reason.HOLD_EXPIRED, waiting.rule)
                    for one in mail.envelope.recipients]
        keep_outcomes(self.context, mail, outcomes, "outbound", "hold", {"fallback": waiting.wait.way})
        log.warning("hold.expired", hold_id=waiting.hold_id, incident=waiting.incident, notified=is_sent)

    def _letter(self, kind: str, waiting: WaitingMail, answer: CertificateAnswer) -> Letter:
        fallbacks, return_after = self.context.fallbacks, self.terms.return_after
        why = Reason.CERTIFICATE_ABSENT if isinstance(answer, Found) else reason_of(answer)
        language = fallbacks.letters.chosen(kind, fallbacks.language)
        return fallbacks.letters.write(kind, language, {
            "recipient": waiting.wait.address, "since": waiting.since, "until": waiting.since + return_after,
            "days": return_after.days, "state": type(answer).__name__.lower(), "why": public_texts(why, language)[0],
            "invited": waiting.wait.way == "invite"})

    def _report(self, mail: Mail, waiting: WaitingMail, letter: Letter, action: Literal["delayed", "failed"],
                status: str) -> bool | None:
        """Whether a report is sent; False: there is no sender, or the sender wants none; None: not now.

        Only people of the bank get the header fields of the mail.
        """
        to = mail.envelope.reverse_path
        recipient = next(iter(mail.envelope.recipients), Recipient(waiting.wait.address))
        if not to or not wants(recipient, "DELAY" if action == "delayed" else "FAILURE"):
            return False
        incident = words(letter.language, "letters")["incident"].format(incident=waiting.incident)
        return send_report(
            self.context, mail, replace(letter, text=f"{letter.text}\n{incident}\n"),
            [Status(recipient.address, action, status)], with_header=self.context.identity.owns(to))

    def _count_converted(self, result: Round) -> None:
        """4."""
        now, book = self.context.clock.now(), self.context.fallbacks.book
        for one in book.people(now - ASK_AFTER, EXAMINED_MAX):
            try:
                found = isinstance(self.context.select(one.address, one.want), Found)
            except GatewayError:
                found = False
            book.mark_person(one.address, found=found, at=now)
            result.converted += found
        book.forget(now - FIGURES_KEPT)
