"""Pre-flights put together: the store by the thousand, trust and rules as for a mail, on as many processes as wanted.

No key is loaded: nothing is signed. Each process opens the store for itself; this one reads the source.
"""

import gc
import json
import multiprocessing
import os
import secrets
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final

from gateway.adapters.db.certificates.bulk import BulkRevocations, DbBulk
from gateway.adapters.db.source_sql import fetch
from gateway.adapters.files.mac_secret import mac_secret
from gateway.adapters.keys.files import read_secret
from gateway.app.letters import wording
from gateway.app.rules import load_rules
from gateway.app.statements.template_check import tried
from gateway.app.store import Store, open_store
from gateway.app.trust import load_trust, revocations
from gateway.clock import Clock, FrozenClock
from gateway.errors import GatewayError, Reason
from gateway.frontends.processes.children import PARENT, end_with_parent
from gateway.frontends.processes.priority import stand_back
from gateway.model.decision import Decision
from gateway.model.facts import Facts, NotAsked, RecipientFacts
from gateway.model.lookup import Absent, CertificateAnswer, CertificateRow, Conflict, Found, Unavailable
from gateway.model.mail import direction
from gateway.model.mailbox import in_domains, spellings
from gateway.pdf.check import check as document_fault
from gateway.pdf.check import lacking
from gateway.pki.bulk import BulkSelect
from gateway.policy.resolve import used
from gateway.ports.services.statements.rows import RunRow
from gateway.services.statements import preflight
from gateway.services.statements.pages import preflight_page
from gateway.services.statements.pages.wording import Wording
from gateway.services.statements.preflight import CHUNK_ROWS, SAMPLE, Decided, Looking, Slim
from gateway.services.statements.series import Series
from gateway.services.statements.source import count_lines, open_regular
from gateway.services.statements.source import rows as source_rows
from gateway.services.statements.spec import Spec
from gateway.services.statements.tally import Preflight, Tally
from gateway.settings import STORE, Settings

