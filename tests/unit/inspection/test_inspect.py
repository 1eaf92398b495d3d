"""`inspect` on every kind of file. Truth: the interface's keys and words, files of openssl and of the test PKI."""

import json
import os
import subprocess
import time
import tracemalloc
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.cms.algorithms import ContentCipher
from gateway.errors import GatewayError, Reason
from gateway.inspection.inspect import Options, inspect
from gateway.inspection.keys import DeskKey, KeyFile, desk_keys
from gateway.inspection.kinds import kind_of
from gateway.model.verdict import Status, Trust
from gateway.pki.judge import Judge
from gateway.pki.revocation.verdict import Revocation
from gateway.pki.trust import TrustSet, same_for_mail
from gateway.smime.open import open_mail
from tests.support.mails import everything
from tests.support.pki import ALGORITHMS_ENCRYPT, LONG_AGO, NOW, PASSWORD, CertificateKey, get_pki, pem
from tests.support.sealed import (
    TEXT,
    anna,
    box,
    cms,
    compressed,
    enveloped,
    judge,
    message,
    signature,
    signed,
    stamper,
)

STATUSES = {"valid", "invalid", "indeterminate", "not_signed"}
REASONS = {reason.value for reason in Reason} | {None}


def options(**changes):
    return replace(Options(judge(), NOW, keys=[CertificateKey(box())]), **changes)


def told(octets, **changes):
    """The JSON object, through JSON, held against the interface."""
    answer = json.loads(json.dumps(inspect(octets, options(**changes)).as_json()))
    check_shape(answer)
    return answer


def check_shape(answer):
    """Keys and words of the interface, for every kind alike."""
    optional = {"timestamp": {"timestamp"}, "pdf": {"changes"}, "ocsp": {"answers"}, "crl": {"list"}}.get(
        answer["kind"], set())
    assert set(answer) - {"certificates"} == {"kind", "layers", "decryption", "signature", "headers", "verdict", "why",
                                              *optional}
    assert answer["kind"] in {"mail", "cms", "timestamp", "pdf", "certificate", "pkcs12", "ocsp", "crl", "unknown"}
    assert answer["verdict"] in {"trusted", "not_trusted", "unknown"}
    assert set(answer["why"]) <= REASONS
    assert (answer["why"] == []) or answer["verdict"] != "trusted"
    for layer in answer["layers"]:
        assert set(layer) == {"type", "algorithms", "recipients"}
        assert layer["type"] in {"signed", "enveloped", "auth_enveloped", "compressed", "plain"}
    decryption = answer["decryption"]
    assert set(decryption) == {"status", "reason", "covers", "integrity"}
    assert decryption["status"] in {"decrypted", "not_encrypted", "no_key", "failed"}
    assert decryption["covers"] in {"whole", "part", None}
    assert decryption["integrity"] in {"aead", "signed_inside", "none", None}
    assert decryption["reason"] in REASONS
    found = answer["signature"]
    assert set(found) == {"status", "reason", "covers", "order", "signers"}
    assert found["status"] in STATUSES
    assert found["order"] in {"signed_only", "inside_encryption", "outside_encryption", "both", None}
    for signer in found["signers"]:
        assert set(signer) == {"layer", "status", "reason", "subject", "emails", "issuer", "serial", "level",
                               "matches_from", "signing_time", "judged_at", "algorithm", "timestamp", "notes"}
        assert answer["layers"][signer["layer"]]["type"] == "signed"
        assert set(signer["timestamp"]) == {"status", "reason", "time", "accuracy_s", "tsa", "trust"}
        assert signer["timestamp"]["status"] in {"valid", "invalid", "indeterminate", "none"}
    assert set(answer["headers"]) == {"subject", "from", "to", "date", "protected", "differs"}


# --- mail and CMS ------------------------------------------------------------------------------------------


