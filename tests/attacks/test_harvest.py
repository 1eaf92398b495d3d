"""Attack: having the bank write to the attacker, by teaching it a certificate or a weaker way.

Harvesting believes mail, and mail can be captured, sent again, wrapped, cut and flooded. A thief of a mailbox gets a
certificate for its address within minutes. So what is harvested is merely found, never stands beside what the bank
itself has bound, and comes only out of a fresh, whole mail whose signer is surely unrevoked.
"""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.authority.ca import Purpose
from gateway.cms.certificate import load_certificates
from gateway.errors import Reason
from gateway.model.lookup import Found
from gateway.model.outcome import Settled
from tests.support import forge
from tests.support.bank import Context
from tests.support.pki import Person
from tests.support.process import template
from tests.support.sealed import TEXT, cms, enveloped, multipart, scheme_of
from tests.support.teaching import (
    BOTH,
    CBC,
    GCM,
    PKI,
    STAFF,
    arrives,
    bind,
    both,
    capabilities,
    from_whom,
    known,
    letter,
    now,
    preference,
    rows,
    school,
    signature,
)

OLA = "ola@partner.example"
HOUR = timedelta(hours=1)


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Context]:
    with school(template(), tmp_path / "school") as built:
        yield built


def ola() -> Person:
    return both(OLA)


def thief() -> Person:
    """A certificate for Ola's address, of the same authority, got while her mailbox was in other hands."""
    return both(OLA, name="Ola", which=7)


def writer() -> Person:
    return PKI.signer("p-256", email=OLA)


def box(which: int = 0) -> Person:
    return PKI.recipient("p-256", email=OLA, which=which)


# --- the thief of a mailbox -----------------------------------------------------------------------------------------


def test_nothing_is_kept_beside_a_bound_one(bank: Context) -> None:
    bind(bank, ola(), "1001")
    known(bank, thief())
    arrives(bank, letter(thief()))
    assert list(rows(bank, OLA)) == [ola().certificate.sha256]


def test_nor_where_any_of_its_addresses_has_a_bound_one(bank: Context) -> None:
    """A certificate with two addresses, sent from the one that is free."""
    two = PKI.person(Purpose.SIGN, "p-256", emails=("free@partner.example", OLA), profile=BOTH)
    bind(bank, ola(), "1001")
    known(bank, two)
    arrives(bank, letter(two, from_="free@partner.example"))
    assert rows(bank, "free@partner.example") == {}
    assert list(rows(bank, OLA)) == [ola().certificate.sha256]


def test_a_harvested_one_is_never_enrolled_and_gives_way_to_a_bound_one(bank: Context) -> None:
    known(bank, thief())
    arrives(bank, letter(thief()))
    assert not isinstance(bank.gateway.select(OLA, "enrolled"), Found)
    bind(bank, ola(), "1001")
    answer = bank.gateway.select(OLA)
    assert isinstance(answer, Found)
    assert [row.sha256 for row in answer.rows] == [ola().certificate.sha256]
    assert [loser.reason for loser in answer.losers] == [Reason.CERTIFICATE_DISPLACED]


# --- mail captured long ago, or yesterday ---------------------------------------------------------------------------


def test_an_old_mail_sent_again_does_not_bring_back_an_old_certificate(bank: Context) -> None:
    """Ola has changed her key; whoever has the old one sends her old mail again, as it was."""
    old, new = box(), box(1)
    known(bank, writer(), old, new)
    captured = letter(writer(), preference(old), at=now() - 2 * HOUR, enclosed=(old.der,))
    arrives(bank, letter(writer(), preference(new), at=now() - HOUR, enclosed=(new.der,)))
    arrives(bank, captured)
    arrives(bank, captured.replace(b"Message-ID: <", b"Message-ID: <again-"))
    assert list(rows(bank, OLA)) == [new.certificate.sha256]


def test_nor_into_a_store_that_never_heard_of_her(bank: Context) -> None:
    known(bank, ola())
    arrives(bank, letter(ola(), at=now() - timedelta(days=8)))
    arrives(bank, letter(ola(), timed=False))
    assert rows(bank, OLA) == {}


def test_an_old_mail_sent_again_does_not_bring_back_a_weaker_cipher(bank: Context) -> None:
    bind(bank, ola(), "1001")
    captured = letter(ola(), capabilities(CBC), at=now() - 3 * HOUR)
    arrives(bank, captured)
    arrives(bank, letter(ola(), capabilities(GCM), at=now() - 2 * HOUR))
    arrives(bank, captured)
    (row,) = bank.gateway.store.certificates.rows(OLA)
    assert row.capabilities is not None
    assert row.capabilities in capabilities(GCM)


def test_nobody_elses_word_changes_how_the_bank_writes_to_a_customer(bank: Context) -> None:
    """The thief signs with a certificate of his own for her address, and names hers, which is public."""
    bind(bank, ola(), "1001")
    arrives(bank, letter(ola(), capabilities(CBC), at=now() - HOUR))
    before = bank.gateway.store.certificates.rows(OLA)
    arrives(bank, letter(thief(), preference(ola()), capabilities(GCM), enclosed=(ola().der,)))
    assert bank.gateway.store.certificates.rows(OLA) == before
    bind(bank, thief(), "1002")  # even as a customer, of another number
    arrives(bank, letter(thief(), preference(ola()), capabilities(GCM), enclosed=(ola().der,)))
    assert before[0] in bank.gateway.store.certificates.rows(OLA)


# --- a key that was taken away --------------------------------------------------------------------------------------


def test_a_revoked_signer_teaches_nothing(bank: Context) -> None:
    known(bank, ola(), status="revoked")
    bank.gateway.handle(bank.receive(letter(ola(), capabilities(GCM)), STAFF))
    assert rows(bank, OLA) == {}


