"""Attack: borrowing somebody's signature by adding signers, stripping them, mixing algorithms, wrapping layers.

SignerInfos are no part of what is signed: anybody on the way may add or take away some (RFC 5652 5.1). A reader that
takes the first, the last or the best of them is led by the nose. Here all must be valid, and one must be the From.
"""

import pytest

from gateway.cms import algorithms
from gateway.errors import Reason
from gateway.model.scheme import SignScheme
from gateway.model.verdict import Status, Trust
from gateway.smime.open import open_mail
from tests.support import forge
from tests.support.pki import NOW, CertificateKey, get_pki
from tests.support.sealed import ANNA, TEXT, anna, box, cms, enveloped, judge, message, multipart, scheme_of, signed

EVE = "eve@customer.example"


def eve():
    return anna(email=EVE)


def info(person, content=TEXT, **options):
    return forge.signer_info(person, scheme_of(person), content, **options)


def mail(*infos, from_=ANNA, people=None):
    certificates = [der for person in people or (anna(), eve()) for der in (person.der, *person.chain_der)]
    return message(multipart(TEXT, forge.signed_data(infos, content=None, certificates=certificates)), from_=from_)


def told(octets):
    opened = open_mail(octets, [CertificateKey(box())], judge(), NOW)
    return opened.verdicts.verdict, opened.verdicts.why, opened


# --- added ----------------------------------------------------------------------------------------------------------


def test_an_added_true_signer_changes_nothing_about_whose_mail_it_is():
    verdict, _, opened = told(mail(info(anna()), info(eve())))
    assert verdict is Trust.TRUSTED
    assert [signer.matches_from for signer in opened.verdicts.signature.signers] == [True, False]
    assert [signer.matches_from for signer in opened.signed.signers] == [True, False]


def test_eve_signs_beside_anna_and_claims_to_be_her_boss():
    verdict, why, _ = told(mail(info(anna()), info(eve()), from_="boss@bank.example"))
    assert (verdict, why) == (Trust.NOT_TRUSTED, (Reason.FROM_MISMATCH,))


def test_eve_signs_as_herself_and_is_shown_as_anna():
    """Many mail programs show the display name alone; with both addresses in the certificate it is no lie."""
    def verdict(name, *people):
        octets = mail(*(info(one) for one in people), from_="FROM", people=people)
        return told(octets.replace(b"From: Anna <FROM>", f"From: {name} <{EVE}>".encode()))[:2]

    misleading = (Trust.NOT_TRUSTED, (Reason.FROM_NAME_MISLEADING,))
    assert verdict(f'"{ANNA}"', eve()) == misleading
    assert verdict("=?utf-8?q?anna=40customer=2Eexample?=", eve()) == misleading
    assert verdict("=?windows-949?q?anna=40customer=2Eexample?=", eve()) == misleading
    assert verdict("=?x-klingon?q?anna=40customer=2Eexample?=", eve()) == misleading
    assert verdict("Anna", eve()) == (Trust.TRUSTED, ())
    assert verdict(f'"{ANNA}"', eve(), anna()) == (Trust.TRUSTED, ()), "Anna has signed as well"


def test_an_added_false_signer_makes_it_false():
    """A nuisance that anyone on the way can cause, and the safe side: OR would let Eve hide behind Anna."""
    verdict, why, opened = told(mail(info(anna()), info(eve(), b"other")))
    assert (verdict, why, opened.signed) == (Trust.NOT_TRUSTED, (Reason.SIGNATURE_ALTERED,), None)


def test_annas_signature_of_something_else_beside_eves_good_one():
    verdict, why, opened = told(mail(info(anna(), b"hello"), info(eve())))
    assert (verdict, why, opened.signed) == (Trust.NOT_TRUSTED, (Reason.SIGNATURE_ALTERED,), None)


def test_an_added_signer_from_nowhere():
    stranger = get_pki("Strangers").signer("p-256", email=ANNA)
    verdict, why, opened = told(mail(info(eve()), info(stranger), people=(eve(), stranger)))
    assert (verdict, why) == (Trust.UNKNOWN, (Reason.PATH_ISSUER_MISSING,))
    assert opened.signed is None


