"""The table of what is allowed until when. Truth: SOG-IS ACM 1.3, NIST SP 800-57 Part 1 Rev. 5 table 4, and the
house's never-list; where a line says what to use instead, that must be good itself.
"""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.cms import algorithms, strength
from gateway.cms.strength import EVER, allowed, endings, new_allowed, term, warned
from gateway.errors import Reason

NOW = datetime(2026, 11, 24, tzinfo=UTC)
LAST = datetime(2030, 12, 31, 23, 59, 59, tzinfo=UTC)
END = datetime(2031, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("name", ["rsa-2048", "rsa-2999", "p-224"])
def test_112_bits_are_accepted_from_customers_until_the_end_of_2030(name):
    assert allowed("key", name, LAST) is None
    assert allowed("key", name, END) is Reason.CERTIFICATE_WEAK_KEY
    assert allowed("signing_key", name, END) is Reason.SIGNATURE_WEAK_KEY
    assert allowed("key", name, EVER) is None, "an envelope of then is still opened"


@pytest.mark.parametrize(("name", "new"), [
    ("rsa-2048", False), ("rsa-2999", False), ("rsa-3000", True), ("rsa-3072", True), ("rsa-16384", True),
    ("rsa-16385", False), ("rsa-1024", False), ("p-224", False), ("p-256", True), ("ed25519", True), ("dsa", False),
    ("secp256k1", False)])
def test_new_keys(name, new):
    assert new_allowed("key", name) is new


@pytest.mark.parametrize(("kind", "name"), [
    ("digest", "sha1"), ("digest", "md5"), ("certificate", "sha1_rsa"), ("signature", "md5_rsa_pss"),
    ("key", "rsa-1024"), ("key", "rsa-2047"), ("key", "dsa"), ("cipher", "3des-cbc"), ("cipher", "des-cbc"),
    ("cipher", "rc2-cbc"), ("signature", "sha1_ecdsa"), ("certificate", "sha256_dsa")])
def test_the_never_list_knows_no_time(kind, name):
    for at in (EVER, datetime(1999, 1, 1, tzinfo=UTC), NOW, END):
        assert allowed(kind, name, at) is not None
    assert warned(kind, name, NOW) is None, "there is no end to warn of"
    assert term(kind, name).use, "whoever has it is told what to take"


def test_the_warning_begins_before_the_end():
    assert warned("key", "rsa-2048", datetime(2025, 12, 31, tzinfo=UTC)) is None
    assert warned("key", "rsa-2048", datetime(2026, 1, 1, tzinfo=UTC)).until == END
    assert warned("certificate", "sha224_rsa", NOW).use == "SHA-256"
    assert warned("key", "rsa-2048", END) is None, "over is over"
    assert warned("key", "rsa-3072", NOW) is None
    assert warned("key", "1.2.3", NOW) is None


def test_what_will_stop():
    assert [(one.kind, one.name) for one in endings(NOW, timedelta(0))] == [
        ("digest", "sha224"), ("key", "p-224"), ("key", "rsa-2048")]
    before = datetime(2024, 6, 1, tzinfo=UTC)
    assert endings(before, timedelta(days=30)) == ()
    assert {one.name for one in endings(before, timedelta(days=3000))} == {"sha224", "p-224", "rsa-2048"}
    assert endings(END, timedelta(days=9999)) == ()


def test_every_line_with_an_end_has_a_warning_before_it_and_a_successor():
    lines = [*strength.DIGESTS.values(), *strength.KEYS.values(), *strength.CIPHERS.values(),
             *(line for _, line in strength.RSA_KEYS)]
    for line in lines:
        if line.until is not None:
            assert line.use
            assert not line.new
            assert line.until is EVER or (line.warn is not None and line.until - line.warn >= timedelta(days=365))


def test_every_name_of_the_gateway_is_in_the_table_or_unknown_on_purpose():
    unknown = {"secp256k1"}  # a curve of currencies; no mail program makes such certificates
    named = {*algorithms.CURVES.values(), *algorithms.KEY_OIDS.values()}
    assert {name for name in named if term("key", name) is None} == unknown
    assert set(algorithms.DIGEST_OIDS) == set(strength.DIGESTS)
    assert {str(cipher) for cipher in algorithms.ContentCipher} <= set(strength.CIPHERS)
    bits = [bit for line, _ in strength.RSA_KEYS for bit in (line.start, line.stop)]
    assert bits == sorted(bits), "the ranges follow each other without a gap"
    assert bits[1:-1:2] == bits[2::2]
