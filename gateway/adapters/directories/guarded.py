"""A directory outside the gateway, made bearable for the mail's way: it may be slow, dead or flooded, and no mail
waits for it longer than its deadline.

In the order of the code, for one question about one address:

1. It is asked only for the domains that it serves, and never for the bank's own.
2. A kept answer serves for its life: found certificates `positive_s`, absence `negative_s`, both no longer than the
   source says (`TimedSource`). So processes that ask one DNS resolver give up a changed answer at the same time.
3. After `failures_max` failures in a row it is left alone for `pause_s`; then one question tries it again. What a
   source that works cannot answer (`Unanswered`) is no failure.
4. Mails about the same address share one question.
5. At most `in_flight_max` questions are with it at once, and at most twice as many further mails wait for another
   mail's question; for any beyond that it must be quick, so that a slow source never has all the workers.
   Domains of an owner whose questions lately took long and had no answer (a stranger's slow DNS) share half of the
   places, so that they do not keep all others waiting. Where each domain answers for itself (`TimedSource`), a quarter
   of the places is kept for owners who have answered in time: any number of slow domains may come for the first time.
6. A question has `deadline_s`; the call itself may go on, holding its place, and a late answer is kept for the next.
7. Where there is no answer, found certificates kept before serve for `stale_s` beyond their life. Absence never does:
   it is the one answer that may let a mail leave in clear.

Every error of a source is GatewayError(CERTIFICATE_UNAVAILABLE, retry=True) here.
"""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

import structlog

from gateway import threads
from gateway.adapters.directories.rows import Unanswered
from gateway.errors import GatewayError, Reason
from gateway.model.address import domain_of
from gateway.model.lookup import CertificateRow
from gateway.model.mailbox import in_ascii
from gateway.ports.certificates import CertificateSource, Reply, TimedSource
from gateway.settings import SourceSettings

log = structlog.get_logger("sealgate.directory")

Rows = tuple[CertificateRow, ...]
Answer = tuple[str, float, float, Rows]  # address, time of the answer (monotonic), life in seconds, certificates

ENTRIES_MAX: Final = 8_192  # addresses; with what they keep bounded by the next line
OCTETS_MAX: Final = 33_554_432  # 32 MiB of certificates in all
ROWS_MAX: Final = 100  # of one answer
ROWS_OCTETS_MAX: Final = 1_048_576  # 1 MiB, of one answer
WAITING_PER_QUESTION: Final = 2  # with 4 questions at once 8 wait besides: 12 of a listener's 16 workers
ROOM_WAIT_S: Final = 0.25  # how long a mail waits that finds no room: for a burst to pass, not for a slow source
SLOW_OWNERS_MAX: Final = 1_024
PROVEN_OWNERS_MAX: Final = 8_192
_SLOW: Final = "its domain is slow, and as many questions as may be asked about such domains are with it"
_NEW: Final = "its domain is new, and as many questions as may be asked about such domains are with it"
_FULL: Final = "as many questions as may be asked at once are with it"


@dataclass(slots=True)
class _Entry:
    rows: Rows
    at: float
    life_s: float

    @property
    def octets(self) -> int:
        return sum(len(row.der) for row in self.rows)


@dataclass(slots=True)
class _Question:
    """One call to the source. `probe`: the one that tries whether it is back.

    `share`: the part of the places that all questions of its kind have together, and the detail when it is full.
    """

    ends_at: float
    probe: bool
    share: tuple[threading.BoundedSemaphore, str] | None = None
    answer: "Future[Rows]" = field(default_factory=Future)
    failed: bool = False


