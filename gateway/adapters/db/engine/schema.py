"""Creating, upgrading and opening the database. The tables are made by Alembic's migrations, which are packaged here.

Only explicit commands create a database or change its tables (`create_database`, `upgrade_database`). `open_database`
takes the one that is there, if it has the present tables and the id that is recorded beside the settings, and refuses
any other by name: see identity.py.
"""

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.db.engine import identity
from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.engine.group_commit import store_error
from gateway.adapters.db.engine.sqlite import SqliteDatabase
from gateway.adapters.db.engine.sqlite_file import Users, one_creator
from gateway.adapters.files.owner import hand_over
from gateway.errors import GatewayError, Reason
from gateway.model.audit.acts import Act
from gateway.settings import Postgresql

if TYPE_CHECKING:  # a process that only opens the database does without it: 0.07 s of CPU less at its start
    from alembic.config import Config

HEAD: Final = "0013"  # the newest migration: a test compares it with the directory

Fill = Callable[[Connection], None]


def open_database(where: Path | Postgresql, id_file: Path) -> Database:
    """Opens the database that `id_file` means. Creates nothing and changes nothing.

    GatewayError, each with `retry`: STORE_MISSING if there is none or it is empty, STORE_VERSION if it has older or
    newer tables, STORE_MISMATCH if it is another one, STORE_UNAVAILABLE if it cannot be reached.
    """
    recorded = identity.recorded_id(id_file)
    database = connected(where)
    try:
        _require_tables(database)
        with database.read() as connection:
            database.expect(_require_id(database, identity.read_id(connection), recorded, id_file))
    except (SQLAlchemyError, GatewayError) as error:
        database.close()
        raise _named(database, error) from None
    except BaseException:
        database.close()
        raise
    return database


def create_database(where: Path | Postgresql, id_file: Path, fill: Fill | None = None) -> Database:
    """Makes the tables in a database that has none, records a new id in `id_file`, and opens it.

    `where`: a SQLite file that does not exist (or is empty; made with mode 0600), or an empty PostgreSQL database.
    `fill` writes rows in the same transaction: other processes see all of it or nothing.
    Of several callers at the same time one creates it, and the others wait for that one: a creator is not a user.
    GatewayError USAGE if there are tables already or processes of Sealgate use it, STORE_UNAVAILABLE (retry).
    """
    if not isinstance(where, Path):
        return _created(where, id_file, fill)
    with one_creator(where):
        _require_unused(str(where), Users(where).others())
        _make_file(where)
        return _created(where, id_file, fill)


def _created(where: Path | Postgresql, id_file: Path, fill: Fill | None) -> Database:
    database = connected(where, may_be_empty=True)
    try:
        new = identity.new_id()
        with database.migrating() as connection:
            # Not before: only now no other creator is at work, and what it did can be seen.
            _require_none(database, _version(connection))
            _require_unused(database.name, database.users(connection))
            _migrate(connection)
            identity.write_id(connection, new)
            if fill is not None:
                fill(connection)
            # Before the commit: if this process ends now, the settings never name a database half made.
            identity.record_id(id_file, new)
        database.expect(new)
    except (SQLAlchemyError, GatewayError) as error:
        database.close()
        raise _named(database, error) from None
    except BaseException:
        database.close()
        raise
    return database


def upgrade_database(where: Path | Postgresql, id_file: Path,
                     fill: Callable[[Connection, str], None] | None = None) -> bool:
    """Brings the tables up to date, in one transaction; whether anything had to be done.

    A database from before version 0008 gets its id here, and `id_file` records it. `fill` writes
    rows in the same transaction; it gets the version that the tables had.
    GatewayError STORE_MISSING, STORE_VERSION (newer than this program), STORE_MISMATCH, STORE_UNAVAILABLE (retry).
    """
    database = connected(where)
    try:
        version = _require_some(current(database))
        with database.migrating() as connection:
            found, recorded = identity.read_id(connection), identity.recorded_id(id_file)
            if found or recorded:
                _require_id(database, found, recorded, id_file)
            _migrate(connection)
            if fill is not None:
                fill(connection, version)
            if found is None:
                found = identity.new_id()
                identity.write_id(connection, found)
                identity.record_id(id_file, found)
    except (SQLAlchemyError, GatewayError) as error:
        raise _named(database, error) from None
    finally:
        database.close()
    return version != HEAD


def adopt_database(where: Path | Postgresql, id_file: Path) -> str:
    """Records the id of the database that is there in `id_file`: from now on the settings mean this one. The id.

    GatewayError STORE_MISSING, STORE_VERSION, STORE_UNAVAILABLE (retry).
    """
    database = connected(where)
    try:
        _require_tables(database)
        with database.read() as connection:
            found = identity.read_id(connection)
        there = _require_id(database, found, found, id_file)
        act = Act("database.adopt", there)
        database.record(act, "begun")
        identity.record_id(id_file, there)
        database.record(act, "done")
    except (SQLAlchemyError, GatewayError) as error:
        raise _named(database, error) from None
    finally:
        database.close()
    return there


