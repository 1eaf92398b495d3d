"""`sealgate init`: a bank from five answers, whose `check` is green and whose first mail is sealed.

Truth: `sealgate check`; openssl with the key and the roots that init wrote.
"""

import errno
import json
import os
import re
import stat
from types import SimpleNamespace

import pytest

from gateway.demo import openssl
from gateway.demo.openssl import Person
from gateway.setup import create
from gateway.setup.authorities import TEST_CA
from tests.support.pki import get_pki
from tests.support.smtp import Hop
from tests.unit.cli.test_store_commands import run

ADDRESS, CUSTOMER = "service@bank.test", "anna@customer.example"
BANK = get_pki().signer("p-256", email=ADDRESS)
MAIL = b"From: service@bank.test\r\nTo: anna@customer.example\r\nSubject: First\r\n\r\nHello Anna\r\n"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SEALGATE_CONFIG", str(tmp_path / "bank" / "sealgate.yaml"))
    return tmp_path / "bank"


def arguments(**changed):
    """The five answers as options, and what makes the result independent of the machine."""
    answers = {"name": 'Bänk "of" # Example', "domain": "bank.test", "next-hop": "127.0.0.1", "from": ADDRESS,
               "network": "127.0.0.0/8", "keys": "new", "time-stamps": "internal", "clock-check": "none",
               "mode": "live", "hostname": "gateway.bank.test", **{key.replace("_", "-"): value
                                                                   for key, value in changed.items()}}
    return [word for option, value in answers.items() for word in (f"--{option}", value) if value]


def findings():
    checked = run("check", "--json")
    return checked.code, json.loads(checked.out)


def test_the_service_can_read_what_root_has_written_under_a_strict_umask(home, tmp_path) -> None:
    """Hardened machines have 027 or 077; the gateway's user is not root."""
    home.mkdir(mode=0o755)
    (tmp_path / "state").mkdir(mode=0o700)
    before = os.umask(0o077)
    try:
        made = run("init", *arguments(), "--state", tmp_path / "state")
    finally:
        os.umask(before)
    assert made.code == 0, made.err
    shared = [home / "sealgate.yaml", home / "database.id", *(home / "policies").iterdir(),
              *(home / "trust").rglob("*.pem")]
    assert {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in shared} == dict.fromkeys(
        (path.name for path in shared), "0o644")
    directories = [home / "policies", home / "trust", *(path for path in (home / "trust").iterdir() if path.is_dir())]
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in directories} == {"0o755"}
    assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in (home / "keys").glob("*.key.pem")} == {"0o600"}


def test_a_state_directory_that_is_missing_is_named(home, tmp_path) -> None:
    made = run("init", *arguments(), "--state", tmp_path / "none")
    assert made.code == 2
    assert f"{tmp_path}/none does not exist" in made.err
    assert not home.exists()


def test_check_is_green_and_names_what_the_bank_must_still_get(home) -> None:
    with Hop() as hop:
        made = run("init", *arguments(next_hop=f"127.0.0.1:{hop.port}"))
        assert made.code == 0, made.err
        code, found = findings()
    assert code == 0, [one for one in found if one["level"] == "error"]
    warned = {one["about"]: one["text"] for one in found if one["level"] == "warning"}
    assert set(warned) == {"key set staff", "key set mailbox", "stamper internal"}  # the last: clock_check none
    assert f"{home}/keys/mailbox.csr.pem" in warned["key set mailbox"]
    assert all(f"{name}.csr.pem to your CA" in made.err for name in ("staff", "mailbox"))
    assert TEST_CA == "TEST CA - not for customers"


def test_the_first_mail_is_signed_and_encrypted(home) -> None:
    assert run("init", *arguments(test_customer=CUSTOMER)).code == 0
    sealed = run("seal", "--client", "staff", "--from", ADDRESS, "--to", CUSTOMER, text=MAIL)
    assert sealed.code == 0, sealed.err
    anna = Person("anna", CUSTOMER, home / "test" / "customer.crt.pem", home / "test" / "customer.key.pem")
    content = openssl.verify(openssl.decrypt(sealed.bytes, anna), home / "trust" / "mail" / "test-ca.pem")
    assert b"Hello Anna" in content


def test_heads_of_the_audit_log_are_signed(home) -> None:
    assert run("init", *arguments()).code == 0
    head = run("audit", "head")
    assert (head.code, "\n\n\u2014 " in head.out) == (0, True), head.err
    (home / "head.txt").write_text(head.out, "utf-8")
    assert run("audit", "verify", "--head", str(home / "head.txt")).code == 0


