"""What may be written to a holder. Truth: RFC 8551 2.5.2 (order), RFC 5084 3.2, RFC 3565 4.1, RFC 3560 3."""

import pytest

from gateway.cms import algorithms, attributes
from gateway.cms.algorithms import ContentCipher
from gateway.der import build
from gateway.smime.capabilities import read, reads_gcm, reads_oaep
from tests.support.envelopes import oaep
from tests.support.pki import get_pki

GCM256, GCM128 = (algorithms.identifier(one.oid) for one in (ContentCipher.AES256_GCM, ContentCipher.AES128_GCM))
CBC256, CBC128 = (algorithms.identifier(one.oid) for one in (ContentCipher.AES256_CBC, ContentCipher.AES128_CBC))
TRIPLE_DES = algorithms.identifier("1.2.840.113549.3.7")
RSA = algorithms.identifier(algorithms.RSA)
OAEP_SHA1 = algorithms.identifier(algorithms.RSA_OAEP, build.sequence())


def listed(*capabilities):
    return build.sequence(*capabilities)


@pytest.mark.parametrize(("capabilities", "gcm"), [
    (listed(GCM256), True), (listed(TRIPLE_DES, GCM256, CBC256), True), (listed(GCM128, GCM256), True),
    (listed(CBC256, GCM256), False),
    (listed(GCM128), False),
    (listed(GCM128, CBC128), False),
    (listed(algorithms.identifier(ContentCipher.AES256_GCM.oid, build.null())), True),
    (listed(algorithms.identifier(ContentCipher.AES256_GCM.oid, build.integer(12))), False),
    (listed(), False), (None, False), (b"", False), (b"\x30\xff", False), (listed(GCM256) + b"\0", False),
    (build.tlv(0x31, GCM256), False), (listed(build.null(), GCM256), False)])
def test_gcm_counts_with_its_key_size_and_place(capabilities, gcm):
    assert reads_gcm(capabilities) is gcm


@pytest.mark.parametrize(("capabilities", "wanted"), [
    (listed(oaep("sha256")), True), (listed(oaep("sha256"), RSA), True), (listed(RSA, oaep("sha256")), False),
    (listed(OAEP_SHA1), False),
    (listed(OAEP_SHA1, oaep("sha256")), True),
    (listed(oaep("sha256", "sha1")), False), (listed(oaep("sha512")), False),
    (listed(oaep("sha256", label=b"label")), False),
    (listed(algorithms.identifier(algorithms.RSA_OAEP)), False),
    (listed(algorithms.identifier(algorithms.RSA_OAEP, build.null())), False), (None, False)])
def test_oaep_counts_with_its_parameters_and_place(capabilities, wanted):
    assert reads_oaep(capabilities) is wanted


def test_the_gateway_reads_what_another_gateway_writes():
    """Two gateways choose the modern forms between them."""
    for algorithm, wanted in (("rsa-2048", True), ("p-256", False)):
        attribute = attributes.smime_capabilities(get_pki().recipient(algorithm).certificate)
        value = attributes.parse(build.sequence(attribute), algorithms.walk.single(build.sequence(attribute)))[0]
        assert reads_gcm(value.values[0])
        assert reads_oaep(value.values[0]) is wanted
        assert len(read(value.values[0])) > 7
