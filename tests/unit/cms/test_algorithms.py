"""The table of algorithms. Truth: asn1crypto's reading of what we write, and the never-list of the house."""

from datetime import UTC, datetime

import pytest
from asn1crypto import algos

from gateway.cms import algorithms
from gateway.cms.algorithms import AlgorithmIdentifier, ContentCipher
from gateway.der import build, walk
from gateway.der.walk import DerMalformed
from gateway.errors import Reason
from gateway.model.scheme import SignScheme

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def read(octets: bytes) -> AlgorithmIdentifier:
    return algorithms.read_identifier(octets, walk.single(octets))


@pytest.mark.parametrize("scheme", SignScheme)
def test_signature_identifiers_are_read_back_and_by_asn1crypto(scheme: SignScheme) -> None:
    octets = algorithms.signature_identifier(scheme)
    ours = algorithms.signature_algorithm(read(octets), scheme.digest)
    assert ours.scheme is scheme
    assert ours.digest == scheme.digest
    theirs = algos.SignedDigestAlgorithm.load(octets, strict=True)
    assert theirs.signature_algo == {"rsa-pkcs1": "rsassa_pkcs1v15", "rsa-pss": "rsassa_pss", "ecdsa": "ecdsa",
                                     "ed25519": "ed25519"}[scheme.value.rpartition("-sha")[0] or "ed25519"]
    if theirs.signature_algo == "rsassa_pss":
        assert theirs.hash_algo == scheme.digest
        assert theirs["parameters"]["mask_gen_algorithm"]["parameters"]["algorithm"].native == scheme.digest
        assert theirs["parameters"]["salt_length"].native == ours.salt_octets


@pytest.mark.parametrize("name", ["sha256", "sha384", "sha512"])
def test_digest_identifiers(name: str) -> None:
    octets = algorithms.digest_identifier(name)
    assert algos.DigestAlgorithm.load(octets, strict=True)["algorithm"].native == name
    assert read(octets).parameters is None
    assert algorithms.digest_name(read(octets)) == name
    assert algorithms.digest_name(AlgorithmIdentifier(read(octets).oid, build.null())) == name
    with pytest.raises(DerMalformed):
        algorithms.digest_name(AlgorithmIdentifier(read(octets).oid, build.integer(1)))


@pytest.mark.parametrize("kind, name, reason", [
    ("digest", "sha256", None), ("digest", "sha1", Reason.SIGNATURE_WEAK_ALGORITHM),
    ("digest", "md5", Reason.SIGNATURE_WEAK_ALGORITHM), ("digest", "1.2.3", Reason.SIGNATURE_ALGORITHM_UNKNOWN),
    ("signature", "sha256_rsa", None), ("signature", "sha512_rsa_pss", None), ("signature", "ed25519", None),
    ("signature", "sha1_rsa", Reason.SIGNATURE_WEAK_ALGORITHM),
    ("signature", "sha1_rsa_pss", Reason.SIGNATURE_WEAK_ALGORITHM),
    ("signature", "sha1_ecdsa", Reason.SIGNATURE_WEAK_ALGORITHM),
    ("signature", "sha256_dsa", Reason.SIGNATURE_WEAK_ALGORITHM),
    ("signature", "1.2.3.4", Reason.SIGNATURE_ALGORITHM_UNKNOWN),
    ("certificate", "md5_rsa", Reason.CERTIFICATE_WEAK_ALGORITHM), ("certificate", "sha384_ecdsa", None),
    ("certificate", "1.2.3.4", Reason.CERTIFICATE_ALGORITHM_UNKNOWN),
    ("key", "rsa-2048", None), ("key", "rsa-2047", Reason.CERTIFICATE_WEAK_KEY), ("key", "rsa-16384", None),
    ("key", "rsa-16385", Reason.CERTIFICATE_WEAK_KEY), ("key", "dsa", Reason.CERTIFICATE_WEAK_KEY),
    ("key", "p-256", None), ("key", "x25519", None), ("key", "1.2.3", Reason.CERTIFICATE_ALGORITHM_UNKNOWN),
    ("signing_key", "rsa-1024", Reason.SIGNATURE_WEAK_KEY), ("signing_key", "p-521", None),
    ("signing_key", "rsa-", Reason.SIGNATURE_ALGORITHM_UNKNOWN),
    ("cipher", "aes128-cbc", None), ("cipher", "3des-cbc", Reason.DECRYPTION_FAILED),
    ("cipher", "1.2.3", Reason.DECRYPTION_FAILED),
])
def test_strength(kind: algorithms.Kind, name: str, reason: Reason | None) -> None:
    assert algorithms.allowed(kind, name, NOW) is reason
    if reason is not None:  # the never-list knows no time
        assert algorithms.allowed(kind, name, datetime(1999, 1, 1, tzinfo=UTC)) is reason