# --- stripped -------------------------------------------------------------------------------------------------------


def test_annas_signer_info_stripped_leaves_eves_mail():
    verdict, why, _ = told(mail(info(eve())))
    assert (verdict, why) == (Trust.NOT_TRUSTED, (Reason.FROM_MISMATCH,))


def test_all_signer_infos_stripped_leaves_an_unsigned_mail():
    verdict, why, opened = told(mail())
    assert (verdict, why, opened.signed) == (Trust.UNKNOWN, (Reason.SIGNATURE_NOT_SIGNED,), None)
    assert opened.verdicts.signature.status is Status.NOT_SIGNED


def test_the_certificate_stripped_leaves_nothing_to_decide():
    verdict, why, _ = told(mail(info(anna()), people=(eve(),)))
    assert (verdict, why) == (Trust.UNKNOWN, (Reason.SIGNATURE_CERTIFICATE_MISSING,))


def test_another_certificate_for_the_same_name_and_serial():
    """Eve's authority names its certificate as Anna's is named; signingCertificateV2 says which one was meant."""
    verdict, _, _ = told(message(signed(TEXT, anna())))
    assert verdict is Trust.TRUSTED
    octets = mail(info(anna(), given=[forge.content_type(), forge.message_digest(TEXT), _names(eve())]))
    assert told(octets)[:2] == (Trust.NOT_TRUSTED, (Reason.SIGNATURE_CERTIFICATE_MISMATCH,))


def _names(person):
    from gateway.cms import attributes

    return attributes.signing_certificate_v2(person.certificate)


# --- mixed algorithms -----------------------------------------------------------------------------------------------


def weak(person):
    digest = algorithms.identifier("1.3.14.3.2.26")
    return info(person, digest_id=digest, given=[forge.content_type(), forge.message_digest(TEXT, "sha1")])


def unknown(person):
    return info(person, signature_id=algorithms.identifier("2.999.5"))


@pytest.mark.parametrize(("infos", "verdict", "why"), [
    (lambda: [info(anna()), unknown(anna())], Trust.TRUSTED, ()),
    (lambda: [unknown(anna())], Trust.UNKNOWN, (Reason.SIGNATURE_ALGORITHM_UNKNOWN,)),
    (lambda: [info(anna()), weak(anna())], Trust.NOT_TRUSTED, (Reason.SIGNATURE_WEAK_ALGORITHM,)),
    (lambda: [weak(anna())], Trust.NOT_TRUSTED, (Reason.SIGNATURE_WEAK_ALGORITHM,)),
    (lambda: [info(anna()), unknown(eve())], Trust.UNKNOWN, (Reason.SIGNATURE_ALGORITHM_UNKNOWN,))])
def test_mixed_algorithms(infos, verdict, why):
    assert told(mail(*infos()))[:2] == (verdict, why)


def test_two_keys_of_one_holder_are_two_signers():
    rsa = anna("rsa-2048")
    octets = mail(info(anna()), forge.signer_info(rsa, SignScheme.RSA_PKCS1_SHA256, TEXT), people=(anna(), rsa))
    verdict, _, opened = told(octets)
    assert verdict is Trust.TRUSTED
    assert len(opened.signed.signers) == 2


# --- outer and inner ------------------------------------------------------------------------------------------------


def test_eve_wraps_annas_mail_in_her_own_signature():
    inner = signed(TEXT, anna())
    verdict, why, opened = told(message(signed(inner, eve())))
    assert (verdict, why) == (Trust.TRUSTED, ())
    assert [s.certificate for s in opened.signed.signers] == [anna().certificate]
    verdict, why, opened = told(message(signed(inner, eve()), from_=EVE))
    assert (verdict, why) == (Trust.NOT_TRUSTED, (Reason.FROM_MISMATCH,))


