"""The identity of a database: which database the settings mean, so that no process works with another one.

A database that is missing, empty, restored beside the old one or mounted wrongly looks like a register without
customers: "no certificate" would be true in it, and a rule may send in clear on that. So each database has a random
id, which its creation writes into the database and into a file beside the settings. Every process compares both
before it works, and again whenever it may have met another database (`engine.Database.verify`).
"""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, delete, insert, inspect, select

from gateway.adapters.db.tables.mail import database_identity
from gateway.errors import GatewayError, Reason

_HEXADECIMAL: Final = frozenset("0123456789abcdef")
_ID_LENGTH: Final = 32  # 128 random bits as hexadecimal digits
_FILE_OCTETS_MAX: Final = 256

SELECT_ID: Final = select(database_identity.c.id)


def new_id() -> str:
    """A random id: 32 hexadecimal digits."""
    return secrets.token_hex(_ID_LENGTH // 2)


def read_id(connection: Connection) -> str | None:
    """The id that the database carries; None if its tables are too old to have one."""
    if not inspect(connection).has_table(database_identity.name):
        return None
    return connection.scalar(SELECT_ID)


def write_id(connection: Connection, identity: str) -> None:
    """Makes `identity` the only id of the database, in the transaction of `connection`."""
    connection.execute(delete(database_identity))
    connection.execute(insert(database_identity).values(id=identity))


def recorded_id(path: Path) -> str | None:
    """The id in the file beside the settings; None if there is no such file.

    GatewayError STORE_UNAVAILABLE (retry) if the file cannot be read or holds no id.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_FILE_OCTETS_MAX).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise GatewayError(Reason.STORE_UNAVAILABLE, f"{path}: {error.strerror}", retry=True) from None
    if len(text) != _ID_LENGTH or not _HEXADECIMAL.issuperset(text):
        raise GatewayError(Reason.STORE_UNAVAILABLE, f"{path} does not contain a database id: restore the file, or "
                           "run `sealgate database adopt`", retry=True)
    return text


def record_id(path: Path, identity: str) -> None:
    """Writes the file beside the settings, durably and at once for all readers. It is no secret: mode 0644.

    GatewayError STORE_UNAVAILABLE (retry) with the system's words.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            os.fchmod(descriptor, 0o644)  # independent of the umask: the service reads it as another user
            os.write(descriptor, f"{identity}\n".encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise GatewayError(Reason.STORE_UNAVAILABLE, f"{path}: {error.strerror}", retry=True) from None
