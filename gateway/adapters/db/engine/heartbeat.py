"""A process's heartbeats in the database of several nodes; it reads the others' every other second.

A process that has claimed a message counts up a number in its own row of `node`. Each process that claims watches the
others' numbers: one that does not change for `DEAD_S` of watching belongs to a process that is dead or cut off from the
database. No clock is compared with another machine's. A look that comes late, because the machine is busy, counts as
one in time: the rest of the pause was not watched. A lost connection begins the watch again, so after a restart of the
database no process is dead.

The same connection holds the locks of leaders: of all nodes' jobs only one is at work.

A process that was taken for dead and lives can write nothing more: each write of the journal checks the claim. So a
mail whose `sending` was not written before is never sent by two.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg
import structlog

from gateway import threads
from gateway.adapters.db.engine import claim_owner as owner
from gateway.adapters.db.engine.lookup_cache import Kept
from gateway.errors import GatewayError

BEAT_S: Final = 2.0
DEAD_S: Final = 8.0  # three beats may be lost
COUNTED_MAX_S: Final = 1.25 * BEAT_S  # of the time between two looks
MISSED_MAX: Final = 10_000
FORGET_S: Final = 86_400  # rows of processes that ended long ago, with what they left claimed

log = structlog.get_logger("sealgate.database")

# A kept look-up depends on the bank's trust in single certificates, and on the known revocations.
_MARK: Final = """
SELECT md5(string_agg(sha256 || trust, ',' ORDER BY sha256)), (SELECT value FROM counter WHERE name = 'revocation')
FROM certificate WHERE trust IS NOT NULL"""
_BEAT: Final = """
INSERT INTO node (name, beat, at) VALUES (%(name)s, 1, extract(epoch FROM now())::bigint)
ON CONFLICT (name) DO UPDATE SET beat = node.beat + 1, at = excluded.at"""
_OTHERS: Final = "SELECT name, beat FROM node"
_LEAD: Final = "SELECT pg_try_advisory_lock(%(space)s, hashtext(%(role)s))"
_FORGET: Final = """
WITH gone AS (DELETE FROM node WHERE at < extract(epoch FROM now())::bigint - %(age)s RETURNING name)
DELETE FROM journal_claim WHERE owner IN (SELECT name FROM gone)"""

LEADERS: Final = 0x5EA2  # the first half of these locks' numbers, see postgresql.LOCKS

Connect = Callable[[], "psycopg.Connection[Any]"]


class Heartbeat:
    """One thread and one connection per process, from the first claim or look-up that needs it."""

    def __init__(self, connect: Connect, kept: Kept, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._connect = connect
        self._kept = kept
        self._clock = monotonic
        self._lock = threading.Lock()  # over what is known; held for moments
        self._talking = threading.Lock()  # over the connection; held while the server is asked
        self._connection: psycopg.Connection[Any] | None = None
        self._thread: threading.Thread | None = None
        self._is_late = False  # the system started no thread for it, and the log says so
        self._ended = threading.Event()
        self.works: list[Callable[[], None]] = []  # done after each look, see Database.when_there
        self._beats = False
        self._roles: dict[str, bool] = {}  # what we would lead, and whether we do
        self._watched_s = 0.0  # for how long we have watched
        self._last_beats: dict[str, tuple[int, float]] = {}  # name: its number, and `_watched_s` when it was new
        self._missed: dict[str, float] = {}  # asked for and not there: `_watched_s` at the first time
        self._looked = float("-inf")
        self._away = False

    def start(self) -> None:
        """Begins to look; costs nothing where it has. If the system starts no thread, the next call tries again."""
        try:
            self._begin()
        except GatewayError as trouble:
            if not self._is_late:
                log.warning("database.heartbeat_not_started", detail=trouble.detail)
            self._is_late = True

    def _begin(self) -> None:
        """GatewayError INTERNAL (retry) if the system starts no thread."""
        if self._thread is None and not self._ended.is_set():
            with self._lock:
                if self._thread is None:
                    self._thread = threads.start(self._run, name="pulse")

    def attend(self) -> None:
        """From now on this process is seen. When this returns its row is there.

        psycopg.Error; GatewayError INTERNAL (retry) if the system starts no thread: others would take us for dead.
        """
        if not self._beats:
            with self._talking:
                self._beat(beats=True)
                self._beats = True
        self._begin()

    def leads(self, role: str) -> bool:
        """Whether this process is the one of all nodes that leads. It is asked again and again; False at first."""
        with self._lock:
            leads = self._roles.setdefault(role, False)
        self.start()
        return leads

    def is_dead(self, name: str) -> bool | None:
        """Whether this process has no heartbeats. None: unknown, or not yet known.

        Every owner of a claim has had heartbeats before. A process without a row after so long a watch has ended
        regularly, and could not give back its claims: the database was unavailable just then.
        """
        with self._lock:
            found, watched_s = self._last_beats.get(name), self._watched_s
            if self._clock() - self._looked > DEAD_S:
                return None
            if found is not None:
                self._missed.pop(name, None)
                return watched_s - found[1] >= DEAD_S
            if len(self._missed) >= MISSED_MAX:
                self._missed.clear()
            return True if watched_s - self._missed.setdefault(name, watched_s) >= DEAD_S else None

    def close(self) -> None:
        """Deletes the row, so that no process waits until it is old."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(BEAT_S)
        with self._talking:
            if self._connection is None:
                return
            try:
                if self._beats:
                    self._connection.execute("DELETE FROM node WHERE name = %s", (str(owner.here()),))
            except psycopg.Error:
                pass
            self._connection.close()
            self._connection = None

    def _run(self) -> None:
        while True:
            try:
                with self._talking:
                    self._beat(beats=self._beats)
                self._work()
            except Exception as error:  # noqa: BLE001 - any error: a process without heartbeats counts as dead
                self._lost(error)
            if self._ended.wait(BEAT_S):
                return

    def _work(self) -> None:
        for work in self.works:
            try:
                work()
            except GatewayError as trouble:
                log.warning("database.task_failed", reason=str(trouble.reason), detail=trouble.detail)

    def _beat(self, *, beats: bool) -> None:
        try:
            if self._connection is None:
                self._connection = self._connect()
                self._connection.execute(_FORGET, {"age": FORGET_S})
            self._kept.observe(self._connection.execute(_MARK).fetchone())
            with self._lock:
                free = [role for role, leads in self._roles.items() if not leads]
            for role in free:
                found = self._connection.execute(_LEAD, {"space": LEADERS, "role": role}).fetchone()
                with self._lock:
                    self._roles[role] = found is not None and bool(found[0])
            if beats:
                self._connection.execute(_BEAT, {"name": str(owner.here())})
                self._watch(self._connection.execute(_OTHERS).fetchall())
        except Exception:  # also of the file with the password, which another program may be writing
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            with self._lock:
                self._roles = dict.fromkeys(self._roles, False)
            self._forget()
            raise
        if self._away:
            self._away = False
            log.warning("database.reachable")

    def _watch(self, rows: list[Any]) -> None:
        with self._lock:
            now, before = self._clock(), self._last_beats
            self._watched_s += min(now - self._looked, COUNTED_MAX_S)
            self._looked = now
            self._last_beats = {
                name: before[name] if name in before and before[name][0] == beat else (beat, self._watched_s)
                for name, beat in rows}

    def _forget(self) -> None:
        """The database was away: perhaps no process could show life."""
        with self._lock:
            self._last_beats, self._missed, self._looked = {}, {}, float("-inf")

    def _lost(self, error: Exception) -> None:
        if not self._away:
            self._away = True
            log.critical("database.unreachable", detail=type(error).__name__)
