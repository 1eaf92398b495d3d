"""The life of a code: issued, sent again, verified once, cancelled. `app.codes.service` builds it.

1. Who: a customer of the bank, not blocked, with an address whose certificate is bound to this very customer. No other
   gets the mail. Without one there is no code: the caller learns this at once and may choose another channel.
2. What: the order in one spelling (`transaction`), limits, a random id and nonce.
3. The code is noted as live, in one commit that also replaces the one before and counts for the limits.
4. The mail leaves by the one outbound way, signed and encrypted or not at all. The next hop's 250 ends it well.
   With any other result the code is cancelled: no code waits in the gateway's queue, and the caller knows.

The gateway keeps neither the code nor the transaction: it derives both again from what the caller presents.
"""

import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import structlog

from gateway.errors import GatewayError, Reason, where
from gateway.letters.write import Writer
from gateway.model.lookup import CertificateAnswer, Conflict, Found, Unavailable, Unusable
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome, RecipientOutcome, Settled
from gateway.ports.services.codes import CodeRow, CodeState, FailureLock, SendLimits
from gateway.services.codes.administration import SENDS_MAX, Desk
from gateway.services.codes.derive import DIGITS_MAX, DIGITS_MIN, NONCE_OCTETS, CodeKeys, Linked, derived, digest
from gateway.services.codes.events import event, publish
from gateway.services.codes.message import Sender, write
from gateway.services.codes.order import Issued, Order, Verdict
from gateway.services.codes.transaction import Transaction

LIFE_S_MIN: Final = 30
REFERENCE_CHARACTERS_MAX: Final = 64
_PURPOSE = re.compile(r"[a-z0-9-]{1,32}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,4})?")

# Why a code that lives no more cannot be used.
_ENDED: Final = {
    CodeState.USED: Reason.CODE_USED,
    CodeState.EXPIRED: Reason.CODE_EXPIRED,
    CodeState.CANCELLED: Reason.CODE_CANCELLED,
    CodeState.REPLACED: Reason.CODE_REPLACED,
    CodeState.DEAD: Reason.CODE_TRIES,
    CodeState.BLOCKED: Reason.CUSTOMER_BLOCKED,
}

log = structlog.get_logger("sealgate.codes")


@dataclass(frozen=True, slots=True)
class Terms:
    """What the settings say of codes."""

    digits: int
    life_s: int
    life_s_max: int
    tries_max: int
    language: str
    limits: SendLimits
    lock: FailureLock | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """Out of the gateway. `select`: the enrolled certificates of an address; `send`: the outbound way, for a mail that

    leaves signed and encrypted or not at all.
    """

    select: Callable[[str], CertificateAnswer]
    send: Callable[[Mail], Outcome]


def _uncounted(client: str, what: str, reason: str) -> None:
    del client, what, reason


