"""Deciding: the first rule that matches, for every recipient.

1. Rules are read from the top, file by file; a file's `otherwise` is its last word.
2. A rule that depends on a fact which is unavailable defers the recipient; it never falls through to a weaker one.
3. A rule that depends on a fact which was not looked up yet gives Needs.
4. A rule in `mode: observe` that matches is noted beside the decision and changes nothing.
5. What the mail's writer wrote (keyword, subject, header) may raise protection only: the decision is held against the
   one without those words, and the stronger one counts, unless the rule says `may_lower`. An `otherwise` that lets
   nothing out is no protection that a rule chose: a mail that is surely signed and encrypted may pass it.
6. A decision that encrypts is settled with the recipient's certificate (policy.resolve).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway.errors import Reason
from gateway.model.decision import Decision, End, Miss, Needs
from gateway.model.facts import Facts, RecipientFacts
from gateway.model.mail import Direction
from gateway.policy.conditions import Leaf, compiled, flat, leaves
from gateway.policy.resolve import lowers, sealed, with_certificate
from gateway.policy.rules import PolicyFile, Rule
from gateway.policy.truth import FALSE, NEEDED, TRUE, UNKNOWN, Test
from gateway.policy.values import Texts

_FOREIGN: Final = Decision("", (), End("reject"), reason=Reason.RECIPIENT_NOT_OURS)
_END_REASONS: Final = {"reject": Reason.POLICY_REJECTED, "hold": Reason.POLICY_HELD, "defer": Reason.POLICY_DEFERRED,
                       "quarantine": Reason.POLICY_QUARANTINED}
_NOBODY: Final = "\0"  # a client that no rule names


@dataclass(frozen=True, slots=True)
class Program:
    """A rule, or a file's `otherwise` (`rule` None), ready to run: all `tests` must hold."""

    name: str
    tests: tuple[Test, ...]
    decision: Decision
    observe: bool = False
    rule: Rule | None = None
    after_word: bool = False  # it or a rule above it hangs on what the mail's writer wrote


class RuleSet:
    """The rules in force. `digest`: SHA-256, hex, over names and texts of the files in their order.

    `keywords`: the words that rules ask for, folded; they are taken out of subjects before signing.
    """

    def __init__(self, files: Sequence[PolicyFile], digest: str) -> None:
        self.files = tuple(files)
        self.digest = digest
        self.rules = tuple(rule for file in files for rule in file.rules)
        every = [leaf for rule in self.rules for leaf in leaves(rule.when)]
        self.keywords = _words(every, "keyword")
        self._reads_text = any(leaf.matcher.name in ("subject", "header") for leaf in every)
        self._clients = _words(every, "client")
        self.programs = tuple(_programs(files))
        self._tables = {(direction, client): self._table(direction, client)
                        for direction in (Direction.OUTBOUND, Direction.INBOUND, Direction.INTERNAL)
                        for client in (None, _NOBODY, *self._clients)}

    def decide(self, facts: Facts, to: RecipientFacts) -> Decision | Needs:
        """One recipient's decision, or the fact that must be looked up first. Never raises, does no look-up."""
        if to.direction is Direction.FOREIGN:
            return _FOREIGN
        found = self._first(facts, to)
        if isinstance(found, Needs):
            return found
        program, decision = found
        if program.after_word and (self._reads_text or not self.keywords.isdisjoint(facts.keywords)):
            raised = self._never_lower(facts, to, program, decision)
            if isinstance(raised, Needs):
                return raised
            decision = raised
        settled = with_certificate(decision, to)
        return self._with_observed(settled, to) if decision.observed else settled

    def _first(self, facts: Facts, to: RecipientFacts) -> tuple[Program, Decision] | Needs:
        """Steps 1 to 4."""
        client = facts.client if facts.client is None or facts.client in self._clients else _NOBODY
        observed: tuple[Decision, ...] = ()
        for program in self._tables[to.direction, client]:
            truth = TRUE
            for test in program.tests:
                one = test(facts, to)
                if one != TRUE:
                    if one == FALSE:
                        truth = FALSE
                        break
                    truth = max(truth, one)
            if truth == FALSE:
                continue
            if truth > UNKNOWN:
                return NEEDED[truth]
            if program.observe:
                observed += (program.decision,) if truth == TRUE else ()
                continue
            decision = program.decision if truth == TRUE else Decision(
                program.name, (), End("defer"), reason=Reason.POLICY_FACT_UNAVAILABLE)
            return program, replace(decision, observed=observed) if observed else decision
        # Loading refuses a set without a last word; a mail that nevertheless comes here stays.
        no_rule = Decision("", (), End("defer"), reason=Reason.POLICY_NO_RULE, observed=observed)
        return Program("", (), no_rule), no_rule

    def _never_lower(self, facts: Facts, to: RecipientFacts, program: Program, decision: Decision) -> Decision | Needs:
        """Step 5."""
        silent = self._first(replace(facts, keywords=frozenset(), subject="", headers={}), to)
        if isinstance(silent, Needs):
            return silent
        without, base = silent
        if without is program or not lowers(decision, base) or (without.rule is None and sealed(decision)):
            return decision
        if program.rule is not None and program.rule.may_lower:
            return replace(decision, lowered_from=base.rule)
        miss = Miss(program.name, "may_lower", f"no less than {base.rule}", "less, by words in the mail")
        return replace(base, observed=decision.observed, misses=(miss,))

    @staticmethod
    def _with_observed(settled: Decision | Needs, to: RecipientFacts) -> Decision | Needs:
        """What observed rules would have done is settled with the certificate too, or it would not be the truth."""
        if isinstance(settled, Needs):
            return settled
        observed = []
        for one in settled.observed:
            what = with_certificate(one, to)
            if isinstance(what, Needs):
                return what
            observed.append(what)
        return replace(settled, observed=tuple(observed))

    def _table(self, direction: Direction, client: str | None) -> tuple[Program, ...]:
        """The programs that this direction and client leave, without the tests that these two have answered."""
        facts, to = Facts(client, "", None, "", 0), RecipientFacts("", direction)
        table = []
        for program in self.programs:
            parts = flat(program.rule.when) if program.rule is not None else ()
            answered = tuple(part for part in parts
                             if isinstance(part, Leaf) and part.matcher.name in ("direction", "client"))
            if all(compiled(part)(facts, to) == TRUE for part in answered):
                rest = tuple(test for part, test in zip(parts, program.tests, strict=True) if part not in answered)
                table.append(replace(program, tests=rest))
        return tuple(table)


def _programs(files: Iterable[PolicyFile]) -> Iterable[Program]:
    after_word = False
    for file in files:
        for rule in file.rules:
            after_word = after_word or rule.by_word
            decision = Decision(rule.name, rule.steps, rule.end, reason=_END_REASONS.get(rule.end.kind))
            tests = tuple(map(compiled, flat(rule.when)))
            yield Program(rule.name, tests, decision, rule.mode == "observe", rule, after_word)
        if file.otherwise.outcome is not None:
            steps, end = file.otherwise.outcome
            name = f"{file.label}:otherwise"
            yield Program(name, (), Decision(name, steps, end, reason=_END_REASONS.get(end.kind)),
                          file.mode == "observe", after_word=after_word)


def _words(every: Iterable[Leaf], matcher: str) -> frozenset[str]:
    return frozenset(word for leaf in every if leaf.matcher.name == matcher and isinstance(leaf.values, Texts)
                     for word in leaf.values.literals)
