"""Why a mail's recipient is treated as it is: every rule with the first thing that failed, as data."""

from dataclasses import dataclass, replace
from typing import Literal

from gateway.model.decision import Decision, Needs
from gateway.model.facts import Facts, NotAsked, RecipientFacts
from gateway.model.lookup import Absent, CertificateAnswer, Conflict, Kept, LookedUp, Unavailable, Unusable, Want
from gateway.policy.conditions import All, Condition, Leaf, Not, actual, compiled, flat, leaves
from gateway.policy.resolve import used
from gateway.policy.ruleset import Program, RuleSet
from gateway.policy.truth import FALSE, NEEDED, TRUE, UNKNOWN

RuleOutcome = Literal["won", "missed", "waits", "needs", "observed", "overruled", "not_reached"]


@dataclass(frozen=True, slots=True)
class RuleLine:
    """One rule's part. `missed`: `matcher` with the expected and the actual value, in words.

    `waits`: it hangs on an unavailable fact; `needs`: on one that was not looked up; `observed`: it would have won;
    `overruled`: it matched, but would protect less by the mail writer's own words; `not_reached`: decided above it.
    """

    rule: str
    place: str
    outcome: RuleOutcome
    matcher: str = ""
    expected: str = ""
    actual: str = ""


@dataclass(frozen=True, slots=True)
class CertificateLine:
    """A look-up's answer. `chosen` and `losers`: (SHA-256 hex, source or reason). `want`: what was asked for."""

    state: str
    chosen: tuple[tuple[str, str], ...] = ()
    losers: tuple[tuple[str, str], ...] = ()
    owners: tuple[str, ...] = ()
    want: Want = "any"
    detail: str = ""


@dataclass(frozen=True, slots=True)
class SourceLine:
    """The own answer of one source of the look-up; `answer` None: it was not asked, for the reason in `note`."""

    source: str
    answer: CertificateLine | None
    kept: Kept = "asked"
    milliseconds: float = 0.0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One recipient's decision, or what must be looked up first, and how it came to it.

    `sources`: of the look-up in `certificate`, where the caller knows them.
    """

    recipient: str
    direction: str
    rules: tuple[RuleLine, ...]
    decision: Decision | Needs
    certificate: CertificateLine | None
    sources: tuple[SourceLine, ...] = ()


def explain(rules: RuleSet, facts: Facts, to: RecipientFacts) -> Explanation:
    """Decides and explains. `to` has every fact looked up that the rules asked for (else the decision is Needs)."""
    decision = rules.decide(facts, to)
    winner = decision.rule if isinstance(decision, Decision) else None
    overruled = {miss.rule for miss in decision.misses} if isinstance(decision, Decision) else set()
    lines: list[RuleLine] = []
    reached = True
    for program in rules.programs:
        line = _line(program, facts, to, winner, overruled) if reached else RuleLine(
            program.name, _place(program), "not_reached")
        reached = reached and line.outcome not in ("won", "waits", "needs")
        lines.append(line)
    return Explanation(to.address, str(to.direction), tuple(lines), decision, _looked_up(decision, to))


def _looked_up(decision: Decision | Needs, to: RecipientFacts) -> CertificateLine | None:
    """The look-up that the decision depends on, else one that a rule asked for."""
    answer = used(decision, to) if isinstance(decision, Decision) else NotAsked()
    if isinstance(answer, NotAsked):
        answer = to.enrolled if isinstance(to.certificate, NotAsked) else to.certificate
    if isinstance(answer, NotAsked):
        return None
    any_ = answer is to.certificate or isinstance(to.enrolled, NotAsked)
    return replace(certificate_line(answer), want="any" if any_ else "enrolled")


def _place(program: Program) -> str:
    return program.rule.place if program.rule is not None else ""


def _line(program: Program, facts: Facts, to: RecipientFacts, winner: str | None, overruled: set[str]) -> RuleLine:
    name, place = program.name, _place(program)
    parts = flat(program.rule.when) if program.rule is not None else ()
    unsure: tuple[int, Condition] | None = None
    for part in parts:
        truth = compiled(part)(facts, to)
        if truth == FALSE:
            # The winner may match by the other reading only: without the words of the mail's writer.
            if name == winner:
                return RuleLine(name, place, "won")
            return RuleLine(name, place, "missed", *in_words(part, facts, to))
        if truth > TRUE and (unsure is None or truth > unsure[0]):
            unsure = (truth, part)
    if unsure is not None and not (program.observe and unsure[0] == UNKNOWN):
        return RuleLine(name, place, "needs" if unsure[0] in NEEDED else "waits", *in_words(unsure[1], facts, to))
    if unsure is not None:
        return RuleLine(name, place, "missed", *in_words(unsure[1], facts, to))
    if program.observe:
        return RuleLine(name, place, "observed")
    if name in overruled and name != winner:
        return RuleLine(name, place, "overruled", "may_lower", "true", "the mail's own words would lower protection")
    return RuleLine(name, place, "won")


def in_words(part: Condition, facts: Facts, to: RecipientFacts) -> tuple[str, str, str]:
    """(matcher, the expected value, the actual value)."""
    if isinstance(part, Leaf):
        return part.label, part.expected, actual(part, facts, to)
    if isinstance(part, Not):
        return "none_of", expected(part), _actual_of(part, facts, to)
    return ("all_of" if isinstance(part, All) else "any_of"), expected(part), _actual_of(part, facts, to)


def expected(part: Condition) -> str:
    """A condition in words."""
    if isinstance(part, Leaf):
        return f"{part.label} {part.expected}"
    if isinstance(part, Not):
        return f"not ({expected(part.part)})"
    return (" and " if isinstance(part, All) else " or ").join(
        f"({expected(one)})" if not isinstance(one, Leaf) else expected(one) for one in part.parts)


def _actual_of(part: Condition, facts: Facts, to: RecipientFacts) -> str:
    return "; ".join(dict.fromkeys(f"{leaf.label}: {actual(leaf, facts, to)}" for leaf in leaves(part)))


def source_lines(looked_up: LookedUp) -> tuple[SourceLine, ...]:
    """Of each source, in the order in which they are asked."""
    return tuple(
        SourceLine(one.source, None if one.answer is None else certificate_line(one.answer), one.kept,
                   round(one.seconds * 1000, 3), one.note)
        for one in looked_up.sources)


def certificate_line(answer: CertificateAnswer) -> CertificateLine:
    """A look-up's answer with what was chosen and why others lost."""
    if isinstance(answer, Absent):
        return CertificateLine("absent")
    losers = tuple((loser.row.sha256, str(loser.reason)) for loser in answer.losers)
    if isinstance(answer, Unavailable):
        return CertificateLine("unavailable", losers=losers, detail=answer.detail)
    if isinstance(answer, Unusable):
        return CertificateLine("unusable", losers=losers)
    if isinstance(answer, Conflict):
        return CertificateLine("conflict", losers=losers, owners=answer.owners)
    chosen = tuple((row.sha256, row.source) for row in answer.rows)
    return CertificateLine("enrolled" if answer.enrolled else "found", chosen, losers)
