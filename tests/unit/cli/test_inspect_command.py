"""`sealgate inspect` as a command: options, exit codes, what goes where. Truth: the interface."""

import contextlib
import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.inspect import command
from gateway.errors import Reason
from gateway.model.sentences import SENTENCES
from tests.support.pki import PASSWORD, encrypted_key_pem, get_pki, pem
from tests.support.sealed import TEXT, anna, box, enveloped, message, signature, signed, stamper

AT = "2026-11-24T12:00:00Z"


@pytest.fixture
def desk(tmp_path):
    """Files as somebody would have them."""
    pki = get_pki()
    files = {
        "root.pem": pki.root_pem, "time.pem": pki.tsa_root_pem, "both.pem": pki.root_pem + pki.tsa_root_pem,
        "sealed.eml": message(enveloped(signed(TEXT, anna(), stamp=stamper()), box())),
        "forged.eml": message(signed(TEXT, anna())).replace(b"100 EUR", b"900 EUR"),
        "plain.eml": message(TEXT), "box.key": box().key_pem, "box.crt": box().pem,
        "box.both.pem": box().key_pem + box().pem, "locked.key": encrypted_key_pem(box()), "box.p12": box().p12(),
        "password": PASSWORD + b"\n", "detached.p7s": signature(TEXT, anna()), "content": TEXT,
        "token.tst": stamper()(TEXT),
        "anna.der": anna().der, "chain.pem": b"".join(map(pem, anna().chain_der)), "empty": b"", "a.pdf": b"%PDF-1.7\n"}
    for name, octets in files.items():
        (tmp_path / name).write_bytes(octets)
    (tmp_path / "roots").mkdir()
    (tmp_path / "roots" / "a.pem").write_bytes(pki.root_pem)
    (tmp_path / "roots" / "README").write_bytes(b"not a certificate")
    return tmp_path


def run(desk, *arguments, at=AT):
    app = typer.Typer()
    app.callback()(lambda: None)
    command.register(app)
    with contextlib.chdir(desk):
        return CliRunner().invoke(app, ["inspect", *arguments, *(["--at", at] if at else [])])


def answer(result):
    return json.loads(result.stdout)


@pytest.mark.parametrize("key", [
    ["--key", "box.key", "--chain", "box.crt"], ["--key", "box.key", "--key", "box.crt"], ["--key", "box.both.pem"],
    ["--key", "box.p12:demo"], ["--key", "box.p12:@password"], ["--key", "locked.key:demo", "--key", "box.crt"]])
def test_keys_in_every_form(desk, key):
    result = run(desk, "sealed.eml", "--trust", "root.pem", "--trust", "time.pem", *key, "--json")
    assert result.exit_code == 0, result.output
    assert answer(result)["verdict"] == "trusted"
    assert answer(result)["signature"]["signers"][0]["timestamp"]["status"] == "valid"


@pytest.mark.parametrize(("arguments", "code", "verdict", "why"), [
    (["sealed.eml", "--trust", "roots"], 1, "unknown", ["signature.not_signed", "decryption.no_key"]),
    (["forged.eml", "--trust", "root.pem"], 1, "not_trusted", ["signature.altered"]),
    (["plain.eml"], 1, "unknown", ["signature.not_signed"]),
    (["detached.p7s", "--trust", "roots", "--content", "content"], 0, "trusted", []),
    (["detached.p7s", "--trust", "roots"], 1, "unknown", ["signature.content_missing"]),
    (["token.tst", "--trust", "time.pem", "--content", "content"], 0, "trusted", []),
    (["anna.der", "--trust", "root.pem", "--chain", "chain.pem"], 0, "trusted", []),
    (["anna.der", "--trust", "root.pem"], 1, "unknown", ["path.issuer_missing"]),
    (["anna.der"], 1, "unknown", ["path.trust_anchor_missing"]),
    (["anna.der", "--trust", "root.pem", "--chain", "chain.pem", "--revocation", "require"], 1, "unknown",
     ["revocation.unavailable"]),
    (["box.p12", "--key", "box.p12:demo"], 0, "unknown", ["path.trust_anchor_missing"]),
    (["a.pdf"], 1, "unknown", ["input.kind_not_judged"]), (["empty"], 1, "unknown", ["input.empty"]),
    (["/dev/null"], 1, "unknown", ["input.empty"]), (["/dev/zero"], 1, "unknown", ["input.too_large"])])
def test_answers_and_exit_codes(desk, arguments, code, verdict, why):
    result = run(desk, *arguments, "--json")
    assert result.exit_code == code, result.output
    assert (answer(result)["verdict"], answer(result)["why"]) == (verdict, why)


@pytest.mark.parametrize(("arguments", "told"), [
    (["plain.eml", "--crl", "a.crl"], "a.crl"), (["plain.eml", "--ocsp", "a.ocsp"], "a.ocsp"),
    (["missing.eml"], "missing.eml"), (["."], "."), (["plain.eml", "--trust", "missing.pem"], "missing.pem"),
    (["plain.eml", "--trust", "content"], "content"), (["plain.eml", "--key", "box.p12:wrong"], "box.p12"),
    (["plain.eml", "--key", "box.key"], "--chain"), (["plain.eml", "--key", "missing.key"], "missing.key"),
    (["plain.eml", "--content", "missing"], "missing"), (["plain.eml", "--revocation", "hard"], "hard")])
