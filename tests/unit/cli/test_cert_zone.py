"""`sealgate cert zone`. Truth: RFC 8162 3 (names; its own example is the local part `hugh`), RFC 6698 2.2 (the text).

That a real name server takes the lines and a validating resolver finds them: test_directories_as_told.py of the peers.
"""

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from gateway.cli.main import application
from tests.support.pki import get_pki, pem

app = application([])

PKI = get_pki()
NOW = datetime.now(UTC).replace(microsecond=0)
SIGNER = PKI.signer("p-256", email="otp@bank.example")
BOX = PKI.recipient("p-256", emails=("Support@bank.example", "hugh@bank.example", "box@elsewhere.example"))
OLD = PKI.recipient("p-256", email="hugh@bank.example", which=1, not_after=NOW - timedelta(days=1))
COMING = PKI.recipient("p-256", email="hugh@bank.example", which=2, not_before=NOW + timedelta(days=5))
SERVICE = PKI.recipient("p-256", email="otp@bank.example", which=3)

CONFIG = """\
version: 1
bank: {domains: [bank.example], hostname: mail.bank.example}
listeners:
  - {name: out, role: outbound, port: 0}
clients:
  - {name: web, networks: [192.0.2.0/24], from: ["*@bank.example"]}
next_hops: {outbound: {host: 127.0.0.1}, inbound: {host: 127.0.0.1}}
keys:
  - name: otp
    purpose: sign
    key: otp.key.pem
    certificate: otp.pem
    encryption_certificate: service.pem
    from: ["otp@bank.example"]
  - name: box
    purpose: decrypt
    key: box.key.pem
    certificate: box.pem
    recipients: ["*@bank.example"]
    generations:
      - {key: old.key.pem, certificate: old.pem}
      - {key: coming.key.pem, certificate: coming.pem}
policies: [staff.yaml]
"""


@pytest.fixture
def bank(tmp_path, monkeypatch):
    monkeypatch.setenv("SEALGATE_CONFIG", str(tmp_path / "sealgate.yaml"))
    (tmp_path / "sealgate.yaml").write_text(CONFIG)
    for name, person in (("otp", SIGNER), ("box", BOX), ("old", OLD), ("coming", COMING), ("service", SERVICE)):
        (tmp_path / f"{name}.pem").write_bytes(pem(person.der))
    return tmp_path


def run(*arguments):
    result = CliRunner().invoke(app, ["cert", "zone", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return SimpleNamespace(code=result.exit_code, out=result.stdout, err=result.stderr)


def records(text):
    """(owner, data) of each line that is no comment."""
    fields = [line.split(maxsplit=4) for line in text.splitlines() if not line.startswith(";")]
    assert all(field[1:4] == ["3600", "IN", "SMIMEA"] for field in fields)
    return [(field[0], field[4]) for field in fields]


def owner(local):
    return f"{sha256(local.encode()).hexdigest()[:56]}._smimecert.bank.example."


def data(person):
    return f"3 0 0 {person.der.hex()}"


def test_the_name_is_the_one_of_the_rfc(bank) -> None:
    found = records(run("hugh@bank.example").out)
    assert {name for name, _ in found} == {
        "c93f1e400f26708f98cb19d936620da35eec8f72e57f9eec01c1afd6._smimecert.bank.example."}


def test_every_address_of_the_bank_that_its_encryption_certificates_name_is_written(bank) -> None:
    """Not those of certificates that sign, not addresses of others, not what has ended; what comes is there already."""
    done = run()
    assert done.code == 0
    assert sorted(records(done.out)) == sorted([
        (owner("otp"), data(SERVICE)),
        (owner("Support"), data(BOX)), (owner("support"), data(BOX)),
        (owner("hugh"), data(BOX)), (owner("hugh"), data(COMING))])


def test_an_address_in_capitals_has_a_line_for_lower_case_too(bank) -> None:
    assert [name for name, _ in records(run("Support@bank.example").out)] == [owner("Support"), owner("support")]
    assert [name for name, _ in records(run("support@bank.example").out)] == [owner("support")]


def test_an_address_without_a_certificate_is_named_and_the_others_are_written(bank) -> None:
    done = run("otp@bank.example", "nobody@bank.example")
    assert done.code == 1
    assert "names nobody@bank.example" in done.err
    assert records(done.out) == [(owner("otp"), data(SERVICE))]


def test_a_bank_without_encryption_certificates_is_told_so(bank) -> None:
    (bank / "service.pem").write_bytes(pem(OLD.der))
    (bank / "box.pem").write_bytes(pem(OLD.der))
    (bank / "coming.pem").write_bytes(pem(OLD.der))
    done = run()
    assert (done.code, done.out) == (1, "")
    assert "no key set has an encryption certificate" in done.err


def test_json_says_what_the_lines_say(bank) -> None:
    (told,) = json.loads(run("otp@bank.example", "--ttl", "60", "--json").out)
    assert (told["owner"], told["record"], told["ttl_s"], told["sha256"]) == (
        owner("otp"), data(SERVICE), 60, SERVICE.certificate.sha256)


def test_a_certificate_that_cannot_be_read_is_named(bank) -> None:
    (bank / "box.pem").unlink()
    done = run()
    assert done.code == 2
    assert "box.pem" in done.err
