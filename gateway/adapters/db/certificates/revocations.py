"""Revocation lists and OCSP answers in the database: jobs put them, every process judges from them.

A list of half a million entries is one blob of 15 MB, put in one short transaction. Readers keep the blobs that they
use, and load one again only if it is another one: most changes of the generation are single answers.
"""

from collections import OrderedDict
from collections.abc import Iterator
from threading import Lock
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.tables.mail import counter, micros, moment, revocation_answer, revocation_list
from gateway.ports.revocation import StoredAnswer, StoredList

GENERATION: Final = "revocation"  # its name among the counters
KEPT_OCTETS_MAX: Final = 268_435_456  # 256 MiB of records in one process: nine million entries

_l = revocation_list.c
_a = revocation_answer.c
_HEAD: Final = tuple(column for column in _l if column.name != "records")
_GENERATION: Final = select(counter.c.value).where(counter.c.name == GENERATION)
_LISTS: Final = select(*_HEAD).where(_l.authority == bindparam("authority")).order_by(_l.scope, _l.kind)
_RECORDS: Final = select(_l.records, _l.sha256, _l.fetched_at).where(
    _l.authority == bindparam("authority"), _l.scope == bindparam("scope"), _l.kind == bindparam("kind"))
_ANSWER: Final = select(*_a).where(_a.authority == bindparam("authority"), _a.serial == bindparam("serial"))

_Key = tuple[str, str, str, str, int]


class DbRevocations:
    """See ports.revocation.RevocationStore."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[_Key, bytes] = OrderedDict()
        self._octets = 0
        self._lock = Lock()

    def generation(self) -> int:
        """See RevocationStore."""
        rows = self._database.look_up(_GENERATION)
        return int(rows[0][0]) if rows else 0

    def lists(self, authority: str) -> tuple[StoredList, ...]:
        """See RevocationStore."""
        with self._database.read() as connection:
            heads = connection.execute(_LISTS, {"authority": authority}).all()
        return tuple(_list(head, self._records(head)) for head in heads)

    def _records(self, head: Any) -> bytes:
        key: _Key = (head.authority, head.scope, head.kind, head.sha256, head.fetched_at)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept
        with self._database.read() as connection:
            found = connection.execute(
                _RECORDS, {"authority": head.authority, "scope": head.scope, "kind": head.kind}).one()
        records = bytes(found.records)
        if (found.sha256, found.fetched_at) == (head.sha256, head.fetched_at):
            self._keep(key, records)
        return records

    def _keep(self, key: _Key, records: bytes) -> None:
        with self._lock:
            for old in [old for old in self._kept if old[:3] == key[:3]]:
                self._octets -= len(self._kept.pop(old))
            self._kept[key] = records
            self._octets += len(records)
            while self._octets > KEPT_OCTETS_MAX and len(self._kept) > 1:
                self._octets -= len(self._kept.popitem(last=False)[1])

    def answer(self, authority: str, serial: int) -> StoredAnswer | None:
        """See RevocationStore."""
        rows = self._database.look_up(_ANSWER, authority=authority, serial=str(serial))
        return _answer(rows[0]) if rows else None

    def put_list(self, new: StoredList) -> bool:
        """See RevocationStore."""
        values = {
            "authority": new.authority, "scope": new.scope, "kind": new.kind, "url": new.url,
            "number": _text(new.number), "base_number": _text(new.base_number),
            "this_update": micros(new.this_update), "next_update": new.next_update and micros(new.next_update),
            "since": micros(new.since), "fetched_at": micros(new.fetched_at), "sha256": new.sha256,
            "records": new.records}
        key = (_l.authority == new.authority, _l.scope == new.scope, _l.kind == new.kind)

        def work(connection: Connection) -> bool:
            kept = connection.execute(select(_l.this_update, _l.number).where(*key)).one_or_none()
            if kept is not None and _newer(kept, new):
                return False
            connection.execute(delete(revocation_list).where(*key))
            connection.execute(insert(revocation_list).values(values))
            _bump(connection)
            return True

        return self._database.write(work, alone="revocations")

    def put_answer(self, new: StoredAnswer) -> bool:
        """See RevocationStore."""
        values = {
            "authority": new.authority, "serial": str(new.serial), "status": new.status,
            "this_update": micros(new.this_update), "next_update": new.next_update and micros(new.next_update),
            "revoked_at": new.revoked_at and micros(new.revoked_at), "reason": new.reason,
            "fetched_at": micros(new.fetched_at)}
        key = (_a.authority == new.authority, _a.serial == str(new.serial))

        def work(connection: Connection) -> bool:
            kept = connection.execute(select(_a.this_update, _a.status, _a.reason).where(*key)).one_or_none()
            if kept is not None and _outweighs(kept, new):
                return False
            connection.execute(delete(revocation_answer).where(*key))
            connection.execute(insert(revocation_answer).values(values))
            _bump(connection)
            return True

        return self._database.write(work, alone="revocations")

    def all_lists(self) -> Iterator[StoredList]:
        """See RevocationStore."""
        with self._database.read() as connection:
            heads = connection.execute(select(*_HEAD).order_by(_l.authority, _l.scope, _l.kind)).all()
        return iter([_list(head, b"") for head in heads])


def _newer(kept: Any, new: StoredList) -> bool:
    """Whether the row is newer than `new`; for two lists of one second their numbers decide."""
    made, number = micros(new.this_update), _number(kept.number)
    if kept.this_update != made:
        return bool(kept.this_update > made)
    return number is not None and new.number is not None and number > new.number


def _outweighs(kept: Any, new: StoredAnswer) -> bool:
    """Whether the row is newer, or says revoked for good, which no answer takes back; a hold needs a newer one."""
    if kept.status == "revoked" and new.status != "revoked":
        return bool(kept.reason != "certificateHold" or kept.this_update >= micros(new.this_update))
    return bool(kept.this_update > micros(new.this_update))


def _bump(connection: Connection) -> None:
    grown = connection.execute(update(counter).where(counter.c.name == GENERATION).values(value=counter.c.value + 1))
    if grown.rowcount == 0:
        connection.execute(insert(counter).values(name=GENERATION, value=1))


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _list(head: Any, records: bytes) -> StoredList:
    return StoredList(
        head.authority, head.scope, head.kind, head.url, _number(head.number), _number(head.base_number),
        moment(head.this_update), None if head.next_update is None else moment(head.next_update), moment(head.since),
        moment(head.fetched_at), head.sha256, records)


_PLACE: Final = {column.name: place for place, column in enumerate(_a)}


def _answer(row: tuple[Any, ...]) -> StoredAnswer:
    def at(name: str) -> Any:
        return row[_PLACE[name]]

    return StoredAnswer(
        at("authority"), int(at("serial")), at("status"), moment(at("this_update")),
        None if at("next_update") is None else moment(at("next_update")),
        None if at("revoked_at") is None else moment(at("revoked_at")), at("reason"), moment(at("fetched_at")))
