"""Chunks of runs as jobs of procrastinate, in the PostgreSQL database that the nodes share anyway.

A job names the chunk to work on, and when. Only the chunk's claim gives the right to work (ports.services.statements),
and every job takes it first: a job that is there twice sends nothing twice. A job that is lost with its node loses
nothing either: the leader of the run defers another one for a chunk that no process works on
(app.statements.worker_pool). So jobs can be made of the chunks at any time, and are in no backup.

The tables are in a schema of their own, named after procrastinate's own SQL: a version of it that has other tables
makes other ones, beside which nodes of the version before work on. It looks for them by the search path.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache
from typing import Any, Final

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import Job
from procrastinate.schema import SchemaManager
from procrastinate.sync_psycopg_connector import wrap_exceptions

from gateway.adapters.db.engine.connections import parameters
from gateway.adapters.db.engine.database import Connection, Database
from gateway.adapters.db.engine.schema import has_library_tables, library_tables
from gateway.errors import GatewayError, Reason
from gateway.settings import Postgresql
from gateway.threads import is_not_started, not_started

TASK: Final = "statements.chunk"
_TABLE: Final = "procrastinate_jobs"
AT_ONCE: Final = 1_000  # jobs deferred in one statement
BEAT_S: Final = 5.0
STALLED_S: Final = 30.0  # a worker without a heartbeat for so long is removed
POLL_S: Final = 2.0  # what is new is reported at once; what becomes due again is found by this
LOOK_S: Final = 0.2  # whether the process is to end

_OF: Final = "SELECT args->'number' AS number, status::text FROM procrastinate_jobs WHERE queue_name = %(run)s"
_CLEAR: Final = "DELETE FROM procrastinate_jobs WHERE queue_name = %(run)s AND (%(working)s OR status = 'todo')"


@cache
def schema() -> str:
    """The name of the schema of this version's tables."""
    return "sealgate_jobs_" + hashlib.sha256(SchemaManager.get_schema().encode()).hexdigest()[:8]


def make_tables(connection: Connection) -> None:
    """Makes the tables, unless they are there: in the transaction that creates or upgrades the database."""
    library_tables(connection, schema(), _TABLE, SchemaManager.get_schema())


def require_tables(database: Database) -> None:
    """GatewayError STORE_VERSION (retry) if the tables are missing, STORE_UNAVAILABLE (retry)."""
    with database.read() as connection:
        if not has_library_tables(connection, schema(), _TABLE):
            raise GatewayError(Reason.STORE_VERSION, f"{database.name} has no tables of this version for jobs: run "
                               "`sealgate database upgrade`", retry=True)


class RunJobs:
    """For the leader of a run: one connection, from the first use to `close`.

    GatewayError STORE_UNAVAILABLE (retry) from every method.
    """

    def __init__(self, where: Postgresql) -> None:
        self._connector = SyncPsycopgConnector(**_pool(where, "jobs", 1))
        self._app = App(connector=self._connector)

    @contextmanager
    def _opened(self) -> Iterator[None]:
        with _answered(), wrap_exceptions():
            self._connector.open()
            yield

    def of(self, run: str) -> tuple[frozenset[int], frozenset[int]]:
        """The chunks for which a job waits, and those for which one is at work, or was when its worker died."""
        found: dict[str, set[int]] = {"todo": set(), "doing": set()}  # procrastinate's words
        with self._opened():
            for row in self._connector.execute_query_all(_OF, run=run):
                found.setdefault(row["status"], set()).add(int(row["number"]))
        return frozenset(found["todo"]), frozenset(found["doing"])

    def defer(self, run: str, due: Sequence[tuple[int, datetime | None]]) -> None:
        """A job for each of these chunks, at its time, None: now. Those that another node defers meanwhile stay."""
        jobs = [_job(run, number, at) for number, at in due]
        for start in range(0, len(jobs), AT_ONCE):
            with self._opened(), suppress(AlreadyEnqueued):
                self._app.job_manager.batch_defer_jobs(jobs[start:start + AT_ONCE])

    def runs(self) -> frozenset[str]:
        """Those of which there are jobs."""
        with self._opened():
            return frozenset(row["queue_name"] for row in self._connector.execute_query_all(
                "SELECT DISTINCT queue_name FROM procrastinate_jobs"))

    def clear(self, run: str, *, working: bool) -> None:
        """No job of the run waits; `working`: none is at work either, because its worker has ended it or died."""
        with self._opened():
            self._connector.execute_query(_CLEAR, run=run, working=working)

    def close(self) -> None:
        """Ends the connection."""
        self._connector.close()


def serve(where: Postgresql, run: str, threads: int, carry_out: Callable[[int], datetime | None],
          ending: Callable[[], bool]) -> None:
    """Blocks until `ending`: takes jobs of a run, up to `threads` at once.

    `carry_out` gets the number of a chunk in a thread of its own, raises nothing, and returns its next due time; None:
    not by this job. GatewayError STORE_UNAVAILABLE (retry) when the database goes away; jobs at work have ended then.
    """
    with _answered(), wrap_exceptions():
        asyncio.run(_serve(where, run, threads, carry_out, ending))


async def _serve(where: Postgresql, run: str, threads: int, carry_out: Callable[[int], datetime | None],
                 ending: Callable[[], bool]) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads, "statements"))
    app = App(connector=PsycopgConnector(**_pool(where, "jobs at work", 2)))

    def chunk(run: str, number: int) -> None:
        again = carry_out(number)
        if again is not None:
            with suppress(AlreadyEnqueued, ConnectorException):  # then the leader of the run does it
                app.job_manager.defer_job(_job(run, number, again))

    app.task(name=TASK)(chunk)
    async with app.open_async():
        working = asyncio.create_task(app.run_worker_async(
            queues=[run], name=run, concurrency=threads, delete_jobs="always", install_signal_handlers=False,
            fetch_job_polling_interval=POLL_S, update_heartbeat_interval=BEAT_S, stalled_worker_timeout=STALLED_S))
        while not working.done() and not ending():
            await asyncio.wait([working], timeout=LOOK_S)
        working.cancel()  # it waits for its jobs
        with suppress(asyncio.CancelledError):
            await working


def _job(run: str, number: int, at: datetime | None) -> Job:
    return Job(queue=run, lock=None, queueing_lock=f"{run}:{number}", task_name=TASK,
               task_kwargs={"run": run, "number": number}, scheduled_at=at)


def _pool(where: Postgresql, purpose: str, most: int) -> dict[str, Any]:
    """For psycopg's pool. The password is read from its file for each connection."""
    def given() -> dict[str, Any]:
        found = parameters(where, purpose)
        return {**found, "options": f"{found['options']} -c search_path={schema()}"}

    return {"kwargs": given, "min_size": 1, "max_size": most, "timeout": where.connect_timeout_s, "name": purpose}


@contextmanager
def _answered() -> Iterator[None]:
    """What procrastinate says of its database in our words; INTERNAL (retry) if the system starts no thread for it."""
    try:
        yield
    except (ConnectorException, OSError) as error:
        what = type(error.__cause__ or error).__name__
        raise GatewayError(Reason.STORE_UNAVAILABLE, f"jobs: {what}", retry=True) from None
    except RuntimeError as error:
        if not is_not_started(error):
            raise
        raise not_started("of the database's jobs", error) from None