class Codes:
    """Safe on many threads; what needs neither secret nor key is its desk's. GatewayError from each method as there.

    `retry` is 503 with Retry-After, but for CODE_OFTEN, which is 429.
    """

    def __init__(self, desk: Desk, terms: Terms, keys: CodeKeys, sender: Sender, way: Way,
                 counted: Callable[[str, str, str], None] = _uncounted) -> None:
        """`counted`: client, what (sent, not_sent, refused, valid, invalid), and the reason why not."""
        self.desk = desk
        self._counted = counted
        self._terms = terms
        self._keys = keys
        self._sender = sender
        self._way = way
        self.show, self.cancel = desk.show, desk.cancel
        self.block, self.unblock = desk.block, desk.unblock

    def issue(self, client: str, order: Order) -> Issued:
        """Sends a new code; the one that lived for the same customer and purpose is replaced.

        Returns once the next hop has the mail. Else the code is cancelled and the reason raised: INPUT_MALFORMED,
        CUSTOMER_UNKNOWN, CUSTOMER_BLOCKED, CUSTOMER_LOCKED, CUSTOMER_NO_ADDRESS, CODE_OFTEN (retry), CERTIFICATE_*,
        NEXT_HOP_*, POLICY_*
        """
        try:
            row, linked, to = self._placed(client, order)
        except GatewayError as trouble:
            self._counted(client, "refused", str(trouble.reason))
            raise
        accepted = event("accepted", row, row.created_at)
        try:
            taken = self._mail(row, linked, to)
        except GatewayError as trouble:
            self._cancelled(row)
            publish(self.desk.sink, accepted, event("failed", row, self.desk.clock.now(), trouble.reason))
            raise
        publish(self.desk.sink, accepted, event("delivered", row, self.desk.clock.now(), mail=row.sends))
        return self._issued(row, taken)

    def resend(self, client: str, code_id: str, transaction: Transaction | None) -> Issued:
        """Sends the same code again while it lives. What is paid is stored nowhere, so the caller says it again.

        CODE_UNKNOWN, CODE_CHANGED if it is not the transaction of the order, CODE_OFTEN, else as the code's state;
        trouble with the mail as in `issue`, but the code lives on: the first mail may have been read.
        """
        row = self.desk.row(client, code_id)
        linked = _linked(row, transaction)
        if not hmac.compare_digest(digest(self._keys, linked), row.digest):
            raise GatewayError(Reason.CODE_CHANGED)
        self._must_live(row)
        to = self._addresses(row.customer)
        again = self.desk.store.send_again(code_id, self.desk.clock.now(), SENDS_MAX, self._terms.limits,
                                           self._terms.lock)
        if isinstance(again, Reason):
            self._must_live(self.desk.row(client, code_id))
            raise GatewayError(again, retry=again is Reason.CODE_OFTEN and row.sends < SENDS_MAX)
        taken = self._mail(again, linked, to)
        publish(self.desk.sink, event("delivered", again, self.desk.clock.now(), mail=again.sends))
        return self._issued(again, taken)

    @property
    def languages(self) -> tuple[str, ...]:
        """Those that codes can be sent in."""
        return self._sender.writer.languages("code")

    def verify(self, client: str, code_id: str, code: str, transaction: Transaction | None) -> Verdict:
        """One try: counted before it is compared, in the same commit. Raises CODE_UNKNOWN.

        Blanks in the code do not count: people type them as they see them.
        """
        given = "".join(code.split()).encode("utf-8", "backslashreplace")

        def compare(row: CodeRow) -> Reason | None:
            linked = _linked(row, transaction)
            same = hmac.compare_digest(digest(self._keys, linked), row.digest)
            right = hmac.compare_digest(derived(self._keys, linked).encode(), given)
            return None if same and right else Reason.CODE_WRONG if same else Reason.CODE_CHANGED

        most = self._terms.tries_max
        tried = self.desk.store.attempt(client, code_id, self.desk.clock.now(), most, compare, self._terms.lock)
        if tried is None:
            raise GatewayError(Reason.CODE_UNKNOWN)
        reason = None if tried.fault is None else _ENDED.get(tried.state, tried.fault)
        left = max(0, most - tried.before.tries) if tried.state is CodeState.LIVE else 0
        self._counted(client, "valid" if reason is None else "invalid", str(reason or ""))
        log.info("code.tried", code_id=code_id, client=client, valid=reason is None, reason=reason, tries_left=left)
        return Verdict(reason is None, reason, left, tried.state)

    def _placed(self, client: str, order: Order) -> tuple[CodeRow, Linked, tuple[str, ...]]:
        """1 to 3: the code is live, and its mail is to be written to these addresses."""
        terms, now = self._terms, self.desk.clock.now()
        life = _checked(order, terms, self._sender.writer)
        to = self._addresses(order.customer)
        linked = Linked(secrets.token_hex(12), secrets.token_bytes(NONCE_OCTETS), order.customer, order.purpose,
                        order.digits or terms.digits, order.transaction)
        row = CodeRow(
            code_id=linked.code_id, client=client, customer=order.customer, purpose=order.purpose,
            state=CodeState.LIVE, digits=linked.digits, nonce=linked.nonce, digest=digest(self._keys, linked),
            language=order.language or terms.language, reference=order.reference, created_at=now,
            expires_at=now + timedelta(seconds=life))
        refused = self.desk.store.issue(row, terms.limits, terms.lock)
        if refused is not None:
            raise GatewayError(refused, retry=refused is Reason.CODE_OFTEN)
        return replace(row, sends=1), linked, to

    def _addresses(self, number: str) -> tuple[str, ...]:
        """1. All that have a certificate which is bound to this customer."""
        customer = self.desk.customer(number)
        if customer is None:
            raise GatewayError(Reason.CUSTOMER_UNKNOWN)
        if not customer.addresses:
            raise GatewayError(Reason.CUSTOMER_NO_ADDRESS)
        answers = {address: self._way.select(address) for address in customer.addresses}
        found = tuple(address for address, answer in answers.items() if _is_bound(answer, number))
        if not found:
            raise _without(tuple(answers.values()))
        return found

    def _mail(self, row: CodeRow, linked: Linked, to: tuple[str, ...]) -> int:
        """4. How many addresses have it, one or more; else the reason is raised, counted and in the log."""
        try:
            outcome = self._sent(row, linked, to)
            taken = _taken(outcome)
        except GatewayError as trouble:
            self._counted(row.client, "not_sent", str(trouble.reason))
            log.warning("code.not_sent", code_id=row.code_id, client=row.client, purpose=row.purpose,
                        reason=trouble.reason, detail=trouble.detail)
            raise
        self._counted(row.client, "sent", "")
        log.info("code.sent", code_id=row.code_id, client=row.client, purpose=row.purpose, mail=row.sends,
                 recipients=taken, refused=len(outcome.recipients) - taken, incident=outcome.incident)
        return taken

    def _sent(self, row: CodeRow, linked: Linked, to: tuple[str, ...]) -> Outcome:
        code = derived(self._keys, linked)
        try:
            return self._way.send(write(self._sender, row, code, linked.transaction, to, self.desk.clock.now()))
        except GatewayError:
            raise
        except Exception as unexpected:  # noqa: BLE001 - its own words and its trace may hold what the mail holds
            raise GatewayError(Reason.INTERNAL, where(unexpected), retry=True) from None

    def _must_live(self, row: CodeRow) -> None:
        state = row.state_at(self.desk.clock.now())
        if state is not CodeState.LIVE:
            raise GatewayError(_ENDED[state])

    def _cancelled(self, row: CodeRow) -> None:
        """Cancels the code. If the store is unavailable, the code expires; no customer has it."""
        try:
            self.desk.store.end(row.code_id, CodeState.CANCELLED)
        except GatewayError as trouble:
            log.critical("code.not_cancelled", code_id=row.code_id, detail=trouble.detail)

    def _issued(self, row: CodeRow, taken: int) -> Issued:
        return Issued(row.code_id, row.expires_at, row.digits, taken, CodeState.LIVE, SENDS_MAX - row.sends)


