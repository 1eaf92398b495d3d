"""Attack: a captured signed mail is sent again, with the attacker's Subject, Date, Reply-To, or to another recipient.

The signature stays good, because it covers the content and the protected fields alone (RFC 8551 3.1, RFC 9788). Rules
and readers must be able to see what it does not cover.
"""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from gateway.model.mail import Envelope, Mail, Origin, Recipient
from gateway.model.verdict import Coverage, Trust
from gateway.pipeline.inbound.compose import compose
from gateway.smime.draft import Draft
from gateway.smime.open import open_mail
from gateway.smime.protect import protect
from tests.support.pki import NOW, CertificateKey
from tests.support.sealed import ANNA, BANK, TEXT, anna, box, enveloped, judge, message, signed, stamper

HOUSE = SimpleNamespace(identity=SimpleNamespace(authserv_id="gateway.bank.example"), card=None)
DATE = b"Tue, 24 Nov 2026 12:00:00 +0000"


def opened(octets, at=NOW):
    result = open_mail(octets, [CertificateKey(box())], judge(), at)
    assert result.verdicts.verdict is Trust.TRUSTED, result.verdicts.why
    assert result.verdicts.coverage is not None
    return result


def coverage(octets, at=NOW):
    return opened(octets, at).verdicts.coverage


def protected(mail=None, *, encrypt=False):
    """A mail whose header fields are protected, as it was first sent."""
    mail = message(TEXT) if mail is None else mail
    parts = protect(mail, encrypt=encrypt, legacy_display=False)
    entity = signed(parts.payload, anna())
    return parts.outer + b"MIME-Version: 1.0\r\n" + (enveloped(entity, box()) if encrypt else entity)


def test_a_signature_as_most_programs_write_it():
    assert coverage(message(signed(TEXT, anna()))) == Coverage("unprotected", None, 0, 0)


def test_the_time_between_signing_and_reception():
    octets = message(signed(TEXT, anna()))
    assert coverage(octets, NOW + timedelta(days=6)).age_s == 6 * 86400
    assert coverage(message(signed(TEXT, anna(), at=NOW + timedelta(hours=2)))).age_s == -7200


def test_a_new_stamp_makes_an_old_signature_no_younger():
    """The token is an unsigned attribute (RFC 3161 appendix A): anybody can have the old signature stamped again."""
    octets = message(signed(TEXT, anna(), at=NOW - timedelta(days=9), stamp=stamper(NOW)))
    assert coverage(octets).age_s == 9 * 86400
    earlier = message(signed(TEXT, anna(), at=NOW, stamp=stamper(NOW - timedelta(days=1))))
    assert coverage(earlier).age_s == 86400


@pytest.mark.parametrize(("date", "gap_s"), [
    (DATE, 0), (b"Wed, 25 Nov 2026 14:00:00 +0100", 25 * 3600), (b"Mon, 23 Nov 2026 12:00:00 -0000", 86400),
    (b"yesterday", None), (b"Tue, 24 Nov 99999 12:00:00 +0000", None)])
def test_another_date(date, gap_s):
    assert coverage(message(signed(TEXT, anna())).replace(DATE, date)).date_gap_s == gap_s


def test_no_date_is_no_other_date():
    assert coverage(message(signed(TEXT, anna())).replace(b"Date: " + DATE + b"\r\n", b"")).date_gap_s == 0


@pytest.mark.parametrize("encrypt", [False, True])
def test_protected_fields_are_the_authors_whatever_stands_outside(encrypt):
    octets = protected(encrypt=encrypt)
    assert coverage(octets) == Coverage("protected", frozenset({BANK}), 0, 0)
    again = octets.replace(DATE, b"Fri, 27 Nov 2026 12:00:00 +0000", 1).replace(
        b"To: " + BANK.encode(), b"To: other@bank.example\r\nReply-To: eve@else.example", 1)
    assert coverage(again) == Coverage("protected", frozenset({BANK}), 0, 0)
    assert b"eve@else" not in opened(again).octets


def test_only_a_protected_subject():
    """draft-autocrypt-lamps-protected-headers as Thunderbird wrote it: the other fields stay as they are outside."""
    entity = TEXT.replace(b"charset=utf-8", b'charset=utf-8; protected-headers="v1"')
    octets = message(signed(b"Subject: Order\r\n" + entity, anna()))
    assert coverage(octets) == Coverage("partly", None, 0, 0)


def test_whom_the_author_wrote_to():
    found = coverage(protected(message(TEXT, to=f"Bank <{BANK.upper()}>, ben@customer.example")))
    assert [found.addressed_to(one) for one in (BANK, "staff@bank.example")] == ["recipient", "others"]
    assert coverage(message(signed(TEXT, anna()))).addressed_to(BANK) == "unprotected"


@pytest.mark.parametrize(("reply_to", "is_stray"), [
    (b"", False), (b"Reply-To: %s\r\n" % ANNA.upper().encode(), False), (b"Reply-To: eve@else.example\r\n", True),
    (b"Reply-To: %s, eve@else.example\r\n" % ANNA.encode(), True), (b"Reply-To: <<\r\n", True),
    (b"Sender: %s\r\n" % ANNA.encode(), False), (b"Sender: Boss <boss@bank.example>\r\n", True)])
def test_a_reply_to_that_the_signer_did_not_write(reply_to, is_stray):
    octets = reply_to + b"Mail-Followup-To: eve@else.example\r\n" + message(signed(TEXT, anna()))
    result = opened(octets)
    assert result.verdicts.coverage.stray_reply_to is is_stray
    for form in (True, False):
        left = composed(octets, result, opened=form)
        assert (b"eve@else.example" not in left) is is_stray
        assert b"boss@bank.example" not in left
        assert (b"reply_to=removed" in left.replace(b"\r\n ", b" ")) is is_stray


def test_a_reply_to_stays_where_nobody_is_told_to_trust_it():
    octets = b"Reply-To: eve@else.example\r\n" + message(TEXT)
    result = open_mail(octets, [], judge(), NOW)
    assert result.verdicts.coverage is None
    assert b"Reply-To: eve@else.example" in composed(octets, result)


def test_what_readers_are_told():
    octets = protected()
    result = opened(octets, NOW + timedelta(days=2))
    told = composed(octets, result, to="staff@bank.example").replace(b"\r\n ", b" ")
    assert b"; headers=protected; age=172800s; date_gap=0s; not_addressed_to_us" in told
    assert b"not_addressed_to_us" not in composed(octets, result).replace(b"\r\n ", b" ")
    plain = message(signed(TEXT, anna()))
    assert b"; headers=unprotected; age=0s" in composed(plain, opened(plain)).replace(b"\r\n ", b" ")


def composed(octets, result, *, opened=True, to=BANK):
    mail = Mail(octets, Envelope("x@else.example", (Recipient(to),)), Origin(False, None, NOW, "0"))
    return compose(HOUSE, mail, result, Draft(octets, opened=opened), mail.envelope.recipients)
