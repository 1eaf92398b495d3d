"""The cases written inside policies/*.yaml, each as a test of its own; and the reference is what the code says."""

from pathlib import Path

import pytest

from gateway.actions.table import VERBS
from gateway.policy import cases
from gateway.policy.load import Known, load
from gateway.policy.reference import END, insert, markdown

POLICIES = Path(__file__).parents[2] / "policies"
ORDER = ("codes.yaml", "statements.yaml", "staff.yaml", "inbound.yaml")
KNOWN = Known(
    clients=frozenset({"online-banking", "core-banking", "staff"}),
    signing_keys=frozenset({"otp", "statements", "staff"}),
    stampers=frozenset({"internal"}),
    escrow=frozenset(),
)
RULES = load([(f"policies/{name}", (POLICIES / name).read_text("utf-8")) for name in ORDER], VERBS, KNOWN)
RAN = cases.run(RULES)


@pytest.mark.parametrize("result", RAN.results, ids=lambda result: f"{result.rule}-{result.case.number}")
def test_case(result):
    assert not result.differs, f"{result.case.place}: {result.differs}"


def test_every_rule_decides_a_case():
    assert [rule.name for rule in RULES.rules if not RAN.hits[rule.name]] == []


def test_all_policy_files_are_tested():
    assert {path.name for path in POLICIES.glob("*.yaml")} == set(ORDER)


def test_the_reference_is_current():
    readme = (POLICIES / "README.md").read_text("utf-8")
    assert insert(readme, VERBS) == readme, "renew it: `sealgate policy verbs --markdown` prints the generated part"


def test_a_reference_without_its_marks_is_refused():
    with pytest.raises(ValueError, match="marks"):
        insert(markdown(VERBS).replace(END, ""), VERBS)
