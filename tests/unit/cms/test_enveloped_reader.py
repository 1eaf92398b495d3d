"""Envelopes read: every algorithm and form. Truth: openssl writes them, or a second key derivation of the test's own.

What attackers write stands in test_enveloped_attacks.
"""

import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.x509.name import _ASN1Type

from gateway.cms.algorithms import ContentCipher
from gateway.cms.certificate import Certificate
from gateway.cms.enveloped import encrypt
from gateway.cms.enveloped_reader import decrypt, parse_enveloped
from gateway.der import build
from gateway.errors import GatewayError, Reason
from tests.support.envelopes import (
    SpyKey,
    cbc,
    envelope,
    gcm,
    gcm_parameters,
    hkdf,
    issuer_and_serial,
    key_agreement,
    key_transport,
    oaep,
    pad,
    rsa_wrap,
    x963,
)
from tests.support.pki import CertificateKey, Person, get_pki

PKI = get_pki()
CONTENT = b"Content-Type: text/plain\r\n\r\nPlease call me back.\r\n" * 100
KEY = bytes(range(32))
VECTOR = bytes(range(16))
NONCE = bytes(range(12))
CBC, GCM = ContentCipher.AES256_CBC, ContentCipher.AES256_GCM
IV = build.octet_string(VECTOR)
RSA = PKI.recipient("rsa-2048")
EC = PKI.recipient("p-256")


def sealed(*infos: bytes, content: bytes = CONTENT) -> bytes:
    return envelope(CBC, IV, cbc(KEY, VECTOR, pad(content)), infos)


def to_rsa() -> bytes:
    return key_transport(RSA, rsa_wrap(RSA, KEY))


def opened(der: bytes, person: Person) -> bytes:
    return decrypt(parse_enveloped(der), [CertificateKey(person)])


# --- what openssl writes ---------------------------------------------------------------------------------------------

RSA_HOW = [(), ("rsa_padding_mode:oaep",), *[("rsa_padding_mode:oaep", f"rsa_oaep_md:sha{n}") for n in (256, 384, 512)]]
EC_HOW = [(), ("ecdh_kdf_md:sha256",), ("ecdh_kdf_md:sha384",), ("ecdh_kdf_md:sha512",), ("ecdh_cofactor_mode:1",)]


@pytest.mark.parametrize("cipher", ["aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "aes-128-gcm", "aes-192-gcm",
                                    "aes-256-gcm"])
@pytest.mark.parametrize("algorithm, how", [
    *[("rsa-2048", how) for how in RSA_HOW], *[("p-256", how) for how in EC_HOW], ("p-384", ()), ("p-521", ()),
    ("p-521", ("ecdh_kdf_md:sha512",))])
@pytest.mark.parametrize("form", [(), ("-stream",), ("-keyid",)])
def test_openssl(algorithm: str, how: tuple[str, ...], cipher: str, form: tuple[str, ...], tmp_path: Path) -> None:
    person = PKI.recipient(algorithm)
    certificate, _, _ = person.write(tmp_path)
    options = [word for option in how for word in ("-keyopt", option)]
    der = subprocess.run(["openssl", "cms", "-encrypt", "-binary", "-outform", "DER", f"-{cipher}", *form,
                          "-recip", str(certificate), *options], input=CONTENT, capture_output=True, check=True).stdout
    found = parse_enveloped(der)
    assert found.cipher_name == "aes" + cipher[4:]
    assert found.content_type == "1.2.840.113549.1.7.1"
    assert found.authenticated is cipher.endswith("gcm")
    assert (der[:2] == b"\x30\x80") is ("-stream" in form)
    assert (len(found.segments) > 1) is ("-stream" in form)
    ski = person.certificate.ski
    assert ski is not None
    wanted = f"ski {ski.hex()}" if "-keyid" in form else f"{person.certificate.issuer} {person.certificate.serial:x}"
    assert [str(info) for info in found.recipients] == [wanted]
    assert opened(der, person) == CONTENT


