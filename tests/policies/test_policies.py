"""The cases written inside policies/*.yaml, each as a test of its own; and the reference is what the code says."""

import re
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import get_args

import pytest

from gateway import settings
from gateway.actions.table import VERBS
from gateway.app import load_rules
from gateway.errors import GatewayError
from gateway.model.decision import Decision
from gateway.model.facts import Already, Facts, Kind, RecipientFacts
from gateway.model.mail import Direction
from gateway.policy import cases
from gateway.policy.load import Known, load
from gateway.policy.reference import END, insert, markdown

ROOT = Path(__file__).parents[2]
POLICIES = ROOT / "policies"
BOUNCES = "bounces.yaml"  # joins the others once services have their mailboxes
ORDER = ("codes.yaml", "statements.yaml", "staff.yaml", BOUNCES, "inbound.yaml")
KNOWN = Known(
    clients=frozenset({"online-banking", "core-banking", "staff", "sealgate"}),
    signing_keys=frozenset({"otp", "statements", "staff"}),
    stampers=frozenset({"internal"}),
    escrow=frozenset(),
    services=frozenset({"codes", "statements"}),
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


def test_a_keyword_is_followed_or_the_mail_does_not_leave():
    """Property: the relay removes [seal] from the subject, so no rule may deliver such mail without an encryption.

    The one exception is a report (RFC 3464, 8098) of the null sender, which leaves without the returned mail.
    """
    assert RULES.keywords == {"seal"}
    nothing, both = frozenset(), frozenset(get_args(Already))
    senders = ("", "carla@bank.example", "eve@elsewhere.example")
    froms = (None, "staff@bank.example", "carla@bank.example", "eve@elsewhere.example")
    certificates = (cases.CERTIFICATES[name] for name in ("enrolled", "found", "absent", "unavailable"))
    to = RecipientFacts("anna@customer.example", Direction.OUTBOUND, segment=None, signer_customer=None)
    for sender, from_, kind, already, certificate in product(
            senders, froms, get_args(Kind), (nothing, *({one} for one in both), both), certificates):
        if not sender and kind in ("dsn", "mdn"):
            continue
        facts = Facts("staff", sender, from_, "x", 1, kind=kind, already=frozenset(already),
                      keywords=frozenset({"seal"}))
        decided = RULES.decide(facts, replace(to, certificate=certificate, enrolled=certificate))
        assert isinstance(decided, Decision)
        is_encrypted = any(step.verb == "encrypt" for step in decided.steps)
        assert is_encrypted or decided.end.kind != "deliver", (decided.rule, facts)


def test_the_documented_settings_carry_them(tmp_path):
    """conf/sealgate.yaml and policies/ are installed together: the names and facts of the rules are there."""
    shutil.copy(ROOT / "conf/sealgate.yaml", tmp_path)
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    loaded = load_rules(settings.load(tmp_path / "sealgate.yaml")).rules
    assert [one.name for one in loaded] == [one.name for one in RULES.rules if not one.name.startswith("bounces:")]


def test_with_their_mailboxes_the_services_have_their_rules(tmp_path):
    """As docs/bounces.md has it: two mailboxes, and one file more in the list; without a mailbox it does not load."""
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    conf = (ROOT / "conf/sealgate.yaml").read_text("utf-8")
    conf = conf.replace("policies/staff.yaml,", f"policies/staff.yaml, policies/{BOUNCES},")
    sections = {
        "codes": "codes: {from: otp@bank.example, secret_file: keys/codes.secret, bounces: codes@bank.example}\n",
        "statements": "statements: {from: statements@bank.example, secret_file: keys/statements.secret, "
                      "client: core-banking, bounces: bounces@bank.example}\n"}
    whole = settings.read(conf + "".join(sections.values()), tmp_path / "sealgate.yaml")
    assert [one.name for one in load_rules(whole).rules] == [one.name for one in RULES.rules]
    for name, section in sections.items():
        other = "".join(text for one, text in sections.items() if one != name)
        without = section.partition(", bounces")[0] + "}\n"
        with pytest.raises(GatewayError, match=f"the settings have no service `{name}`"):
            load_rules(settings.read(conf + other + without, tmp_path / "s.yaml"))


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
