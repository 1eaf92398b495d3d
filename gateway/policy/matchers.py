"""The table of matchers: which fact each one asks about, for which recipients, and at what cost.

To add one: a getter and a line in MATCHERS. A getter gives the fact's value (None: there is none), a tuple where a
mail may have several, or a truth of `policy.truth` where it is unknown.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType
from typing import Any, Literal, get_args

from gateway.errors import Reason
from gateway.model.facts import Already, Facts, Kind, NoFrom, NotAsked, RecipientFacts
from gateway.model.lookup import Absent, CertificateAnswer, Conflict, Found, Unavailable, Unusable
from gateway.model.mail import Direction
from gateway.model.verdict import Coverage, Status, Trust, Verdicts
from gateway.policy.truth import NEEDS_CERTIFICATE, NEEDS_ENROLLED, NEEDS_SEGMENT, NEEDS_SIGNER, UNKNOWN, FactName

Shape = Literal["words", "address", "text", "flag", "size", "duration", "header", "signer", "level",
                "authentication"]

OURS = frozenset({Direction.OUTBOUND, Direction.INTERNAL})
INBOUND = frozenset({Direction.INBOUND})
ALL = OURS | INBOUND

CERTIFICATE_STATES = ("enrolled", "found", "absent", "unusable", "conflict")
NO_FROM: tuple[str, ...] = get_args(NoFrom)
AUTHENTICATION_METHODS = ("dmarc", "dkim", "spf", "arc")
AUTHENTICATION_RESULTS = ("none", "pass", "fail", "policy", "neutral", "softfail", "temperror", "permerror")
# Fields that have a matcher of their own, or are traces that no rule is offered (RFC 5321 4.4, RFC 6376, RFC 8617).
HEADERS_NOT_OFFERED: Mapping[str, str] = MappingProxyType({
    "from": "use `from`", "subject": "use `subject`", "return-path": "use `sender`",
    "to": "use `recipient`", "cc": "use `recipient`", "bcc": "use `recipient`",
    "authentication-results": "use `authentication`", "received": "trace fields are not offered to rules",
    "references": "not offered to rules", "dkim-signature": "use `authentication: {dkim: pass}`",
    "arc-seal": "use `authentication: {arc: pass}`", "arc-message-signature": "use `authentication: {arc: pass}`",
})

Getter = Callable[[Facts, RecipientFacts], Any]


@dataclass(frozen=True, slots=True)
class Matcher:
    """One word of `when`. `single`: a mail has exactly one value of it. `words`: all there are, () if open.

    `by_word`: written by the author of the mail, and so able to raise protection only.
    `cost`: order of asking inside a rule; the look-up `fact` comes last.
    """

    name: str
    shape: Shape
    summary: str
    get: Getter
    directions: frozenset[Direction] = ALL
    words: tuple[str, ...] = ()
    single: bool = True
    by_word: bool = False
    fact: FactName | None = None
    cost: int = 1


def _certificate(facts: Facts, to: RecipientFacts) -> str | int:
    del facts
    return NEEDS_CERTIFICATE if isinstance(to.certificate, NotAsked) else _state(to.certificate)


def enrolled(facts: Facts, to: RecipientFacts) -> str | int:
    """For rules that ask for `certificate: enrolled` and nothing else: the store knows that, no directory does."""
    del facts
    return NEEDS_ENROLLED if isinstance(to.enrolled, NotAsked) else _state(to.enrolled)


def _state(answer: CertificateAnswer) -> str | int:
    if isinstance(answer, Found):
        return "enrolled" if answer.enrolled else "found"
    if isinstance(answer, Absent):
        return "absent"
    if isinstance(answer, Unusable):
        return "unusable"
    if isinstance(answer, Conflict):
        return "conflict"
    return UNKNOWN


def _segment(facts: Facts, to: RecipientFacts) -> str | int:
    del facts
    if isinstance(to.segment, Unavailable):
        return UNKNOWN
    return NEEDS_SEGMENT if isinstance(to.segment, NotAsked) else to.segment or "none"


def _signer_customer(facts: Facts, to: RecipientFacts) -> str | int:
    del facts
    if isinstance(to.signer_customer, Unavailable):
        return UNKNOWN
    if isinstance(to.signer_customer, NotAsked):
        return NEEDS_SIGNER
    return "known" if to.signer_customer else "unknown"


def _of_verdicts(read: Callable[[Verdicts], Any]) -> Getter:
    """A mail that was not opened and judged has no verdicts: unknown, never `not signed`."""
    def get(facts: Facts, to: RecipientFacts) -> Any:
        del to
        return UNKNOWN if facts.verdicts is None else read(facts.verdicts)
    return get


def worst_timestamp(verdicts: Verdicts) -> str:
    """One word over all signers: valid only if every one of them has a valid time-stamp."""
    found = {str(signer.timestamp.status) for signer in verdicts.signature.signers}
    return next((word for word in ("invalid", "indeterminate", "none", "valid") if word in found), "none")


def valid_signers(verdicts: Verdicts) -> tuple[tuple[tuple[str, ...], bool | None], ...]:
    """Level and From match of the signers whose signature is valid; others give no identity."""
    return tuple((signer.level, signer.matches_from) for signer in verdicts.signature.signers
                 if signer.status is Status.VALID)


def reasons_of(verdicts: Verdicts) -> tuple[str, ...]:
    """Every reason reported of the mail: of the whole, of the signature and its signers, of the decryption."""
    reasons = [*verdicts.why, verdicts.signature.reason, verdicts.decryption.reason,
            *(signer.reason for signer in verdicts.signature.signers)]
    return tuple(dict.fromkeys(str(reason) for reason in reasons if reason is not None))


def _addressed_to(facts: Facts, to: RecipientFacts) -> str | int:
    if facts.verdicts is None:
        return UNKNOWN
    coverage = facts.verdicts.coverage
    return "unprotected" if coverage is None else coverage.addressed_to(to.address)


def _seconds(read: Callable[[Coverage], int | None]) -> Getter:
    """Of a valid signature alone. Where a time is missing no limit is kept: it may be of any age."""
    def seconds(verdicts: Verdicts) -> float | None:
        if verdicts.coverage is None:
            return None
        found = read(verdicts.coverage)
        return inf if found is None else float(abs(found))
    return _of_verdicts(seconds)


_TABLE = (
    Matcher("direction", "words", "whose client, whose recipient: decided per recipient",
            lambda _, to: to.direction, words=("outbound", "inbound", "internal"), cost=0),
    Matcher("client", "words",
            "a client named in sealgate.yaml: network, TLS certificate or login; `sealgate`: the gateway's own mail",
            lambda facts, _: facts.client, OURS, cost=0),
    Matcher("sender", "address", "the envelope's reverse-path; `<>` is the null path",
            lambda facts, _: facts.sender or "<>"),
    Matcher("from", "address", "the one address of header From; `none` where there is none, `ambiguous` where there "
            "are several or an invalid one", lambda facts, _: facts.from_),
    Matcher("recipient", "address", "this recipient's address", lambda _, to: to.address),
    Matcher("header", "header", "any value of a header field; `*` asks only whether there is one",
            lambda _, __: (), single=False, by_word=True, cost=3),
    Matcher("subject", "text", "the decoded subject", lambda facts, _: facts.subject, by_word=True, cost=3),
    Matcher("size", "size", "octets of the message as received", lambda facts, _: facts.size),
    Matcher("keyword", "words", "a bracketed word at the start (also behind `Re:`, other short words with a "
            "colon, and symbols) or end of a subject, as a reader "
            "sees it; taken out before signing",
            lambda facts, _: facts.keywords, OURS, single=False, by_word=True, cost=2),
    Matcher("kind", "words", "what the mail is (RFC 3464, 8098, 5545, 3834, 2919)",
            lambda facts, _: facts.kind, words=get_args(Kind)),
    Matcher("already", "words", "signed or encrypted before it came here: by what it is, not by its label",
            lambda facts, _: facts.already, words=get_args(Already), single=False),
    Matcher("certificate", "words", "the recipient's certificate: bound to a customer, merely found, or why none",
            _certificate, OURS, words=CERTIFICATE_STATES, fact="certificate", cost=9),
    Matcher("segment", "words", "the recipient's customer segment; `none` for no customer or no segment",
            _segment, OURS, fact="segment", cost=8),
    Matcher("spoofs_us", "flag", "a foreign client uses the bank's domain in From, Sender or as reverse-path",
            lambda facts, _: "true" if facts.spoofs_us else "false", INBOUND, words=("true", "false")),
    Matcher("signature", "words", "the verdict over all signers that count",
            _of_verdicts(lambda verdicts: verdicts.signature.status), INBOUND,
            words=(Status.VALID, Status.INVALID, Status.INDETERMINATE, Status.NOT_SIGNED), cost=2),
    Matcher("verdict", "words", "the one word for the whole mail: trusted is signed, whole, valid and by the From",
            _of_verdicts(lambda verdicts: verdicts.verdict), INBOUND, words=tuple(Trust), cost=2),
    Matcher("reason", "words", "a reason reported for the signature, its signers, the decryption or the whole mail",
            _of_verdicts(reasons_of), INBOUND, words=tuple(Reason), single=False, cost=2),
    Matcher("decryption", "words", "how opening went",
            _of_verdicts(lambda verdicts: verdicts.decryption.status), INBOUND,
            words=("decrypted", "not_encrypted", "no_key", "failed"), cost=2),
    Matcher("timestamp", "words", "time-stamps of the signers: valid only if each has a valid one",
            _of_verdicts(worst_timestamp), INBOUND,
            words=(Status.VALID, Status.INVALID, Status.INDETERMINATE, Status.NONE), cost=2),
    Matcher("signer", "signer", "one valid signer with all of `level`, `matches_from`; `customer`: known or unknown",
            _of_verdicts(valid_signers), INBOUND, single=False, cost=2),
    Matcher("signer.customer", "words", "whether the verified signer is a customer",
            _signer_customer, INBOUND, words=("known", "unknown"), fact="signer_customer", cost=7),
    Matcher("header_protection", "words", "whether a valid signature covers the Subject, Date, To, Cc, Reply-To shown",
            _of_verdicts(lambda verdicts: verdicts.coverage.headers if verdicts.coverage else "unprotected"), INBOUND,
            words=("protected", "partly", "unprotected"), cost=2),
    Matcher("addressed_to", "words", "whom To and Cc name, where a valid signature covers them",
            _addressed_to, INBOUND, words=("recipient", "others", "unprotected"), cost=2),
    Matcher("signature_age", "duration", "time between signing and reception; over any limit where it is not known",
            _seconds(lambda coverage: coverage.age_s), INBOUND, cost=2),
    Matcher("signature_date_gap", "duration", "time between signing and Date; over any limit where it is not known",
            _seconds(lambda coverage: coverage.date_gap_s), INBOUND, cost=2),
    Matcher("authentication", "authentication", "results of filters in front, of trusted ids only (RFC 8601)",
            lambda _, __: (), INBOUND, words=AUTHENTICATION_RESULTS, cost=2),
)
MATCHERS: Mapping[str, Matcher] = MappingProxyType({matcher.name: matcher for matcher in _TABLE})
WRITTEN: tuple[str, ...] = tuple(name for name in MATCHERS if "." not in name)
COMBINATIONS = ("any_of", "all_of", "none_of")
