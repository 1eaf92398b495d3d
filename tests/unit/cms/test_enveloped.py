"""Envelopes written. Truth: openssl decrypts them, asn1crypto reads them, a second key derivation opens X25519's.

Other programs stand in tests/peers.
"""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from asn1crypto import cms as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa, x448
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.cms import enveloped
from gateway.cms.algorithms import ContentCipher, KeyTransport
from gateway.cms.certificate import Certificate, parse_certificate
from gateway.cms.enveloped import Recipient, encrypt
from gateway.cms.enveloped_reader import decrypt, parse_enveloped
from gateway.der import build, walk
from gateway.errors import GatewayError, Reason
from gateway.model.scheme import UnwrapScheme
from tests.support.envelopes import SpyKey, hkdf, shared_info
from tests.support.peer_openssl import OpenSsl
from tests.support.pki import END, START, CertificateKey, get_pki, raw_agree

PKI = get_pki()
CONTENT = b"Content-Type: text/plain\r\n\r\n472911\r\n"
CBC, GCM = ContentCipher.AES256_CBC, ContentCipher.AES256_GCM
KEYS = [("rsa-2048", KeyTransport.PKCS1), ("rsa-2048", KeyTransport.OAEP_SHA256), ("p-256", KeyTransport.PKCS1),
        ("p-384", KeyTransport.PKCS1), ("p-521", KeyTransport.PKCS1)]


@pytest.mark.parametrize("cipher", ContentCipher)
@pytest.mark.parametrize("algorithm, rsa_how", [*KEYS, ("x25519", KeyTransport.PKCS1)])
def test_opened_by_openssl_and_by_ourselves(algorithm: str, rsa_how: KeyTransport, cipher: ContentCipher) -> None:
    person, other = PKI.recipient(algorithm), PKI.recipient("rsa-3072")
    der = encrypt(CONTENT, [other.certificate, person.certificate], cipher, rsa_how)
    for reader in (person, other):
        assert decrypt(parse_enveloped(der), [CertificateKey(reader)]) == CONTENT
        if reader is other or algorithm != "x25519":  # openssl 3.5 has no X25519 in CMS
            assert OpenSsl().decrypt(der, reader) == CONTENT


def test_structure_as_asn1crypto_reads_it() -> None:
    people = [PKI.recipient(name) for name in ("rsa-2048", "p-256", "x25519")]
    info = asn1.ContentInfo.load(encrypt(CONTENT, [p.certificate for p in people], CBC), strict=True)
    held = info["content"]
    assert (info["content_type"].native, held["version"].native) == ("enveloped_data", "v2")
    assert held["encrypted_content_info"]["content_type"].native == "data"
    assert held["encrypted_content_info"]["content_encryption_algorithm"].encryption_cipher == "aes"
    kinds = [choice.name for choice in held["recipient_infos"]]
    assert kinds == ["ktri", "kari", "kari"]
    assert held["recipient_infos"][0].chosen["version"].native == "v0"
    for choice in held["recipient_infos"][1:]:
        kari = choice.chosen
        assert kari["version"].native == "v3"
        assert kari["ukm"].native is None
        assert kari["originator"].name == "originator_key"
    serials = {choice.chosen["rid"].chosen["serial_number"].native if choice.name == "ktri" else
               choice.chosen["recipient_encrypted_keys"][0]["rid"].chosen["serial_number"].native
               for choice in held["recipient_infos"]}
    assert serials == {p.certificate.serial for p in people}
    alone = asn1.ContentInfo.load(encrypt(CONTENT, [people[0].certificate], CBC), strict=True)
    assert alone["content"]["version"].native == "v0"  # RFC 5652 6.1
    auth = asn1.ContentInfo.load(encrypt(CONTENT, [people[1].certificate], GCM), strict=True)
    assert auth["content_type"].native == "authenticated_enveloped_data"
    assert auth["content"]["version"].native == "v0"  # RFC 5083 2.1
    assert len(auth["content"]["mac"].native) == 16
    assert auth["content"]["auth_attrs"].native is None


def test_no_octet_is_wasted_on_length_forms() -> None:
    """Templates with lengths laid out beforehand are still DER: read and written again by asn1crypto, the same."""
    for size in (0, 1, 100, 127, 128, 200, 255, 256, 65_535, 65_536, 70_000):
        for cipher in (CBC, GCM):
            der = encrypt(bytes(size), [PKI.recipient("p-521").certificate, PKI.recipient().certificate], cipher)
            assert asn1.ContentInfo.load(der, strict=True).copy().dump(force=True) == der


