"""Jobs of chunks, as procrastinate has them in a real PostgreSQL; and who sees to it that each open chunk has one."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg_pool import AsyncConnectionPool, ConnectionPool
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.db.statements.store import statement_store
from gateway.adapters.db.tables.complete import metadata
from gateway.adapters.run_jobs import RunJobs, make_tables, require_tables, schema, serve
from gateway.app.statements.worker_pool import JobsPool
from gateway.clock import SystemClock
from gateway.errors import GatewayError, Reason
from gateway.ports.services.statements.rows import Chunk, NewItem, RunRow, RunState
from tests.support import postgres
from tests.support.databases import open_database

NOBODY = frozenset()


@pytest.fixture
def where():
    postgres.need_postgres()
    return postgres.server().database()


@pytest.fixture
def database(where):
    opened = open_database(where)
    yield opened
    opened.close()


@pytest.fixture
def jobs(database, where):
    require_tables(database)
    opened = RunJobs(where)
    yield opened
    opened.close()


def rows(where, columns: str, table: str):
    return postgres.server().sql(f"SELECT {columns} FROM {schema()}.{table}", where.name)


def test_commands_that_run_at_once_make_the_tables_once(where, database) -> None:
    database.write(lambda connection: connection.exec_driver_sql(f"DROP SCHEMA {schema()} CASCADE") and None)
    ready = threading.Barrier(4)

    def start(_: int) -> None:
        own = open_database(where)
        try:
            ready.wait(30)
            with own.migrating() as connection:
                make_tables(connection)
        finally:
            own.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(start, range(4)))
    jobs = RunJobs(where)
    assert jobs.runs() == NOBODY
    jobs.close()


def test_a_process_makes_no_tables_but_names_the_command_that_does(database) -> None:
    database.write(lambda connection: connection.exec_driver_sql(f"DROP SCHEMA {schema()} CASCADE") and None)
    with pytest.raises(GatewayError, match="sealgate database upgrade") as refused:
        require_tables(database)
    assert (refused.value.reason, refused.value.retry) == (Reason.STORE_VERSION, True)


def test_they_lie_beside_ours_and_no_migration_sees_them(where, database, jobs) -> None:
    found = postgres.server().sql("SELECT DISTINCT schemaname FROM pg_tables WHERE tablename LIKE 'procrastinate%'",
                                  where.name)
    assert found == [(schema(),)]
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_role_that_may_make_no_schema_is_told(where, database) -> None:
    server = postgres.server()
    password = server.home / "small"
    password.write_text("a word")
    password.chmod(0o600)
    server.sql("CREATE ROLE small LOGIN PASSWORD 'a word'")
    server.sql("GRANT SELECT ON alembic_version TO small", where.name)
    server.sql(f"DROP SCHEMA {schema()} CASCADE", where.name)
    poor = open_database(where.model_copy(update={"user": "small", "password_file": password}))
    try:
        with pytest.raises(SQLAlchemyError, match="permission denied"), poor.migrating() as connection:
            make_tables(connection)
    finally:
        poor.close()


def test_one_job_waits_for_a_chunk_however_many_defer_it(where, jobs) -> None:
    jobs.defer("run1", [(1, None), (2, None)])
    another = RunJobs(where)
    another.defer("run1", [(2, None), (3, None)])  # somebody was quicker: the next look does the rest
    assert jobs.of("run1") == ({1, 2}, NOBODY)
    another.defer("run1", [(3, None)])
    another.close()
    jobs.defer("run2", [(1, None)])
    assert jobs.of("run1") == ({1, 2, 3}, NOBODY)
    assert jobs.runs() == {"run1", "run2"}
    jobs.clear("run1", working=False)
    assert jobs.runs() == {"run2"}


def test_a_large_run_is_deferred_whole(jobs) -> None:
    jobs.defer("run1", [(number, None) for number in range(2_500)])
    assert jobs.of("run1") == (set(range(2_500)), NOBODY)


def test_jobs_are_carried_out_and_what_is_due_again_waits(where, jobs) -> None:
    jobs.defer("run1", [(number, None) for number in range(5)])
    jobs.defer("run2", [(7, None)])
    done: list[int] = []
    threads: set[int] = set()
    later = SystemClock().now() + timedelta(minutes=5)

    def carry_out(number: int):
        done.append(number)
        threads.add(threading.get_ident())
        return later if number == 3 else None

    waited = threading.Timer(30, lambda: done.extend(range(5)))
    waited.start()
    serve(where, "run1", 2, carry_out, lambda: len(done) >= 5)
    waited.cancel()
    assert sorted(done) == [0, 1, 2, 3, 4]
    assert threading.get_ident() not in threads
    assert jobs.of("run1") == ({3}, NOBODY)
    assert rows(where, "queue_name, scheduled_at", "procrastinate_jobs ORDER BY queue_name") == [
        ("run1", later), ("run2", None)]
    assert rows(where, "count(*)", "procrastinate_workers") == [(0,)]


def test_without_the_server_both_sides_tell_it(where, monkeypatch) -> None:
    for pool in (ConnectionPool, AsyncConnectionPool):  # by default they wait 30 s for their first connection
        monkeypatch.setattr(pool, "wait", lambda self, timeout, wait=pool.wait: wait(self, min(timeout, 1.0)))
    gone = where.model_copy(update={"port": 1, "connect_timeout_s": 1.0})
    jobs = RunJobs(gone)
    for ask in (jobs.runs, lambda: serve(gone, "run1", 1, lambda _: None, lambda: False)):
        with pytest.raises(GatewayError) as away:
            ask()
        assert (away.value.reason, away.value.retry) == (Reason.STORE_UNAVAILABLE, True)
        assert "a word for the database" not in away.value.detail
    jobs.close()


class Nobody:
    """Processes that do nothing."""

    def tend(self) -> None: ...

    def dismiss(self) -> None: ...


def test_each_open_chunk_gets_a_job_and_a_dead_nodes_another_one(where, database, jobs, monkeypatch) -> None:
    monkeypatch.setattr("gateway.app.statements.worker_pool.JOBS_LOOK_S", 0.0)
    monkeypatch.setattr("gateway.app.statements.worker_pool.LOST_LOOK_S", 0.0)
    book, now = statement_store(database), SystemClock().now()
    book.runs.add(RunRow("run1", "statement", "core-banking", "October", "2026-10", RunState.NEW, "{}", "", "", None,
                         now, None, None, "", ""))
    book.runs.change("run1", [RunState.NEW], RunState.PLANNING)
    for number in range(3):
        book.plans.plan(Chunk("run1", number, 0, number + 1, 1),
                        [NewItem(number + 1, 0, "c", b"%d" % number, "1")], now)
    book.runs.begin("run1", 3, now)

    worker_pool = JobsPool(where, SimpleNamespace(database=database), "run1", Nobody())
    worker_pool.tend()
    assert jobs.of("run1") == ({0, 1, 2}, NOBODY)
    postgres.server().sql(f"SET search_path TO {schema()}; UPDATE procrastinate_jobs SET status = 'doing' "
                          "WHERE queueing_lock IN ('run1:0', 'run1:1')", where.name)
    chunk = book.work.claim("run1", now, number=1)  # of a process that lives: this one
    worker_pool.tend()
    assert jobs.of("run1") == ({2}, {0, 1})  # a process may be about to claim the chunk
    worker_pool.tend()
    assert jobs.of("run1") == ({0, 2}, {0, 1})
    worker_pool.dismiss()
    assert jobs.of("run1") == ({0, 2}, {0, 1})  # it goes on elsewhere
    book.runs.change("run1", [RunState.RUNNING], RunState.PAUSED)
    worker_pool.dismiss()
    assert jobs.of("run1") == (NOBODY, {0, 1})  # whoever has them ends them
    book.runs.change("run1", [RunState.PAUSED], RunState.RUNNING)
    book.work.release(chunk, now, due_at=None)
    for number in (0, 2):
        book.work.release(book.work.claim("run1", now, number=number), now, due_at=None)
    worker_pool.dismiss()
    assert jobs.of("run1") == (NOBODY, NOBODY)
