"""A second person on the command line. Truth: docs/four-eyes.md, exit codes of sysexits.h."""

import json
import os
import time
from pathlib import Path
from threading import Thread

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from typer.testing import CliRunner

from gateway.authority import ca
from gateway.cli.main import application
from gateway.demo.bank import Ports
from gateway.model.audit.actor import Actor, acting
from gateway.setup.files import key_pem
from tests.support.process import demo_bank

app = application([])
RULE = """
four_eyes: [trust, key]
persons: [{name: Anna, accounts: [anna]}, {name: Ben, accounts: [ben]}]
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    bank = demo_bank(tmp_path / "bank", Ports())
    bank.config.write_text(bank.config.read_text() + RULE)
    monkeypatch.setenv("SEALGATE_CONFIG", str(bank.config))

    def command(who: str, *words: str):
        with acting(Actor("user", who)):
            return CliRunner().invoke(app, list(words))

    return command


def test_a_certificate_is_trusted_by_two(run) -> None:
    (first, *_) = json.loads(run("anna", "cert", "list", "--people", "--json").stdout)
    trust = ("cert", "trust", first["sha256"])
    result = run("anna", *trust)
    assert (result.exit_code, "sealgate audit approve 1" in result.stderr) == (75, True)
    assert run("anna", "audit", "approve", "1").exit_code == 2
    (request,) = json.loads(run("ben", "audit", "requests", "--output", "json").stdout)
    assert (request["requester"], request["act"], request["object"]) == ("Anna", "certificate.trust", first["sha256"])
    assert run("ben", "audit", "approve", "1").exit_code == 0
    assert run("anna", *trust).exit_code == 0
    assert run("ben", "audit", "decline", "1").exit_code == 2


def test_no_key_is_generated_before_it_is_approved(run) -> None:
    keys = Path(os.environ["SEALGATE_CONFIG"]).parent / "keys"
    result = run("anna", "key", "generate", "next", "--algorithm", "p-256")
    assert (result.exit_code, (keys / "next.key.pem").exists()) == (75, False)
    assert run("ben", "audit", "approve", "1").exit_code == 0
    for other in (("--email", "director@bank.example"), ("--subject", "CN=Director"), ("--purpose", "decrypt")):
        assert run("anna", "key", "generate", "next", "--algorithm", "p-256", *other).exit_code == 75
    assert run("anna", "key", "generate", "next", "--algorithm", "p-256").exit_code == 0
    assert (keys / "next.key.pem").exists()


def test_only_the_key_that_was_approved_is_imported(run, tmp_path) -> None:
    """A pipe gives other octets at each reading."""
    approved, other = (key_pem(ca.generate_signing_key("p-256")) for _ in range(2))
    file = tmp_path / "new.key.pem"
    file.write_bytes(approved)
    words = ("key", "import", "new", str(file))
    assert run("anna", *words).exit_code == 75
    assert run("ben", "audit", "approve", "1").exit_code == 0
    assert run("anna", *words, "--directory", str(tmp_path)).exit_code == 75  # to another place
    file.unlink()
    os.mkfifo(file)

    def write() -> None:
        for octets in (approved, other):
            with file.open("wb") as pipe:
                pipe.write(octets)
            time.sleep(0.3)

    Thread(target=write, daemon=True).start()
    assert run("anna", *words).exit_code == 0
    keys = Path(os.environ["SEALGATE_CONFIG"]).parent / "keys"
    imported = load_pem_private_key((keys / "new.key.pem").read_bytes(), None)
    assert imported.public_key() == load_pem_private_key(approved, None).public_key()


def test_relaxing_the_rule_waits_too(run) -> None:
    config = Path(os.environ["SEALGATE_CONFIG"])
    assert '"trust"' in run("anna", "audit", "four-eyes").stdout
    config.write_text(config.read_text().replace("[trust, key]", "[key]"))
    assert run("anna", "audit", "four-eyes").exit_code == 75
    findings = json.loads(run("anna", "check", "--json").stdout)
    assert "four_eyes" in {one["about"] for one in findings if one["level"] == "warning"}
    assert run("ben", "audit", "approve", "1").exit_code == 0
    assert '"trust"' not in run("anna", "audit", "four-eyes").stdout


def test_an_empty_list_of_requests_says_so(run) -> None:
    assert run("anna", "audit", "requests").stdout == "There is no request.\n"
