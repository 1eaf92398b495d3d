"""The contract of CertificateSource, IntermediateSource and CertificateStore, over the database."""

import os
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from gateway.adapters.db.certificates.customers import DbCustomers
from gateway.adapters.db.certificates.store import DbCertificates
from gateway.cms.certificate import parse_certificate
from gateway.errors import GatewayError, Reason
from gateway.model.lookup import Customer
from gateway.ports.administration import NewCertificate
from tests.support.pki import END, NOW, get_pki

PKI = get_pki()
ANNA = PKI.recipient("p-256", email="Anna@Customer.Example")
ANNA_NEW = PKI.recipient("p-256", email="anna@customer.example", which=1)
BEN = PKI.recipient("x25519", email="ben@customer.example")
ROOT = parse_certificate(PKI.root.der)
ISSUER = parse_certificate(PKI.intermediate.der)


@pytest.fixture
def store(database, clock):
    DbCustomers(database).put([Customer("1001", "Anna"), Customer("1002", "Ben")])
    return DbCertificates(database, clock)


def put(store, *people, **options):
    return store.add([NewCertificate(person.certificate, **options) for person in people])


def test_rows_finds_by_address_whatever_its_case(store) -> None:
    put(store, ANNA, BEN)
    (row,) = store.rows("ANNA@customer.EXAMPLE")
    assert row.der == ANNA.der
    assert row.addresses == ("anna@customer.example",)
    assert (row.customer, row.source, row.trust, row.capabilities) == (None, "import", None, None)
    assert (row.not_before, row.not_after, row.added_at) == (ANNA.certificate.not_before, END, NOW)


def test_only_ascii_case_is_folded(store) -> None:
    put(store, PKI.recipient("p-256", email="kelvin@customer.example"))
    assert store.rows("\u212aelvin@customer.example") == ()


def test_rows_of_an_unknown_address_is_empty(store) -> None:
    put(store, ANNA)
    assert store.rows("nobody@customer.example") == ()
    assert store.rows("") == ()


def test_all_certificates_of_an_address_come_in_the_order_of_arrival(store) -> None:
    put(store, ANNA)
    put(store, ANNA_NEW)
    assert [row.der for row in store.rows("anna@customer.example")] == [ANNA.der, ANNA_NEW.der]


def test_a_certificate_of_two_addresses_is_found_by_both(store) -> None:
    both = PKI.recipient("p-256", emails=("a@x.example", "b@x.example"), email="")
    put(store, both)
    assert store.rows("a@x.example") == store.rows("b@x.example") != ()


def test_a_look_up_costs_one_statement(store, database) -> None:
    put(store, ANNA)
    store.rows("anna@customer.example")
    with statements_told(database) as statements:
        assert store.rows("anna@customer.example")
        assert statements() == 1


@contextmanager
def statements_told(database):
    """How many statements the one idle connection carries out: SQLite tells them, libpq tells each word it sends."""
    if isinstance(database.where, Path):
        told = []
        with database.read() as connection:
            connection.connection.driver_connection.set_trace_callback(told.append)
        yield lambda: len(told)
        return
    with TemporaryFile() as file:
        with database.read() as connection:
            connection.connection.driver_connection.pgconn.trace(file.fileno())
        yield lambda: os.pread(file.fileno(), 100_000, 0).count(b"\tExecute")
        with database.read() as connection:
            connection.connection.driver_connection.pgconn.untrace()


def test_a_look_up_sees_what_was_just_changed(store) -> None:
    (kept,) = put(store, ANNA)
    assert store.rows("anna@customer.example")[0].trust is None
    store.set_trust(kept.row.sha256, "distrusted")
    assert store.rows("anna@customer.example")[0].trust == "distrusted"


def test_a_look_up_that_fails_may_be_tried_again(store, database) -> None:
    put(store, ANNA)
    database.write(lambda connection: connection.exec_driver_sql("DROP TABLE certificate_address") and None)
    with pytest.raises(GatewayError) as raised:
        store.rows("anna@customer.example")
    assert (raised.value.reason, raised.value.retry) == (Reason.STORE_UNAVAILABLE, True)


