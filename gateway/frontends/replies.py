"""Reason to SMTP reply: the only place that knows reply codes, enhanced codes and who may read what.

RFC 5321 4.2 (replies), RFC 3463 and the registry of RFC 5248 (enhanced codes; X.7.5 to X.7.7 for cryptography),
RFC 2034 (each line has the enhanced code), RFC 6533 (how other scripts are written in ASCII).

Two texts: permitted clients read the reason, the remedy and the recipients concerned; strangers read a generic text.
For all failures of keys, signatures and policy strangers get the same octets, so that a reply reveals nothing about a
ciphertext. The reply contains the next hop's code, but not its text, which may name hosts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from gateway.errors import Reason
from gateway.model.outcome import Outcome, RecipientOutcome, Settled
from gateway.model.sentences import SENTENCES

# RFC 5321 4.5.3.1.5: 512 octets with code and CR LF; "550-5.7.1 " takes ten or eleven of them.
LINE_OCTETS_MAX = 480
RECIPIENTS_NAMED_MAX = 10
LINES_MAX = 40

_PERMANENT = 500
_CODE_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Wire:
    """How a Reason looks outside: code when permanent and when temporary, and the enhanced code without its class.

    The class digit is always computed from the code's first digit.
    """

    permanent: int
    temporary: int
    detail: str


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of the server. `text` is ASCII without line ends; `lines()` cuts it to what a line may hold."""

    code: int
    detail: str
    texts: tuple[str, ...]

    @property
    def enhanced(self) -> str:
        """The enhanced code, e.g. '5.7.1'."""
        return f"{self.code // 100}.{self.detail}"

    def octets(self) -> bytes:
        """All lines with CR LF, each with code and enhanced code (RFC 2034 4)."""
        lines = [piece for text in self.texts for piece in _cut(ascii_text(text))][:LINES_MAX] or [""]
        last = len(lines) - 1
        return b"".join(
            f"{self.code}{' ' if number == last else '-'}{self.enhanced} {line}\r\n".encode("ascii")
            for number, line in enumerate(lines)
        )


def _wire(detail: str, permanent: int = 550, temporary: int = 451) -> Wire:
    return Wire(permanent, temporary, detail)


_ALWAYS_LATER = 451
_R = Reason

