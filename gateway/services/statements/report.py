"""Counts the result of a run mail by mail; the same as CSV, a line for each mail.

Delivered means that the recipient's own mail server accepted the mail, as Postfix's log reports it (`delivered`). The
next hop's acceptance is only `sent`. Where no log is read, the numbers of delivered and deferred are unknown, not zero.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from gateway.errors import Reason
from gateway.ports.services.statements.rows import ItemRow, ItemState, RunRow

TOLD_MAX: Final = 500  # mails of one reason that are named; CSV has all
DOMAINS_MAX: Final = 20_000  # counted one by one
ANSWERS_MAX: Final = 1_000  # answers of servers, counted one by one
ELSEWHERE: Final = "(others)"
_ANSWER_CHARACTERS: Final = 160


class Fate(StrEnum):
    """The delivery status of a mail so far, in the order in which reports show it."""

    DELIVERED = "delivered"  # the recipient's server has it
    SENT = "sent"  # the next hop has it, more is not known
    DEFERRED = "deferred"  # the next hop tries again
    HELD = "held"
    OPEN = "open"  # still to be sent
    REPEATED = "repeated"
    CANCELLED = "cancelled"
    BOUNCED = "bounced"
    REFUSED = "refused"


_OF_STATE: Final = {ItemState.PLANNED: Fate.OPEN, ItemState.SENDING: Fate.OPEN, ItemState.WAITING: Fate.OPEN,
                    ItemState.HELD: Fate.HELD, ItemState.REFUSED: Fate.REFUSED, ItemState.REPEATED: Fate.REPEATED,
                    ItemState.CANCELLED: Fate.CANCELLED}
_OF_DELIVERY: Final = {"delivered": Fate.DELIVERED, "deferred": Fate.DEFERRED, "bounced": Fate.BOUNCED}
_OF_LOG: Final = frozenset({Fate.DELIVERED, Fate.DEFERRED})  # known from Postfix's log alone
TO_LOOK_AFTER: Final = frozenset({Fate.REFUSED, Fate.BOUNCED, Fate.DEFERRED, Fate.HELD, Fate.REPEATED})


def fate(item: ItemRow) -> Fate:
    """The delivery status of an item's mail."""
    return _OF_STATE.get(item.state) or _OF_DELIVERY.get(item.delivery, Fate.SENT)


@dataclass(frozen=True, slots=True)
class Case:
    """A mail that the operator can look after. `reason`: a Reason's value, or '' where a server's answer says why."""

    row: int
    customer: str
    fate: Fate
    reason: str
    detail: str


@dataclass(slots=True)
class Report:
    """See the module. `log_read`: whether the settings name a log of deliveries.

    `minutes`: in which mails left, to how many. `resent`: mails that went more than once; `copies`: how many further
    copies went of these, all together.
    """

    run: RunRow
    at: datetime
    log_read: bool = True
    mails: int = 0
    resent: int = 0
    copies: int = 0
    fates: Counter[Fate] = field(default_factory=Counter)
    reasons: Counter[tuple[Fate, str]] = field(default_factory=Counter)
    domains: dict[str, Counter[Fate]] = field(default_factory=dict)
    rules: dict[str, Counter[Fate]] = field(default_factory=dict)
    channels: dict[str, Counter[Fate]] = field(default_factory=dict)
    answers: Counter[tuple[Fate, str]] = field(default_factory=Counter)
    minutes: Counter[datetime] = field(default_factory=Counter)
    cases: list[Case] = field(default_factory=list)

    @property
    def delivery_known(self) -> bool:
        """Whether numbers of delivered and deferred mails mean anything."""
        return self.log_read or bool(self.fates[Fate.DELIVERED] or self.fates[Fate.DEFERRED])

    @property
    def done(self) -> int:
        """Mails that are settled."""
        return self.mails - self.fates[Fate.OPEN]


