"""Certificates as values. Truth: the cryptography builders that made them, `openssl x509` and `openssl crl2pkcs7`."""

import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs7
from cryptography.x509.oid import NameOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from gateway.cms import names
from gateway.cms.certificate import each_certificate, key_algorithm, load_certificates, parse_certificate
from gateway.der import build, walk
from gateway.errors import GatewayError, Reason
from tests.support.pki import ALGORITHMS_ENCRYPT, ALGORITHMS_SIGN, END, START, get_pki, pem

PKI = get_pki()
KEY = ec.generate_private_key(ec.SECP256R1())
SMTP_UTF8_MAILBOX = ObjectIdentifier("1.3.6.1.5.5.7.8.9")


def make(*extensions: x509.ExtensionType, subject: x509.Name | None = None, critical: bool = False) -> bytes:
    builder = (x509.CertificateBuilder().subject_name(subject or x509.Name([])).issuer_name(x509.Name([]))
               .public_key(KEY.public_key()).serial_number(7).not_valid_before(START).not_valid_after(END))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER)


def test_fields_as_they_were_made() -> None:
    der = make(
        x509.SubjectAlternativeName([x509.RFC822Name("anna@bank.example"), x509.DNSName("x.example")]),
        x509.KeyUsage(True, True, False, False, True, False, False, True, False),
        x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION]),
        x509.BasicConstraints(ca=True, path_length=2),
        x509.CertificatePolicies([x509.PolicyInformation(ObjectIdentifier("1.2.3.4"), None)]),
        x509.SubjectKeyIdentifier(b"\x01" * 20), x509.AuthorityKeyIdentifier(b"\x02" * 20, None, None), critical=True)
    found = parse_certificate(der)
    assert found.der == der
    assert found.serial == 7
    assert (found.not_before, found.not_after) == (START, END)
    assert found.emails == ("anna@bank.example",)
    assert found.key_usage == {"digital_signature", "content_commitment", "key_agreement", "encipher_only"}
    assert found.extended_key_usage == {"1.3.6.1.5.5.7.3.4"}
    assert found.eku_critical
    assert (found.is_ca, found.path_length) == (True, 2)
    assert (found.ski, found.aki) == (b"\x01" * 20, b"\x02" * 20)
    assert found.policies == {"1.2.3.4"}
    assert (found.key_algorithm, found.signature_algorithm) == ("p-256", "sha256_ecdsa")
    assert found.self_issued
    assert found.spki == KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert found.x509.serial_number == 7


def test_what_is_absent_is_none_not_empty() -> None:
    found = parse_certificate(make())
    assert found.key_usage is None
    assert found.extended_key_usage is None
    assert not found.eku_critical
    assert (found.is_ca, found.path_length, found.ski, found.aki) == (False, None, None, None)
    assert found.policies == frozenset()
    assert found.emails == ()


@pytest.mark.parametrize("algorithm", sorted({*ALGORITHMS_SIGN, *ALGORITHMS_ENCRYPT}))
def test_key_algorithms(algorithm: str) -> None:
    person = (PKI.signer if algorithm in ALGORITHMS_SIGN else PKI.recipient)(algorithm)
    assert person.certificate.key_algorithm == algorithm
    assert person.certificate.issuer_der == parse_certificate(PKI.intermediate.der).subject_der


