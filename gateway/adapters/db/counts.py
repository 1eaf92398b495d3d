"""Counts and ages for the metrics (ports.counts)."""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, case, func, select

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.tables.fallbacks import fallback, held_wait
from gateway.adapters.db.tables.mail import (
    certificate,
    fetch_task,
    held,
    journal,
    journal_claim,
    micros,
    moment,
    revocation_list,
    unknown_authority,
)
from gateway.ports.counts import StoreNumbers, Waiting

KINDS: Final = ("hold", "quarantine")


class DbNumbers:
    """Reads only. GatewayError(STORE_UNAVAILABLE, retry=True) if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, now: datetime) -> StoreNumbers:
        """What is cheap to count."""
        at = micros(now)
        with self._database.read() as connection:
            tasks = _row(connection, func.count(), _count(fetch_task.c.due_at <= at),
                         _count(fetch_task.c.failures > 0), table=fetch_task)
            lists = _row(connection, func.count(), _count(revocation_list.c.next_update < at),
                         func.min(revocation_list.c.this_update), table=revocation_list)
            (claims,) = _row(connection, func.count(), table=journal_claim)
            (resent,) = _row(connection, func.sum(journal.c.resent), table=journal)
            (unknown,) = _row(connection, _count(unknown_authority.c.ignored_at.is_(None)), table=unknown_authority)
            (waiting,) = _row(connection, func.count(), table=held_wait)
            people = connection.execute(select(
                fallback.c.way, func.count(fallback.c.address.distinct()),
                func.count(case((fallback.c.found_at.is_not(None), fallback.c.address)).distinct()),
            ).group_by(fallback.c.way).order_by(fallback.c.way)).all()
            return StoreNumbers(
                waiting=waiting, fallback_people={way: count for way, count, _ in people},
                fallback_converted={way: count for way, _, count in people},
                held={kind: _waiting(connection, kind) for kind in KINDS},
                fetch_tasks=tasks[0], fetch_due=int(tasks[1] or 0), fetch_failing=int(tasks[2] or 0),
                lists=lists[0], lists_stale=int(lists[1] or 0),
                list_oldest=None if lists[2] is None else moment(lists[2]),
                claims=claims, resent=int(resent or 0), authorities_unknown=int(unknown or 0))

    def enrolled_ending(self, now: datetime, within_days: int) -> int:
        """Certificates bound to customers that end within so many days. Reads all of them: not every minute."""
        ends = certificate.c.not_after
        query = select(func.count()).where(
            certificate.c.customer.is_not(None), ends >= micros(now), ends < micros(now + timedelta(days=within_days)))
        with self._database.read() as connection:
            return int(connection.scalar(query) or 0)


def _row(connection: Connection, *columns: Any, table: Any) -> Any:
    return connection.execute(select(*columns).select_from(table)).one()


def _count(condition: Any) -> Any:
    return func.sum(case((condition, 1), else_=0))


def _waiting(connection: Connection, kind: str) -> Waiting:
    columns = (func.count(), func.coalesce(func.sum(held.c.size), 0), func.min(held.c.at))
    mails, octets, oldest = connection.execute(
        select(*columns).where(held.c.state == "waiting", held.c.kind == kind)).one()
    return Waiting(mails, int(octets), None if oldest is None else moment(oldest))
