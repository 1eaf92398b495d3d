"""One chunk of a run: the task that every worker carries out, for any leader.

For each open item: the row of the source, the customer, the document, the mail; then the one outbound way. Before its
final dot the worker records that a mail leaves, together with the result of the mail before. That is one commit a mail,
shared by all threads (group commit). A killed process leaves at most one mail a thread of which it is unknown whether
it left; it goes again with the same Message-ID and octets, and is counted.

A document can end the process: it needs too much memory, or a library crashes. After such a death the items of the
chunk are worked on one by one, alone in their process, and each is recorded before. One that was in work at DEATHS_MAX
deaths is refused, and the others go on.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

import structlog

from gateway.clock import Clock
from gateway.errors import GatewayError, Reason, where
from gateway.model.address import domain_of, fold
from gateway.model.lookup import Customer
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome, RecipientOutcome, Settled
from gateway.ports.services.documents import Documents
from gateway.ports.services.statements.rows import Chunk, ItemRow, ItemState, RunRow, Settlement
from gateway.ports.services.statements.work import WorkStore
from gateway.services.item_lock import ItemLock
from gateway.services.statements import mail as mails
from gateway.services.statements import source
from gateway.services.statements.mail import Sender
from gateway.services.statements.source import BadRow, Row
from gateway.services.statements.spec import Spec
from gateway.services.statements.throttle import Throttle

log = structlog.get_logger("sealgate.statements")

AGAIN_S: Final = 30.0  # after the first temporary trouble of an item; doubled with each
AGAIN_MAX_S: Final = 900.0
PAUSE_S: Final = 5.0  # where the gateway itself has trouble, and no mail can leave
SURPRISES_MAX: Final = 3  # of one item; then it is refused by name
DEATHS_MAX: Final = 3  # of processes with one item alone in work; then it is refused by name
# Trouble of the gateway, not of a customer: nothing of the chunk would leave now.
_HOUSE: Final = frozenset({
    Reason.NEXT_HOP_UNAVAILABLE, Reason.NEXT_HOP_TLS, Reason.STORE_UNAVAILABLE, Reason.STORE_MISSING,
    Reason.STORE_VERSION, Reason.STORE_MISMATCH, Reason.KEY_UNAVAILABLE, Reason.STAMPER_UNAVAILABLE,
    Reason.STAMPER_CLOCK, Reason.CLOCK_WRONG, Reason.HOLD_FULL, Reason.RUN_STATE,
})


class Send(Protocol):
    """Outbound.send."""

    def __call__(self, mail: Mail, *, leaves: Callable[[], None]) -> Outcome:
        """See pipeline.outbound.send."""
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What a worker works with; threads share it.

    `unchanged`: RUN_CHANGED if the source is not what it was. `wait` sleeps so many seconds, less if the worker is to
    end.
    """

    store: WorkStore
    clock: Clock
    send: Send
    customers: Callable[[Sequence[str]], Mapping[str, Customer]]
    documents: Documents
    sender: Sender
    throttle: Throttle
    unchanged: Callable[[], None]
    ending: Callable[[], bool]
    wait: Callable[[float], None]
    lock: ItemLock


class _NotNowError(Exception):
    """A dependency failed: the worker returns the chunk."""


class _Refused(Exception):  # noqa: N818 - it is no fault of the program
    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(str(reason))
        self.reason, self.detail = reason, detail


def carry_out(tools: Tools, run: RunRow, spec: Spec, path: Path, chunk: Chunk) -> bool:
    """Sends what is open in a chunk and gives it back. False: the gateway has trouble, and the worker should rest.

    GatewayError STORE_UNAVAILABLE (retry), INPUT_UNREADABLE, RUN_CHANGED.
    """
    work = _Work(tools, run, spec, chunk)
    try:
        again = work.all(path)
    except _NotNowError:
        work.flush()
        tools.store.release(chunk, tools.clock.now(), due_at=tools.clock.now() + timedelta(seconds=PAUSE_S))
        return False
    work.flush()
    tools.store.release(chunk, tools.clock.now(), due_at=again)
    return True


