"""Inbound mail about codes: bounces, and replies of customers who deny the order.

Every person's reply to a mail with a code is a "not me". The mail says so, and the gateway cannot understand words in
every language. A reply blocks only if

1. it names the code's mail: by its Message-ID in In-Reply-To or References, or by the return path that it is sent to;
2. it is signed, whole, and judged trusted: valid, and by the From (`pki.identity` mints the proof);
3. the signer's certificate is bound to the customer whose code it was, and to no other;
4. it was signed after the code was issued: an older mail of the customer, sent again with our id, is no answer.

The gateway then blocks the customer first: one commit, counted once for each code. The bank's alarm follows; it is
tried again with the mail until it has left. Any other reply blocks nothing and is rejected, so that its sender knows.
The bank gets one report of such replies for each code, because the sender may be the customer in need.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from gateway.errors import Reason
from gateway.mime.entity import parse_entity
from gateway.model.lookup import Customer
from gateway.model.mail import Mail, Recipient
from gateway.model.verdict import Trust
from gateway.pipeline.inbound.service import Received, Refused, Taken, TryLater
from gateway.ports.services.bounces import BounceBook, CodeBook, IssuedTo
from gateway.services.answers import answered, by_machine
from gateway.services.bounces import Bounces
from gateway.services.codes.alarm import Alarm, is_alarm
from gateway.services.verp import Verp
from gateway.smime.open import Opened

CLOCKS_APART: Final = timedelta(minutes=5)  # a customer's clock may be behind ours
ALARMED: Final = "alarmed"
DOUBTED: Final = "doubted"

log = structlog.get_logger("sealgate.codes")


class CodeMail:
    """See pipeline.inbound.service.MailService."""

    def __init__(self, book: CodeBook, returns: Verp, by_certificate: Callable[[str], Customer | None], alarm: Alarm
                 ) -> None:
        """`by_certificate`: the customer to whom a certificate is bound, by its SHA-256 (ports.customers)."""
        self._book = book
        self._returns = returns
        self._bounces = Bounces(_Returned(book), returns)
        self._by_certificate = by_certificate
        self._alarm = alarm

    def receive(self, mail: Mail, opened: Opened, to: Recipient) -> Received:
        """See MailService."""
        taken = self._bounces.take(mail, opened, to)
        if taken is not None:
            return taken
        entity = parse_entity(opened.octets)
        if by_machine(entity) or by_machine(parse_entity(mail.octets)):
            return Taken("an automatic reply")
        identifier = answered(entity.headers, self._returns) or self._returns.read(to.address)
        issued = self._book.issued(identifier) if identifier is not None else None
        if identifier is None or issued is None:
            return Refused(Reason.SERVICE_REFUSED, "the reply belongs to no one-time code")
        doubt = self._doubt(opened, issued)
        if doubt:
            return self._doubted(mail, identifier, issued, doubt)
        return self._disowned(mail, identifier, issued)

    def _doubt(self, opened: Opened, issued: IssuedTo) -> str:
        """Why the answer proves nothing; '' if it does (2 to 4)."""
        if opened.signed is None or opened.verdicts.verdict is not Trust.TRUSTED:
            return "not signed by its sender, or the signature is not trusted"
        for signer in opened.signed.signers:
            customer = self._by_certificate(signer.certificate.sha256) if signer.matches_from else None
            if customer is None or customer.number != issued.customer:
                continue
            at = _signing_time(opened, signer.certificate.der)
            return "" if at is not None and at >= issued.at - CLOCKS_APART else "signed before the code was issued"
        return "signed, but not by this customer"

    def _disowned(self, mail: Mail, identifier: str, issued: IssuedTo) -> Received:
        now = mail.origin.received_at
        fresh = self._book.disown(identifier, now)
        if fresh:
            log.warning("code.customer_blocked", incident=mail.origin.incident, code_id=issued.code_id,
                        client=issued.client, by="customer")
        late = self._record_alarm(mail, identifier, issued, ALARMED)
        if late is not None:
            return late
        return Taken(f"code not requested, {'customer blocked' if fresh else 'already known'}: {issued.code_id}")

    def _doubted(self, mail: Mail, identifier: str, issued: IssuedTo, why: str) -> Received:
        log.warning("code.reply_without_proof", incident=mail.origin.incident, code_id=issued.code_id,
                    client=issued.client, why=why)
        late = self._record_alarm(mail, identifier, issued, DOUBTED)
        return late or Refused(Reason.SERVICE_REFUSED, why)

    def _record_alarm(self, mail: Mail, identifier: str, issued: IssuedTo, what: str) -> TryLater | None:
        """Reports to the bank once. None: it has the report; else the mail must come again."""
        if self._book.noted(identifier, what):
            return None
        now = mail.origin.received_at
        trouble = self._alarm.raised(issued, now, proven=what == ALARMED)
        if trouble is not None and trouble.retry:
            return TryLater(trouble.reason, trouble.detail)
        if trouble is not None:  # a permanent error; the block stays, and the log has the alarm
            log.critical("code.alarm_rejected", incident=mail.origin.incident, code_id=issued.code_id,
                         reason=str(trouble.reason), detail=trouble.detail)
        self._book.note(identifier, what, now)
        return None


@dataclass(frozen=True, slots=True)
class _Returned:
    """See ports.services.bounces.BounceBook. Alarms have return paths of this mailbox as well."""

    book: BounceBook

    def bounced(self, identifier: str, status: str, diagnostic: str, permanent: bool,  # noqa: FBT001 - as the port
                at: datetime) -> bool:
        """See BounceBook. An alarm that did not arrive is logged as critical."""
        if not is_alarm(identifier):
            return self.book.bounced(identifier, status, diagnostic, permanent, at)
        log.critical("code.alarm_bounced", id=identifier, status=status, detail=diagnostic)
        return True


def _signing_time(opened: Opened, certificate: bytes) -> datetime | None:
    """The signing time that the signer states (RFC 5652 11.3): a signed attribute, so no other can have written it."""
    return next((one.signing_time for one in opened.verdicts.signature.signers if one.certificate == certificate), None)
