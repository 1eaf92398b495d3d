"""One SQLite database for one machine, opened the way it works under load.

- WAL: readers never wait for the writer. A second engine for readers, or every SELECT would take the write lock.
- BEGIN IMMEDIATE: a transaction that will write takes the lock at once, so it never fails half-way as "locked".
- synchronous=FULL for the writer: in WAL mode only FULL makes a commit durable, and each 250 requires a durable one.
- A file that was replaced, removed or restored while it was open is noticed by its inode, before each use and after
  each commit: connections to the old file would go on to answer and to write into nothing (`place.py`).
A database of several nodes is PostgreSQL's: `postgresql.py`.
"""

import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Dialect, Insert, Select, Update, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from gateway.adapters.db.engine.claim_owner import Owner, here
from gateway.adapters.db.engine.database import SNAPSHOT_ROWS, Database
from gateway.adapters.db.engine.group_commit import Changes, Rows, store_error
from gateway.adapters.db.engine.lookup_cache import AGAIN
from gateway.adapters.db.engine.sqlite_file import Place, Users
from gateway.adapters.db.engine.urgent import Urgent
from gateway.errors import GatewayError, Reason

BUSY_TIMEOUT_MS = 5_000  # how long a writer waits for another process's commit; one takes about a millisecond
# SQLite's own way of waiting sleeps longer and longer, up to 100 ms: a code would wait behind ten mails of a run.
BUSY_LOOK_S = 0.001
READERS_KEPT_MAX = 16  # idle connections for look-ups; more are opened when needed, and closed afterwards
READER_CACHE_KIB = 8_192  # per connection, so that memory stays flat however large the store grows


class _Placed(sqlite3.Connection):
    """A driver's connection that knows which file at the path it has open (`Place.number`)."""

    place: int


def _place_of(connection: Connection) -> int:
    driver = connection.connection.driver_connection
    assert isinstance(driver, _Placed)  # noqa: S101 - made by _connect
    return driver.place


