"""What became of a run's mails, told by the run, by the mail server behind us, and by what comes back.

See ports.services.statements for what stands where; `statements` has the rest.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Text, bindparam, case, delete, func, null, or_, select, update

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.engine.text import indexed, storable
from gateway.adapters.db.tables.mail import micros, moment
from gateway.adapters.db.tables.statements import statement_chunk, statement_item, statement_run
from gateway.ports.services.statements import Counts, Delivery, ItemRow, ItemState

PAGE: Final = 1_000
QUEUED: Final = timedelta(days=15)  # how long a mail server may keep trying; later its queue id is another mail's
FORGET_ITEMS: Final = 10_000  # at once, so that nobody waits long for it
ITEM_COLUMNS: Final = [column for column in statement_item.columns if column.name not in {"series", "version"}]

_r, _c, _i = statement_run.c, statement_chunk.c, statement_item.c

_HANDED_ON: Final = (
    update(statement_item)
    .where(statement_item.c.queue_id == bindparam("queued"), statement_item.c.state == ItemState.SENT.value,
           statement_item.c.at >= bindparam("since"))
    .values(queue_id=bindparam("next")))


class DbStatementsTold:
    """The half of DbStatements that runs are not worked on with."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def counts(self, run: str) -> Counts:
        """See StatementStore."""
        query = select(_i.state, _i.delivery, func.count(), func.sum(_i.resent)).where(_i.run == run).group_by(
            _i.state, _i.delivery)
        states: dict[ItemState, int] = {}
        resent = bounced = delivered = 0
        with self._database.read() as connection:
            for state, delivery, number, again in connection.execute(query):
                states[ItemState(state)] = states.get(ItemState(state), 0) + number
                resent += int(again or 0)
                bounced += number if delivery == "bounced" else 0
                delivered += number if delivery == "delivered" else 0
        return Counts(states, resent, bounced, delivered)

    def items(self, run: str) -> Iterator[ItemRow]:
        """See StatementStore."""
        row, holder = -1, -1
        while True:
            behind = or_(_i.row > row, (_i.row == row) & (_i.holder > holder))
            query = (select(*ITEM_COLUMNS).where(_i.run == run, _i.row >= row, behind).order_by(_i.row, _i.holder)
                     .limit(PAGE))
            with self._database.read() as connection:
                page = [item_of(one) for one in connection.execute(query)]
            yield from page
            if len(page) < PAGE:
                return
            row, holder = page[-1].row, page[-1].holder

    def deliveries(self, told: Sequence[Delivery]) -> int:
        """See StatementStore. A bounce is the last word."""
        statement = (
            update(statement_item)
            .where(_i.queue_id == bindparam("queued"), _i.state == ItemState.SENT.value, _i.delivery != "bounced",
                   _i.at >= bindparam("since"))
            .values(delivery=bindparam("what"), answer=bindparam("words"), delivery_at=bindparam("told_at"),
                    version=case((bindparam("what", type_=Text) == "bounced", null()), else_=_i.version)))
        values = [{"queued": indexed(one.queue_id), "what": one.state, "words": storable(one.answer),
                   "told_at": micros(one.at), "since": micros(one.at - QUEUED)} for one in told]

        def work(connection: Connection) -> int:
            known = 0
            for one, delivery in zip(values, told, strict=True):
                if delivery.handed_on_as:
                    known += connection.execute(_HANDED_ON, {
                        "queued": one["queued"], "next": indexed(delivery.handed_on_as),
                        "since": one["since"]}).rowcount
                else:
                    known += connection.execute(statement, one).rowcount
            return known

        return self._database.write(work) if values else 0

    def bounced(self, identifier: str, status: str, diagnostic: str, permanent: bool, at: datetime) -> bool:  # noqa: FBT001
        """See BounceBook. The ids of run and item, `RUN-ITEM`, which a return path carries.

        A bounce may be here before the next hop's answer is written: a mail that is being sent can come back.
        """
        run, _, item = identifier.rpartition("-")
        if not item.isdecimal() or len(item) > 18:
            return False
        known = (_i.id == int(item), _i.run == run, _i.state.in_((ItemState.SENDING.value, ItemState.SENT.value)),
                 _i.delivery != "bounced")
        words = storable(f"{status} {diagnostic}".strip())
        values: dict[str, Any] = {"answer": words, "delivery_at": micros(at)}
        if permanent:
            statement = update(statement_item).where(*known).values(delivery="bounced", version=None, **values)
        else:
            statement = update(statement_item).where(*known, or_(_i.delivery != "deferred", _i.answer != words)).values(
                delivery="deferred", **values)
        return self._database.write(lambda connection: connection.execute(statement).rowcount == 1)

    def forget(self, before: datetime) -> int:
        """See StatementStore."""
        old = select(_r.id).where(_r.ended_at < micros(before)).order_by(_r.ended_at).limit(1)
        forgotten = 0
        while True:
            with self._database.read() as connection:
                run = connection.scalar(old)
            if run is None:
                return forgotten
            some = select(_i.id).where(_i.run == run).limit(FORGET_ITEMS)
            items = delete(statement_item).where(_i.id.in_(some))

            def work(connection: Connection, items: Any = items, run: str = run) -> int:
                if connection.execute(items).rowcount:
                    return 0
                connection.execute(delete(statement_chunk).where(_c.run == run))
                return connection.execute(delete(statement_run).where(_r.id == run)).rowcount

            forgotten += self._database.write(work)


def item_of(row: Any) -> ItemRow:
    """A row of ITEM_COLUMNS."""
    return ItemRow(row.id, row.run, row.row, row.holder, row.customer, ItemState(row.state), row.domain, row.rule,
                   row.reason, row.detail, row.reply, row.queue_id or "", row.resent, row.tries, moment(row.at),
                   row.delivery, row.answer, _moment(row.delivery_at), row.channel)


def _moment(value: int | None) -> datetime | None:
    return None if value is None else moment(value)
