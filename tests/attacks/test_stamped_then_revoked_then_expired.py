"""Attack: moving a signature in time, by its stamp or by the lack of one.

Anna's certificate is good until it expires (or is revoked). Whoever holds her key later wants a signature of today
to count as one of yesterday; whoever owes her something wants one of yesterday not to count today. What decides is
t = genTime + accuracy of the earliest believed stamp, else the reception. The revoked cases run over true lists of
the authorities.
"""

from datetime import timedelta

import pytest

from gateway.authority.crl import RevokedEntry, build_crl
from gateway.cms import attributes
from gateway.errors import Reason
from gateway.model.verdict import Status, Trust
from gateway.pki.judge import Judge
from gateway.pki.revocation.from_files import GivenFile, GivenRevocation
from gateway.pki.revocation.verdict import Revocation
from gateway.smime.open import open_mail
from tests.support import forge
from tests.support.pki import NOW, get_pki
from tests.support.sealed import (
    ANNA,
    TEXT,
    anna,
    forged_stamper,
    judge,
    message,
    multipart,
    scheme_of,
    signed,
    stamper,
    trust_of,
)

END = NOW - timedelta(days=100)  # Anna's certificate ends here; the mail is received today
BEFORE = END - timedelta(days=10)
AFTER = END + timedelta(days=10)


def late():
    return anna(not_after=END)


def seen(mail, by=None):
    verdicts = open_mail(mail, (), by or judge(), NOW).verdicts
    (signer,) = verdicts.signature.signers
    return verdicts.verdict, signer


def with_tokens(*tokens, person=None):
    """Anna's signature with these tokens at it, each a function of the signature value."""
    person = person or late()
    scheme = scheme_of(person)
    given = [forge.content_type(), forge.message_digest(TEXT, scheme.digest)]
    from gateway.der import build

    value = person.sign(scheme, build.tlv(0x31, *sorted(given)))
    unsigned = [attributes.attribute(attributes.SIGNATURE_TIME_STAMP, *(token(value) for token in tokens))]
    info = forge.signer_info(person, scheme, TEXT, given=given, unsigned=unsigned if tokens else (), signature=value)
    return message(multipart(TEXT, forge.signed_data([info], content=None,
                                                     certificates=[person.der, *person.chain_der])))


def test_stamped_while_it_was_good_it_stays_good():
    verdict, signer = seen(message(signed(TEXT, late(), at=BEFORE, stamp=stamper(BEFORE))))
    assert (verdict, signer.status) == (Trust.TRUSTED, Status.VALID)
    assert signer.judged_at == BEFORE + timedelta(seconds=1)


def test_stamped_too_late_it_is_expired_whatever_the_signer_claims():
    verdict, signer = seen(message(signed(TEXT, late(), at=BEFORE, stamp=stamper(AFTER))))
    assert (verdict, signer.reason) == (Trust.NOT_TRUSTED, Reason.SIGNATURE_EXPIRED)
    assert signer.timestamp.status is Status.VALID
    assert signer.signing_time == BEFORE


def test_with_the_token_stripped_it_is_judged_at_reception():
    verdict, signer = seen(message(signed(TEXT, late(), at=BEFORE)))
    assert (verdict, signer.reason, signer.judged_at) == (Trust.NOT_TRUSTED, Reason.SIGNATURE_EXPIRED, NOW)


@pytest.mark.parametrize(("token", "reason"), [
    (lambda value: stamper(BEFORE)(b"another signature" + value), Reason.TIMESTAMP_IMPRINT),
    (stamper(NOW + timedelta(days=1)), Reason.TIMESTAMP_FUTURE),
    (lambda value: stamper(BEFORE)(value)[:-1] + b"\0", Reason.TIMESTAMP_ALTERED),
    (lambda value: b"\x30\x03\x02\x01\x00", Reason.TIMESTAMP_MALFORMED)])
def test_a_token_that_is_not_believed_moves_nothing_and_is_told(token, reason):
    verdict, signer = seen(with_tokens(token))
    assert (verdict, signer.reason, signer.judged_at) == (Trust.NOT_TRUSTED, Reason.SIGNATURE_EXPIRED, NOW)
    assert signer.timestamp.reason is reason


def test_nor_does_it_harm_a_signature_that_is_good_without_it():
    verdict, signer = seen(with_tokens(lambda value: b"\x30\x03\x02\x01\x00", person=anna()))
    assert (verdict, signer.status, signer.judged_at) == (Trust.TRUSTED, Status.VALID, NOW)
    assert (signer.timestamp.status, signer.timestamp.reason) == (Status.INVALID, Reason.TIMESTAMP_MALFORMED)


def test_a_strangers_service_and_one_of_the_mail_root_stamp_in_vain():
    strangers = stamper(BEFORE, get_pki("Strangers").stamper())
    from gateway.authority.ca import Purpose

    own = get_pki().person(Purpose.STAMP, "p-256", name="TSA below the mail root")
    for token in (strangers, forged_stamper(BEFORE, own)):
        verdict, signer = seen(with_tokens(token))
        assert (verdict, signer.reason) == (Trust.NOT_TRUSTED, Reason.SIGNATURE_EXPIRED)
        assert signer.timestamp.status is not Status.VALID


