"""Attack: moving a signature in time, by its stamp or by the lack of one.

Anna's certificate is good until it expires (or is revoked). Whoever holds her key later wants a signature of today
to count as one of yesterday; whoever owes her something wants one of yesterday not to count today. What decides is
t = genTime + accuracy of the earliest believed stamp, else the reception. The revoked cases run over a small table
behind the seam; holds that are lifted come with the table itself.
"""

from datetime import timedelta
from itertools import count

import pytest

from gateway.cms import attributes
from gateway.errors import Reason
from gateway.model.verdict import Status, Trust
from gateway.pki.judge import Judge
from gateway.pki.revocation import Known, Revocation
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


TABLES = count()


class Table:
    """Revoked from a day on, by certificate; everything else is known to be good."""

    def __init__(self, revoked):
        self.version = f"test {next(TABLES)}"
        self.revoked = revoked

    def known(self, certificate, issuer, at, received):
        since = self.revoked.get(certificate.sha256)
        return Known("revoked") if since is not None and since <= at else Known("good", fresh=True)


def by(revoked):
    return Judge(trust_of(get_pki()), Revocation("require", Table(revoked)))


@pytest.mark.parametrize(("stamp", "verdict", "reason"), [
    (stamper(BEFORE), Trust.TRUSTED, None), (stamper(AFTER), Trust.NOT_TRUSTED, Reason.SIGNATURE_REVOKED),
    (None, Trust.NOT_TRUSTED, Reason.SIGNATURE_REVOKED)])
def test_revoked_before_or_after_the_stamp(stamp, verdict, reason):
    person = anna()
    found, signer = seen(message(signed(TEXT, person, stamp=stamp)), by({person.certificate.sha256: END}))
    assert (found, signer.reason) == (verdict, reason)


def test_a_revoked_service_stamps_in_vain():
    person, unit = anna(), get_pki().stamper()
    revoked = {person.certificate.sha256: END, unit.certificate.sha256: BEFORE - timedelta(days=1)}
    found, signer = seen(message(signed(TEXT, person, stamp=stamper(BEFORE))), by(revoked))
    assert (found, signer.reason) == (Trust.NOT_TRUSTED, Reason.SIGNATURE_REVOKED)
    assert signer.timestamp.reason is Reason.TIMESTAMP_UNTRUSTED
    assert ANNA in signer.emails


def test_a_revoked_authority_takes_everything_below_with_it():
    intermediate = anna().chain[0].sha256
    found, signer = seen(message(signed(TEXT, anna())), by({intermediate: END}))
    assert (found, signer.reason) == (Trust.NOT_TRUSTED, Reason.PATH_REVOKED)
