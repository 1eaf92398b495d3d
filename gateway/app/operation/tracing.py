"""A mail's whole way, out of all that was kept of it: evidence, journal, hold store."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.adapters.db.engine.text import queue_id, strip_brackets
from gateway.adapters.db.mail_list import DbMailList
from gateway.adapters.db.trace import DbTrace
from gateway.app.services import returns_of
from gateway.app.store import Store
from gateway.errors import GatewayError
from gateway.model.record import EvidenceRecord
from gateway.ports.hold import HeldRow
from gateway.ports.journal import JournalRow
from gateway.services.codes.message import mail_ids
from gateway.settings import Settings

DAYS: Final = 14  # for what can only be found by looking through the records
_HELD_AS: Final = "held as "
_IN_REPLY: Final = re.compile(r"\bIncident ([0-9a-f]{8,32})\b|^250\b.*\bOk: ([0-9a-f]{8,32})\b")
_CODE: Final = re.compile(r"[0-9a-f]{24}")
_HEX: Final = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True, slots=True)
class Track:
    """`records` in the order in which they were written, of every attempt; `journal` and `held` of the same mails."""

    records: tuple[EvidenceRecord, ...] = ()
    journal: tuple[JournalRow, ...] = ()
    held: tuple[HeldRow, ...] = ()

    @property
    def words(self) -> frozenset[str]:
        """All words by which a line of any server's log would name it."""
        found: set[str] = set()
        for record in self.records:
            found |= {record.incident, strip_brackets(record.message_id), str(record.facts.get("came_as", "")),
                      strip_brackets(str(record.facts.get("outside", "")))}
            found.add(queue_id(record.next_hop_reply) or "")
        return frozenset(found - {""})


def plain_key(text: str) -> str:
    """The key from pasted text: a whole reply, with its incident in it, or the key alone."""
    found = _IN_REPLY.search(text)
    return strip_brackets(next(group for group in found.groups() if group) if found else text)


def mail_list(store: Store) -> DbMailList:
    """The last mails, and new ones."""
    return DbMailList(store.database)


def follow(settings: Settings, store: Store, keys: Iterable[str], now: datetime) -> Track:
    """By the first of the keys that is known: see `_found`. GatewayError STORE_UNAVAILABLE; of a code's id also as

    services.returns_of.
    """
    for key in keys:
        records = _of_code(settings, store, key) or _found(store, plain_key(key), now)
        if records:
            return _whole(store, records)
    return Track()


def _of_code(settings: Settings, store: Store, key: str) -> tuple[EvidenceRecord, ...]:
    """The mails of a code, by its id: their Message-IDs are made of it."""
    row = store.codes.get(key) if settings.codes is not None and _CODE.fullmatch(key) else None
    if row is None or settings.codes is None:
        return ()
    returns = returns_of(settings.codes)
    return tuple(record for one in mail_ids(row) for record in store.evidence.find(returns.message_id(one)))


def _found(store: Store, key: str, now: datetime) -> tuple[EvidenceRecord, ...]:
    """By incident, Message-ID or the next hop's queue id; by a held mail's id; by the beginning of an incident; last
    by what takes a while: the queue id in front, the Message-ID outside an encryption, the SHA-256 of what left.
    """
    found = store.evidence.find(key)
    if found or not key:
        return found
    trace = DbTrace(store.database)
    incidents = _of_held(store, key)
    if not incidents and _HEX.fullmatch(key):
        incidents = trace.by_prefix(key)
    if not incidents:
        incidents = trace.by_looking_through(key, now - timedelta(days=DAYS))
    return tuple(record for incident in incidents for record in store.evidence.find(incident))


def _of_held(store: Store, key: str) -> tuple[str, ...]:
    try:
        row = store.hold.row(key)
    except GatewayError as trouble:
        if trouble.retry:
            raise
        return ()
    return (row.incident,) if row.incident else ()


def _whole(store: Store, found: tuple[EvidenceRecord, ...]) -> Track:
    """With the other attempts of the same mails: a retry has an incident of its own."""
    records = list(dict.fromkeys((one.at, one.incident, one.recipient) for one in found))
    known = {(one.at, one.incident, one.recipient): one for one in found}
    keys = {one.message_key for one in found} - {""}
    for message_id in {one.message_id for one in found} - {""}:
        for one in store.evidence.find(message_id):
            place = (one.at, one.incident, one.recipient)
            if one.message_key in keys and place not in known:
                records.append(place)
                known[place] = one
    ordered = tuple(known[place] for place in sorted(records))
    journal = tuple(row for key in sorted(keys) for row in store.journal.rows(key))
    held_ids = {one.next_hop_reply.removeprefix(_HELD_AS) for one in ordered
                if one.next_hop_reply and one.next_hop_reply.startswith(_HELD_AS)}
    return Track(ordered, journal, tuple(_held(store, sorted(held_ids))))


def _held(store: Store, ids: Iterable[str]) -> Iterable[HeldRow]:
    for one in ids:
        try:
            yield store.hold.row(one)
        except GatewayError as trouble:
            if trouble.retry:
                raise
