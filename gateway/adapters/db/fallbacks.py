"""Who had no certificate, in the database. The hold store writes the waits, in the transaction of the held mail."""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, case, delete, exists, func, insert, or_, select, update

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.tables.fallbacks import fallback, held_wait, invitation
from gateway.adapters.db.tables.mail import certificate, certificate_address, held, micros, moment
from gateway.model.address import fold
from gateway.model.fallbacks import FALLBACKS
from gateway.ports.services.fallbacks import CertificateWait, FallbackUse, Figures, Person, WaitingMail

# A bank may send most of its mail in clear: such mails are counted together, not each with a commit of its own.
FREQUENT: Final = frozenset(name for name, one in FALLBACKS.items() if one.is_clear)
GATHER_S: Final = 5.0
GATHERED_MAX: Final = 500
CLAIM_LIFETIME: Final = timedelta(minutes=15)  # after which another process may send a claimed invitation

_w, _f, _i, _h = held_wait.c, fallback.c, invitation.c, held.c
_c, _a = certificate.c, certificate_address.c
_EXAMINED: Final = func.coalesce(_w.looked_at, 0)


@dataclass(slots=True)
class _Count:
    """Of one person, rule and fallback. Times in microseconds."""

    first: int
    last: int = 0
    count: int = 0
    want: str = ""

    def add(self, want: str, at: int) -> None:
        """One mail more."""
        self.count, self.last, self.want = self.count + 1, max(self.last, at), want


