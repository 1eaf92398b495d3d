"""The contract of AuditLog, over the database: an act and its record are one transaction, and records stay."""

import threading

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.db.audit import DbAudit
from gateway.adapters.db.certificates.customers import DbCustomers
from gateway.adapters.db.certificates.store import DbCertificates
from gateway.adapters.db.tables.audit import audit, audit_value
from gateway.cms.certificate import parse_certificate
from gateway.errors import GatewayError, Reason
from gateway.model.audit.actor import Actor, acting
from gateway.model.audit.acts import Act
from gateway.model.audit.record import PersonalValue, exported, packed, unpacked
from gateway.model.lookup import Customer
from gateway.ports.administration import NewCertificate
from gateway.ports.audit import AuditQuery
from tests.support.pki import get_pki

ANNA = Actor("user", "anna", "login uid 1000, /dev/pts/3", remark="SUDO_USER=ben")
BANKING = Actor("client", "online-banking", "192.0.2.7", credential="token 3fa9")
CERTIFICATE = parse_certificate(get_pki().recipient("rsa-2048", email="anna@customer.example").certificate.der)
KEY = Act("key.generate", "otp", {"algorithm": "rsa-3072"})


@pytest.fixture
def log(database):
    return DbAudit(database)


def latest(log, **conditions):
    return list(log.entries(AuditQuery(**conditions)))


def test_an_act_is_recorded_with_actor_object_and_result(log, database, clock) -> None:
    certificates = DbCertificates(database, clock)
    with acting(ANNA):
        certificates.add([NewCertificate(CERTIFICATE)])
        certificates.set_trust(CERTIFICATE.sha256[:8], "distrusted")
    distrusted, imported = latest(log)
    assert (imported.record.act, imported.object_id) == ("certificate.import", CERTIFICATE.sha256)
    assert (distrusted.record.act, distrusted.object_id) == ("certificate.distrust", CERTIFICATE.sha256)
    assert (distrusted.record.number, distrusted.record.result) == (2, "done")
    assert (distrusted.actor, distrusted.record.actor_kind, distrusted.record.actor) == ("anna", "user", "")
    assert {name: value.value for name, value in distrusted.values.items()} == {
        "actor": "anna", "source": ANNA.source, "remark": "SUDO_USER=ben", "subject": CERTIFICATE.subject}


def test_what_changes_nothing_is_not_recorded(log, database, clock) -> None:
    certificates = DbCertificates(database, clock)
    certificates.add([NewCertificate(CERTIFICATE)])
    certificates.add([NewCertificate(CERTIFICATE)])
    assert log.size() == 1


def test_a_failed_act_is_recorded_with_its_reason_and_changes_nothing(log, database, clock) -> None:
    with acting(ANNA), pytest.raises(GatewayError):
        DbCertificates(database, clock).set_trust("ab" * 32, "trusted")
    (entry,) = latest(log)
    assert (entry.record.act, entry.record.result, entry.record.reason) == (
        "certificate.trust", "failed", Reason.USAGE)
    assert entry.object_id == "ab" * 32


def test_an_act_that_cannot_be_recorded_is_not_done(log, database, monkeypatch) -> None:
    def fails(*_: object, **__: object) -> int:
        raise GatewayError(Reason.STORE_UNAVAILABLE, retry=True)

    monkeypatch.setattr("gateway.adapters.db.engine.database.write_record", fails)
    customers = DbCustomers(database)
    with pytest.raises(GatewayError) as caught:
        customers.put([Customer("1001", "Anna", ("anna@customer.example",), None)])
    assert caught.value.retry
    assert customers.get("1001") is None
    begun = []
    with pytest.raises(GatewayError), log.carrying_out(KEY):
        begun.append("a key")
    assert not begun
    assert log.size() == 0


def test_an_act_on_files_is_recorded_before_and_after(log) -> None:
    with log.carrying_out(KEY):
        assert [entry.record.result for entry in latest(log)] == ["begun"]
    with pytest.raises(GatewayError), log.carrying_out(KEY):
        raise GatewayError(Reason.KEY_UNAVAILABLE)
    with pytest.raises(ZeroDivisionError), log.carrying_out(KEY):
        raise ZeroDivisionError
    with log.carrying_out(KEY) as carried:
        carried.failure = "policy.rejected"
    with log.carrying_out(KEY) as carried:
        carried.recorded = True
    results = [(entry.record.result, entry.record.reason) for entry in log.all_after(0)]
    assert results == [("begun", ""), ("done", ""), ("begun", ""), ("failed", "key.unavailable"), ("begun", ""),
                       ("failed", Reason.INTERNAL), ("begun", ""), ("failed", "policy.rejected"), ("begun", "")]


def test_without_a_named_actor_it_is_the_program(log, monkeypatch) -> None:
    monkeypatch.setattr("gateway.model.audit.actor._of_process", [Actor("program", "sealgate")])
    with log.carrying_out(KEY):
        pass
    assert {(entry.record.actor_kind, entry.actor) for entry in latest(log)} == {("program", "sealgate")}