# Where `permanent` is a 4xx, the Reason is temporary by its nature, with either retry flag.
WIRES: Mapping[Reason, Wire] = MappingProxyType({
    _R.INPUT_EMPTY: _wire("6.0"),
    _R.INPUT_MALFORMED: _wire("6.0"),
    _R.INPUT_NOT_RECOGNISED: _wire("6.0"),
    _R.INPUT_TOO_LARGE: _wire("3.4", 552, 452),
    _R.INPUT_LIMIT_EXCEEDED: _wire("6.0"),
    _R.INPUT_KIND_NOT_JUDGED: _wire("6.0"),
    _R.INPUT_UNREADABLE: _wire("3.0"),
    _R.INPUT_PASSWORD_WRONG: _wire("7.0"),
    _R.MAIL_BARE_NEWLINE: _wire("5.2"),
    _R.MAIL_NUL: _wire("6.0"),
    _R.MAIL_LINE_TOO_LONG: _wire("6.0"),
    _R.MAIL_FIELD_TOO_LONG: _wire("6.0"),
    _R.MAIL_TOO_LARGE: _wire("3.4", 552, 452),
    _R.MAIL_LOOP: _wire("4.6", 554),
    _R.MAIL_MALFORMED: _wire("6.0", 554),
    _R.MAIL_FIELD_REPEATED: _wire("6.0"),
    _R.MAIL_AMBIGUOUS: _wire("6.0", 554),
    _R.MAIL_DEADLINE: _wire("4.7", _ALWAYS_LATER),
    _R.CLIENT_UNKNOWN: _wire("7.1", 554),
    _R.CLIENT_FROM_NOT_ALLOWED: _wire("7.1"),
    _R.CLIENT_AUTH_REQUIRED: _wire("7.0", 530, 530),
    _R.CLIENT_AUTH_FAILED: _wire("7.8", 535, 454),
    _R.CLIENT_TLS_REQUIRED: _wire("7.0", 530, 530),
    _R.CLIENT_RATE_EXCEEDED: _wire("7.1", 450, 450),
    _R.CLIENT_BUSY: _wire("3.1", 452, 452),
    _R.RECIPIENT_NOT_OURS: _wire("7.1"),
    _R.RECIPIENT_ADDRESS_REFUSED: _wire("1.3"),
    _R.RECIPIENT_UNKNOWN: _wire("1.1"),
    _R.RECIPIENT_TOO_MANY: _wire("5.3", 452, 452),
    _R.RECIPIENT_OTHER_CUSTOMER: _wire("7.1"),
    _R.FROM_MISSING: _wire("6.0"),
    _R.FROM_AMBIGUOUS: _wire("6.0"),
    _R.FROM_MISMATCH: _wire("7.1"),
    _R.FROM_OUTER_DIFFERS: _wire("7.1"),
    _R.FROM_NOT_IN_CERTIFICATE: _wire("7.1"),
    _R.FROM_NAME_MISLEADING: _wire("7.1"),
    _R.POLICY_REJECTED: _wire("7.1"),
    _R.POLICY_DEFERRED: _wire("7.1", _ALWAYS_LATER),
    _R.POLICY_HELD: _wire("7.1"),
    _R.POLICY_QUARANTINED: _wire("7.1"),
    _R.POLICY_NO_RULE: _wire("7.1"),
    _R.POLICY_FACT_UNAVAILABLE: _wire("3.0", _ALWAYS_LATER),
    _R.POLICY_OTHER_RECIPIENT_REFUSED: _wire("7.1"),
    _R.CERTIFICATE_ABSENT: _wire("7.5"),
    _R.CERTIFICATE_UNUSABLE: _wire("7.5"),
    _R.CERTIFICATE_CONFLICT: _wire("7.5"),
    _R.CERTIFICATE_UNAVAILABLE: _wire("7.5", _ALWAYS_LATER),
    _R.ESCROW_UNUSABLE: _wire("7.5", _ALWAYS_LATER),
    _R.CERTIFICATE_EXPIRED: _wire("7.5"),
    _R.CERTIFICATE_NOT_YET_VALID: _wire("7.5"),
    _R.CERTIFICATE_REVOKED: _wire("7.5"),
    _R.CERTIFICATE_ON_HOLD: _wire("7.5"),
    _R.CERTIFICATE_WEAK_KEY: _wire("7.6"),
    _R.CERTIFICATE_WEAK_ALGORITHM: _wire("7.6"),
    _R.CERTIFICATE_ALGORITHM_UNKNOWN: _wire("7.6"),
    _R.CERTIFICATE_WRONG_USAGE: _wire("7.5"),
    _R.CERTIFICATE_ADDRESS_MISMATCH: _wire("7.5"),
    _R.CERTIFICATE_NOT_ENROLLED: _wire("7.5"),
    _R.CERTIFICATE_DISTRUSTED: _wire("7.5"),
    _R.CERTIFICATE_MALFORMED: _wire("7.5"),
    _R.CERTIFICATE_DISPLACED: _wire("7.5"),
    _R.PATH_TRUST_ANCHOR_MISSING: _wire("7.5"),
    _R.PATH_ISSUER_MISSING: _wire("7.5"),
    _R.PATH_UNTRUSTED_ROOT: _wire("7.5"),
    _R.PATH_CONSTRAINT: _wire("7.5"),
    _R.PATH_SIGNATURE: _wire("7.5"),
    _R.PATH_EXPIRED: _wire("7.5"),
    _R.PATH_REVOKED: _wire("7.5"),
    _R.PATH_POLICY: _wire("7.5"),
    _R.REVOCATION_UNAVAILABLE: _wire("7.5", _ALWAYS_LATER),
    _R.REVOCATION_NOT_CHECKED: _wire("7.5"),
    _R.REVOCATION_MALFORMED: _wire("7.5"),
    _R.REVOCATION_ALTERED: _wire("7.7"),
    _R.REVOCATION_UNTRUSTED: _wire("7.5"),
    _R.REVOCATION_STALE: _wire("7.5", _ALWAYS_LATER),
    _R.REVOCATION_FUTURE: _wire("7.5"),
    _R.REVOCATION_WEAK_ALGORITHM: _wire("7.6"),
    _R.REVOCATION_REFUSED: _wire("7.5"),
    _R.FETCH_UNAVAILABLE: _wire("4.3", _ALWAYS_LATER),
    _R.FETCH_REFUSED: _wire("7.0"),
    _R.FETCH_TOO_LARGE: _wire("3.4"),
    _R.SIGNATURE_NOT_SIGNED: _wire("7.7"),
    _R.SIGNATURE_ALTERED: _wire("7.7"),
    _R.SIGNATURE_MALFORMED: _wire("7.7"),
    _R.SIGNATURE_ATTRIBUTES: _wire("7.7"),
    _R.SIGNATURE_EXPIRED: _wire("7.5"),
    _R.SIGNATURE_NOT_YET_VALID: _wire("7.5"),
    _R.SIGNATURE_REVOKED: _wire("7.5"),
    _R.SIGNATURE_ON_HOLD: _wire("7.5"),
    _R.SIGNATURE_WEAK_ALGORITHM: _wire("7.6"),
    _R.SIGNATURE_WEAK_KEY: _wire("7.6"),
    _R.SIGNATURE_ALGORITHM_UNKNOWN: _wire("7.6"),
    _R.SIGNATURE_WRONG_USAGE: _wire("7.5"),
    _R.SIGNATURE_CERTIFICATE_MISSING: _wire("7.5"),
    _R.SIGNATURE_CONTENT_MISSING: _wire("7.7"),
    _R.SIGNATURE_CERTIFICATE_MISMATCH: _wire("7.5"),
    _R.SIGNATURE_PART_ONLY: _wire("7.7"),
    _R.SIGNATURE_OUTSIDE_ENCRYPTION: _wire("7.7"),
    _R.SIGNATURE_OUTER_INVALID: _wire("7.7"),
    _R.TIMESTAMP_MALFORMED: _wire("7.7"),
    _R.TIMESTAMP_ALTERED: _wire("7.7"),
    _R.TIMESTAMP_IMPRINT: _wire("7.7"),
    _R.TIMESTAMP_FUTURE: _wire("7.7"),
    _R.TIMESTAMP_UNTRUSTED: _wire("7.5"),
    _R.TIMESTAMP_WRONG_USAGE: _wire("7.5"),
    _R.TIMESTAMP_EXPIRED: _wire("7.5"),
    _R.TIMESTAMP_WEAK_ALGORITHM: _wire("7.6"),
    _R.TIMESTAMP_REFUSED: _wire("7.7"),
    _R.TIMESTAMP_SUBJECT_MISSING: _wire("7.7"),
    _R.DECRYPTION_FAILED: _wire("7.5"),
    _R.DECRYPTION_WEAK_ALGORITHM: _wire("7.5"),
    _R.DECRYPTION_NO_KEY: _wire("7.5"),
    _R.DECRYPTION_PART_ONLY: _wire("7.5"),
    _R.DECRYPTION_NOT_AUTHENTICATED: _wire("7.7"),
    _R.HEADERS_DIFFER: _wire("7.7"),
    _R.KEY_UNAVAILABLE: _wire("3.0", _ALWAYS_LATER),
    _R.KEY_WRONG_PURPOSE: _wire("7.0"),
    _R.KEY_NOT_PERMITTED: _wire("7.1"),
    _R.STAMPER_UNAVAILABLE: _wire("3.0", _ALWAYS_LATER),
    _R.STAMPER_CLOCK: _wire("3.0", _ALWAYS_LATER),
    _R.CLOCK_WRONG: _wire("3.0", _ALWAYS_LATER),
    _R.STORE_UNAVAILABLE: _wire("3.0", _ALWAYS_LATER),
    _R.STORE_MISSING: _wire("3.0", _ALWAYS_LATER),
    _R.STORE_VERSION: _wire("3.0", _ALWAYS_LATER),
    _R.STORE_MISMATCH: _wire("3.0", _ALWAYS_LATER),
    _R.JOURNAL_IN_PROGRESS: _wire("3.0", _ALWAYS_LATER),
    _R.HOLD_FULL: _wire("3.1", 452, 452),
    _R.HOLD_SETTLED: _wire("5.4"),
    _R.PARTNER_UNKNOWN: _wire("7.0"),
    _R.PARTNER_NOT_PERMITTED: _wire("7.0"),
    _R.CERTIFICATE_NOT_DEVICE_BOUND: _wire("7.5"),
    _R.REQUEST_UNKNOWN: _wire("1.1"),
    _R.REQUEST_KEY_MISSING: _wire("5.4"),
    _R.REQUEST_KEY_CONFLICT: _wire("5.4"),
    _R.REQUEST_IN_PROGRESS: _wire("3.0", _ALWAYS_LATER),
    _R.REQUEST_PATH_GONE: _wire("1.1"),
    _R.REQUEST_OUTDATED: _wire("5.4"),
    _R.REQUEST_UNCONDITIONAL: _wire("5.4"),
    _R.REQUEST_NEEDS_APPROVAL: _wire("7.1"),
    _R.CUSTOMER_UNKNOWN: _wire("1.1"),
    _R.CUSTOMER_LOCKED: _wire("7.1"),
    _R.CUSTOMER_BLOCKED: _wire("7.1"),
    _R.CUSTOMER_NO_ADDRESS: _wire("1.1"),
    _R.FALLBACK_INVITED: _wire("7.5"),
    _R.FALLBACK_OFTEN: _wire("7.5"),
    _R.HOLD_EXPIRED: _wire("4.7"),
    _R.PASSWORD_NOT_HANDED_OVER: _wire("7.5", _ALWAYS_LATER),
    _R.CODE_UNKNOWN: _wire("1.1"),
    _R.CODE_WRONG: _wire("7.0"),
    _R.CODE_CHANGED: _wire("7.0"),
    _R.CODE_EXPIRED: _wire("7.0"),
    _R.CODE_USED: _wire("7.0"),
    _R.CODE_CANCELLED: _wire("7.0"),
    _R.CODE_REPLACED: _wire("7.0"),
    _R.CODE_TRIES: _wire("7.0"),
    _R.CODE_OFTEN: _wire("7.1"),
    _R.RUN_UNKNOWN: _wire("1.1"),
    _R.RUN_CHANGED: _wire("5.4"),
    _R.RUN_STATE: _wire("5.4"),
    _R.RUN_THRESHOLD: _wire("7.1"),
    _R.STATEMENT_ROW: _wire("5.4"),
    _R.STATEMENT_REPEATED: _wire("5.4"),
    _R.STATEMENT_AMBIGUOUS: _wire("5.4"),
    _R.STATEMENT_SENT_BEFORE: _wire("5.4"),
    _R.STATEMENT_NOT_SENT: _wire("5.4"),
    _R.STATEMENT_BOUNCED: _wire("4.7"),
    _R.BOUNCE_UNMATCHED: _wire("7.0"),
    _R.SERVICE_REFUSED: _wire("7.1"),
    _R.PDF_MISSING: _wire("6.0"),
    _R.PDF_UNREADABLE: _wire("6.0"),
    _R.PDF_LOCKED: _wire("6.0"),
    _R.PDF_INACCESSIBLE: _wire("6.0"),
    _R.PDF_TOO_LARGE: _wire("3.4", 552, 452),
    _R.PDF_NOT_MADE: _wire("6.0"),
    _R.NEXT_HOP_UNAVAILABLE: _wire("4.1", _ALWAYS_LATER),
    _R.NEXT_HOP_LATER: _wire("4.1", _ALWAYS_LATER),
    _R.NEXT_HOP_REFUSED: _wire("0.0"),
    _R.NEXT_HOP_TLS: _wire("7.10", _ALWAYS_LATER),
    _R.NEXT_HOP_EIGHT_BIT: _wire("6.3", 554),
    _R.NEXT_HOP_SMTPUTF8: _wire("6.7"),
    # Faults of the operator or of this program are never the mail's: it may wait until they are mended.
    _R.CONFIG_INVALID: _wire("3.5", _ALWAYS_LATER),
    _R.CONFIG_UNREADABLE: _wire("3.5", _ALWAYS_LATER),
    _R.USAGE: _wire("3.5", _ALWAYS_LATER),
    _R.INTERNAL: _wire("3.0", _ALWAYS_LATER),
})