MAIL_OCTETS: Final = 150_000  # the input of rules on size: a statement's usual size, in octets
FEW: Final = 2 * CHUNK_ROWS  # rows for which no other process is started
AHEAD: Final = 3  # chunks for each process that are read before they are needed


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be looked at. `documents`: their directory, None where they are rendered.

    `rows`: how many there may be, for the sample; None if not counted. `until`: when the run may have ended.
    """

    client: str
    from_: str
    documents: Path | None
    accessible: bool
    at: datetime
    until: datetime
    thorough: bool = False
    rows: int | None = None

    def deep(self, number: int) -> bool:
        """Whether the document of this row is looked at thoroughly: all, or a sample from the whole source.

        The sample has no fixed step between rows, because sources repeat themselves (Fibonacci hashing).
        """
        return self.thorough or (number * 0x9E3779B1 & 0xFFFFFFFF) * max((self.rows or SAMPLE) // SAMPLE, 1) >> 32 == 0


class Checker:
    """One process's part: `check` gives a chunk's tally."""

    def __init__(self, settings: Settings, plan: Plan, store: Store, clock: Clock) -> None:
        """GatewayError of the first thing that does not load."""
        self._plan = plan
        self._domains = settings.bank.domains
        self._rules = load_rules(settings, store.policy_sets.in_force())  # as the run itself decides
        self._rows = DbBulk(store.database)
        table = replace(store, revocations=BulkRevocations(store.database))
        self._answer = BulkSelect(load_trust(settings, store), revocations(settings, table).recipients, clock.now())
        order = settings.lookups.any or (STORE, *(source.name for source in settings.sources))
        self._elsewhere = tuple(name for name in order if name != STORE)
        self._store_first = order[0] == STORE
        self._facts = Facts(plan.client, plan.from_, plan.from_, "", MAIL_OCTETS)
        self._octets_max = settings.statements.document_octets_max if settings.statements is not None else 0
        self._looking = Looking(self._rows.customers, self._rows.blocked, self._rows.owners, self._rows.sent,
                                self._decide, self._document, self._lacking)

    def check(self, rows: Sequence[Slim]) -> Tally:
        """See services.statements.preflight.check."""
        return preflight.check(rows, self._looking, self._plan.until, self._plan.deep)

    def _lacking(self, name: str) -> str:
        assert self._plan.documents is not None  # noqa: S101 - it was looked at
        try:
            with open_regular(self._plan.documents / name) as file:
                return ", ".join(lacking(file.read()))
        except (GatewayError, OSError):  # it has changed just now
            return ""

    def _document(self, name: str, deep: bool) -> Reason | None:  # noqa: FBT001 - a value of the port
        if self._plan.documents is None:
            return None
        path = self._plan.documents / name
        if name in (".", ".."):
            return Reason.PDF_MISSING
        if "/" in name and not path.resolve().is_relative_to(self._plan.documents):  # costs more than all the rest
            return Reason.PDF_MISSING
        return document_fault(path, self._octets_max, depth="thorough" if deep else "quick",
                              accessible=self._plan.accessible)

    def _decide(self, segments: Mapping[str, str | None]) -> Mapping[str, Decided]:
        found = self._rows.certificates(tuple(segments))
        return {address: self._decided(address, segment, found.get(address, ()))
                for address, segment in segments.items()}

    def _decided(self, address: str, segment: str | None, rows: tuple[CertificateRow, ...]) -> Decided:
        """As pipeline.outbound.plan does it, where only a directory outside is not asked."""
        every = spellings(address)
        way = direction(client_is_ours=True, recipient_is_ours=in_domains(address, self._domains))
        any_, enrolled = self._answers(address, rows)
        to = RecipientFacts(address, way, any_, enrolled, segment, spellings=every[1:])
        decision, asks = self._rules.decide(self._facts, to), False
        if not isinstance(decision, Decision):
            asks = True
            to = replace(to, certificate=Absent())
            decision = self._rules.decide(self._facts, to)
        assert isinstance(decision, Decision)  # noqa: S101 - every fact of an outbound mail is known
        answer = used(decision, to)
        return Decided(decision, None if isinstance(answer, NotAsked) else answer, asks)

    def _answers(self, address: str, rows: tuple[CertificateRow, ...]) -> tuple[CertificateAnswer | NotAsked,
                                                                                CertificateAnswer]:
        """See pki.lookup: over all sources, and of the store for certificates bound to a customer."""
        answer = self._answer(rows, address)
        if any(row.customer is not None for row in rows):
            return answer, answer
        enrolled = self._answer(rows, address, "enrolled") if rows else answer
        ends_it = not self._elsewhere or (self._store_first and isinstance(answer, Found | Conflict | Unavailable))
        return answer if ends_it else NotAsked(), enrolled


@contextmanager
def checking(settings: Settings, plan: Plan) -> Iterator[Callable[[Iterable[Slim]], Iterator[Tally]]]:
    """What makes tallies of rows, a chunk at a time and in no order; its processes end with it.

    GatewayError STORE_UNAVAILABLE (retry), CONFIG_*; INTERNAL (retry) if a process died or could not be started.
    """
    with _one(settings, plan) as checker:
        pool: list[ProcessPoolExecutor] = []

        def tallies(rows: Iterable[Slim]) -> Iterator[Tally]:
            source = iter(rows)
            first = list(islice(source, FEW + 1))
            if len(first) <= FEW:
                for chunk in _chunks(iter(first)):
                    yield checker.check(chunk)
                return
            pool.append(_pool(settings, plan))
            yield from _spread(pool[0], _chunks(_both(first, source)))

        try:
            yield tallies
        finally:
            for one in pool:
                with suppress(RuntimeError):  # its thread was never started
                    one.shutdown(cancel_futures=True)


def _both(first: Iterable[Slim], rest: Iterable[Slim]) -> Iterator[Slim]:
    yield from first
    yield from rest


def _chunks(rows: Iterator[Slim]) -> Iterator[list[Slim]]:
    while chunk := list(islice(rows, CHUNK_ROWS)):
        yield chunk


def _spread(pool: ProcessPoolExecutor, chunks: Iterator[list[Slim]]) -> Iterator[Tally]:
    """No more is read ahead than keeps the processes busy: memory stays flat."""
    work: deque[Future[Tally]] = deque()
    try:
        for chunk in chunks:
            work.append(_submit(pool, chunk))
            if len(work) >= AHEAD * processes():
                yield work.popleft().result()
        while work:
            yield work.popleft().result()
    except BrokenProcessPool:
        raise GatewayError(Reason.INTERNAL, "a process of the pre-flight has ended", retry=True) from None


def _submit(pool: ProcessPoolExecutor, chunk: list[Slim]) -> Future[Tally]:
    try:
        return pool.submit(_check, chunk)
    except BrokenProcessPool:
        raise
    except (OSError, RuntimeError) as error:  # no more processes or threads, or no memory for one
        raise GatewayError(Reason.INTERNAL, f"a process of the pre-flight cannot be started: {error}",
                           retry=True) from None


def processes() -> int:
    """One for each core."""
    return len(os.sched_getaffinity(0))


def _pool(settings: Settings, plan: Plan) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(processes(), multiprocessing.get_context("spawn"), _start,
                               (settings, plan, os.getpid()))


_checkers: list[Checker] = []  # of a child process, its only one


def _start(settings: Settings, plan: Plan, parent: int) -> None:
    gc.freeze()  # as in statements_crew
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the parent process ends this one
    os.environ[PARENT] = str(parent)
    end_with_parent()
    if settings.statements is not None:
        stand_back(settings.statements.nice)
    _checkers.append(Checker(settings, plan, open_store(settings), FrozenClock(plan.at)))


def _check(rows: Sequence[Slim]) -> Tally:
    return _checkers[0].check(rows)


@contextmanager
def _one(settings: Settings, plan: Plan) -> Iterator[Checker]:
    """Of this process: the settings, trust and rules are known to load before any other is started."""
    store = open_store(settings)
    try:
        yield Checker(settings, plan, store, FrozenClock(plan.at))
    finally:
        store.close()


def look(settings: Settings, spec: Spec, path: Path, at: datetime, *, thorough: bool = False,
         follow: Callable[[int], None] | None = None) -> Preflight:
    """The whole pre-flight of a run: `statements check` and `send` both ask this, with the same sample of documents.

    `path`: the file of its rows; `follow`: called with the number of examined rows.

    GatewayError STORE_UNAVAILABLE (retry), CONFIG_*, INPUT_UNREADABLE.
    """
    own = settings.statements
    if own is None:
        raise GatewayError(Reason.CONFIG_INVALID, "the settings have no section `statements`")
    began = time.monotonic()
    until = at + timedelta(seconds=spec.give_up_after_s)
    plan = Plan(own.client, own.from_, spec.documents.directory, spec.documents.accessible, at, until, thorough,
                count_lines(path))
    rows = (one.row for one in source_rows(spec, path))
    percent_max = own.refused_percent_max if spec.refused_percent_max is None else min(
        spec.refused_percent_max, own.refused_percent_max)
    series, tally = Series(mac_secret(own.secret_file)), Tally()

    def named(customer: str, account: str) -> bytes:
        return series.of(customer, account, spec.period)

    with checking(settings, plan) as tallies:
        for one in tallies(preflight.once_each(preflight.slim(row, named)
                                                for row in tried(settings, spec, rows, at))):
            tally.add(one)
            if follow is not None:
                follow(tally.rows)
    if not tally.rows:
        raise GatewayError(Reason.CONFIG_INVALID,
                           f"{spec.source.path or 'the query'}: no rows, so there is nothing to send")
    return Preflight(spec.name, spec.period, at, until, time.monotonic() - began, percent_max, tally, thorough)


@contextmanager
def rows_file(settings: Settings, spec: Spec) -> Iterator[Path]:
    """The file of a run's rows; a query runs now, and its result is deleted at the end, because it has account numbers.

    CONFIG_INVALID, KEY_UNAVAILABLE (retry), INPUT_UNREADABLE.
    """
    if spec.source.path is not None:
        yield spec.source.path
        return
    sql, own = spec.source.sql, settings.statements
    if own is None or sql is None:
        raise GatewayError(Reason.CONFIG_INVALID, "the settings have no section `statements`")
    path = own.reports / f"check-{secrets.token_hex(8)}.rows.jsonl"
    try:
        fetch(read_secret(sql.url_file).split(b"\n", 1)[0].decode("utf-8", "replace").strip(), sql.query, path)
        yield path
    finally:
        path.unlink(missing_ok=True)


def gate(settings: Settings, clock: Clock, path_of: Callable[[RunRow, Spec], Path],
         alive: Callable[[], None] = lambda: None) -> Callable[[RunRow, Spec], None]:
    """The check before a run (services.statements.drive): RUN_THRESHOLD if it may not start.

    Each pre-flight, good or bad, is kept in `statements.reports`. Replacements and recalls speak to those who have a
    statement already: no threshold holds them up, but two documents for one statement stop a replacement.
    """
    def passes(run: RunRow, spec: Spec) -> None:
        path = path_of(run, spec)
        if run.kind == "replace":
            _unambiguous(settings, spec, path)
        if run.kind != "statement":
            return
        done = look(settings, spec, path, clock.now(), follow=lambda _: alive())
        assert settings.statements is not None  # noqa: S101 - `look` has looked
        keep(settings.statements.reports, run.id, done, wording(settings))
        if not done.may_start:
            raise GatewayError(done.reason or Reason.RUN_THRESHOLD, done.why_not)

    return passes


def _unambiguous(settings: Settings, spec: Spec, path: Path) -> None:
    """STATEMENT_AMBIGUOUS with the row that names another document than a row before."""
    assert settings.statements is not None  # noqa: S101 - a run was taken
    series = Series(mac_secret(settings.statements.secret_file))

    def named(customer: str, account: str) -> bytes:
        return series.of(customer, account, spec.period)

    for row in preflight.once_each(preflight.slim(one.row, named) for one in source_rows(spec, path)):
        if row.differs:
            raise GatewayError(Reason.STATEMENT_AMBIGUOUS, f"row {row.number}, customer {row.repeated[0]}")


def keep(reports: Path, run_id: str, done: Preflight, w: Wording) -> None:
    """Writes it as a page and as JSON, for readers of the directory. INPUT_UNREADABLE where it cannot be written."""
    try:
        reports.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_own(reports / f"{run_id}.preflight.html", preflight_page.html(done, w))
        write_own(reports / f"{run_id}.preflight.json", json.dumps(
            preflight_page.as_json(done), ensure_ascii=False, indent=1, default=_plain) + "\n")
    except OSError as error:
        raise GatewayError(Reason.INPUT_UNREADABLE, f"{error.filename}: {error.strerror}") from None


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def write_own(path: Path, text: str) -> None:
    """A file for its owner alone, whole or not at all. OSError."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)