def test_x25519_by_another_derivation() -> None:
    """RFC 8418 2.2: HKDF with SHA-256 over ECC-CMS-SharedInfo, no ukm and so no salt. openssl and NSS cannot tell."""
    person = PKI.recipient("x25519")
    der = encrypt(CONTENT, [person.certificate], GCM)
    kari = asn1.ContentInfo.load(der)["content"]["recipient_infos"][0].chosen
    algorithm = kari["key_encryption_algorithm"]
    assert algorithm["algorithm"].dotted == "1.2.840.113549.1.9.16.3.19"
    wrap = algorithm["parameters"].dump()
    assert wrap == build.sequence(build.oid("2.16.840.1.101.3.4.1.45"))  # AES-256 wrap, parameters absent
    point = kari["originator"].chosen["public_key"].native
    peer = build.sequence(build.sequence(build.oid("1.3.101.110")), build.bit_string(point))
    kek = hkdf("sha256", raw_agree(person.key, peer), shared_info(wrap, None, 32), 32, None)
    wrapped = kari["recipient_encrypted_keys"][0]["encrypted_key"].native
    seen = SpyKey(person)
    assert decrypt(parse_enveloped(der), [seen]) == CONTENT
    assert len(aes_key_unwrap(kek, wrapped)) == 32


@pytest.mark.parametrize("cipher", [CBC, GCM])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, enveloped.SCRATCH_OCTETS_MIN - 1, enveloped.SCRATCH_OCTETS_MIN,
                                  enveloped.SCRATCH_OCTETS_MAX - 17, enveloped.SCRATCH_OCTETS_MAX - 16,
                                  enveloped.SCRATCH_OCTETS_MAX - 15, enveloped.SCRATCH_OCTETS_MAX + 1])
def test_sizes_where_something_changes(size: int, cipher: ContentCipher) -> None:
    person = PKI.recipient("p-256")
    content = (bytes(range(256)) * (size // 256 + 1))[:size]
    assert decrypt(parse_enveloped(encrypt(content, [person.certificate], cipher)), [CertificateKey(person)]) == content


def test_threads_do_not_share_a_scratch() -> None:
    person = PKI.recipient("p-256")

    def there_and_back(number: int) -> bool:
        content = bytes((number,)) * (200_000 + number)
        der = encrypt(content, [person.certificate], (CBC, GCM)[number % 2])
        return decrypt(parse_enveloped(der), [CertificateKey(person)]) == content

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(there_and_back, range(64)))


def test_one_content_key_for_one_message_and_one_cipher() -> None:
    person = PKI.recipient()
    keys, vectors = set(), set()
    for number in range(40):
        found = parse_enveloped(encrypt(CONTENT, [person.certificate], (CBC, GCM)[number % 2]))
        keys.add(CertificateKey(person).unwrap(UnwrapScheme.RSA_PKCS1, found.recipients[0].wrapped))
        vectors.add(found.vector)
    assert len(keys) == len(vectors) == 40
    assert all(len(key) == 32 for key in keys)


def test_named_twice_is_one_recipient_and_each_its_own_transport() -> None:
    one, two = PKI.recipient(), PKI.recipient("rsa-3072")
    by_oaep = Recipient(two.certificate, KeyTransport.OAEP_SHA256)
    der = encrypt(CONTENT, [one.certificate, by_oaep, one.certificate], CBC)
    found = parse_enveloped(der)
    assert len(found.recipients) == 2
    spies = [SpyKey(one), SpyKey(two)]
    for spy in spies:
        assert decrypt(found, [spy]) == CONTENT
    assert [spy.asked for spy in spies] == [["rsa-pkcs1"], ["rsa-oaep-sha256"]]


def test_the_order_of_recipients_tells_nothing() -> None:
    """DER sorts the SET, so who was named first (To before Bcc) is not seen."""
    people = [PKI.recipient(name).certificate for name in ("rsa-2048", "p-256", "rsa-3072")]
    for order in (people, people[::-1]):
        der = encrypt(CONTENT, order, CBC)
        body = walk.read(der, walk.children(der, walk.single(der))[1].body)
        infos = walk.children(der, body)[1]
        elements = [walk.whole(der, child) for child in walk.children(der, infos)]
        assert elements == sorted(elements)


# --- certificates that are refused -----------------------------------------------------------------------------------


def certificate(public: object, *usages: str) -> Certificate:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    signer = ec.generate_private_key(ec.SECP256R1())
    builder = (x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(x509.Name([])).serial_number(5)
               .public_key(public).not_valid_before(START).not_valid_after(END))  # type: ignore[arg-type]
    if usages:
        builder = builder.add_extension(x509.KeyUsage(**{name: name in usages for name in names}), critical=True)
    return parse_certificate(builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER))


