"""Private keys of every format, written by openssl and by cryptography, with old and new ciphers."""

import shutil
import subprocess

import pytest
from asn1crypto import pkcs12
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import PBES, serialize_key_and_certificates

from gateway.cms import private_keys
from gateway.cms.private_keys import KDF_ROUNDS_MAX, KEY_OCTETS_MAX, is_pkcs12, read_pkcs12, read_private_key
from gateway.der import build
from gateway.errors import GatewayError, Reason
from tests.support.pki import get_pki

PKI = get_pki()
ANNA = PKI.recipient("rsa-2048", email="anna@customer.example")
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="peer openssl is missing")


def same(key, person=ANNA) -> bool:
    public = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*public) == person.key.public_key().public_bytes(*public)


def refused(reason, call) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        call()
    assert caught.value.reason is reason
    return caught.value


@pytest.mark.parametrize("person", [
    PKI.recipient(algorithm) for algorithm in ("rsa-2048", "p-256", "p-384", "p-521", "x25519")
] + [PKI.signer("ed25519")], ids=lambda person: person.certificate.key_algorithm)
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_plain_pkcs8(person, encoding) -> None:
    octets = person.key.private_bytes(encoding, PrivateFormat.PKCS8, NoEncryption())
    assert same(read_private_key(octets), person)
    assert same(read_private_key(octets, b"a passphrase that it does not need"), person)


def test_traditional_pem() -> None:
    octets = ANNA.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert b"RSA PRIVATE KEY" in octets
    assert same(read_private_key(octets))


def test_a_key_beside_certificates_in_one_file() -> None:
    assert same(read_private_key(ANNA.chain_pem + ANNA.key_pem + PKI.root_pem))


def test_two_keys_in_one_file_are_refused() -> None:
    assert "2 private keys" in refused(Reason.INPUT_UNREADABLE, lambda: read_private_key(ANNA.key_pem * 2)).detail


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_encrypted_pkcs8(encoding) -> None:
    octets = ANNA.key.private_bytes(encoding, PrivateFormat.PKCS8, BestAvailableEncryption(b"demo"))
    assert same(read_private_key(octets, b"demo"))
    for wrong in (b"wrong", b"", None):
        with pytest.raises(GatewayError) as caught:
            read_private_key(octets, wrong)
        # A padding that looks right by chance (1 of 256) cannot be told from a key of a kind that is not known.
        assert caught.value.reason is Reason.INPUT_PASSWORD_WRONG or (
            wrong is not None and "the passphrase is wrong, or" in caught.value.detail)
        assert "demo" not in str(caught.value)


def test_pkcs12_of_today_and_of_windows() -> None:
    for old in (False, True):
        octets = ANNA.p12(b"demo", old=old)
        assert is_pkcs12(octets)
        held = read_pkcs12(octets, b"demo")
        assert same(held.only_key())
        assert held.certificate == ANNA.certificate
        assert [one.der for one in held.others] == list(ANNA.chain_der)
        assert same(read_private_key(octets, b"demo"))
        refused(Reason.INPUT_PASSWORD_WRONG, lambda octets=octets: read_pkcs12(octets, b"wrong"))


@needs_openssl
@pytest.mark.parametrize("options", [
    (), ("-legacy",), ("-legacy", "-certpbe", "PBE-SHA1-RC2-128", "-keypbe", "PBE-SHA1-RC2-128"),
    ("-legacy", "-certpbe", "PBE-SHA1-3DES"), ("-legacy", "-keypbe", "PBE-SHA1-RC2-40"),
    ("-certpbe", "NONE", "-keypbe", "NONE"), ("-nomac",), ("-macalg", "sha512", "-iter", "10000"), ("-pbmac1_pbkdf2",),
    ("-certpbe", "aes-128-cbc", "-keypbe", "aes-192-cbc"),
], ids=" ".join)
def test_pkcs12_as_openssl_writes_it(tmp_path, options) -> None:
    """openssl pkcs12 -export is the maker; -legacy means RC2-40 for certificates and 3DES for the key."""
    certificate, key, _ = ANNA.write(tmp_path)
    made = subprocess.run(
        ["openssl", "pkcs12", "-export", "-in", certificate, "-inkey", key, "-passout", "pass:demo", *options],
        capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"this openssl cannot write it: {made.stderr.decode()[:100]}")
    held = read_pkcs12(made.stdout, b"demo")
    assert same(held.only_key())
    assert held.certificate == ANNA.certificate