def test_somebody_elses_certificate_stamps_in_vain():
    """Anna, or whoever has her key, stamps for herself."""
    verdict, signer = seen(with_tokens(forged_stamper(BEFORE, late())))
    assert (verdict, signer.reason) == (Trust.NOT_TRUSTED, Reason.SIGNATURE_EXPIRED)
    assert signer.timestamp.reason is Reason.TIMESTAMP_WRONG_USAGE


def test_a_service_that_has_run_out_is_not_asked_any_more():
    unit = get_pki().stamper(not_after=END)
    verdict, signer = seen(with_tokens(forged_stamper(BEFORE, unit)))
    assert (verdict, signer.timestamp.reason) == (Trust.NOT_TRUSTED, Reason.TIMESTAMP_EXPIRED)


def test_the_earliest_believed_token_counts():
    strangers = stamper(BEFORE - timedelta(days=1), get_pki("Strangers").stamper())
    verdict, signer = seen(with_tokens(strangers, stamper(AFTER), stamper(BEFORE)))
    assert verdict is Trust.TRUSTED
    assert signer.judged_at == BEFORE + timedelta(seconds=1)


def test_accuracy_counts_against_the_signer():
    """Within its accuracy the time may have been later: half a second before the end is not safely before it."""
    assert seen(with_tokens(stamper(END - timedelta(seconds=1))))[0] is Trust.TRUSTED
    assert seen(with_tokens(stamper(END - timedelta(milliseconds=500))))[0] is Trust.NOT_TRUSTED


def test_tokens_beyond_the_bound_are_not_looked_at():
    junk = [lambda value: b"\x30\x03\x02\x01\x00"] * 4
    assert seen(with_tokens(*junk, stamper(BEFORE)))[0] is Trust.NOT_TRUSTED


# --- revoked --------------------------------------------------------------------------------------------------------


def by(*revoked, mode="require", made=NOW - timedelta(hours=1), until=NOW + timedelta(days=1), missing=(), more=()):
    """A judge with the true lists of all three authorities; `revoked`: (person, day, reason, invalidity)."""
    pki = get_pki()
    files = list(more)
    for authority in (pki.root, pki.intermediate, pki.tsa_root):
        entries = [RevokedEntry(person.certificate.serial, *rest) for person, *rest in revoked
                   if person.certificate.x509.issuer == authority.certificate.subject]
        if authority not in missing:
            files.append(GivenFile("list", "crl", build_crl(authority, entries, 1, made, until)))
    trust = trust_of(pki)
    return Judge(trust, Revocation(mode, GivenRevocation(files, trust)))


@pytest.mark.parametrize(("stamp", "verdict", "reason"), [
    (stamper(BEFORE), Trust.TRUSTED, None), (stamper(AFTER), Trust.NOT_TRUSTED, Reason.SIGNATURE_REVOKED),
    (None, Trust.NOT_TRUSTED, Reason.SIGNATURE_REVOKED)])
@pytest.mark.parametrize("mode", ["soft", "require"])
def test_revoked_before_or_after_the_stamp(stamp, verdict, reason, mode):
    person = anna()
    found, signer = seen(message(signed(TEXT, person, stamp=stamp)), by((person, END), mode=mode))
    assert (found, signer.reason) == (verdict, reason)


def test_the_last_moment_before_the_revocation_is_before_the_end_of_the_stamps_accuracy():
    person = anna()
    good, late = (signed(TEXT, person, stamp=forged_stamper(END - before))
                  for before in (timedelta(seconds=2), timedelta(seconds=1)))
    assert seen(message(good), by((person, END)))[0] is Trust.TRUSTED
    assert seen(message(late), by((person, END)))[1].reason is Reason.SIGNATURE_REVOKED


def test_with_the_token_stripped_or_foreign_it_is_revoked():
    person = anna()
    strangers = stamper(BEFORE, get_pki("Strangers").stamper())
    for tokens in ((), (strangers,), (stamper(NOW + timedelta(days=1)),)):
        verdict, signer = seen(with_tokens(*tokens, person=person), by((person, END)))
        assert (verdict, signer.reason) == (Trust.NOT_TRUSTED, Reason.SIGNATURE_REVOKED)


def test_a_key_that_was_lost_before_the_stamp_signs_nothing():
    """The revocation came after the stamp; the issuer says that the key was lost before it (RFC 5280 5.3.2)."""
    person = anna()
    mail = message(signed(TEXT, person, stamp=stamper(BEFORE)))
    lost = BEFORE - timedelta(days=1)
    assert seen(mail, by((person, END, "keyCompromise", lost)))[1].reason is Reason.SIGNATURE_REVOKED
    assert seen(mail, by((person, END, "keyCompromise", AFTER)))[0] is Trust.TRUSTED
    assert seen(mail, by((person, END, "superseded", lost)))[0] is Trust.TRUSTED


