"""Attack: a captured ciphertext sent again, as it is or changed, to have it opened, quoted or believed.

Eve has a mail that Anna encrypted to the bank, and can send mail herself. She wants the bank to open it for her (a
reply, a bounce, a different error), to take it for hers, or to take it for Anna's a second time or at another place.
EFAIL (Poddebniak 2018) for CBC; RFC 9709 1 for GCM relabelled as CBC; Bleichenbacher and Vaudenay for the answers.
"""

from dataclasses import replace

import pytest

from gateway.cms import algorithms, enveloped_reader
from gateway.cms.algorithms import ContentCipher
from gateway.cms.content_keys import ContentKeys
from gateway.cms.enveloped import encrypt
from gateway.der import build, walk
from gateway.errors import Reason
from gateway.frontends.replies import reply_for_reason
from gateway.model.verdict import DecryptionVerdict, Trust
from gateway.smime.open import open_mail
from gateway.smime.protect import protect
from tests.support.pki import NOW, CertificateKey, get_pki
from tests.support.sealed import ANNA, BANK, TEXT, anna, box, cms, enveloped, judge, message, signed

EVE = "eve@customer.example"
GCM = ContentCipher.AES256_GCM
FAILED = DecryptionVerdict("failed", Reason.DECRYPTION_FAILED, "whole")


def opened(mail, key=None, **options):
    return open_mail(mail, [CertificateKey(key or box())], judge(), NOW, **options)


def order():
    return signed(TEXT, anna())


def relabelled(der, cut=0):
    """An AuthEnvelopedData as an EnvelopedData with CBC: same recipients, same key, an IV of Eve's choice."""
    message = enveloped_reader.parse_enveloped(der)
    explicit = walk.children(der, walk.single(der))[1]
    fields = walk.children(der, walk.read(der, explicit.body, explicit.end))
    recipients = next(field for field in fields if field.tag == walk.SET)
    content = b"".join(der[start:end] for start, end in message.segments)
    content = content[:len(content) - len(content) % 16 - cut]
    return build.sequence(build.oid(algorithms.ENVELOPED_DATA), build.context(0, build.sequence(
        build.integer(2), walk.whole(der, recipients),
        build.sequence(build.oid(algorithms.DATA),
                       algorithms.identifier(ContentCipher.AES256_CBC.oid, build.octet_string(bytes(16))),
                       build.tlv(0x80, content)))))


def spliced(der, flip):
    """CBC with one octet of the encrypted content changed."""
    message = enveloped_reader.parse_enveloped(der)
    start, end = message.segments[0]
    octets = bytearray(der)
    octets[(start if flip >= 0 else end) + flip] ^= 0x20
    return bytes(octets)


# --- as it is -------------------------------------------------------------------------------------------------------


def test_sent_again_under_her_own_name_it_is_not_hers():
    mail = message(enveloped(order(), box()), from_=EVE)
    verdicts = opened(mail).verdicts
    assert (verdicts.verdict, verdicts.why) == (Trust.NOT_TRUSTED, (Reason.FROM_MISMATCH,))


def test_wrapped_in_her_own_signature_it_is_not_hers():
    mail = message(signed(enveloped(order(), box()), anna(email=EVE)), from_=EVE)
    result = opened(mail)
    assert result.verdicts.verdict is Trust.NOT_TRUSTED
    assert not any(signer.matches_from for signer in result.signed.signers)


def test_sent_to_another_mailbox_it_is_not_opened():
    other = get_pki().recipient("p-256", email="press@bank.example")
    result = opened(message(enveloped(order(), box()), to="press@bank.example"), key=other)
    assert result.verdicts.decryption == DecryptionVerdict("no_key", Reason.DECRYPTION_NO_KEY, "whole")
    assert result.octets is result.original


def test_an_order_for_another_bank_encrypted_again_tells_on_itself():
    """Surreptitious forwarding: Anna signed it for somebody else, who encrypts it to this bank (Davis 2001).

    The arithmetic is right; the protected To and Message-ID say whose it was.
    """
    original = message(TEXT, to="orders@other-bank.example")
    payload = protect(original, encrypt=True).payload
    mail = message(enveloped(signed(payload, anna()), box()), to=BANK)
    result = opened(mail)
    assert result.verdicts.headers.protected
    assert "To" in result.verdicts.headers.differs
    assert result.verdicts.headers.to == "orders@other-bank.example"
    assert b"To: orders@other-bank.example" in result.octets
    assert b"To: " + BANK.encode() not in result.octets


# --- changed --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 16, 160])
def test_gcm_relabelled_as_cbc_is_never_believed(cut):
    der = encrypt(order(), [box().certificate], GCM)
    mail = message(cms(relabelled(der, cut), "enveloped-data"), from_=EVE)
    verdicts = opened(mail).verdicts
    assert verdicts.verdict is not Trust.TRUSTED
    assert verdicts.decryption.integrity in (None, "none")


