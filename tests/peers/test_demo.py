"""The tour as a new user takes it: exit code, the files it promises, and NSS as one more reader of what left."""

import os
import socket
import subprocess
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.support.command_server import PYTHON, prefix, python
from tests.support.peers import need


def free_port() -> int:
    """The first of eight neighbouring ports that nobody uses."""
    for first in range(23525, 32525, 8):
        try:
            sockets = [socket.create_server(("127.0.0.1", port)) for port in range(first, first + 8)]
        except OSError:
            continue
        for one in sockets:
            one.close()
        return first
    raise OSError("no free ports")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    need("openssl", "openssl")
    """The tour with its commands forked: it starts 40 of them."""
    home = tmp_path_factory.mktemp("demo") / "bank"
    command = [*prefix(), "demo", "--once", "--home", str(home), "--port", str(free_port())]
    environment = os.environ | {PYTHON: str(python(home.with_name("python")))}
    return home, subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_every_claim_holds(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, done = demo
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checks passed" in done.stdout
    assert "✗" not in done.stdout


def test_it_leaves_what_it_promises(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    home, _ = demo
    for promised in (
        "sealgate.yaml",
        "pki/root.pem",
        "customers/anna.crt.pem",
        "customers/anna.key.pem",
        "customers/anna.p12",
    ):
        assert (home / promised).is_file()
    assert len(list((home / "outgoing").glob("*.eml"))) == 14
    assert len(list((home / "incoming").glob("*.eml"))) == 4
    for secret in [*(home / "keys").glob("*.key.pem"), *(home / "customers").glob("*.key.pem")]:
        assert secret.stat().st_mode & 0o077 == 0


def test_nss_opens_each_outgoing_mail(demo: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    """NSS is Thunderbird's engine: what it cannot open, customers cannot read."""
    for program in ("certutil", "pk12util", "cmsutil"):
        need(program, "libnss3-tools")
    home, _ = demo
    nss = ["-d", f"sql:{tmp_path}"]
    subprocess.run(["certutil", "-N", *nss, "--empty-password"], check=True)
    subprocess.run(
        ["pk12util", "-i", home / "customers" / "anna.p12", *nss, "-W", "demo", "-K", ""],
        check=True,
        capture_output=True,
    )
    for path in (home / "outgoing").glob("*-anna@*.eml"):
        der = message_from_bytes(path.read_bytes()).get_payload(decode=True)
        (tmp_path / "m.der").write_bytes(der)  # type: ignore[arg-type]
        done = subprocess.run(["cmsutil", "-D", *nss, "-i", tmp_path / "m.der"], check=True, capture_output=True)
        assert b"multipart/signed" in done.stdout


def test_the_configuration_that_it_leaves_is_usable(
    demo: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """seal and open by command, with the demo's own configuration."""
    home, _ = demo
    environment = os.environ | {"SEALGATE_CONFIG": str(home / "sealgate.yaml")}
    mail = b"From: otp@bank.example\nTo: anna@customer.example\nSubject: Code\n\nYour code is 481516\n"
    command = [
        *prefix(),
        "seal",
        "--client",
        "online-banking",
        "--from",
        "otp@bank.example",
        "--to",
        "anna@customer.example",
    ]
    sealed = subprocess.run(command, input=mail, env=environment, capture_output=True, timeout=60, check=True)
    assert b"481516" not in sealed.stdout
    assert b"converted to CRLF" in sealed.stderr
    (tmp_path / "m.eml").write_bytes(sealed.stdout)
    key, certificate = home / "customers" / "anna.key.pem", home / "customers" / "anna.crt.pem"
    opened = subprocess.run(
        ["openssl", "cms", "-decrypt", "-in", tmp_path / "m.eml", "-inkey", key, "-recip", certificate],
        capture_output=True,
        check=True,
    )
    assert b"481516" in opened.stdout
    command[command.index("anna@customer.example")] = "ben@nowhere.example"
    refused = subprocess.run(command, input=mail, env=environment, capture_output=True, timeout=60, check=False)
    assert refused.returncode == 69
    assert b"certificate.absent" in refused.stderr
    assert refused.stdout == b""
