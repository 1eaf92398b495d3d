"""Recorded facts decided by other rules, and counts of what `mode: observe` recorded. Bodies are not recorded."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

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


@dataclass(frozen=True, slots=True)
class ObservedCount:
    """The number of recipients of one direction with one outcome of the dry run.

    `fate`: sealed, signed, unsealed, opened, delivered, served, refused, held, deferred.
    `why`: the dotted Reason, '' for none; `rule`: the one that decided, '' if none was asked.
    """

    direction: str
    fate: str
    why: str
    rule: str
    recipients: int


def observed_counts(records: Iterable[EvidenceRecord]) -> tuple[ObservedCount, ...]:
    """The most frequent first, within each direction."""
    counts = Counter((one.direction, _fate(one, would), " ".join(would["reasons"]), one.rule)
                     for one in records if (would := _would(one)) is not None)
    return tuple(ObservedCount(*what, number) for what, number in sorted(
        counts.items(), key=lambda item: (item[0][0], -item[1], item[0])))


def _would(record: EvidenceRecord) -> dict[str, Any] | None:
    """The outcome of the dry run: `settled` and `reasons`; None for a mail of the live gateway."""
    would = record.facts.get("would")
    return would if isinstance(would, dict) and {"settled", "reasons"} <= would.keys() else None


def _fate(record: EvidenceRecord, would: dict[str, Any]) -> str:
    settled = str(would["settled"])
    if settled in ("refused", "held", "served"):
        return settled
    if settled == "later":
        return "deferred"
    if record.direction == "outbound":
        return "sealed" if "encrypt" in record.steps else "signed" if "sign" in record.steps else "unsealed"
    verdicts = record.facts.get("verdicts")
    return "opened" if verdicts is not None and verdicts["decryption"][0] == "decrypted" else "delivered"
