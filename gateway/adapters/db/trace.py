"""Evidence found by what it is not sorted by: for `sealgate trace`, never on a mail's way."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final

from sqlalchemy import Select, Text, cast, or_, select

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.engine.text import storable
from gateway.adapters.db.evidence import RECORD, values_of
from gateway.adapters.db.evidence_packing import text_of
from gateway.adapters.db.tables.mail import evidence, micros

PREFIX_MIN: Final = 4  # of an incident's sixteen digits
PAGE: Final = 2_000  # records read at once
FOUND_MAX: Final = 20  # incidents: with more, the query was too short

_c = evidence.c
_RECIPIENTS_MAX: Final = 100
BEHIND_HEX: Final = "g"


class DbTrace:
    """Reads only. Incidents come in the order in which they happened."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def by_prefix(self, beginning: str) -> tuple[str, ...]:
        """Incidents that begin like this (hex); () of fewer than PREFIX_MIN digits. By the index."""
        if len(beginning) < PREFIX_MIN:
            return ()
        query = select(_c.incident).where(_c.incident >= beginning, _c.incident < beginning + BEHIND_HEX)
        return self._incidents(query.order_by(_c.incident, _c.id))

    def by_looking_through(self, word: str, since: datetime) -> tuple[str, ...]:
        """Incidents of mail that came under this queue id of the mail server in front, or with this Message-ID outside
        an encryption that had another one inside, or that left with this SHA-256.

        Reads every record since then: some ten seconds for a million. Those of earlier versions as text, for PostgreSQL
        looks into no JSON that has half a character in it, as strangers' subjects may.
        """
        term = storable(word)
        if not term:
            return ()
        values = {"came_as": (term,), "outside": (term, f"<{term}>"), "sealed_digest": (term,)}
        pairs = [(json.dumps(name), json.dumps(value)) for name, several in values.items() for value in several]
        text = cast(_c.record, Text)
        written = [text.contains(f"{name}{colon}{value}", autoescape=True) for name, value in pairs
                   for colon in (": ", ":")]
        packed = [f"{name}:{value}".encode() for name, value in pairs]
        selection = select(_c.id, _c.incident, *RECORD).where(or_(_c.packed.is_not(None), *written))
        found = (row.incident for row in self._rows(selection, micros(since))
                 if (row.packed is None or _has_any(row, packed)) and _names_any(values_of(row), values))
        return _first(islice(found, FOUND_MAX * _RECIPIENTS_MAX))

    def _rows(self, selection: Select[Any], since: int) -> Iterator[Any]:
        """By pages, in the order of time, from `since` on."""
        later = _c.at >= since
        while True:
            with self._database.read() as connection:
                page = connection.execute(selection.where(later).order_by(_c.at, _c.id).limit(PAGE)).all()
            yield from page
            if len(page) < PAGE:
                return
            later = or_(_c.at > page[-1].at, (_c.at == page[-1].at) & (_c.id > page[-1].id))

    def _incidents(self, query: Select[Any]) -> tuple[str, ...]:
        with self._database.read() as connection:
            return _first(connection.scalars(query.limit(FOUND_MAX * _RECIPIENTS_MAX)))


def _has_any(row: Any, texts: Iterable[bytes]) -> bool:
    """Whether one of these is in the record: most are not unpacked further."""
    record = text_of(bytes(row.packed))
    return any(one in record for one in texts)


def _names_any(record: Mapping[str, Any], values: Mapping[str, Iterable[str]]) -> bool:
    return any(value in several for name, several in values.items()
               for value in (record.get(name), record["facts"].get(name)) if value)


def _first(incidents: Iterable[str]) -> tuple[str, ...]:
    """Each once: there is a record for each recipient."""
    return tuple(dict.fromkeys(incidents))[:FOUND_MAX]
