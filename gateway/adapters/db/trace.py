"""Evidence found by what it is not sorted by: for `sealgate trace`, never on a mail's way."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, or_, select

from gateway.adapters.db.engine import Database
from gateway.adapters.db.tables import evidence, micros
from gateway.adapters.db.text import storable

PREFIX_MIN: Final = 4  # of an incident's sixteen digits
FOUND_MAX: Final = 20  # incidents: whoever gets more has given too little

_c = evidence.c
_BEHIND_HEX: Final = "g"


class DbTrace:
    """Reads only. Incidents come in the order in which they happened."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def by_prefix(self, beginning: str) -> tuple[str, ...]:
        """Incidents that begin like this (hex); () of fewer than PREFIX_MIN digits. By the index."""
        if len(beginning) < PREFIX_MIN:
            return ()
        query = select(_c.incident).where(_c.incident >= beginning, _c.incident < beginning + _BEHIND_HEX)
        return self._incidents(query.order_by(_c.incident, _c.id))

    def by_looking_through(self, word: str, since: datetime) -> tuple[str, ...]:
        """Incidents of mail that came under this queue id of the mail server in front, or with this Message-ID outside
        an encryption that had another one inside, or that left with this SHA-256.

        Reads every record since then: some seconds for a million.
        """
        wanted = storable(word)
        query = select(_c.incident).where(
            _c.at >= micros(since),
            or_(_c.record["facts"]["came_as"].as_string() == wanted,
                _c.record["facts"]["outside"].as_string().in_((wanted, f"<{wanted}>")),
                _c.record["sealed_digest"].as_string() == wanted))
        return self._incidents(query.order_by(_c.at, _c.id))

    def _incidents(self, query: Select[Any]) -> tuple[str, ...]:
        with self._database.read() as connection:
            found = dict.fromkeys(connection.scalars(query.limit(FOUND_MAX * 100)))  # one for each recipient
        return tuple(found)[:FOUND_MAX]
