"""Keys on a token and in generations, as people type it: from `key generate` to a signature.

The CA is the test's own PKI; what it issues on a request is put where the command says, and the settings get the
lines that the command prints, nothing else.
"""

import json
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner

from gateway.authority import ca
from gateway.authority.ca import Naming, Purpose
from gateway.cli.main import application
from gateway.cms.private_keys import read_private_key
from gateway.settings import load
from tests.support.pki import END, START, get_pki, pem
from tests.support.softhsm import PIN, SoftHsm

app = application(["key"])
PKI = get_pki()
SETTINGS = """
version: 1
bank: {{domains: [bank.example], hostname: gateway.bank.example}}
database: sealgate.db
policies: [empty.yaml]
listeners: [{{name: out, role: outbound, port: 0}}]
clients: [{{name: otp, networks: ["127.0.0.1/32"], from: ["otp@bank.example"]}}]
next_hops:
  outbound: {{host: 127.0.0.1, port: 1}}
  inbound: {{host: 127.0.0.1, port: 1}}
{tokens}keys:
  - name: otp
    purpose: sign
    {key}
    certificate: otp.crt.pem
    from: ["otp@bank.example"]
    clients: [otp]
"""
TOKENS = "tokens: [{{name: hsm, module: {module}, label: bank, pin_file: {pin}}}]\n"


@dataclass
class Done:
    code: int
    out: str
    err: str


def run(*words: object) -> Done:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


def issue(request: bytes, purpose: Purpose = Purpose.SIGN, *, not_before: datetime = START,
          not_after: datetime = END) -> bytes:
    """What a CA makes of a request: PEM."""
    asked = x509.load_pem_x509_csr(request)
    assert asked.is_signature_valid
    names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    public = asked.public_key()
    return pem(ca.issue(PKI.intermediate, Naming("otp", emails=tuple(names.get_values_for_type(x509.RFC822Name))),
                        public, ca.profile_for(purpose, public), not_before, not_after))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """The directory of the settings; `key` are the lines that say where the first key lies."""
    monkeypatch.setenv("SEALGATE_CONFIG", str(tmp_path / "sealgate.yaml"))

    def lay(key: str = "key: otp.key.pem", tokens: str = "") -> Path:
        person = PKI.signer("p-256", email="otp@bank.example")
        files = {"otp.key.pem": person.key_pem, "otp.crt.pem": person.pem, "empty.yaml": b"rules: []\n"}
        for name, octets in files.items():
            (tmp_path / name).write_bytes(octets)
            (tmp_path / name).chmod(0o600)
        (tmp_path / "sealgate.yaml").write_text(SETTINGS.format(key=key, tokens=tokens))
        return tmp_path

    return lay


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    home = tmp_path / "hsm"
    home.mkdir()
    return SoftHsm(home, monkeypatch)


def with_token(desk: Callable[..., Path], hsm: SoftHsm, key: str = "key: otp.key.pem", **options: str) -> Path:
    token = hsm.token(**options)
    return desk(key, TOKENS.format(module=token.module, pin=token.pin_file))


# --- on a token


@pytest.mark.parametrize("algorithm", ["rsa-3072", "p-256", "p-384", "p-521"])
def test_a_key_is_made_on_the_token(desk, hsm, algorithm) -> None:
    with_token(desk, hsm)
    done = run("key", "generate", "--token", "hsm", "--object", "new", "--algorithm", algorithm, "--email",
               "otp@bank.example", "--subject", "CN=Codes,O=Bank,C=DE")
    assert done.code == 0, done.err
    asked = x509.load_pem_x509_csr(done.out.encode())
    assert asked.is_signature_valid
    assert asked.subject.rfc4514_string() == "CN=Codes,O=Bank,C=DE"
    assert asked.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    (shown,) = json.loads(run("key", "list", "--token", "hsm", "--json").out)
    assert (shown["object"], shown["kind"], shown["may"]) == ("new", algorithm, ["sign"])
    again = run("key", "generate", "--token", "hsm", "--object", "new", "--algorithm", algorithm)
    assert again.code == 2
    assert "never overwritten" in again.err


