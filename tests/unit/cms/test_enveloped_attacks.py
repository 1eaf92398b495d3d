"""What a sender can try on a reader of envelopes (see the docstring of cms.enveloped_reader).

Bleichenbacher and Manger oracles (RFC 3218), padding oracles, the fall-back from malformed OAEP parameters to
PKCS#1 v1.5 (openssl issue 32567), GCM relabelled as CBC (RFC 9709 1), forged tags, points that are on no curve,
and whatever costs time or memory.
"""

import time
import tracemalloc
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cms import enveloped_reader
from gateway.cms.algorithms import MGF1, P_SPECIFIED, RSA_OAEP, ContentCipher, identifier
from gateway.cms.content_keys import ContentKeys
from gateway.cms.enveloped import encrypt
from gateway.cms.enveloped_reader import UNWRAPS_MAX, decrypt, parse_enveloped
from gateway.der import build
from gateway.errors import GatewayError, Reason
from tests.support.envelopes import (
    IMPOSSIBLE_OIDS,
    SpyKey,
    cbc,
    envelope,
    failed,
    gcm,
    gcm_parameters,
    key_agreement,
    key_transport,
    oaep,
    pad,
    rsa_wrap,
    x963,
)
from tests.support.pki import CertificateKey, get_pki

PKI = get_pki()
CONTENT = b"Content-Type: text/plain\r\n\r\nPay 5 EUR.\r\n"
KEY = bytes(range(32))
VECTOR = bytes(range(16))
NONCE = bytes(range(12))
CBC, GCM = ContentCipher.AES256_CBC, ContentCipher.AES256_GCM
IV = build.octet_string(VECTOR)
RSA = PKI.recipient("rsa-2048")
EC = PKI.recipient("p-256")
HELD, TAG = gcm(KEY, NONCE, CONTENT)
SHA256 = identifier("2.16.840.1.101.3.4.2.1", build.null())


def to_rsa(key: bytes = KEY) -> bytes:
    return key_transport(RSA, rsa_wrap(RSA, key))


def reason_of(der: bytes, *keys: SpyKey, seen: ContentKeys | None = None) -> Reason | None:
    """Why it does not open; every DECRYPTION_FAILED must look like any other."""
    refused: GatewayError | None = None
    try:
        decrypt(parse_enveloped(der), keys or [SpyKey(RSA)], seen)
    except GatewayError as error:
        refused = error
    if refused is not None and refused.reason is Reason.DECRYPTION_FAILED:
        assert (str(refused), refused.detail, refused.retry) == ("decryption.failed", "", False)
        assert refused.__cause__ is None
    return refused and refused.reason


# --- oracles for the content key -------------------------------------------------------------------------------------


WRONG = b"wrong key, right size!" + bytes(10)