def test_with_the_memory_of_content_keys_it_is_not_even_opened():
    der = encrypt(order(), [box().certificate], GCM)
    used = ContentKeys()
    assert opened(message(cms(der, "authEnveloped-data")), used_keys=used).verdicts.verdict is Trust.TRUSTED
    for cut in range(0, 320, 16):
        result = opened(message(cms(relabelled(der, cut), "enveloped-data"), from_=EVE), used_keys=used)
        assert result.verdicts.decryption == FAILED
        assert result.octets is result.original
    assert opened(message(cms(der, "authEnveloped-data")), used_keys=used).verdicts.verdict is Trust.TRUSTED, \
        "a retry opens"


@pytest.mark.parametrize("flip", [0, 5, 40, 100, 200, -1, -17, -33])
def test_spliced_cbc_is_never_believed(flip):
    """Unless only what nobody is shown was hit: a parameter of the outer field, behind the last delimiter, between the
    letters of base64. Where it hits depends on the boundary and the key, drawn anew in each run.
    """
    der = spliced(encrypt(order(), [box().certificate], ContentCipher.AES256_CBC), flip)
    result = opened(message(cms(der, "enveloped-data")))
    if result.signed is not None:
        assert result.signed.octets == result.payload == TEXT
        return
    assert result.verdicts.verdict is not Trust.TRUSTED
    assert result.verdicts.decryption.integrity in (None, "none")


def test_spliced_cbc_without_a_signature_is_never_believed():
    """An EFAIL gadget: known plaintext at the start turned into something else, the rest kept."""
    page = b"Content-Type: text/html\r\n\r\n" + b"secret " * 20
    der = encrypt(page, [box().certificate], ContentCipher.AES256_CBC)
    found = enveloped_reader.parse_enveloped(der)
    vector = found.vector
    known, wanted = page[:16], b"Content-type: te"
    changed = bytes(v ^ k ^ w for v, k, w in zip(vector, known, wanted, strict=True))
    gadget = der.replace(vector, changed)
    verdicts = opened(message(cms(gadget, "enveloped-data"))).verdicts
    assert verdicts.decryption == DecryptionVerdict("decrypted", None, "whole", "none")
    assert verdicts.verdict is Trust.UNKNOWN
    assert Reason.DECRYPTION_NOT_AUTHENTICATED in verdicts.why


def test_a_changed_gcm_is_not_opened():
    der = encrypt(order(), [box().certificate], GCM)
    for flip in (0, 50, -1):
        assert opened(message(cms(spliced(der, flip), "authEnveloped-data"))).verdicts.decryption == FAILED
    assert opened(message(cms(der[:-1] + bytes([der[-1] ^ 1]), "authEnveloped-data"))).verdicts.decryption == FAILED


# --- the answers ----------------------------------------------------------------------------------------------------


def failures():
    """Every way in which opening can fail once a key fits."""
    gcm = encrypt(order(), [box().certificate], GCM)
    cbc = encrypt(order(), [box("rsa-2048").certificate], ContentCipher.AES256_CBC)
    found = enveloped_reader.parse_enveloped(cbc)
    start, end = found.segments[0]
    wrapped = found.recipients[0].wrapped
    return [
        spliced(gcm, 3),  # content
        gcm[:-1] + bytes([gcm[-1] ^ 1]),  # tag
        cbc.replace(wrapped, bytes(len(wrapped))),  # key transport: no valid padding
        cbc.replace(wrapped, wrapped[::-1]),
        cbc[:end - 1] + bytes([cbc[end - 1] ^ 0x80]) + cbc[end:],  # padding of the content, nearly always
        cbc[:start] + bytes(end - start) + cbc[end:],
    ]


def test_all_failures_are_one_answer():
    seen = set()
    for der in failures():
        for key in (box(), box("rsa-2048")):
            result = opened(message(cms(der, "enveloped-data")), key=key)
            if result.verdicts.decryption.status == "no_key":
                continue
            if result.verdicts.decryption.status == "decrypted":
                assert result.verdicts.decryption.integrity == "none"
                continue
            assert result.octets is result.original
            seen.add(replace(result.verdicts, layers=result.verdicts.layers[:0]))
    assert len(seen) == 1
    (verdicts,) = seen
    assert verdicts.decryption == FAILED


def test_to_strangers_every_failure_has_the_very_same_octets():
    replies = {reply_for_reason(reason, retry=False, permitted=False, incident="4711")
               for reason in (Reason.DECRYPTION_FAILED, Reason.DECRYPTION_NO_KEY, Reason.DECRYPTION_PART_ONLY,
                              Reason.DECRYPTION_NOT_AUTHENTICATED, Reason.SIGNATURE_ALTERED,
                              Reason.SIGNATURE_NOT_SIGNED, Reason.SIGNATURE_MALFORMED, Reason.FROM_MISMATCH)}
    assert len({(reply.code, reply.texts) for reply in replies}) == 1
    assert ANNA not in str(replies)
