"""`sealgate audit`: what an auditor types, and reads. Truth: the acts that were done, and docs/audit.md."""

import json
import os
import pwd
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway import app as composition
from gateway.app.processes.jobs import JobsContext
from gateway.cli.audit.actor import command_actor
from gateway.cli.main import application
from gateway.demo.bank import Ports
from gateway.model.audit.actor import Actor, acting
from gateway.model.audit.acts import ACTS
from gateway.model.audit.record import PersonalValue
from gateway.model.lookup import Customer
from gateway.settings import load
from tests.support.process import demo_bank

ROOT = Path(__file__).parents[3]
app = application([])


@pytest.fixture
def run(tmp_path, monkeypatch):
    bank = demo_bank(tmp_path / "bank", Ports())
    monkeypatch.setenv("SEALGATE_CONFIG", str(bank.config))
    store = composition.open_store(load(bank.config))
    try:
        with acting(Actor("user", "anna", "login uid 1000, /dev/pts/3")):
            store.customers.put([Customer("77001", "Zoe", (), None)])
    finally:
        store.close()
    return lambda *words: CliRunner().invoke(app, ["audit", *words])


def test_a_list_has_actor_act_object_and_result(run) -> None:
    (row,) = json.loads(run("list", "--object", "77001", "--output", "json").stdout)
    assert (row["actor"], row["act"], row["object"], row["result"], row["from"]) == (
        "anna", "customer.import", "77001", "done", "login uid 1000, /dev/pts/3")


def test_the_last_record_is_last_and_an_empty_list_says_so(run) -> None:
    rows = json.loads(run("list", "--output", "json", "--last", "2").stdout)
    assert [row["number"] for row in rows] == sorted(row["number"] for row in rows)
    assert rows[-1]["object"] == "77001"
    assert run("list", "--actor", "nobody").stdout == "No record of the audit log meets these conditions.\n"


def test_show_has_the_sentence_and_every_personal_value(run) -> None:
    (row,) = json.loads(run("list", "--object", "77001", "--output", "json").stdout)
    shown = run("show", str(row["number"])).stdout
    assert ACTS["customer.import"].sentence in shown
    assert "login uid 1000, /dev/pts/3" in shown


def test_export_has_the_octets_that_are_hashed(run) -> None:
    lines = run("export").stdout.splitlines()
    assert [json.loads(line)["number"] for line in lines] == list(range(1, len(lines) + 1))
    last = json.loads(lines[-1])
    assert last["values"]["object"]["value"] == "77001"
    assert {name: PersonalValue(**one).commitment for name, one in last["values"].items()} == last["personal"]
    assert run("export", "--after", str(len(lines) - 1)).stdout.splitlines() == lines[-1:]


def test_the_use_of_the_banks_keys_for_a_person_is_recorded(run) -> None:
    mail = (b"From: otp@bank.example\r\nTo: anna@customer.example\r\nSubject: x\r\n\r\nThe planted secret.\r\n")
    words = ("--from", "otp@bank.example", "--to")
    seal = CliRunner().invoke(app, ["seal", "--client", "online-banking", *words, "anna@customer.example"], input=mail)
    assert seal.exit_code == 0
    no_client = CliRunner().invoke(app, ["seal", "--client", "staff", *words, "anna@customer.example"], input=mail)
    assert no_client.exit_code == 69
    assert CliRunner().invoke(app, ["open", *words, "support@bank.example"], input=seal.stdout_bytes).exit_code == 0
    rows = json.loads(run("list", "--act", "mail", "--output", "json").stdout)
    assert [(row["act"], row["result"]) for row in rows] == [
        ("mail.seal", "begun"), ("mail.seal", "done"), ("mail.seal", "begun"), ("mail.seal", "failed"),
        ("mail.open", "begun"), ("mail.open", "done")]
    shown = json.loads(run("show", str(rows[0]["number"]), "--json").stdout)
    assert (shown["details"]["client"], shown["values"]["recipients"]["value"]) == (
        "online-banking", "anna@customer.example")
    assert shown["details"]["sha256"] == sha256(mail).hexdigest()


