"""The journal of mails that leave in several groups, in the database (see ports.journal for what it promises).

A claim is one row per message: the process that inserts it works, all others get JOURNAL_IN_PROGRESS. It is free again
when its process has died (`Database.is_dead`), or, where that cannot be known, when it is older than any work can
last. Before each write the claim is checked to be still our own: a process that was taken for dead must not send.
A claim of our own that no work holds any more, because the database went before it could be given back, is given back
with the next one, and by PostgreSQL's signs of life.
"""

import secrets
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Connection,
    Executable,
    Update,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from gateway.adapters.db.engine import claim_owner as owner
from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.engine.text import storable
from gateway.adapters.db.tables.mail import held, journal, journal_claim, micros, moment
from gateway.clock import Clock
from gateway.errors import GatewayError, Reason
from gateway.model.address import fold
from gateway.ports.hold import HOLD_ID_DIGITS, held_key
from gateway.ports.journal import JournalRow, JournalState

# Of who showed no life and no death. limits.message_deadline_s is 240 s by default.
LEASE: Final = timedelta(minutes=15)
LEFT: Final = timedelta(seconds=60)  # longer than a server that lives takes for a commit it has in hand
KEPT: Final = timedelta(days=8)  # senders give up after 5 days (RFC 5321 4.5.4.1), some after 7
FORGET_EVERY: Final = timedelta(hours=1)
FORGET_MAX: Final = 10_000  # rows at once, so that no caller waits long for it
_HELD_CHARACTERS: Final = len(held_key("0" * HOLD_ID_DIGITS))

_j = journal.c
_c = journal_claim.c

# Statements are made once: SQLAlchemy takes longer to build one than the database to run it.
_ROWS: Final = (
    select(_j.message_key, _j.recipient, _j.state, _j.reply, _j.resent, _j.acknowledged)
    .where(_j.message_key == bindparam("key")).order_by(_j.recipient))
_PLAN: Final = insert(journal)
_FORGET_ACKNOWLEDGED: Final = delete(journal).where(_j.message_key == bindparam("key"), _j.acknowledged)
_OWN: Final = exists().where(_c.message_key == bindparam("key"), _c.token == bindparam("own"))
_OPEN: Final = (
    update(journal).where(_j.message_key == bindparam("key"), _j.recipient == bindparam("address"),
                          _j.state != JournalState.TAKEN.value, _OWN))
_SENDING: Final = _OPEN.values(
    state=JournalState.SENDING.value, at=bindparam("now"),
    resent=_j.resent + case((_j.state == JournalState.SENDING.value, 1), else_=0))
_TAKEN: Final = _OPEN.values(state=JournalState.TAKEN.value, at=bindparam("now"), reply=bindparam("answer"))
_ANSWERED: Final = _j.recipient.not_in(bindparam("unanswered", expanding=True))
_LEAVE: Final = (
    update(journal).where(_j.message_key == bindparam("key"))
    .values(state=case(((_j.state == JournalState.SENDING.value) & _ANSWERED, JournalState.PLANNED.value),
                       else_=_j.state),
            acknowledged=_j.acknowledged | bindparam("told", type_=Boolean), at=bindparam("now")))
_HOLDER: Final = select(_c.owner, _c.token, _c.at).where(_c.message_key == bindparam("key"))
_TAKE_OVER: Final = (
    update(journal_claim).where(_c.message_key == bindparam("key"), _c.token == bindparam("held"))
    .values(owner=bindparam("who"), token=bindparam("own"), at=bindparam("now")))
_UNCLAIM: Final = delete(journal_claim).where(_c.message_key == bindparam("key"), _c.token == bindparam("own"))


