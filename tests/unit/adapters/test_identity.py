"""Which database a process works with: never one that is missing, empty, of another version, or another one.

Truth: a register without rows says "no certificate" of everybody, and shipped policies send in clear on that. Each test
takes the database away in a way that was seen or can happen: a disk that is not mounted, a file that is removed,
replaced or emptied under running processes, a schema that is dropped and made anew.
"""

import multiprocessing
import queue
import shutil
import sqlite3
import threading
from contextlib import closing

import pytest
import structlog
from sqlalchemy import select

from gateway.adapters.db.certificates.customers import DbCustomers
from gateway.adapters.db.certificates.store import DbCertificates
from gateway.adapters.db.engine import identity, schema
from gateway.adapters.db.engine.schema import (
    adopt_database,
    connected,
    create_database,
    open_database,
    upgrade_database,
)
from gateway.adapters.db.engine.sqlite_file import Place
from gateway.adapters.db.tables.mail import customer
from gateway.clock import SystemClock
from gateway.errors import GatewayError, Reason
from tests.support import postgres
from tests.support.databases import DROP_AUDIT

ADDRESS = "anna@customer.example"


@pytest.fixture
def id_file(tmp_path):
    return tmp_path / "conf" / "database.id"


@pytest.fixture
def where(kind, tmp_path, id_file):
    """Where a database can be created."""
    id_file.parent.mkdir()
    if kind == "sqlite":
        return tmp_path / "s.db"
    return postgres.server().settings(postgres.server().empty())


@pytest.fixture
def opened(where, id_file):
    create_database(where, id_file).close()
    database = open_database(where, id_file)
    yield database
    database.close()


@pytest.fixture
def file(tmp_path, id_file):
    """A created SQLite file."""
    id_file.parent.mkdir()
    create_database(tmp_path / "s.db", id_file).close()
    return tmp_path / "s.db"


def refused(act, reason: Reason) -> str:
    with pytest.raises(GatewayError) as caught:
        act()
    assert (caught.value.reason, caught.value.retry) == (reason, True)
    return caught.value.detail


def add(number: str):
    return lambda connection: connection.execute(customer.insert().values(number=number, name="")) and None


# --- created by explicit command only


def test_opening_creates_nothing(where, id_file) -> None:
    refused(lambda: open_database(where, id_file), Reason.STORE_MISSING)
    refused(lambda: open_database(where, id_file), Reason.STORE_MISSING)
    assert not id_file.exists()
    if not isinstance(where, type(id_file)):
        assert postgres.server().sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", where.name) == [(0,)]
    else:
        assert not where.exists()


def test_an_empty_file_is_missing(tmp_path, id_file) -> None:
    (tmp_path / "s.db").touch()
    assert "empty" in refused(lambda: open_database(tmp_path / "s.db", id_file), Reason.STORE_MISSING)
    assert (tmp_path / "s.db").stat().st_size == 0


def test_a_file_that_is_no_database_is_refused(tmp_path, id_file) -> None:
    (tmp_path / "s.db").write_bytes(b"x" * 10_000)
    assert "not a database" in refused(lambda: open_database(tmp_path / "s.db", id_file), Reason.STORE_UNAVAILABLE)


def test_a_missing_directory_is_named(tmp_path, id_file) -> None:
    assert "No such file" in refused(lambda: open_database(tmp_path / "no" / "s.db", id_file), Reason.STORE_MISSING)
    assert "No such file" in refused(lambda: create_database(tmp_path / "no" / "s.db", id_file),
                                     Reason.STORE_UNAVAILABLE)


def test_what_is_created_is_opened_by_its_id(opened, id_file) -> None:
    opened.write(add("1"))
    with opened.read() as connection:
        assert identity.read_id(connection) == identity.recorded_id(id_file)
    opened.verify()


def test_a_database_with_tables_is_not_created_anew(where, id_file) -> None:
    create_database(where, id_file).close()
    recorded = id_file.read_bytes()
    with pytest.raises(GatewayError, match="has tables already") as caught:
        create_database(where, id_file)
    assert caught.value.reason is Reason.USAGE
    assert id_file.read_bytes() == recorded
    open_database(where, id_file).close()


def test_a_creation_that_fails_leaves_nothing(where, id_file) -> None:
    def fails(_connection) -> None:
        raise GatewayError(Reason.USAGE, "a backup with a broken line")

    with pytest.raises(GatewayError, match="broken line"):
        create_database(where, id_file, fails)
    assert not id_file.exists()
    refused(lambda: open_database(where, id_file), Reason.STORE_MISSING)
    create_database(where, id_file).close()


