"""Recorded facts decided again under other rules: what would have gone differently. Never bodies, they are not kept."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from gateway.model.decision import Decision
from gateway.model.record import EvidenceRecord
from gateway.policy.recorded.facts import from_record
from gateway.policy.ruleset import RuleSet

Outcome = Literal["same", "differs", "undecided", "unreadable"]


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision as records show it: rule, verbs in the order of sealing, end."""

    rule: str
    steps: tuple[str, ...]
    end: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """One record decided again. `same`: same verbs, same end (the rule may be another).

    `undecided`: the other rules ask for `needs`, which was never looked up. `cut`: not all facts were kept.
    `unreadable`: the record's facts are of another make; `after` is None for these two.
    """

    outcome: Outcome
    at: datetime
    incident: str
    recipient: str
    before: Decided
    after: Decided | None = None
    needs: str | None = None
    cut: bool = False


def replay(records: Iterable[EvidenceRecord], rules: RuleSet) -> Iterator[Replayed]:
    """One Replayed for each record, in their order, one at a time."""
    for record in records:
        if record.rule:  # else the mail was stopped before any rule was asked
            yield _one(record, rules)


def _one(record: EvidenceRecord, rules: RuleSet) -> Replayed:
    # An operator's release is no rule's doing: the rule's own end is compared.
    before = Decided(record.rule, record.steps, str(record.facts.get("released_from") or record.end))
    common = (record.at, record.incident, record.recipient, before)
    try:
        recorded = from_record(record.facts)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return Replayed("unreadable", *common)
    decision = rules.decide(recorded.facts, recorded.to)
    if not isinstance(decision, Decision):
        return Replayed("undecided", *common, needs=decision.fact, cut=recorded.cut)
    after = Decided(decision.rule, tuple(step.verb for step in decision.steps), decision.end.kind)
    outcome: Outcome = "same" if (after.steps, after.end) == (before.steps, before.end) else "differs"
    return Replayed(outcome, *common, after=after, cut=recorded.cut)
