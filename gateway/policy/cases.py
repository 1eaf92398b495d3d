"""Cases: facts as a rule's author writes them, and what the rules make of them.

`given` speaks the words of `when`, one value each; what it leaves out is what an ordinary mail has. A rule that asks
for a certificate which the case does not mention is a fault of the case: no default would be honest.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from gateway.errors import Reason
from gateway.model.decision import Decision, Needs
from gateway.model.facts import Facts, NoFrom, RecipientFacts
from gateway.model.fallbacks import FALLBACKS
from gateway.model.lookup import Absent, CertificateAnswer, Conflict, Found, Unavailable, Unusable
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
from gateway.policy.levels import WORDS, stated
from gateway.policy.matchers import AUTHENTICATION_METHODS, AUTHENTICATION_RESULTS, MATCHERS, NO_FROM, WRITTEN
from gateway.policy.resolve import DEVICE_BOUND, enrolled_of
from gateway.policy.rules import Case, Expected, Known
from gateway.policy.ruleset import RuleSet
from gateway.policy.then import ENDS
from gateway.policy.values import BadValueError, fold, octets, seconds
from gateway.policy.when import one_of
from gateway.strictyaml import Document, Path, Problem, nearest

CERTIFICATES: Final[Mapping[str, CertificateAnswer]] = {
    "enrolled": Found((), enrolled=True), "device_bound": Found((DEVICE_BOUND,), enrolled=True),
    "found": Found((), enrolled=False), "absent": Absent(), "unusable": Unusable(()), "conflict": Conflict(()),
    "unavailable": Unavailable(),
}
# The store answers, and knows nothing that is bound; a directory does not answer.
DIRECTORY_UNAVAILABLE: Final = "directory_unavailable"
CERTIFICATE_WORDS: Final = (*CERTIFICATES, DIRECTORY_UNAVAILABLE)
_CUSTOMERS = ("known", "unknown", "unavailable")
_EXPECTED = ("then", "end", "rule", "reason")
_RECIPIENT = {Direction.OUTBOUND: "anna@customer.example", Direction.INBOUND: "service@bank.example",
              Direction.INTERNAL: "staff@bank.example"}


@dataclass(slots=True)
class CaseReader:
    """Reads the cases of one rule; `problems` grows. `label` is the file's, `rule` FILE:NAME."""

    document: Document
    known: Known
    problems: list[Problem]
    label: str
    rule: str
    directions: frozenset[Direction]
    verbs: Sequence[str]

    def read(self, value: Any, path: Path, number: int) -> Case | None:
        """One case; None if it cannot be run."""
        if not isinstance(value, dict):
            self._add(path, "a case must be a mapping", "write it as `- given: {…}` and `expect: {…}`")
            return None
        for key in value:
            if key not in ("given", "expect"):
                self._add((*path, key), f"unknown key `{key}` of a case", nearest(key, ("given", "expect")), key=True)
        before = len(self.problems)
        given, expect = value.get("given"), value.get("expect")
        if not isinstance(given, dict):
            self._add(path, "a case needs `given: {…}`", "add the facts of a mail, such as `given: {client: NAME}`")
        if not isinstance(expect, dict) or not expect:
            self._add(path, "a case needs `expect: {…}`", "add it, such as `expect: {end: deliver}`")
        if not isinstance(given, dict) or not isinstance(expect, dict):
            return None
        facts, to = self._given(given, (*path, "given"))
        expected = self._expect(expect, (*path, "expect"))
        return Case(facts, to, expected, self.document.place(path), number) if len(self.problems) == before else None

    def _add(self, path: Path, text: str, remedy: str = "", *, key: bool = False) -> None:
        self.problems.append(self.document.problem(path, text, remedy, key=key))

    def _word(self, value: Any, words: Sequence[str], path: Path) -> str:
        """One of the words; the first of them, and a problem, if it is none."""
        if isinstance(value, str) and value in words:
            return value
        self._add(path, f"`{path[-1]}` cannot be `{value}` in a case", nearest(str(value), words) or one_of(words))
        return words[0]

    def _text(self, given: Mapping[str, Any], key: str, default: str, path: Path) -> str:
        value = given.get(key, default)
        if not isinstance(value, str):
            self._add((*path, key), f"`{key}` must be one text in a case",
                       "write one text, in quotes if it is a number")
            return default
        return value

    def _given(self, given: dict[str, Any], path: Path) -> tuple[Facts, RecipientFacts]:
        for key in given:
            if key not in WRITTEN:
                self._add((*path, key), f"unknown fact `{key}`", nearest(key, WRITTEN) or one_of(WRITTEN), key=True)
        direction = self._direction(given, path)
        written = self._text(given, "from", "", path)
        no_from = cast("NoFrom", written) if written in NO_FROM else None
        from_ = None if no_from else written or None
        client = self._text(given, "client", "", path) or None
        if client is not None and self.known.clients is not None and client not in self.known.clients:
            self._add((*path, "client"), f"the settings have no client `{client}`",
                       nearest(client, self.known.clients) or one_of(self.known.clients))
        sender = self._text(given, "sender", from_ or "", path)
        inbound = direction is Direction.INBOUND
        facts = Facts(
            client=client, sender="" if sender == "<>" else sender, from_=from_,
            subject=self._text(given, "subject", "", path), size=self._size(given, path),
            headers=self._headers(given.get("header", {}), (*path, "header")),
            kind=self._word(given.get("kind", "normal"), MATCHERS["kind"].words, (*path, "kind")),  # type: ignore[arg-type]
            already=frozenset(self._many(given, "already", path)),  # type: ignore[arg-type]
            keywords=frozenset(map(fold, self._many(given, "keyword", path))),
            spoofs_us=self._flag(given, path), verdicts=self._verdicts(given, path) if inbound else None,
            authentication=self._authentication(given.get("authentication", {}), (*path, "authentication")),
            no_from=no_from,
        )
        return facts, self._to(given, direction, path)

    def _direction(self, given: Mapping[str, Any], path: Path) -> Direction:
        if "direction" in given:
            return Direction(self._word(given["direction"], MATCHERS["direction"].words, (*path, "direction")))
        if len(self.directions) == 1:
            return next(iter(self.directions))
        return Direction.OUTBOUND if "client" in given else Direction.INBOUND

    def _size(self, given: Mapping[str, Any], path: Path) -> int:
        try:
            return octets(given.get("size", "4 KiB"))
        except BadValueError as error:
            self._add((*path, "size"), str(error), error.remedy)
            return 0

    def _flag(self, given: Mapping[str, Any], path: Path) -> bool:
        value = given.get("spoofs_us", False)
        if not isinstance(value, bool):
            self._add((*path, "spoofs_us"), "`spoofs_us` must be true or false", "write true or false, without quotes")
        return value is True

    def _many(self, given: Mapping[str, Any], key: str, path: Path) -> tuple[str, ...]:
        value = given.get(key, [])
        items = value if isinstance(value, list) else [value]
        words = MATCHERS[key].words
        if words:
            return tuple(self._word(item, words, (*path, key)) for item in items)
        return tuple(self._text({key: item}, key, "", path) for item in items)

    def _headers(self, value: Any, path: Path) -> dict[str, tuple[str, ...]]:
        if not isinstance(value, dict) or not all(isinstance(inner, str) for inner in value.values()):
            self._add(path, "`header` must be a mapping of texts in a case", "write `header: {X-Name: value}`")
            return {}
        return {name.lower(): (text,) for name, text in value.items()}

    def _authentication(self, value: Any, path: Path) -> dict[str, str]:
        if not isinstance(value, dict):
            self._add(path, "`authentication` must be a mapping", "write `authentication: {dmarc: pass}`")
            return {}
        return {self._word(method, AUTHENTICATION_METHODS, (*path, method)):
                self._word(result, AUTHENTICATION_RESULTS, (*path, method)) for method, result in value.items()}

    def _to(self, given: Mapping[str, Any], direction: Direction, path: Path) -> RecipientFacts:
        to = RecipientFacts(self._text(given, "recipient", _RECIPIENT[direction], path), direction, segment=None,
                            signer_customer=None)
        signer = given.get("signer")
        customer = signer.get("customer", "unknown") if isinstance(signer, dict) else "unknown"
        customer = self._word(customer, _CUSTOMERS, (*path, "signer", "customer"))
        segment = self._text(given, "segment", "none", path)
        certificate: dict[str, Any] = {}
        if "certificate" in given:
            word = self._word(given["certificate"], CERTIFICATE_WORDS, (*path, "certificate"))
            answer = CERTIFICATES.get(word, Unavailable())
            own = Absent() if word == DIRECTORY_UNAVAILABLE else enrolled_of(answer)
            certificate = {"certificate": answer, "enrolled": own}
        return RecipientFacts(
            to.address, direction, **certificate,
            segment=Unavailable() if segment == "unavailable" else None if segment == "none" else segment,
            signer_customer=Unavailable() if customer == "unavailable" else "1" if customer == "known" else None)

    def _verdicts(self, given: Mapping[str, Any], path: Path) -> Verdicts:
        """One signer with all that is given; `verdict` follows from the signature where it is not given."""
        usual_words = {"signature": "not_signed", "decryption": "not_encrypted", "timestamp": "none"}
        words = {name: self._word(given.get(name, usual), MATCHERS[name].words, (*path, name))
                 for name, usual in usual_words.items()}
        status = Status(words["signature"])
        level, matches = self._signer(given.get("signer", {}), (*path, "signer"))
        usual = {Status.VALID: Trust.TRUSTED if matches else Trust.NOT_TRUSTED, Status.INVALID: Trust.NOT_TRUSTED}
        verdict = Trust(self._word(given.get("verdict", str(usual.get(status, Trust.UNKNOWN))),
                                   MATCHERS["verdict"].words, (*path, "verdict")))
        signer = SignerVerdict(0, status, None, level=level, matches_from=matches,
                               timestamp=TimestampVerdict(Status(words["timestamp"])))
        why = tuple(map(Reason, self._many(given, "reason", path)))
        coverage = self._coverage(given, path) if status is Status.VALID else None
        signers = () if status is Status.NOT_SIGNED else (signer,)
        return Verdicts((), DecryptionVerdict(words["decryption"]),  # type: ignore[arg-type]
                        SignatureVerdict(status, signers=signers), HeadersShown(), verdict, why, coverage)

    def _coverage(self, given: Mapping[str, Any], path: Path) -> Coverage:
        """Of a mail that was signed when it was sent, just now, and whose header fields are not protected."""
        headers = self._word(given.get("header_protection", "unprotected"), MATCHERS["header_protection"].words,
                             (*path, "header_protection"))
        named = self._word(given.get("addressed_to", "unprotected"), MATCHERS["addressed_to"].words,
                           (*path, "addressed_to"))
        recipient = fold(self._text(given, "recipient", _RECIPIENT[Direction.INBOUND], path))
        to = {"recipient": frozenset({recipient}), "others": frozenset[str]()}.get(named)
        age_s, date_gap_s = (self._seconds(given, name, path) for name in ("signature_age", "signature_date_gap"))
        return Coverage(headers, to, age_s, date_gap_s)  # type: ignore[arg-type]

    def _seconds(self, given: Mapping[str, Any], key: str, path: Path) -> int:
        try:
            return seconds(given.get(key, "0 s"))
        except BadValueError as error:
            self._add((*path, key), str(error), error.remedy)
            return 0

    def _signer(self, value: Any, path: Path) -> tuple[tuple[str, ...], bool]:
        if not isinstance(value, dict):
            self._add(path, "`signer` must be a mapping", "write `signer: {matches_from: true, customer: known}`")
            return (), True
        for key in value:
            if key not in ("level", "matches_from", "customer"):
                self._add((*path, key), f"unknown key `{key}` of signer",
                           nearest(key, ("level", "matches_from", "customer")), key=True)
        level = value.get("level", [])
        level = level if isinstance(level, list) else [level]
        levels = tuple(one if isinstance(one, str) and stated(one) else self._word(one, WORDS, (*path, "level"))
                       for one in level)
        matches = value.get("matches_from", True)
        if not isinstance(matches, bool):
            self._add((*path, "matches_from"), "`matches_from` must be true or false",
                       "write true or false, without quotes")
        return levels, matches is True

    def _expect(self, expect: dict[str, Any], path: Path) -> Expected:
        for key in expect:
            if key not in _EXPECTED:
                self._add((*path, key), f"unknown key `{key}` of expect", nearest(key, _EXPECTED) or one_of(_EXPECTED),
                           key=True)
        then: tuple[str, ...] | None = None
        if "then" in expect:
            names = expect["then"] if isinstance(expect["then"], list) else [expect["then"]]
            steps = (*self.verbs, *(name for name, fallback in FALLBACKS.items() if fallback.encrypts))
            then = tuple(self._word(name, steps, (*path, "then")) for name in names)
        end = self._word(expect["end"], ENDS, (*path, "end")) if "end" in expect else None
        reason = Reason(self._word(expect["reason"], tuple(Reason), (*path, "reason"))) if "reason" in expect else None
        rule = self._text(expect, "rule", self.rule, path)
        return Expected(rule if ":" in rule else f"{self.label}:{rule}", then, end, reason)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case run. `differs` in words, empty if all is as expected; `decision` what came out."""

    rule: str
    case: Case
    decision: Decision | Needs
    differs: tuple[str, ...]

    @property
    def wins(self) -> bool:
        """Whether the case's own rule matched and decided (or would have, in `mode: observe`)."""
        found = decided_by(self.decision, self.rule)
        return found is not None and found.reason is not Reason.POLICY_FACT_UNAVAILABLE


