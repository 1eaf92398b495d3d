"""The contract of Customers and CustomerStore, over the database."""

import pytest

from gateway.adapters.db.certificates import customers as module
from gateway.adapters.db.certificates.customers import DbCustomers
from gateway.adapters.db.certificates.store import DbCertificates
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import Customer
from gateway.ports.administration import NewCertificate
from tests.support.pki import get_pki

ANNA = Customer("1001", "Anna Müller", ("anna@customer.example", "am@work.example"), "private")
BEN = Customer("1002", "Ben", ("ben@customer.example",))


@pytest.fixture
def store(database):
    return DbCustomers(database)


def test_by_address_finds_whatever_the_case(store) -> None:
    store.put([ANNA, BEN])
    found = store.by_address("AM@Work.example")
    assert found == Customer("1001", "Anna Müller", ("am@work.example", "anna@customer.example"), "private")
    assert store.by_address("nobody@work.example") is None


def test_by_address_finds_an_internationalised_domain_however_it_is_written(store) -> None:
    store.put([Customer("1", "", ("a@m\u00fcller.example",)), Customer("2", "", ("b@xn--mller-kva.example",))])
    for domain in ("m\u00fcller.example", "M\u00dcLLER.example", "xn--mller-kva.example"):
        assert [store.by_address(f"{local}@{domain}").number for local in "ab"] == ["1", "2"]


@pytest.mark.parametrize("other", ["M\u00dcLLER.example", "mu\u0308ller.example", "xn--mller-kva.example"])
def test_an_internationalised_address_belongs_to_one_customer_however_it_is_written(store, other) -> None:
    store.put([Customer("1", "", ("a@m\u00fcller.example",))])
    with pytest.raises(GatewayError, match="is customer 1's"):
        store.put([Customer("2", "", (f"a@{other}",))])
    store.put([Customer("1", "", ()), Customer("2", "", (f"a@{other}", "a@m\u00fcller.example"))])
    assert store.by_address("a@m\u00fcller.example").number == "2"
    assert len(store.get("2").addresses) == 1


def test_by_certificate_asks_the_binding_never_the_name(store, database, clock) -> None:
    person = get_pki().signer("p-256", email="anna@customer.example")
    store.put([ANNA])
    certificates = DbCertificates(database, clock)
    certificates.add([NewCertificate(person.certificate)])
    assert store.by_certificate(person.certificate.sha256) is None
    certificates.add([NewCertificate(person.certificate, customer="1001")])
    bound = store.by_certificate(person.certificate.sha256)
    assert bound is not None
    assert bound.number == "1001"


def test_put_replaces_all_of_a_customer(store) -> None:
    store.put([ANNA])
    store.put([Customer("1001", "Anna Meier", ("new@customer.example",))])
    assert store.get("1001") == Customer("1001", "Anna Meier", ("new@customer.example",), None)
    assert store.by_address("anna@customer.example") is None


def test_an_address_belongs_to_one_customer(store) -> None:
    store.put([ANNA])
    with pytest.raises(GatewayError, match=r"customer 1003: anna@customer\.example is customer 1001's") as caught:
        store.put([BEN, Customer("1003", "", ("ANNA@customer.example",))])
    assert caught.value.reason is Reason.USAGE
    assert store.get("1002") is None


def test_quotes_make_no_other_address(store) -> None:
    store.put([Customer("1", "", ('"x.y"@y.example',))])
    found = store.by_address("x.y@y.example")
    assert found is not None
    assert found == store.by_address('"X.y"@y.example')
    assert found.addresses == ("x.y@y.example",)
    with pytest.raises(GatewayError, match=r"customer 2: x\.y@y\.example is customer 1's"):
        store.put([Customer("2", "", ("x.y@y.example",))])


def test_an_address_twice_in_one_batch_is_named(store) -> None:
    with pytest.raises(GatewayError, match=r"customer 2: x@y\.example is customer 1's"):
        store.put([Customer("1", "", ("x@y.example",)), Customer("2", "", ("X@y.example",))])


def test_addresses_may_change_owners_within_one_batch(store) -> None:
    store.put([Customer("1", "", ("x@y.example",)), Customer("2", "", ("z@y.example",))])
    store.put([Customer("1", "", ("z@y.example",)), Customer("2", "", ("x@y.example",))])
    assert store.by_address("x@y.example").number == "2"


def test_batches_larger_than_a_page_are_one_whole(store, monkeypatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    store.put(Customer(f"{number:04}", "", (f"c{number}@y.example",)) for number in range(5))
    assert [one.number for one in store.list()] == ["0000", "0001", "0002", "0003", "0004"]
    with pytest.raises(GatewayError):
        store.put([*(Customer(f"n{number}") for number in range(4)), Customer("n4", "", ("c0@y.example",))])
    assert store.get("n0") is None


def test_list_narrows_by_segment(store) -> None:
    store.put([ANNA, BEN])
    assert [one.number for one in store.list(segment="private")] == ["1001"]


@pytest.mark.parametrize("wrong", [
    Customer(""), Customer("a\nb"), Customer("x" * 65), Customer("1", "", ("no-address",)),
    Customer("1", "", ("a b@c.example",)), Customer("1", "", ("@c.example",)), Customer("1", "", ("a@",)),
    Customer("1", "", ("a@b.example\r\nX: y",)),
])
def test_what_is_no_customer_is_refused(store, wrong) -> None:
    with pytest.raises(GatewayError) as caught:
        store.put([wrong])
    assert caught.value.reason is Reason.USAGE


def test_a_dead_database_is_unavailable_never_absent(dead_database) -> None:
    store = DbCustomers(dead_database)
    for call in (lambda: store.by_address("a@b.example"), lambda: store.by_certificate("00"), lambda: store.get("1"),
                 lambda: list(store.list()), lambda: store.put([BEN])):
        with pytest.raises(GatewayError) as caught:
            call()
        assert (caught.value.reason, caught.value.retry) == (Reason.STORE_UNAVAILABLE, True)
