"""The report of a run as a page for people."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from markupsafe import Markup

from gateway.errors import Reason
from gateway.model.sentences import SENTENCES
from gateway.ports.services.statements.rows import RunState
from gateway.services.statements.pages.charts import COLUMNS_MAX, Part, columns, legend, number, percent, ring, stacked
from gateway.services.statements.pages.page import (
    banner,
    beside,
    folded,
    page,
    section,
    side_by_side,
    table,
    tiles,
)
from gateway.services.statements.pages.preflight_page import CHANNELS
from gateway.services.statements.report import Case, Fate, Report, is_reason, largest

DOMAINS_SHOWN: Final = 15
CASES_SHOWN: Final = 50
ANSWERS_SHOWN: Final = 10

# Fate to its class in the page's style sheet, and its name.
FATES: Final = MappingProxyType({
    Fate.DELIVERED: ("sealed", "delivered"),
    Fate.SENT: ("pdf", "sent, delivery not confirmed"),
    Fate.DEFERRED: ("later", "deferred by the recipient's server"),
    Fate.HELD: ("held", "held"),
    Fate.OPEN: ("none", "still to be sent"),
    Fate.REPEATED: ("directory", "sent before"),
    Fate.CANCELLED: ("invited", "cancelled"),
    Fate.BOUNCED: ("plain", "bounced"),
    Fate.REFUSED: ("refused", "refused"),
})
_LEFT: Final = (Fate.DELIVERED, Fate.SENT, Fate.DEFERRED, Fate.BOUNCED)
_KINDS: Final = {"statement": "Statements", "replace": "Replacements", "recall": "Recalls"}


def html(report: Report) -> str:
    """The page."""
    run, fates = report.run, report.fates
    left = sum(fates[one] for one in _LEFT)
    body = [
        _standing(report),
        tiles((
            ("Mails", number(report.mails), f"of {number(run.rows)} rows" if run.rows is not None else "so far"),
            ("Delivered", percent(fates[Fate.DELIVERED], report.mails), number(fates[Fate.DELIVERED]))
            if report.delivery_known else ("Delivered", "unknown", "no mail log is configured"),
            ("Waiting", number(fates[Fate.HELD] + fates[Fate.DEFERRED] + fates[Fate.OPEN]), _waiting(report)),
            ("Failed", number(fates[Fate.REFUSED] + fates[Fate.BOUNCED]),
             percent(fates[Fate.REFUSED] + fates[Fate.BOUNCED], report.mails)),
        )),
        _fates(report, left),
        side_by_side(_delivery(report, left), _pace(report)),
        _stretched("By domain", "domain", "The largest destination domains", largest(report.domains)),
        side_by_side(_channels(report), _stretched("By rule", "rule", "The rules of the policies that decided",
                                                   largest(report.rules))),
        _answers(report),
        _cases(report),
    ]
    foot = [f"As of {report.at:%d %B %Y, %H:%M} UTC. Run {run.id}, client {run.client}."]
    if report.resent:
        foot.append(f"{number(report.copies)} further copies of {number(report.resent)} mails were sent with the same "
                    "Message-ID, because a process ended before the next hop had answered.")
    title = _KINDS.get(run.kind, run.kind)
    about = f", for run {run.about}" if run.about else ""
    return page(f"{title}: {run.name}", f"Period {run.period}{about}. Delivery status of all mails.", body, foot)


def _standing(report: Report) -> Markup:
    run = report.run
    match run.state:
        case RunState.DONE:
            lasted = f" in {_span(run.ended_at - run.started_at)}" if run.ended_at and run.started_at else ""
            return banner(f"The run has finished{lasted}.", _come_to(report), good=True,
                          fair=report.fates[Fate.REFUSED] + report.fates[Fate.BOUNCED] > 0)
        case RunState.CANCELLED:
            return banner("The run was cancelled.", f"{number(report.fates[Fate.CANCELLED])} mails were not sent.",
                          good=False)
        case RunState.STOPPED:
            why = f"{SENTENCES[Reason(run.reason)].what} " if is_reason(run.reason) else ""
            return banner("The run was stopped.", f"{why}{run.detail}", good=False)
        case RunState.PAUSED:
            return banner("The run is paused.", f"{number(report.fates[Fate.OPEN])} mails are still to be sent.",
                          good=False)
    return banner("The run is in progress.", f"{number(report.done)} of {number(report.mails)} mails are finished.",
                  good=True)


def _come_to(report: Report) -> str:
    fates = report.fates
    counts = (("Failed", fates[Fate.REFUSED] + fates[Fate.BOUNCED]), ("Held", fates[Fate.HELD]),
              ("Sent before", fates[Fate.REPEATED]), ("Cancelled", fates[Fate.CANCELLED]))
    return " ".join(f"{name}: {number(count)}." for name, count in counts if count) or "All mails were sent."


def _span(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _waiting(report: Report) -> str:
    return f"{number(report.fates[Fate.HELD])} of them held"


def _parts(counts: Counter[Fate], only: Sequence[Fate] = tuple(Fate)) -> list[Part]:
    return [Part(FATES[one][1], counts[one], FATES[one][0]) for one in only]


def _fates(report: Report, left: int) -> Markup:
    parts = _parts(report.fates)
    return section("Delivery status", f"{number(left)} of {number(report.mails)} mails have left the gateway.",
                   stacked(parts, "Delivery status"), legend(parts))


def _delivery(report: Report, left: int) -> Markup:
    parts = _parts(report.fates, _LEFT)
    if not report.delivery_known:
        note = ("Unknown, because no mail log is configured. Set `statements.postfix_log`. Bounces are counted if "
                f"`statements.bounces` is set: {number(report.fates[Fate.BOUNCED])}.")
        return section("Delivery", note)
    known = left - report.fates[Fate.SENT]
    note = f"The recipient's server has answered for {number(known)} of {number(left)} mails that left."
    return section("Delivery", note, beside(ring(parts, "Delivery"), legend(parts)))


def _pace(report: Report) -> Markup:
    if not report.minutes:
        return section("Speed", "No mail has left yet.")
    first, last = min(report.minutes), max(report.minutes)
    step = max(-(-(int((last - first).total_seconds()) // 60 + 1) // COLUMNS_MAX), 1)
    values: list[tuple[str, int]] = []
    at = first
    while at <= last:
        span = [at + timedelta(minutes=one) for one in range(step)]
        values.append((f"{at:%H:%M}", sum(report.minutes[minute] for minute in span)))
        at += timedelta(minutes=step)
    minutes = int((last - first).total_seconds()) // 60 + 1
    each = "each minute" if step == 1 else f"every {step} minutes"
    note = (f"{number(sum(report.minutes.values()))} mails in {number(minutes)} minute{'s' if minutes > 1 else ''}; "
            f"the columns show the mails that left {each} (UTC).")
    return section("Speed", note, columns(values, f"Mails that left {each}", "pdf"))


def _channels(report: Report) -> Markup:
    words = {channel.value: word for channel, (_, word) in CHANNELS.items()}
    named = [(words.get(name, name), counts) for name, counts in largest(report.channels)]
    return _stretched("By channel", "channel", "Sealed, or another channel that a rule allows", named)


def _stretched(head: str, what: str, note: str, found: list[tuple[str, Counter[Fate]]]) -> Markup:
    if not found:
        return section(head, "No mails yet.")
    most = max(counts.total() for _, counts in found)
    rows = [(name, stacked(_parts(counts), name, of=most, small=True), number(counts.total()),
             percent(counts[Fate.DELIVERED], counts.total()), number(counts[Fate.REFUSED] + counts[Fate.BOUNCED]))
            for name, counts in found[:DOMAINS_SHOWN]]
    more = len(found) - len(rows)
    return section(head, note + (f"; {number(more)} more are in the JSON." if more > 0 else "."), table(
        f"{note}, with the delivery status of their mails", (what, "", "mails", "delivered", "failed"), rows,
        drawings=frozenset({1}), numbers=frozenset({2, 3, 4}), optional=frozenset({4})))


def _answers(report: Report) -> Markup:
    found = [((kind, answer), count) for (kind, answer), count in report.answers.most_common()
             if kind in (Fate.BOUNCED, Fate.DEFERRED) and answer]
    if not found:
        return Markup()
    rows = [(answer, FATES[kind][1], number(count)) for (kind, answer), count in found[:ANSWERS_SHOWN]]
    note = "The first words of replies that rejected or deferred a mail."
    return section("Answers of recipients' servers", note, table(
        "Answers of recipients' servers", ("answer", "status", "mails"), rows, numbers=frozenset({2}),
        optional=frozenset({1})))


def _cases(report: Report) -> Markup:
    groups: dict[tuple[Fate, str], list[Case]] = {}
    for one in report.cases:
        groups.setdefault((one.fate, one.reason), []).append(one)
    parts = [_case(kind, reason, found, report) for (kind, reason), found in sorted(
        groups.items(), key=lambda pair: (tuple(Fate).index(pair[0][0]) * -1, -len(pair[1])))]
    if not parts:
        return section("To be checked", "No mail needs attention.")
    return section("To be checked", "Each reason with its remedy and the rows that it concerns.", *parts)


def _case(kind: Fate, reason: str, found: list[Case], report: Report) -> Markup:
    sentence = SENTENCES[Reason(reason)] if is_reason(reason) else None
    count = report.reasons[kind, reason] if reason else report.fates[kind]
    rows = [(number(one.row), one.customer, one.detail) for one in found[:CASES_SHOWN]]
    shown = f"{FATES[kind][1]}, {number(count)}" + (f", the first {len(rows)} shown" if count > len(rows) else "")
    what = sentence.what if sentence else "The recipient's server gave the reason."
    helps = f"{sentence.admin} ({reason})" if sentence else "Its answer is shown in each row."
    return folded(what, shown, helps, table(
        f"Rows: {kind} {reason}", ("row", "customer", "detail"), rows, numbers=frozenset({0})))


def remedies() -> dict[str, str]:
    """By a Reason's value, for the CSV."""
    return {reason.value: SENTENCES[reason].admin for reason in Reason}