def test_wrong_usage(desk, arguments, told):
    result = run(desk, *arguments, "--json")
    assert result.exit_code == 2
    assert told in result.output
    assert "Traceback" not in result.output
    assert not result.stdout or "usage" in result.output.lower()


def test_a_file_that_cannot_be_read_gets_a_remedy(desk):
    assert "Check the path" in " ".join(run(desk, "missing.eml").output.split())


def test_a_time_that_is_none(desk):
    result = run(desk, "plain.eml", at="yesterday")
    assert (result.exit_code, "ISO 8601" in result.output) == (2, True)
    assert run(desk, "plain.eml", "--json", at="2026-11-24").exit_code == 1


def test_the_password_is_told_nowhere(desk):
    result = run(desk, "plain.eml", "--key", "box.p12:open-sesame", "--json")
    assert "open-sesame" not in result.output


def test_the_opened_mail_goes_to_output_and_nowhere_else(desk):
    before = {path: path.stat().st_mtime_ns for path in desk.rglob("*")}
    run(desk, "sealed.eml", "--trust", "both.pem", "--key", "box.both.pem", "--output", "opened.eml", "--json")
    assert b"Please transfer 100 EUR." in (desk / "opened.eml").read_bytes()
    assert {path: path.stat().st_mtime_ns for path in desk.rglob("*") if path.name != "opened.eml"} == before
    assert run(desk, "plain.eml", "--output", "plain.eml").exit_code == 2
    assert run(desk, "plain.eml", "--output", "no/such/place").exit_code == 2
    for file in ("a.pdf", "sealed.eml"):
        assert run(desk, file, "--output", "nothing").exit_code == 1
    assert not (desk / "nothing").exists()


def test_for_people(desk):
    result = run(desk, "sealed.eml", "--trust", "both.pem", "--key", "box.both.pem")
    for words in ("trusted", "anna@customer.example", "aes256-cbc", "Time-stamp", "is the From", "signed inside"):
        assert words in result.stdout.replace("signed_inside", "signed inside"), words
    result = run(desk, "forged.eml", "--trust", "both.pem")
    assert "not trusted" in result.stdout
    assert SENTENCES[Reason.SIGNATURE_ALTERED].what in result.stdout


@pytest.mark.parametrize(("arguments", "words"), [
    (["token.tst", "--trust", "time.pem", "--content", "content"],
     ["2026-11-24 12:00:00 UTC", "Test Time Stamping Unit"]),
    (["anna.der"], ["CN=anna@customer.example", "as recipient", "certificate.wrong_usage", "p-256"]),
    (["box.p12", "--key", "box.p12:demo"], ["with its private key"]),
    (["sealed.eml"], ["decryption.no_key", "for CN=Test Bank Mail CA"]),
    (["opaque.p7m"], ["path.trust_anchor_missing", "layer 0"])])
def test_every_kind_for_people(desk, arguments, words):
    (desk / "opaque.p7m").write_bytes(signature(TEXT, anna(), opaque=True))
    shown = " ".join(run(desk, *arguments).stdout.split())
    for word in words:
        assert word in shown


def test_protected_headers_and_long_values_for_people(desk):
    from gateway.smime.protect import protect

    entity = protect(message(TEXT, subject="s" * 500), encrypt=True).payload
    (desk / "hp.eml").write_bytes(message(enveloped(signed(entity, anna()), box()), subject="[...]"))
    shown = run(desk, "hp.eml", "--key", "box.both.pem", "--trust", "root.pem").stdout
    assert "outside differ: Subject" in shown
    assert "s" * 400 not in "".join(shown.split())
    assert "is the From" in shown


def test_a_strangers_text_is_shown_as_text(desk):
    """Neither escape sequences nor the markup of our own printer reach the terminal as commands."""
    (desk / "evil.eml").write_bytes(
        b"From: =?utf-8?q?=1B[31mred?= <a@b.example>\r\n"
        b"Subject: =?utf-8?q?[bold]x[/bold][/nope]_=9B31m_=E2=80=AEtxt?=\r\n"
        b"Date: \x1b]0;title\x07\r\n\r\n")
    result = run(desk, "evil.eml")
    assert result.exit_code == 1
    for octets in ("\x1b", "\x9b", "\x07", "\u202e"):
        assert octets not in result.stdout
    assert "[bold]x[/bold]" in result.stdout


def test_a_surprise_is_one_object_without_a_traceback(desk, monkeypatch):
    def broken(octets, options):
        raise RuntimeError("secret inside")

    monkeypatch.setattr(command, "inspect", broken)
    result = run(desk, "plain.eml", "--json")
    assert (result.exit_code, answer(result)["why"]) == (1, ["internal.surprise"])
    assert "secret" not in result.output


def test_standard_input_and_the_real_program(desk):
    done = subprocess.run([sys.executable, "-m", "gateway", "inspect", "-", "--trust", "root.pem", "--json"],
                          cwd=desk, input=(desk / "forged.eml").read_bytes(), capture_output=True, check=False)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["verdict"] == "not_trusted"