@pytest.mark.parametrize("answer", [failed(), b"", bytes(16), bytes(31), bytes(33), bytes(200), WRONG])
@pytest.mark.parametrize("cipher", [CBC, GCM])
def test_a_bad_content_key_goes_the_whole_way(answer: Any, cipher: ContentCipher,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 3218 2.3.2: whatever unwrapping says, some key of the right size decrypts, and only then it fails."""
    used: list[bytes] = []
    for name in ("_gcm", "_cbc"):
        real = getattr(enveloped_reader, name)

        def spy(message: Any, key: bytes, real: Any = real) -> Any:
            used.append(key)
            return real(message, key)

        monkeypatch.setattr(enveloped_reader, name, spy)
    if cipher is GCM:
        der = envelope(GCM, gcm_parameters(NONCE), HELD, [to_rsa()], mac=TAG)
    else:
        der = envelope(CBC, IV, cbc(KEY, VECTOR, pad(CONTENT)), [to_rsa()])
    reasons = [reason_of(der, SpyKey(RSA, answer)) for _ in range(2)]
    # a wrong key gives good padding once in 256 times: garbage that no signature covers, and always the same
    assert reasons[0] is reasons[1]
    assert reasons[0] is Reason.DECRYPTION_FAILED or cipher is CBC
    assert [len(key) for key in used] == [32, 32]
    assert used[0] == used[1] != KEY


def test_a_wrong_key_cannot_be_told_from_a_key_that_does_not_come_out() -> None:
    """Who tries 256 last octets learns nothing: wrapped well or not, one of them pads well, and again the same one."""
    held = cbc(KEY, VECTOR, pad(CONTENT))
    for answer in (WRONG, failed()):
        ciphertexts = [held[:-17] + bytes((octet,)) + held[-16:] for octet in range(256)]
        wrapped = [to_rsa()]
        opened = [[octet for octet, one in enumerate(ciphertexts)
                   if reason_of(envelope(CBC, IV, one, wrapped), SpyKey(RSA, answer)) is None] for _ in range(2)]
        assert opened[0] == opened[1]
        assert 1 <= len(opened[0]) <= 16, "an octet of padding, and more only where what stands before happens to fit"


@pytest.mark.parametrize("algorithm", [
    identifier(RSA_OAEP),  # RFC 3560: the parameters must be there
    identifier(RSA_OAEP, build.null()),
    identifier(RSA_OAEP, build.octet_string(b"")),
    identifier(RSA_OAEP, build.sequence(build.context(1, identifier(MGF1, SHA256)), build.context(0, SHA256))),
    identifier(RSA_OAEP, build.sequence(build.context(0, SHA256), build.context(0, SHA256))),
    identifier(RSA_OAEP, build.sequence(build.context(0, SHA256, b"\x05\x00"),
                                        build.context(1, identifier(MGF1, SHA256)))),
    identifier(RSA_OAEP, build.sequence(build.context(0, SHA256), build.context(1, identifier("1.2.3", SHA256)))),
    identifier(RSA_OAEP, build.sequence(build.context(0, SHA256), build.context(1, identifier(MGF1)))),
    identifier(RSA_OAEP, build.sequence(build.context(0, SHA256), build.context(1, identifier(MGF1, SHA256)),
                                        build.context(3, b"\x05\x00"))),
    identifier(RSA_OAEP, build.sequence(build.context(0, identifier("1.2.3")),
                                        build.context(1, identifier(MGF1, identifier("1.2.3"))))),
    identifier(RSA_OAEP, build.sequence(build.context(2, identifier("1.2.3", build.octet_string(b""))))),
    identifier(RSA_OAEP, build.sequence(build.context(2, identifier(P_SPECIFIED)))),
    identifier(RSA_OAEP, build.sequence(b"\x05\x00")),
    identifier(RSA_OAEP, build.sequence(build.context(0))),
    oaep("sha224"), oaep("sha256", "sha224"), oaep("md5"), oaep("sha256", label=b"label"),
    identifier("1.2.840.113549.1.1.1", build.sequence()),  # rsaEncryption with parameters of its own
    identifier("1.2.840.113549.1.1.10"), identifier("1.2.3"),
])
def test_parameters_that_are_not_understood_never_mean_pkcs1(algorithm: bytes) -> None:
    """The key is wrapped by PKCS#1 v1.5: a reader that falls back would open it. The private key is not even asked."""
    spy = SpyKey(RSA)
    der = envelope(CBC, IV, cbc(KEY, VECTOR, pad(CONTENT)), [key_transport(RSA, rsa_wrap(RSA, KEY), algorithm)])
    assert reason_of(der, spy) is Reason.DECRYPTION_FAILED
    assert spy.asked == []


def test_a_good_recipient_beside_malformed_parameters() -> None:
    bad = key_transport(RSA, rsa_wrap(RSA, KEY), identifier(RSA_OAEP))
    good = key_agreement(EC, KEY, "1.3.132.1.11.1", partial(x963, "sha256"))
    der = envelope(GCM, gcm_parameters(NONCE), HELD, [bad, good], mac=TAG)
    assert reason_of(der, SpyKey(RSA), SpyKey(EC)) is None


# --- oracles for the content -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("padded", [
    bytes(16), b"x" * 15 + b"\0", b"x" * 15 + b"\x11", b"x" * 14 + b"\x01\x02", b"x" + b"\x0f" * 14 + b"\x10",
    b"\x10" * 15 + b"\x0f", b"\xff" * 16, b"x" * 13 + b"\x02\x03\x03"])