def test_unknown_recipients_are_skipped(tmp_path: Path) -> None:
    """KEKRecipientInfo, PasswordRecipientInfo by openssl, among one that we open."""
    certificate, _, _ = RSA.write(tmp_path)
    der = subprocess.run(["openssl", "cms", "-encrypt", "-binary", "-outform", "DER", "-aes256", "-pwri_password", "x",
                          "-secretkey", "00" * 32, "-secretkeyid", "01", str(certificate)],
                         input=CONTENT, capture_output=True, check=True).stdout
    found = parse_enveloped(der)
    assert sorted(info.kind for info in found.recipients) == ["key_transport", "other", "other"]
    assert [str(info) for info in found.recipients].count("other") == 2
    assert opened(der, RSA) == CONTENT


@pytest.mark.parametrize("info", [
    build.context(4, build.oid("1.2.840.113549.1.9.16.13.3"), build.sequence(build.integer(0))),  # KEM, RFC 9629
    build.context(4), build.context(9, b"\x05\x00"), build.context(2, constructed=False), b"\x05\x00",
])
def test_recipients_of_the_future_are_skipped(info: bytes) -> None:
    assert opened(sealed(info, to_rsa(), info), RSA) == CONTENT


# --- key agreement ---------------------------------------------------------------------------------------------------

CURVE_SCHEMES = {"1.3.133.16.840.63.0.2": "sha1", "1.3.133.16.840.63.0.3": "sha1",
                 **{f"1.3.132.1.{arc}.{n}": name for arc in (11, 14)
                    for n, name in enumerate(("sha224", "sha256", "sha384", "sha512"))}}
HKDF_SCHEMES = {"1.2.840.113549.1.9.16.3.19": "sha256", "1.2.840.113549.1.9.16.3.20": "sha384",
                "1.2.840.113549.1.9.16.3.21": "sha512"}


@pytest.mark.parametrize("wrap_octets", [16, 24, 32])
@pytest.mark.parametrize("ukm", [None, b"", b"user keying material"])
@pytest.mark.parametrize("scheme, name", CURVE_SCHEMES.items())
def test_curves_by_another_derivation(scheme: str, name: str, ukm: bytes | None, wrap_octets: int) -> None:
    info = key_agreement(EC, KEY, scheme, partial(x963, name), ukm=ukm, wrap_octets=wrap_octets)
    assert opened(sealed(info), EC) == CONTENT


@pytest.mark.parametrize("ukm", [None, b"user keying material"])
@pytest.mark.parametrize("scheme, derive", [
    *[(oid, partial(x963, name)) for oid, name in CURVE_SCHEMES.items() if oid.startswith("1.3.132.1.11.")],
    *[(oid, partial(hkdf, name)) for oid, name in HKDF_SCHEMES.items()],
])
def test_x25519_by_another_derivation(scheme: str, derive: Callable[..., bytes], ukm: bytes | None) -> None:
    """RFC 8418 2.1 and 2.2; for HKDF the ukm is the salt, too."""
    if scheme in HKDF_SCHEMES:
        derive = partial(derive, salt=ukm)
    person = PKI.recipient("x25519")
    assert opened(sealed(key_agreement(person, KEY, scheme, derive, ukm=ukm)), person) == CONTENT


@pytest.mark.parametrize("algorithm", ["p-256", "p-384", "p-521"])
def test_originator_key_forms(algorithm: str) -> None:
    """RFC 5753 3.1.1: parameters absent, NULL or the curve; RFC 5480 2.2: the point may be compressed."""
    person = PKI.recipient(algorithm)
    assert opened(sealed(key_agreement(person, KEY, "1.3.132.1.11.1", partial(x963, "sha256"), compressed=True)),
                  person) == CONTENT


@pytest.mark.parametrize("parameters", [build.null(), build.oid("1.2.840.10045.3.1.7")])
def test_originator_parameters(parameters: bytes) -> None:
    info = key_agreement(EC, KEY, "1.3.132.1.11.1", partial(x963, "sha256"), parameters=parameters)
    assert opened(sealed(info), EC) == CONTENT


