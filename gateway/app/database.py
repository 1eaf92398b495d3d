"""The database of the settings: created, upgraded and adopted by explicit commands only."""

from dataclasses import dataclass

from gateway.adapters.db.engine import identity, schema
from gateway.adapters.db.engine.audit_record import write_record
from gateway.adapters.db.engine.database import Connection
from gateway.adapters.db.engine.schema import Fill
from gateway.clock import SystemClock
from gateway.errors import GatewayError, Reason
from gateway.model.audit.actor import current_actor
from gateway.model.audit.acts import Act
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """`name` as people know it; `version` and `identity` of what is there, `recorded` beside the settings.

    None: there is none. `trouble`: why a process would not work with it; None: it would.
    """

    name: str
    version: str | None
    identity: str | None
    recorded: str | None
    trouble: GatewayError | None


def create(settings: Settings, fill: Fill | None = None, *, replace: bool = False, act: Act | None = None) -> str:
    """Creates the database of the settings and records its id beside them; its name, for people.

    `fill` writes rows in the same transaction. `act`: what the audit log records of it; None: `database.create`.
    `replace`: another database is recorded, and is meant no longer.
    GatewayError USAGE if there is one already, or one is recorded and not to be replaced; STORE_UNAVAILABLE (retry).
    """
    recorded = identity.recorded_id(settings.database_id)
    if recorded is not None and not replace:
        raise GatewayError(
            Reason.USAGE, f"{settings.database_id} records the database {recorded}. If it is lost for good, run the "
            "command again with --replace; if its disk is not mounted, mount it")

    def write(connection: Connection) -> None:
        _make_libraries(settings, connection)
        if fill is not None:
            fill(connection)
        _record(connection, act or Act("database.create", _name(settings), {"version": schema.HEAD}))

    made = schema.create_database(settings.postgresql or settings.database, settings.database_id, write)
    try:
        return made.name
    finally:
        made.close()


def upgrade(settings: Settings) -> bool:
    """Brings its tables up to date; whether anything had to be done. GatewayError STORE_*."""
    def write(connection: Connection, version: str) -> None:
        _make_libraries(settings, connection)
        if version != schema.HEAD:
            _record(connection, Act("database.upgrade", _name(settings), {"from": version, "version": schema.HEAD}))

    return schema.upgrade_database(settings.postgresql or settings.database, settings.database_id, write)


def adopt(settings: Settings) -> str:
    """Makes the database that is there the one that the settings mean; its id. GatewayError STORE_*."""
    return schema.adopt_database(settings.postgresql or settings.database, settings.database_id)


def status(settings: Settings) -> DatabaseStatus:
    """What is there, and whether a process would work with it. GatewayError CONFIG_INVALID."""
    where, trouble = settings.postgresql or settings.database, None
    name, version, found, recorded = str(settings.database), None, None, None
    try:
        schema.open_database(where, settings.database_id).close()
    except GatewayError as error:
        trouble = error
    try:
        recorded = identity.recorded_id(settings.database_id)
        database = schema.connected(where)
        try:
            name = database.name
            version = schema.current(database)
            with database.read() as connection:
                found = identity.read_id(connection)
        finally:
            database.close()
    except GatewayError as error:
        trouble = trouble or error
    return DatabaseStatus(name, version, found, recorded, trouble)


def _make_libraries(settings: Settings, connection: Connection) -> None:
    """On PostgreSQL the tables of the job queue."""
    if settings.postgresql is not None:
        from gateway.adapters.run_jobs import make_tables  # of the extra `postgres`

        make_tables(connection)


def _record(connection: Connection, act: Act) -> None:
    """In the transaction that makes or changes the tables: no other process works with them."""
    write_record(connection, act, current_actor(), "done", SystemClock().now())


def _name(settings: Settings) -> str:
    return str(settings.database) if settings.postgresql is None else settings.postgresql.name