def test_padding_is_checked_octet_by_octet(padded: bytes) -> None:
    for content in (padded, bytes(32) + padded):
        assert reason_of(envelope(CBC, IV, cbc(KEY, VECTOR, content), [to_rsa()])) is Reason.DECRYPTION_FAILED


@pytest.mark.parametrize("held", [b"", b"x", bytes(15), bytes(17)])
def test_cbc_needs_whole_blocks(held: bytes) -> None:
    assert reason_of(envelope(CBC, IV, held, [to_rsa()])) is Reason.DECRYPTION_FAILED


@pytest.mark.parametrize("size", [0, 8, 15, 17, 32])
def test_vectors_of_other_sizes(size: int) -> None:
    der = envelope(CBC, build.octet_string(bytes(size)), cbc(KEY, VECTOR, pad(CONTENT)), [to_rsa()])
    assert reason_of(der) is Reason.DECRYPTION_FAILED


@pytest.mark.parametrize("parameters, mac", [
    (gcm_parameters(NONCE, 4), TAG[:4]), (gcm_parameters(NONCE, 11), TAG[:11]), (gcm_parameters(NONCE, 0), b""),
    (gcm_parameters(NONCE, 16), TAG[:12]), (gcm_parameters(NONCE, 12), TAG), (gcm_parameters(NONCE, None), TAG),
    (gcm_parameters(NONCE, 17), TAG + b"\0"), (gcm_parameters(NONCE, -1), TAG), (gcm_parameters(b"", 16), TAG),
    (gcm_parameters(bytes(7), 16), TAG), (gcm_parameters(bytes(65), 16), TAG),
    (gcm_parameters(NONCE, 16), bytes(16)), (gcm_parameters(bytes(12), 16), TAG),
])
def test_forged_tags_and_absurd_parameters(parameters: bytes, mac: bytes) -> None:
    assert reason_of(envelope(GCM, parameters, HELD, [to_rsa()], mac=mac)) is Reason.DECRYPTION_FAILED


@given(st.integers(0, len(HELD) - 1), st.integers(1, 255))
def test_any_change_of_authenticated_content(place: int, flip: int) -> None:
    held = HELD[:place] + bytes((HELD[place] ^ flip,)) + HELD[place + 1:]
    assert reason_of(envelope(GCM, gcm_parameters(NONCE), held, [to_rsa()], mac=TAG)) is Reason.DECRYPTION_FAILED


# --- one key, two ciphers --------------------------------------------------------------------------------------------


def test_kinds_must_fit() -> None:
    """GCM in an EnvelopedData would be unauthenticated, CBC in an AuthEnvelopedData would claim to be."""
    spy = SpyKey(RSA)
    for der in (envelope(GCM, gcm_parameters(NONCE), HELD, [to_rsa()]),
                envelope(CBC, IV, cbc(KEY, VECTOR, pad(CONTENT)), [to_rsa()], mac=TAG)):
        assert parse_enveloped(der).cipher is None
        assert reason_of(der, spy) is Reason.DECRYPTION_FAILED
    assert spy.asked == []


def relabelled() -> bytes:
    """CBC under the content key of the GCM message: what the attacker's guess would decrypt to, well padded."""
    return envelope(CBC, IV, cbc(KEY, VECTOR, pad(b"not mine")), [to_rsa()])


