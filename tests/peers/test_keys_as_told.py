"""docs/keys.md as operators follow it: its settings load and its commands run, on a real token and with openssl."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from gateway.settings import load
from tests.support import peers
from tests.support.command_server import executable
from tests.support.softhsm import module

PAGE = Path(__file__).parents[2] / "docs" / "keys.md"
BLOCKS = re.findall(r"^```(sh|yaml)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
SETTINGS = """\
version: 1
bank: {domains: [bank.example], hostname: mail.bank.example}
listeners: [{name: out, role: outbound, port: 0}]
clients: [{name: online-banking, networks: ["127.0.0.1/32"], from: ["otp@bank.example"]}]
next_hops: {outbound: {host: 127.0.0.1}, inbound: {host: 127.0.0.1}}
policies: [empty.yaml]
"""


def shell(home: Path, script: str) -> str:
    """Runs in bash as it stands; the first command that fails ends it."""
    bin_ = home / "bin"
    if not bin_.exists():
        bin_.mkdir()
        executable(bin_ / "sealgate")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=home, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}", "SEALGATE_CONFIG": str(home / "sealgate.yaml"),
             "PYTHONPATH": str(PAGE.parents[1])})
    assert done.returncode == 0, done.stderr
    return done.stdout


def blocks(kind: str, word: str) -> list[str]:
    found = [text for which, text in BLOCKS if which == kind and word in text]
    assert found, f"the page has no {kind} block with {word}"
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The page's own settings; only the place of the library is this machine's."""
    peers.need("softhsm2-util", "softhsm2")
    text = SETTINGS + blocks("yaml", "tokens:")[0] + blocks("yaml", "keys:\n")[0]
    (tmp_path / "sealgate.yaml").write_text(text.replace("/usr/lib/softhsm/libsofthsm2.so", str(module())))
    (tmp_path / "empty.yaml").write_text("rules: []\n")
    return tmp_path


def test_the_trial_with_softhsm(home: Path) -> None:
    make, certify = blocks("sh", "softhsm2-util")[0], blocks("sh", "openssl x509 -req")[0]
    told = shell(home, make + certify)
    assert "otp\tid:" in told
    assert re.search(r"^otp\tsign\tsigns\tp-256\thsm:otp\t", told, re.MULTILINE)
    certificate = x509.load_pem_x509_certificate((home / "keys" / "otp.crt.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.RFC822Name) == ["otp@bank.example"]
    rolled = shell(home, f'export SOFTHSM2_CONF="$PWD/softhsm2.conf"\n{blocks("sh", "key rollover otp")[0]}')
    told_lines, ours = blocks("yaml", "generations:")[0].splitlines(), rolled.splitlines()
    assert ours[0] == told_lines[0] == "    generations:"
    settings = home / "sealgate.yaml"
    settings.write_text(settings.read_text() + rolled)
    assert load(settings).keys[0].generations[0].token == "hsm"


def test_a_key_in_a_file(home: Path) -> None:
    """Files need no token: the settings may name one that is not there."""
    told = shell(home, blocks("sh", "key generate otp --email")[0])
    assert told.split() == [str(home / "keys" / "otp.key.pem"), str(home / "keys" / "otp.csr.pem")]