@needs_openssl
def test_pkcs12_with_an_x25519_key(tmp_path) -> None:
    person = PKI.recipient("x25519")
    certificate, key, _ = person.write(tmp_path)
    octets = subprocess.run(["openssl", "pkcs12", "-export", "-in", certificate, "-inkey", key,
                             "-passout", "pass:demo"], capture_output=True, check=True).stdout
    held = read_pkcs12(octets, b"demo")
    assert same(held.only_key(), person)
    assert held.certificate == person.certificate
    refused(Reason.INPUT_PASSWORD_WRONG, lambda: read_pkcs12(octets, b"wrong"))


def pkcs12_of(*people, password=b"demo") -> bytes:
    """RFC 7292 4: one bag for each key and certificate, in plain content without a MAC, as Java writes several."""
    def bag(oid, value):
        return build.sequence(build.oid(oid), build.context(0, value))

    def content(octets):
        return bag("1.2.840.113549.1.7.1", build.octet_string(octets))

    bags = [bag("1.2.840.113549.1.12.10.1.2", one.key.private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(password))) for one in people]
    bags += [bag("1.2.840.113549.1.12.10.1.3", bag("1.2.840.113549.1.9.22.1", build.octet_string(one.der)))
             for one in people]
    return build.sequence(build.integer(3), content(build.sequence(content(build.sequence(*bags)))))


def test_pkcs12_with_several_keys_drops_none() -> None:
    """Outlook exports a key to sign and one to decrypt in one file."""
    people = (PKI.recipient("p-256"), PKI.signer("p-384"), PKI.recipient("x25519"))
    octets = pkcs12_of(*people)
    held = read_pkcs12(octets, b"demo")
    assert all(same(key, person) for key, person in zip(held.keys, people, strict=True))
    assert {*held.others, held.certificate} - {None} == {person.certificate for person in people}
    assert "3 private keys" in refused(Reason.INPUT_UNREADABLE, lambda: read_private_key(octets, b"demo")).detail
    assert same(read_private_key(pkcs12_of(people[0]), b"demo"), people[0])
    refused(Reason.INPUT_PASSWORD_WRONG, lambda: read_pkcs12(octets, b"wrong"))
    refused(Reason.INPUT_LIMIT_EXCEEDED, lambda: read_pkcs12(pkcs12_of(*people[:1] * 17), b"demo"))


@needs_openssl
@pytest.mark.parametrize(("options", "reason"), [
    (("-v2", "camellia256"), Reason.INPUT_UNREADABLE), (("-v2prf", "hmacWithSHA512-256"), Reason.INPUT_UNREADABLE),
    (("-v2", "aes256"), None)], ids=["cipher", "prf", "usual"])
def test_right_passphrase_for_a_key_under_an_odd_cipher(tmp_path, options, reason) -> None:
    """The passphrase is right, so nobody is sent to look for another one."""
    (tmp_path / "key").write_bytes(PKI.signer("p-256").key_pem)
    octets = subprocess.run(["openssl", "pkcs8", "-topk8", "-in", tmp_path / "key", "-passout", "pass:demo", *options],
                            capture_output=True, check=True).stdout
    if reason is None:
        assert same(read_private_key(octets, b"demo"), PKI.signer("p-256"))
    else:
        assert "password" not in refused(reason, lambda: read_private_key(octets, b"demo")).detail.lower()


def test_pkcs12_without_a_key_has_certificates() -> None:
    octets = serialize_key_and_certificates(None, None, ANNA.certificate.x509, None, NoEncryption())
    assert read_pkcs12(octets, None).keys == ()
    assert "without a private key" in refused(Reason.INPUT_UNREADABLE, lambda: read_private_key(octets)).detail