def test_a_revoked_certificate_is_not_harvested_though_its_signer_is_good(bank: Context) -> None:
    known(bank, writer())
    known(bank, box(), status="revoked")
    arrives(bank, letter(writer(), preference(box()), enclosed=(box().der,)))
    assert rows(bank, OLA) == {}


def test_one_that_is_revoked_after_it_was_harvested_is_not_used(bank: Context) -> None:
    known(bank, ola())
    arrives(bank, letter(ola()))
    assert isinstance(bank.gateway.select(OLA), Found)
    known(bank, ola(), status="revoked")
    time.sleep(1.1)  # processes look once a second whether anything has changed
    answer = bank.gateway.select(OLA)
    assert not isinstance(answer, Found)
    assert [loser.reason for loser in answer.losers] == [Reason.CERTIFICATE_REVOKED]  # type: ignore[union-attr]


# --- signatures that do not speak for the whole mail ----------------------------------------------------------------


def test_a_signature_only_outside_an_encryption_teaches_nothing(bank: Context) -> None:
    """Anybody can sign a sealed envelope that somebody else has written."""
    support = _support(bank)
    sealed = enveloped(TEXT, support)
    known(bank, ola())
    bind(bank, box(), "1001")
    outside = multipart(sealed, signature(sealed, ola(), capabilities(GCM), preference(box()), at=now(),
                                          enclosed=(box().der,)))
    bank.gateway.handle(bank.receive(from_whom(outside, OLA), "support@bank.example"))
    assert bank.inbound.taken, "it was delivered, as what it is"
    assert [row.capabilities for row in bank.gateway.store.certificates.rows(OLA)] == [None]
    assert list(rows(bank, OLA)) == [box().certificate.sha256]


def test_the_same_inside_the_encryption_does(bank: Context) -> None:
    """So that the test above fails for its own reason."""
    known(bank, ola())
    inside = enveloped(multipart(TEXT, signature(TEXT, ola(), at=now())), _support(bank))
    bank.gateway.handle(bank.receive(from_whom(inside, OLA), "support@bank.example"))
    assert list(rows(bank, OLA)) == [ola().certificate.sha256]


def _support(bank: Context) -> Person:
    certificate = load_certificates(bank.bank.support_certificate.read_bytes())[0]
    return Person("support", certificate.der, ola().key, ())


def test_a_signed_part_teaches_nothing_of_the_whole(bank: Context) -> None:
    known(bank, ola())
    part = multipart(TEXT, signature(TEXT, ola(), at=now()))
    mixed = (b'Content-Type: multipart/mixed; boundary="m"\r\n\r\n--m\r\nContent-Type: text/plain\r\n\r\n'
             b"Use my new certificate!\r\n--m\r\n" + part + b"\r\n--m--\r\n")
    arrives(bank, from_whom(mixed, OLA))
    assert rows(bank, OLA) == {}


def test_a_signer_who_is_not_the_from_teaches_nothing(bank: Context) -> None:
    eve = both("eve@elsewhere.example")
    known(bank, eve)
    arrives(bank, letter(eve, from_=OLA), sender="eve@elsewhere.example")
    assert rows(bank, OLA) == {}
    assert rows(bank, "eve@elsewhere.example") == {}


def test_an_added_signer_teaches_nothing_for_the_other(bank: Context) -> None:
    """Eve adds her SignerInfo to Ola's mail, and names a certificate of her own for Ola's address."""
    eve = both("eve@elsewhere.example")
    known(bank, eve, thief(), writer(), box())
    infos = [
        forge.signer_info(person, scheme_of(person), TEXT, given=[
            forge.content_type(), forge.message_digest(TEXT), forge.signing_time(now()), preference(named)])
        for person, named in ((eve, thief()), (writer(), box()))]
    der = forge.signed_data(infos, content=None, certificates=[
        person.der for person in (eve, thief(), writer(), box())] + list(eve.chain_der))
    arrives(bank, from_whom(multipart(TEXT, der), OLA))
    assert list(rows(bank, OLA)) == [box().certificate.sha256]
    assert rows(bank, "eve@elsewhere.example") == {}


def test_what_is_only_enclosed_is_nobodys_word(bank: Context) -> None:
    """The certificates of a SignedData are not signed: whoever carries the mail may put others in."""
    known(bank, writer(), thief())
    arrives(bank, letter(writer(), enclosed=(thief().der,)))
    arrives(bank, letter(writer(), preference(box()), enclosed=(thief().der,)))
    assert rows(bank, OLA) == {}


def test_a_stranger_cannot_fill_the_store(bank: Context) -> None:
    """Valid mail from a thousand addresses would cost a thousand certificates; from one address four, in days."""
    known(bank, writer(), *(box(which) for which in range(6)))
    for which in range(6):
        person = box(which)
        arrives(bank, letter(writer(), preference(person), at=now() - HOUR + timedelta(minutes=which),
                             enclosed=(person.der,)))
    assert len(rows(bank, OLA)) == 1


def test_an_opaque_signature_is_as_good_as_a_detached_one(bank: Context) -> None:
    known(bank, ola())
    signed = [forge.content_type(), forge.message_digest(TEXT), forge.signing_time(now())]
    info = forge.signer_info(ola(), scheme_of(ola()), TEXT, given=signed)
    der = forge.signed_data([info], content=TEXT, certificates=(ola().der, *ola().chain_der))
    assert arrives(bank, from_whom(cms(der, "signed-data"), OLA)).answer is Settled.TAKEN
    assert list(rows(bank, OLA)) == [ola().certificate.sha256]
