"""The time-stamping service over HTTP against other programs: openssl and curl, rfc3161-client.

Truth: `openssl ts -verify` with the bank's root, and Trail of Bits' verifier.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import rfc3161_client
from cryptography import x509

from tests.support.http_service import Asker, Process, add_http, asking, process
from tests.support.peer_openssl import OpenSsl
from tests.support.peers import run
from tests.support.process import new_bank
from tests.support.tls import TlsFiles, make_tls

DATA = b"Statement of account 2026-11"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    bank = new_bank(tmp_path_factory.mktemp("tsa") / "bank")
    add_http(bank, "  port: 0\n  tsa: internal")
    with process(bank) as started:
        yield started


@pytest.fixture
def asker(running: Process) -> Iterator[Asker]:
    with asking(running.port) as one:
        yield one


@pytest.mark.parametrize("options", [("-sha256", "-cert"), ("-sha384", "-cert", "-no_nonce"), ("-sha512",)])
def test_openssl_asks_curl_carries_openssl_verifies(running: Process, tmp_path: Path, options: tuple[str, ...]) -> None:
    data, query, reply = tmp_path / "data", tmp_path / "q.tsq", tmp_path / "r.tsr"
    data.write_bytes(DATA)
    openssl = OpenSsl().program
    run(openssl, "ts", "-query", "-data", data, "-out", query, *options)
    subprocess.run(["curl", "--silent", "--show-error", "--fail",
                    "--header", "Content-Type: application/timestamp-query", "--data-binary", f"@{query}",
                    "--output", reply, f"http://127.0.0.1:{running.port}/tsa"], check=True, timeout=30)
    home = running.bank.home
    roots = ("-CAfile", running.bank.root, "-untrusted", home / "pki" / "chain.pem")
    if "-cert" not in options:
        both = tmp_path / "chain.pem"
        both.write_bytes((home / "pki" / "chain.pem").read_bytes() + (home / "keys" / "tsa.crt.pem").read_bytes())
        roots = ("-CAfile", running.bank.root, "-untrusted", both)
    run(openssl, "ts", "-verify", "-queryfile", query, "-in", reply, *roots)
    data.write_bytes(DATA + b"!")
    assert subprocess.run([openssl, "ts", "-verify", "-data", data, "-in", reply, *roots], check=False,
                          capture_output=True, timeout=30).returncode != 0


def test_rfc3161_client_verifies(running: Process, asker: Asker) -> None:
    request = rfc3161_client.TimestampRequestBuilder().data(DATA).nonce(nonce=True).build()
    answer = asker.stamp(request.as_bytes())
    assert (answer.status, answer.headers["content-type"]) == (200, "application/timestamp-reply")
    home = running.bank.home
    verifier = (rfc3161_client.VerifierBuilder.from_request(request)
                .add_root_certificate(x509.load_pem_x509_certificate(running.bank.root.read_bytes()))
                .add_intermediate_certificate(
                    x509.load_pem_x509_certificate((home / "pki" / "chain.pem").read_bytes())).build())
    assert verifier.verify_message(rfc3161_client.decode_timestamp_response(answer.body), DATA)


def test_a_rejection_is_the_protocols_own(asker: Asker, tmp_path: Path) -> None:
    answer = asker.stamp(OpenSsl().stamp_request(DATA, policy="1.3.6.1.4.1.99999.8"))
    assert answer.status == 200
    reply = tmp_path / "r.tsr"
    reply.write_bytes(answer.body)
    assert b"Status: Rejected" in run(OpenSsl().program, "ts", "-reply", "-in", reply, "-text")


def test_over_tls(tmp_path: Path) -> None:
    tls: TlsFiles = make_tls(tmp_path)
    bank = new_bank(tmp_path / "bank")
    add_http(bank, f"  port: 0\n  tsa: internal\n  certificate: {tls.server}\n  key: {tls.server_key}")
    with process(bank) as started, asking(started.port, "https", ca_certs=str(tls.ca)) as asker:
        answer = asker.stamp(OpenSsl().stamp_request(DATA))
        assert answer.status == 200
        assert "strict-transport-security" in answer.headers
