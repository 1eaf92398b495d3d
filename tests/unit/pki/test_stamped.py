"""Time-stamp tokens judged. Truth: RFC 3161 2.3 and 2.4.2, tokens of the embedded service with one fault each, and

tokens made by openssl ts.
"""

import hashlib
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from gateway.errors import Reason
from gateway.model.verdict import Status
from gateway.pki.content import Content
from gateway.pki.revocation.verdict import Revocation
from gateway.pki.timestamps import SKEW, judge_token
from gateway.pki.trust import Anchor, TrustSet
from tests.support.pki import END, LONG_AGO, NOW, get_pki
from tests.support.sealed import forged_stamper, stamper, trust_of

DATA = b"a signature value"


def verdict(token=None, data=DATA, at=NOW, trust=None, mode="soft"):
    return judge_token(token or stamper(NOW)(DATA), Content(data) if data is not None else None, at,
                       trust or trust_of(get_pki()), Revocation(mode))


def test_a_good_token():
    found = verdict()
    assert (found.status, found.reason) == (Status.VALID, None)
    assert found.time == NOW
    assert found.accuracy_s == 1.0
    assert found.tsa == "CN=Test Time Stamping Unit"
    assert found.trust == "internal"


@pytest.mark.parametrize("kind", ["internal", "external", "qualified"])
def test_the_anchor_says_what_the_service_is(kind):
    trust = TrustSet(stampers=(Anchor(get_pki().tsa_root_certificate, kind),))
    assert verdict(trust=trust).trust == kind


def test_a_token_about_something_else():
    assert verdict(data=b"another signature").reason is Reason.TIMESTAMP_IMPRINT


def test_what_it_is_about_is_not_at_hand():
    found = verdict(data=None)
    assert (found.status, found.reason) == (Status.INDETERMINATE, Reason.TIMESTAMP_SUBJECT_MISSING)


@pytest.mark.parametrize("octet", [1, 20, 90, -1, -30])
def test_an_altered_token_is_never_good(octet):
    token = bytearray(stamper(NOW)(DATA))
    token[octet] ^= 1
    assert verdict(bytes(token)).status is not Status.VALID


@pytest.mark.parametrize("token", [b"x", b"\x30\x00", b"\x30\x80\x00\x00", bytes(100)])
def test_what_is_no_token(token):
    found = verdict(token)
    assert (found.status, found.reason) == (Status.INVALID, Reason.TIMESTAMP_MALFORMED)


@pytest.mark.parametrize(("ahead", "reason"), [
    (SKEW, None), (SKEW + timedelta(seconds=1), None), (SKEW + timedelta(seconds=2), Reason.TIMESTAMP_FUTURE),
    (timedelta(days=400), Reason.TIMESTAMP_FUTURE)])
def test_the_future(ahead, reason):
    """Its own accuracy of one second and five minutes between two clocks are allowed."""
    assert verdict(stamper(NOW + ahead)(DATA)).reason is reason


def test_without_anchors_or_issuers_it_is_undecided():
    found = verdict(trust=TrustSet())
    assert (found.status, found.reason) == (Status.INDETERMINATE, Reason.PATH_TRUST_ANCHOR_MISSING)
    other = TrustSet(stampers=(Anchor(get_pki("Strangers").tsa_root_certificate),))
    assert verdict(trust=other).status is not Status.VALID


def test_a_mail_root_makes_no_time_stamper_believable():
    pki = get_pki()
    swapped = replace(trust_of(pki), stampers=(Anchor(pki.root_certificate),))
    assert verdict(trust=swapped).status is not Status.VALID


def test_a_service_whose_certificate_has_run_out_proves_nothing_any_more():
    unit = get_pki().stamper(not_after=LONG_AGO)
    token = stamper(LONG_AGO - timedelta(days=1), unit)(DATA)
    assert verdict(token, at=LONG_AGO).status is Status.VALID
    found = verdict(token, at=NOW)
    assert (found.status, found.reason) == (Status.INVALID, Reason.TIMESTAMP_EXPIRED)


def test_a_token_from_before_its_certificate():
    unit = get_pki().stamper(not_before=NOW - timedelta(days=1))
    found = verdict(forged_stamper(NOW - timedelta(days=2), unit)(DATA))
    assert (found.status, found.reason) == (Status.INVALID, Reason.TIMESTAMP_EXPIRED)


def test_under_require_nothing_is_known_yet():
    found = verdict(mode="require")
    assert (found.status, found.reason) == (Status.INDETERMINATE, Reason.REVOCATION_UNAVAILABLE)


def test_tokens_of_openssl(tmp_path):
    unit, root = get_pki().stamper("rsa-2048"), get_pki().tsa_root_certificate
    (tmp_path / "tsa.pem").write_bytes(unit.pem)
    (tmp_path / "key.pem").write_bytes(unit.key_pem)
    (tmp_path / "chain.pem").write_bytes(unit.chain_pem)
    (tmp_path / "data").write_bytes(DATA)
    (tmp_path / "serial").write_text("01")
    (tmp_path / "tsa.cnf").write_text(
        f"[tsa]\ndefault_tsa=t\n[t]\nserial={tmp_path}/serial\ncrypto_device=builtin\nsigner_cert={tmp_path}/tsa.pem\n"
        f"signer_key={tmp_path}/key.pem\nsigner_digest=sha256\ndefault_policy=2.999.3\ndigests=sha256,sha512\n"
        "accuracy=secs:2,millisecs:500\nordering=no\ntsa_name=no\ness_cert_id_chain=no\ness_cert_id_alg=sha256\n")

    def openssl(*arguments):
        return subprocess.run(["openssl", "ts", *arguments], check=True, capture_output=True, cwd=tmp_path).stdout

    for digest in ("sha256", "sha512"):
        openssl("-query", "-data", "data", f"-{digest}", "-cert", "-out", "q.tsq")
        token = openssl("-reply", "-config", "tsa.cnf", "-queryfile", "q.tsq", "-token_out")
        now = datetime.now(UTC)
        found = verdict(token, at=now, trust=TrustSet(stampers=(Anchor(root, "external"),)))
        assert (found.status, found.reason, found.accuracy_s) == (Status.VALID, None, 2.5)
        assert abs(found.time - now) < timedelta(minutes=1)
    assert hashlib.sha256(DATA).digest() in token or digest == "sha512"
    assert now < END
