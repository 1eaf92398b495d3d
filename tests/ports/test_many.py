"""The contract of DbBulk. Truth: the adapters that answer for one customer and one address."""

from datetime import timedelta

import pytest

from gateway.adapters.db.certificates.bulk import AT_ONCE_MAX, BulkRevocations, DbBulk
from gateway.adapters.db.certificates.customers import DbCustomers
from gateway.adapters.db.certificates.revocations import DbRevocations
from gateway.adapters.db.certificates.store import DbCertificates
from gateway.adapters.db.codes import DbCodes
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import Customer
from gateway.ports.administration import NewCertificate
from gateway.ports.revocation import StoredAnswer
from gateway.ports.services.codes import Block
from tests.support.pki import NOW, get_pki

ANNA = Customer("1001", "Anna Müller", ("am@work.example", "anna@customer.example"), "private")
BEN = Customer("1002", "Ben", ("ben@customer.example",))
NOBODY = Customer("1003", "No Address")


@pytest.fixture
def many(database):
    DbCustomers(database).put([ANNA, BEN, NOBODY])
    return DbBulk(database)


def test_customers_are_those_that_one_by_one_would_be(many) -> None:
    assert many.customers(["1001", "1003", "none", "1002"]) == {"1001": ANNA, "1002": BEN, "1003": NOBODY}
    assert many.customers([]) == {}


def test_certificates_are_those_that_one_by_one_would_be(many, database, clock) -> None:
    one = DbCertificates(database, clock)
    people = [get_pki().recipient("p-256", email="anna@customer.example", which=which) for which in range(3)]
    both = get_pki().recipient("p-256", emails=("ben@customer.example", "B2@customer.example"))
    one.add([NewCertificate(person.certificate, customer="1001") for person in people])
    one.add([NewCertificate(both.certificate, device_bound=True, profile="gcm", key_origin="token")])
    one.set_trust(people[1].certificate.sha256, "distrusted")
    asked = ["anna@customer.example", "ben@customer.example", "b2@customer.example", "none@customer.example"]
    found = many.certificates(asked)
    assert set(found) == set(asked[:3])
    for address in asked[:3]:
        assert found[address] == one.rows(address)


def test_a_mailbox_is_found_by_each_spelling_of_its_domain(many, database, clock) -> None:
    """Truth: the look-up of one mail, which asks for all spellings (pki.lookup, DbCustomers.by_address)."""
    letters, ascii_ = "eva@müller.example", "eva@xn--mller-kva.example"
    DbCustomers(database).put([Customer("1004", "Eva", (letters,))])
    one = DbCertificates(database, clock)
    person = get_pki().recipient("p-256", email=ascii_)
    one.add([NewCertificate(person.certificate, customer="1004")])
    for asked in (letters, ascii_):
        assert many.owners([asked, "none@customer.example"]) == {asked: "1004"}
        rows = many.certificates([asked])[asked]
        assert [row.sha256 for row in rows] == [person.certificate.sha256]


def test_a_full_question_is_answered_and_a_larger_one_is_a_mistake(many) -> None:
    assert len(many.customers(["1001", *map(str, range(10_000, 9_999 + AT_ONCE_MAX))])) == 1
    assert many.certificates([f"c{number}@customer.example" for number in range(AT_ONCE_MAX)]) == {}
    with pytest.raises(ValueError, match="at once"):
        many.customers(["x"] * (AT_ONCE_MAX + 1))


def test_what_is_asked_is_a_value_and_no_language(many) -> None:
    assert many.customers(["' OR 1=1 --", "1001' --", "%"]) == {}


def test_those_who_get_no_codes(many, database) -> None:
    DbCodes(database).block(Block("1002", NOW, "customer"))
    assert many.blocked(["1001", "1002", "none"]) == {"1002"}


def test_answers_about_single_certificates_are_found_where_there_are_any(database, clock) -> None:
    answer = StoredAnswer("a" * 64, 77, "revoked", NOW, NOW + timedelta(days=1), NOW, "keyCompromise", NOW)
    DbRevocations(database).put_answer(answer)
    many = BulkRevocations(database)
    assert many.answer("a" * 64, 77) == answer
    assert many.answer("a" * 64, 78) is None
    assert many.answer("b" * 64, 77) is None


def test_a_database_that_is_away_is_told(dead_database) -> None:
    many = DbBulk(dead_database)
    for ask in (many.customers, many.certificates, many.blocked):
        with pytest.raises(GatewayError) as caught:
            ask(["1001"])
        assert (caught.value.reason, caught.value.retry) == (Reason.STORE_UNAVAILABLE, True)
