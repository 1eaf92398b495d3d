"""The bank's own table of revocations, as it answers for one certificate at the time t.

In the order of the code:

1. what names it: entries of every list whose scope covers it (deltas laid over their base: RFC 5280 5.2.4; what a
   delta without its base names counts too, what it lifts does not), and the OCSP answer. Revoked is revoked, at any
   age of the list. A hold counts until something newer that would name holds does not know it
2. what clears it: lists that cover it and do not name it, an answer that says good. A list covers only
   certificates that had not expired when its row began (`StoredList.since`); together they must cover all reasons
   (RFC 5280 6.3.3). It is good at t where the data are in force at reception, or were made after t
3. else nothing is known

What is fetched in the background appears here by the store's generation, which is looked at once a second.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from threading import Lock
from typing import Final

from gateway.cms.certificate import Certificate
from gateway.errors import GatewayError
from gateway.pki.revocation.entries import ON_HOLD, REMOVED, Entry, authority_id, find, reason_number, serial_key
from gateway.pki.revocation.scope import REASONS, Scope, parse_scope
from gateway.pki.revocation.verdict import FOREVER, UNKNOWN, Known
from gateway.ports.revocation import RevocationStore, StoredAnswer, StoredList

LOOK_S: Final = 1.0  # between two looks at the store's generation
WANT_S: Final = 60.0  # between two times that the same certificate is asked for
UNDATED_LIST: Final = timedelta(days=1)  # how long a list counts that does not say (RFC 5280 5.1.2.5 wants it to)
UNDATED_ANSWER: Final = timedelta(hours=1)  # an answer without nextUpdate: newer ones are there all the time
_TABLES: Final = count(1)  # two tables never share a version
_KEPT_MAX: Final = 65_536  # answers and wishes kept in memory

Want = Callable[[Certificate, Certificate], None]


@dataclass(frozen=True, slots=True)
class _Row:
    """One full list with the delta that belongs to it, if there is one.

    `lone`: `full` is itself a delta without its base here. It can revoke, and never clears.
    """

    scope: Scope
    full: StoredList
    delta: StoredList | None = None
    lone: bool = False

    def entry(self, key: bytes) -> Entry | None:
        """The entry that counts."""
        base = find(self.full.records, key)
        if self.lone:
            return None if base is None or base.reason == REMOVED else base
        newer = find(self.delta.records, key) if self.delta is not None else None
        if newer is None:
            return base
        if newer.reason == REMOVED:
            # Lifted, or expired: then it stays as it was.
            return None if base is None or base.on_hold else base
        return newer if base is None or base.on_hold else min(base, newer)

    @property
    def made(self) -> datetime:
        """Of what time its knowledge is."""
        return self.delta.this_update if self.delta is not None else self.full.this_update

    @property
    def fresh_until(self) -> datetime:
        """How long it is in force."""
        until = list_fresh_until(self.full)
        return max(until, list_fresh_until(self.delta)) if self.delta is not None else until


def list_fresh_until(stored: StoredList) -> datetime:
    """Until when the list is in force."""
    return stored.next_update or stored.this_update + UNDATED_LIST


def answer_fresh_until(stored: StoredAnswer) -> datetime:
    """Until when the answer is in force."""
    return stored.next_update or stored.this_update + UNDATED_ANSWER


class StoredRevocation:
    """See pki.revocation.verdict.RevocationData. One per process; safe on many threads.

    `want`: called with a certificate without fresh data; it may wait a little and fetch, after which the
    store is asked once more.
    """

    def __init__(self, store: RevocationStore, *, want: Want | None = None,
                 monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._want = want
        self._clock = monotonic
        self._lock = Lock()
        self._number = next(_TABLES)
        self._generation = -1
        self._looked = float("-inf")
        self._version = f"{self._number}.none"
        self._rows: dict[str, tuple[_Row, ...]] = {}
        self._answers: dict[tuple[str, int], StoredAnswer | None] = {}
        self._requested_at: dict[tuple[str, int], float] = {}

    @property
    def version(self) -> str:
        """See RevocationData. Another one within a second after any process has put something."""
        if self._clock() - self._looked >= LOOK_S:
            self._look()
        return self._version

    def known(self, certificate: Certificate, issuer: Certificate, at: datetime, received: datetime) -> Known:
        """See RevocationData."""
        try:
            answer = self._known(certificate, issuer, at, received)
            if not answer.fresh and answer.status in {"good", "unknown"} and self._may_want(certificate, issuer):
                assert self._want is not None  # noqa: S101 - `_may_want` has looked
                self._want(certificate, issuer)
                self._look()
                answer = self._known(certificate, issuer, at, received)
        except GatewayError:
            return Known("unknown", until=received)  # of this moment alone: the store may be back the next
        return answer

    def _look(self) -> None:
        try:
            generation = self._store.generation()
        except GatewayError:
            self._looked = self._clock()
            return  # what is known stays known
        with self._lock:
            self._looked = self._clock()
            if generation != self._generation:
                self._generation = generation
                self._version = f"{self._number}.{generation}"
                self._rows, self._answers = {}, {}

    def _may_want(self, certificate: Certificate, issuer: Certificate) -> bool:
        if self._want is None:
            return False
        key, now = (authority_id(issuer), certificate.serial), self._clock()
        with self._lock:
            if now - self._requested_at.get(key, float("-inf")) < WANT_S:
                return False
            if len(self._requested_at) >= _KEPT_MAX:
                self._requested_at.clear()
            self._requested_at[key] = now
        return True

    def _known(self, certificate: Certificate, issuer: Certificate, at: datetime, received: datetime) -> Known:
        _ = self.version
        authority = authority_id(issuer)
        return judge_known(certificate, self._rows_of(authority), self._answer_of(authority, certificate.serial), at,
                           received)

    def _rows_of(self, authority: str) -> tuple[_Row, ...]:
        rows, before = self._rows.get(authority), self._rows
        if rows is None:
            rows = rows_of(self._store.lists(authority))
            before[authority] = rows  # if they were dropped meanwhile, into a table that is not read any more
        return rows

    def _answer_of(self, authority: str, serial: int) -> StoredAnswer | None:
        key, answers = (authority, serial), self._answers
        if key not in answers:
            if len(answers) >= _KEPT_MAX:
                answers.clear()
            answers[key] = self._store.answer(authority, serial)
        return answers[key]


def rows_of(lists: tuple[StoredList, ...]) -> tuple[_Row, ...]:
    """Full lists, each with its delta where that fits: of the same scope, on a base not newer than it (5.2.4).

    Then the deltas that fit none.
    """
    deltas = {one.scope: one for one in lists if one.kind == "delta"}
    rows = [_Row(parse_scope(full.scope), full, _fitting(full, deltas.get(full.scope)))
            for full in lists if full.kind == "full"]
    used = {row.full.scope for row in rows if row.delta is not None}
    return (*rows, *(_Row(parse_scope(scope), delta, lone=True) for scope, delta in deltas.items()
                     if scope not in used))


def _fitting(full: StoredList, delta: StoredList | None) -> StoredList | None:
    if delta is None or delta.base_number is None or delta.number is None or full.number is None:
        return None
    return delta if delta.base_number <= full.number <= delta.number else None


def judge_known(certificate: Certificate, rows: tuple[_Row, ...], answer: StoredAnswer | None, at: datetime,
                received: datetime) -> Known:
    """The three steps of the module over data in hand."""
    key = serial_key(certificate.serial)
    covering = [(row, reasons) for row in rows if (reasons := row.scope.covers(certificate))]
    # 1. what names it
    named = [(entry, row.made) for row, _ in covering if (entry := row.entry(key)) is not None]
    if answer is not None and answer.status == "revoked":
        hold = answer.reason == "certificateHold"
        named.append((Entry(answer.revoked_at or answer.this_update, ON_HOLD if hold else reason_number(answer.reason)),
                      answer.this_update))
    final = [entry for entry, _ in named if not entry.on_hold]
    if final:
        return _revoked(min(final), at, "revoked")
    cleared = max((row.made for row, reasons in covering
                   if not row.lone and ON_HOLD in reasons and row.entry(key) is None), default=None)
    if answer is not None and answer.status == "good":
        cleared = max(cleared or answer.this_update, answer.this_update)
    holds = [entry for entry, made in named if cleared is None or made >= cleared]
    if holds:
        return _revoked(min(holds), at, "on_hold")
    # 2. what clears it
    fresh: set[int] = set()
    then: set[int] = set()
    until = FOREVER
    for row, reasons in covering:
        if row.lone or row.entry(key) is not None or certificate.not_after < row.full.since:
            continue
        if received <= row.fresh_until:
            fresh |= reasons
            until = min(until, row.fresh_until)
        elif row.made >= at:
            then |= reasons
    if answer is not None and answer.status == "good":
        if received <= answer_fresh_until(answer):
            return Known("good", fresh=True, until=answer_fresh_until(answer))
        if answer.this_update >= at:
            then |= REASONS
    if fresh >= REASONS:
        return Known("good", fresh=True, until=until)
    if fresh | then >= REASONS:
        return Known("good", until=until)
    # 3. nothing
    return UNKNOWN


def _revoked(entry: Entry, at: datetime, status: str) -> Known:
    if entry.at <= at:
        return Known("revoked" if status == "revoked" else "on_hold", revoked_at=entry.at, reason=entry.reason_name)
    return Known("good", revoked_at=entry.at, reason=entry.reason_name, until=entry.at)

