"""`when` as a tree: compiled to closures for speed, read for explaining and for finding rules that cover others."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from gateway.model.facts import Facts, RecipientFacts
from gateway.model.mailbox import has_spellings, spellings
from gateway.policy.matchers import NO_FROM, Getter, Matcher, enrolled
from gateway.policy.truth import FALSE, TRUE, UNKNOWN, Test, both, either, negation
from gateway.policy.values import Texts, Values, fold

_ENROLLED: Final = Texts(frozenset({"enrolled"}))


@dataclass(frozen=True, slots=True)
class Leaf:
    """One fact compared with values. `key`: the header field or the method, '' elsewhere."""

    matcher: Matcher
    values: Values
    negated: bool = False
    key: str = ""

    @property
    def label(self) -> str:
        """As it is written: 'from', 'header X-Class', 'authentication dmarc'."""
        return f"{self.matcher.name} {self.key}" if self.key else self.matcher.name

    @property
    def expected(self) -> str:
        """The values in words."""
        return f"not {self.values}" if self.negated else str(self.values)


@dataclass(frozen=True, slots=True)
class All:
    """Every part."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Any_:  # noqa: N801 - Any is typing's
    """At least one part."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: "Condition"


Condition = Leaf | All | Any_ | Not


def leaves(condition: Condition) -> Iterator[Leaf]:
    """All leaves, from the left."""
    if isinstance(condition, Leaf):
        yield condition
    elif isinstance(condition, Not):
        yield from leaves(condition.part)
    else:
        for part in condition.parts:
            yield from leaves(part)


def cost(condition: Condition) -> int:
    """What it costs to ask, for asking cheap things first."""
    return max(leaf.matcher.cost for leaf in leaves(condition))


def flat(condition: Condition) -> tuple[Condition, ...]:
    """The conditions that must all hold, cheap ones first; ties as written."""
    parts = condition.parts if isinstance(condition, All) else (condition,)
    inner = (one for part in parts for one in (flat(part) if isinstance(part, All) else (part,)))
    return tuple(sorted(inner, key=cost))


def compiled(condition: Condition) -> Test:
    """The condition as one closure."""
    if isinstance(condition, Leaf):
        test = _leaf_test(condition)
        return negation(test) if condition.negated else test
    if isinstance(condition, Not):
        return negation(compiled(condition.part))
    if isinstance(condition, All):
        return both(tuple(map(compiled, flat(condition))))
    return either(tuple(compiled(part) for part in sorted(condition.parts, key=cost)))


def getter(leaf: Leaf) -> Getter:
    """What gives the leaf's fact."""
    key = leaf.key.lower()
    if leaf.matcher.shape == "header":
        return lambda facts, _: facts.headers.get(key, ())
    if leaf.matcher.shape == "authentication":
        return lambda facts, _: facts.authentication.get(key, "none")
    if leaf.matcher.fact == "certificate" and leaf.values == _ENROLLED:
        return enrolled
    if words := _no_from(leaf):  # a glob such as `*` never means such a word
        return lambda facts, _: facts.from_ or (facts.no_from if facts.no_from in words else None)
    return leaf.matcher.get


def _no_from(leaf: Leaf) -> frozenset[str]:
    """Which of the words for a From that is no address the leaf asks for."""
    if leaf.matcher.name != "from" or not isinstance(leaf.values, Texts):
        return frozenset()
    return leaf.values.literals.intersection(NO_FROM)


def _leaf_test(leaf: Leaf) -> Test:
    """The leaf without its negation."""
    test = _fact_test(leaf)
    return _in_any_spelling(test, leaf) if leaf.matcher.shape == "address" else test


def _in_any_spelling(test: Test, leaf: Leaf) -> Test:
    """Of an address: an internationalised domain is the same domain, however rule and mail write it.

    A recipient is also whom servers make of its letters (a full-width `a`, KELVIN SIGN): the mail goes there.
    """
    get, of_recipient = leaf.matcher.get, leaf.matcher.name == "recipient"
    match: Any = leaf.values.test

    def spelled(facts: Facts, to: RecipientFacts) -> int:
        if of_recipient and to.spellings and any(match(one) for one in to.spellings):
            return TRUE
        truth = test(facts, to)
        if truth == FALSE and (address := get(facts, to)) and has_spellings(address):
            return TRUE if any(match(one) for one in spellings(address)) else FALSE
        return truth
    return spelled