def test_conditions_narrow(log, database) -> None:
    customers = DbCustomers(database)
    with acting(ANNA):
        customers.put([Customer("1001", "Anna", (), None)])
    with acting(BANKING), log.carrying_out(Act("client.token", "online-banking")):
        pass
    numbers = {
        "": [3, 2, 1], "actor=anna": [1], "client=online-banking": [3, 2], "actor=online-banking": [3, 2],
        "act=client": [3, 2], "act=client.token": [3, 2], "act=clien": [], "object=1001": [1],
        "object=online-ban": [3, 2], "object=online": [], "result=begun": [2], "client=anna": []}
    for condition, expected in numbers.items():
        conditions = dict([condition.split("=")]) if condition else {}
        assert [entry.record.number for entry in latest(log, **conditions)] == expected, condition
    at = log.entry(2).record.at
    assert [entry.record.number for entry in latest(log, since=at)] == [3, 2]
    assert [entry.record.number for entry in latest(log, until=at)] == [1]


def test_a_personal_value_is_in_the_record_as_a_commitment_only(log, database) -> None:
    with acting(ANNA):
        DbCustomers(database).put([Customer("1001", "Anna", (), None)])
    (entry,) = latest(log)
    assert b"1001" not in entry.octets
    assert b"anna" not in entry.octets
    assert entry.record.commitments == {name: value.commitment for name, value in entry.values.items()}
    database.write(lambda connection: connection.execute(audit_value.delete()) and None)
    (erased,) = latest(log)
    assert (erased.octets, erased.actor, erased.object_id) == (entry.octets, "(deleted)", "(deleted)")


def test_octets_are_canonical_and_read_back(log, database) -> None:
    with acting(BANKING), log.carrying_out(Act("key.generate", "ß\ud800", {"bits": 3072, "token": True})):
        pass
    for entry in log.all_after(0):
        assert unpacked(entry.octets) == entry.record
        assert packed(entry.record) == entry.octets
        with pytest.raises(ValueError, match="canonical"):
            unpacked(entry.octets + b" ")
    assert exported(log.entry(2))["actor"] == {"kind": "client", "name": "online-banking", "credential": "token 3fa9"}


def test_a_commitment_hides_equal_values() -> None:
    assert PersonalValue("1001", "00" * 16).commitment != PersonalValue("1001", "01" * 16).commitment


def test_an_unknown_number_is_usage(log) -> None:
    with pytest.raises(GatewayError) as caught:
        log.entry(1)
    assert caught.value.reason is Reason.USAGE


def test_two_writers_number_without_gaps(database, again) -> None:
    """Two processes at once: no number twice, none missing."""
    logs = [DbAudit(database), DbAudit(again())]

    def write(log) -> None:
        for _ in range(10):
            with log.carrying_out(KEY):
                pass

    threads = [threading.Thread(target=write, args=(log,)) for log in logs for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.record.number for entry in logs[0].all_after(0)] == list(range(1, 81))


@pytest.mark.parametrize("change", [
    "UPDATE audit SET object_id = 'x'", "DELETE FROM audit", "DELETE FROM audit WHERE number = 2",
    "UPDATE policy_set SET texts = ''", "DELETE FROM audit_head"])
def test_the_database_refuses_changes(log, database, change) -> None:
    with log.carrying_out(KEY):
        pass
    for row in ("policy_set (digest, first_at, texts) VALUES ('d', 0, '[]')", "audit_head VALUES (2, 0, 'n')"):
        database.write(lambda connection, row=row: connection.exec_driver_sql(f"INSERT INTO {row}") and None)
    with pytest.raises(GatewayError, match="cannot be changed"):
        database.write(lambda connection: connection.exec_driver_sql(change) and None)


@pytest.mark.parametrize("number", [1, 2, 4])
def test_the_database_refuses_another_number_than_the_next(log, database, number) -> None:
    with log.carrying_out(KEY):
        pass
    with database.read() as connection:
        row = dict(connection.execute(select(audit).where(audit.c.number == 2)).mappings().one())
    with pytest.raises((GatewayError, SQLAlchemyError)):
        database.write(lambda connection: connection.execute(insert(audit).values(row | {"number": number})) and None)
    with pytest.raises((GatewayError, SQLAlchemyError)):
        database.write(lambda connection: connection.execute(update(audit).values(number=9)) and None)


def test_replacing_a_row_is_refused(log, database, kind) -> None:
    if kind != "sqlite":
        pytest.skip("INSERT OR REPLACE is SQLite's")
    with log.carrying_out(KEY):
        pass
    for table in ("audit", "audit_head"):
        database.write(lambda connection: connection.exec_driver_sql(
            "INSERT OR IGNORE INTO audit_head (size, at, note) VALUES (2, 0, 'n')") and None)
        with pytest.raises(GatewayError, match=r"cannot be changed|not the next"):
            database.write(lambda connection, table=table: connection.exec_driver_sql(
                f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}") and None)


def test_a_dead_database_lets_no_act_begin(dead_database) -> None:
    begun = []
    with pytest.raises(GatewayError) as caught, DbAudit(dead_database).carrying_out(KEY):
        begun.append("a key")
    assert (caught.value.retry, begun) == (True, [])