def test_key_agreement_by_key_identifier() -> None:
    ski = EC.certificate.ski
    assert ski is not None
    who = build.context(0, build.octet_string(ski), build.generalized_time(EC.certificate.not_before))
    info = key_agreement(EC, KEY, "1.3.132.1.11.1", partial(x963, "sha256"), who=who)
    assert [str(r) for r in parse_enveloped(sealed(info)).recipients] == [f"ski {ski.hex()}"]
    assert opened(sealed(info), EC) == CONTENT


def test_several_keys_in_one_key_agreement() -> None:
    """RFC 5652 6.2.2: recipients who share a curve may share the originator's key: each is one recipient here."""
    other = PKI.recipient("p-256", email="other@customer.example", which=3)
    foreign = build.sequence(issuer_and_serial(other.certificate), build.octet_string(bytes(40)))
    der = sealed(key_agreement(EC, KEY, "1.3.132.1.11.1", partial(x963, "sha256"), before=foreign))
    found = parse_enveloped(der)
    assert [str(info)[-6:] for info in found.recipients] == [f"{c.serial:x}"[-6:] for c in (other.certificate,
                                                                                           EC.certificate)]
    assert opened(der, EC) == CONTENT


# --- RSA -------------------------------------------------------------------------------------------------------------


def by_oaep(name: str) -> padding.OAEP:
    digest = {"sha1": hashes.SHA1, "sha256": hashes.SHA256, "sha384": hashes.SHA384, "sha512": hashes.SHA512}[name]()
    return padding.OAEP(padding.MGF1(digest), digest, None)