@pytest.mark.parametrize(("algorithm", "may"), [("rsa-3072", "decrypt"), ("p-256", "derive")])
def test_a_key_that_opens_signs_its_request_and_nothing_else(desk, hsm, algorithm, may) -> None:
    home = with_token(desk, hsm)
    done = run("key", "generate", "--token", "hsm", "--object", "box", "--algorithm", algorithm, "--purpose", "decrypt",
               "--csr", home / "box.csr.pem")
    assert done.code == 0, done.err
    assert done.out == f"{home / 'box.csr.pem'}\n"
    asked = x509.load_pem_x509_csr((home / "box.csr.pem").read_bytes())
    assert asked.is_signature_valid
    usage = asked.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_encipherment is (algorithm == "rsa-3072")
    assert usage.key_agreement is (algorithm == "p-256")
    (shown,) = json.loads(run("key", "list", "--token", "hsm", "--json").out)
    assert shown["may"] == [may]


def test_pkcs11_tool_sees_a_key_that_never_leaves(desk, hsm) -> None:
    """OpenSC's word for it, not ours."""
    token = hsm.token()
    desk(tokens=TOKENS.format(module=token.module, pin=token.pin_file))
    assert run("key", "generate", "--token", "hsm", "--object", "new", "--email", "otp@bank.example").code == 0
    told = hsm.tool(token, "-O", "--type", "privkey").decode()
    assert "RSA" in told
    assert "sensitive, always sensitive, never extractable, local" in told
    assert "  Usage:      sign, signRecover\n" in told  # SoftHSM sets CKA_SIGN_RECOVER by itself and knows no use of it


@pytest.mark.parametrize(("words", "code", "said"), [
    (("--token", "hsm"), 2, "--object"),
    (("--object", "new"), 2, "--token"),
    (("otp", "--token", "hsm", "--object", "new"), 2, "Give NAME for a key in a file"),
    ((), 2, "Give NAME for a key in a file"),
    (("--token", "hms", "--object", "new"), 2, "the settings have no token `hms`"),
    (("--token", "hsm", "--object", "new", "--algorithm", "rsa-2048"), 2, "too weak for a new key"),
    (("--token", "hsm", "--object", "new", "--algorithm", "ed25519"), 2, "Use one of: rsa-3072"),
    (("--token", "hsm", "--object", "../new"), 2, "is not a valid name"),
    (("--token", "hsm", "--object", "new", "--subject", "bank"), 2, "is not a valid subject"),
    (("--token", "hsm", "--object", "new", "--protect-with", "x"), 2, "a token has a PIN"),
    (("--token", "hsm", "--object", "new", "--email", "ü@bank.example"), 2, "not a mail address in ASCII"),
])
def test_what_is_refused_makes_nothing(desk, hsm, words, code, said) -> None:
    home = with_token(desk, hsm)
    done = run("key", "generate", *words)
    assert done.code == code
    assert said in done.err
    assert json.loads(run("key", "list", "--token", "hsm", "--json").out) == []
    assert not (home / "keys").exists()


def test_a_request_that_cannot_be_written_makes_no_key(desk, hsm) -> None:
    home = with_token(desk, hsm)
    there = home / "there.pem"
    there.write_text("precious")
    done = run("key", "generate", "--token", "hsm", "--object", "new", "--csr", there)
    assert done.code == 2
    assert "File exists" in done.err
    assert there.read_text() == "precious"
    assert json.loads(run("key", "list", "--token", "hsm", "--json").out) == []


def test_the_pin_is_never_told(desk, hsm) -> None:
    with_token(desk, hsm, pin_file="maple-0000")
    for words in (("list", "--token", "hsm"), ("generate", "--token", "hsm", "--object", "new")):
        done = run("key", *words)
        assert done.code == 75
        assert "rejects the PIN (PinIncorrect)" in done.err
        assert "maple" not in done.err + done.out
        assert PIN not in done.err + done.out


# --- generations


def certified(request: Path, **validity: datetime) -> bytes:
    return issue(request.read_bytes(), **validity)


