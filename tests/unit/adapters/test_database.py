"""The database itself: migrations against tables, durability settings, group commit, processes that start together."""

import sqlite3
import stat
import threading
import time
from contextlib import ExitStack, closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, inspect, select
from sqlalchemy.exc import IntegrityError

from gateway.adapters.db.engine import group_commit as group
from gateway.adapters.db.engine import schema
from gateway.adapters.db.engine.schema import connected
from gateway.adapters.db.engine.sqlite import BUSY_LOOK_S, SqliteDatabase
from gateway.adapters.db.tables.complete import metadata
from gateway.adapters.db.tables.mail import customer, micros, moment
from gateway.errors import GatewayError, Reason
from tests.support import postgres
from tests.support.databases import open_database
from tests.support.pki import NOW


@pytest.fixture
def sqlite(tmp_path):
    opened = open_database(tmp_path / "s.db")
    yield opened
    opened.close()


@pytest.fixture
def empty(kind, tmp_path):
    """Where there is a database without tables."""
    if kind == "sqlite":
        (tmp_path / "empty.db").touch()
        return tmp_path / "empty.db"
    return postgres.server().settings(postgres.server().empty())


def add(number: str, name: str = ""):
    return lambda connection: connection.execute(insert(customer).values(number=number, name=name)) and None


def numbers(database) -> list[str]:
    with database.read() as connection:
        return list(connection.scalars(select(customer.c.number).order_by(customer.c.number)))


def pragma(connection, name: str) -> object:
    return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


# --- schema


def test_migrations_make_exactly_the_tables(database) -> None:
    with database.writers.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_check_constraints_of_migrations_are_those_of_the_tables(database, empty) -> None:
    """compare_metadata does not look at them. Each kind of database tells them in its own words."""
    fresh = connected(empty, may_be_empty=True)
    metadata.create_all(fresh.writers)

    def checks(connection) -> set[tuple[str, str]]:
        look = inspect(connection)
        return {(check["name"], check["sqltext"]) for table in metadata.tables
                for check in look.get_check_constraints(table)}

    with fresh.read() as ours, database.read() as migrated:
        assert checks(ours) == checks(migrated) != set()
    fresh.close()


def test_the_head_is_the_newest_migration() -> None:
    assert schema.known()[0] == schema.HEAD


