"""Checks of a set of rules that prevent loading, besides unknown words.

1. In each rule: verbs that need each other, keys that need a client, facts and verbs of the right direction.
2. Between files: the last file must decide all mail, and no earlier file may.
3. Between rules: no rule is covered by an earlier one.
4. Every rule wins a case of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from gateway.model.decision import Decision, End, Needs, Step
from gateway.model.fallbacks import FALLBACKS
from gateway.model.mail import Direction
from gateway.policy import cases
from gateway.policy.conditions import Leaf, flat, implies, leaves
from gateway.policy.rules import PolicyFile, Rule
from gateway.policy.ruleset import RuleSet
from gateway.policy.verbs import VerbSpec
from gateway.strictyaml import Path, Problem

# A verb, what it needs beside it, and why.
_NEEDS_BESIDE = (
    ("encrypt", "sign", "an encrypted mail without signature proves no sender"),
    ("stamp", "sign", "the time-stamp is made over the signature"),
    ("protect_headers", "sign", "header fields are protected by the signature"),
    ("escrow", "encrypt", "it adds a recipient to the encryption"),
)


def every_rule(files: Iterable[PolicyFile], verbs: Mapping[str, VerbSpec]) -> list[Problem]:
    """1, for all files."""
    problems: list[Problem] = []
    for file in files:
        for rule in file.rules:
            problems += _verbs(file, rule.steps, rule.end, rule.path) + _handed(file, rule)
            problems += _client(file, rule) + _directions(file, rule, verbs)
        if file.otherwise.outcome is not None:
            steps, end = file.otherwise.outcome
            problems += _verbs(file, steps, end, file.otherwise.path)
            if end.kind == "hand_to":
                problems.append(file.document.problem(
                    file.otherwise.path, "`otherwise` cannot use `hand_to`, because it applies to every mail",
                    "write a rule with `direction: inbound` and `recipient`", key=True))
            if any(step.verb == "sign" for step in steps):
                problems.append(file.document.problem(
                    (*file.otherwise.path, "then", "sign"),
                        "`otherwise` cannot sign, because it applies to every client",
                    "write a rule with `client` in `when`", key=True))
    return problems


def _verbs(file: PolicyFile, steps: Sequence[Step], end: End, path: Path) -> list[Problem]:
    problems = []
    names = {step.verb for step in steps}
    for verb, beside, why in _NEEDS_BESIDE:
        if verb in names and beside not in names:
            problems.append(file.document.problem((*path, "then", verb), f"`{verb}` needs `{beside}`: {why}",
                                                  f"add `{beside}`", key=True))
    fallbacks = (FALLBACKS.get(step.params.without_certificate) for step in steps if step.verb == "encrypt")
    fallback = next(fallbacks, None)
    if fallback is not None and fallback.encrypts and "escrow" in names:
        problems.append(file.document.problem(
            (*path, "then", "escrow"), f"`escrow` cannot be combined with `without_certificate: {fallback.name}`: its "
            "holder cannot open that mail",
            "write two rules: one with a certificate, one with `certificate: absent` and no `escrow`", key=True))
    if steps and end.kind in ("reject", "defer", "hand_to"):
        problems.append(file.document.problem((*path, "then"), f"`then` has no effect if `end` is {end.kind}",
                                              "remove one of the two", key=True))
    return problems


def _handed(file: PolicyFile, rule: Rule) -> list[Problem]:
    """A service must only get inbound mail to its own mailbox: other mail would be lost there."""
    if rule.end.kind != "hand_to":
        return []
    if rule.directions and not rule.directions <= frozenset({Direction.INBOUND}):
        return [file.document.problem((*rule.path, "end"), "`hand_to` is only possible for inbound mail",
                                      "add `direction: inbound`", key=True)]
    if any(isinstance(part, Leaf) and part.matcher.name == "recipient" and not part.negated
           for part in flat(rule.when)):
        return []
    return [file.document.problem((*rule.path, "end"), "`hand_to` needs `recipient` in `when`",
                                  "add `recipient` with the service's mailbox: mail for a service goes nowhere else",
                                  key=True)]


def _client(file: PolicyFile, rule: Rule) -> list[Problem]:
    """Without a client, any host of the bank could get the bank's signature."""
    if not any(step.verb == "sign" for step in rule.steps):
        return []
    if any(isinstance(part, Leaf) and part.matcher.name == "client" and not part.negated for part in flat(rule.when)):
        return []
    return [file.document.problem((*rule.path, "then", "sign"), "`sign` needs `client` in `when`",
                                  "add `client` with the clients whose mail is signed", key=True)]