def test_endless_key_derivation_is_refused_before_it_begins(monkeypatch) -> None:
    """Rounds in the MAC, in the encrypted certificates and in the shrouded key; the attack costs its reader hours."""
    monkeypatch.setattr(private_keys, "load_key_and_certificates", lambda *_: pytest.fail("the loader was asked"))
    good = ANNA.p12(b"demo", old=True)

    def outer(rounds: int) -> bytes:
        pfx = pkcs12.Pfx.load(good)
        pfx["mac_data"]["iterations"] = rounds
        return pfx.dump(force=True)

    error = refused(Reason.INPUT_LIMIT_EXCEEDED, lambda: read_pkcs12(outer(KDF_ROUNDS_MAX + 1), b"demo"))
    assert str(KDF_ROUNDS_MAX + 1) in error.detail
    monkeypatch.setattr(private_keys, "load_key_and_certificates",
                        lambda *_: (_ for _ in ()).throw(ValueError("asked")))
    at_limit = outer(KDF_ROUNDS_MAX)
    assert refused(Reason.INPUT_UNREADABLE, lambda: read_pkcs12(at_limit, b"demo")).detail == "PKCS#12: asked"


def test_rounds_of_every_outer_layer_are_seen() -> None:
    """The MAC has one round in cryptography's files; certificates and key have what was asked for."""
    options = (PrivateFormat.PKCS12.encryption_builder().kdf_rounds(20_000).hmac_hash(hashes.SHA1())
               .key_cert_algorithm(PBES.PBESv1SHA1And3KeyTripleDESCBC).build(b"demo"))
    octets = serialize_key_and_certificates(b"a", ANNA.key, ANNA.certificate.x509, None, options)
    assert list(private_keys._outer_rounds(pkcs12.Pfx.load(octets))).count(20_000) == 2


@needs_openssl
def test_rounds_of_the_newest_mac_are_seen(tmp_path) -> None:
    """RFC 9579: they stand in the parameters of PBMAC1."""
    certificate, key, _ = ANNA.write(tmp_path)
    made = subprocess.run(
        ["openssl", "pkcs12", "-export", "-in", certificate, "-inkey", key, "-passout", "pass:demo", "-pbmac1_pbkdf2",
         "-iter", "3000"], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"this openssl cannot write it: {made.stderr.decode()[:100]}")
    assert list(private_keys._outer_rounds(pkcs12.Pfx.load(made.stdout))).count(3000) >= 3


def test_weak_keys_are_refused_by_name() -> None:
    octets = rsa.generate_private_key(65537, 1024).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert "1024 bits" in refused(Reason.CERTIFICATE_WEAK_KEY, lambda: read_private_key(octets)).detail


@pytest.mark.parametrize("key", [
    pytest.param(lambda: ec.generate_private_key(ec.SECP256K1()), id="secp256k1"),
    pytest.param(ed448.Ed448PrivateKey.generate, id="ed448"),
    pytest.param(lambda: dsa.generate_private_key(1024), id="dsa"),
])
def test_kinds_that_the_house_does_not_use_are_named(key) -> None:
    octets = key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    refused(Reason.CERTIFICATE_ALGORITHM_UNKNOWN, lambda: read_private_key(octets))


@pytest.mark.parametrize("octets", [
    b"", b"0", b"0\x80", b"\x30\x03\x02\x01\x03", b"text", b"-----BEGIN PRIVATE KEY-----", b"-----BEGIN ",
    b"-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n", b"\x30\x82\xff\xff\x02\x01\x03",
    ANNA.pem, ANNA.der, b"-----BEGIN X-----" * 10_000, b"\x30\x80\x02\x01\x03\x00\x00",
])
def test_anything_else_is_unreadable(octets) -> None:
    refused(Reason.INPUT_UNREADABLE, lambda: read_private_key(octets, b"demo"))


def test_every_truncation_ends_in_a_reason() -> None:
    plain = ANNA.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    for octets in (ANNA.p12(b"demo", old=True), plain):
        for end in range(0, len(octets), 7):
            with pytest.raises(GatewayError):
                read_private_key(octets[:end], b"demo")


def test_the_limit_of_a_file() -> None:
    refused(Reason.INPUT_TOO_LARGE, lambda: read_private_key(bytes(KEY_OCTETS_MAX + 1)))
    refused(Reason.INPUT_TOO_LARGE, lambda: read_pkcs12(bytes(KEY_OCTETS_MAX + 1), None))
    refused(Reason.INPUT_UNREADABLE, lambda: read_private_key(bytes(KEY_OCTETS_MAX)))
