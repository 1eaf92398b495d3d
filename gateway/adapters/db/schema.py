"""Opening the database with its tables up to date: Alembic's migrations, packaged here, are applied then."""

import errno
import os
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.adapters.db.engine import Database
from gateway.adapters.db.group import store_error
from gateway.adapters.db.sqlite import SqliteDatabase
from gateway.adapters.owner import hand_over
from gateway.errors import GatewayError, Reason
from gateway.settings.deployment import Postgresql

HEAD = "0007"  # the newest migration: a test holds it against the directory


def open_database(where: Path | Postgresql) -> Database:
    """The database, its tables brought up to date. A file is made if it is not there, mode 0600.

    GatewayError(STORE_UNAVAILABLE, retry=True) if that cannot be, or if a newer Sealgate has been at work in it.
    """
    database = connected(where)
    try:
        bring_up_to_date(database)
    except (SQLAlchemyError, GatewayError) as error:
        database.close()
        trouble = error if isinstance(error, GatewayError) else store_error(error)
        raise GatewayError(trouble.reason, f"{database.name}: {trouble.detail}", retry=trouble.retry) from None
    except BaseException:
        database.close()
        raise
    return database


def connected(where: Path | Postgresql) -> Database:
    """The same with whatever tables it has. What PostgreSQL needs is imported where there is one."""
    if isinstance(where, Postgresql):
        try:
            from gateway.adapters.db.postgresql import PostgresDatabase
        except ImportError as error:
            raise GatewayError(Reason.CONFIG_INVALID, f"`postgresql` needs what is not installed ({error}): "
                               "pip install 'sealgate[postgres]'") from None
        return PostgresDatabase(where)
    try:
        _make(where)
    except OSError as error:
        raise GatewayError(Reason.STORE_UNAVAILABLE, f"{where}: {error.strerror}", retry=True) from None
    return SqliteDatabase(where)


def _make(path: Path) -> None:
    """Empty, unless it is there; whether it can be written is told now, with the system's words.

    One that is there is never opened here: closing it again would end the locks that this process's other connections
    hold on it (POSIX fcntl), and the next process to leave would take their log away.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        if not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from None
        return
    try:
        hand_over(descriptor, path.parent)
    finally:
        os.close(descriptor)


def bring_up_to_date(database: Database) -> bool:
    """Whether anything had to be done. One transaction, alone: processes that start together take turns.

    GatewayError(STORE_UNAVAILABLE) if the database is of a newer version than this program.
    """
    if current(database) == HEAD:
        return False
    with database.migrating() as connection:
        config = _config()
        config.attributes["connection"] = connection
        version = _version(connection)
        if version is not None and version not in known():
            raise GatewayError(Reason.STORE_UNAVAILABLE, f"{database.name} is of version {version}, this program knows "
                               f"only up to {HEAD}: install the newer Sealgate again, or restore the backup")
        command.upgrade(config, "head")
    return True


def beside(database: Database, name: str, table: str, statements: str) -> None:
    """Tables of a library, in a schema of their own on PostgreSQL; nothing happens where `table` is there.

    Processes that start together take turns. GatewayError STORE_UNAVAILABLE (retry).
    """
    there = text("SELECT to_regclass(:table)").bindparams(table=f"{name}.{table}")
    with database.read() as connection:
        if connection.scalar(there) is not None:
            return
    try:
        with database.migrating() as connection:
            if connection.scalar(there) is None:
                connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {name}")
                connection.exec_driver_sql(f"SET LOCAL search_path TO {name}")
                connection.execution_options(no_parameters=True).exec_driver_sql(statements)
    except SQLAlchemyError as error:
        raise store_error(error) from None


def current(database: Database) -> str | None:
    """The version of the tables, None for an empty database."""
    with database.read() as connection:
        return _version(connection)


def known() -> tuple[str, ...]:
    """All versions that this program has migrations for, the newest first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config