class _Work:
    """One chunk in work, by one thread."""

    def __init__(self, tools: Tools, run: RunRow, spec: Spec, chunk: Chunk) -> None:
        self.tools, self.run, self.spec, self.chunk = tools, run, spec, chunk
        self.settled: list[Settlement] = []  # not written yet

    def flush(self) -> None:
        if self.settled:
            self.tools.store.note(self.chunk, self.settled, (), self.tools.clock.now())
            self.settled = []

    def all(self, path: Path) -> datetime | None:
        """When the chunk is to be tried again; None: all is settled."""
        tools = self.tools
        suspect = self.chunk.item  # first: else its attempts would no longer be in a row
        items = deque(sorted(tools.store.todo(self.chunk), key=lambda one: one.id != suspect))
        rows = self._rows(path)
        tools.unchanged()  # after they were read: nothing of another file leaves
        customers = tools.customers(list(dict.fromkeys(one.customer for one in items)))
        again: list[datetime] = []
        passed = 0  # over so many in a row, because their domain has had enough for the moment
        while items:
            item = items.popleft()
            if tools.ending():
                return tools.clock.now()
            try:
                row, customer = self._row(rows, item), self._customer(customers, item)
                to = self._addresses(row, item, customer)
                if (rest := tools.throttle.wait_s(domain_of(to[0]))) > 0:
                    if item.id == suspect:
                        items.appendleft(item)
                        passed = len(items)
                    else:
                        items.append(item)
                        passed += 1
                    if passed >= len(items):
                        self.flush()
                        tools.wait(min(rest, 1.0))
                        passed = 0
                    continue
                passed = 0
                self._survived(item)
            except _Refused as refused:
                self.settled.append(_refusal(item, refused))
                continue
            with self._in_work(item):
                settlement = self._one(item, row, customer, to)
                if settlement is not None:
                    self.settled.append(settlement)
            if settlement is None or settlement.state is ItemState.WAITING:
                again.append(self._next_time(item))
        return min(again, default=None)

    def _survived(self, item: ItemRow) -> None:
        """_Refused if one process after another died with this item alone in work."""
        if item.id == self.chunk.item and self.chunk.attempts >= DEATHS_MAX:
            log.critical("statement.ended_process", run=self.run.id, row=item.row, deaths=self.chunk.attempts)
            detail = f"the process that worked on it died {self.chunk.attempts} times"
            raise _Refused(Reason.INTERNAL, detail if item.state is not ItemState.SENDING else
                           f"it may have left; {detail}")

    @contextmanager
    def _in_work(self, item: ItemRow) -> Iterator[None]:
        """Nothing else is in work in this process, nor unwritten, while an item is that may end it."""
        tools, alone = self.tools, self.chunk.attempts > 0

        def waits() -> None:
            self.flush()
            tools.ending()  # a sign of progress

        with tools.lock.held(alone=alone, waits=waits):
            if not alone:
                try:
                    yield
                finally:
                    if tools.lock.is_contended:
                        self.flush()
                return
            self.flush()
            self._attempt(item.id)
            try:
                yield
            finally:
                self.flush()
                self._attempt(None)

    def _attempt(self, item: int | None) -> None:
        try:
            self.chunk = self.tools.store.attempt(self.chunk, item)
        except GatewayError as trouble:
            if trouble.reason is Reason.RUN_STATE:
                raise _NotNowError from None
            raise

    def _next_time(self, item: ItemRow) -> datetime:
        wait_s = min(AGAIN_S * 2**min(item.tries, 10), AGAIN_MAX_S)
        return self.tools.clock.now() + timedelta(seconds=wait_s)

    def _rows(self, path: Path) -> dict[int, Row | BadRow]:
        """Of the chunk. A file that is being written looks broken: then it is another one, or whole in a moment."""
        try:
            return self._read(path)
        except GatewayError:
            self.tools.unchanged()
        return self._read(path)

    def _read(self, path: Path) -> dict[int, Row | BadRow]:
        chunk = self.chunk
        placed = source.rows(self.spec, path, offset=chunk.offset, first=chunk.first_row, count=chunk.rows)
        return {one.row.number: one.row for one in placed}

    def _row(self, rows: Mapping[int, Row | BadRow], item: ItemRow) -> Row:
        row = rows.get(item.row)
        if not isinstance(row, Row) or item.holder >= len(row.customers) or row.customers[item.holder] != item.customer:
            raise _Refused(Reason.STATEMENT_ROW, "the row was changed after the run was planned")
        writer, kind = self.tools.sender.writer, mails.kind_of(self.run, self.spec)
        if wrong := mails.untexted(writer, kind, row.language):
            raise _Refused(Reason.STATEMENT_ROW, wrong)
        return row

    @staticmethod
    def _customer(customers: Mapping[str, Customer], item: ItemRow) -> Customer:
        customer = customers.get(item.customer)
        if customer is None:
            raise _Refused(Reason.CUSTOMER_UNKNOWN)
        return customer

    @staticmethod
    def _addresses(row: Row, item: ItemRow, customer: Customer) -> tuple[str, ...]:
        """The row's own for the first holder; else all that the customer has: one mail to all of them."""
        to = (fold(row.address),) if row.address and item.holder == 0 else customer.addresses
        if not to:
            raise _Refused(Reason.CUSTOMER_NO_ADDRESS)
        for address in to:
            if not source.is_address(address):
                raise _Refused(Reason.RECIPIENT_ADDRESS_REFUSED)
        return to

    def _document(self, row: Row, customer: Customer, dated: datetime) -> bytes | None:
        if self.run.kind == "recall":
            return None
        spec, documents = self.spec.documents, self.tools.documents
        try:
            if spec.directory is None:
                sender = self.tools.sender
                language = mails.language(sender, self.spec, row)
                return documents.make(spec.template, language, mails.document_values(
                    sender.writer.letterhead, language, self.spec, row, customer), dated)
            octets = read_document(documents, spec.directory, row.document)
        except GatewayError as trouble:
            if trouble.retry:
                raise
            raise _Refused(trouble.reason, trouble.detail) from None
        wrong = documents.check(octets, "opened", accessible=spec.accessible)
        if wrong is not None:
            raise _Refused(wrong, lacks(documents, octets) if wrong is Reason.PDF_INACCESSIBLE else "")
        return octets

    def _one(self, item: ItemRow, row: Row, customer: Customer, to: tuple[str, ...]) -> Settlement | None:
        """The result of one item. None: it is unknown whether it left, and it stays SENDING.

        A fault in one customer's data affects only this customer.
        """
        tools, now = self.tools, self.tools.clock.now()
        dated = item.at if item.tries else now.replace(microsecond=0)
        left = False

        def leaves() -> None:
            nonlocal left
            if left:  # a mail of several groups has several dots
                return
            may = tools.store.note(self.chunk, self.settled, (item.id,), dated)
            self.settled = []
            if item.id not in may:
                raise GatewayError(Reason.RUN_STATE, "the run was stopped", retry=True)
            left = True

        try:
            document = self._document(row, customer, dated)
            mail = mails.write(tools.sender, self.run, self.spec, row, item, customer, to, document, dated, now)
            outcome = tools.send(mail, leaves=leaves)
        except _Refused as refused:
            return _refusal(item, refused)
        except GatewayError as trouble:
            outcome = Outcome("", Settled.LATER if trouble.retry else Settled.REFUSED, (), trouble.reason)
            return self._settlement(item, to, outcome, dated, left=left, detail=trouble.detail)
        except Exception as unexpected:  # noqa: BLE001 - after any error the next customer's mail goes
            log.error("statement.internal_error", run=self.run.id, row=item.row, where=where(unexpected))  # noqa: TRY400 - no text
            settled = Settled.LATER if item.tries < SURPRISES_MAX else Settled.REFUSED
            return self._settlement(item, to, Outcome("", settled, (), Reason.INTERNAL), dated, left=left)
        return self._settlement(item, to, outcome, dated, left=left)

    def _settlement(self, item: ItemRow, to: tuple[str, ...], outcome: Outcome, dated: datetime, *, left: bool,
                    detail: str = "") -> Settlement | None:
        by_weight = sorted(outcome.recipients, key=_is_held)
        decisive = next((one for one in by_weight if one.reason is outcome.reason and one.reply is not None),
                    by_weight[0] if by_weight else None)
        base = Settlement(item.id, ItemState.SENT, domain_of(to[0]), (decisive.rule or "") if decisive else "",
                          str(outcome.reason or ""), detail or (decisive.detail if decisive else ""),
                          (decisive.reply or "") if decisive else "", at=self.tools.clock.now(),
                          channel=decisive.way if decisive else "")
        match outcome.answer:
            case Settled.LATER:
                return self._later(base, outcome, dated, left=left)
            case Settled.REFUSED:
                if item.state is ItemState.SENDING:  # an earlier try whose answer was lost
                    return replace(base, state=ItemState.REFUSED, detail="it may have left")
                return replace(base, state=ItemState.REFUSED, free=True)
            case _:
                held = [one for one in outcome.recipients if _is_held(one)]
                held_as = "; ".join(dict.fromkeys(one.reply or "" for one in held))
                if len(held) < len(outcome.recipients):
                    return replace(base, detail=held_as or base.detail)
                reason = next((one.reason for one in held if one.reason is not None), Reason.POLICY_HELD)
                return replace(base, state=ItemState.HELD, reason=str(reason), reply=held_as)

    def _later(self, base: Settlement, outcome: Outcome, dated: datetime, *, left: bool) -> Settlement | None:
        in_doubt = left and (not outcome.recipients or any(one.reply == "" for one in outcome.recipients))
        if outcome.reason in _HOUSE and not in_doubt:
            if left:
                self.settled.append(replace(base, state=ItemState.WAITING, at=dated))
            raise _NotNowError
        if in_doubt and self._in_time():
            return None
        if not self._in_time():
            return replace(base, state=ItemState.REFUSED, free=not in_doubt,
                           detail="it may have left" if in_doubt else base.detail)
        return replace(base, state=ItemState.WAITING, at=dated)

    def _in_time(self) -> bool:
        began = self.run.started_at or self.run.created_at
        return self.tools.clock.now() - began < timedelta(seconds=self.spec.give_up_after_s)


