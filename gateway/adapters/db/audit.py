"""The audit log in the database: reading it, and recording acts that are no change of the database."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, func, insert, or_, select, text

from gateway.adapters.db.engine.audit_record import LOCK
from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.engine.identity import SELECT_ID
from gateway.adapters.db.engine.second_person import approved_inside
from gateway.adapters.db.tables.audit import APPEND_ONLY, audit, audit_head, audit_value
from gateway.adapters.db.tables.mail import micros, moment
from gateway.errors import GatewayError, Reason
from gateway.model.audit.acts import Act
from gateway.model.audit.record import AuditEntry, PersonalValue, unpacked
from gateway.ports.audit import AuditQuery, CarriedOut, StoredRecord

PAGE: Final = 500  # records read at once
_SQLITE_TRIGGERS: Final = text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
_POSTGRESQL_TRIGGERS: Final = text("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'")
PREFIX_MIN: Final = 8  # characters of an id that may replace the whole id

_a, _v, _h = audit.c, audit_value.c, audit_head.c


class DbAudit:
    """See ports.audit.AuditLog."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def carrying_out(self, act: Act) -> Iterator[CarriedOut]:
        """See AuditLog."""
        self._database.record(act, "begun")
        carried = CarriedOut()
        try:
            with approved_inside(act):
                yield carried
        except BaseException as error:
            reason = error.reason if isinstance(error, GatewayError) else Reason.INTERNAL
            self._database.record_failure(act, str(reason))
            raise
        if carried.failure:
            self._database.record(act, "failed", carried.failure)
        elif not carried.recorded:
            self._database.record(act, "done")

    def entries(self, query: AuditQuery, *, before: int | None = None) -> Iterator[AuditEntry]:
        """See AuditLog."""
        statement = _selected(query).order_by(_a.number.desc()).limit(PAGE)
        page = self._page(statement if before is None else statement.where(_a.number < before))
        while page:
            yield from page
            page = self._page(statement.where(_a.number < page[-1].record.number))

    def entry(self, number: int) -> AuditEntry:
        """See AuditLog."""
        found = self._page(_OCTETS.where(_a.number == number))
        if not found:
            raise GatewayError(Reason.USAGE, f"the audit log has no record {number}. `sealgate audit list` shows the "
                               "last ones")
        return found[0]

    def all_after(self, number: int) -> Iterator[AuditEntry]:
        """See AuditLog."""
        statement = _OCTETS.order_by(_a.number).limit(PAGE)
        page = self._page(statement.where(_a.number > number))
        while page:
            yield from page
            page = self._page(statement.where(_a.number > page[-1].record.number))

    def stored(self) -> Iterator[StoredRecord]:
        """See AuditLog."""
        last = 0
        while True:
            with self._database.read() as connection:
                rows = connection.execute(
                    select(audit).where(_a.number > last).order_by(_a.number).limit(PAGE)).mappings().all()
                values = _values(connection, [row["number"] for row in rows])
            for row in rows:
                columns = {name: row[name] for name in row if name not in ("number", "octets")}
                yield StoredRecord(row["number"], bytes(row["octets"]), columns, values.get(row["number"], {}))
            if len(rows) < PAGE:
                return
            last = rows[-1]["number"]

    def last_done(self, act: str) -> datetime | None:
        """See AuditLog."""
        with self._database.read() as connection:
            at = connection.scalar(select(func.max(_a.at)).where(_a.act == act, _a.result == "done"))
        return None if at is None else moment(at)

    def size(self) -> int:
        """See AuditLog."""
        with self._database.read() as connection:
            return connection.scalar(select(func.max(_a.number))) or 0

    def add_head(self, size: int, note: str) -> None:
        """See AuditLog."""
        at = micros(self._database.now())

        def work(connection: Connection) -> None:
            if connection.scalar(select(_h.size).where(_h.size == size)) is None:
                connection.execute(insert(audit_head).values(size=size, at=at, note=note))

        self._database.write(work, alone=LOCK)

    def head_size(self) -> int:
        """See AuditLog."""
        with self._database.read() as connection:
            return connection.scalar(select(func.max(_h.size))) or 0

    def heads(self) -> tuple[tuple[int, str], ...]:
        """See AuditLog."""
        with self._database.read() as connection:
            return tuple((row.size, row.note) for row in connection.execute(select(audit_head).order_by(_h.size)))

    def missing_triggers(self) -> tuple[str, ...]:
        """See AuditLog."""
        with self._database.read() as connection:
            is_sqlite = connection.dialect.name == "sqlite"
            names = set(connection.execute(_SQLITE_TRIGGERS if is_sqlite else _POSTGRESQL_TRIGGERS).scalars())
        changes = ("update", "delete") if is_sqlite else ("change", "truncate")
        expected = ["audit_next", *(f"{table.name}_no_{change}" for table in APPEND_ONLY for change in changes)]
        return tuple(name for name in expected if name not in names)

    def origin(self) -> str:
        """See AuditLog."""
        with self._database.read() as connection:
            return f"sealgate/audit/{connection.scalar(SELECT_ID)}"

    def _page(self, statement: Select[Any]) -> Sequence[AuditEntry]:
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
            values = _values(connection, [row.number for row in rows])
        return [AuditEntry(unpacked(bytes(row.octets)), bytes(row.octets), values.get(row.number, {})) for row in rows]


_OCTETS: Final = select(_a.number, _a.octets)


def octets_of(connection: Connection) -> Iterator[bytes]:
    """The octets of all records, the oldest first. `connection`: of a snapshot."""
    for row in connection.execute(_OCTETS.order_by(_a.number)):
        yield bytes(row.octets)


def _values(connection: Connection, numbers: Sequence[int]) -> dict[int, dict[str, PersonalValue]]:
    found: dict[int, dict[str, PersonalValue]] = {}
    if numbers:
        for row in connection.execute(select(audit_value).where(_v.number.in_(numbers))):
            found.setdefault(row.number, {})[row.field] = PersonalValue(row.value, row.salt)
    return found


def _selected(query: AuditQuery) -> Select[Any]:
    statement = _OCTETS
    if query.act:
        statement = statement.where(or_(_a.act == query.act, _a.act.startswith(f"{query.act}.", autoescape=True)))
    if query.result:
        statement = statement.where(_a.result == query.result)
    if query.client:
        statement = statement.where(_a.actor_kind == "client", _a.actor == query.client)
    if query.actor:
        statement = statement.where(or_(_a.actor == query.actor, _has_value("actor", query.actor)))
    if query.object:
        same = [_a.object_id == query.object, _has_value("object", query.object)]
        if len(query.object) >= PREFIX_MIN:
            same.append(_a.object_id.startswith(query.object, autoescape=True))
        statement = statement.where(or_(*same))
    if query.since is not None:
        statement = statement.where(_a.at >= micros(query.since))
    if query.until is not None:
        statement = statement.where(_a.at < micros(query.until))
    return statement


def _has_value(field: str, value: str) -> Any:
    return _a.number.in_(select(_v.number).where(_v.field == field, _v.value == value))
