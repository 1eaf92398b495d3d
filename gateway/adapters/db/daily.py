"""Who sends today's report: one process of all, once a day."""

from datetime import date
from typing import Final

from sqlalchemy import Connection, insert, select, update

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.tables.mail import counter

_NAME: Final = "report"
_c = counter.c


class DbDaily:
    """The first process takes a day; it may give it back if the mail could not be sent."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, day: date) -> bool:
        """Whether this day's report is ours to send. GatewayError(STORE_UNAVAILABLE, retry)."""
        number = day.toordinal()
        if (self._last() or 0) >= number:
            return False  # asked every minute: only the first of a day writes

        def work(connection: Connection) -> bool:
            last = connection.scalar(select(_c.value).where(_c.name == _NAME))
            if last is None:
                connection.execute(insert(counter).values(name=_NAME, value=number))
            elif last < number:
                connection.execute(update(counter).where(_c.name == _NAME).values(value=number))
            return last is None or last < number

        return self._database.write(work, alone="report")

    def give_back(self, day: date) -> None:
        """It was not sent after all: another process may try again."""
        number = day.toordinal()
        statement = update(counter).where(_c.name == _NAME, _c.value == number).values(value=number - 1)
        self._database.write(lambda connection: connection.execute(statement) and None)

    def _last(self) -> int | None:
        with self._database.read() as connection:
            return connection.scalar(select(_c.value).where(_c.name == _NAME))