def test_eve_signs_what_anna_encrypted():
    """Davis 2001: a signature around ciphertext says nothing of knowing what is in it."""
    octets = message(signed(enveloped(signed(TEXT, anna()), box()), eve()), from_=EVE)
    assert told(octets)[:2] == (Trust.NOT_TRUSTED, (Reason.FROM_MISMATCH,))
    octets = message(signed(enveloped(TEXT, box()), eve()), from_=EVE)
    verdict, why, opened = told(octets)
    assert verdict is Trust.UNKNOWN
    assert Reason.SIGNATURE_OUTSIDE_ENCRYPTION in why
    assert opened.signed is None


def test_a_false_outer_signature_caps_a_good_inner_one():
    inner = enveloped(signed(TEXT, anna()), box())
    outer = multipart(inner, forge.signed_data([info(eve(), b"other")], content=None, certificates=[eve().der]))
    verdict, why, opened = told(message(outer))
    assert (verdict, why, opened.signed) == (Trust.NOT_TRUSTED, (Reason.SIGNATURE_OUTER_INVALID,), None)


def test_a_good_outer_signature_does_not_heal_a_false_inner_one():
    inner = multipart(TEXT, forge.signed_data([info(anna(), b"other")], content=None,
                                              certificates=[anna().der, *anna().chain_der]))
    verdict, why, opened = told(message(signed(enveloped(inner, box()), anna())))
    assert (verdict, opened.signed) == (Trust.NOT_TRUSTED, None)
    assert why == (Reason.SIGNATURE_ALTERED, Reason.DECRYPTION_NOT_AUTHENTICATED)


def test_an_opaque_layer_without_signers_around_annas_mail():
    inner = signed(TEXT, anna())
    octets = message(cms(forge.signed_data([], content=inner, certificates=[eve().der]), "signed-data"))
    verdict, _, opened = told(octets)
    assert verdict is Trust.TRUSTED
    assert [s.certificate for s in opened.signed.signers] == [anna().certificate]


# --- read in two ways -----------------------------------------------------------------------------------------------

HTML = b"Content-Type: text/html\r\n"


def twice(octets, at, more):
    """The message with one more field before the one that begins with `at`."""
    return octets.replace(b"\r\n" + at, b"\r\n" + more + at, 1)


@pytest.mark.parametrize("octets", [
    twice(message(signed(TEXT, anna())), b"Content-Type:", HTML),
    twice(message(signed(TEXT, anna(), opaque=True)), b"Content-Type:", HTML),
    twice(message(enveloped(signed(TEXT, anna()), box())), b"Content-Type:", HTML),
    message(signed(TEXT, anna())).replace(b"MIME-Version: 1.0\r\n", b"").replace(
        b"Content-Type: multipart", HTML + b"MIME-Version: 1.0\r\nContent-Type: multipart", 1),
    twice(message(signed(TEXT, anna(), opaque=True)), b"Content-Type:", b"Content-Transfer-Encoding: 7bit\r\n"),
    message(signed(TEXT, anna())).replace(b"multipart/signed;", b"multipart/signed; boundary=other;", 1),
    message(signed(TEXT, anna())).replace(b"multipart/signed;", b"multipart/signed; boundary*=us-ascii''other;", 1)])
def test_a_root_with_two_types_is_not_opened(octets):
    """Attack: one program takes the first Content-Type, another the last; keep_original attaches both readings."""
    opened = open_mail(octets, [CertificateKey(box())], judge(), NOW)
    assert (opened.verdicts.verdict, opened.changed, opened.signed) == (Trust.UNKNOWN, False, None)
    assert Reason.MAIL_AMBIGUOUS in opened.verdicts.why


def test_two_types_of_a_mail_that_is_no_smime_are_its_readers_affair():
    plain = open_mail(message(HTML + TEXT), [], judge(), NOW)
    assert Reason.MAIL_AMBIGUOUS not in plain.verdicts.why
    folded = message(signed(TEXT, anna())).replace(b"multipart/signed;", b"multipart/signed; x-boundary=x;", 1)
    assert told(folded)[0] is Trust.TRUSTED