@dataclass(frozen=True, slots=True)
class TestRun:
    """All cases of a set. `hits`: rule (or FILE:otherwise) to the number of cases that it decided."""

    __test__ = False  # no test of pytest's

    results: tuple[CaseResult, ...]
    hits: Mapping[str, int]

    @property
    def failed(self) -> tuple[CaseResult, ...]:
        """The cases that came out differently."""
        return tuple(result for result in self.results if result.differs)


def decided_by(decision: Decision | Needs, rule: str) -> Decision | None:
    """The decision itself or the observed one that this rule made; None if it made none."""
    if isinstance(decision, Needs):
        return None
    return next((one for one in (decision, *decision.observed) if one.rule == rule), None)


def run(rules: RuleSet) -> TestRun:
    """Runs every case of every rule."""
    results = tuple(_run(rules, rule.name, case) for rule in rules.rules for case in rule.cases)
    hits = Counter({program.name: 0 for program in rules.programs})
    hits.update(result.decision.rule for result in results if isinstance(result.decision, Decision))
    return TestRun(results, dict(hits))


def _run(rules: RuleSet, name: str, case: Case) -> CaseResult:
    decision = rules.decide(case.facts, case.to)
    if isinstance(decision, Needs):
        return CaseResult(name, case, decision, (f"the rules need `{decision.fact}`, which the case does not give",))
    expect = case.expect
    mine = decided_by(decision, expect.rule)
    differs = [] if mine is not None else [f"decided by {decision.rule}, expected {expect.rule}"]
    mine = mine or decision
    verbs = tuple(step.verb for step in mine.steps)
    if expect.then is not None and sorted(expect.then) != sorted(verbs):
        differs.append(f"then: {', '.join(verbs) or 'nothing'}; expected {', '.join(expect.then) or 'nothing'}")
    if expect.end is not None and expect.end != mine.end.kind:
        differs.append(f"end: {mine.end.kind}; expected {expect.end}")
    if expect.reason is not None and expect.reason != mine.reason:
        differs.append(f"reason: {mine.reason or 'none'}; expected {expect.reason}")
    return CaseResult(name, case, decision, tuple(differs))
