"""Results of a run: its items, how many are in each state, and the delivery status of each mail."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Text, bindparam, case, func, null, or_, select, update

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.engine.text import indexed, storable
from gateway.adapters.db.statements.rows import ITEM_COLUMNS, item_of
from gateway.adapters.db.tables.mail import micros
from gateway.adapters.db.tables.statements import statement_item
from gateway.ports.services.statements.rows import Counts, Delivery, ItemRow, ItemState

PAGE: Final = 1_000
QUEUED: Final = timedelta(days=15)  # how long a mail server may keep trying; later its queue id is another mail's

_i = statement_item.c

_HANDED_ON: Final = (
    update(statement_item)
    .where(statement_item.c.queue_id == bindparam("queued"), statement_item.c.state == ItemState.SENT.value,
           statement_item.c.at >= bindparam("since"))
    .values(queue_id=bindparam("next")))


class DbResults:
    """See ports.services.statements.results."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def counts(self, run: str) -> Counts:
        """See ResultStore."""
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
        """See ResultStore."""
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

    def deliveries(self, batch: Sequence[Delivery]) -> int:
        """See ResultStore. A bounce is the last word."""
        statement = (
            update(statement_item)
            .where(_i.queue_id == bindparam("queued"), _i.state == ItemState.SENT.value, _i.delivery != "bounced",
                   _i.at >= bindparam("since"))
            .values(delivery=bindparam("what"), answer=bindparam("words"), delivery_at=bindparam("told_at"),
                    version=case((bindparam("what", type_=Text) == "bounced", null()), else_=_i.version)))
        values = [{"queued": indexed(one.queue_id), "what": one.state, "words": storable(one.answer),
                   "told_at": micros(one.at), "since": micros(one.at - QUEUED)} for one in batch]

        def work(connection: Connection) -> int:
            known = 0
            for one, delivery in zip(values, batch, strict=True):
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