def _refusal(item: ItemRow, refused: _Refused) -> Settlement:
    return Settlement(item.id, ItemState.REFUSED, reason=refused.reason, detail=refused.detail,
                      free=item.state is not ItemState.SENDING)


def _is_held(one: RecipientOutcome) -> bool:
    """Also of one who was held at an earlier try, which the journal knows by its reply."""
    return one.settled is Settled.HELD or (
        one.settled is Settled.DISCARDED and (one.reply or "").startswith("held as "))


def lacks(documents: Documents, octets: bytes) -> str:
    """Of a document that is not accessible, as a detail."""
    missing = documents.lacking(octets)
    return f"the document lacks {missing}" if missing else ""


def read_document(documents: Documents, directory: Path, name: str) -> bytes:
    """A document below the run's directory. PDF_MISSING, also for one elsewhere; else as Documents.check.

    Looked at before it is read: a file of any size must not fill the memory, a pipe must not hold a worker permanently.
    """
    path = directory / name
    try:
        if not path.resolve().is_relative_to(directory):
            raise GatewayError(Reason.PDF_MISSING)
        if (wrong := documents.check(path, "quick", accessible=False)) is not None:
            raise GatewayError(wrong)
        octets = _regular(path)
    except OSError:
        raise GatewayError(Reason.PDF_MISSING) from None
    return octets


def _regular(path: Path) -> bytes:
    """A pipe that takes the file's place after the look is not waited for."""
    try:
        with source.open_regular(path) as file:
            return file.read()
    except GatewayError:
        raise GatewayError(Reason.PDF_MISSING) from None
