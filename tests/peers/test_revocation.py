"""Lists and answers against another program, both ways.

Truth: `openssl crl`, `openssl verify -crl_check` and `openssl ocsp` on ours; ours on those of `openssl ca -gencrl`
and `openssl ocsp`.
"""

import subprocess
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.authority.crl import RevokedEntry, build_crl
from gateway.authority.ocsp import build_answer
from gateway.cms.certificate import parse_certificate
from gateway.errors import GatewayError, Reason
from gateway.pki.revocation.crl import read_list
from gateway.pki.revocation.entries import count, find, serial_key
from gateway.pki.revocation.ocsp import build_request, read_answer
from tests.support.pki import get_pki
from tests.support.sealed import anna, trust_of

DAY = timedelta(days=1)
CONFIG = """[ca]
default_ca = d
[d]
database = index
serial = serial
crlnumber = crlnumber
new_certs_dir = .
default_md = sha256
policy = p
crl_extensions = e
[p]
commonName = supplied
[e]
authorityKeyIdentifier = keyid
"""


@pytest.fixture
def desk(tmp_path):
    """The test PKI's authority as openssl's: `run` in a directory with its certificate, its key and an empty index."""
    pki = get_pki()
    (tmp_path / "ca.conf").write_text(CONFIG)
    (tmp_path / "ca.pem").write_bytes(pki.intermediate.certificate.public_bytes(Encoding.PEM))
    (tmp_path / "root.pem").write_bytes(pki.root_pem)
    (tmp_path / "key.pem").write_bytes(
        pki.intermediate.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "anna.pem").write_bytes(anna().pem)
    (tmp_path / "index").write_text("")
    (tmp_path / "crlnumber").write_text("0A\n")

    def run(*arguments, check=True):
        done = subprocess.run(["openssl", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done.returncode, done.stdout + done.stderr

    return SimpleNamespace(path=tmp_path, run=run, pki=pki, issuer=parse_certificate(pki.intermediate.der),
                           trust=trust_of(pki), now=datetime.now(UTC).replace(microsecond=0))


def index(desk, status):
    serial = f"{anna().certificate.serial:X}"
    (desk.path / "index").write_text(f"{status}\t{serial}\tunknown\t/CN=anna\n")


@pytest.mark.parametrize(("revoked", "reason"), [
    ("R\t440101000000Z\t260101000000Z,keyCompromise", "keyCompromise"),
    ("R\t440101000000Z\t260101000000Z,CACompromise", "cACompromise"),
    ("R\t440101000000Z\t260101000000Z,superseded", "superseded"), ("R\t440101000000Z\t260101000000Z", None)])
def test_a_list_that_openssl_makes(desk, revoked, reason):
    index(desk, revoked)
    desk.run("ca", "-config", "ca.conf", "-gencrl", "-cert", "ca.pem", "-keyfile", "key.pem", "-crldays", "1",
             "-out", "list.pem")
    new = read_list((desk.path / "list.pem").read_bytes(), desk.issuer, (), desk.trust, desk.now + timedelta(minutes=1))
    assert (new.number, count(new.records)) == (10, 1)
    entry = find(new.records, serial_key(anna().certificate.serial))
    assert (entry.at, entry.reason_name) == (datetime(2026, 1, 1, tzinfo=UTC), reason)


def test_a_list_that_openssl_signs_by_sha_1_is_refused_by_name(desk):
    desk.run("ca", "-config", "ca.conf", "-gencrl", "-cert", "ca.pem", "-keyfile", "key.pem", "-crldays", "1",
             "-md", "sha1", "-out", "list.pem")
    with pytest.raises(GatewayError) as caught:
        read_list((desk.path / "list.pem").read_bytes(), desk.issuer, (), desk.trust, desk.now)
    assert caught.value.reason is Reason.REVOCATION_WEAK_ALGORITHM


@pytest.mark.parametrize("listed", [True, False])
def test_our_list_as_openssl_judges_by_it(desk, listed):
    entries = [RevokedEntry(anna().certificate.serial, desk.now - DAY, "keyCompromise")] if listed else []
    (desk.path / "ours.crl").write_bytes(build_crl(desk.pki.intermediate, entries, 7, desk.now - DAY, desk.now + DAY))
    _, text = desk.run("crl", "-inform", "DER", "-in", "ours.crl", "-CAfile", "ca.pem", "-noout", "-crlnumber")
    assert "verify OK" in text
    assert "0x07" in text
    desk.run("crl", "-inform", "DER", "-in", "ours.crl", "-out", "ours.pem")
    code, text = desk.run("verify", "-crl_check", "-CRLfile", "ours.pem", "-CAfile", "root.pem", "-untrusted",
                          "ca.pem", "anna.pem", check=False)
    assert (code != 0, "certificate revoked" in text) == (listed, listed)


@pytest.mark.parametrize(("status", "said", "reason"), [
    ("V\t440101000000Z\t", "good", None), ("R\t440101000000Z\t260101000000Z,superseded", "revoked", "superseded"),
    (None, "unknown", None)])
@pytest.mark.parametrize("by_key", [True, False])
def test_our_question_and_the_answer_of_openssl(desk, status, said, reason, by_key):
    if status is not None:
        index(desk, status)
    nonce = b"0123456789abcdef"
    (desk.path / "ask.der").write_bytes(build_request(anna().certificate, desk.issuer, nonce))
    desk.run("ocsp", "-index", "index", "-CA", "ca.pem", "-rsigner", "ca.pem", "-rkey", "key.pem", "-reqin", "ask.der",
             "-respout", "answer.der", "-ndays", "1", *(["-resp_key_id"] if by_key else []))
    answer = read_answer((desk.path / "answer.der").read_bytes(), anna().certificate, desk.issuer, desk.trust,
                         desk.now + timedelta(minutes=1), nonce)
    assert (answer.status, answer.reason) == (said, reason)


@pytest.mark.parametrize(("status", "said"), [("good", "anna.pem: good"), ("revoked", "anna.pem: revoked"),
                                              ("unknown", "anna.pem: unknown")])
def test_our_answer_as_openssl_reads_it(desk, status, said):
    der = build_answer(desk.pki.intermediate.der, anna().der, desk.pki.intermediate, status, desk.now - DAY,
                       desk.now + DAY, revoked_at=desk.now - DAY if status == "revoked" else None)
    (desk.path / "ours.der").write_bytes(der)
    _, text = desk.run("ocsp", "-respin", "ours.der", "-issuer", "ca.pem", "-cert", "anna.pem", "-CAfile", "root.pem",
                       "-verify_other", "ca.pem", "-no_nonce")
    assert "Response verify OK" in text
    assert said in text
