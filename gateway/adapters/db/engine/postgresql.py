"""One PostgreSQL database for several nodes, opened the way that nothing is lost and no caller waits for a dead server.

- READ COMMITTED, and `alone` around what reads before it writes: nodes wait for each other only where they must.
- Look-ups that were answered a short while ago are answered alike while the server is away (`lookup_cache` says why).
- Each new connection, each empty answer about certificates and each sign of life compares the database's id: a database
  that was emptied, restored or exchanged under a running process is refused (`identity` says why).
`connections` opens and watches connections; `server_time` is the time that nodes share.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg.types.string import TextBinaryLoader
from sqlalchemy import Connection, Select, bindparam, create_engine, event, func
from sqlalchemy import select as sql_select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, TimeoutError  # noqa: A004 - the pool's
from sqlalchemy.pool import QueuePool

from gateway.adapters.db.engine.claim_owner import Owner, here
from gateway.adapters.db.engine.connections import Connector, is_broken, still_there
from gateway.adapters.db.engine.database import SNAPSHOT_ROWS, Database, Level
from gateway.adapters.db.engine.group_commit import store_error
from gateway.adapters.db.engine.heartbeat import Heartbeat
from gateway.adapters.db.engine.identity import SELECT_ID
from gateway.adapters.db.engine.lookup_cache import AGAIN, Kept
from gateway.adapters.db.engine.server_time import SKEW_S, ServerTime
from gateway.errors import GatewayError, Reason
from gateway.settings import Postgresql

WAIT_S: Final = 5.0  # for a free connection of the pool
CREATION: Final = "creation"  # the purpose of a connection that creates the database, which `_USERS` leaves out
LOCKS: Final = 0x5EA1  # the first half of our advisory locks' numbers: others may use the database, too

OLDEST: Final = 130_000  # server_version_num
_ASKED: Final = """
SELECT current_setting('server_version') AS version, current_setting('server_version_num') AS number,
  (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl) AS tls,
  coalesce(NOT inet_client_addr() <<= '127.0.0.0/8' AND inet_client_addr() <> '::1', false) AS away,
  current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
  current_setting('max_connections') AS most, (SELECT count(*) FROM pg_stat_activity) AS used"""

_USERS: Final = """
SELECT DISTINCT application_name || coalesce(' at ' || host(client_addr), '') || ', process ' || pid
FROM pg_stat_activity WHERE datname = current_database() AND left(application_name, 9) = 'sealgate '
AND application_name <> 'sealgate creation' AND pid <> pg_backend_pid() ORDER BY 1"""

_ALONE: Final = sql_select(func.pg_advisory_xact_lock(LOCKS, func.hashtext(bindparam("name"))))


class PostgresDatabase(Database):
    """See Database. Opening connects to nothing yet. `creates`: until `expect` this process is not one of the users."""

    def __init__(self, settings: Postgresql, *, creates: bool = False) -> None:
        self._settings = settings
        self._creates = creates
        self._connector = Connector(settings, self._require_identity)
        self._kept = Kept()
        self._time = ServerTime(self.read, display_name(settings))
        self._pulse = Heartbeat(lambda: self.connect("signs of life", autocommit=True), self._kept)
        readers = settings.connections_max - 3  # the others: two that write, one for signs of life
        common: dict[str, Any] = {"poolclass": QueuePool, "pool_timeout": WAIT_S, "hide_parameters": True}
        super().__init__(settings, display_name(settings), create_engine(
            "postgresql+psycopg://", creator=lambda: self.connect("writes"), pool_size=1, max_overflow=1, **common))
        self._readers = create_engine(
            "postgresql+psycopg://", creator=lambda: self.connect("reads", read_only=True),
            isolation_level="AUTOCOMMIT", pool_size=readers, max_overflow=0, pool_reset_on_return=None, **common)
        self._compiled: dict[Select[Any], tuple[str, dict[str, Any], bool]] = {}
        for engine in (self._writers, self._readers):
            event.listen(engine, "checkout", still_there)

    def connect(self, purpose: str, *, read_only: bool = False,
                autocommit: bool = False) -> "psycopg.Connection[Any]":
        """A new connection. psycopg.OperationalError."""
        return self._connector.connect(CREATION if self._creates else purpose, read_only=read_only,
                                       autocommit=autocommit)

    def _require_identity(self, made: "psycopg.Connection[Any]") -> None:
        """GatewayError STORE_MISMATCH (retry), and no connection, if this is not the expected database."""
        if self._identity is None:
            return
        try:
            found: list[Any] = [row[0] for row in made.execute(str(SELECT_ID)).fetchall()]
            made.rollback()
        except psycopg.errors.UndefinedTable:
            found = []
        except psycopg.Error:
            made.close()
            raise
        if found != [self._identity]:
            made.close()
            raise self.refuse(GatewayError(
                Reason.STORE_MISMATCH, f"{self.name}: its id is not the one that it was opened with", retry=True))
        self.accept()

    def users(self, connection: Connection) -> Sequence[str]:
        """See Database. Those of other database users are seen only by a superuser."""
        return list(connection.exec_driver_sql(_USERS).scalars())

    def expect(self, identity: str) -> None:
        """See Database."""
        super().expect(identity)
        if self._creates:  # the next connections say that this process is a user
            self._creates = False
            self._writers.dispose()
            self._readers.dispose()
        self._pulse.works.insert(0, self.verify)

    def _usable(self) -> None:
        """Raises while the database is refused: the signs of life look whether it is the right one again."""
        if self._refused is not None:
            raise self._refused.again()

    def alone(self, connection: Connection, names: Sequence[str]) -> None:
        """See Database."""
        self._usable()
        for name in names:
            connection.execute(_ALONE, {"name": name})

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """See Database. It may take its time."""
        with self._writers.begin() as connection, self._unhurried(connection):
            self.alone(connection, ["migrations"])
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """See Database."""
        self._usable()
        try:
            with self._readers.connect() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise store_error(error) from None

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """See Database."""
        try:
            with self._writers.connect() as connection:
                connection.execution_options(isolation_level="REPEATABLE READ")
                with self._unhurried(connection):
                    yield connection.execution_options(yield_per=SNAPSHOT_ROWS)
                    connection.rollback()
        except SQLAlchemyError as error:
            raise store_error(error) from None

    @contextmanager
    def _unhurried(self, connection: Connection) -> Iterator[None]:
        """Statements of this transaction may take their time."""
        driver: Any = connection.connection.driver_connection
        bound_s, driver.bound_s = driver.bound_s, None
        try:
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            yield
        finally:
            driver.bound_s = bound_s

    def look_up(self, statement: Select[Any], **values: object) -> list[tuple[Any, ...]]:
        """See Database. What was answered a short while ago may be answered alike while there is no server."""
        if statement is not SELECT_ID:
            self._usable()
        text, fixed, again = self._compiled.get(statement) or self._compile(statement)
        given = fixed | values
        if not again:
            try:
                return self._asked(text, given)
            except SQLAlchemyError as error:
                raise store_error(error) from None
        key = (statement, *given.values())
        try:
            rows = self._asked(text, given)
        except SQLAlchemyError as error:
            kept = self._kept.get(key) if _no_answer(error) else None
            if kept is None:
                raise store_error(error) from None
            return kept
        if rows:
            self._kept.put(key, rows)
        else:  # never kept: the certificate may be enrolled by the time the server is away, and mail would go in clear
            self.verify()
            self._kept.drop(key)
        self._pulse.start()
        return rows

    def _asked(self, text: str, given: dict[str, Any]) -> list[tuple[Any, ...]]:
        """A connection that broke is found out by asking: then once more with another one. SQLAlchemyError."""
        try:
            return self._asked_once(text, given)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        return self._asked_once(text, given)

    def _asked_once(self, text: str, given: dict[str, Any]) -> list[tuple[Any, ...]]:
        with self._readers.connect() as connection:
            try:
                return self._cursor(connection).execute(text, given, prepare=True).fetchall()
            except psycopg.Error as error:
                broken = is_broken(error)
                if broken:
                    connection.invalidate(error)
                raise DBAPIError(None, None, error, connection_invalidated=broken) from None

    @staticmethod
    def _cursor(connection: Connection) -> "psycopg.Cursor[Any]":
        """One per connection. JSON stays text, and octets come as octets."""
        found: psycopg.Cursor[Any] | None = connection.info.get("look_up")
        if found is None:
            driver: Any = connection.connection.driver_connection
            found = driver.cursor(binary=True)
            found.adapters.register_loader("json", TextBinaryLoader)
            connection.info["look_up"] = found
        return found

    def _compile(self, statement: Select[Any]) -> tuple[str, dict[str, Any], bool]:
        made = statement.compile(self._readers)
        again = bool(statement.get_execution_options().get(AGAIN))
        self._compiled[statement] = found = (made.string, dict(made.params), again)
        return found

    def when_there(self, work: Callable[[], None]) -> None:
        """See Database."""
        self._pulse.works.append(work)
        self._pulse.start()

    def attend(self) -> None:
        """See Database."""
        try:
            self._pulse.attend()
        except psycopg.Error as error:
            raise store_error(DBAPIError(None, None, error)) from None

    def is_dead(self, who: Owner) -> bool | None:
        """See Database. Names of machines and namespaces may repeat among nodes; one boot is one machine."""
        me = here()
        if who.boot and who.boot == me.boot and who.namespace == me.namespace:
            return who.is_dead(me)
        return self._pulse.is_dead(str(who))

    def leads(self, role: str) -> bool:
        """See Database."""
        return self._pulse.leads(role)

    def now(self) -> datetime:
        """See Database."""
        return self._time.now()

    def noted(self) -> Iterator[tuple[Level, str]]:
        """See Database. Version, TLS, and whether the server keeps the writes that it confirms."""
        with self.read() as connection:
            found = connection.exec_driver_sql(_ASKED).mappings().one()
        words = [f"{self.name}: version {found['version']}", found["tls"] or "no TLS"]
        yield "ok", ", ".join(words)
        if abs(skew := self._time.skew_s()) > SKEW_S:
            yield "error", (f"{self.name}: this machine's clock differs from the server's by {skew:.1f} s; synchronise "
                            "both by NTP, for mails and certificates are judged by this machine's clock")
        if int(found["number"]) < OLDEST:
            yield "warning", f"{self.name}: version {found['version']} is too old to be known to work; take 13 or newer"
        if not found["tls"] and found["away"]:
            yield "warning", f"{self.name}: evidence and addresses cross the network in clear; set postgresql.tls"
        elif found["away"] and self._settings.tls in {"prefer", "require"}:
            yield "warning", (f"{self.name}: postgresql.tls is {self._settings.tls}, which takes any server for the "
                              "right one; say verify-full")
        for name in ("fsync", "full_page_writes"):
            if found[name] != "on":
                yield "error", (f"{self.name}: {name} is {found[name]}: a crash of its machine loses mail that was "
                                "answered 250; turn it on in postgresql.conf")
        free = int(found["most"]) - int(found["used"])
        if free < self._settings.connections_max:
            yield "warning", (f"{self.name}: {free} connections are left of {found['most']}, one process takes up to "
                              f"{self._settings.connections_max}; raise max_connections")

    def close(self) -> None:
        """See Database."""
        self._pulse.close()
        self._readers.dispose()
        super().close()


def _no_answer(error: SQLAlchemyError) -> bool:
    """Whether there was no answer, as opposed to an unusable one."""
    cause = getattr(error, "orig", None)
    return isinstance(cause, psycopg.OperationalError) or isinstance(error, TimeoutError)


def display_name(settings: Postgresql) -> str:
    """The database's name in messages."""
    return f"PostgreSQL {settings.name} on {settings.host}:{settings.port}"