def _checked(order: Order, terms: Terms, writer: Writer) -> int:
    """2. How long the code lives, in seconds. INPUT_MALFORMED names the field, never its value."""
    life = min(terms.life_s_max, terms.life_s if order.life_s is None else order.life_s)
    digits = terms.digits if order.digits is None else order.digits
    reference = order.reference
    for right, what in (
        (_PURPOSE.fullmatch(order.purpose), "purpose: 1 to 32 of a-z, 0-9 and `-`"),
        (DIGITS_MIN <= digits <= DIGITS_MAX, f"digits: {DIGITS_MIN} to {DIGITS_MAX}"),
        (life >= LIFE_S_MIN, f"life_s: {LIFE_S_MIN} or more"),
        (order.language is None or _LANGUAGE.fullmatch(order.language), "language: such as `en` or `de-AT`"),
        (order.language is None or writer.has("code", order.language),
         f"language: no texts in this language; write one of {', '.join(writer.languages('code'))}"),
        (len(reference) <= REFERENCE_CHARACTERS_MAX and reference.isascii() and (reference + "-").isprintable(),
         f"reference: at most {REFERENCE_CHARACTERS_MAX} printable ASCII characters"),
    ):
        if not right:
            raise GatewayError(Reason.INPUT_MALFORMED, what)
    return life


def _linked(row: CodeRow, transaction: Transaction | None) -> Linked:
    return Linked(row.code_id, row.nonce, row.customer, row.purpose, row.digits, transaction)


def _is_bound(answer: CertificateAnswer, number: str) -> bool:
    """An address of one customer with the certificate of another would show that customer the code."""
    return isinstance(answer, Found) and answer.enrolled and all(row.customer == number for row in answer.rows)


def _without(answers: tuple[CertificateAnswer, ...]) -> GatewayError:
    """Why no address can be written to: temporary reasons first, then permanent ones, then absence."""
    if any(isinstance(one, Unavailable) for one in answers):
        return GatewayError(Reason.CERTIFICATE_UNAVAILABLE, retry=True)
    if any(isinstance(one, Conflict | Found) for one in answers):
        return GatewayError(Reason.CERTIFICATE_CONFLICT)
    reasons = {loser.reason for one in answers if isinstance(one, Unusable) for loser in one.losers}
    if not reasons:
        return GatewayError(Reason.CERTIFICATE_ABSENT)
    return GatewayError(reasons.pop() if len(reasons) == 1 else Reason.CERTIFICATE_UNUSABLE)


def _taken(outcome: Outcome) -> int:
    """By how many. By none: the reason is raised; of several one that may pass, for the same order may succeed then."""
    taken = sum(one.settled in (Settled.TAKEN, Settled.DISCARDED) for one in outcome.recipients)
    if taken:
        return taken
    later, refused = _first(outcome, Settled.LATER), _first(outcome, Settled.REFUSED)
    failure, detail = later or refused, f"incident {outcome.incident}"
    if failure is None:
        raise GatewayError(Reason.POLICY_HELD, detail)
    raise GatewayError(failure.reason or outcome.reason or Reason.NEXT_HOP_REFUSED, detail, retry=later is not None)


def _first(outcome: Outcome, settled: Settled) -> RecipientOutcome | None:
    return next((one for one in outcome.recipients if one.settled is settled), None)