def _directions(file: PolicyFile, rule: Rule, verbs: Mapping[str, VerbSpec]) -> list[Problem]:
    if not rule.directions:
        return [file.document.problem((*rule.path, "when"), "no mail can have this client and this direction",
                                      "remove one of the two: inbound mail has no client")]
    problems = []
    by_matcher = {leaf.matcher.name: leaf.matcher.directions for leaf in leaves(rule.when)}
    for name, allowed in by_matcher.items():
        if not rule.directions <= allowed:
            written = name.partition(".")[0]
            problems.append(file.document.problem(
                (*rule.path, "when", written),
                    f"`{written}` is never known for {_words(rule.directions - allowed)} mail",
                _direction_remedy(allowed), key=True))
    for step in rule.steps:
        can = verbs[step.verb].directions
        if not rule.directions <= can:
            text = f"`{step.verb}` is not possible for {_words(rule.directions - can)} mail"
            path = (*rule.path, "then", step.verb)
            problems.append(file.document.problem(path, text, _direction_remedy(can), key=True))
    return list(dict.fromkeys(problems))


def _words(directions: Iterable[Direction]) -> str:
    return " or ".join(sorted(directions))


def _direction_remedy(allowed: frozenset[Direction]) -> str:
    words = sorted(allowed)
    return f"add `direction: {words[0] if len(words) == 1 else '[' + ', '.join(words) + ']'}`"


def last_words(files: Sequence[PolicyFile]) -> list[Problem]:
    """2."""
    problems = []
    for file, after in pairwise(files):
        if file.otherwise.outcome is not None and file.mode == "enforce":
            problems.append(file.document.problem(
                file.otherwise.path, f"`otherwise` decides all mail, so the next file {after.label} is never used",
                "write `otherwise: next_file`, or put this file last", key=True))
    if files and files[-1].otherwise.outcome is None:
        problems.append(files[-1].document.problem(
            files[-1].otherwise.path, "`otherwise` of the last file cannot be next_file: it must decide all mail",
            "write `otherwise: reject` or `otherwise: deliver`, or put this file before another one", key=True))
    elif files and files[-1].mode == "observe":
        problems.append(files[-1].document.problem(
            ("mode",), "the last file cannot have `mode: observe`, because it must decide all mail",
            "set the mode in its rules, or add another file after it", key=True))
    return problems


def covered(files: Iterable[PolicyFile]) -> list[Problem]:
    """3. Only rules that are enforced hide others."""
    problems = []
    earlier: list[Rule] = []
    for file in files:
        for rule in file.rules:
            wide = next((one for one in earlier if implies(rule.when, one.when)), None)
            if wide is not None:
                text = f"rule `{rule.name}` is never reached: `{wide.name}` ({wide.place}) matches all its mail"
                problems.append(file.document.problem(rule.path, text, "put the narrower rule before the wider one"))
            if rule.mode == "enforce":
                earlier.append(rule)
    return problems


def unreached(rules: RuleSet) -> list[Problem]:
    """4, and cases that lack a fact which the rules need."""
    problems = []
    won: dict[str, list[cases.CaseResult]] = {}
    for result in cases.run(rules).results:
        won.setdefault(result.rule, []).append(result)
        if isinstance(result.decision, Needs):
            problems.append(Problem(result.case.place, f"the case does not give `{_fact(result.decision)}`, "
                                    "which the rules need", f"add it to `given`: {_fact_remedy(result.decision)}"))
    for rule in rules.rules:
        results = won.get(rule.name, [])
        if not any(result.wins or isinstance(result.decision, Needs) for result in results):
            winners = ", ".join(f"case {one.case.number} is decided by {_winner(one.decision)}" for one in results)
            problems.append(Problem(rule.place, f"rule `{rule.name}` decides none of its own cases: {winners}",
                                    _lowering_remedy(rule, results)))
    return problems


def _winner(decision: Decision | Needs) -> str:
    return decision.rule if isinstance(decision, Decision) else "no rule"


def _lowering_remedy(rule: Rule, results: Iterable[cases.CaseResult]) -> str:
    misses = (miss for one in results if isinstance(one.decision, Decision) for miss in one.decision.misses)
    if any(miss.rule == rule.name and miss.matcher == "may_lower" for miss in misses):
        return "the mail's own words can only raise protection; add `may_lower: true` to the rule if it may lower it"
    return "correct the case, or move the rule before the one that decides it"


def _fact(needs: Needs) -> str:
    return "signer.customer" if needs.fact == "signer_customer" else needs.fact


def _fact_remedy(needs: Needs) -> str:
    return f"`{_fact(needs)}: {' | '.join(cases.CERTIFICATE_WORDS) if needs.fact == 'certificate' else '…'}`"