def test_the_log_of_a_lost_database_is_not_written_into_a_new_one(tmp_path, id_file) -> None:
    id_file.parent.mkdir()
    (tmp_path / "s.db-wal").write_bytes(b"frames")
    with pytest.raises(GatewayError, match=r"s\.db-wal"):
        create_database(tmp_path / "s.db", id_file)
    assert (tmp_path / "s.db-wal").read_bytes() == b"frames"


def _create(where, id_file, start, results) -> None:
    start.wait()
    try:
        create_database(where, id_file).close()
    except GatewayError as trouble:
        results.put(str(trouble.reason))
    else:
        results.put("created")


def test_of_commands_that_run_at_once_one_creates_it(where, id_file) -> None:
    context = multiprocessing.get_context("forkserver")  # which loads the gateway once for all three
    context.set_forkserver_preload([__name__])
    start, results = context.Barrier(3), context.Queue()
    processes = [context.Process(target=_create, args=(where, id_file, start, results)) for _ in range(3)]
    for process in processes:
        process.start()
    found = sorted(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(60)
    assert found.count("created") == 1
    assert set(found) == {"created", str(Reason.USAGE)}
    open_database(where, id_file).close()


def test_who_waits_for_a_creation_that_fails_creates_it(where, id_file) -> None:
    """Each saw the other as a user of the database, so that all were refused."""
    results = queue.Queue()
    second = threading.Thread(target=_create, args=(where, id_file, threading.Barrier(1), results))

    def fails(_connection) -> None:
        second.start()
        second.join(0.3)  # until it waits, or has been refused
        raise GatewayError(Reason.USAGE, "a backup with a broken line")

    with pytest.raises(GatewayError, match="broken line"):
        create_database(where, id_file, fails)
    second.join(60)
    assert results.get_nowait() == "created"
    open_database(where, id_file).close()


# --- of another version, or another one


def test_older_tables_are_named_and_upgraded_by_command(where, id_file) -> None:
    create_database(where, id_file).close()
    database = connected(where)
    for statement in ("ALTER TABLE statement_chunk DROP COLUMN item",
                      "ALTER TABLE statement_chunk DROP COLUMN attempts", "DROP TABLE database_identity",
                      *DROP_AUDIT,
                      "UPDATE alembic_version SET version_num = '0007'"):
        database.write(lambda connection, statement=statement: connection.exec_driver_sql(statement) and None)
    database.close()
    id_file.unlink()
    assert "sealgate database upgrade" in refused(lambda: open_database(where, id_file), Reason.STORE_VERSION)
    assert upgrade_database(where, id_file) is True
    open_database(where, id_file).close()
    assert upgrade_database(where, id_file) is False


def test_newer_tables_are_named(where, id_file) -> None:
    create_database(where, id_file).close()
    database = connected(where)
    database.write(lambda connection: connection.exec_driver_sql(
        "UPDATE alembic_version SET version_num = '9999'") and None)
    database.close()
    assert "9999" in refused(lambda: open_database(where, id_file), Reason.STORE_VERSION)
    assert "9999" in refused(lambda: upgrade_database(where, id_file), Reason.STORE_VERSION)


def test_another_database_is_refused_until_it_is_adopted(where, id_file) -> None:
    create_database(where, id_file).close()
    identity.record_id(id_file, identity.new_id())
    assert "sealgate database adopt" in refused(lambda: open_database(where, id_file), Reason.STORE_MISMATCH)
    refused(lambda: upgrade_database(where, id_file), Reason.STORE_MISMATCH)
    adopt_database(where, id_file)
    open_database(where, id_file).close()


def test_settings_without_an_id_mean_no_database(where, id_file) -> None:
    create_database(where, id_file).close()
    id_file.unlink()
    assert str(id_file) in refused(lambda: open_database(where, id_file), Reason.STORE_MISMATCH)


@pytest.mark.parametrize("octets", [b"", b"not an id\n", b"f" * 31, b"F" * 32, b"\xff" * 32])
def test_a_file_that_holds_no_id_is_named(where, id_file, octets) -> None:
    create_database(where, id_file).close()
    id_file.write_bytes(octets)
    assert str(id_file) in refused(lambda: open_database(where, id_file), Reason.STORE_UNAVAILABLE)


# --- taken away under a running process


@pytest.fixture
def running(file, id_file):
    database = open_database(file, id_file)
    database.write(add("1"))
    yield database
    database.close()


def uses(database) -> tuple:
    """What a mail does with it, each the first to notice in its turn."""
    return (
        lambda: DbCertificates(database, SystemClock()).rows(ADDRESS),
        lambda: database.write(add("2")),
        lambda: database.group.insert(customer.insert(), [{"number": "3", "name": ""}]),
        lambda: DbCertificates(database, SystemClock()).trust_list(),
    )


@pytest.mark.parametrize("first", range(4))
def test_a_removed_file_answers_and_takes_nothing(running, file, first) -> None:
    for name in ("s.db", "s.db-wal", "s.db-shm"):
        file.with_name(name).unlink(missing_ok=True)
    acts = uses(running)
    for act in acts[first:] + acts[:first]:
        refused(act, Reason.STORE_MISSING)
    assert not file.exists()


@pytest.mark.parametrize("first", range(4))
def test_a_new_database_in_its_place_is_not_used(running, file, tmp_path, first) -> None:
    """A worker wrote on into the unlinked file, and one that started later found nobody enrolled."""
    create_database(tmp_path / "other.db", tmp_path / "other.id").close()
    (tmp_path / "other.db").replace(file)
    acts = uses(running)
    for act in acts[first:] + acts[:first]:
        refused(act, Reason.STORE_MISMATCH)
    with closing(sqlite3.connect(f"{file.as_uri()}?immutable=1", uri=True)) as look:
        assert look.execute("SELECT count(*) FROM customer").fetchone() == (0,)


def test_a_database_copied_over_it_does_not_say_absent(running, file, tmp_path) -> None:
    """`cp` keeps the inode, so the id is compared when a certificate is said to be absent."""
    create_database(tmp_path / "other.db", tmp_path / "other.id").close()
    for name in ("s.db-wal", "s.db-shm"):
        file.with_name(name).unlink(missing_ok=True)
    shutil.copyfile(tmp_path / "other.db", file)
    with pytest.raises(GatewayError) as caught:
        DbCertificates(running, SystemClock()).rows(ADDRESS)
    assert caught.value.reason.family == "store"


@pytest.mark.parametrize("ask", [
    lambda customers: customers.by_address(ADDRESS), lambda customers: customers.get("1"),
    lambda customers: customers.by_certificate("0" * 64)])
def test_a_database_copied_over_it_does_not_say_that_nobody_is_a_customer(running, file, tmp_path, ask) -> None:
    """A rule about a segment would not match, and the next one may send in clear without asking for a certificate."""
    create_database(tmp_path / "other.db", tmp_path / "other.id").close()
    with closing(sqlite3.connect(tmp_path / "other.db")) as other, closing(sqlite3.connect(file)) as own:
        own.execute("DELETE FROM customer")
        own.execute("UPDATE database_identity SET id = ?", other.execute("SELECT id FROM database_identity").fetchone())
        own.commit()
    refused(lambda: ask(DbCustomers(running)), Reason.STORE_MISMATCH)


def test_the_same_database_moved_back_is_used_again(running, file, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("gateway.adapters.db.engine.sqlite_file.LOOK_AGAIN_S", (0.0,))
    with closing(sqlite3.connect(file)) as look:
        look.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copyfile(file, tmp_path / "copy.db")
    file.unlink()
    refused(lambda: running.write(add("2")), Reason.STORE_MISSING)
    for name in ("s.db-wal", "s.db-shm"):
        file.with_name(name).unlink(missing_ok=True)
    (tmp_path / "copy.db").replace(file)
    running.write(add("3"))
    running.group.insert(customer.insert(), [{"number": "4", "name": ""}])
    with running.read() as connection:
        assert list(connection.scalars(select(customer.c.number).order_by(customer.c.number))) == ["1", "3", "4"]
    with closing(sqlite3.connect(file)) as look:  # and not in the file that is gone
        assert look.execute("SELECT count(*) FROM customer").fetchone() == (3,)


def test_a_commit_into_a_file_that_was_replaced_meanwhile_is_not_acknowledged(running, file, tmp_path) -> None:
    """Even where a copy of the same database takes its place: what was written is in no file."""
    with closing(sqlite3.connect(file)) as look:
        look.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copyfile(file, tmp_path / "copy.db")

    def work(connection) -> None:
        add("2")(connection)
        (tmp_path / "copy.db").replace(file)

    with pytest.raises(GatewayError, match="was replaced during a transaction") as caught:
        running.write(work)
    assert caught.value.retry


def test_what_is_raised_again_and_again_holds_no_frames(running, file) -> None:
    """Attack: one exception object was raised for each mail, and with its traceback kept every mail in memory."""
    file.unlink()
    raised = []
    for _ in range(3):
        with pytest.raises(GatewayError) as caught:
            running.write(add("2"))
        raised.append(caught.value)
    assert len(set(map(id, raised))) == 3
    assert running._refused.__traceback__ is None
    assert running._place._trouble.__traceback__ is None


def test_the_very_file_that_comes_back_is_used_at_once(running, file, tmp_path) -> None:
    file.rename(tmp_path / "away.db")
    refused(lambda: running.write(add("2")), Reason.STORE_MISSING)
    (tmp_path / "away.db").rename(file)
    running.write(add("2"))
    assert running._refused is None


def test_a_wrong_database_is_looked_at_ever_more_seldom(file, monkeypatch) -> None:
    now, looks = [0.0], []
    place = Place(file, lambda: now[0])
    place.hold()
    file.unlink()
    monkeypatch.setattr(place, "_found", lambda found=place._found: looks.append(now[0]) or found())
    for second in range(60):
        now[0] = float(second)
        refused(lambda: place.take("id"), Reason.STORE_MISSING)
    assert looks == [0.0, 1.0, 3.0, 8.0, 23.0, 53.0]


def test_an_alert_is_raised_once(running, file) -> None:
    file.unlink()
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            refused(lambda: running.write(add("2")), Reason.STORE_MISSING)
    assert [(line["event"], line["log_level"]) for line in lines] == [("database.unusable", "critical")]


# --- PostgreSQL


@pytest.fixture
def server_database(tmp_path, id_file):
    postgres.need_postgres()
    id_file.parent.mkdir()
    where = postgres.server().settings(postgres.server().empty())
    create_database(where, id_file).close()
    database = open_database(where, id_file)
    yield database
    database.close()


EMPTIED = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"


def test_an_emptied_schema_says_nothing(server_database) -> None:
    DbCertificates(server_database, SystemClock()).rows(ADDRESS)
    postgres.server().sql(EMPTIED, server_database.where.name)
    for act in uses(server_database):
        with pytest.raises(GatewayError) as caught:
            act()
        assert caught.value.reason.family == "store"


def test_tables_made_anew_under_a_running_process_do_not_say_absent(server_database, tmp_path) -> None:
    """1,527 mails left in clear when a restore had made empty tables beside running nodes."""
    rows = DbCertificates(server_database, SystemClock()).rows
    assert rows(ADDRESS) == ()
    postgres.server().sql(EMPTIED, server_database.where.name)
    again = connected(server_database.where, may_be_empty=True)
    with again.migrating() as connection:  # past the command, which would see that the database is in use
        schema._migrate(connection)
        identity.write_id(connection, identity.new_id())
    again.close()
    refused(lambda: rows(ADDRESS), Reason.STORE_MISMATCH)
    refused(lambda: server_database.write(add("1")), Reason.STORE_MISMATCH)


def test_a_database_in_use_is_not_created_anew(server_database, id_file) -> None:
    postgres.server().sql(EMPTIED, server_database.where.name)
    with pytest.raises(GatewayError, match=r"in use by sealgate .*Stop Sealgate on all nodes"):
        create_database(server_database.where, id_file)


def test_a_user_that_comes_while_a_creator_waits_is_seen(server_database, id_file) -> None:
    where, results = server_database.where, queue.Queue()
    server_database.close()
    postgres.server().sql(EMPTIED, where.name)
    second = threading.Thread(target=_create, args=(where, id_file, threading.Barrier(1), results))
    user = connected(where)

    def fails(_connection) -> None:
        second.start()
        second.join(0.3)
        with user.read():
            raise GatewayError(Reason.USAGE, "a backup with a broken line")

    with pytest.raises(GatewayError, match="broken line"):
        create_database(where, id_file, fails)
    second.join(60)
    user.close()
    assert results.get_nowait() == str(Reason.USAGE)


def test_who_has_created_it_is_a_user(server_database, id_file) -> None:
    where = server_database.where
    server_database.close()
    postgres.server().sql(EMPTIED, where.name)
    with closing(create_database(where, id_file)) as made:
        made.verify()
        postgres.server().sql(EMPTIED, where.name)
        with pytest.raises(GatewayError, match="in use by sealgate reads"):
            create_database(where, id_file)


def test_a_file_in_use_is_not_created_anew(running, file, id_file) -> None:
    file.unlink()
    for name in ("s.db-wal", "s.db-shm"):
        file.with_name(name).unlink(missing_ok=True)
    with pytest.raises(GatewayError, match="in use by running processes"):
        create_database(file, id_file)
    assert not file.exists()