def test_stamped_while_good_then_revoked_then_expired():
    """The list may have forgotten him by now: only one that still speaks of expired certificates clears him."""
    person = late()
    mail = message(signed(TEXT, person, at=BEFORE, stamp=stamper(BEFORE)))
    verdict, signer = seen(mail, by())
    assert (verdict, signer.reason) == (Trust.UNKNOWN, Reason.REVOCATION_UNAVAILABLE)
    assert seen(mail, by(mode="soft"))[1].notes == (Reason.REVOCATION_NOT_CHECKED,)
    assert seen(mail, by((person, AFTER)))[0] is Trust.TRUSTED  # still listed, and that was after the stamp
    assert seen(mail, by((person, BEFORE)))[1].reason is Reason.SIGNATURE_REVOKED


def test_a_list_of_the_time_between_stamp_and_expiry_clears_him():
    """Made after the stamp and while he was valid: what had happened by then is on it."""
    person = late()
    mail = message(signed(TEXT, person, at=BEFORE, stamp=stamper(BEFORE)))
    verdict, _ = seen(mail, by(made=END - timedelta(days=1), until=NOW + timedelta(days=1)))
    assert verdict is Trust.TRUSTED


def test_a_hold_counts_until_it_is_lifted():
    person = anna()
    mail = message(signed(TEXT, person))
    verdict, signer = seen(mail, by((person, END, "certificateHold")))
    assert (verdict, signer.reason) == (Trust.NOT_TRUSTED, Reason.SIGNATURE_ON_HOLD)
    assert seen(mail, by())[0] is Trust.TRUSTED  # the next list does not name him any more
    pki = get_pki()
    lifted = build_crl(pki.intermediate, [RevokedEntry(person.certificate.serial, NOW, "removeFromCRL")], 2,
                       NOW - timedelta(minutes=1), NOW + timedelta(days=1), base=1)
    assert seen(mail, by((person, END, "certificateHold"), more=[GivenFile("delta", "crl", lifted)]))[0] \
        is Trust.TRUSTED


@pytest.mark.parametrize(("revoked", "believed"), [
    ((BEFORE - timedelta(days=1), "superseded"), False), ((AFTER, "superseded"), True),
    ((AFTER, "cessationOfOperation"), True), ((AFTER, "affiliationChanged"), True), ((AFTER, "unspecified"), True),
    ((AFTER, "keyCompromise"), False), ((AFTER,), False), ((AFTER, "certificateHold"), False)])
def test_a_revoked_service_stamps_in_vain_unless_its_key_was_safe(revoked, believed):
    """RFC 3161 4, 1 and 2: with a key that may be lost anybody can have stamped any time, at any time."""
    person, unit = anna(), get_pki().stamper()
    verdict, signer = seen(message(signed(TEXT, person, stamp=stamper(BEFORE))), by((person, END), (unit, *revoked)))
    assert (verdict is Trust.TRUSTED) is believed
    if not believed:
        assert (signer.reason, signer.timestamp.reason) == (Reason.SIGNATURE_REVOKED, Reason.TIMESTAMP_UNTRUSTED)
    assert ANNA in signer.emails


def test_a_service_about_which_nothing_is_known_is_not_believed_where_that_is_required():
    person = anna()
    verdict, signer = seen(message(signed(TEXT, person, stamp=stamper(BEFORE))),
                           by((person, END), missing=(get_pki().tsa_root,)))
    assert (verdict, signer.reason) == (Trust.NOT_TRUSTED, Reason.SIGNATURE_REVOKED)
    assert signer.timestamp.reason is Reason.REVOCATION_UNAVAILABLE


@pytest.mark.parametrize(("stamp", "verdict", "reason"), [
    (None, Trust.NOT_TRUSTED, Reason.PATH_REVOKED), (stamper(BEFORE), Trust.TRUSTED, None),
    (stamper(AFTER), Trust.NOT_TRUSTED, Reason.PATH_REVOKED)])
def test_a_revoked_authority_takes_everything_below_with_it(stamp, verdict, reason):
    class Issuer:
        certificate = anna().chain[0]

    found, signer = seen(message(signed(TEXT, anna(), stamp=stamp)), by((Issuer, END, "cACompromise")))
    assert (found, signer.reason) == (verdict, reason)


def test_without_fresh_data_nothing_is_fresh():
    """A stamp makes an old signature good, and gives no power to act today."""
    person = anna()
    mail = message(signed(TEXT, person, stamp=stamper(BEFORE)))
    stale = {"made": NOW - timedelta(days=9), "until": NOW - timedelta(days=2)}
    for judge_, fresh in ((by(), True), (by((person, AFTER)), False), (by(mode="soft", **stale), False)):
        opened = open_mail(mail, (), judge_, NOW)
        assert opened.signed is not None
        assert opened.signed.signers[0].fresh is fresh