def test_a_sealed_mail_in_full():
    mail = message(enveloped(signed(TEXT, anna(), stamp=stamper(NOW)), box()))
    answer = told(mail)
    signer = answer["signature"]["signers"][0]
    assert signer.pop("serial") == f"{anna().certificate.serial:x}"
    assert answer == {
        "kind": "mail",
        "layers": [{"type": "enveloped", "algorithms": ["aes256-cbc", "ecdh"],
                    "recipients": [f"{box().certificate.issuer} {box().certificate.serial:x}"]},
                   {"type": "signed", "algorithms": ["sha256_ecdsa"], "recipients": []},
                   {"type": "plain", "algorithms": [], "recipients": []}],
        "decryption": {"status": "decrypted", "reason": None, "covers": "whole", "integrity": "signed_inside"},
        "signature": {
            "status": "valid", "reason": None, "covers": "whole", "order": "inside_encryption", "signers": [{
                "layer": 1, "status": "valid", "reason": None, "subject": "CN=anna@customer.example",
                "emails": ["anna@customer.example"], "issuer": "CN=Test Bank Mail CA,O=Test Bank,C=DE", "level": [],
                "matches_from": True, "signing_time": "2026-11-24T12:00:00Z", "judged_at": "2026-11-24T12:00:01Z",
                "algorithm": "sha256_ecdsa", "notes": ["revocation.not_checked"],
                "timestamp": {"status": "valid", "reason": None, "time": "2026-11-24T12:00:00Z", "accuracy_s": 1.0,
                              "tsa": "CN=Test Time Stamping Unit", "trust": "internal"}}]},
        "headers": {"subject": "Order", "from": "Anna <anna@customer.example>", "to": "orders@bank.example",
                    "date": "Tue, 24 Nov 2026 12:00:00 +0000", "protected": False, "differs": []},
        "verdict": "trusted", "why": []}


def test_the_answer_is_that_of_the_gateway():
    mails = [message(entity) for entity in (
        TEXT, signed(TEXT, anna()), enveloped(signed(TEXT, anna()), box()), signed(enveloped(TEXT, box()), anna()),
        compressed(TEXT), cms(b"junk", "enveloped-data"))]
    for mail in (*mails, *everything().values()):
        found = inspect(mail, options())
        verdicts = open_mail(mail, [CertificateKey(box())], judge(), NOW).verdicts
        assert (found.layers, found.decryption, found.signature, found.headers, found.verdict, found.why) == (
            verdicts.layers, verdicts.decryption, verdicts.signature, verdicts.headers, verdicts.verdict, verdicts.why)


@pytest.mark.parametrize("name", everything())
def test_every_kind_of_mail_has_its_answer(name):
    assert told(everything()[name])["kind"] == "mail"


@pytest.mark.parametrize("algorithm", ALGORITHMS_ENCRYPT)
@pytest.mark.parametrize("oaep", [False, True])
def test_every_kind_of_key_at_the_desk(algorithm, oaep):
    from gateway.cms.algorithms import KeyTransport
    from gateway.cms.enveloped import encrypt

    person = box(algorithm)
    keys = desk_keys([KeyFile("box", person.key_pem + person.pem)])
    der = encrypt(signed(TEXT, anna()), [person.certificate], ContentCipher.AES256_CBC,
                  KeyTransport.OAEP_SHA256 if oaep else KeyTransport.PKCS1)
    assert told(message(cms(der, "enveloped-data")), keys=keys)["verdict"] == "trusted"
    stranger = box(algorithm, which=7)
    other = desk_keys([KeyFile("box", stranger.key_pem)], [person.certificate, stranger.certificate])
    assert told(message(cms(der, "enveloped-data")), keys=other)["decryption"]["status"] == "no_key"


def test_a_key_with_the_wrong_certificate_fails_like_any_other():
    """Somebody pairs a foreign certificate with his own key: nothing but a failure comes of it.

    In GCM, where a wrong key never opens anything. In CBC it pads well once in 256 times, and then garbage comes out
    that nothing authenticates; tests/unit/cms/test_enveloped_attacks.py holds that the two cannot be told apart.
    """
    for algorithm, others in (("p-256", "rsa-2048"), ("rsa-2048", "p-256"), ("x25519", "p-384")):
        wrong = DeskKey(box(others).key, box(algorithm).certificate)
        mail = message(enveloped(TEXT, box(algorithm), cipher=ContentCipher.AES256_GCM))
        assert told(mail, keys=[wrong])["decryption"] == {
            "status": "failed", "reason": "decryption.failed", "covers": "whole", "integrity": None}