def test_secrets_are_for_their_owner_alone(home) -> None:
    assert run("init", *arguments(test_customer=CUSTOMER)).code == 0
    secrets = [*home.glob("keys/*.key.pem"), *home.glob("test/*.key.pem"), home / "test/customer.p12",
               home / "backup.secret", home / "sealgate.db"]
    assert len(secrets) == 10
    assert {stat.S_IMODE(one.stat().st_mode) for one in secrets} == {0o600}
    assert {stat.S_IMODE((home / name).stat().st_mode) for name in ("keys", "test")} == {0o700}


def test_a_key_of_the_bank_and_a_service_for_time_stamps(home, tmp_path) -> None:
    (tmp_path / "own.p12").write_bytes(BANK.p12(b"demo"))
    made = run("init", *arguments(keys=str(tmp_path / "own.p12"), time_stamps="https://tsa.test/tsr",
                                  network="10.0.0.0/8", next_hop="mx.bank.test:2525"),
               "--domain", "bank2.test", "--passphrase", text="demo\n")
    assert made.code == 0, made.err
    assert (home / "keys" / "staff.crt.pem").read_bytes() == BANK.pem
    assert "root of https://tsa.test/tsr in" in made.err
    assert run("policy", "test").code == 0
    text = (home / "policies" / "staff.yaml").read_text()
    assert "by: external" in text
    assert 'from: ["*@bank.test", "*@bank2.test"]' in text
    assert "bank.example" not in text
    settings = (home / "sealgate.yaml").read_text()
    assert "outbound: {host: mx.bank.test, port: 2525, tls: require}" in settings


@pytest.mark.parametrize("there", ["sealgate.yaml", "keys/staff.key.pem", "policies/inbound.yaml", "database.id",
                                   "sealgate.db", "trust/mail/root.pem"])
def test_nothing_is_overwritten(home, there) -> None:
    (home / there).parent.mkdir(parents=True)
    (home / there).write_text("mine")
    made = run("init", *arguments())
    assert (made.code, made.out) == (2, "")
    assert f"{home / there}: exists already, and nothing is overwritten" in made.err
    assert [path for path in home.rglob("*") if path.is_file()] == [home / there]
    assert (home / there).read_text() == "mine"


def test_what_fails_takes_away_what_it_made(home, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "sealgate.db")

    monkeypatch.setattr(create.app, "enrol", broken)
    made = run("init", *arguments(test_customer=CUSTOMER))
    assert (made.code, made.out) == (2, "")
    assert "sealgate.db: No space left on device. What was written was removed" in made.err
    assert not home.exists()


@pytest.mark.parametrize(("changed", "said"), [
    ({"domain": "bank"}, "`bank` is not a domain"),
    ({"network": "10.0.0.1/8"}, "`10.0.0.1/8` is not a network"),
    ({"from": "service@elsewhere.test"}, "not in a domain of the bank (bank.test)"),
    ({"from": "*@bank.test"}, "`*@bank.test` is not a mail address"),
    ({"next_hop": "mail server"}, "`mail server` is not a mail server"),
    ({"next_hop": "mail.bank.test:70000"}, "is not a mail server"),
    ({"keys": "none.p12"}, "`none.p12`: there is no such file"),
    ({"time_stamps": "tsa.test"}, "`tsa.test` is not a URL"),
    ({"name": " "}, "is not usable as the bank's name"),
    ({"test_customer": "anna"}, "`anna` is not a mail address"),
    ({"keys": ""}, "missing: --keys"),
])
def test_a_wrong_answer_is_named_and_nothing_is_written(home, changed, said) -> None:
    made = run("init", *arguments(**changed))
    assert made.code == 2
    assert said in made.err
    assert not home.exists()


def test_a_certificate_of_somebody_else_is_refused(home, tmp_path) -> None:
    other = get_pki().signer("p-256", email="other@bank.test")
    (tmp_path / "own.pem").write_bytes(other.key_pem + other.pem)
    made = run("init", *arguments(keys=str(tmp_path / "own.pem")))
    assert made.code == 2
    assert "names other@bank.test, not service@bank.test" in made.err
    assert not home.exists()


def test_at_a_terminal_it_asks_five_questions(home, monkeypatch) -> None:
    monkeypatch.setattr("gateway.cli.init.sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    made = run("init", text="Example Bank\nbank.test bank2.test\n\n\n\n\n\n")
    assert made.code == 0, made.err
    assert re.findall(r"(\d)\. [A-Z]", made.err) == ["1", "2", "3", "4", "5"]
    settings = (home / "sealgate.yaml").read_text()
    assert 'domains: ["bank.test", "bank2.test"]' in settings
    assert 'from: ["service@bank.test"]' in settings
    assert "mode: observe" in settings