def test_gcm_relabelled_as_cbc() -> None:
    """The attacker has HELD and the RecipientInfo. Blocks of his choice under CBC would be D(K, x): an oracle."""
    seen = ContentKeys()
    genuine = envelope(GCM, gcm_parameters(NONCE), HELD, [to_rsa()], mac=TAG)
    assert reason_of(genuine, seen=seen) is None
    for _ in range(3):
        assert reason_of(relabelled(), seen=seen) is Reason.DECRYPTION_FAILED
    assert reason_of(genuine, seen=seen) is None  # the same again is no other use


def test_cbc_relabelled_as_gcm() -> None:
    seen = ContentKeys()
    assert reason_of(relabelled(), seen=seen) is None
    genuine = envelope(GCM, gcm_parameters(NONCE), HELD, [to_rsa()], mac=TAG)
    assert reason_of(genuine, seen=seen) is Reason.DECRYPTION_FAILED


def test_other_key_sizes_do_not_fit() -> None:
    """A 256-bit key is no 128-bit key cut short."""
    for cipher in (ContentCipher.AES128_CBC, ContentCipher.AES192_CBC):
        held = cbc(KEY[:cipher.key_octets], VECTOR, pad(CONTENT))
        results = {reason_of(envelope(cipher, IV, held, [to_rsa()])) for _ in range(8)}  # wrapped anew: see above
        assert Reason.DECRYPTION_FAILED in results


def test_the_memory_is_bounded() -> None:
    seen = ContentKeys(limit=3)
    keys = [bytes((number,)) * 32 for number in range(5)]
    assert all(seen.first_use(key, GCM, opened=True) for key in keys)
    assert len(seen) == 3
    assert seen.first_use(keys[0], CBC, opened=False)  # forgotten, and not remembered unless it opened something
    assert not seen.first_use(keys[4], CBC, opened=True)
    assert not seen.first_use(keys[4], ContentCipher.AES256_CBC, opened=False)
    assert seen.first_use(keys[4], GCM, opened=True)
    assert len(seen) == 3
    assert seen.first_use(b"new" * 10, CBC, opened=False)
    assert len(seen) == 3


@pytest.mark.parametrize("oid, name", [("1.2.840.113549.3.7", "3des-cbc"), ("1.2.840.113549.3.2", "rc2-cbc"),
                                       ("2.16.840.1.101.3.4.1.7", "2.16.840.1.101.3.4.1.7")])
def test_ciphers_that_are_not_opened(oid: str, name: str) -> None:
    """DES, 3DES and RC2 at no time; AES-CCM and others are not known."""
    spy = SpyKey(RSA)
    der = envelope(oid, build.octet_string(bytes(8)), bytes(16), [to_rsa()])
    assert parse_enveloped(der).cipher_name == name
    assert reason_of(der, spy) is Reason.DECRYPTION_FAILED
    assert spy.asked == []


# --- key agreement ---------------------------------------------------------------------------------------------------

AGREE = partial(key_agreement, EC, KEY, derive=partial(x963, "sha256"))
STD = "1.3.132.1.11.1"


@pytest.mark.parametrize("info", [
    AGREE(scheme=STD, point=b"\x04" + bytes(64)), AGREE(scheme=STD, point=b"\x04" + b"\x01" * 64),
    AGREE(scheme=STD, point=b""), AGREE(scheme=STD, point=b"\0"), AGREE(scheme=STD, point=b"\x04" + bytes(96)),
    AGREE(scheme=STD, parameters=build.oid("1.3.132.0.34")),  # P-384's name on a point of P-256
    AGREE(scheme=STD, parameters=build.sequence()),  # curve parameters of the sender's own
    AGREE(scheme="1.2.840.113549.1.9.16.3.19"),  # HKDF is X25519's
    AGREE(scheme="1.3.132.1.15.1"),  # MQV
    AGREE(scheme="1.2.3"),
    AGREE(scheme=STD, wrap=identifier("1.2.840.113549.1.9.16.3.6", build.null())),  # 3DES key wrap
    AGREE(scheme=STD, wrap=identifier("2.16.840.1.101.3.4.1.45", build.octet_string(b""))),
])
def test_agreements_that_are_none(info: bytes) -> None:
    spy = SpyKey(EC)
    der = envelope(GCM, gcm_parameters(NONCE), HELD, [info], mac=TAG)
    assert reason_of(der, spy) is Reason.DECRYPTION_FAILED
    assert spy.asked == []