def test_the_look_up_uses_the_address_index(store, database) -> None:
    from gateway.adapters.db.certificates.store import _BY_ADDRESS, _BY_SUBJECT
    with database.read() as connection:
        for query in (_BY_ADDRESS, _BY_SUBJECT):
            compiled = query.compile(dialect=connection.dialect)
            if isinstance(database.where, Path):
                values = tuple("x" for _ in compiled.positiontup)
                plan = [step[3] for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values)]
            else:  # an empty table is quicker read through: what counts is that the index can do it
                connection.exec_driver_sql("SET enable_seqscan = off")
                values = {name: "x" if value is None else value for name, value in compiled.params.items()}
                plan = list(connection.exec_driver_sql(f"EXPLAIN {compiled}", values).scalars())
            assert plan
            assert not [step for step in plan if "SCAN" in step or "TEMP B-TREE" in step or "Seq Scan" in step], plan


def test_adding_again_changes_nothing(store) -> None:
    (first,) = put(store, ANNA, customer="1001", key_origin="token", device_bound=True, profile="gcm")
    (again,) = put(store, ANNA)
    assert (first.change, again.change) == ("added", "known")
    assert again.row == first.row
    assert (again.row.customer, again.row.key_origin, again.row.device_bound, again.row.profile) == (
        "1001", "token", True, "gcm")


def test_a_found_certificate_is_bound_later(store) -> None:
    put(store, ANNA, source="harvest")
    (bound,) = put(store, ANNA, customer="1001", key_origin="bank")
    assert bound.change == "bound"
    (row,) = store.rows("anna@customer.example")
    assert (row.customer, row.key_origin, row.source) == ("1001", "bank", "harvest")


def test_a_bound_certificate_is_not_taken_over(store) -> None:
    put(store, ANNA, customer="1001")
    with pytest.raises(GatewayError, match="bound to customer 1001") as caught:
        put(store, ANNA, customer="1002")
    assert caught.value.reason is Reason.CERTIFICATE_CONFLICT
    assert store.rows("anna@customer.example")[0].customer == "1001"


def test_an_unknown_customer_is_named_and_nothing_is_kept(store) -> None:
    with pytest.raises(GatewayError, match="the customer 7 does not exist") as caught:
        store.add([NewCertificate(BEN.certificate), NewCertificate(ANNA.certificate, customer="7")])
    assert caught.value.reason is Reason.USAGE
    assert store.rows("ben@customer.example") == ()


def test_issuers_complete_paths_and_are_no_recipients(store) -> None:
    store.add([NewCertificate(ISSUER), NewCertificate(ROOT)])
    assert store.by_subject(ISSUER.subject_der) == (ISSUER.der,)
    assert store.by_subject(ANNA.certificate.subject_der) == ()
    put(store, ANNA)
    assert store.by_subject(ANNA.certificate.subject_der) == ()


def test_a_distrusted_issuer_leads_nowhere(store) -> None:
    store.add([NewCertificate(ISSUER)])
    store.set_trust(ISSUER.sha256, "distrusted")
    assert store.by_subject(ISSUER.subject_der) == ()
    store.set_trust(ISSUER.sha256, None)
    assert store.by_subject(ISSUER.subject_der) == (ISSUER.der,)


def test_trust_stands_in_the_row_and_in_the_list(store) -> None:
    put(store, ANNA, BEN)
    store.set_trust(ANNA.certificate.sha256, "trusted")
    store.set_trust(BEN.certificate.sha256, "distrusted")
    assert store.rows("anna@customer.example")[0].trust == "trusted"
    listed = store.trust_list()
    assert (listed.trusted, listed.distrusted, listed.anchors) == (
        {ANNA.certificate.sha256}, {BEN.certificate.sha256}, ())