def test_sha224_ends_with_2030() -> None:
    assert algorithms.allowed("signature", "sha224_rsa", datetime(2030, 12, 31, 23, 59, 59, tzinfo=UTC)) is None
    assert algorithms.allowed("digest", "sha224", datetime(2031, 1, 1, tzinfo=UTC)) is Reason.SIGNATURE_WEAK_ALGORITHM


@pytest.mark.parametrize("cipher", ContentCipher)
def test_ciphers_as_asn1crypto_has_them(cipher: ContentCipher) -> None:
    theirs = algos.EncryptionAlgorithmId(cipher.oid).native
    assert theirs == {"cbc": f"aes{cipher.key_octets * 8}_cbc", "gcm": f"aes{cipher.key_octets * 8}_gcm"}[cipher[-3:]]
    assert cipher.aead == cipher.endswith("gcm")
    assert algorithms.cipher_name(cipher.oid) == cipher


def test_weak_ciphers_have_names() -> None:
    assert algorithms.cipher_name("1.2.840.113549.3.7") == "3des-cbc"
    assert algorithms.cipher_name("1.2.3") == "1.2.3"


def pss(*fields: bytes) -> AlgorithmIdentifier:
    return AlgorithmIdentifier(algorithms.RSA_PSS, build.sequence(*fields))


SHA256 = algorithms.identifier(algorithms.DIGEST_OIDS["sha256"], build.null())
SHA512 = algorithms.identifier(algorithms.DIGEST_OIDS["sha512"], build.null())
MASK256 = algorithms.identifier(algorithms.MGF1, SHA256)


@pytest.mark.parametrize("algorithm, name", [
    (pss(), "sha1_rsa_pss"),  # RFC 4055 3.1: every default is SHA-1's
    (pss(build.context(0, SHA256), build.context(1, MASK256)), "sha256_rsa_pss"),
])
def test_pss_defaults(algorithm: AlgorithmIdentifier, name: str) -> None:
    found = algorithms.signature_algorithm(algorithm)
    assert found.name == name
    assert found.salt_octets == 20


@pytest.mark.parametrize("algorithm", [
    AlgorithmIdentifier(algorithms.RSA_PSS, None),
    AlgorithmIdentifier(algorithms.RSA_PSS, build.null()),
    pss(build.context(0, SHA512), build.context(1, MASK256)),  # two digests
    pss(build.context(1, MASK256), build.context(0, SHA256)),  # out of order
    pss(build.context(0, SHA256), build.context(0, SHA256)),
    pss(build.context(0, SHA256), build.context(1, SHA256)),  # a mask that is none
    pss(build.context(0, SHA256), build.context(1, algorithms.identifier(algorithms.MGF1))),
    pss(build.context(0, SHA256), build.context(1, MASK256), build.context(2, build.integer(-1))),
    pss(build.context(0, SHA256), build.context(1, MASK256), build.context(3, build.integer(2))),
    pss(build.context(0, SHA256, SHA256), build.context(1, MASK256)),
    pss(build.context(4, SHA256)),
    pss(build.integer(1)),
    AlgorithmIdentifier("1.2.840.113549.1.1.11", build.integer(1)),  # sha256WithRSAEncryption with a parameter
    AlgorithmIdentifier("1.2.840.10045.4.3.2", build.oid("1.2.840.10045.3.1.7")),
    AlgorithmIdentifier(algorithms.RSA_PSS, build.sequence(bytes(300))),
])
def test_signature_parameters_that_nobody_uses(algorithm: AlgorithmIdentifier) -> None:
    with pytest.raises(DerMalformed):
        algorithms.signature_algorithm(algorithm, "sha256")


def test_a_key_only_identifier_takes_the_digest_beside_it() -> None:
    algorithm = AlgorithmIdentifier(algorithms.RSA, build.null())
    assert algorithms.signature_algorithm(algorithm, "sha1").name == "sha1_rsa"
    assert algorithms.signature_algorithm(algorithm, "sha256").scheme is SignScheme.RSA_PKCS1_SHA256
    assert algorithms.signature_algorithm(algorithm, "").scheme is None
    assert algorithms.signature_algorithm(AlgorithmIdentifier("1.2.3", None), "sha256").name == "1.2.3"