# What strangers may know: how they spoke to us. Everything else is "refused" or "later" to them. A malformed mail
# is not among it, for it may be the one inside a ciphertext.
_FAMILIES_TOLD = frozenset({"mail", "client", "recipient"})
_TOLD_TO_STRANGERS = frozenset(one for one in Reason if one.family in _FAMILIES_TOLD) - {Reason.MAIL_MALFORMED}
_STRANGER = Wire(550, 451, "7.1")
_STRANGER_LATER_DETAIL = "3.0"
_STRANGER_REFUSED = "This server rejects the message."
LATER = "This server cannot accept the message at present. Try again later."


def reply_for_reason(reason: Reason, *, retry: bool, permitted: bool, incident: str,
                     recipients: Sequence[str] = (), text: str | None = None) -> Reply:
    """The reply for one Reason. `retry` False may still give 4xx, where the Reason is temporary by nature.

    `text` replaces the Reason's own sentence towards permitted clients (the sentence of a rule's author).
    """
    if reason is Reason.INTERNAL:
        return Reply(451, "3.0", (f"{LATER} Incident {incident}",))
    wire = WIRES[reason]
    code = wire.temporary if retry else wire.permanent
    if not permitted and reason not in _TOLD_TO_STRANGERS:
        return _to_stranger(code, incident)
    sentence = SENTENCES[reason]
    words = [text or sentence.what]
    if permitted and not text:
        words.append(sentence.remedy)
    if permitted and recipients:
        words.append(f"This concerns {_names(recipients)}.")
    words.append(f"Incident {incident}")
    return Reply(code, wire.detail, (" ".join(words),))