def weak_key() -> Certificate:
    return certificate(rsa.generate_private_key(65537, 1024).public_key())


@pytest.mark.parametrize("make, reason", [
    (weak_key, Reason.CERTIFICATE_WEAK_KEY),
    (lambda: PKI.signer("ed25519").certificate, Reason.CERTIFICATE_WRONG_USAGE),
    (lambda: certificate(ed448.Ed448PrivateKey.generate().public_key()), Reason.CERTIFICATE_WRONG_USAGE),
    (lambda: PKI.signer("rsa-2048").certificate, Reason.CERTIFICATE_WRONG_USAGE),  # key usage without keyEncipherment
    (lambda: PKI.signer("p-256").certificate, Reason.CERTIFICATE_WRONG_USAGE),  # without keyAgreement
    (lambda: certificate(x448.X448PrivateKey.generate().public_key()), Reason.CERTIFICATE_ALGORITHM_UNKNOWN),
    (lambda: certificate(ec.generate_private_key(ec.BrainpoolP256R1()).public_key()),
     Reason.CERTIFICATE_ALGORITHM_UNKNOWN),
    (lambda: certificate(ec.generate_private_key(ec.SECP224R1()).public_key()), Reason.CERTIFICATE_ALGORITHM_UNKNOWN),
])
def test_refused_by_name(make: object, reason: Reason) -> None:
    good = PKI.recipient().certificate
    with pytest.raises(GatewayError) as refused:
        encrypt(CONTENT, [good, make()], CBC)  # type: ignore[operator]
    assert refused.value.reason is reason
    assert not refused.value.retry


def test_an_rsa_key_bound_to_pss_is_for_signing() -> None:
    """RFC 4055 1.2: a key under id-RSASSA-PSS must not be used for anything else."""
    der = subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa-pss", "-nodes", "-subj", "/CN=x", "-keyout",
                          "/dev/null", "-outform", "DER", "-addext", "keyUsage=keyEncipherment"],
                         capture_output=True, check=True).stdout
    found = parse_certificate(der)
    assert (found.key_algorithm, found.signature_algorithm) == ("rsa-2048", "sha256_rsa_pss")
    with pytest.raises(GatewayError) as refused:
        encrypt(CONTENT, [found], CBC)
    assert refused.value.reason is Reason.CERTIFICATE_WRONG_USAGE


def test_without_a_key_usage_extension_anything_goes() -> None:
    """RFC 5280 4.2.1.3: many private authorities leave it out."""
    person = PKI.recipient("p-256")
    bare = certificate(person.key.public_key())
    assert bare.key_usage is None
    assert parse_enveloped(encrypt(CONTENT, [bare], CBC)).recipients[0].kind == "key_agreement"


def test_nobody_and_too_many() -> None:
    with pytest.raises(GatewayError) as refused:
        encrypt(CONTENT, [], CBC)
    assert refused.value.reason is Reason.CERTIFICATE_ABSENT
    many = [PKI.recipient("p-256", serial=1000 + number, not_after=datetime(2040, 1, 1, tzinfo=UTC)).certificate
            for number in range(3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(enveloped, "RECIPIENTS_MAX", 2)
        with pytest.raises(GatewayError) as refused:
            encrypt(CONTENT, many, CBC)
        assert refused.value.reason is Reason.INPUT_LIMIT_EXCEEDED
        assert len(parse_enveloped(encrypt(CONTENT, many[:2], CBC)).recipients) == 2


def test_the_constant_parts_are_prepared_once() -> None:
    person = PKI.recipient("rsa-2048", email="often@customer.example")
    before = enveloped._prepared.cache_info()
    for _ in range(5):
        encrypt(CONTENT, [person.certificate], CBC)
    after = enveloped._prepared.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 4)