def made(run: RunRow, items: Iterable[ItemRow], at: datetime, *, log_read: bool = True) -> Report:
    """Counts them all; `at`: now; `log_read`: see Report."""
    report = Report(run, at, log_read)
    counts: Counter[tuple[Fate, str]] = Counter()
    for item in items:
        found = fate(item)
        report.mails += 1
        report.resent += item.resent > 0
        report.copies += item.resent
        report.fates[found] += 1
        _count(report.domains, item.domain, found)
        _count(report.rules, item.rule, found)
        _count(report.channels, item.channel, found)
        if item.state is ItemState.SENT:
            report.minutes[item.at.replace(second=0, microsecond=0)] += 1
        if found in (Fate.BOUNCED, Fate.DEFERRED, Fate.DELIVERED):
            answer = _short(item.answer)
            if len(report.answers) < ANSWERS_MAX or (found, answer) in report.answers:
                report.answers[found, answer] += 1
        if item.reason:
            report.reasons[found, item.reason] += 1
        if found in TO_LOOK_AFTER:
            counts[found, item.reason] += 1
            if counts[found, item.reason] <= TOLD_MAX:
                report.cases.append(Case(item.row, item.customer, found, item.reason,
                                         item.answer if found in (Fate.BOUNCED, Fate.DEFERRED) else item.detail))
    return report


def _count(table: dict[str, Counter[Fate]], name: str, found: Fate) -> None:
    if not name:
        return
    if name not in table and len(table) >= DOMAINS_MAX:
        name = ELSEWHERE
    table.setdefault(name, Counter())[found] += 1


def _short(answer: str) -> str:
    """The code and the first words, without addresses: what follows names the mail, and is another one each time."""
    kept: list[str] = []
    for word in answer[:_ANSWER_CHARACTERS].split():
        if "@" in word:
            continue
        if len(kept) >= 3 and (any(char.isdigit() for char in word) or len(word) > 24):
            break
        kept.append(word)
    return " ".join(kept)


def as_json(report: Report) -> dict[str, Any]:
    """Everything but the mails that went well, as one object."""
    run = report.run
    return {
        "run": run.id, "kind": run.kind, "about": run.about or None, "name": run.name, "period": run.period,
        "state": run.state.value, "reason": run.reason or None, "at": report.at, "created_at": run.created_at,
        "started_at": run.started_at, "ended_at": run.ended_at, "rows": run.rows, "mails": report.mails,
        "resent": report.resent, "copies": report.copies, "delivery_known": report.delivery_known,
        "fates": {one.value: None if one in _OF_LOG and not report.delivery_known else report.fates[one]
                  for one in Fate},
        "reasons": [{"fate": found.value, "reason": reason, "mails": count}
                    for (found, reason), count in report.reasons.most_common()],
        "domains": [{"domain": name, **_by_fate(counts)} for name, counts in largest(report.domains)],
        "rules": [{"rule": name, **_by_fate(counts)} for name, counts in largest(report.rules)],
        "channels": [{"channel": name, **_by_fate(counts)} for name, counts in largest(report.channels)],
        "answers": [{"fate": found.value, "answer": answer, "mails": count}
                    for (found, answer), count in report.answers.most_common(100)],
        "cases": [{"row": one.row, "customer": one.customer, "fate": one.fate.value, "reason": one.reason or None,
                   "detail": one.detail} for one in report.cases],
    }


def _by_fate(counts: Counter[Fate]) -> dict[str, int]:
    return {"mails": counts.total(), **{one.value: counts[one] for one in Fate if counts[one]}}


def largest(table: dict[str, Counter[Fate]]) -> list[tuple[str, Counter[Fate]]]:
    """The largest first."""
    return sorted(table.items(), key=lambda found: (-found[1].total(), found[0]))


COLUMNS: Final = ("row", "holder", "customer", "fate", "channel", "reason", "remedy", "detail", "domain", "rule",
                  "queue_id", "reply", "answer", "at", "delivery_at", "tries", "resent")


def csv_lines(items: Iterable[ItemRow], remedy: dict[str, str]) -> Iterator[str]:
    """One line for each mail behind one with the names of the columns (RFC 4180). `remedy`: by a Reason's value."""
    yield _line(COLUMNS)
    for item in items:
        yield _line((
            item.row, item.holder, item.customer, fate(item).value, item.channel, item.reason,
            remedy.get(item.reason, ""), item.detail, item.domain, item.rule, item.queue_id, item.reply,
            item.answer, item.at.isoformat(), item.delivery_at.isoformat() if item.delivery_at else "", item.tries,
            item.resent))


def _line(cells: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([_cell(cell) for cell in cells])
    return text.getvalue()


def _cell(value: object) -> object:
    """A stranger's server writes its answer: none of it becomes a formula where the file is opened in a spreadsheet."""
    text = "".join(char if char.isprintable() else " " for char in str(value))
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def is_reason(value: str) -> bool:
    """Whether the text is one of the vocabulary; stored ones of an older version may not be."""
    return value in Reason._value2member_map_