@pytest.mark.parametrize("name", ["sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("label", [None, b""])
def test_oaep(name: str, label: bytes | None) -> None:
    spy = SpyKey(RSA)
    der = sealed(key_transport(RSA, rsa_wrap(RSA, KEY, by_oaep(name)), oaep(name, label=label)))
    assert decrypt(parse_enveloped(der), [spy]) == CONTENT
    assert spy.asked == [f"rsa-oaep-{name}"]


def test_oaep_defaults_are_sha1() -> None:
    """RFC 4055 4.1: what openssl writes for plain OAEP is an empty SEQUENCE."""
    algorithm = build.sequence(build.oid("1.2.840.113549.1.1.7"), build.sequence())
    der = sealed(key_transport(RSA, rsa_wrap(RSA, KEY, by_oaep("sha1")), algorithm))
    assert opened(der, RSA) == CONTENT


def test_rsa_parameters_absent() -> None:
    """RFC 3370 4.2.1 wants NULL; some writers leave it out, and it means the same."""
    der = sealed(key_transport(RSA, rsa_wrap(RSA, KEY), build.sequence(build.oid("1.2.840.113549.1.1.1"))))
    assert opened(der, RSA) == CONTENT


def test_key_transport_by_key_identifier() -> None:
    ski = RSA.certificate.ski
    assert ski is not None
    info = key_transport(RSA, rsa_wrap(RSA, KEY), who=build.context(0, ski, constructed=False))
    assert opened(sealed(info), RSA) == CONTENT


# --- content ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag_octets, stated", [(12, None), (12, 12), (13, 13), (14, 14), (15, 15), (16, 16)])
@pytest.mark.parametrize("nonce", [NONCE, bytes(8), bytes(16), bytes(64)])
def test_gcm_tags_and_nonces(tag_octets: int, stated: int | None, nonce: bytes) -> None:
    """RFC 5084 3.2: 12 to 16 octets of tag, 12 unless it is stated; the nonce of any length."""
    held, tag = gcm(KEY, nonce, CONTENT)
    der = envelope(GCM, gcm_parameters(nonce, stated), held, [to_rsa()], mac=tag[:tag_octets])
    assert opened(der, RSA) == CONTENT


def test_authenticated_attributes() -> None:
    """RFC 5083 2.2: authenticated as the DER of a SET OF, though written under [1]."""
    attribute = build.sequence(build.oid("1.2.840.113549.1.9.3"), build.set_of(build.oid("1.2.840.113549.1.7.1")))
    held, tag = gcm(KEY, NONCE, CONTENT, build.tlv(0x31, attribute))
    whole = envelope(GCM, gcm_parameters(NONCE), held, [to_rsa()], mac=tag, attributes=attribute,
                     unprotected=attribute)
    found = parse_enveloped(whole)
    assert found.authenticated_attributes == build.tlv(0x31, attribute)
    assert opened(whole, RSA) == CONTENT
    with pytest.raises(GatewayError) as refused:
        opened(envelope(GCM, gcm_parameters(NONCE), held, [to_rsa()], mac=tag), RSA)
    assert refused.value.reason is Reason.DECRYPTION_FAILED


def test_authenticated_attributes_in_any_order() -> None:
    """RFC 5083 2.2: the DER is authenticated, however the SET was written."""
    attributes = [build.sequence(build.oid(f"1.2.{number}"), build.set_of(build.null())) for number in (3, 4, 5)]
    held, tag = gcm(KEY, NONCE, CONTENT, build.set_of(*attributes))
    der = envelope(GCM, gcm_parameters(NONCE), held, [to_rsa()], mac=tag, attributes=b"".join(attributes[::-1]))
    assert opened(der, RSA) == CONTENT


SIGNED_DATA = "1.2.840.113549.1.7.2"


def content_type(oid: str) -> bytes:
    return build.sequence(build.oid("1.2.840.113549.1.9.3"), build.set_of(build.oid(oid)))


@pytest.mark.parametrize("inner, attributes, opens", [
    (SIGNED_DATA, content_type(SIGNED_DATA), True),
    (SIGNED_DATA, b"", False),  # the type stands outside what the tag covers
    (SIGNED_DATA, content_type("1.2.840.113549.1.7.1"), False),
    (SIGNED_DATA, content_type(SIGNED_DATA) * 2, False),
    (SIGNED_DATA, build.sequence(build.oid("1.2.3"), build.set_of()), False),
    ("1.2.840.113549.1.7.1", content_type(SIGNED_DATA), False),
    ("1.2.840.113549.1.7.1", build.sequence(build.oid("1.2.3"), build.set_of()), True),
])
def test_the_type_of_authenticated_content_is_bound(inner: str, attributes: bytes, opens: bool) -> None:
    """RFC 5083 2.2: content-type must be an authenticated attribute unless the content is id-data."""
    held, tag = gcm(KEY, NONCE, CONTENT, build.tlv(0x31, attributes) if attributes else b"")
    der = envelope(GCM, gcm_parameters(NONCE), held, [to_rsa()], mac=tag, attributes=attributes, of=inner)
    if opens:
        assert opened(der, RSA) == CONTENT
        return
    with pytest.raises(GatewayError) as refused:
        opened(der, RSA)
    assert refused.value.reason is Reason.DECRYPTION_FAILED


def test_originator_certificates_and_unprotected_attributes_are_passed_over() -> None:
    originator = build.context(0, build.context(0, PKI.signer().der), build.context(1))
    attribute = build.sequence(build.oid("1.2.3"), build.set_of(build.null()))
    der = envelope(CBC, IV, cbc(KEY, VECTOR, pad(CONTENT)), [to_rsa()], originator=originator, unprotected=attribute)
    assert opened(der, RSA) == CONTENT


@pytest.mark.parametrize("cuts", [(), (1,), (16,), (5, 5, 20), (len(CONTENT),)])
@pytest.mark.parametrize("cipher", [CBC, GCM])
def test_segments_of_any_size(cipher: ContentCipher, cuts: tuple[int, ...]) -> None:
    held, tag = (cbc(KEY, VECTOR, pad(CONTENT)), None) if cipher is CBC else gcm(KEY, NONCE, CONTENT)
    pieces = [held[start:end] for start, end in zip((0, *cuts), (*cuts, len(held)), strict=True)]
    for place in (build.context(0, *map(build.octet_string, pieces)),
                  b"\xa0\x80" + b"\x24\x80" + b"".join(map(build.octet_string, pieces)) + b"\0\0" + b"\0\0"):
        der = envelope(cipher, IV if cipher is CBC else gcm_parameters(NONCE), b"", [to_rsa()], mac=tag, place=place)
        assert opened(der, RSA) == CONTENT


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 32])
def test_short_content(size: int) -> None:
    assert opened(sealed(to_rsa(), content=bytes(size)), RSA) == bytes(size)


