"""What is explained is what was decided: the line that won is the rule of the decision, and each miss is a true one."""

from dataclasses import replace

import pytest

from gateway.actions.table import VERBS
from gateway.errors import Reason
from gateway.model.facts import Facts, NotAsked, RecipientFacts
from gateway.model.lookup import Conflict, Found, Loser, Unavailable
from gateway.model.mail import Direction
from gateway.policy.explain import certificate_line, explain
from gateway.policy.load import load
from gateway.policy.ruleset import RuleSet
from tests.unit.policy.test_recorded import CASES, ROW, RULES

FACTS = Facts(client="staff", sender="carla@bank.example", from_="carla@bank.example", subject="Hello", size=4000)
ANNA = RecipientFacts("anna@customer.example", Direction.OUTBOUND)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.place.rpartition("/")[2])
def test_the_line_that_won_is_the_rule_that_decided(case):
    told = explain(RULES, case.facts, case.to)
    deciding = [line.rule for line in told.rules if line.outcome in ("won", "waits")]
    assert deciding == [told.decision.rule]
    at = [line.rule for line in told.rules].index(told.decision.rule)
    assert {line.outcome for line in told.rules[:at]} <= {"missed"}
    assert all(line.matcher and line.expected and line.actual for line in told.rules[:at])
    assert {line.outcome for line in told.rules[at + 1 :]} <= {"not_reached"}


def test_the_first_matcher_that_failed():
    told = {line.rule: line for line in explain(RULES, FACTS, replace(ANNA, certificate=Unavailable())).rules}
    line = told["codes:otp"]
    assert (line.matcher, line.expected, line.actual) == ("client", "online-banking", "staff")
    assert line.place.endswith("codes.yaml:4:5")
    line = told["staff:seal"]
    assert (line.matcher, line.expected, line.actual) == ("keyword", "seal", "nothing")
    line = told["inbound:forged-as-us"]
    assert line.outcome == "not_reached"


def small(text: str) -> RuleSet:
    return load([("p.yaml", "version: 1\nrules:\n" + text + "otherwise: reject\n")], VERBS)


def test_combinations_in_words():
    set_ = small("""\
  - name: x
    when: {direction: outbound, any_of: [{kind: dsn}, {subject: "a*", size: {over: 1 MiB}}], none_of: [{client: other}]}
    end: hold
    cases: [{given: {direction: outbound, client: staff, kind: dsn}, expect: {end: hold}}]
""")
    (line, otherwise) = explain(set_, FACTS, ANNA).rules
    assert (line.matcher, line.expected) == ("any_of", "(kind dsn) or (subject a* and size over 1048576)")
    assert line.actual == "kind: normal; subject: Hello; size: 4000"
    assert otherwise.outcome == "won"


def test_what_is_not_known_is_told_apart():
    set_ = small("""\
  - name: x
    when: {direction: outbound, segment: private}
    end: hold
    cases: [{given: {segment: private}, expect: {end: hold}}]
""")
    told = explain(set_, FACTS, ANNA)
    assert (told.rules[0].outcome, told.rules[0].actual, told.rules[1].outcome) == (
        "needs",
        "not asked for",
        "not_reached",
    )
    told = explain(set_, FACTS, replace(ANNA, segment=Unavailable()))
    assert (told.rules[0].outcome, told.rules[0].actual) == ("waits", "unavailable")


def test_a_rule_that_would_lower_is_overruled():
    set_ = small("""\
  - name: word
    when: {direction: outbound, client: staff, keyword: go}
    end: deliver
    may_lower: true
    cases: [{given: {client: staff, keyword: go}, expect: {end: deliver}}]
  - name: kept
    when: {direction: outbound, client: staff}
    end: hold
    cases: [{given: {client: staff}, expect: {end: hold}}]
""")
    strict = RuleSet([replace(set_.files[0], rules=tuple(replace(rule, may_lower=False) for rule in set_.rules))], "")
    told = explain(strict, replace(FACTS, keywords=frozenset({"go"})), ANNA)
    assert [line.outcome for line in told.rules] == ["overruled", "won", "not_reached"]


def test_an_observed_rule_is_told():
    set_ = small("""\
  - name: trial
    mode: observe
    when: {direction: outbound}
    end: hold
    cases: [{given: {client: staff}, expect: {end: hold}}]
""")
    assert [line.outcome for line in explain(set_, FACTS, ANNA).rules] == ["observed", "won"]


def test_the_certificate_and_why_others_lost():
    line = certificate_line(Found((ROW,), enrolled=True, losers=(Loser(ROW, Reason.CERTIFICATE_DISPLACED),)))
    assert (line.state, line.chosen, line.losers) == (
        "enrolled",
        (("00", "store"),),
        (("00", "certificate.displaced"),),
    )
    assert certificate_line(Conflict(("1", "2"))).owners == ("1", "2")
    assert explain(RULES, FACTS, replace(ANNA, certificate=NotAsked())).certificate is None