def test_other_keys_have_names_too() -> None:
    def name(key: object) -> str:
        return key_algorithm(key.public_key().public_bytes(  # type: ignore[attr-defined]
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    assert name(ec.generate_private_key(ec.BrainpoolP256R1())) == "brainpoolp256r1"
    assert name(ec.generate_private_key(ec.SECP224R1())) == "p-224"
    assert name(rsa.generate_private_key(65537, 1024)) == "rsa-1024"
    assert name(ed25519.Ed25519PrivateKey.generate()) == "ed25519"
    assert key_algorithm(build.sequence(build.sequence(build.oid("1.2.3")), build.bit_string(b"x"))) == "1.2.3"


@pytest.mark.parametrize("modulus, exponent", [
    ((1 << 2047) + 1, 1),  # encrypts nothing: the "ciphertext" is the content key
    ((1 << 2047) + 1, 4), ((1 << 2047) + 1, -3), ((1 << 2047) + 1, (1 << 64) + 1), (1 << 2047, 65537),
    (-(1 << 2047) - 1, 65537), (0, 3)])
def test_rsa_keys_that_are_none(modulus: int, exponent: int) -> None:
    spki = build.sequence(build.sequence(build.oid("1.2.840.113549.1.1.1"), build.null()), build.bit_string(
        build.sequence(build.integer(modulus), build.integer(exponent))))
    with pytest.raises(walk.DerMalformed):
        key_algorithm(spki)


def test_a_curve_needs_a_name() -> None:
    spki = build.sequence(build.sequence(build.oid("1.2.840.10045.2.1"), build.sequence()), build.bit_string(b"\4"))
    with pytest.raises(walk.DerMalformed):
        key_algorithm(spki)


def utf8_mailbox(text: str) -> x509.OtherName:
    return x509.OtherName(SMTP_UTF8_MAILBOX, build.utf8(text))


@pytest.mark.parametrize("alternatives, subject, emails", [
    (["a@x.example", "b@x.example", "a@x.example"], ["s@x.example"], ("a@x.example", "b@x.example")),
    ([], ["s@x.example"], ("s@x.example",)),
    ([utf8_mailbox("ärger@x.example")], ["s@x.example"], ("ärger@x.example",)),
    # RFC 9598 3: ASCII must be an rfc822Name, where name constraints would find it
    ([utf8_mailbox("a@x.example"), "b@x.example"], [], ("b@x.example",)),
    (["a@x.example\0.evil.example", "a @x.example", "nobody", "c@x.example\n"], [], ()),
])
def test_addresses(alternatives: list[str | x509.OtherName], subject: list[str], emails: tuple[str, ...]) -> None:
    held = [x509.RFC822Name._init_without_validation(a) if isinstance(a, str) else a for a in alternatives]
    name = x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, text) for text in subject])
    san = (x509.SubjectAlternativeName(held),) if held else ()
    assert parse_certificate(make(*san, subject=name)).emails == emails


def test_equal_by_octets_and_parsed_once() -> None:
    der = PKI.signer().der
    first, second = parse_certificate(der), parse_certificate(bytes(bytearray(der)))
    assert first is second
    assert len({first, second, PKI.recipient().certificate}) == 2
    assert first != PKI.recipient().certificate
    assert first != der


def reason_of(octets: bytes) -> tuple[Reason | None, bool]:
    try:
        parse_certificate(octets)
    except GatewayError as error:
        return error.reason, error.__cause__ is None
    return None, True


def test_truncated_at_every_offset() -> None:
    der = PKI.signer("p-256").der
    for end in range(len(der)):
        assert reason_of(der[:end]) == (Reason.CERTIFICATE_MALFORMED, True), end
    assert reason_of(der + b"\0")[0] is Reason.CERTIFICATE_MALFORMED
    assert reason_of(bytes(70_000))[0] is Reason.CERTIFICATE_MALFORMED


@given(st.integers(0, len(PKI.signer("p-256").der) - 1), st.integers(0, 255))
def test_one_octet_changed(place: int, octet: int) -> None:
    """Either it is read, or it is CERTIFICATE_MALFORMED: no third-party exception, and no warning either."""
    der = PKI.signer("p-256").der
    assert reason_of(der[:place] + bytes((octet,)) + der[place + 1:])[0] in {None, Reason.CERTIFICATE_MALFORMED}


def test_two_signature_algorithms_are_refused() -> None:
    """RFC 5280 4.1.1.2: the inner and outer AlgorithmIdentifier must be the same."""
    der = make()
    inner = build.oid("1.2.840.10045.4.3.2")
    assert der.count(inner) == 2
    assert reason_of(der.replace(inner, build.oid("1.2.840.10045.4.3.3"), 1))[0] is Reason.CERTIFICATE_MALFORMED


