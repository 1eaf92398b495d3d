"""`sealgate policy`, as an administrator types it, over the demo's bank."""

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from gateway import app as composition
from gateway.cli.context import CONFIG_VARIABLE
from gateway.cli.policy import command as policy
from gateway.clock import SystemClock
from gateway.demo.bank import Ports
from gateway.model.fallbacks import FALLBACKS
from gateway.settings import load as load_settings
from tests.support.process import demo_bank
from tests.unit.policy.test_recorded import records

POLICIES = Path(__file__).parents[3] / "policies"
MAIL = b"From: staff@bank.example\nTo: anna@customer.example\nSubject: [seal] Hello [b]\n\nHello\n"

app = typer.Typer()
policy.register(app)


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return demo_bank(tmp_path_factory.mktemp("bank") / "demo", Ports())


@pytest.fixture
def run(monkeypatch, bank):
    monkeypatch.setenv(CONFIG_VARIABLE, str(bank.config))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments, octets=b""):
        result = CliRunner().invoke(app, ["policy", *map(str, arguments)], input=octets)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def test_check_of_the_configuration(run, bank):
    result = run("check")
    assert result.exit_code == 0
    assert result.stdout.split()[0] == composition.load_rules(load_settings(bank.config)).digest
    told = json.loads(run("check", "--json").stdout)
    assert (told["good"], told["problems"]) == (True, [])


def test_check_tells_every_problem(run, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("version: 1\nrules: off\notherwise: rejekt\n")
    result = run("check", bad)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{bad}:2:8: `off` is ambiguous" in result.stderr
    told = json.loads(run("check", "--json", bad).stdout)
    assert told["problems"][0]["place"] == f"{bad}:2:8"


def test_the_example_in_the_help_of_check_passes_for_the_shipped_policies(run, monkeypatch, tmp_path):
    monkeypatch.chdir(POLICIES.parent)
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "none.yaml"))
    example = (policy.check.__doc__ or "").partition("Example: sealgate policy ")[2].split()
    assert run(*example).exit_code == 0


def test_check_without_a_configuration_says_what_it_does_not_check(run, monkeypatch, tmp_path):
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "none.yaml"))
    result = run("check", POLICIES / "inbound.yaml")
    assert result.exit_code == 0
    assert "are not checked" in result.stderr


def test_a_file_that_is_not_there(run, tmp_path):
    result = run("check", tmp_path / "none.yaml")
    assert result.exit_code == 2
    assert "none.yaml" in result.stderr


def test_test_runs_the_cases(run, tmp_path):
    result = run("test")
    assert result.exit_code == 0
    assert "staff:seal" in result.stdout
    wrong = tmp_path / "inbound.yaml"
    wrong.write_text(
        (POLICIES / "inbound.yaml").read_text().replace("expect: {end: quarantine}", "expect: {end: hold}", 1)
    )
    result = run("test", wrong)
    assert result.exit_code == 1
    assert f"{wrong}:9:9: case 1 of inbound:forged-as-us: end: quarantine; expected hold" in result.stderr
    told = json.loads(run("test", "--json", wrong).stdout)
    assert [one["differs"] for one in told["failed"]] == [["end: quarantine; expected hold"]]


def test_verbs(run):
    told = {row["name"]: row for row in json.loads(run("verbs", "--json").stdout)}
    parameters = {one["name"]: one for one in told["encrypt"]["parameters"]}
    assert parameters["without_certificate"]["required"] is True
    values = " | ".join(("reject", *FALLBACKS))
    assert parameters["without_certificate"]["type"] == values
    assert f"without_certificate: {values}  required" in run("verbs").stdout


