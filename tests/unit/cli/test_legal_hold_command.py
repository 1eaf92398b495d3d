"""`sealgate legal-hold` on the command line."""

import json

import pytest
from typer.testing import CliRunner

from gateway.cli.main import application
from gateway.demo.bank import Ports
from gateway.model.audit.actor import Actor, acting
from tests.support.process import demo_bank

app = application([])
WHY = ("--reason", "12 O 34/26", "--person", "Anna Weber")
RULE = """
four_eyes: [legal_hold]
persons: [{name: Anna, accounts: [anna]}, {name: Ben, accounts: [ben]}]
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    bank = demo_bank(tmp_path / "bank", Ports())
    bank.config.write_text(bank.config.read_text() + RULE)
    monkeypatch.setenv("SEALGATE_CONFIG", str(bank.config))

    def command(*words: str, who: str = "anna"):
        with acting(Actor("user", who)):
            return CliRunner().invoke(app, list(words))

    return command


def test_a_hold_is_added_listed_and_removed_by_two(run) -> None:
    assert run("legal-hold", "list").stdout == "There is no legal hold.\n"
    result = run("legal-hold", "add", "--address", "anna@customer.example", "--since", "2026-01-01", *WHY)
    assert (result.exit_code, result.stdout) == (0, "1\n")
    (hold,) = json.loads(run("legal-hold", "list", "--output", "json").stdout)
    assert (hold["address"], hold["person"], hold["reason"]) == ("anna@customer.example", "Anna Weber", "12 O 34/26")
    assert run("legal-hold", "remove", "1").exit_code == 75
    assert run("audit", "approve", "1", who="ben").exit_code == 0
    assert run("legal-hold", "remove", "1").exit_code == 0
    assert run("legal-hold", "list", "--output", "csv").stdout.count("\n") == 1


@pytest.mark.parametrize(("words", "message"), [
    (WHY, "needs an address"), (("--customer", "1", "--reason", " ", "--person", "p"), "must not be empty"),
    (("--address", "anna", *WHY), "not a valid mail address"), (("--customer", "1", "--reason", "r"), "--person"),
    (("--since", "2026-02-01", "--until", "2026-01-01", *WHY), "--since must be before"),
    (("--since", "yesterday", *WHY), "not a valid time")])
def test_what_is_no_hold_is_refused(run, words, message) -> None:
    result = run("legal-hold", "add", *words)
    assert result.exit_code == 2
    assert message in result.stderr.replace("\n", " ")


def test_a_customer_without_an_address_is_named(run) -> None:
    result = run("legal-hold", "add", "--customer", "99999", *WHY)
    assert (result.exit_code, "no address of the customer 99999" in result.stderr) == (0, True)