class SqliteDatabase(Database):
    """See Database."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Every transaction here ends in commit or rollback, so nothing is left to reset on return.
        writers = create_engine("sqlite+pysqlite://", creator=self._connect, poolclass=QueuePool, pool_size=1,
                                max_overflow=2, pool_reset_on_return=None, hide_parameters=True)
        super().__init__(path, str(path), writers)
        self._readers = create_engine("sqlite+pysqlite://", creator=self._connect, poolclass=NullPool,
                                      hide_parameters=True)
        self._place = Place(path)
        self._users = Users(path)
        self._urgent = Urgent(path)
        self._idle: deque[Connection] = deque()
        self._compiled: dict[Select[Any], tuple[str, list[str], dict[str, Any], bool]] = {}
        self._writer: _Placed | None = None
        self._inserts: dict[tuple[Insert, frozenset[str]], _Insertion] = {}
        self._updates: dict[Update, _Change] = {}
        event.listen(writers, "connect", _connect_writer)
        event.listen(writers, "checkout", self._fresh_writer)
        event.listen(writers, "begin", self._begin_immediate)
        event.listen(self._readers, "connect", _connect_reader)

    def _connect(self) -> "_Placed":
        """To the file that is there: SQLite itself would make a missing one."""
        self._same_file()
        place = self._place.number  # before: a connection must never count for a newer file than it has open
        made = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=rw", uri=True, check_same_thread=False,
                               factory=_Placed)
        made.place = place
        return made

    def expect(self, identity: str) -> None:
        """See Database. From now on other processes see that this one uses the file."""
        super().expect(identity)
        self._place.hold()
        self._users.join()

    def users(self, connection: Connection) -> Sequence[str]:
        """See Database. `one_creator` keeps two creators from asking at the same time."""
        del connection
        return self._users.others()

    def begun(self) -> object:
        """See Database."""
        self._same_file()
        return self._place.number

    def committed(self, begun: object) -> None:
        """See Database. What was written into a file that is gone is not written."""
        self._same_file()
        if self._place.number != begun:
            raise GatewayError(Reason.STORE_UNAVAILABLE, f"{self.path} was replaced during a transaction", retry=True)

    def _same_file(self) -> None:
        """Raises unless the file at the path is the one that was opened; takes a file that is as good in its place.

        GatewayError STORE_MISSING, STORE_MISMATCH, STORE_VERSION or STORE_UNAVAILABLE (retry).
        """
        if self._identity is None:
            return
        if self._place.is_held():
            if self._refused is not None:  # the very file has come back
                self.accept()
            return
        try:
            self._place.take(self._identity)
        except GatewayError as trouble:
            raise self.refuse(trouble) from None
        self.accept()

    def _fresh_writer(self, connection: "_Placed", _record: object, _proxy: object) -> None:
        """Before each transaction: a connection to a file that is gone is replaced by one to the file that is there."""
        self._same_file()
        if connection.place != self._place.number:
            raise DisconnectionError

    def urgent(self) -> AbstractContextManager[None]:
        """See Database."""
        return self._urgent.work()

    def _begin_immediate(self, connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert driver is not None  # noqa: S101 - it is open
        self._urgent.give_way()
        try:
            _take_write_lock(driver)
        except sqlite3.Error as error:
            raise DBAPIError(None, None, error) from error

    def alone(self, connection: Connection, names: Sequence[str]) -> None:
        """See Database. BEGIN IMMEDIATE holds everything."""

    def short_way(self, inserts: Mapping[Insert, Rows], changes: Sequence[Changes]) -> list[list[int]] | None:
        """See Database. Every mail's evidence goes this way: SQLAlchemy's costs 150 us a transaction, the driver 15."""
        inserted = [self._prepared(statement, some) for statement, some in inserts.items()]
        changed = [[self._change(statement).bound(values) for statement, values in some] for some in changes]
        self._same_file()
        try:
            if self._writer is None or self._writer.place != self._place.number:
                self._hang_up()
                self._writer = self._connect()
                _connect_writer(self._writer, None)
            driver = self._writer
            self._urgent.give_way()
            _take_write_lock(driver)
            try:
                counts = [[driver.execute(text, values).rowcount for text, values in some] for some in changed]
                for text, rows in inserted:
                    driver.executemany(text, rows)
                driver.execute("COMMIT")
            except BaseException:
                if driver.in_transaction:
                    driver.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            self._hang_up()  # a connection in doubt is not used again
            raise DBAPIError(None, None, error) from error
        return counts

    def _change(self, statement: Update) -> "_Change":
        known = self._updates.get(statement)
        if known is None:
            known = self._updates[statement] = _Change.of(statement, self._writers.dialect)
        return known

    def _prepared(self, statement: Insert, rows: Rows) -> tuple[str, list[tuple[Any, ...]]]:
        """A statement's text and its values as the driver takes them. All rows have the keys of the first."""
        keys = frozenset(rows[0])
        known = self._inserts.get((statement, keys))
        if known is None:
            known = self._inserts[statement, keys] = _Insertion.of(statement, keys, self._writers.dialect)
        return known.text, [known.values(row) for row in rows]

    def _hang_up(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """See Database."""
        with self._writers.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """See Database."""
        self._same_file()
        connection: Connection | None = None
        try:
            connection = self._idle_reader() or self._readers.connect()
            yield connection
        except SQLAlchemyError as error:
            if connection is not None:
                connection.close()
            raise store_error(error) from None
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        if len(self._idle) < READERS_KEPT_MAX and _place_of(connection) == self._place.number:
            self._idle.append(connection)
        else:
            connection.close()

    def _idle_reader(self) -> Connection | None:
        """A kept connection to the file that is there now; those to files before are closed."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            if _place_of(connection) == self._place.number:
                return connection
            connection.close()

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """See Database. The log grows until it ends."""
        self._same_file()
        try:
            with self._readers.connect() as connection:
                connection.exec_driver_sql("BEGIN")
                yield connection.execution_options(yield_per=SNAPSHOT_ROWS)
        except SQLAlchemyError as error:
            raise store_error(error) from None

    def look_up(self, statement: Select[Any], **values: object) -> list[tuple[Any, ...]]:
        """See Database. SQLAlchemy's own execution costs 60 us, the look-up itself 10."""
        text, names, fixed, verified = self._compiled.get(statement) or self._compile(statement)
        with self.read() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None  # noqa: S101 - it is open
            try:
                found: list[tuple[Any, ...]] = driver.execute(
                    text, [values[name] if name in values else fixed[name] for name in names]).fetchall()
            except sqlite3.Error as error:
                raise DBAPIError(None, None, error) from error  # `read` makes a GatewayError of it
        if verified and not found:
            self.verify()
        return found

    def _compile(self, statement: Select[Any]) -> tuple[str, list[str], dict[str, Any], bool]:
        made = statement.compile(self._readers)
        verified = bool(statement.get_execution_options().get(AGAIN))
        self._compiled[statement] = found = (made.string, made.positiontup or [], dict(made.params), verified)
        return found

    def attend(self) -> None:
        """See Database. One machine sees it anyway."""

    def is_dead(self, who: Owner) -> bool | None:
        """See Database."""
        return who.is_dead(here())

    def leads(self, role: str) -> bool:
        """See Database. There is one node."""
        del role
        return True

    def close(self) -> None:
        """See Database."""
        while self._idle:
            self._idle.pop().close()
        self._hang_up()
        self._readers.dispose()
        self._users.leave()
        self._urgent.close()
        super().close()


@dataclass(frozen=True, slots=True)
class _Insertion:
    """An INSERT for the driver: `columns` in the order of its marks, each with its conversion to the driver's value."""

    text: str
    columns: tuple[tuple[str, Callable[[Any], Any] | None], ...]

    @classmethod
    def of(cls, statement: Insert, keys: frozenset[str], dialect: Dialect) -> "_Insertion":
        made = statement.compile(dialect=dialect, column_keys=sorted(keys))
        types = {column.name: column.type.dialect_impl(dialect) for column in statement.table.columns}
        return cls(made.string, tuple((name, types[name].bind_processor(dialect)) for name in made.positiontup or ()))

    def values(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] if process is None else process(row[name]) for name, process in self.columns)