def reply_for(outcome: Outcome, *, permitted: bool) -> Reply:
    """The one reply of a transaction. REFUSED is 5xx, LATER is 45x, all else 250.

    The next hop's own code is passed on where all concerned recipients share it.
    """
    if outcome.answer not in (Settled.REFUSED, Settled.LATER):
        return Reply(250, "0.0", (f"Ok: {outcome.incident}",))
    retry = outcome.answer is Settled.LATER
    concerned = [one for one in outcome.recipients if one.settled is outcome.answer]
    reason = outcome.reason or next((one.reason for one in concerned if one.reason), None) or Reason.INTERNAL
    first = _one(reason, [one for one in concerned if one.reason in (reason, None)], outcome.incident,
                 retry=retry, permitted=permitted)
    texts = list(first.texts)
    others = {one.reason for one in concerned} - {reason, None} if permitted else set()
    for other in sorted(reason for reason in others if reason is not None):
        group = [one for one in concerned if one.reason is other]
        texts += _one(other, group, outcome.incident, retry=retry, permitted=True).texts
    code, detail = first.code, first.detail
    if code // 100 != outcome_class(outcome):  # the transaction as a whole decides, not the Reason's nature
        code = 451 if retry else 550
    if reason in (Reason.NEXT_HOP_REFUSED, Reason.NEXT_HOP_LATER):
        code, detail = _with_hop_code(code, detail, concerned, permitted=permitted)
    return Reply(code, detail, tuple(texts))


