"""`sealgate inspect` with revocation lists and OCSP answers: judged by them, and they themselves.

Truth: the interface, and what the authorities of the test PKI were told to say.
"""

import json
from datetime import timedelta

import pytest

from gateway.authority.crl import RevokedEntry, build_crl
from gateway.authority.ocsp import build_answer
from tests.support.pki import NOW, get_pki, pem
from tests.support.sealed import TEXT, anna, message, signed
from tests.unit.cli.test_inspect_command import run

DAY = timedelta(days=1)


@pytest.fixture
def desk(tmp_path):
    """Files as somebody would have them."""
    pki, serial = get_pki(), anna().certificate.serial

    def crl(authority, *entries, **more):
        return build_crl(authority, entries, 5, more.get("made", NOW - DAY), more.get("until", NOW + DAY))

    def ocsp(status, **more):
        return build_answer(pki.intermediate.der, anna().der, pki.intermediate, status, NOW - DAY,
                            more.pop("until", NOW + DAY), **more)

    revoked = crl(pki.intermediate, RevokedEntry(serial, NOW - 2 * DAY, "superseded"))
    files = {
        "mail.eml": message(signed(TEXT, anna())), "root.pem": pki.root_pem, "chain.pem": pem(pki.intermediate.der),
        "root.crl": crl(pki.root), "good.crl": pem(crl(pki.intermediate), "X509 CRL"), "revoked.crl": revoked,
        "altered.crl": revoked.replace(b"261124120000Z", b"261125120000Z")[:-1] + b"\0",
        "old.crl": crl(pki.intermediate, made=NOW - 9 * DAY, until=NOW - 8 * DAY),
        "held.crl": crl(pki.intermediate, RevokedEntry(serial, NOW - DAY, "certificateHold")),
        "good.ocsp": ocsp("good"), "unknown.ocsp": ocsp("unknown"), "old.ocsp": ocsp("good", until=NOW - DAY / 2),
        "revoked.ocsp": ocsp("revoked", revoked_at=NOW - DAY, reason="keyCompromise")}
    for name, octets in files.items():
        (tmp_path / name).write_bytes(octets)
    return tmp_path


def asked(desk, *arguments):
    result = run(desk, *arguments, "--json")
    return result.exit_code, json.loads(result.stdout), result.stderr


@pytest.mark.parametrize(("given", "verdict", "reason"), [
    (["--crl", "good.crl", "--crl", "root.crl"], "trusted", None),
    (["--ocsp", "good.ocsp", "--crl", "root.crl"], "trusted", None),
    (["--crl", "revoked.crl"], "not_trusted", "signature.revoked"),
    (["--ocsp", "revoked.ocsp"], "not_trusted", "signature.revoked"),
    (["--crl", "held.crl"], "not_trusted", "signature.on_hold"),
    (["--crl", "good.crl"], "unknown", "revocation.unavailable"),  # nothing is known of the authority itself
    (["--crl", "old.crl", "--crl", "root.crl"], "unknown", "revocation.unavailable"),
    (["--ocsp", "unknown.ocsp", "--crl", "root.crl"], "unknown", "revocation.unavailable"),
    (["--crl", "good.crl", "--ocsp", "revoked.ocsp", "--crl", "root.crl"], "not_trusted", "signature.revoked")])
def test_a_mail_is_judged_by_what_is_given(desk, given, verdict, reason):
    code, answer, _ = asked(desk, "mail.eml", "--trust", "root.pem", "--revocation", "require", *given)
    assert (answer["verdict"], answer["signature"]["signers"][0]["reason"]) == (verdict, reason)
    assert code == (0 if verdict == "trusted" else 1)


def test_what_is_not_believed_is_told_and_not_used(desk):
    code, answer, told = asked(desk, "mail.eml", "--trust", "root.pem", "--crl", "altered.crl", "--crl", "root.crl")
    assert code == 0
    assert answer["signature"]["signers"][0]["notes"] == ["revocation.not_checked"]
    states = {one["file"]: (one["kind"], one["state"], one["reason"]) for one in answer["given"]}
    assert states == {"altered.crl": ("crl", "refused", "revocation.altered"), "root.crl": ("crl", "used", None)}
    assert "altered.crl was not used: revocation.altered" in told


def test_without_such_files_nothing_is_said_of_them(desk):
    assert "given" not in asked(desk, "mail.eml", "--trust", "root.pem")[1]


@pytest.mark.parametrize(("file", "roots", "code", "verdict", "why", "status"), [
    ("good.ocsp", ["--trust", "root.pem", "--chain", "chain.pem"], 0, "trusted", [], "good"),
    ("revoked.ocsp", ["--trust", "root.pem", "--chain", "chain.pem"], 0, "trusted", [], "revoked"),
    ("unknown.ocsp", ["--trust", "root.pem", "--chain", "chain.pem"], 0, "trusted", [], "unknown"),
    ("old.ocsp", ["--trust", "root.pem", "--chain", "chain.pem"], 1, "unknown", ["revocation.stale"], "good"),
    ("good.ocsp", ["--trust", "root.pem"], 1, "unknown", ["path.issuer_missing"], "good"),
    ("good.ocsp", ["--chain", "chain.pem"], 1, "unknown", ["path.trust_anchor_missing"], "good")])
def test_an_answer_by_itself(desk, file, roots, code, verdict, why, status):
    found, answer, _ = asked(desk, file, *roots)
    assert (found, answer["kind"], answer["verdict"], answer["why"]) == (code, "ocsp", verdict, why)
    (one,) = answer["answers"]
    assert (one["status"], one["serial"]) == (status, f"{anna().certificate.serial:x}")
    assert one["this_update"] == "2026-11-23T12:00:00Z"
    if not why:
        assert one["responder"] == one["issuer"]


@pytest.mark.parametrize(("file", "roots", "code", "verdict", "why", "entries"), [
    ("revoked.crl", ["--trust", "root.pem", "--chain", "chain.pem"], 0, "trusted", [], 1),
    ("good.crl", ["--trust", "root.pem", "--chain", "chain.pem"], 0, "trusted", [], 0),
    ("old.crl", ["--trust", "root.pem", "--chain", "chain.pem"], 1, "unknown", ["revocation.stale"], 0),
    ("altered.crl", ["--trust", "root.pem", "--chain", "chain.pem"], 1, "not_trusted", ["revocation.altered"], None),
    ("good.crl", ["--trust", "root.pem"], 1, "unknown", ["path.issuer_missing"], None),
    ("good.crl", ["--chain", "chain.pem"], 1, "unknown", ["path.trust_anchor_missing"], 0)])
def test_a_list_by_itself(desk, file, roots, code, verdict, why, entries):
    found, answer, _ = asked(desk, file, *roots)
    assert (found, answer["kind"], answer["verdict"], answer["why"]) == (code, "crl", verdict, why)
    assert (answer["list"]["number"], answer["list"]["entries"], answer["list"]["scope"]) == (5, entries, "")


@pytest.mark.parametrize(("file", "words"), [
    ("revoked.ocsp", "revoked since 2026-11-23"), ("revoked.crl", "1 entries")])
def test_for_people(desk, file, words):
    result = run(desk, file, "--trust", "root.pem", "--chain", "chain.pem")
    assert result.exit_code == 0
    assert words in result.stdout