class Guarded:
    """See the module; a `ports.certificates.Directory` around a plain, synchronous source. Safe on many threads."""

    def __init__(self, source: CertificateSource, settings: SourceSettings, never: Collection[str] = (), *,
                 monotonic: Callable[[], float] = time.monotonic) -> None:
        """`never`: domains that no outside source is asked for (the bank's own). `monotonic`: a clock in seconds.

        Deadlines are real time, not `monotonic`: a stuck call goes on while a test's clock does not advance.
        """
        self.name = settings.name
        self._source = source
        self._settings = settings
        self._domains = frozenset(map(in_ascii, settings.domains))
        self._never = frozenset(map(in_ascii, never))
        self._now = monotonic
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Entry] = OrderedDict()
        self._octets = 0
        self._asked: dict[str, _Question] = {}
        self._room = threading.BoundedSemaphore(settings.in_flight_max)
        self._slow_room = threading.BoundedSemaphore(max(1, settings.in_flight_max // 2))
        self._new_room = threading.BoundedSemaphore(_places_for_new(settings.in_flight_max))
        self._proven: OrderedDict[str, None] | None = OrderedDict() if isinstance(source, TimedSource) else None
        self._slow: OrderedDict[str, float] = OrderedDict()  # owner to the time until which it counts as slow
        self._waiting = 0
        self._failures = 0
        self._rests_until = 0.0
        self._probing = False

    def serves(self, address: str) -> bool:
        """1."""
        domain = domain_of(in_ascii(address))
        return bool(domain) and domain not in self._never and (not self._domains or domain in self._domains)

    def rows(self, address: str) -> Rows:
        """See CertificateSource."""
        return self.reply(address).rows

    def reply(self, address: str) -> Reply:
        """See Directory. () for an address that it does not serve."""
        if not self.serves(address):
            return Reply(())
        local, at, _ = address.rpartition("@")
        key = local + at + domain_of(address)  # a directory may take the local part as exactly as RFC 8162 does
        try:
            with self._lock:
                kept = self._fresh(key)
                if kept is not None:
                    return Reply(kept, "kept")
                question, mine = self._join(key)
            return Reply(self._asks(key, address, question) if mine else self._shares(question))
        except GatewayError as trouble:
            stale = self._stale(key)
            if stale is None:
                raise
            log.warning("directory.stale_answer", source=self.name, detail=trouble.detail)
            return Reply(stale, "stale")

    def adopt(self, before: "Guarded") -> None:
        """Takes over what the one before kept, if it asked the same in the same way: a reload costs no answers, above
        all none that cover an outage. Failures and pauses are not taken over: a reload may have mended them.
        """
        asked, kept = before.kept()
        if asked == (self._settings, self._never):
            with self._lock:
                self._kept, self._octets = kept, sum(entry.octets for entry in kept.values())

    def kept(self) -> tuple[tuple[SourceSettings, frozenset[str]], OrderedDict[str, _Entry]]:
        """How it asks, and what it keeps."""
        with self._lock:
            return (self._settings, self._never), self._kept.copy()

    @property
    def asked(self) -> tuple[SourceSettings, frozenset[str]]:
        """How it asks, and about whom never."""
        return self._settings, self._never

    def answers(self) -> list[Answer]:
        """What it keeps, the longest unused first: address, time of the answer (monotonic), life in seconds, rows."""
        with self._lock:
            return [(key, entry.at, entry.life_s, entry.rows) for key, entry in self._kept.items()]

    def remember(self, answers: Iterable[Answer]) -> None:
        """Keeps answers of another process; what it knows newer itself stays."""
        with self._lock:
            for key, at, life_s, rows in answers:
                own = self._kept.get(key)
                if at <= self._now() and (own is None or own.at < at):
                    self._keep(key, _Entry(rows, at, life_s))

    @property
    def resting(self) -> bool:
        """3: whether it is left alone now."""
        with self._lock:
            return self._failures >= self._settings.failures_max and self._now() < self._rests_until

    def close(self) -> None:
        """Hangs up. A question in flight may still fail by it."""
        close = getattr(self._source, "close", None)
        if close is not None:
            close()

    def _fresh(self, key: str) -> Rows | None:
        """2."""
        entry = self._kept.get(key)
        if entry is None:
            return None
        if self._now() - entry.at >= entry.life_s:
            return None
        self._kept.move_to_end(key)
        return entry.rows

    def _stale(self, key: str) -> Rows | None:
        """7."""
        with self._lock:
            entry = self._kept.get(key)
            if entry is None or not entry.rows:
                return None
            return entry.rows if self._now() - entry.at < entry.life_s + self._settings.stale_s else None

    def _join(self, key: str) -> tuple[_Question, bool]:
        """3 and 4: the question about this address, and whether this caller is the one to ask it. Under the lock."""
        question = self._asked.get(key)
        if question is not None:
            return question, False
        resting = self._failures >= self._settings.failures_max
        if resting and (self._probing or self._now() < self._rests_until):
            raise self._unavailable("failed repeatedly and is not asked for a while")
        question = self._asked[key] = _Question(
            time.monotonic() + self._settings.deadline_s, probe=resting, share=self._share(_owner(key)))
        self._probing = self._probing or resting
        return question, True

    def _share(self, owner: str) -> tuple[threading.BoundedSemaphore, str] | None:
        """5. Under the lock."""
        if self._now() < self._slow.get(owner, 0.0):
            return self._slow_room, _SLOW
        return None if self._proven is None or owner in self._proven else (self._new_room, _NEW)

    def _asks(self, key: str, address: str, question: _Question) -> Rows:
        """5 and 6, of the mail whose question it is."""
        self._begin(key, address, question)
        return self._answer(question, question.ends_at)

    def _shares(self, question: _Question) -> Rows:
        """5 and 6, of every other mail about the same address."""
        with self._lock:
            patient = self._waiting < self._settings.in_flight_max * WAITING_PER_QUESTION
            self._waiting += 1
        try:
            return self._answer(
                question, question.ends_at if patient else min(question.ends_at, time.monotonic() + ROOM_WAIT_S))
        finally:
            with self._lock:
                self._waiting -= 1

    def _answer(self, question: _Question, until: float) -> Rows:
        try:
            return question.answer.result(timeout=max(until - time.monotonic(), 0.0))
        except TimeoutError:
            if until < question.ends_at:
                raise self._unavailable("too many mails wait for it") from None
            with self._lock:
                self._count(question, failed=True)  # once for the question, however many mails share it
            raise self._unavailable(f"no answer within {self._settings.deadline_s:g} s") from None

    def _begin(self, key: str, address: str, question: _Question) -> None:
        """Sets the call going on a thread of its own, or says in the question's answer that there is no room for it."""
        wait_s = min(ROOM_WAIT_S, self._settings.deadline_s)
        full = question.share[1] if question.share and not question.share[0].acquire(timeout=wait_s) else ""
        if not full and not self._room.acquire(timeout=wait_s):
            full = _FULL
            if question.share:
                question.share[0].release()
        if full:
            self._withdraw(key, question, full)
            return
        try:
            # A daemon: a call that never returns must not keep the process from ending.
            threads.start(self._call, key, address, question, name=f"ask-{self.name}")
        except GatewayError as trouble:
            self._release(question)
            log.warning("directory.not_asked", source=self.name, detail=trouble.detail)
            self._withdraw(key, question, trouble.detail)

    def _withdraw(self, key: str, question: _Question, why: str) -> None:
        """Says in the question's answer why the source was not asked. That is no failure of the source."""
        with self._lock:
            self._asked.pop(key, None)
            self._probing = self._probing and not question.probe
        question.answer.set_exception(self._unavailable(why))

    def _release(self, question: _Question) -> None:
        """Gives the places back that a question holds while it is with the source."""
        self._room.release()
        if question.share:
            question.share[0].release()

    def _call(self, key: str, address: str, question: _Question) -> None:
        """On the thread of the question."""
        rows: Rows = ()
        life_s = 0.0
        trouble: GatewayError | None = None
        works = True
        began = time.monotonic()
        try:
            rows, life_s = self._source_says(address)
        except GatewayError as error:
            trouble = self._unavailable(error.detail.removeprefix(f"{self.name}: ") or str(error.reason))
            works = isinstance(error, Unanswered)
        except Exception as error:  # an unexpected error of a library counts as no answer
            log.exception("directory.failed", source=self.name)
            trouble = self._unavailable(type(error).__name__)
            works = False
        with self._lock:
            self._asked.pop(key, None)
            if trouble is None:
                self._keep(key, _Entry(rows, self._now(), life_s))
            self._count(question, failed=not works)
            took_long = time.monotonic() - began > self._settings.deadline_s / 2
            self._note(_owner(key), proven=trouble is None and not took_long,
                       slow=works and trouble is not None and took_long)
        self._release(question)
        if trouble is None:
            question.answer.set_result(rows)
        else:
            question.answer.set_exception(trouble)

    def _note(self, owner: str, *, proven: bool, slow: bool) -> None:
        """5. Under the lock."""
        self._slow.pop(owner, None)
        if slow:
            self._slow[owner] = self._now() + self._settings.pause_s
            if len(self._slow) > SLOW_OWNERS_MAX:
                self._slow.popitem(last=False)
        if self._proven is not None:
            self._proven.pop(owner, None)
            if proven:
                self._proven[owner] = None
                if len(self._proven) > PROVEN_OWNERS_MAX:
                    self._proven.popitem(last=False)

    def _source_says(self, address: str) -> tuple[Rows, float]:
        """What it answers, and for how many seconds that is kept."""
        if isinstance(self._source, TimedSource):
            rows, life_s = self._source.timed_rows(address)
        else:
            rows, life_s = self._source.rows(address), math.inf
        return _bounded(rows), min(life_s, self._settings.positive_s if rows else self._settings.negative_s)

    def _count(self, question: _Question, *, failed: bool) -> None:
        """3. Under the lock. A late success is no success: the mail did not have it in time."""
        if question.failed:
            return
        question.failed = failed
        self._probing = self._probing and not question.probe
        if not failed:
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= self._settings.failures_max:
            self._rests_until = self._now() + self._settings.pause_s
            log.error("directory.circuit_open", source=self.name, failures=self._failures, for_s=self._settings.pause_s)

    def _keep(self, key: str, entry: _Entry) -> None:
        """Under the lock. The longest unused makes room."""
        before = self._kept.pop(key, None)
        self._kept[key] = entry
        self._octets += entry.octets - (before.octets if before else 0)
        while len(self._kept) > ENTRIES_MAX or self._octets > OCTETS_MAX:
            _, dropped = self._kept.popitem(last=False)
            self._octets -= dropped.octets

    def _unavailable(self, why: str) -> GatewayError:
        return GatewayError(Reason.CERTIFICATE_UNAVAILABLE, f"{self.name}: {why}", retry=True)


def _places_for_new(places: int) -> int:
    """5. All but a quarter, which is at least one where there are two."""
    return places - max(places // 4, min(places - 1, 1))


def _owner(address: str) -> str:
    """Whose DNS answers for the address: about, by the last two labels, below which one owner has any number."""
    return ".".join(domain_of(address).rsplit(".", 2)[-2:])


def _bounded(rows: Rows) -> Rows:
    if len(rows) > ROWS_MAX or sum(len(row.der) for row in rows) > ROWS_OCTETS_MAX:
        raise GatewayError(Reason.CERTIFICATE_UNAVAILABLE, f"{len(rows)} certificates are more than it may answer with")
    return rows