@dataclass(frozen=True, slots=True)
class _Change:
    """An UPDATE for the driver: its marks in their order, each with its conversion to the driver's value.

    `fixed`: what the statement itself says. No lists (`in_`): those are spelt out when it is executed.
    """

    text: str
    marks: tuple[tuple[str, Callable[[Any], Any] | None], ...]
    fixed: Mapping[str, Any]

    @classmethod
    def of(cls, statement: Update, dialect: Dialect) -> "_Change":
        made = statement.compile(dialect=dialect)
        binds = made.binds
        processes = {name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in binds.items()}
        return cls(made.string, tuple((name, processes[name]) for name in made.positiontup or ()),
                   {name: bind.value for name, bind in binds.items() if not bind.required})

    def bound(self, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
        return self.text, [
            value if process is None else process(value)
            for value, process in ((values[name] if name in values else self.fixed[name], process)
                                   for name, process in self.marks)]


def _connect_writer(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves, see _begin_immediate
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA recursive_triggers=ON")  # else INSERT OR REPLACE deletes without a DELETE trigger
    connection.execute("PRAGMA busy_timeout=0")  # from now on _take_write_lock waits


def _take_write_lock(driver: sqlite3.Connection) -> None:
    """BEGIN IMMEDIATE as soon as no other process writes. sqlite3.OperationalError after BUSY_TIMEOUT_MS."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            driver.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        else:
            return
        time.sleep(BUSY_LOOK_S)


def _connect_reader(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # no BEGIN: each SELECT is its own look at the newest state
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute(f"PRAGMA cache_size=-{READER_CACHE_KIB}")
    connection.execute("PRAGMA query_only=ON")