class DbJournal:
    """See ports.journal.Journal. Recipients are distinguished as addresses are: ASCII case aside."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._tokens: dict[str, str] = {}  # of the claims of this very object
        # Claims that may be there though no process works: token to message, and how long they are still looked for.
        self._left: dict[str, tuple[str, datetime | None]] = {}
        self._giving_back = False
        self._claim = _insert_unless_there(database)
        self._lock = threading.Lock()
        self._forgotten_at = clock.now()

    def rows(self, message_key: str, *, unacknowledged_only: bool = False) -> tuple[JournalRow, ...]:
        """See Journal."""
        with self._database.read() as connection:
            return _rows(connection, message_key, unacknowledged_only=unacknowledged_only)

    def claim(self, message_key: str, recipients: tuple[str, ...], *,
              unacknowledged_only: bool = False) -> tuple[JournalRow, ...]:
        """See Journal."""
        self._database.attend()
        token, now, here = secrets.token_hex(16), self._clock.now(), owner.here()
        mine = {"message_key": message_key, "owner": str(here), "token": token, "at": micros(now)}
        left = self._left_over()

        def work(connection: Connection) -> tuple[JournalRow, ...] | str:
            _give_back(connection, left)
            if connection.scalar(self._claim, mine) is None:
                holder = connection.execute(_HOLDER, {"key": message_key}).first()
                if holder is None:
                    return "it was given back just now"
                who = owner.Owner.parse(holder.owner)
                if not self._is_free(who, moment(holder.at), now):
                    return f"process {who.process} on {who.machine} works on it"
                if connection.execute(_TAKE_OVER, {"key": message_key, "held": holder.token, "who": str(here),
                                                   "own": token, "now": micros(now)}).rowcount != 1:
                    return "another one has taken it over just now"
            if unacknowledged_only:
                connection.execute(_FORGET_ACKNOWLEDGED, {"key": message_key})
            known = _rows(connection, message_key)
            there = {row.recipient for row in known}
            fresh = [address for address in dict.fromkeys(map(fold, recipients)) if address not in there]
            if fresh:
                connection.execute(_PLAN, [
                    {"message_key": message_key, "recipient": address, "state": JournalState.PLANNED.value,
                     "reply": None, "resent": 0, "acknowledged": False, "at": micros(now)} for address in fresh])
            planned = tuple(JournalRow(message_key, address, JournalState.PLANNED) for address in fresh)
            return tuple(sorted(known + planned, key=lambda row: row.recipient))

        try:
            outcome = self._database.write(work)
        except BaseException:  # it is unknown whether it is there; not before, others would end it
            self._leave(token, message_key)
            raise
        self._gave_back(left)
        if isinstance(outcome, str):
            raise GatewayError(Reason.JOURNAL_IN_PROGRESS, outcome, retry=True)
        with self._lock:
            self._tokens[message_key] = token
        return outcome

    def _leave(self, token: str, message_key: str) -> None:
        """Remembers a claim of which it is unknown whether it was written, or taken back, when the database went."""
        with self._lock:
            self._left[token] = (message_key, None)
            first, self._giving_back = not self._giving_back, True
        if first:
            self._database.when_there(self._give_all_back)

    def _left_over(self) -> dict[str, str]:
        """Token to message."""
        with self._lock:
            return {token: key for token, (key, _) in self._left.items()}

    def _gave_back(self, left: Mapping[str, str]) -> None:
        """The database has answered. A commit may reach it after we gave up on it, so they are looked for once more."""
        now = self._clock.now()
        with self._lock:
            for token, key in left.items():
                _, until = self._left.get(token, (key, now))
                if until is None:
                    self._left[token] = (key, now + LEFT)
                elif until <= now:
                    self._left.pop(token, None)

    def _give_all_back(self) -> None:
        left = self._left_over()
        if left:
            self._database.write(lambda connection: _give_back(connection, left))
            self._gave_back(left)

    def _is_free(self, who: owner.Owner, since: datetime, now: datetime) -> bool:
        dead = self._database.is_dead(who)
        return now - since > LEASE if dead is None else dead

    def sending(self, message_key: str, recipients: tuple[str, ...]) -> None:
        """See Journal. A row that is SENDING already was left by a crash or a broken connection: counted."""
        self._change(_SENDING, message_key, recipients)

    def taken(self, message_key: str, recipients: tuple[str, ...], reply: str) -> None:
        """See Journal."""
        self._change(_TAKEN, message_key, recipients, answer=storable(reply))

    def release(self, message_key: str, *, acknowledged: bool, unanswered: tuple[str, ...] = ()) -> None:
        """See Journal. Once an hour it also forgets what no sender can repeat any more."""
        token = self._token(message_key)
        now = self._clock.now()
        forget = now - self._forgotten_at >= FORGET_EVERY
        if forget:
            self._forgotten_at = now
        open_ends = list(map(fold, unanswered))

        def work(connection: Connection) -> None:
            if connection.execute(_UNCLAIM, {"key": message_key, "own": token}).rowcount != 1:
                raise _taken_over()
            connection.execute(_LEAVE, {
                "key": message_key, "unanswered": open_ends, "told": acknowledged, "now": micros(now)})
            if forget:
                _forget(connection, micros(now - KEPT))

        try:
            self._database.write(work)
        except GatewayError as trouble:
            if trouble.reason.family == "store":
                self._leave(token, message_key)
            raise
        finally:
            with self._lock:
                self._tokens.pop(message_key, None)

    def _change(self, statement: Update, message_key: str, recipients: Sequence[str], **values: str) -> None:
        """Changes rows of the own claim, all of which must be there: asserted in pairs with `claim`."""
        token = self._token(message_key)
        now = micros(self._clock.now())
        changes = [{"key": message_key, "own": token, "address": address, "now": now, **values}
                   for address in dict.fromkeys(map(fold, recipients))]

        def work(connection: Connection) -> None:
            for change in changes:
                if connection.execute(statement, change).rowcount != 1:
                    raise _why_not(connection, message_key, token)

        self._database.write(work)

    def _token(self, message_key: str) -> str:
        with self._lock:
            token = self._tokens.get(message_key)
        if token is None:
            raise GatewayError(Reason.JOURNAL_IN_PROGRESS, "the message is not claimed by this worker", retry=True)
        return token


def _give_back(connection: Connection, left: Mapping[str, str]) -> None:
    for token, key in left.items():
        connection.execute(_UNCLAIM, {"key": key, "own": token})


def _insert_unless_there(database: Database) -> Executable:
    """Waits only for another transaction that inserts the same one at this moment. Both kinds have it."""
    dialect: Any = postgresql if database.writers.dialect.name == "postgresql" else sqlite
    made: Executable = dialect.insert(journal_claim).on_conflict_do_nothing(
        index_elements=["message_key"]).returning(_c.token)
    return made


def _rows(connection: Connection, message_key: str, *, unacknowledged_only: bool = False) -> tuple[JournalRow, ...]:
    found = connection.execute(_ROWS, {"key": message_key})
    return tuple(JournalRow(row.message_key, row.recipient, JournalState(row.state), row.reply, row.resent)
                 for row in found if not (unacknowledged_only and row.acknowledged))


def _why_not(connection: Connection, message_key: str, token: str) -> GatewayError:
    holder = connection.execute(_HOLDER, {"key": message_key}).first()
    if holder is None or holder.token != token:
        return _taken_over()
    return GatewayError(Reason.STORE_UNAVAILABLE, "the journal misses a recipient that was planned, or it was taken "
                        "already", retry=True)


def _taken_over() -> GatewayError:
    return GatewayError(Reason.JOURNAL_IN_PROGRESS, "another process has taken the claim over", retry=True)


def _forget(connection: Connection, before: int) -> None:
    """Old rows without a claim, a limited number at once.

    Those of held mail stay while it is held: a release after weeks must not send it to the same recipient again.
    """
    claimed = select(journal_claim.c.message_key)
    waiting = select(literal(held_key("")) + held.c.hold_id).where(held.c.state == "waiting")
    old = (select(_j.message_key).where(_j.at < before, _j.message_key.not_in(claimed),
                                        func.substr(_j.message_key, 1, _HELD_CHARACTERS).not_in(waiting))
           .order_by(_j.at).limit(FORGET_MAX))
    connection.execute(delete(journal).where(_j.message_key.in_(old), _j.at < before))