@pytest.mark.parametrize("octet", [0x00, 0x80, 0xFF])
def test_a_serial_number_is_positive(octet: int) -> None:
    der = PKI.signer("p-256", serial=127).der
    assert reason_of(der.replace(b"\x02\x01\x7f", bytes((2, 1, octet)), 1))[0] is Reason.CERTIFICATE_MALFORMED


def test_serial_number_0_of_a_root() -> None:
    """RFC 5280 4.1.2.2 wants positive ones, and 8 of Debian's 146 roots have 0. Nothing names a root by its number."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Old Root")])
    builder = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
               .serial_number(127).not_valid_before(START).not_valid_after(END)
               .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True))
    der = builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER).replace(b"\x02\x01\x7f", b"\x02\x01\0", 1)
    assert parse_certificate(der).serial == 0
    assert reason_of(der.replace(b"\x02\x01\0", b"\x02\x01\xff", 1))[0] is Reason.CERTIFICATE_MALFORMED


def test_every_root_of_the_system() -> None:
    """Truth: Debian's package ca-certificates, which is Mozilla's list."""
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    if not bundle.exists():
        pytest.skip("ca-certificates is not installed")
    octets = bundle.read_bytes()
    assert len(load_certificates(octets)) == octets.count(b"-----BEGIN CERTIFICATE-----") > 50


def test_one_bad_certificate_loses_no_other() -> None:
    """Each has its place in the answer; nothing that starts as a certificate is passed over."""
    good, bad = PKI.signer("p-256").pem, pem(PKI.signer("p-256").der[:-1])
    open_end = b"-----BEGIN CERTIFICATE-----\nAAAA\n"
    found = each_certificate(bad + good + pem(PKI.root.der, "TRUSTED CERTIFICATE") + open_end + PKI.root_pem)
    assert [one.detail.partition(":")[0] if isinstance(one, GatewayError) else one.subject for one in found] == [
        "certificate 1 of 5", PKI.signer("p-256").certificate.subject, "certificate 3 of 5", "certificate 4 of 5",
        PKI.root_certificate.subject]
    with pytest.raises(GatewayError, match="certificate 2 of 2"):
        load_certificates(good + bad)


def test_files_of_every_kind() -> None:
    person = PKI.signer("p-256")
    three = (person.der, *person.chain_der)
    wanted = tuple(map(parse_certificate, three))
    assert load_certificates(person.der) == wanted[:1]
    assert load_certificates(b"some text\n" + person.key_pem + b"".join(map(pem, three)) + pem(three[0])) == wanted
    assert load_certificates(b"".join(map(pem, three)).replace(b"\n", b"\r\n")) == wanted
    bundle = pkcs7.serialize_certificates([c.x509 for c in wanted], Encoding.DER)
    assert set(load_certificates(bundle)) == set(wanted)
    for label in ("PKCS7", "CMS", "SIGNED MESSAGE"):  # openssl's two, gpgsm's
        assert set(load_certificates(pem(bundle, label))) == set(wanted)
    made = subprocess.run(["openssl", "crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin", "-outform", "DER"],
                          input=b"".join(map(pem, three)), capture_output=True, check=True).stdout
    assert set(load_certificates(made)) == set(wanted)
    indefinite = b"\x30\x80" + walk.content(bundle, walk.single(bundle)) + b"\0\0"
    assert set(load_certificates(indefinite)) == set(wanted)


@pytest.mark.parametrize("octets", [
    b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", b"-----BEGIN " * 100_000,
    b"-----BEGIN CERTIFICATE-----" * 100_000, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    build.sequence(build.oid("1.2.3"), build.context(0)), build.sequence(), b"\x30\x80" * 1000,
])
def test_files_that_hold_none(octets: bytes) -> None:
    with pytest.raises(GatewayError) as refused:
        load_certificates(octets)
    assert refused.value.reason is Reason.CERTIFICATE_MALFORMED


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts, text", [
    ([(NameOID.COMMON_NAME, "Anna")], "CN=Anna"),
    ([(NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, 'Bank, "AG" + Co; <x>')],
     'O=Bank\\, \\"AG\\" \\+ Co\\; \\<x\\>,C=DE'),
    ([(NameOID.COMMON_NAME, "#1 ")], "CN=\\#1\\ "), ([(NameOID.COMMON_NAME, " a b")], "CN=\\ a b"),
    ([(NameOID.COMMON_NAME, "Größe")], "CN=Größe"),
    ([(NameOID.SERIAL_NUMBER, "5")], "2.5.4.5=5"),
])
def test_names_as_text(parts: list[tuple[ObjectIdentifier, str]], text: str) -> None:
    """As RFC 4514 2 has it; cryptography agrees where it has the same short names."""
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])
    assert names.text(name.public_bytes()) == text == name.rfc4514_string()


def test_names_cannot_break_a_log() -> None:
    der = build.sequence(build.set_of(build.sequence(build.oid("2.5.4.3"), build.utf8("a\r\nb\x1b[0m\u202e"))))
    assert names.text(der) == "CN=a\\0d\\0ab\\1b[0m\\e2\\80\\ae"
    for other in (b"", b"\x30\x80", build.sequence(build.null()), build.sequence(build.set_of(build.sequence()))):
        assert names.text(other).isprintable()
    assert names.text(b"\x30\x01") == "#3001"


def test_long_names_are_cut() -> None:
    one = build.set_of(build.sequence(build.oid("2.5.4.3"), build.utf8("\u202e" * 1_000_000)))
    started = time.process_time()
    assert len(names.text(build.sequence(*[one] * 5))) == names.TEXT_CHARACTERS_MAX
    assert time.process_time() - started < 2


def test_names_in_old_charsets() -> None:
    def one(tag: int, octets: bytes) -> str:
        return names.text(build.sequence(build.set_of(build.sequence(build.oid("2.5.4.3"), build.tlv(tag, octets)))))

    assert one(0x1E, "Größe".encode("utf-16-be")) == "CN=Größe"
    assert one(0x14, b"Gr\xf6\xdfe") == "CN=Größe"
    assert one(0x13, b"Gr\xf6") == "CN=#13034772f6"
    assert one(0x04, b"x") == "CN=#040178"


@given(st.binary(max_size=100))
def test_any_octets_have_a_text(octets: bytes) -> None:
    assert names.text(octets).isprintable()


def test_validity_beyond_2049() -> None:
    person = PKI.signer("p-256", not_after=datetime(2050, 1, 1, tzinfo=UTC))
    assert person.certificate.not_after == datetime(2050, 1, 1, tzinfo=UTC)


def name_of(*parts, string=build.utf8):
    """A DER Name of (OID, text) pairs, one relative name each."""
    return build.sequence(*(build.tlv(0x31, build.sequence(build.oid(oid), string(text))) for oid, text in parts))


def printable(text):
    return build.tlv(0x13, text.encode("ascii"))


CN, O = "2.5.4.3", "2.5.4.10"  # noqa: E741 - the attribute's own name


@pytest.mark.parametrize(("one", "other", "same"), [
    (name_of((O, "Bank"), (CN, "Mail CA")), name_of((O, "BANK"), (CN, " mail   ca "), string=printable), True),
    (name_of((CN, "M\u00dcLLER")), name_of((CN, "m\u00fcller")), True),
    (name_of((CN, "M\u00fcller")), name_of((CN, "Mu\u0308ller")), True),
    (name_of((CN, "Bank")), name_of((CN, "Ban\u00adk")), True),
    (name_of((O, "Bank"), (CN, "CA")), name_of((CN, "CA"), (O, "Bank")), False),
    (name_of((CN, "Bank CA")), name_of((CN, "BankCA")), False),
    (name_of((CN, "CA")), name_of((O, "CA")), False),
    (name_of((CN, "CA")), b"\x30\x01", False),
    (b"\x30\x01", b"\x30\x01", True)])
def test_names_are_compared_as_rfc_5280_says(one, other, same):
    """RFC 5280 7.1 by RFC 4518: case, string type and insignificant spaces do not count, the order of parts does."""
    assert names.same(one, other) is same
    assert names.same(other, one) is same