def _fact_test(leaf: Leaf) -> Test:
    """The test of the leaf's one fact: as little work as it allows."""
    get, values = getter(leaf), leaf.values
    if not leaf.matcher.single:
        return _several(get, values)
    if leaf.matcher.shape == "words" and isinstance(values, Texts):
        words = values.literals

        def word(facts: Facts, to: RecipientFacts) -> int:
            value = get(facts, to)
            if value.__class__ is int:
                return int(value)
            return TRUE if value is not None and fold(value) in words else FALSE
        return word
    if isinstance(values, Texts) and not values.needs_patterns:
        return _ends(get, values.literals, values.suffixes)
    match: Any = values.test

    def single(facts: Facts, to: RecipientFacts) -> int:
        value = get(facts, to)
        return TRUE if value is not None and match(value) else FALSE
    return single


def _ends(get: Getter, literals: frozenset[str], suffixes: tuple[str, ...]) -> Test:
    """Literals and globs of the form `*text`: what most rules ask of addresses."""
    def ends(facts: Facts, to: RecipientFacts) -> int:
        value = get(facts, to)
        if value is None:
            return FALSE
        value = fold(value)
        return TRUE if value in literals or value.endswith(suffixes) else FALSE

    def among(facts: Facts, to: RecipientFacts) -> int:
        value = get(facts, to)
        return TRUE if value is not None and fold(value) in literals else FALSE
    return ends if suffixes else among


def _several(get: Getter, values: Values) -> Test:
    match: Any = values.test

    def several(facts: Facts, to: RecipientFacts) -> int:
        value = get(facts, to)
        if value.__class__ is int:
            return int(value)
        for one in value:
            if match(one):
                return TRUE
        return FALSE
    return several


def implies(narrow: Condition, wide: Condition) -> bool:
    """Whether `wide` certainly holds wherever `narrow` does. False where that is not certain."""
    if isinstance(wide, All):  # the last parts are usually the telling ones, behind direction and client
        return all(implies(narrow, part) for part in reversed(wide.parts))
    if isinstance(narrow, Any_):
        return all(implies(part, wide) for part in narrow.parts)
    if isinstance(wide, Any_) and any(implies(narrow, part) for part in wide.parts):
        return True
    if isinstance(narrow, All):
        return any(implies(part, wide) for part in narrow.parts if not _strangers(part, wide))
    if isinstance(narrow, Not) and isinstance(wide, Not):
        return implies(wide.part, narrow.part)
    return isinstance(narrow, Leaf) and isinstance(wide, Leaf) and _leaf_implies(narrow, wide)


def _strangers(one: Condition, other: Condition) -> bool:
    """Two leaves about different facts: neither says anything of the other."""
    return isinstance(one, Leaf) and isinstance(other, Leaf) and one.matcher is not other.matcher


def _leaf_implies(narrow: Leaf, wide: Leaf) -> bool:
    if (narrow.matcher.name, narrow.key.lower()) != (wide.matcher.name, wide.key.lower()):
        return False
    mine: Any = narrow.values
    theirs: Any = wide.values
    if narrow.negated:
        return wide.negated and bool(mine.covers(theirs)) and _no_from(wide) <= _no_from(narrow)
    if wide.negated:
        return narrow.matcher.single and bool(theirs.excludes(mine))
    return bool(theirs.covers(mine)) and _no_from(narrow) <= _no_from(wide)


def actual(leaf: Leaf, facts: Facts, to: RecipientFacts) -> str:
    """The leaf's fact in words."""
    value = getter(leaf)(facts, to)
    if value.__class__ is int and leaf.matcher.shape != "size":
        return "unavailable" if value == UNKNOWN else "not asked for"
    if leaf.matcher.shape == "signer":
        return "; ".join(f"level {' '.join(levels) or 'none'}, matches_from {str(matches).lower()}"
                         for levels, matches in value) or "no valid signer"
    if isinstance(value, tuple | frozenset):
        return ", ".join(sorted(map(str, value))) or "nothing"
    return "nothing" if value is None or value == "" else str(value)
