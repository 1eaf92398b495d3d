"""Evidence found by what it is not sorted by: for `sealgate trace`, never on a mail's way."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, Text, cast, or_, select

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.engine.text import storable
from gateway.adapters.db.tables.mail import evidence, micros

PREFIX_MIN: Final = 4  # of an incident's sixteen digits
FOUND_MAX: Final = 20  # incidents: with more, the query was too short

_c = evidence.c
_RECIPIENTS_MAX: Final = 100
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

        Reads every record since then: ten seconds for a million. As text, for PostgreSQL looks into no JSON that has
        half a character in it, as strangers' subjects may.
        """
        term = storable(word)
        values = {"came_as": (term,), "outside": (term, f"<{term}>"), "sealed_digest": (term,)}
        text = cast(_c.record, Text)
        written = [text.contains(f"{json.dumps(name)}{colon}{json.dumps(value)}", autoescape=True)
                   for name, several in values.items() for value in several for colon in (": ", ":")]
        query = select(_c.incident, _c.record).where(_c.at >= micros(since), or_(*written)).order_by(_c.at, _c.id)
        with self._database.read() as connection:
            rows = connection.execute(query.limit(FOUND_MAX * _RECIPIENTS_MAX)).all()
        return _first(row.incident for row in rows if term and any(
            value in several for name, several in values.items()
            for value in (row.record.get(name), row.record["facts"].get(name)) if value))

    def _incidents(self, query: Select[Any]) -> tuple[str, ...]:
        with self._database.read() as connection:
            return _first(connection.scalars(query.limit(FOUND_MAX * _RECIPIENTS_MAX)))


def _first(incidents: Iterable[str]) -> tuple[str, ...]:
    """Each once: there is a record for each recipient."""
    return tuple(dict.fromkeys(incidents))[:FOUND_MAX]