@pytest.mark.parametrize("answer", [failed(), bytes(32), bytes(66), b""])
def test_agreements_that_come_out_wrong(answer: Any) -> None:
    spy = SpyKey(EC, answer)
    der = envelope(GCM, gcm_parameters(NONCE), HELD, [AGREE(scheme=STD)], mac=TAG)
    assert reason_of(der, spy) is Reason.DECRYPTION_FAILED
    assert spy.asked == ["agree"]


@pytest.mark.parametrize("point", [bytes(32), b"\x01" + bytes(31), bytes(31), bytes(33)])
def test_x25519_points_of_low_order(point: bytes) -> None:
    """RFC 7748 6.1: they would make every shared secret zero, known to the sender's enemy too."""
    person = PKI.recipient("x25519")
    info = key_agreement(person, KEY, "1.2.840.113549.1.9.16.3.19", partial(x963, "sha256"), point=point)
    assert reason_of(envelope(GCM, gcm_parameters(NONCE), HELD, [info], mac=TAG),
                     SpyKey(person)) is Reason.DECRYPTION_FAILED


def test_static_originators_are_no_ours() -> None:
    """RFC 5753 3.2 (static-static) needs the originator's certificate, which we do not look for."""
    name = build.sequence(EC.certificate.issuer_der, build.integer(5))
    for originator in (name, build.context(0, b"ski", constructed=False)):
        der = envelope(GCM, gcm_parameters(NONCE), HELD, [AGREE(scheme=STD, originator=originator)], mac=TAG)
        assert [info.kind for info in parse_enveloped(der).recipients] == ["other"]
        assert reason_of(der, SpyKey(EC)) is Reason.DECRYPTION_NO_KEY


def test_a_recipient_of_the_wrong_kind_is_nobody() -> None:
    """Our EC certificate named by a KeyTransRecipientInfo: no RSA operation is asked of it."""
    spy = SpyKey(EC)
    der = envelope(GCM, gcm_parameters(NONCE), HELD, [key_transport(EC, bytes(256))], mac=TAG)
    assert reason_of(der, spy) is Reason.DECRYPTION_NO_KEY
    assert spy.asked == []


# --- time and memory -------------------------------------------------------------------------------------------------


def test_private_key_operations_are_bounded() -> None:
    spy = SpyKey(RSA)
    infos = [key_transport(RSA, bytes((number,)) * 256) for number in range(100)]
    der = envelope(GCM, gcm_parameters(NONCE), HELD, infos, mac=TAG)
    assert reason_of(der, spy, spy) is Reason.DECRYPTION_FAILED
    assert len(spy.asked) == UNWRAPS_MAX


def test_many_recipients_and_many_keys_are_linear() -> None:
    other = PKI.recipient("rsa-3072")
    infos = [key_transport(other, number.to_bytes(4, "big")) for number in range(2000)]
    der = envelope(GCM, gcm_parameters(NONCE), HELD, [*infos, to_rsa()], mac=TAG)
    started = time.process_time()
    found = parse_enveloped(der)
    assert decrypt(found, [CertificateKey(EC)] * 5000 + [CertificateKey(RSA)]) == CONTENT
    assert time.process_time() - started < 3
    too_many = envelope(GCM, gcm_parameters(NONCE), HELD, [*infos, *infos], mac=TAG)
    assert reason_of(too_many) is Reason.INPUT_LIMIT_EXCEEDED


