"""The contract of Numbers, and of the ways in which a trace finds evidence, over either kind of database. Truth: what
test has put there.
"""

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import insert

from gateway.adapters.db.certificates.customers import DbCustomers
from gateway.adapters.db.certificates.store import DbCertificates
from gateway.adapters.db.counts import DbNumbers
from gateway.adapters.db.engine import group_commit as group
from gateway.adapters.db.evidence import DbEvidence
from gateway.adapters.db.fallbacks import DbFallbacks
from gateway.adapters.db.hold import DbHold
from gateway.adapters.db.journal import DbJournal
from gateway.adapters.db.tables.mail import fetch_task, micros, revocation_list, unknown_authority
from gateway.adapters.db.trace import FOUND_MAX, DbTrace
from gateway.errors import GatewayError
from gateway.model.lookup import Customer
from gateway.ports.administration import NewCertificate
from gateway.ports.counts import StoreNumbers, Waiting
from gateway.ports.services.fallbacks import CertificateWait, FallbackUse
from tests.ports.test_evidence import RECORD
from tests.ports.test_hold import ARCHIVE, MAIL, put
from tests.support.pki import NOW, get_pki


def test_an_empty_database_has_noughts(database) -> None:
    nothing = Waiting(0, 0, None)
    assert DbNumbers(database).read(NOW) == StoreNumbers(held={"hold": nothing, "quarantine": nothing})
    assert DbNumbers(database).enrolled_ending(NOW, 30) == 0


def test_held_mail_that_waits(database, clock, tmp_path) -> None:
    certificate, key, _ = ARCHIVE.write(tmp_path)
    key.chmod(0o600)
    hold = DbHold(database, clock, certificate, key)
    put(hold)
    clock.forward(hours=1)
    put(hold)
    settled = put(hold)
    hold.settle(settled, "rejected")
    assert DbNumbers(database).read(clock.now()).held == {
        "hold": Waiting(0, 0, None), "quarantine": Waiting(2, 2 * len(MAIL.octets), NOW)}


def test_who_had_no_certificate(database, clock, tmp_path) -> None:
    certificate, key, _ = ARCHIVE.write(tmp_path)
    key.chmod(0o600)
    put(DbHold(database, clock, certificate, key), wait=CertificateWait("ben@nowhere.example", "hold", "any"))
    book = DbFallbacks(database)
    book.add([FallbackUse(f"{name}@nowhere.example", rule, "hold", "any")
               for name in ("ben", "cara") for rule in ("a:a", "b:b")], NOW)
    book.add([FallbackUse("ben@nowhere.example", "c:c", "plain_knowingly", "any")], NOW)
    book.flush()
    book.mark_person("cara@nowhere.example", found=True, at=NOW)
    found = DbNumbers(database).read(NOW)
    assert found.waiting == 1
    assert found.fallback_people == {"hold": 2, "plain_knowingly": 1}
    assert found.fallback_converted == {"hold": 1, "plain_knowingly": 0}


def test_what_is_fetched_and_the_lists_in_use(database) -> None:
    task = {"kind": "crl", "url": "http://x.example/", "asked_at": 0}
    lists = {"scope": "", "kind": "full", "url": "", "since": 0, "fetched_at": 0, "sha256": "", "records": b""}

    def work(connection) -> None:
        connection.execute(insert(fetch_task), [
            {"key": "a", "due_at": micros(NOW) - 1, "failures": 0, **task},
            {"key": "b", "due_at": micros(NOW) + 1, "failures": 3, **task},
            {"key": "c", "due_at": micros(NOW), "failures": 1, **task}])
        connection.execute(insert(revocation_list), [
            {"authority": "a", "this_update": micros(NOW - timedelta(days=2)), "next_update": micros(NOW) - 1, **lists},
            {"authority": "b", "this_update": micros(NOW - timedelta(days=3)), "next_update": None, **lists},
            {"authority": "c", "this_update": micros(NOW), "next_update": micros(NOW) + 1, **lists}])
        about = {"subject": "s", "issuer": "i", "example": "e", "first_at": 0, "last_at": 0, "count": 1}
        connection.execute(insert(unknown_authority), [
            {"key": "a", "ignored_at": None, **about}, {"key": "b", "ignored_at": 5, **about}])

    database.write(work)
    found = DbNumbers(database).read(NOW)
    assert (found.fetch_tasks, found.fetch_due, found.fetch_failing) == (3, 2, 2)
    assert (found.lists, found.lists_stale, found.list_oldest) == (3, 1, NOW - timedelta(days=3))
    assert found.authorities_unknown == 1