class DbFallbacks:
    """See ports.services.fallbacks.FallbackBook."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._gathered: dict[tuple[str, str, str], _Count] = {}
        self._written_at = -GATHER_S

    def add(self, uses: Iterable[FallbackUse], at: datetime) -> None:
        """See FallbackBook. A person to whom a fallback is applied again has no certificate any more."""
        rows, now = tuple(uses), micros(at)
        with self._lock:
            for one in rows:
                key = fold(one.address), one.rule, one.way
                self._gathered.setdefault(key, _Count(now)).add(one.want, now)
            soon = all(one.way in FREQUENT for one in rows) and len(self._gathered) < GATHERED_MAX
            if soon and time.monotonic() - self._written_at < GATHER_S:
                return
        self.flush()

    def flush(self) -> None:
        """See FallbackBook."""
        with self._lock:
            gathered, self._gathered = self._gathered, {}
            self._written_at = time.monotonic()

        def work(connection: Connection) -> None:
            for (address, rule, way), one in gathered.items():
                values = {"last_at": one.last, "want": one.want, "looked_at": one.last}
                again = connection.execute(
                    update(fallback).where(_f.address == address, _f.rule == rule, _f.way == way)
                    .values(count=_f.count + one.count, found_at=None, **values))
                if again.rowcount == 0:
                    connection.execute(insert(fallback).values(
                        address=address, rule=rule, way=way, count=one.count, first_at=one.first, **values))

        if gathered:
            self._database.write(work, alone="fallback")

    def forget(self, before: datetime) -> None:
        """See FallbackBook."""
        at = micros(before)

        def work(connection: Connection) -> None:
            connection.execute(delete(fallback).where(_f.last_at < at))
            connection.execute(delete(invitation).where(func.coalesce(_i.sent_at, _i.begun_at) < at))

        self._database.write(work, alone="fallback")

    def waiting(self, limit: int) -> tuple[WaitingMail, ...]:
        """See FallbackBook."""
        asked = (select(held_wait, _h.rule, _h.size, _h.origin).join(held, _h.hold_id == _w.hold_id)
                 .order_by(_EXAMINED, _w.at, _w.hold_id).limit(limit))
        with self._database.read() as connection:
            return tuple(map(_waiting, connection.execute(asked).all()))

    def mark_examined(self, hold_ids: Iterable[str], at: datetime) -> None:
        """See FallbackBook."""
        self._set(held_wait, _w.hold_id.in_(tuple(hold_ids)), looked_at=micros(at))

    def mark_notified(self, hold_id: str, at: datetime) -> None:
        """See FallbackBook."""
        self._set(held_wait, _w.hold_id == hold_id, told_at=micros(at))

    def due(self, *, examine_before: datetime, notify_before: datetime | None, return_before: datetime,
            invite_before: datetime | None, ask_before: datetime) -> bool:
        """See FallbackBook."""
        known = exists().where(_a.address == _w.address, _a.certificate_id == _c.id, _c.added_at > _EXAMINED)
        due = [known, micros(examine_before) > _EXAMINED, _w.at < micros(return_before)]
        if notify_before is not None:
            due.append(and_(_w.at < micros(notify_before), _w.told_at.is_(None)))
        if invite_before is not None:
            lately = func.coalesce(_i.sent_at, _i.begun_at) > micros(invite_before)
            due.append(and_(_w.way == "invite", ~exists().where(_i.address == _w.address, lately)))
        with self._database.read() as connection:
            return (connection.scalar(select(_w.hold_id).where(or_(*due)).limit(1)) is not None
                    or bool(_people(connection, ask_before, 1)))

    def people(self, asked_before: datetime, limit: int) -> tuple[Person, ...]:
        """See FallbackBook."""
        with self._database.read() as connection:
            return tuple(Person(one.address, one.want) for one in _people(connection, asked_before, limit))

    def mark_person(self, address: str, *, found: bool, at: datetime) -> None:
        """See FallbackBook."""
        values = {"looked_at": micros(at)} | ({"found_at": micros(at)} if found else {})
        self._set(fallback, and_(_f.address == fold(address), _f.found_at.is_(None)), **values)

    def begin_invitation(self, address: str, at: datetime, *, not_since: datetime) -> bool:
        """See FallbackBook."""
        now, address = micros(at), fold(address)

        def work(connection: Connection) -> bool:
            last = connection.execute(select(invitation).where(_i.address == address)).first()
            if last is None:
                connection.execute(insert(invitation).values(address=address, begun_at=now))
                return True
            begun = last.sent_at is None and last.begun_at > micros(at - CLAIM_LIFETIME)
            if begun or (last.sent_at is not None and last.sent_at > micros(not_since)):
                return False
            connection.execute(update(invitation).where(_i.address == address).values(begun_at=now, sent_at=None))
            return True

        return self._database.write(work, alone="invitation")

    def mark_invited(self, address: str, at: datetime) -> None:
        """See FallbackBook."""
        self._set(invitation, _i.address == fold(address), sent_at=micros(at))

    def figures(self) -> tuple[Figures, ...]:
        """See FallbackBook."""
        invited = select(_i.address).where(_i.address == _f.address, _i.sent_at.is_not(None)).exists()
        asked = select(
            _f.rule, _f.way, func.count().label("people"), func.sum(_f.count).label("mails"),
            func.count(_f.found_at).label("converted"), func.sum(case((invited, 1), else_=0)).label("invited"),
            func.min(_f.first_at).label("first_at"), func.max(_f.last_at).label("last_at"),
        ).group_by(_f.rule, _f.way).order_by(_f.rule, _f.way)
        with self._database.read() as connection:
            return tuple(
                Figures(one.rule, one.way, one.people, int(one.mails), one.converted, int(one.invited),
                        moment(one.first_at), moment(one.last_at)) for one in connection.execute(asked).all())

    def _set(self, table: Any, which: ColumnElement[bool], **values: object) -> None:
        statement = update(table).where(which).values(values)
        self._database.write(lambda connection: connection.execute(statement) and None)


def _people(connection: Connection, asked_before: datetime, limit: int) -> list[Any]:
    """An address once for each kind of certificate that is wanted of it."""
    known = exists().where(_a.address == _f.address, _a.certificate_id == _c.id, _c.added_at > _f.looked_at)
    asked = (select(_f.address, _f.want).where(_f.found_at.is_(None),
                                               or_(_f.looked_at < micros(asked_before), known))
             .group_by(_f.address, _f.want).order_by(func.min(_f.looked_at), _f.address).limit(limit))
    return list(connection.execute(asked).all())


def _waiting(found: Any) -> WaitingMail:
    return WaitingMail(
        found.hold_id, CertificateWait(found.address, found.way, found.want), moment(found.at), found.rule, found.size,
        found.origin.get("incident", ""), None if found.told_at is None else moment(found.told_at))