def test_the_inner_type_is_told() -> None:
    """A SignedData straight inside, without MIME around it: the caller decides what to make of it."""
    der = envelope(CBC, IV, cbc(KEY, VECTOR, pad(CONTENT)), [to_rsa()], of="1.2.840.113549.1.7.2")
    assert parse_enveloped(der).content_type == "1.2.840.113549.1.7.2"


# --- keys ------------------------------------------------------------------------------------------------------------


def test_only_keys_that_are_meant_are_used() -> None:
    people = [PKI.recipient(name) for name in ("rsa-3072", "p-384", "p-256", "rsa-2048", "x25519")]
    der = encrypt(CONTENT, [people[2].certificate], GCM)
    spies = [SpyKey(person) for person in people]
    assert decrypt(parse_enveloped(der), spies) == CONTENT
    assert [spy.asked for spy in spies] == [[], [], ["agree"], [], []]
    with pytest.raises(GatewayError) as refused:
        decrypt(parse_enveloped(der), spies[:2])
    assert refused.value.reason is Reason.DECRYPTION_NO_KEY
    with pytest.raises(GatewayError) as refused:
        decrypt(parse_enveloped(der), [])
    assert refused.value.reason is Reason.DECRYPTION_NO_KEY


def test_another_key_of_ours_is_tried_when_one_fails() -> None:
    der = envelope(GCM, gcm_parameters(NONCE), *gcm_parts(), mac=gcm(KEY, NONCE, CONTENT)[1])
    assert opened(der, EC) == CONTENT
    assert decrypt(parse_enveloped(der), [CertificateKey(RSA), CertificateKey(EC)]) == CONTENT


def gcm_parts() -> tuple[bytes, list[bytes]]:
    broken = key_transport(RSA, rsa_wrap(RSA, bytes(32)))
    return gcm(KEY, NONCE, CONTENT)[0], [broken, key_agreement(EC, KEY, "1.3.132.1.11.1", partial(x963, "sha256"))]


def test_a_key_that_cannot_be_reached_says_so() -> None:
    away = GatewayError(Reason.KEY_UNAVAILABLE, "hsm", retry=True)
    with pytest.raises(GatewayError) as refused:
        decrypt(parse_enveloped(sealed(to_rsa())), [SpyKey(RSA, away)])
    assert refused.value is away


def other_spelling(certificate: Certificate) -> bytes:
    """Issuer and serial number as a program writes them that changes case and string types of the name."""
    name = x509.Name([x509.NameAttribute(one.oid, one.value.upper(), _type=_ASN1Type.T61String
                                         if one.oid == x509.NameOID.COMMON_NAME else None)
                      for one in certificate.x509.issuer])
    return build.sequence(name.public_bytes(), build.integer(certificate.serial))


def test_issuer_in_another_spelling_names_the_same_recipient() -> None:
    """RFC 5280 7.1. The serial number alone names no one: the same one of another authority is not meant."""
    assert opened(sealed(key_transport(RSA, rsa_wrap(RSA, KEY), who=other_spelling(RSA.certificate))), RSA) == CONTENT
    other = build.sequence(EC.certificate.subject_der, build.integer(RSA.certificate.serial))
    with pytest.raises(GatewayError) as caught:
        opened(sealed(key_transport(RSA, rsa_wrap(RSA, KEY), who=other)), RSA)
    assert caught.value.reason is Reason.DECRYPTION_NO_KEY
