"""`sealgate http` as a process: what it opens, its tokens, reload and end; and the commands of docs/http.md.

Truth: the process itself, run where the files it must not need are gone.
"""

import hashlib
import os
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from gateway.demo.bank import Bank
from tests.support.command_server import prefix
from tests.support.http_service import ROOT, Asker, Process, add_http, asking, process
from tests.support.peer_openssl import OpenSsl
from tests.support.process import new_bank

PARTNER = ("  port: 0\n  tsa: internal\n"
           "  partners: [{name: payments, token_file: partners/payments.token}]")
ANNA = "anna@customer.example"
AUDITED = """
import os, sys
trace = os.open({trace!r}, os.O_WRONLY | os.O_CREAT, 0o600)
def told(event, arguments):
    if event == "open" and not isinstance(arguments[0], int):
        os.write(trace, os.fsencode(arguments[0]) + b"\\n")
sys.addaudithook(told)
sys.path.insert(0, os.getcwd())
from gateway.cli.main import main
main()
"""


def sealgate(bank: Bank, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*prefix(), "--config", bank.config, *words], cwd=ROOT,
                          capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    made = new_bank(tmp_path / "bank")
    add_http(made, PARTNER)
    return made


def certificates(asker: Asker, address: str, token: str | None = None) -> int:
    return asker.ask(f"/certificates/{address}", **({"authorization": f"Bearer {token}"} if token else {})).status


def test_it_needs_no_key_but_that_of_its_stamper(bank: Bank) -> None:
    """All other private keys of the bank are gone, and it serves everything."""
    token = sealgate(bank, "http", "token", "payments").stdout.strip()
    gone = [path for path in (bank.home / "keys").glob("*.key.pem") if path.name != "tsa.key.pem"]
    assert len(gone) >= 5
    for path in gone:
        path.unlink()
    with process(bank) as started, asking(started.port) as asker:
        assert asker.stamp(OpenSsl().stamp_request(b"x")).status == 200
        assert certificates(asker, ANNA, token) == 200
        assert certificates(asker, "support@bank.example") == 200
        assert asker.ask("/readyz").status == 200


def test_no_other_key_is_opened_even_where_it_is_there(bank: Bank, tmp_path: Path) -> None:
    """Told by the interpreter's audit hook: every file that the process opens (PEP 578)."""
    trace, program = tmp_path / "trace", tmp_path / "audited.py"
    program.write_text(AUDITED.format(trace=str(trace)), "utf-8")
    with process(bank, (str(program),)) as started, asking(started.port) as asker:
        assert asker.stamp(OpenSsl().stamp_request(b"x")).status == 200
    opened = trace.read_text("utf-8").splitlines()
    assert str(bank.config) in opened
    assert {Path(path).name for path in opened if path.endswith(".key.pem")} == {"tsa.key.pem"}


def test_without_partners_it_opens_no_store(bank: Bank) -> None:
    add_http(bank, "  port: 0\n  tsa: internal")
    shutil.rmtree(bank.home / "sealgate.db-evidence", ignore_errors=True)
    for path in bank.home.glob("sealgate.db*"):
        path.unlink()
    with process(bank) as started, asking(started.port) as asker:
        assert asker.ask("/readyz").status == 200
        assert certificates(asker, "otp@bank.example") == 200
    assert not list(bank.home.glob("sealgate.db*"))


def test_a_token_is_shown_once_and_only_its_digest_is_kept(bank: Bank) -> None:
    made = sealgate(bank, "http", "token", "payments")
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    assert len(token) == 43
    assert token not in made.stderr
    kept = bank.home / "partners" / "payments.token"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert kept.read_text().strip() == hashlib.sha256(token.encode()).hexdigest()


@pytest.mark.parametrize("name, told", [("paymnts", "did you mean `payments`?"), ("other", "http.partners")])
def test_a_token_for_nobody(bank: Bank, name: str, told: str) -> None:
    made = sealgate(bank, "http", "token", name)
    assert (made.returncode, made.stdout) == (2, "")
    assert told in made.stderr


