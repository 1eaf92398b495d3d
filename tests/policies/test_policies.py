"""The cases written inside policies/*.yaml, each as a test of its own; and the reference is what the code says."""

import re
import shutil
from pathlib import Path

import pytest

from gateway import settings
from gateway.actions.table import VERBS
from gateway.app import load_rules
from gateway.policy import cases
from gateway.policy.load import Known, load
from gateway.policy.reference import END, insert, markdown

ROOT = Path(__file__).parents[2]
POLICIES = ROOT / "policies"
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


def test_the_documented_settings_carry_them(tmp_path):
    """conf/sealgate.yaml and policies/ are installed together: the names and facts of the rules are there."""
    shutil.copy(ROOT / "conf/sealgate.yaml", tmp_path)
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    assert len(load_rules(settings.load(tmp_path / "sealgate.yaml")).rules) == len(RULES.rules)


def test_the_configuration_of_the_deployment_page_carries_its_rules(tmp_path):
    page = (ROOT / "docs/deploy.md").read_text("utf-8")
    text = re.search(r"sealgate.yaml <<'EOF'\n(version: 1\n.*?)^EOF$", page, re.DOTALL | re.MULTILINE)[1]
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    assert load_rules(settings.read(text, tmp_path / "sealgate.yaml")).rules


def test_the_reference_is_current():
    readme = (POLICIES / "README.md").read_text("utf-8")
    assert insert(readme, VERBS) == readme, "renew it: `sealgate policy verbs --markdown` prints the generated part"


def test_a_reference_without_its_marks_is_refused():
    with pytest.raises(ValueError, match="marks"):
        insert(markdown(VERBS).replace(END, ""), VERBS)