def connected(where: Path | Postgresql, *, may_be_empty: bool = False) -> Database:
    """The database with its present tables and id. Modules for PostgreSQL are imported only where they are used.

    `may_be_empty`: it is to be created; until `expect` this process is not a user of it.
    GatewayError STORE_MISSING (retry) for a SQLite file that is not there, or is empty unless `may_be_empty`.
    """
    if isinstance(where, Postgresql):
        try:
            from gateway.adapters.db.engine.postgresql import PostgresDatabase
        except ImportError as error:
            raise GatewayError(Reason.CONFIG_INVALID, f"`postgresql` needs a package that is not installed ({error}): "
                               "pip install 'sealgate[postgres]'") from None
        return PostgresDatabase(where, creates=may_be_empty)
    _require_file(where, may_be_empty=may_be_empty)
    return SqliteDatabase(where)


def _require_file(path: Path, *, may_be_empty: bool) -> None:
    """The file is never opened here: closing it again would end the locks that this process's other connections

    hold on it (POSIX fcntl), and the next process to leave would take their log away.
    """
    try:
        size = path.stat().st_size
        if not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except FileNotFoundError as error:
        raise GatewayError(Reason.STORE_MISSING, f"{path}: {error.strerror}", retry=True) from None
    except OSError as error:
        raise GatewayError(Reason.STORE_UNAVAILABLE, f"{path}: {error.strerror}", retry=True) from None
    if not size and not may_be_empty:
        raise GatewayError(Reason.STORE_MISSING, f"{path}: the file is empty", retry=True)


def _make_file(path: Path) -> None:
    """Makes an empty file, mode 0600, unless it is there. One without tables is as good as none (STORE_MISSING)."""
    log = path.with_name(path.name + "-wal")
    if log.exists() and not path.exists():
        raise GatewayError(Reason.USAGE, f"{log} is left of a database that is gone: move it away first. SQLite would "
                           "write what it contains into the new database")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise GatewayError(Reason.STORE_UNAVAILABLE, f"{path}: {error.strerror}", retry=True) from None
    try:
        hand_over(descriptor, path.parent)
    finally:
        os.close(descriptor)


def _require_tables(database: Database) -> None:
    """GatewayError unless the database has exactly the tables of this program."""
    version = _require_some(current(database))
    if version != HEAD:
        raise GatewayError(Reason.STORE_VERSION, f"its tables have version {version}, this program needs {HEAD}. Make "
                           "a backup with the old program, then run `sealgate database upgrade`", retry=True)


def _require_some(version: str | None) -> str:
    """The version, which is not newer than this program."""
    if version is None:
        raise GatewayError(Reason.STORE_MISSING, "it has no tables", retry=True)
    if version != HEAD and version not in known():
        raise GatewayError(Reason.STORE_VERSION, f"its tables have version {version}, this program knows only up to "
                           f"{HEAD}. Install the newer Sealgate again, or restore a backup", retry=True)
    return version


def _require_none(database: Database, version: str | None) -> None:
    if version is not None:
        raise GatewayError(Reason.USAGE, f"{database.name} has tables already: nothing was changed")


def _require_unused(name: str, users: Sequence[str]) -> None:
    if users:
        raise GatewayError(Reason.USAGE, f"{name} is in use by {', '.join(users)}. Stop Sealgate on all nodes first")


def _require_id(database: Database, found: str | None, recorded: str | None, id_file: Path) -> str:
    """The id of the database, which is the recorded one. GatewayError STORE_MISMATCH (retry)."""
    if found is not None and found == recorded:
        return found
    if recorded is None:
        raise GatewayError(Reason.STORE_MISMATCH, f"{id_file} does not exist, so the settings do not say which "
                            f"database they mean. If {database.name} is the right one, run `sealgate database adopt`",
                            retry=True)
    raise GatewayError(Reason.STORE_MISMATCH, f"its id is not {recorded}, which {id_file} records. If it is the right "
                        "one all the same, run `sealgate database adopt`", retry=True)


def _named(database: Database, error: SQLAlchemyError | GatewayError) -> GatewayError:
    trouble = error if isinstance(error, GatewayError) else store_error(error)
    if trouble.reason is Reason.USAGE or database.name in trouble.detail:
        return trouble
    return GatewayError(trouble.reason, f"{database.name}: {trouble.detail}", retry=trouble.retry)


def library_tables(connection: Connection, name: str, table: str, statements: str) -> None:
    """Makes a library's tables in a PostgreSQL schema of their own, unless `table` is there."""
    if not has_library_tables(connection, name, table):
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {name}")
        before = connection.exec_driver_sql("SHOW search_path").scalar()
        connection.exec_driver_sql(f"SET LOCAL search_path TO {name}")
        connection.execution_options(no_parameters=True).exec_driver_sql(statements)
        connection.exec_driver_sql(f"SET LOCAL search_path TO {before}")


def has_library_tables(connection: Connection, name: str, table: str) -> bool:
    """Whether `library_tables` has made them."""
    there = text("SELECT to_regclass(:table)").bindparams(table=f"{name}.{table}")
    return connection.scalar(there) is not None


def current(database: Database) -> str | None:
    """The version of the tables, None for an empty database."""
    with database.read() as connection:
        return _version(connection)


def known() -> tuple[str, ...]:
    """All versions that this program has migrations for, the newest first."""
    from alembic.script import ScriptDirectory

    return tuple(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def _migrate(connection: Connection) -> None:
    """One transaction, alone: `connection` is one of `Database.migrating`."""
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations"))
    config.set_main_option("path_separator", "os")
    return config
