"""The contract of LearnedCertificates over the database. Truth: ports.certificates."""

from datetime import timedelta

import pytest

from gateway.adapters.db.certificates import learned
from gateway.adapters.db.certificates.customers import DbCustomers
from gateway.adapters.db.certificates.learned import DbLearned
from gateway.adapters.db.certificates.store import DbCertificates
from gateway.clock import FrozenClock
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import Customer
from gateway.ports.administration import NewCertificate
from gateway.ports.certificates import Harvest
from tests.support.pki import NOW, get_pki

PKI = get_pki()
OLA = "ola@partner.example"
ONE = PKI.recipient("p-256", email=OLA)
TWO = PKI.recipient("p-256", email=OLA, which=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def store(database, clock):
    return DbLearned(database, DbCertificates(database, clock), clock)


def found(person=ONE, at=NOW, capabilities=b"\x30\x00", address=OLA):
    return Harvest(address, person.certificate, person.chain, capabilities, at)


def test_what_was_harvested_is_found_and_bound_to_nobody(store, database, clock) -> None:
    assert store.harvest(found()) == "stored"
    (row,) = store.rows(OLA.upper())
    assert (row.sha256, row.source, row.customer, row.trust) == (ONE.certificate.sha256, "harvest", None, None)
    assert (row.capabilities, row.capabilities_at) == (b"\x30\x00", NOW)
    assert DbCertificates(database, clock).by_subject(ONE.chain[0].subject_der) == (ONE.chain[0].der,)
    assert store.harvest(found(at=NOW + HOUR)) == "known"
    assert store.rows(OLA) == (row,), "known: nothing is changed"


def test_nothing_comes_where_an_address_has_a_bound_one(store, database, clock) -> None:
    DbCustomers(database).put([Customer("1001")])
    DbCertificates(database, clock).add([NewCertificate(ONE.certificate, customer="1001")])
    assert store.harvest(found(TWO)) == "bound"
    assert len(store.rows(OLA)) == 1


@pytest.mark.parametrize(("at", "what"), [(NOW - HOUR, "older"), (NOW, "older"), (NOW + HOUR, "often")])
def test_an_older_mail_brings_nothing_back_and_a_newer_one_not_twice_a_day(store, at, what) -> None:
    store.harvest(found())
    assert store.harvest(found(TWO, at=at)) == what
    assert [row.sha256 for row in store.rows(OLA)] == [ONE.certificate.sha256]


def test_the_newer_of_one_owner_takes_the_place_of_the_older_after_a_day(store, monkeypatch) -> None:
    monkeypatch.setattr(learned, "RENEWED_AFTER", timedelta(0))
    store.harvest(found())
    assert store.harvest(found(TWO, at=NOW + HOUR)) == "stored"
    assert [row.sha256 for row in store.rows(OLA)] == [TWO.certificate.sha256]
    assert store.harvest(found(ONE, at=NOW)) == "older", "the way back is closed"


def test_on_which_the_bank_has_spoken_it_stays(store, database, clock, monkeypatch) -> None:
    monkeypatch.setattr(learned, "RENEWED_AFTER", timedelta(0))
    store.harvest(found())
    DbCertificates(database, clock).set_trust(ONE.certificate.sha256, "distrusted")
    store.harvest(found(TWO, at=NOW + HOUR))
    assert {row.sha256: row.trust for row in store.rows(OLA)} == {
        ONE.certificate.sha256: "distrusted", TWO.certificate.sha256: None}


def test_capabilities_come_from_newer_mail_alone(store) -> None:
    store.harvest(found(capabilities=None, at=NOW))
    sha = ONE.certificate.sha256
    assert not store.set_capabilities(sha, b"\x30\x01", NOW)
    assert not store.set_capabilities(sha, b"\x30\x01", NOW - HOUR)
    assert store.set_capabilities(sha, b"\x30\x02", NOW + HOUR)
    assert (store.rows(OLA)[0].capabilities, store.rows(OLA)[0].capabilities_at) == (b"\x30\x02", NOW + HOUR)
    assert store.set_capabilities(sha, None, NOW + 2 * HOUR)
    assert store.rows(OLA)[0].capabilities is None


def test_capabilities_of_what_is_not_there_go_nowhere(store) -> None:
    assert not store.set_capabilities("0" * 64, b"\x30\x00", NOW)


def test_of_imported_ones_the_first_mail_counts(store, database, clock) -> None:
    DbCertificates(database, clock).add([NewCertificate(ONE.certificate)])
    assert store.set_capabilities(ONE.certificate.sha256, b"\x30\x00", NOW)


def test_the_days_count_starts_anew_with_the_day(database, monkeypatch) -> None:
    monkeypatch.setattr(learned, "PER_DAY_MAX", 1)
    people = [PKI.recipient("p-256", email=f"p{number}@partner.example") for number in range(3)]

    def harvested(person, at):
        clock = FrozenClock(at)
        store = DbLearned(database, DbCertificates(database, clock), clock)
        return store.harvest(found(person, address=person.email))

    assert [harvested(people[0], NOW), harvested(people[1], NOW)] == ["stored", "full"]
    assert harvested(people[1], NOW + timedelta(days=1)) == "stored"
    assert harvested(people[2], NOW + timedelta(days=1)) == "full"


def test_a_dead_database_is_unavailable_never_empty(dead_database, clock) -> None:
    store = DbLearned(dead_database, DbCertificates(dead_database, clock), clock)
    for call in (lambda: store.rows(OLA), lambda: store.harvest(found()),
                 lambda: store.set_capabilities("00", b"", NOW)):
        with pytest.raises(GatewayError) as caught:
            call()
        assert (caught.value.reason, caught.value.retry) == (Reason.STORE_UNAVAILABLE, True)
