"""`sealgate mails`: what an operator types, and reads. Truth: the records that were stored."""

import csv
import io
import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from gateway import app as composition
from gateway.cli.main import application
from gateway.demo.bank import Ports
from gateway.model.outcome import Settled
from gateway.settings import load
from tests.ports.test_evidence import RECORD
from tests.support.process import demo_bank

app = application([])
RECORDS = (RECORD, replace(RECORD, incident="2b2b2b2b", sender="", recipient="ben@customer.example",
                           settled=Settled.REFUSED, reasons=("certificate.expired",)))


@pytest.fixture
def run(tmp_path, monkeypatch):
    bank = demo_bank(tmp_path / "bank", Ports())
    monkeypatch.setenv("SEALGATE_CONFIG", str(bank.config))
    store = composition.open_store(load(bank.config))
    try:
        store.evidence.add(RECORDS)
    finally:
        store.close()
    return lambda *words: CliRunner().invoke(app, ["mails", *words])


def test_a_table_with_a_header_line(run) -> None:
    lines = [line.split("\t") for line in run().stdout.splitlines()]
    assert lines[0] == ["at", "id", "direction", "client", "from", "to", "outcome", "reason", "rule"]
    assert [line[1] for line in lines[1:]] == ["1f2e3d4c", "2b2b2b2b"]
    assert lines[2][4:8] == ["<>", "ben@customer.example", "refused", "certificate.expired"]


def test_json_and_csv_say_the_same(run) -> None:
    rows = json.loads(run("--output", "json", "--outcome", "refused").stdout)
    (other,) = csv.DictReader(io.StringIO(run("--output", "csv", "--outcome", "refused").stdout))
    assert [row["id"] for row in rows] == ["2b2b2b2b"] == [other["id"]]
    assert rows[0]["reason"] == ["certificate.expired"]
    assert other["reason"] == "certificate.expired"


def test_an_empty_list_says_so(run) -> None:
    assert run("--client", "nobody").stdout == "No mail meets these conditions.\n"
    assert json.loads(run("--client", "nobody", "--output", "json").stdout) == []


@pytest.mark.parametrize(("words", "message"), [
    (("--outcome", "sent"), "It is one of: taken, held,"),
    (("--direction", "out"), "outbound, inbound, internal"),
    (("--reason", "expired"), "certificate.expired"),
    (("--since", "yesterday"), "Write 7d, 12h, 30m"),
    (("--last", "0"), "--last"),
])
def test_what_does_not_exist_is_named(run, words, message) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert message in result.stderr