def test_explain_of_a_mail_that_leaves(run, tmp_path):
    mail = tmp_path / "mail.eml"
    mail.write_bytes(MAIL)
    to = ("--to", "anna@customer.example", "--to", "nobody@nowhere.example", "--to", "carla@bank.example")
    result = run("explain", mail, "--client", "staff", "--from", "staff@bank.example", *to, "--json")
    assert result.exit_code == 0
    anna, nobody, carla = json.loads(result.stdout)
    assert anna["decision"]["rule"] == "staff:seal"
    assert [step["verb"] for step in anna["decision"]["steps"]] == ["protect_headers", "sign", "stamp", "encrypt"]
    assert anna["certificate"]["state"] == "enrolled"
    assert len(anna["certificate"]["chosen"]) == 1
    assert (anna["sources"][0]["source"], anna["sources"][0]["answer"]["state"]) == ("store", "enrolled")
    answered = [(one["source"], one["answer"]["state"]) for one in nobody["sources"] if one["answer"]]
    assert answered == [("store", "absent")]
    assert carla["sources"] == []
    assert (nobody["decision"]["end"]["kind"], nobody["decision"]["reason"]) == ("reject", "certificate.absent")
    assert (carla["direction"], carla["decision"]["rule"], carla["certificate"]) == (
        "internal",
        "staff:colleagues",
        None,
    )
    result = run("explain", "-", "--client", "staff", "--from", "staff@bank.example", *to, octets=MAIL)
    assert "4. encrypt" in result.stdout
    assert "asked   store: enrolled" in result.stdout
    assert "end: reject (certificate.absent)" in result.stdout
    assert "converted to CRLF" in result.stderr


def test_explain_of_a_mail_that_comes_in(run):
    octets = b"From: anna@customer.example\r\nTo: support@bank.example\r\nSubject: Hello\r\n\r\nHello\r\n"
    result = run("explain", "-", "--to", "support@bank.example", "--to", "x@elsewhere.example", "--json", octets=octets)
    ours, foreign = json.loads(result.stdout)
    assert ours["decision"]["rule"] == "inbound:plain"
    assert (foreign["direction"], foreign["decision"]["reason"]) == ("foreign", "recipient.not_ours")


def test_explain_with_a_client_that_is_none(run):
    result = run("explain", "-", "--client", "stuff", "--to", "a@b.example", octets=MAIL)
    assert result.exit_code == 2


def test_replay(run, bank, tmp_path):
    settings = load_settings(bank.config)
    store = composition.open_store(settings)
    before = SystemClock().now() - timedelta(hours=1)
    store.evidence.add(tuple(replace(one, at=before) for one in records(composition.load_rules(settings))))
    store.close()
    other = tmp_path / "other"
    shutil.copytree(POLICIES, other)
    result = run("replay", "--against", other)
    assert result.exit_code == 0, result.stderr
    assert "0 differs" in result.stderr
    statements = other / "statements.yaml"
    statements.write_text(
        statements.read_text()
        .replace("without_certificate: hold", "without_certificate: reject")
        .replace("expect: {end: hold", "expect: {end: reject")
    )
    (other / "new.yaml").write_text("version: 1\n")
    result = run("replay", "--since", "2h", "--against", other)
    assert result.exit_code == 1
    assert result.stdout.endswith(
        f"protect_headers, sign, stamp, encrypt] hold -> {other} statements:statement [] reject\n")
    assert ": recorded statements:statement [" in result.stdout
    assert f"under the rules of {other}" in result.stderr
    assert "ignored, because `policies` in the settings does not list them: new.yaml" in result.stderr
    (told,) = map(json.loads, run("replay", "--json", "--against", other).stdout.splitlines())
    assert (told["outcome"], told["after"]["end"]) == ("differs", "reject")
    assert "0 records" in run("replay", "--since", "1m", "--against", other).stderr


@pytest.mark.parametrize("since", ["", "7y", "xd", "yesterday", "99999999999d"])
def test_replay_since_when(run, since):
    result = run("replay", "--since", since, "--against", POLICIES)
    assert result.exit_code == 2
    assert "is not a valid time" in result.stderr


def test_replay_against_nothing(run, tmp_path):
    assert run("replay", "--against", tmp_path).exit_code == 2
