"""Someone who can write into the database changes the audit log: records are changed, removed, inserted, cut off.

They remove the triggers first and make everything fit that is in the database. They have neither `audit.key` nor the
heads that were kept in another place. Truth: what was done to the log. Both databases.
"""

import multiprocessing
import os

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, insert, select, update

from gateway.adapters.db.audit import DbAudit
from gateway.adapters.db.certificates.customers import DbCustomers
from gateway.adapters.db.engine import database as engine
from gateway.adapters.db.tables.audit import audit, audit_head, audit_value
from gateway.adapters.db.tables.mail import micros
from gateway.app.audit.heads import present_head
from gateway.app.audit.verify import verify
from gateway.evidence.checkpoint import NoteKey, signed
from gateway.model.audit.actor import Actor, acting
from gateway.model.audit.acts import Act
from gateway.model.audit.record import packed, unpacked
from gateway.model.lookup import Customer
from tests.ports.conftest import database, kind  # noqa: F401 - pytest finds them by name
from tests.support.databases import open_database

ANNA = Actor("user", "anna", "login uid 1000, /dev/pts/3")
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = NoteKey("mail.bank.example/sealgate/audit", PRIVATE.public_key().public_bytes_raw())


@pytest.fixture
def log(database):  # noqa: F811
    """Ten records; signed heads of size 4 and 8 in the database."""
    log = DbAudit(database)
    with acting(ANNA):
        for number in range(1, 11):
            if number % 2:
                DbCustomers(database).put([Customer(f"100{number}", "Anna", (), None)])
            else:
                database.record(Act("key.generate", f"otp-{number}"), "done")
            if number in {4, 8}:
                log.add_head(number, signed(present_head(log), KEY, PRIVATE.sign))
    return log


@pytest.fixture
def attacker(database, kind):  # noqa: F811
    """Writes past the triggers."""
    tables = ("audit", "audit_head", "policy_set")
    if kind == "sqlite":
        names = ["audit_next", *(f"{table}_no_{act}" for table in tables for act in ("update", "delete"))]
        drop = [f"DROP TRIGGER {name}" for name in names]
    else:
        drop = [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in tables]

    def write(*statements):
        def work(connection):
            for statement in drop if not done else ():
                connection.exec_driver_sql(statement)
            for statement in statements:
                connection.execute(statement)
            done.append(True)

        database.write(work)

    done = []
    return write


def rows(database):  # noqa: F811
    with database.read() as connection:
        return {row["number"]: dict(row) for row in connection.execute(select(audit)).mappings()}


def altered(row, **changed):
    """The row with another content that fits in itself."""
    record = unpacked(bytes(row["octets"]))
    for name, value in changed.items():
        object.__setattr__(record, name, value)
    return {"number": record.number, "at": micros(record.at), "act": record.act, "result": record.result,
            "actor_kind": record.actor_kind, "actor": record.actor, "object_id": record.object_id,
            "octets": packed(record)}


def problems(log, *exported):
    """Without those about the triggers, which the attacker could make again."""
    return [one for one in verify(log, KEY, exported).problems if not one.startswith("the trigger ")]


def test_an_unchanged_log_is_good(log) -> None:
    head = signed(present_head(log), KEY, PRIVATE.sign)
    found = verify(log, KEY, [head])
    assert (found.problems, found.notes, found.heads, found.head.size) == ([], [], 3, 10)
    assert verify(log, None, [present_head(log).text]).problems == []


def test_removed_triggers_are_named(log, attacker) -> None:
    assert log.missing_triggers() == ()
    attacker()
    found = verify(log, KEY).problems
    assert len(found) == 7
    assert found[0] == "the trigger audit_next was removed or disabled: the database does not refuse changes"


def test_personal_values_may_be_deleted(log, attacker) -> None:
    attacker(delete(audit_value).where(audit_value.c.number < 7))
    assert problems(log) == []


def test_a_changed_personal_value_is_found(log, attacker) -> None:
    attacker(update(audit_value).where(audit_value.c.number == 3, audit_value.c.field == "actor").values(value="ben"))
    assert problems(log) == ["record 3: the value of `actor` was changed: it does not belong to its commitment"]


def test_a_changed_column_is_found(log, attacker) -> None:
    attacker(update(audit).where(audit.c.number == 2).values(object_id="otp-9"))
    assert problems(log) == ["record 2 was changed: the column `object_id` is not what its octets say"]