def test_the_file_is_its_owners_alone(sqlite) -> None:
    sqlite.write(add("1"))
    for file in sqlite.path.parent.glob("s.db[!.]*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("at", [NOW, NOW.replace(microsecond=1), NOW.replace(year=9999), NOW.replace(year=1950)])
def test_moments_are_exact(at) -> None:
    assert moment(micros(at)) == at


# --- engines


def test_writers_are_durable(database, kind) -> None:
    def durable(connection) -> tuple[object, ...]:
        if kind == "postgresql":
            return connection.exec_driver_sql("SHOW synchronous_commit").scalar(), connection.get_isolation_level()
        return pragma(connection, "journal_mode"), pragma(connection, "synchronous"), pragma(connection, "foreign_keys")
    assert database.write(durable) == (("on", "READ COMMITTED") if kind == "postgresql" else ("wal", 2, 1))


def test_readers_cannot_write(database) -> None:
    with pytest.raises(GatewayError, match=r"read.?only"), database.read() as connection:
        connection.execute(insert(customer).values(number="1", name=""))


def test_readers_do_not_wait_for_a_writer_and_see_what_is_committed(database) -> None:
    assert numbers(database) == []
    with database.writers.begin() as connection:
        connection.execute(insert(customer).values(number="1", name=""))
        assert numbers(database) == []
    assert numbers(database) == ["1"]


def test_a_connection_that_failed_is_not_used_again(sqlite) -> None:
    with pytest.raises(GatewayError, match="no such table"), sqlite.read() as connection:
        connection.exec_driver_sql("SELECT * FROM missing")
    assert len(sqlite._idle) == 0
    assert numbers(sqlite) == []
    assert len(sqlite._idle) == 1


def test_errors_hold_no_values(database) -> None:
    database.write(add("1", "The planted secret"))
    with pytest.raises(GatewayError) as caught:
        database.write(add("1", "The planted secret"))
    assert "UNIQUE" in caught.value.detail.upper()
    assert "planted" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_locked_database_is_unavailable_after_its_time(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("gateway.adapters.db.engine.sqlite.BUSY_TIMEOUT_MS", 50)
    opened, other = open_database(tmp_path / "s.db"), SqliteDatabase(tmp_path / "s.db")
    with other.writers.begin():
        with pytest.raises(GatewayError, match="locked") as caught:
            opened.write(add("1"))
        assert caught.value.retry
    opened.write(add("1"))
    assert numbers(opened) == ["1"]
    opened.close()
    other.close()


@pytest.mark.parametrize("short", [True, False], ids=["driver", "sqlalchemy"])
def test_whoever_waits_for_the_write_lock_looks_again_at_once(tmp_path, monkeypatch, *, short: bool) -> None:
    opened, other = open_database(tmp_path / "s.db"), SqliteDatabase(tmp_path / "s.db")
    slept: list[float] = []
    with ExitStack() as holds:
        holds.enter_context(other.writers.begin())

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 20:
                holds.close()

        monkeypatch.setattr("gateway.adapters.db.engine.sqlite.time.sleep", sleep)
        if short:
            opened.group.insert(insert(customer), [{"number": "1", "name": ""}])
        else:
            opened.write(add("1"))
    assert slept == [BUSY_LOOK_S] * 20  # SQLite's own sleeps grow up to 100 ms
    assert numbers(opened) == ["1"]
    opened.close()
    other.close()


# --- group commit


class Gate:
    """A work that holds the first group open until others have gathered behind it."""

    def __init__(self) -> None:
        self.entered, self.go = threading.Event(), threading.Event()

    def __call__(self, connection) -> None:
        self.entered.set()
        assert self.go.wait(30)


def gathered(database, works) -> tuple[list[object], int]:
    """What each work returned or raised, all of them waiting in one group; and how many commits there were."""
    gate, results = Gate(), [None] * len(works)
    before = database.group.commits

    def run(place: int) -> None:
        try:
            results[place] = database.write(works[place])
        except BaseException as error:  # noqa: BLE001
            results[place] = error

    first = threading.Thread(target=lambda: database.write(gate))
    first.start()
    assert gate.entered.wait(30)
    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(works))]
    for place, thread in enumerate(threads):
        thread.start()
        while len(database.group._waiting) <= place:
            time.sleep(0.0005)
    gate.go.set()
    for thread in (first, *threads):
        thread.join(30)
        assert not thread.is_alive()
    return results, database.group.commits - before - 1


def test_a_result_comes_back(database) -> None:
    assert database.write(lambda connection: 5) == 5


def test_what_gathers_is_one_commit(database) -> None:
    results, commits = gathered(database, [add(f"{number:02}") for number in range(20)])
    assert results == [None] * 20
    assert commits == 1
    assert numbers(database) == [f"{number:02}" for number in range(20)]


def test_each_caller_gets_its_own_result(database) -> None:
    results, _ = gathered(database, [lambda connection, number=number: number for number in range(10)])
    assert results == list(range(10))


