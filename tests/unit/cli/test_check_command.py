"""`sealgate check`: whatever is wrong, it is named with its place, all at once, and the command never breaks off.

Truth: the demo's bank, spoilt.
"""

import errno
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from gateway.cli.check import services as check_services
from gateway.cli.main import application
from gateway.demo.bank import Ports
from gateway.settings import Milter, load
from tests.support.process import demo_bank

app = application([])
OUTSIDE = ("next hop", "source ")  # nobody runs the demo's sink and its partner's directory here


@pytest.fixture
def bank(tmp_path, monkeypatch):
    home = demo_bank(tmp_path / "home", Ports(sink=1))  # nobody listens there: the next hops are errors, always
    monkeypatch.setenv("SEALGATE_CONFIG", str(home.config))
    return home


def check():
    result = CliRunner().invoke(app, ["check", "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    told = [one for one in json.loads(result.stdout) if not one["about"].startswith(OUTSIDE)]
    return SimpleNamespace(code=result.exit_code, told=told, errors=[one for one in told if one["level"] == "error"])


def changed(bank, *pairs) -> None:
    text = bank.config.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    bank.config.write_text(text)


def test_a_good_bank(bank) -> None:
    done = check()
    assert done.errors == []
    assert {"policies", "key set otp", "stamper internal", "archive", "database"} <= {one["about"] for one in done.told}


def test_every_missing_file_is_named_once(bank) -> None:
    changed(bank, ("staff.yaml", "stafff.yaml"), ("codes.yaml", "coods.yaml"), ("signers: [pki/", "signers: [pky/"),
            ("stampers: [pki/", "stampers: [pko/"))
    for name in ("otp.crt.pem", "statements.key.pem", "archive.key.pem"):
        (bank.home / "keys" / name).unlink()
    done = check()
    assert done.code == 1
    texts = "\n".join(one["text"] for one in done.errors)
    for name in ("policies/stafff.yaml", "policies/coods.yaml", "pky/root.pem", "pko/root.pem", "otp.crt.pem",
                 "statements.key.pem", "archive.key.pem"):
        assert texts.count(f"{name}: No such file or directory") == 1, name


def test_keys_are_looked_at_one_by_one(bank) -> None:
    keys = bank.home / "keys"
    (keys / "otp.key.pem").chmod(0o640)
    (keys / "staff.crt.pem").write_bytes((keys / "statements.crt.pem").read_bytes())
    (keys / "tsa.crt.pem").write_bytes(b"rubbish")
    told = {one["about"]: one["text"] for one in check().errors}
    assert "chmod 600" in told["key otp"]
    assert "another key" in told["key staff"]
    assert "tsa.crt.pem" in told["stamper internal"]


def test_who_looks_after_it_is_not_told_to_wait(bank) -> None:
    """Senders can do nothing else: their remedy is another."""
    shutil.rmtree(bank.home / "keys")
    bank.config.write_text(bank.config.read_text() + "\ndatabase: /proc/sealgate.db\n")
    texts = "\n".join(one["text"] for one in check().errors)
    assert "store.missing" in texts
    assert "If its disk is not mounted, mount it." in texts
    assert "Try again later" not in texts


def test_a_rule_that_does_not_load_is_told_once(bank) -> None:
    codes = bank.home / "policies" / "codes.yaml"
    codes.write_text(codes.read_text().replace(" stamp:", " stmap:"))
    assert [one["about"] for one in check().errors] == ["policies"]


@pytest.mark.parametrize(("values", "about"), [
    ({"socket": "inet:10029@127.0.0.1"}, None), ({"socket": "inet:10029@localhost"}, None),
    ({"socket": "inet6:10029@::1"}, None), ({"socket": "unix:/run/sealgate/milter.sock"}, None),
    ({"socket": "inet:10029@0.0.0.0"}, "milter.socket"), ({"socket": "inet6:10029@::"}, "milter.socket"),
    ({"socket": "inet:10029@192.0.2.1"}, "milter.socket"), ({"socket": "inet:10029@mx.bank.example"}, "milter.socket"),
    ({"socket": "unix:/run/sealgate/milter.sock", "socket_mode": "0666"}, "milter.socket_mode"),
])
def test_who_reaches_the_milter_is_postfix_to_us_so_others_must_not(
    bank, values: dict[str, str], about: str | None,
) -> None:
    milter = Milter.model_validate({"outbound_daemons": ["ours"], **values})
    told = check_services.milter(load(bank.config).model_copy(update={"milter": milter}))
    assert [one.about for one in told if one.level == "warning"] == ([about] if about else [])


def test_key_list_knows_the_key_without_a_certificate(bank) -> None:
    result = CliRunner().invoke(app, ["key", "list", "--json"])
    assert result.exit_code == 0
    (card,) = (one for one in json.loads(result.stdout) if one["key"] == "trust:card")
    assert (card["kind"], card["certificate"], card["trouble"]) == ("p-256", None, "")


def test_files_that_nothing_opens_before_it_needs_them(bank) -> None:
    """A partner's token: the partner would be refused, and nothing said why."""
    partners = "partners: [{name: payments, token_file: pki/payments}]"
    tls = "certificate: keys/tsa.crt.pem, key: keys/tsa.key.pem, client_ca: pki/none.pem"
    changed(bank, ("http: {", f"http: {{{partners}, {tls}, "))
    changed(bank, ("token_file: clients/online-banking.sha256", "token_file: clients/none.sha256"))
    done = check()
    assert [(one["about"], one["text"].rpartition("/")[2]) for one in done.errors] == [
        ("client online-banking",
         "none.sha256: No such file or directory. Create it with `sealgate client token online-banking`"),
        ("http", "none.pem: No such file or directory. Create it, or correct `client_ca`"),
        ("partner payments",
         "payments: No such file or directory. Create it with `sealgate http token payments`")]
    assert any(one["text"].startswith("stamps, in ") for one in done.told)  # and the rest is looked at all the same


def test_credentials_of_clients_that_cannot_be_used(bank) -> None:
    secret = bank.home / "clients" / "hooks"
    called = f"callback_url: 'https://b.example/', callback_secret_file: {secret}"
    changed(bank, ("scopes: [codes]", f"scopes: [codes], {called}"))
    (missing,) = check().errors
    command = f"(umask 077; printf 'whsec_%s\\n' \"$(openssl rand -base64 32)\" > {secret})"
    assert missing["text"].endswith(f"Create it with `{command}`, or correct `callback_secret_file`")
    secret.write_text("short")
    secret.chmod(0o600)
    tokens = bank.home / "clients" / "online-banking.sha256"
    tokens.write_text(tokens.read_text() * 3)
    wrong = check().errors
    assert [one["about"] for one in wrong] == ["client online-banking"] * 2
    assert "is not a token file" in wrong[0]["text"]
    assert "write one secret, or two during a rotation" in wrong[1]["text"]


def test_a_secret_that_is_not_there_is_told_once_with_the_command_that_makes_it(bank) -> None:
    secrets = {name: bank.home / "keys" / f"{name}.secret" for name in ("codes", "statements")}
    for path in secrets.values():
        path.unlink()
    assert [(one["about"], one["text"]) for one in check().errors] == [
        (name, (f"{path}: No such file or directory. Create it with `(umask 077; openssl rand -hex 32 > {path})`, "
                "or correct `secret_file`")) for name, path in secrets.items()]


def test_a_secret_that_others_may_read_is_told_once_and_whose_it_is(bank) -> None:
    (bank.home / "keys" / "codes.secret").chmod(0o644)
    (told,) = check().errors
    assert told["about"] == "codes"
    assert "chmod 600" in told["text"]


def test_directories_of_runs_that_are_not_there_are_told_once(bank) -> None:
    shutil.rmtree(bank.home / "statements")
    (told,) = check().errors
    assert (told["about"], "`sources`" in told["text"]) == ("statements", True)


def test_a_log_that_may_not_be_read(bank, monkeypatch) -> None:
    """Said of it by hand: these tests may run as root, who may read everything."""
    log = bank.home / "mail.log"
    log.touch()
    changed(bank, ("statements: {", "statements: {postfix_log: mail.log, "))
    assert check().errors == []
    access = os.access
    monkeypatch.setattr("os.access", lambda path, *how, **more: path != log and access(path, *how, **more))
    (told,) = check().errors
    assert told == {"level": "error", "about": "statements",
                    "text": f"{log}: Permission denied. Give the gateway's user read access, or correct `postfix_log`"}


def test_directories_that_deny_access_are_named(bank, monkeypatch) -> None:
    """As the gateway's user, to whom `keys/` of root is closed: a finding for each file, and no end by an exception."""
    stat, access = Path.stat, os.access
    closed = str(bank.home / "keys")

    def denied(path, *arguments, **options):
        if str(path).startswith(closed):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, *arguments, **options)

    monkeypatch.setattr(Path, "stat", denied)
    monkeypatch.setattr(os, "access", lambda path, mode, **options: (
        not str(path).startswith(closed) and access(path, mode, **options)))
    found = check()
    assert found.code == 1
    denials = [one["text"] for one in found.errors if "Permission denied. Give the gateway's user" in one["text"]]
    assert any("otp.key.pem" in text for text in denials)