def test_a_trusted_issuer_is_an_anchor_for_what_was_said(store) -> None:
    store.add([NewCertificate(ROOT)])
    with pytest.raises(GatewayError, match="say for whom"):
        store.set_trust(ROOT.sha256, "trusted")
    entry = store.set_trust(ROOT.sha256, "trusted", ["recipients", "signers"])
    assert entry.trust_for == ("signers", "recipients")
    assert store.trust_list().anchors == (("signers", ROOT), ("recipients", ROOT))


def test_purposes_belong_to_issuers_only(store) -> None:
    put(store, ANNA)
    with pytest.raises(GatewayError, match="purposes belong to trusted issuers"):
        store.set_trust(ANNA.certificate.sha256, "trusted", ["recipients"])


def test_get_takes_a_unique_beginning_with_colons(store) -> None:
    put(store, ANNA)
    fingerprint = ANNA.certificate.sha256
    pasted = ":".join(fingerprint[at:at + 2] for at in range(0, 12, 2)).upper()
    assert store.get(pasted).row.der == ANNA.der
    for wrong in ("", "xyz", "0" * 64, "%"):
        with pytest.raises(GatewayError) as caught:
            store.get(wrong)
        assert caught.value.reason is Reason.USAGE


def test_get_refuses_an_ambiguous_beginning(store) -> None:
    people = [PKI.recipient("p-256", email=f"many{number}@customer.example") for number in range(17)]
    put(store, *people)  # 17 fingerprints: two of them begin with the same digit
    firsts = [person.certificate.sha256[0] for person in people]
    double = next(digit for digit in firsts if firsts.count(digit) > 1)
    with pytest.raises(GatewayError, match="several"):
        store.get(double)


def test_list_narrows_by_each_condition(store) -> None:
    late = PKI.recipient("p-256", email="late@customer.example", not_after=NOW + timedelta(days=1))
    put(store, ANNA, late, customer="1001")
    put(store, BEN)
    store.add([NewCertificate(ISSUER)])
    def subjects(**conditions):
        return [entry.row.sha256 for entry in store.list(**conditions)]
    assert subjects() == [p.sha256 for p in (ANNA.certificate, late.certificate, BEN.certificate, ISSUER)]
    assert subjects(customer="1001") == [ANNA.certificate.sha256, late.certificate.sha256]
    assert subjects(address="BEN@customer.example") == [BEN.certificate.sha256]
    assert subjects(ends_before=NOW + timedelta(days=2)) == [late.certificate.sha256]
    assert subjects(issuers=True) == [ISSUER.sha256]
    assert subjects(issuers=False, customer="1001", address="anna@customer.example") == [ANNA.certificate.sha256]


def test_list_goes_on_over_pages(store, monkeypatch) -> None:
    from gateway.adapters.db.certificates import store as certificates
    monkeypatch.setattr(certificates, "PAGE", 2)
    put(store, ANNA, ANNA_NEW, BEN)
    assert [entry.row.der for entry in store.list()] == [ANNA.der, ANNA_NEW.der, BEN.der]


def test_a_dead_database_is_unavailable_never_empty(dead_database, clock) -> None:
    store = DbCertificates(dead_database, clock)
    for call in (lambda: store.rows("a@b.example"), lambda: store.by_subject(b""), lambda: list(store.list()),
                 store.trust_list, lambda: put(store, ANNA), lambda: store.get("00")):
        with pytest.raises(GatewayError) as caught:
            call()
        assert (caught.value.reason, caught.value.retry) == (Reason.STORE_UNAVAILABLE, True)


def test_a_binding_is_of_this_very_certificate_and_of_bound_ones_only(store) -> None:
    put(store, ANNA, customer="1001", key_origin="token")
    put(store, BEN)
    row = store.binding(ANNA.certificate.sha256)
    assert (row.customer, row.key_origin, row.der) == ("1001", "token", ANNA.der)
    assert store.binding(BEN.certificate.sha256) is None, "merely found"
    assert store.binding(ANNA_NEW.certificate.sha256) is None, "the same address and name is another certificate"
    assert store.missing(BEN.certificate) is False
