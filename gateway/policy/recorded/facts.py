"""Facts as evidence records keep them: JSON-ready, without loss for what rules may ask, never content.

Header values and texts are cut at a limit, so that a hostile mail cannot swell the database; a cut record says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from gateway.errors import Reason
from gateway.model.address import fold
from gateway.model.decision import Decision
from gateway.model.facts import Facts, NotAsked, RecipientFacts
from gateway.model.lookup import (
    Absent,
    CertificateAnswer,
    CertificateRow,
    Conflict,
    Found,
    Loser,
    Unavailable,
    Unusable,
)
from gateway.model.mail import Direction
from gateway.model.verdict import (
    Coverage,
    DecryptionVerdict,
    HeadersShown,
    SignatureVerdict,
    SignerVerdict,
    Status,
    TimestampVerdict,
    Trust,
    Verdicts,
)
from gateway.policy.resolve import DEVICE_BOUND, enrolled_of

FORMAT: Final = 2  # 1 knew one look-up only, and took it for the store's as well
TEXT_CHARACTERS_MAX: Final = 998  # of subject, From and keywords each: a line of mail
HEADER_OCTETS_MAX: Final = 16_384  # all kept values of a mail together, in characters
SIGNERS_MAX: Final = 16
_NO_ROW: Final = CertificateRow("", b"", (), datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Recorded:
    """Facts read back. `cut`: not all header values or signers were kept."""

    facts: Facts
    to: RecipientFacts
    cut: bool = False


def to_record(facts: Facts, to: RecipientFacts, decision: Decision | None = None, *,
              hidden: frozenset[str] = frozenset()) -> dict[str, Any]:
    """One mail's facts for one recipient as a JSON object.

    `hidden`: header fields (lower case) whose text is as confidential as the body, and is not kept.
    Of `decision` is kept what a record has no field of its own for: what observed rules would have done, what was
    left out knowingly, which way was taken for want of a certificate, the rule that a mail's writer was allowed to
    lower, and the end that a release overcame.
    """
    headers, cut = _headers({name: texts for name, texts in facts.headers.items() if name not in hidden})
    cut = cut or not hidden.isdisjoint(facts.headers)
    subject = "" if "subject" in hidden else facts.subject[:TEXT_CHARACTERS_MAX]
    from_ = facts.from_ and facts.from_[:TEXT_CHARACTERS_MAX]
    keywords = sorted(word for word in facts.keywords if len(word) <= TEXT_CHARACTERS_MAX)
    cut = cut or len(facts.subject) > TEXT_CHARACTERS_MAX or from_ != facts.from_ or len(keywords) < len(facts.keywords)
    record: dict[str, Any] = {
        "format": FORMAT, "client": facts.client, "sender": facts.sender, "from": from_, "subject": subject,
        "size": facts.size, "headers": headers, "kind": facts.kind, "already": sorted(facts.already),
        "keywords": keywords, "spoofs_us": facts.spoofs_us, "authentication": dict(facts.authentication),
        "recipient": to.address, "direction": str(to.direction),
    }
    if to.spellings:
        record["spellings"] = list(to.spellings)
    if facts.no_from is not None:
        record["no_from"] = facts.no_from
    if facts.verdicts is not None:
        record["verdicts"] = _verdicts(facts.verdicts, to.address)
        cut = cut or len(facts.verdicts.signature.signers) > SIGNERS_MAX
    if not isinstance(to.certificate, NotAsked):
        record["certificate"] = _certificate(to.certificate)
    if not isinstance(to.enrolled, NotAsked):
        record["enrolled"] = _certificate(to.enrolled)
    for name, value in (("segment", to.segment), ("signer_customer", to.signer_customer)):
        if isinstance(value, Unavailable):
            record[name] = {"state": "unavailable"}
        elif not isinstance(value, NotAsked):
            record[name] = {"state": "known", "value": value}
    if cut:
        record["cut"] = True
    if decision is not None:
        record |= _decided(decision)
    return record


def _decided(decision: Decision) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    if decision.observed:
        kept["observed"] = [{"rule": one.rule, "steps": [step.verb for step in one.steps], "end": one.end.kind}
                            for one in decision.observed]
    if decision.dropped:
        kept["dropped"] = list(decision.dropped)
    if decision.fallback is not None:
        kept["fallback"] = decision.fallback
    if decision.lowered_from is not None:
        kept["lowered_from"] = decision.lowered_from
    if decision.released_from is not None:
        kept["released_from"] = decision.released_from
    if decision.misses:
        kept["overruled"] = [miss.rule for miss in decision.misses]
    return kept


def from_record(record: Mapping[str, Any]) -> Recorded:
    """Facts back from a record. What was never looked up comes back as NotAsked."""
    verdicts = record.get("verdicts")
    facts = Facts(
        client=record["client"], sender=record["sender"], from_=record["from"], subject=record["subject"],
        size=record["size"], headers={name: tuple(values) for name, values in record["headers"].items()},
        kind=record["kind"], already=frozenset(record["already"]), keywords=frozenset(record["keywords"]),
        spoofs_us=record["spoofs_us"], authentication=dict(record["authentication"]),
        verdicts=_verdicts_back(verdicts, record["recipient"]) if verdicts is not None else None,
        no_from=record.get("no_from"),
    )
    certificate: CertificateAnswer | NotAsked = NotAsked()
    enrolled: CertificateAnswer | NotAsked = NotAsked()
    if "certificate" in record:
        certificate = _certificate_back(record["certificate"])
        if record["format"] == 1:
            enrolled = enrolled_of(certificate)
    if "enrolled" in record:
        enrolled = _certificate_back(record["enrolled"])
    to = RecipientFacts(
        record["recipient"], Direction(record["direction"]), certificate=certificate, enrolled=enrolled,
        segment=_looked_up(record.get("segment")), signer_customer=_looked_up(record.get("signer_customer")),
        spellings=tuple(record.get("spellings", ())),
    )
    return Recorded(facts, to, bool(record.get("cut")))


def _headers(headers: Mapping[str, tuple[str, ...]]) -> tuple[dict[str, list[str]], bool]:
    kept: dict[str, list[str]] = {}
    left = HEADER_OCTETS_MAX
    for name, values in headers.items():
        left -= len(name) + sum(map(len, values))
        if left < 0:
            return kept, True
        kept[name] = list(values)
    return kept, False


def _certificate(answer: CertificateAnswer) -> dict[str, Any]:
    if isinstance(answer, Found):
        bound = {"device_bound": True} if any(row.device_bound for row in answer.rows) else {}
        return {"state": "enrolled" if answer.enrolled else "found", **bound}
    if isinstance(answer, Absent):
        return {"state": "absent"}
    if isinstance(answer, Unusable):
        return {"state": "unusable", "reasons": sorted({str(loser.reason) for loser in answer.losers})}
    if isinstance(answer, Conflict):
        return {"state": "conflict", "owners": list(answer.owners)}
    return {"state": "unavailable"}


def _certificate_back(record: Mapping[str, Any]) -> CertificateAnswer:
    """The state; rows are not kept. Rules ask of them only whether a key is bound to one device."""
    state = record["state"]
    if state in ("enrolled", "found"):
        return Found((DEVICE_BOUND,) if record.get("device_bound") else (), enrolled=state == "enrolled")
    if state == "absent":
        return Absent()
    if state == "unusable":
        return Unusable(tuple(Loser(_NO_ROW, Reason(reason)) for reason in record["reasons"]))
    return Conflict(tuple(record["owners"])) if state == "conflict" else Unavailable()


def _looked_up(record: Mapping[str, Any] | None) -> str | None | Unavailable | NotAsked:
    if record is None:
        return NotAsked()
    return Unavailable() if record["state"] == "unavailable" else record["value"]


def _verdicts(verdicts: Verdicts, recipient: str) -> dict[str, Any]:
    signature, coverage = verdicts.signature, verdicts.coverage
    covers = {} if coverage is None else {"coverage": {
        "headers": coverage.headers, "addressed_to": coverage.addressed_to(recipient), "age_s": coverage.age_s,
        "date_gap_s": coverage.date_gap_s, "stray_reply_to": coverage.stray_reply_to}}
    return {
        **covers,
        "verdict": str(verdicts.verdict), "why": [str(reason) for reason in verdicts.why],
        "decryption": [verdicts.decryption.status, _text(verdicts.decryption.reason)],
        "signature": [str(signature.status), _text(signature.reason)],
        "signers": [{"status": str(one.status), "reason": _text(one.reason), "level": list(one.level),
                     "matches_from": one.matches_from, "timestamp": str(one.timestamp.status)}
                    for one in signature.signers[:SIGNERS_MAX]],
        **({"weak_ciphers": list(verdicts.weak_ciphers)} if verdicts.weak_ciphers else {}),
    }


def _coverage_back(record: Mapping[str, Any], recipient: str) -> Coverage:
    """The recipients that the author named are not kept: only whether this one was among them."""
    to = {"recipient": frozenset({fold(recipient)}), "others": frozenset[str]()}.get(record["addressed_to"])
    return Coverage(record["headers"], to, record["age_s"], record["date_gap_s"], record["stray_reply_to"])


def _verdicts_back(record: Mapping[str, Any], recipient: str) -> Verdicts:
    signers = tuple(
        SignerVerdict(0, Status(one["status"]), _reason(one["reason"]), level=tuple(map(_level, one["level"])),
                      matches_from=one["matches_from"], timestamp=TimestampVerdict(Status(one["timestamp"])))
        for one in record["signers"])
    return Verdicts(
        (), DecryptionVerdict(record["decryption"][0], _reason(record["decryption"][1])),
        SignatureVerdict(Status(record["signature"][0]), _reason(record["signature"][1]), signers=signers),
        HeadersShown(), Trust(record["verdict"]), tuple(Reason(reason) for reason in record["why"]),
        _coverage_back(record["coverage"], recipient) if "coverage" in record else None)


def _level(word: str) -> str:
    """Records of the first version spelt one of the words with a z."""
    return "organisation" if word == "organization" else word


def _text(reason: Reason | None) -> str | None:
    return None if reason is None else str(reason)


def _reason(text: str | None) -> Reason | None:
    return None if text is None else Reason(text)