def test_rollover_of_a_key_in_a_file(desk) -> None:
    home = desk()
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    done = run("key", "rollover", "otp")
    assert done.code == 0, done.err
    stem = f"otp-{datetime.now(UTC):%Y-%m-%d}"
    key, csr = home / f"{stem}.key.pem", home / f"{stem}.csr.pem"
    assert done.out == (f"    generations:\n      - key: {key}\n        certificate: {home / stem}.crt.pem\n")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert read_private_key(key.read_bytes()).public_key() == x509.load_pem_x509_csr(csr.read_bytes()).public_key()
    assert {name: (home / name).read_bytes() for name in before} == before
    again = run("key", "rollover", "otp")
    assert again.code == 2
    assert "never overwritten" in again.err
    (home / f"{stem}.crt.pem").write_bytes(certified(csr, not_before=datetime.now(UTC) + timedelta(days=7)))
    settings = home / "sealgate.yaml"
    settings.write_text(settings.read_text() + done.out)
    shown = run("key", "list", "--json")
    assert shown.code == 0, shown.out
    assert [(one["key"], one["use"]) for one in json.loads(shown.out)] == [("otp", "signs"), ("otp#2", "coming")]


def test_rollover_keeps_passphrase_chain_and_names(desk) -> None:
    home = desk("key: otp.key.pem\n    passphrase_file: otp.phrase\n    chain: otp.chain.pem")
    (home / "otp.phrase").write_text("long words\n")
    (home / "otp.phrase").chmod(0o600)
    (home / "otp.chain.pem").write_bytes(PKI.signer("p-256").chain_pem)
    done = run("key", "rollover", "otp", "--json", "--algorithm", "rsa-3072")
    assert done.code == 0, done.err
    made = json.loads(done.out)
    assert made["algorithm"] == "rsa-3072"
    assert "        passphrase_file: " + str(home / "otp.phrase") in made["lines"]
    assert "        chain: " + str(home / "otp.chain.pem") in made["lines"]
    assert read_private_key(Path(made["place"]).read_bytes(), b"long words").key_size == 3072
    asked = x509.load_pem_x509_csr(Path(made["request"]).read_bytes())
    assert asked.subject == PKI.signer("p-256", email="otp@bank.example").certificate.x509.subject
    names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.RFC822Name) == ["otp@bank.example"]


def test_rollover_on_a_token(desk, hsm) -> None:
    """The next generation of a key that lies on a token lies there too; its lines load."""
    token = hsm.token()
    hsm.put(token, PKI.signer("p-256", email="otp@bank.example").key, "otp", "sign")
    home = desk("token: hsm\n    object: otp", TOKENS.format(module=token.module, pin=token.pin_file))
    done = run("key", "rollover", "otp")
    assert done.code == 0, done.err
    stem = f"otp-{datetime.now(UTC):%Y-%m-%d}"
    assert done.out == (f"    generations:\n      - token: hsm\n        object: {stem}\n"
                        f"        certificate: {home / stem}.crt.pem\n")
    (home / f"{stem}.crt.pem").write_bytes(certified(home / f"{stem}.csr.pem", not_after=END + timedelta(days=1)))
    settings = home / "sealgate.yaml"
    settings.write_text(settings.read_text() + done.out)
    shown = run("key", "list", "--json")
    assert shown.code == 0, shown.out
    assert [(one["key"], one["use"], one["place"]) for one in json.loads(shown.out)] == [
        ("otp", "ready", "hsm:otp"), ("otp#2", "signs", f"hsm:{stem}")]
    assert len(load(settings).keys[0].generations) == 1
    assert run("key", "rollover", "otp").code == 2


def test_rollover_knows_key_sets_only(desk) -> None:
    desk()
    unknown = run("key", "rollover", "opt")
    assert unknown.code == 2
    assert "otp" in unknown.err
    assert "too weak" in run("key", "rollover", "otp", "--algorithm", "rsa-2048").err


def test_the_list_tells_what_is_wrong_on_a_token(desk, hsm) -> None:
    with_token(desk, hsm, key="token: hsm\n    object: otp")
    shown = run("key", "list", "--json")
    assert shown.code == 1
    (otp,) = json.loads(shown.out)
    assert otp["place"] == "hsm:otp"
    assert "token hsm holds no private key `otp`" in otp["trouble"]
