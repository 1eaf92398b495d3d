"""Evidence records as a list of mails, the latest first, and as they come: for `sealgate mails`."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, Text, case, cast, func, or_, select, tuple_

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.evidence import RECORD, unpacked
from gateway.adapters.db.tables.mail import evidence, micros
from gateway.model.mail_query import MailQuery
from gateway.model.outcome import Settled
from gateway.model.record import EvidenceRecord
from gateway.ports.mail_list import MailPage
from gateway.ports.place import Place

READ_MAX: Final = 20_000  # records for one page of a list
PAGE: Final = 500  # records read at once: a long search keeps no snapshot open
OVERLAP: Final = 200  # numbers of records that are read again

_c = evidence.c


class DbMailList:
    """Reads only. A search reads every record of its time: about ten seconds for a million."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def latest(self, query: MailQuery, count: int) -> tuple[EvidenceRecord, ...]:
        """At most `count` records, the oldest of them first. GatewayError STORE_UNAVAILABLE (retry)."""
        found: list[EvidenceRecord] = []
        page = self.page(query, count)
        while True:
            found += page.records
            if page.next is None or len(found) >= count:
                return tuple(found[::-1])
            page = self.page(query, count - len(found), page.next)

    def page(self, query: MailQuery, count: int, before: Place | None = None) -> MailPage:
        """See MailList. It reads at most READ_MAX records."""
        selection = _selection(query)
        found: list[EvidenceRecord] = []
        for _ in range(READ_MAX // PAGE):
            older = selection if before is None else selection.where(tuple_(_c.at, _c.id) < (before.at, before.number))
            rows = _page(self._database, older)
            for row in rows:
                if query.matches(record := unpacked(row)):
                    found.append(record)
                    if len(found) == count:
                        return MailPage(tuple(found), Place(row.at, row.id))
            if len(rows) < PAGE:
                return MailPage(tuple(found), None)
            before = Place(rows[-1].at, rows[-1].id)
        return MailPage(tuple(found), before)

    def outcomes(self, since: datetime) -> dict[Settled, int]:
        """How many recipients had each outcome since then. Reads every record of that time.

        Records of earlier versions as text: PostgreSQL looks into no JSON that has half a character in it, as
        strangers' subjects may.
        """
        recent = _c.at >= micros(since)
        text = cast(_c.record, Text)
        written = [func.sum(case((or_(*(text.contains(f'"settled":{blank}"{one}"', autoescape=True)
                                        for blank in ("", " "))), 1), else_=0)) for one in Settled]
        with self._database.read() as connection:
            counts = {Settled(name): int(count) for name, count in connection.execute(
                select(_c.settled, func.count()).where(recent, _c.settled.is_not(None)).group_by(_c.settled))}
            row = connection.execute(select(*written).where(recent, _c.settled.is_(None))).one()
        sums = {one: counts.get(one, 0) + int(count or 0) for one, count in zip(Settled, row, strict=True)}
        return {one: count for one, count in sums.items() if count}

    def follow(self, query: MailQuery) -> "Following":
        """What comes from now on."""
        return Following(self._database, query)


def _selection(query: MailQuery) -> Select[Any]:
    """The records of the query's time, the latest first."""
    selection = select(_c.id, *RECORD).order_by(_c.at.desc(), _c.id.desc())
    if query.since is not None:
        selection = selection.where(_c.at >= micros(query.since))
    if query.until is not None:
        selection = selection.where(_c.at < micros(query.until))
    return selection


class Following:
    """Records as they are stored."""

    def __init__(self, database: Database, query: MailQuery) -> None:
        """GatewayError STORE_UNAVAILABLE (retry)."""
        self._database = database
        self._query = query
        with database.read() as connection:
            last = connection.scalar(select(func.max(_c.id))) or 0
            self._seen = set(connection.scalars(select(_c.id).where(_c.id > last - OVERLAP)))
        self._place = last

    def new(self) -> Iterator[EvidenceRecord]:
        """Those stored since the last call; of several connections, a smaller number may be committed later."""
        place = self._place - OVERLAP
        while page := _page(self._database, select(_c.id, *RECORD).where(_c.id > place).order_by(_c.id)):
            for row in page:
                if row.id not in self._seen and self._query.matches(record := unpacked(row)):
                    yield record
            place = page[-1].id
            self._seen.update(row.id for row in page)
            self._place = max(self._place, place)
        self._seen = {number for number in self._seen if number > self._place - OVERLAP}


def _page(database: Database, statement: Select[Any]) -> list[Any]:
    with database.read() as connection:
        return list(connection.execute(statement.limit(PAGE)).all())
