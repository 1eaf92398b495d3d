"""Unknown authorities met in mail, in the database: bounded in number and size, for strangers choose what is in it."""

from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, update

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.tables.mail import micros, moment, unknown_authority
from gateway.errors import GatewayError, Reason
from gateway.model.audit.acts import Act
from gateway.ports.authorities import UnknownAuthority

ROWS_MAX: Final = 1_000  # that no operator has decided on; an honest year brings a dozen
REGULAR: Final = 3  # meetings after which one is not driven out by newer ones
DER_OCTETS_MAX: Final = 8_192  # a root has 1,000 to 2,000; of larger ones only the name is kept
TEXT_CHARACTERS_MAX: Final = 512
TOLD_MAX: Final = 100  # in one report

Found = Any  # a row of the table: SQLAlchemy types rows by position, we read them by name
_m = unknown_authority.c


class DbAuthorities:
    """See ports.authorities.UnknownAuthorities."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, subject: str, issuer: str, der: bytes | None, example: str, at: datetime) -> None:
        """See UnknownAuthorities. When it is full, the one that was met least, and longest ago, makes room."""
        key = sha256(der if der is not None else b"name:" + subject.encode("utf-8", "replace")).hexdigest()
        kept = der if der is not None and len(der) <= DER_OCTETS_MAX else None
        row = {"key": key, "subject": _short(subject), "issuer": _short(issuer), "der": kept,
               "example": _short(example), "first_at": micros(at), "last_at": micros(at), "count": 1}

        def work(connection: Connection) -> None:
            again = connection.execute(update(unknown_authority).where(_m.key == key).values(
                count=_m.count + 1, last_at=micros(at), example=row["example"]))
            if again.rowcount == 0 and _has_space(connection):
                connection.execute(insert(unknown_authority), row)

        self._database.write(work, alone="authorities")

    def untold(self) -> tuple[UnknownAuthority, ...]:
        """See UnknownAuthorities."""
        return self._read(select(unknown_authority).where(_m.told_at.is_(None), _m.ignored_at.is_(None))
                          .order_by(_m.count.desc(), _m.last_at.desc(), _m.key).limit(TOLD_MAX))

    def mark_reported(self, keys: Iterable[str], at: datetime) -> None:
        """See UnknownAuthorities."""
        chosen = tuple(keys)
        statement = update(unknown_authority).where(_m.key.in_(chosen)).values(told_at=micros(at))
        self._database.write(lambda connection: connection.execute(statement) and None)

    def list(self, *, ignored: bool = False) -> tuple[UnknownAuthority, ...]:
        """See UnknownAuthorities."""
        decided = _m.ignored_at.is_not(None) if ignored else _m.ignored_at.is_(None)
        return self._read(select(unknown_authority).where(decided).order_by(_m.last_at.desc(), _m.key))

    def get(self, key: str) -> UnknownAuthority:
        """One, ignored or not. GatewayError(USAGE) if none or several begin so."""
        with self._database.read() as connection:
            return _authority(_one(connection, key))

    def ignore(self, key: str, at: datetime) -> UnknownAuthority:
        """See UnknownAuthorities."""
        def work(connection: Connection) -> UnknownAuthority:
            found = _one(connection, key)
            connection.execute(update(unknown_authority).where(_m.key == found.key).values(ignored_at=micros(at)))
            return _authority(found)

        return self._database.write(work, act=Act("authority.ignore", key), done=lambda found: Act(
            "authority.ignore", found.key, {"subject": found.subject}))

    def _read(self, statement: Any) -> tuple[UnknownAuthority, ...]:
        with self._database.read() as connection:
            return tuple(map(_authority, connection.execute(statement).all()))


def _has_space(connection: Connection) -> bool:
    """Makes some where it can: frequent ones stay during a flood of new ones."""
    waiting = connection.scalar(select(func.count()).select_from(unknown_authority).where(_m.ignored_at.is_(None)))
    if (waiting or 0) < ROWS_MAX:
        return True
    least = connection.scalar(
        select(_m.key).where(_m.ignored_at.is_(None), _m.count < REGULAR).order_by(_m.count, _m.last_at).limit(1))
    if least is None:
        return False
    connection.execute(delete(unknown_authority).where(_m.key == least))
    return True


def _one(connection: Connection, key: str) -> Found:
    beginning = key.lower()
    if not beginning or not set(beginning) <= set("0123456789abcdef"):
        raise GatewayError(Reason.USAGE,
                           f"`{key}` is not the beginning of a SHA-256 fingerprint. Copy it from `sealgate "
                           "cert unknown`")
    found = connection.execute(
        select(unknown_authority).where(_m.key.startswith(beginning, autoescape=True)).limit(2)).all()
    if len(found) != 1:
        raise GatewayError(Reason.USAGE, f"{'several' if found else 'no'} unknown authorities begin with {key}")
    return found[0]


def _authority(row: Found) -> UnknownAuthority:
    return UnknownAuthority(
        row.key, row.subject, row.issuer, row.der, row.example, moment(row.first_at), moment(row.last_at), row.count,
        None if row.told_at is None else moment(row.told_at))


def _short(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[:TEXT_CHARACTERS_MAX]