def test_a_changed_record_is_found_and_its_place_is_narrowed(log, attacker, database) -> None:  # noqa: F811
    row = altered(rows(database)[6], object_id="otp-9")
    attacker(update(audit).where(audit.c.number == 6).values(row))
    assert problems(log) == ["a record between 5 and 8 was changed, removed or inserted"]


def test_a_change_after_the_last_kept_head_is_found_by_an_exported_one(log, attacker, database) -> None:  # noqa: F811
    head = present_head(log).text
    attacker(update(audit).where(audit.c.number == 10).values(altered(rows(database)[10], object_id="otp-9")))
    assert problems(log) == []
    assert problems(log, head) == ["a record up to 10 was changed, removed or inserted after that head was taken"]


def test_a_removed_record_is_found(log, attacker) -> None:
    attacker(delete(audit).where(audit.c.number == 9))
    assert problems(log) == ["records 9 to 9 are missing"]


def test_a_removed_record_is_found_although_the_others_were_numbered_anew(log, attacker, database) -> None:  # noqa: F811
    kept = rows(database)
    again = [altered(kept[number], number=number - 1) for number in range(7, 11)]
    attacker(delete(audit).where(audit.c.number >= 6), insert(audit).values(again),
             delete(audit_value).where(audit_value.c.number >= 6))
    assert problems(log) == ["a record between 5 and 8 was changed, removed or inserted"]


def test_an_inserted_record_is_found(log, attacker, database) -> None:  # noqa: F811
    kept = rows(database)
    again = [altered(kept[number], number=number + 1) for number in range(6, 11)]
    attacker(delete(audit).where(audit.c.number > 6), insert(audit).values(again),
             delete(audit_value).where(audit_value.c.number >= 6))
    assert problems(log) == ["a record between 5 and 8 was changed, removed or inserted"]


def test_a_cut_off_end_is_found(log, attacker) -> None:
    exported = signed(present_head(log), KEY, PRIVATE.sign)
    attacker(delete(audit).where(audit.c.number > 7))
    assert problems(log) == ["records 8 to 8 were cut off: there is a signed head of size 8"]
    attacker(delete(audit_head).where(audit_head.c.size == 8))
    assert problems(log) == []
    assert problems(log, exported) == ["records 8 to 10 were cut off: the head has size 10"]


def test_an_emptied_log_is_found_by_an_exported_head(log, attacker) -> None:
    exported = present_head(log).text
    attacker(delete(audit), delete(audit_head), delete(audit_value))
    assert problems(log, exported) == ["records 1 to 10 were cut off: the head has size 10"]


def test_a_head_of_the_attackers_own_does_not_count(log, attacker, database) -> None:  # noqa: F811
    attacker(update(audit).where(audit.c.number == 6).values(altered(rows(database)[6], object_id="otp-9")))
    own = Ed25519PrivateKey.generate()
    note = signed(present_head(log), NoteKey(KEY.name, own.public_key().public_bytes_raw()), own.sign)
    attacker(update(audit_head).where(audit_head.c.size == 8).values(note=note))
    assert problems(log) == ["the kept head of size 8 was changed: it is not signed by `audit.key`"]
    assert problems(log, note)[1].startswith("the head of size 10 is not signed by `audit.key`")


def test_octets_that_are_no_record_are_found(log, attacker) -> None:
    attacker(update(audit).where(audit.c.number == 9).values(octets=b"{}"))
    assert problems(log) == ["record 9 was changed: 'number'"]


def test_the_head_of_another_log_is_named(log) -> None:
    head = present_head(log).text.replace("sealgate/audit/", "sealgate/audit/f")
    assert problems(log, head)[0].startswith("the head is of another log (sealgate/audit/f")


def _killed_before(step: str, where) -> None:
    """A process that dies in the transaction of an act, before or after its record is written."""
    written = engine.write_record

    def die(*arguments, **named):
        if step == "after":
            written(*arguments, **named)
        os._exit(9)

    engine.write_record = die
    DbCustomers(open_database(where)).put([Customer("2001", "Ben", (), None)])


@pytest.mark.parametrize("step", ["before", "after"])
def test_a_crash_between_act_and_record_leaves_neither(log, database, step) -> None:  # noqa: F811
    process = multiprocessing.get_context("spawn").Process(target=_killed_before, args=(step, database.where))
    process.start()
    process.join(30)
    assert process.exitcode == 9
    assert DbCustomers(database).get("2001") is None
    assert (log.size(), problems(log)) == (10, [])