def test_verify_compares_with_heads_of_database_and_file(run, tmp_path) -> None:
    head = tmp_path / "head.txt"
    head.write_text(run("head").stdout)
    result = run("verify", "--head", str(head))
    assert (result.exit_code, result.stdout.endswith(" records, compared with 2 heads: unchanged\n")) == (0, True)
    head.write_text(head.read_text().replace("sealgate/audit/", "sealgate/audit/f"))
    result = run("verify", "--head", str(head), "--json")
    assert (result.exit_code, json.loads(result.stdout)["good"]) == (1, False)
    assert run("head", "--verifier-key").stdout.count("+") >= 2


def test_the_jobs_take_a_head_when_there_are_new_records(run) -> None:
    settings = load(Path(os.environ["SEALGATE_CONFIG"]))
    jobs = JobsContext(settings)
    try:
        command = jobs.audit()
        assert command == ("audit", "head")
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *command], capture_output=True, text=True, check=True, timeout=60,
            env={**os.environ, "SEALGATE_PARENT": "1"})
        (line,) = [json.loads(one) for one in done.stderr.splitlines() if "audit.head" in one]
        assert (line["event"], line["size"]) == ("audit.head", jobs.store.audit.size())
        assert jobs.audit() is None
        jobs.store.customers.put([Customer("77002", "Eve", (), None)])
        assert jobs.audit() == command
        (settings.database.parent / "head.txt").write_text(line["note"])
        assert run("verify", "--head", str(settings.database.parent / "head.txt")).exit_code == 0
    finally:
        jobs.close()


def test_verify_says_when_there_was_nothing_to_compare_with(run) -> None:
    result = run("verify")
    assert (result.exit_code, "there was no head to compare with" in result.stderr) == (0, True)
    assert run("verify", "--head", "none.txt").exit_code == 2


def test_a_head_without_a_key_is_not_signed(run) -> None:
    config = Path(os.environ["SEALGATE_CONFIG"])
    config.write_text(config.read_text().replace("audit: {key: keys/audit.key.pem}", "audit: {}"))
    result = run("head")
    assert (result.stdout.count("\n"), "`audit.key`" in result.stderr) == (3, True)
    result = run("head", "--verifier-key")
    assert (result.exit_code, "sealgate key generate audit" in result.stderr) == (2, True)


@pytest.mark.parametrize(("words", "message"), [
    (("list", "--act", "hold.delete"), "hold.release"), (("list", "--result", "good"), "begun, done, failed"),
    (("list", "--since", "yesterday"), "Write 7d"), (("show", "99999"), "sealgate audit list")])
def test_what_does_not_exist_is_named(run, words, message) -> None:
    result = run(*words)
    assert (result.exit_code, message in result.stderr) == (2, True)


def test_the_actor_is_who_logged_in(tmp_path) -> None:
    login = tmp_path / "loginuid"
    login.write_text("0")
    actor = command_actor("hold", {"SUDO_USER": "ben", "SEALGATE_PARENT": "1"}, login)
    assert (actor.kind, actor.name, actor.remark) == ("user", "root", "SUDO_USER=ben")
    assert actor.source.startswith("login uid 0, ")


@pytest.mark.parametrize("content", ["4294967295", "", None])
def test_without_a_login_it_is_the_real_user(tmp_path, content) -> None:
    login = tmp_path / "loginuid"
    if content is not None:
        login.write_text(content)
    actor = command_actor("hold", {"SUDO_USER": "ben"}, login)
    assert (actor.kind, actor.name) == ("user", pwd.getpwuid(os.getuid()).pw_name)
    assert actor.source.startswith(f"uid {os.getuid()}, ")
    assert command_actor("hold", {"SEALGATE_PARENT": "1"}, login).kind == "user"  # everyone can set it


def test_a_process_of_the_service_acts_for_itself(tmp_path) -> None:
    assert command_actor("jobs", {}, tmp_path / "none") == Actor("program", "sealgate jobs")


def test_the_page_lists_every_act() -> None:
    page = (ROOT / "docs" / "audit.md").read_text("utf-8")
    rows = {f"| `{name}` | {act.sentence} | {act.object} |" for name, act in ACTS.items()}
    assert rows == {line for line in page.splitlines() if line.startswith("| `") and line.partition("`")[2].partition(
        "`")[0] in ACTS}