def reply_to(address: str, outcome: Outcome, *, permitted: bool) -> Reply:
    """The reply for one recipient alone, where each has its own (LMTP, RFC 2033 4.2)."""
    own = next((one for one in outcome.recipients if one.address == address), None)
    if own is None:
        return reply_for_reason(Reason.INTERNAL, retry=True, permitted=permitted, incident=outcome.incident)
    return reply_for(Outcome(outcome.incident, own.settled, (own,), own.reason), permitted=permitted)


def outcome_class(outcome: Outcome) -> int:
    """The first digit of the reply: 2, 4 or 5."""
    return {Settled.LATER: 4, Settled.REFUSED: 5}.get(outcome.answer, 2)


def _one(reason: Reason, concerned: Sequence[RecipientOutcome], incident: str, *,
         retry: bool, permitted: bool) -> Reply:
    text = next((one.text for one in concerned if one.text), None)
    return reply_for_reason(reason, retry=retry, permitted=permitted, incident=incident, text=text,
                            recipients=tuple(one.address for one in concerned))


def _with_hop_code(code: int, detail: str, concerned: Sequence[RecipientOutcome], *,
                   permitted: bool) -> tuple[int, str]:
    """The next hop's code where all its replies agree.

    Strangers learn it only if it is about the mailbox (X.1.X, X.2.X). A rejection of the content by the next hop would
    reveal that the gateway could open it.
    """
    found = {_parse(one.reply) for one in concerned if one.reply}
    answer = found.pop() if len(found) == 1 else None
    if answer is None or answer[0] // 100 != code // 100:
        return code, detail
    if not permitted and not answer[1].startswith(("1.", "2.")):
        return code, detail
    return (answer[0] if code >= _PERMANENT else code), answer[1]