@pytest.mark.parametrize(("octets", "password", "reason"), [
    (b"", None, Reason.INPUT_UNREADABLE), (b"junk", None, Reason.INPUT_UNREADABLE),
    (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", None, Reason.INPUT_UNREADABLE),
    (b"no PEM -----BEGIN at all", None, Reason.INPUT_UNREADABLE)])
def test_keys_that_are_none(octets, password, reason):
    with pytest.raises(GatewayError) as caught:
        desk_keys([KeyFile("a file", octets, password)])
    assert caught.value.reason is reason
    assert "a file" in caught.value.detail


def test_without_roots_it_is_undecided():
    answer = told(message(signed(TEXT, anna())), judge=Judge(same_for_mail([])))
    assert (answer["verdict"], answer["why"]) == ("unknown", ["path.trust_anchor_missing"])
    assert answer["signature"]["status"] == "indeterminate"


def test_a_mail_saved_with_other_line_ends():
    mail = message(signed(TEXT, anna()))
    assert told(mail.replace(b"\r\n", b"\n"))["verdict"] == "trusted"
    assert told(b"From anna Tue Nov 24 12:00:00 2026\n" + mail.replace(b"\r\n", b"\n"))["verdict"] == "trusted"
    assert told(mail.replace(b"EUR.\r\n", b"EUR.\n"))["verdict"] == "not_trusted", "no octet is repaired"


def test_cms_objects_in_der_and_pem():
    opaque = signature(TEXT, anna(), opaque=True)
    for octets in (opaque, pem(opaque, "CMS"), pem(opaque, "PKCS7"),
                   pem(opaque, "SIGNED MESSAGE"), b"some text\n" + pem(opaque, "CMS")):
        answer = told(octets)
        assert (answer["kind"], answer["verdict"]) == ("cms", "trusted")
        assert answer["headers"]["from"] is None
        assert inspect(octets, options()).output == TEXT
    detached = signature(TEXT, anna())
    assert told(detached)["why"] == ["signature.content_missing"]
    assert told(detached, content=TEXT)["verdict"] == "trusted"
    assert told(detached, content=b"other")["why"] == ["signature.altered"]


def test_a_bundle_of_certificates_is_well_formed_and_bears_no_trust():
    from tests.support import forge

    bundle = forge.signed_data([], content=None, certificates=[anna().der, *anna().chain_der])
    for octets in (bundle, pem(bundle, "PKCS7")):
        found = inspect(octets, options())
        assert (found.kind, found.verdict, found.why) == ("cms", Trust.UNKNOWN, (Reason.SIGNATURE_NOT_SIGNED,))
        assert found.good
        assert [c.subject for c in found.certificates] == ["CN=anna@customer.example",
                                                           "CN=Test Bank Mail CA,O=Test Bank,C=DE"]
        assert all(c.uses["signer"].status is Status.VALID for c in found.certificates)
    assert not inspect(forge.signed_data([], content=TEXT), options()).good


def test_der_in_bare_base64():
    import base64

    answer = told(base64.encodebytes(signature(TEXT, anna(), opaque=True)))
    assert (answer["kind"], answer["verdict"]) == ("cms", "trusted")
    assert told(b"MIsses nobody\n")["kind"] == "unknown"


def test_other_times_other_answers():
    late = anna(not_after=LONG_AGO)
    mail = message(signed(TEXT, late))
    assert told(mail)["why"] == ["signature.expired"]
    assert told(mail, at=LONG_AGO)["verdict"] == "trusted"
    assert told(mail, at=LONG_AGO - timedelta(days=999))["why"] == ["signature.not_yet_valid"]


def test_revocation_modes():
    mail = message(signed(TEXT, anna()))
    none, require = (Judge(judge().trust, Revocation(mode)) for mode in ("none", "require"))
    assert told(mail, judge=none)["signature"]["signers"][0]["notes"] == []
    answer = told(mail, judge=require)
    assert (answer["verdict"], answer["why"]) == ("unknown", ["revocation.unavailable"])


# --- time-stamps -------------------------------------------------------------------------------------------


def test_tokens_and_responses():
    from gateway.cms.timestamp import Failure, build_rejection, build_response

    token = stamper(NOW)(TEXT)
    for octets in (token, build_response(token)):
        answer = told(octets, content=TEXT)
        assert (answer["kind"], answer["verdict"]) == ("timestamp", "trusted")
        assert answer["timestamp"] == {"status": "valid", "reason": None, "time": "2026-11-24T12:00:00Z",
                                       "accuracy_s": 1.0, "tsa": "CN=Test Time Stamping Unit"}
        assert told(octets)["why"] == ["timestamp.subject_missing"]
        assert told(octets, content=b"x")["why"] == ["timestamp.imprint"]
        missing = told(octets, content=TEXT, judge=Judge(TrustSet()))
        assert (missing["verdict"], missing["why"]) == ("unknown", ["path.trust_anchor_missing"])
    assert told(build_rejection(Failure.BAD_ALG))["why"] == ["timestamp.refused"]


# --- certificates and PKCS#12 ------------------------------------------------------------------------------


def test_certificates():
    pki = get_pki()
    answer = told(anna().chain_pem)
    assert (answer["kind"], answer["verdict"]) == ("certificate", "trusted")
    first = answer["certificates"][0]
    assert first["subject"] == "CN=anna@customer.example"
    assert first["uses"]["signer"] == {"status": "valid", "reason": None}
    assert first["uses"]["recipient"]["reason"] == "certificate.wrong_usage"
    assert told(anna().der)["why"] == ["path.issuer_missing"]
    assert told(anna(not_after=LONG_AGO).chain_pem)["why"] == ["certificate.expired"]
    assert told(box().chain_pem)["verdict"] == "trusted"
    assert told(pki.stamper().chain_pem)["verdict"] == "trusted"
    assert told(pki.root_pem)["verdict"] == "trusted"
    assert told(get_pki("Strangers").root_pem)["why"] == ["path.untrusted_root"]
    assert told(anna().der[:-5] + b"12345")["verdict"] != "trusted"
    assert told(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")["why"] == ["certificate.malformed"]


@pytest.mark.parametrize("old", [False, True])
def test_pkcs12(old):
    store = anna("rsa-2048").p12(PASSWORD, old=old)
    answer = told(store)
    assert (answer["kind"], answer["verdict"], answer["why"]) == ("pkcs12", "unknown", ["input.password_wrong"])
    assert told(store, passwords=(b"wrong",))["why"] == ["input.password_wrong"]
    answer = told(store, passwords=(b"wrong", PASSWORD))
    assert (answer["verdict"], answer["certificates"][0]["private_key"]) == ("trusted", True)
    unjudged = inspect(store, options(passwords=(PASSWORD,), judge=Judge(TrustSet())))
    assert unjudged.verdict is Trust.UNKNOWN
    assert unjudged.good, "well-formed, and nobody asked to believe it"
    assert not inspect(store, options()).good


@pytest.mark.parametrize("behind", [b"", b"\0"])
def test_pkcs12_with_endless_rounds_is_not_tried(behind):
    """OpenSSL's reader passes over octets behind the end, and then runs all rounds that the file asks for."""
    from asn1crypto import pkcs12

    store = pkcs12.Pfx.load(anna("rsa-2048").p12())
    store["mac_data"]["iterations"] = 2**31 - 1
    started = time.process_time()
    answer = told(store.dump(force=True) + behind, passwords=(PASSWORD,))
    assert answer["verdict"] == "unknown"
    assert answer["why"] == ["input.unreadable" if behind else "input.limit_exceeded"]
    assert time.process_time() - started < 1


# --- what is not judged, and what is nothing ---------------------------------------------------------------


@pytest.mark.parametrize(("octets", "kind", "why"), [
    (b"", "unknown", "input.empty"), (b"x", "unknown", "input.not_recognised"), (b"\0" * 1000, "unknown", None),
    (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "pdf", "input.kind_not_judged"), (b"\n%PDF-2.0", "pdf", None),
    (bytes.fromhex("3003 0a01 06".replace(" ", "")), "ocsp", "revocation.refused"),
    (b"0\x80", "unknown", None), (b"0\x84\xff\xff\xff\xff", "unknown", None), (b"\x30\x00", "unknown", None),
    (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "unknown", "input.not_recognised"),
    (b"-----BEGIN ", "unknown", None), (b"-----BEGIN CMS-----\n!!!\n-----END CMS-----\n", "unknown", None),
    (b"hello world\n", "unknown", None), (b"X-Mine: 1\n\nhello\n", "unknown", None), (b"From: a@b\n", "mail", None),
    (b"\r\n\r\n", "unknown", None), ("Grüße".encode("utf-16"), "unknown", None)])
def test_kinds_by_content(octets, kind, why):
    answer = told(octets)
    assert answer["kind"] == kind
    assert answer["verdict"] == "unknown"
    if why is not None:
        assert answer["why"] == [why]


def test_an_ocsp_response_of_openssl_is_known_as_one(tmp_path):
    issuer = get_pki().intermediate
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    (tmp_path / "ca.pem").write_bytes(pem(issuer.der))
    (tmp_path / "key.pem").write_bytes(issuer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "leaf.pem").write_bytes(anna().pem)
    serial = f"{anna().certificate.serial:X}"
    (tmp_path / "index").write_text(f"V\t440101000000Z\t\t{serial}\tunknown\t/CN=x\n")
    subprocess.run(["openssl", "ocsp", "-index", "index", "-CA", "ca.pem", "-rsigner", "ca.pem", "-rkey", "key.pem",
                    "-issuer", "ca.pem", "-cert", "leaf.pem", "-respout", "resp.der", "-ndays", "1", "-noverify"],
                   cwd=tmp_path, check=True, capture_output=True)
    assert told((tmp_path / "resp.der").read_bytes())["kind"] == "ocsp"


def test_what_is_signed_like_a_certificate_and_is_none(tmp_path):
    """Revocation lists (RFC 5280 5.1) and requests (RFC 2986) have a certificate's three outer elements."""
    issuer = get_pki().intermediate
    crl = (x509.CertificateRevocationListBuilder().issuer_name(x509.Name([])).last_update(NOW).next_update(NOW)
           .sign(issuer.key, hashes.SHA256()))
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(issuer.key, hashes.SHA256())
    answer = told(crl.public_bytes(Encoding.DER))
    assert (answer["kind"], answer["why"]) == ("crl", ["path.issuer_missing"])
    answer = told(request.public_bytes(Encoding.DER))
    assert (answer["kind"], answer["why"]) == ("unknown", ["input.not_recognised"])
    assert told(issuer.der)["kind"] == "certificate"


# --- anything at all ---------------------------------------------------------------------------------------


def test_a_file_beyond_the_limit():
    octets = message(TEXT)
    assert told(octets, octets_max=len(octets))["why"] == ["signature.not_signed"]
    assert told(octets, octets_max=len(octets) - 1)["why"] == ["input.too_large"]


def test_truncated_and_flipped_anywhere_it_answers():
    samples = [message(enveloped(signed(TEXT, anna()), box())), signature(TEXT, anna(), opaque=True),
               stamper(NOW)(TEXT), anna().der, box("rsa-2048").p12()]
    for sample in samples:
        step = max(1, len(sample) // 60)
        for place in range(0, len(sample), step):
            told(sample[:place], passwords=(PASSWORD,))
            told(sample[:place] + bytes([sample[place] ^ 0x55]) + sample[place + 1:], passwords=(PASSWORD,))


def test_random_octets():
    for size in (1, 10, 1000, 100_000):
        for _ in range(5):
            assert told(os.urandom(size))["verdict"] == "unknown"
            assert told(b"0" + os.urandom(size))["verdict"] == "unknown"


HOSTILE = {
    "400 nested parts": b"From: a@b\r\n" + b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(400)),
    "400 nested messages": b"From: a@b\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * 400,
    "100,000 parts": b"From: a@b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 100_000,
    "one boundary within another": b"From: a@b\r\n" + b"".join(
        b"Content-Type: multipart/mixed; boundary=%s\r\n\r\n--%s\r\n" % (b"b" * n, b"b" * n) for n in range(1, 90)),
    "delimiters that are none": (b"From: a@b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
                                 + b"--bb\r\n" * 300_000),
    "a header of 2 MB": b"From: a@b\r\nX: " + b"a" * 2_000_000 + b"\r\n\r\n",
    "100,000 fields": b"From: a@b\r\n" + b"X: y\r\n" * 100_000,
    "100,000 encoded words": b"From: a@b\r\nSubject: " + b"=?utf-8?q?a?= " * 60_000 + b"\r\n\r\n",
    "deep comments": b"From: a@b " + b"(" * 200_000 + b"\r\n\r\n",
    "parameters": b"From: a@b\r\nContent-Type: a/b" + b"; x*0*=%00" * 50_000 + b"\r\n\r\n",
    "deep DER": b"0\x84\x00\x0f\x42\x40" + b"0\x80" * 500_000,
    "a huge OID": bytes.fromhex("308303000006830300 00".replace(" ", "")) + b"\x81" * 0x30000,
    "empty elements": b"\x30\x83\x0f\x00\x00" + b"\x30\x00" * 0x78000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_bounded_in_time_and_memory(name):
    """Counted generously, for the machine is shared: a quadratic step over these takes minutes, not seconds."""
    octets = HOSTILE[name]
    tracemalloc.start()
    started = time.process_time()
    answer = told(octets)
    spent = time.process_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer["verdict"] == "unknown"
    assert spent < 20
    assert peak < 16 * len(octets) + 30_000_000


def test_a_large_sealed_mail_costs_a_few_times_its_size():
    header = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    entity = header + (b"QUJD" * 19 + b"\r\n") * 100_000
    mail = message(enveloped(signed(entity, anna()), box()))
    tracemalloc.start()
    answer = told(mail)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer["verdict"] == "trusted"
    assert peak < 4 * len(mail)


def test_the_kind_of_a_prefix_never_raises():
    for sample in (anna().der, stamper(NOW)(TEXT), signature(TEXT, anna())):
        for end in range(1, 200):
            kind_of(sample[:end])