def test_a_new_token_counts_from_the_reload_on(bank: Bank) -> None:
    with process(bank) as started, asking(started.port) as asker:
        assert "partner.token_unreadable" in started.told
        first = sealgate(bank, "http", "token", "payments").stdout.strip()
        assert certificates(asker, ANNA, first) == 401
        started.reload()
        assert certificates(asker, ANNA, first) == 200
        second = sealgate(bank, "http", "token", "payments").stdout.strip()
        started.reload()
        assert (certificates(asker, ANNA, first), certificates(asker, ANNA, second)) == (401, 200)


def test_a_reload_that_does_not_load_changes_nothing(bank: Bank) -> None:
    with process(bank) as started, asking(started.port) as asker:
        good = bank.config.read_text()
        for broken in (f"{good}\nnonsense: 1\n", good.replace("  tsa: internal", "  tsa: nobody")):
            bank.config.write_text(broken)
            started.reload()
            assert asker.stamp(OpenSsl().stamp_request(b"x")).status == 200
        assert started.told.count("reload.failed") == 2
        (bank.home / "keys" / "tsa.key.pem").chmod(0o644)
        bank.config.write_text(good)
        started.reload()
        assert started.told.count("reload.failed") == 3
        assert asker.ask("/readyz").status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_well(bank: Bank, number: signal.Signals) -> None:
    with process(bank) as started:
        started.process.send_signal(number)
        assert started.process.wait(30) == 0
        assert "Traceback" not in started.told


@pytest.mark.parametrize("change, told", [
    (lambda text: re.sub(r"(?m)^http:\n(?:  .*\n)*", "", text), "neither a section `http` nor `metrics`"),
    (lambda text: text.replace("  tsa: internal", "  tsa: intrnal"), "did you mean `internal`?"),
    (lambda text: text.replace("  tsa: internal", "  tsa: internal\n  host: 192.0.2.1"), "without TLS")])
def test_what_it_does_not_start_with(bank: Bank, change: object, told: str) -> None:
    assert callable(change)
    bank.config.write_text(change(bank.config.read_text()))
    ended = sealgate(bank, "http")
    assert ended.returncode == 2
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_key_that_others_may_read_is_told(bank: Bank) -> None:
    (bank.home / "keys" / "tsa.key.pem").chmod(0o644)
    ended = sealgate(bank, "http")
    assert ended.returncode == 2
    assert "chmod 600" in ended.stderr


DOCUMENT = ROOT / "docs" / "http.md"


@pytest.fixture
def documented(tmp_path: Path) -> Iterator[tuple[Process, dict[str, str]]]:
    """A service as the document has it, and the variables that its commands use."""
    made = new_bank(tmp_path / "bank")
    add_http(made, PARTNER)
    token = sealgate(made, "http", "token", "payments").stdout.strip()
    roots = tmp_path / "root.pem"
    roots.write_bytes(made.root.read_bytes() + (made.home / "pki" / "chain.pem").read_bytes())
    with process(made) as started:
        yield started, {**os.environ, "BASE": f"http://127.0.0.1:{started.port}", "TOKEN": token, "ROOT": str(roots),
                        "PATH": f"{Path(OpenSsl().program).parent}:{os.environ['PATH']}"}


def test_the_commands_of_the_document(documented: tuple[Process, dict[str, str]], tmp_path: Path) -> None:
    """Each block marked `sh` is run as it stands there, in order, in one directory."""
    blocks = re.findall(r"(?s)```sh\n(.*?)```", DOCUMENT.read_text("utf-8"))
    assert len(blocks) >= 4
    work = tmp_path / "work"
    work.mkdir()
    for block in blocks:
        ran = subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=work, env=documented[1], check=False,
                             capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, f"{block}\n{ran.stdout}\n{ran.stderr}"
    assert (work / "statement.pdf.tsr").stat().st_size > 500
    assert x509.load_pem_x509_certificates((work / "otp.pem").read_bytes())
    assert x509.load_der_x509_certificate((work / "anna.der").read_bytes())