@pytest.mark.parametrize("info, reason", [
    (key_transport(RSA, bytes(2049)), Reason.INPUT_LIMIT_EXCEEDED),
    (AGREE(scheme=STD, ukm=bytes(1100)), Reason.INPUT_MALFORMED),
    (build.sequence(), Reason.INPUT_MALFORMED), (build.context(1), Reason.INPUT_MALFORMED),
    (key_transport(RSA, b"x", who=build.sequence()), Reason.INPUT_MALFORMED),
    (key_transport(RSA, b"x", algorithm=build.sequence(IMPOSSIBLE_OIDS)), Reason.INPUT_LIMIT_EXCEEDED),
])
def test_recipients_out_of_bounds(info: bytes, reason: Reason) -> None:
    assert reason_of(envelope(GCM, gcm_parameters(NONCE), HELD, [info], mac=TAG)) is reason


@pytest.mark.parametrize("octets", [
    b"", b"\x30\x00", b"\x30\x80" * 2000, build.sequence(build.oid("1.2.840.113549.1.7.2"), build.context(0)),
    build.sequence(build.oid("1.2.840.113549.1.7.3")), build.sequence(IMPOSSIBLE_OIDS, build.context(0)),
    build.sequence(build.oid("1.2.840.113549.1.7.3"), build.context(0, build.sequence(build.integer(0)))),
    envelope(CBC, IV, b"", [], place=b""), envelope(CBC, IV, b"", [], place=build.integer(1)),
    envelope(CBC, IV, b"", [], place=build.context(0, build.null())),
    envelope(CBC, IV, b"x", []) + b"x", b"-----BEGIN CMS-----",
])
def test_what_is_no_envelope(octets: bytes) -> None:
    assert reason_of(octets) in {Reason.INPUT_MALFORMED, Reason.INPUT_LIMIT_EXCEEDED}


def test_a_large_message_in_small_segments() -> None:
    content = bytes(12 << 20)
    held = cbc(KEY, VECTOR, pad(content))
    pieces = b"".join(build.octet_string(held[start:start + 1000]) for start in range(0, len(held), 1000))
    der = envelope(CBC, IV, b"", [to_rsa()], place=b"\xa0\x80" + pieces + b"\0\0")
    tracemalloc.start()
    started = time.process_time()
    try:
        assert decrypt(parse_enveloped(der), [CertificateKey(RSA)]) == content
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - started < 5
    assert peak < 4 * len(der)
    flood = envelope(CBC, IV, b"", [to_rsa()], place=build.context(0, b"\x04\x00" * 300_000))
    assert reason_of(flood) is Reason.INPUT_LIMIT_EXCEEDED


SMALL = [encrypt(CONTENT, [RSA.certificate, EC.certificate], cipher) for cipher in (CBC, GCM)]
STREAMED = b"\x30\x80" + SMALL[1][4:] + b"\0\0"


@pytest.mark.parametrize("whole", [*SMALL, STREAMED])
def test_truncated_at_every_offset(whole: bytes) -> None:
    assert reason_of(whole, SpyKey(EC)) is None
    for end in range(len(whole)):
        assert reason_of(whole[:end], SpyKey(EC)) is Reason.INPUT_MALFORMED, end


@settings(max_examples=400)
@given(st.sampled_from([*SMALL, STREAMED]), st.data())
def test_any_octet_changed(whole: bytes, data: st.DataObject) -> None:
    """It opens to the same, or says why not. An altered CBC block may open to something else: EFAIL."""
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = whole[:place] + bytes((data.draw(st.integers(0, 255)),)) + whole[place + 1:]
    reason = reason_of(changed, SpyKey(EC))
    assert reason in {None, Reason.INPUT_MALFORMED, Reason.INPUT_LIMIT_EXCEEDED, Reason.DECRYPTION_NO_KEY,
                      Reason.DECRYPTION_FAILED}
    if reason is None and parse_enveloped(changed).authenticated:
        assert decrypt(parse_enveloped(changed), [CertificateKey(EC)]) == CONTENT