def test_anothers_fault_costs_nobody_else_anything(database) -> None:
    def broken(connection) -> None:
        connection.execute(insert(customer).values(number="partly", name=""))
        raise GatewayError(Reason.USAGE, "mine")

    results, _ = gathered(database, [add("1"), broken, add("2"), add("1"), lambda connection: 1 // 0])
    assert results[0] is None
    assert results[2] is None
    assert (results[1].reason, results[1].detail) == (Reason.USAGE, "mine")
    assert results[3].reason is Reason.STORE_UNAVAILABLE
    assert isinstance(results[4], ZeroDivisionError)
    assert numbers(database) == ["1", "2"]


def test_a_lock_that_another_program_holds_is_waited_for_once_and_not_by_each(sqlite, monkeypatch) -> None:
    """The sixteen mails of a worker waited 5 s together and then 5 s for each of them."""
    monkeypatch.setattr("gateway.adapters.db.engine.sqlite.BUSY_TIMEOUT_MS", 300)
    failed: list[Reason] = []

    def run(number: int) -> None:
        with pytest.raises(GatewayError) as caught:
            sqlite.write(add(str(number)))
        failed.append(caught.value.reason)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(11)]
    with closing(sqlite3.connect(sqlite.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        for thread in threads:  # the first one's group is waiting already when the others gather
            thread.start()
        for thread in threads:
            thread.join(30)
        assert time.monotonic() - begun < 1.8
    assert failed == [Reason.STORE_UNAVAILABLE] * 11


@pytest.mark.parametrize(("works", "groups"), [(7, 1), (8, 1), (9, 2)])
def test_a_group_is_bounded(database, monkeypatch, works, groups) -> None:
    monkeypatch.setattr(group, "GROUP_MAX", 8)
    results, commits = gathered(database, [add(f"{number:04}") for number in range(works)])
    assert results == [None] * works
    assert commits == groups


def test_an_interrupted_leader_leaves_nobody_waiting(database) -> None:
    def interrupt(connection) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        database.write(interrupt)
    database.write(add("after"))
    assert numbers(database) == ["after"]


@pytest.mark.parametrize("place", [0, 1])
def test_an_interrupted_waiter_leaves_nobody_waiting(database, place) -> None:
    """Ctrl-C reaches the thread that waits, whether it was the next to lead or not; its own work may be lost."""
    gate, results = Gate(), []

    class Interrupted:
        def acquire(self) -> None:
            gate.go.wait(30)
            raise KeyboardInterrupt

        def release(self) -> None:
            pass

    def run(work) -> None:
        try:
            results.append(database.write(work))
        except KeyboardInterrupt:
            results.append("interrupted")

    threads = [threading.Thread(target=run, args=(gate,))]
    threads[0].start()
    assert gate.entered.wait(30)
    for number in range(3):
        threads.append(threading.Thread(target=run, args=(add(str(number)),)))
        if number == place:
            threads[-1] = threading.Thread(target=_interrupted, args=(database, run, add(str(number)), Interrupted()))
        threads[-1].start()
        while len(database.group._waiting) <= number:
            time.sleep(0.0005)
    gate.go.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert results.count("interrupted") == 1
    assert set(numbers(database)) >= {"0", "1", "2"} - {str(place)}
    database.write(add("after"))


def _interrupted(database, run, work, wake) -> None:
    """Runs with a job whose lock is interrupted while it is waited for."""
    group_commit = database.group
    real = group_commit._wait

    def wait(job) -> None:
        if job.work is work:
            job.wake = wake
        real(job)

    group_commit._wait = wait
    run(work)


def test_rows_of_all_callers_go_in_with_one_commit(database) -> None:
    statement, before = insert(customer), database.group.commits
    gate = Gate()
    threads = [threading.Thread(target=database.write, args=(gate,))]
    threads[0].start()
    assert gate.entered.wait(30)
    for number in range(5):
        rows = [{"number": f"{number}{part}", "name": ""} for part in "ab"]
        threads.append(threading.Thread(target=database.group.insert, args=(statement, rows)))
        threads[-1].start()
    while len(database.group._waiting) < 5:
        time.sleep(0.0005)
    gate.go.set()
    for thread in threads:
        thread.join(30)
    assert len(numbers(database)) == 10
    assert database.group.commits - before == 2  # the gate's and theirs


def test_one_callers_bad_rows_cost_nobody_else_anything(database) -> None:
    statement = insert(customer)
    database.group.insert(statement, [{"number": "1", "name": ""}])
    results, _ = gathered(database, [
        lambda connection: connection.execute(statement, {"number": "2", "name": ""}) and None,
        lambda connection: connection.execute(statement, {"number": "1", "name": ""}) and None])
    assert results[0] is None
    assert results[1].reason is Reason.STORE_UNAVAILABLE
    assert numbers(database) == ["1", "2"]


def test_bad_rows_leave_nothing_behind_and_hinder_nothing_after_them(database) -> None:
    statement = insert(customer)
    for _ in range(2):
        with pytest.raises(GatewayError) as caught:
            database.group.insert(statement, [{"number": "1", "name": ""}, {"number": "1", "name": ""}])
        assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert numbers(database) == []
    database.group.insert(statement, [{"number": "2", "name": ""}])
    assert numbers(database) == ["2"]


def test_rows_by_the_short_way_are_as_durable_as_all_others(sqlite) -> None:
    sqlite.group.insert(insert(customer), [{"number": "1", "name": ""}])
    pragmas = {name: sqlite._writer.execute(f"PRAGMA {name}").fetchone()[0]
               for name in ("synchronous", "journal_mode", "foreign_keys", "busy_timeout")}
    assert pragmas == {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 0}
    assert not sqlite._writer.in_transaction


def test_integrity_is_the_databases_own(database) -> None:
    with pytest.raises(IntegrityError), database.writers.begin() as connection:
        connection.exec_driver_sql("INSERT INTO customer_address VALUES ('a@b', 'nobody')")
