"""What was read out of policy files, and what they may name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.errors import Reason
from gateway.model.decision import End, Step
from gateway.model.facts import Facts, RecipientFacts
from gateway.model.mail import Direction
from gateway.policy.conditions import Condition, Leaf, flat, leaves
from gateway.policy.values import Texts
from gateway.strictyaml import Document, Path

Mode = Literal["enforce", "observe"]


@dataclass(frozen=True, slots=True)
class Known:
    """Names of the settings that rules may use. None: not known here, any name passes.

    `signing_keys`: key sets with purpose sign; `escrow`: escrow certificates; `services`: those that are configured.
    `fallbacks`: values of `without_certificate` that are configured.
    `unsupplied`: matcher to the reason why nothing configured supplies its fact.
    """

    clients: frozenset[str] | None = None
    signing_keys: frozenset[str] | None = None
    stampers: frozenset[str] | None = None
    escrow: frozenset[str] | None = None
    services: frozenset[str] | None = None
    fallbacks: frozenset[str] | None = None
    unsupplied: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a case expects; None: not asked. `rule` is FILE:NAME, the case's own unless another one is named."""

    rule: str
    then: tuple[str, ...] | None = None
    end: str | None = None
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """Facts as given, and what is expected. `place` is file:line:column; `number` counts from 1 in its rule."""

    facts: Facts
    to: RecipientFacts
    expect: Expected
    place: str
    number: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `name` is FILE:NAME."""

    name: str
    when: Condition
    steps: tuple[Step, ...]
    end: End
    path: Path
    place: str
    mode: Mode = "enforce"
    may_lower: bool = False
    cases: tuple[Case, ...] = ()

    @property
    def by_word(self) -> bool:
        """Whether anything that the mail's writer wrote decides here."""
        return any(leaf.matcher.by_word for leaf in leaves(self.when))

    @property
    def directions(self) -> frozenset[Direction]:
        """Of the recipients that it can match."""
        allowed = frozenset({Direction.OUTBOUND, Direction.INBOUND, Direction.INTERNAL})
        for part in flat(self.when):
            if isinstance(part, Leaf) and part.matcher.name == "direction" and isinstance(part.values, Texts):
                named = frozenset(map(Direction, part.values.literals))
                allowed = allowed - named if part.negated else allowed & named
            elif isinstance(part, Leaf) and part.matcher.name == "client" and not part.negated:
                allowed -= {Direction.INBOUND}
        return allowed


@dataclass(frozen=True, slots=True)
class Otherwise:
    """What decides when no rule of the file matched. `outcome` None: the next file does."""

    outcome: tuple[tuple[Step, ...], End] | None
    path: Path


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """One file as read. `label` is its name without folder and suffix, as decisions show it."""

    label: str
    document: Document
    mode: Mode
    rules: tuple[Rule, ...]
    otherwise: Otherwise
