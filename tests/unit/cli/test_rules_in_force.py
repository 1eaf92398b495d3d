"""Commands that send mail decide by the policy set in force, not by files that nobody has reloaded or approved.

Truth: docs/four-eyes.md, "Policies".
"""

import ast
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.app import Gateway
from gateway.cli.main import application
from gateway.clock import SystemClock
from gateway.model.audit.actor import Actor, acting
from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.model.outcome import Settled
from gateway.settings import load
from tests.support.process import ROOT, new_bank
from tests.support.smtp import Hop

app = application([])
SECRET = b"The planted secret."
MAIL = (b"From: statements@bank.example\r\nTo: anna@customer.example\r\nSubject: letter\r\n"
        b"Message-ID: <1@bank.example>\r\n\r\n" + SECRET + b"\r\n")
HELD = """
version: 1
rules:
  - name: letters
    when: {direction: outbound, client: core-banking, from: statements@bank.example, subject: "letter*"}
    may_lower: true
    then: {sign: {with: statements}, encrypt: {certificates: enrolled, without_certificate: reject}}
    end: hold
    cases:
      - given: {client: core-banking, from: statements@bank.example, subject: letter, certificate: enrolled}
        expect: {end: hold}
otherwise: next_file
"""
CLEAR = """
version: 1
rules:
  - name: letters
    when: {direction: outbound, client: core-banking, from: statements@bank.example, subject: "letter*"}
    may_lower: true
    end: deliver
    cases:
      - given: {client: core-banking, from: statements@bank.example, subject: letter}
        expect: {end: deliver}
otherwise: next_file
"""


@pytest.fixture
def hop():
    with Hop() as one:
        yield one


@pytest.fixture
def policy(tmp_path, monkeypatch, hop) -> Path:
    """The file of a rule in force that holds a mail and then seals it; the mail is held."""
    bank = new_bank(tmp_path / "bank", hop=hop.port,
                    change=lambda text: text.replace("policies: [", "policies: [policies/letters.yaml, "))
    path = bank.home / "policies" / "letters.yaml"
    path.write_text(HELD)
    monkeypatch.setenv("SEALGATE_CONFIG", str(bank.config))
    gateway = Gateway(load(bank.config))
    try:
        gateway.enter_service()
        origin = Origin(ours=True, client="core-banking", received_at=SystemClock().now(), incident="a1")
        envelope = Envelope("statements@bank.example", (Recipient("anna@customer.example"),))
        (settled,) = gateway.handle(Mail(MAIL, envelope, origin)).recipients
        assert settled.settled is Settled.HELD
    finally:
        gateway.close()
    return path


def run(*words: str):
    with acting(Actor("user", "anna")):
        return CliRunner().invoke(app, list(words))


def held() -> list[str]:
    return [one["hold_id"] for one in json.loads(run("hold", "list", "--json").stdout)]


FOUR_EYES = "four_eyes: [policy]\npersons: [{name: Anna, accounts: [anna]}, {name: Ben, accounts: [ben]}]\n"


@pytest.mark.parametrize("rule", ["", FOUR_EYES])
def test_a_held_mail_is_released_by_the_rules_in_force(policy, hop, rule) -> None:
    config = Path(os.environ["SEALGATE_CONFIG"])
    config.write_text(config.read_text() + rule)
    policy.write_text(CLEAR)
    result = run("hold", "release", *held())
    assert result.exit_code == 0, result.stderr
    (mail,) = hop.mails
    assert SECRET not in mail
    assert b"application/pkcs7-mime" in mail


def test_files_that_do_not_load_change_nothing(policy, hop) -> None:
    policy.write_text("rules: nonsense\n")
    result = run("hold", "release", *held())
    assert result.exit_code == 0, result.stderr
    assert len(hop.mails) == 1


# Those who enter the service afterwards.
SERVICE = {"gateway/app/processes/api.py", "gateway/app/processes/milter.py", "gateway/app/processes/relay.py"}


def test_every_gateway_that_sends_mail_has_the_rules_in_force() -> None:
    found = set()
    for path in sorted((ROOT / "gateway").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
            if name == "Gateway" and not {"by_set_in_force", "dry_run_hop"} & {one.arg for one in node.keywords}:
                found.add(str(path.relative_to(ROOT)))
    assert found == SERVICE