def _to_stranger(code: int, incident: str) -> Reply:
    if code < _PERMANENT:
        return Reply(_STRANGER.temporary, _STRANGER_LATER_DETAIL, (f"{LATER} Incident {incident}",))
    return Reply(_STRANGER.permanent, _STRANGER.detail, (f"{_STRANGER_REFUSED} Incident {incident}",))


def _parse(reply: str) -> tuple[int, str] | None:
    """'550 5.1.1 unknown' to (550, '1.1'); ('0.0' where the next hop gives no enhanced code)."""
    code, _, rest = reply.partition(" ")
    if len(code) != _CODE_DIGITS or not code.isascii() or not code.isdigit() or code[0] not in "45":
        return None
    fields = rest.partition(" ")[0].split(".")
    sound = (len(fields) == _CODE_DIGITS and fields[0] == code[0]
             and all(part.isascii() and part.isdigit() and len(part) <= _CODE_DIGITS for part in fields[1:]))
    return int(code), ".".join(fields[1:]) if sound else "0.0"


def _names(recipients: Sequence[str]) -> str:
    named = ", ".join(f"<{address}>" for address in recipients[:RECIPIENTS_NAMED_MAX])
    more = len(recipients) - RECIPIENTS_NAMED_MAX
    return f"{named} and {more} more" if more > 0 else named


def ascii_text(text: str) -> str:
    r"""Printable ASCII on one line; everything else as \x{HEX} (RFC 6533 3, unitext form)."""
    if text.isascii() and text.isprintable():  # nearly always, and letter by letter it costs 10 us
        return text
    return "".join(c if " " <= c <= "~" else f"\\x{{{ord(c):X}}}" for c in text)


def _cut(text: str) -> list[str]:
    """Pieces of at most LINE_OCTETS_MAX, at spaces where there are some."""
    pieces = []
    while len(text) > LINE_OCTETS_MAX:
        at = text.rfind(" ", 1, LINE_OCTETS_MAX)
        at = at if at > 0 else LINE_OCTETS_MAX
        pieces.append(text[:at])
        text = text[at:].lstrip(" ")
    pieces.append(text)
    return pieces