def test_mails_of_several_groups_in_work_and_sent_again(database, clock) -> None:
    journal = DbJournal(database, clock)
    journal.claim("key", ("a@x.example", "b@x.example"))
    for _ in range(3):  # the second and third time it is not known how the one before went
        journal.sending("key", ("a@x.example",))
    found = DbNumbers(database).read(NOW)
    assert (found.claims, found.resent) == (1, 2)


def test_customers_certificates_that_end_soon(database, clock) -> None:
    anna, ben = (get_pki().recipient("p-256", email=f"{name}@customer.example") for name in ("anna", "ben"))
    DbCustomers(database).put([Customer("1001", "Anna")])
    certificates, numbers = DbCertificates(database, clock), DbNumbers(database)
    certificates.add([NewCertificate(ben.certificate)])
    ends = ben.certificate.not_after
    assert numbers.enrolled_ending(ends - timedelta(days=3), 7) == 0, "it is bound to nobody"
    certificates.add([NewCertificate(anna.certificate, customer="1001")])
    ends = anna.certificate.not_after
    assert numbers.enrolled_ending(ends - timedelta(days=3), 7) == 1
    assert numbers.enrolled_ending(ends - timedelta(days=8), 7) == 0
    assert numbers.enrolled_ending(ends + timedelta(days=1), 7) == 0, "it has ended"


def found_by(database, *records):
    evidence = DbEvidence(database)
    evidence.add(records)
    return DbTrace(database)


def test_the_beginning_of_an_incident(database) -> None:
    trace = found_by(database, RECORD, replace(RECORD, recipient="b@x.example"), replace(RECORD, incident="1f2e3d4d"),
                     replace(RECORD, incident="1f2f0000"), replace(RECORD, incident="1f2e"))
    assert trace.by_prefix("1f2e3d") == ("1f2e3d4c", "1f2e3d4d")
    assert trace.by_prefix("1f2e") == ("1f2e", "1f2e3d4c", "1f2e3d4d")
    assert trace.by_prefix("1f2") == (), "too short to mean one"


def test_it_finds_no_more_than_somebody_could_read(database) -> None:
    trace = found_by(database, *(replace(RECORD, incident=f"aaaa{number:04}") for number in range(FOUND_MAX * 2)))
    assert len(trace.by_prefix("aaaa")) == FOUND_MAX


@pytest.mark.parametrize(
    "word", ["4Front99abc", "<outer@x.example>", "outer@x.example", hashlib.sha256(b"x").hexdigest()])
def test_by_what_it_is_not_sorted_by(database, word: str) -> None:
    facts = {**RECORD.facts, "came_as": "4Front99abc", "outside": "<outer@x.example>"}
    wanted = replace(RECORD, incident="wanted", facts=facts, sealed_digest=hashlib.sha256(b"x").hexdigest())
    trace = found_by(database, RECORD, wanted, replace(RECORD, incident="none", facts={}))
    assert trace.by_looking_through(word, NOW - timedelta(days=1)) == ("wanted",)
    assert trace.by_looking_through(word, NOW + timedelta(seconds=1)) == (), "older than is looked through"


@pytest.mark.parametrize("word", ["", "%", "4Front", "'; drop table evidence; --", "\0", "\udce9"])
def test_by_nothing_nothing_is_found(database, word: str) -> None:
    trace = found_by(database, replace(RECORD, facts={"came_as": "4Front99abc"}))
    assert trace.by_looking_through(word, NOW - timedelta(days=1)) == ()


def test_errors_of_the_database_are_heard_by_their_kind(dead_database, monkeypatch) -> None:
    heard: list[str] = []
    monkeypatch.setattr(group, "_watching", [heard.append])
    with pytest.raises(GatewayError):
        DbNumbers(dead_database).read(NOW)
    assert len(heard) == 1
    assert heard[0].endswith("Error")
