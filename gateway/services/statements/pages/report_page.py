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
from gateway.services.statements.pages.charts import COLUMNS_MAX, Part, columns, legend, ring, stacked
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
from gateway.services.statements.pages.wording import ENGLISH_PAGE, Wording
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


def html(report: Report, w: Wording = ENGLISH_PAGE) -> str:
    """The page. `w`: in whose language and name."""
    run, fates = report.run, report.fates
    left = sum(fates[one] for one in _LEFT)
    body = [
        _standing(w, report),
        tiles((
            (w("Mails"), w.number(report.mails),
             w("of {rows} rows", rows=w.number(run.rows)) if run.rows is not None else w("so far")),
            (w("Delivered"), w.percent(fates[Fate.DELIVERED], report.mails), w.number(fates[Fate.DELIVERED]))
            if report.delivery_known else (w("Delivered"), w("unknown"), w("no mail log is configured")),
            (w("Waiting"), w.number(fates[Fate.HELD] + fates[Fate.DEFERRED] + fates[Fate.OPEN]),
             w("{count} of them held", count=w.number(fates[Fate.HELD]))),
            (w("Failed"), w.number(fates[Fate.REFUSED] + fates[Fate.BOUNCED]),
             w.percent(fates[Fate.REFUSED] + fates[Fate.BOUNCED], report.mails)),
        )),
        _fates(w, report, left),
        side_by_side(_delivery(w, report, left), _pace(w, report)),
        _stretched(w, w("By domain"), w("domain"), w("The largest destination domains"), largest(report.domains)),
        side_by_side(_channels(w, report), _stretched(
            w, w("By rule"), w("rule"), w("The rules of the policies that decided"), largest(report.rules))),
        _answers(w, report),
        _cases(w, report),
    ]
    foot = [w("As of {moment}. Run {run}, client {client}.", moment=w.moment(report.at), run=run.id, client=run.client)]
    if report.resent:
        foot.append(w("{copies} further copies of {mails} mails were sent with the same Message-ID, because a process "
                      "ended before the next hop had answered.", copies=w.number(report.copies),
                      mails=w.number(report.resent)))
    title = w("{kind}: {name}", kind=w(_KINDS.get(run.kind, run.kind)), name=run.name)
    about = w(", for run {run}", run=run.about) if run.about else ""
    return page(w, title, w("Period {period}{about}. Delivery status of all mails.", period=run.period, about=about),
                body, foot)


def _standing(w: Wording, report: Report) -> Markup:
    run = report.run
    match run.state:
        case RunState.DONE:
            lasted = int((run.ended_at - run.started_at).total_seconds()) if run.ended_at and run.started_at else None
            return banner(w("The run has finished.") if lasted is None else w(
                "The run has finished in {span}.", span=w.span(lasted)), _come_to(w, report), good=True,
                          fair=report.fates[Fate.REFUSED] + report.fates[Fate.BOUNCED] > 0)
        case RunState.CANCELLED:
            return banner(w("The run was cancelled."), w(
                "{count} mails were not sent.", count=w.number(report.fates[Fate.CANCELLED])), good=False)
        case RunState.STOPPED:
            why = f"{w.what(Reason(run.reason))} " if is_reason(run.reason) else ""
            return banner(w("The run was stopped."), f"{why}{run.detail}", good=False)
        case RunState.PAUSED:
            return banner(w("The run is paused."), w(
                "{count} mails are still to be sent.", count=w.number(report.fates[Fate.OPEN])), good=False)
    return banner(w("The run is in progress."), w(
        "{count} of {mails} mails are finished.", count=w.number(report.done), mails=w.number(report.mails)), good=True)


def _come_to(w: Wording, report: Report) -> str:
    fates = report.fates
    counts = (("Failed", fates[Fate.REFUSED] + fates[Fate.BOUNCED]), ("Held", fates[Fate.HELD]),
              ("Sent before", fates[Fate.REPEATED]), ("Cancelled", fates[Fate.CANCELLED]))
    shown = [w("{kind}: {name}", kind=w(name), name=w.number(count)) + "." for name, count in counts if count]
    return " ".join(shown) or w("All mails were sent.")


def _parts(w: Wording, counts: Counter[Fate], only: Sequence[Fate] = tuple(Fate)) -> list[Part]:
    return [Part(w(FATES[one][1]), counts[one], FATES[one][0]) for one in only]


def _fates(w: Wording, report: Report, left: int) -> Markup:
    parts = _parts(w, report.fates)
    return section(w("Delivery status"), w("{count} of {mails} mails have left the gateway.", count=w.number(left),
                                           mails=w.number(report.mails)),
                   stacked(w, parts, w("Delivery status")), legend(w, parts))


def _delivery(w: Wording, report: Report, left: int) -> Markup:
    parts = _parts(w, report.fates, _LEFT)
    if not report.delivery_known:
        return section(w("Delivery"), w(
            "Unknown, because no mail log is configured. Set `statements.postfix_log`. Bounces are counted if "
            "`statements.bounces` is set: {count}.", count=w.number(report.fates[Fate.BOUNCED])))
    known = left - report.fates[Fate.SENT]
    note = w("The recipient's server has answered for {count} of {mails} mails that left.", count=w.number(known),
             mails=w.number(left))
    return section(w("Delivery"), note, beside(ring(w, parts, w("Delivery")), legend(w, parts)))


def _pace(w: Wording, report: Report) -> Markup:
    if not report.minutes:
        return section(w("Speed"), w("No mail has left yet."))
    first, last = min(report.minutes), max(report.minutes)
    step = max(-(-(int((last - first).total_seconds()) // 60 + 1) // COLUMNS_MAX), 1)
    values: list[tuple[str, int]] = []
    at = first
    while at <= last:
        span = [at + timedelta(minutes=one) for one in range(step)]
        values.append((f"{at:%H:%M}", sum(report.minutes[minute] for minute in span)))
        at += timedelta(minutes=step)
    minutes = int((last - first).total_seconds()) // 60 + 1
    each = w("each minute") if step == 1 else w("every {count} minutes", count=step)
    lasted = w("one minute") if minutes == 1 else w("{count} minutes", count=w.number(minutes))
    note = w("{mails} mails in {lasted}; the columns show the mails that left {each} (UTC).",
             mails=w.number(sum(report.minutes.values())), lasted=lasted, each=each)
    return section(w("Speed"), note, columns(w, values, w("Mails that left {each}", each=each), "pdf"))


def _channels(w: Wording, report: Report) -> Markup:
    words = {channel.value: w(word) for channel, (_, word) in CHANNELS.items()}
    named = [(words.get(name, name), counts) for name, counts in largest(report.channels)]
    return _stretched(w, w("By channel"), w("channel"), w("Sealed, or another channel that a rule allows"), named)


def _stretched(w: Wording, head: str, what: str, note: str, found: list[tuple[str, Counter[Fate]]]) -> Markup:
    if not found:
        return section(head, w("No mails yet."))
    most = max(counts.total() for _, counts in found)
    rows = [(name, stacked(w, _parts(w, counts), name, of=most, small=True), w.number(counts.total()),
             w.percent(counts[Fate.DELIVERED], counts.total()), w.number(counts[Fate.REFUSED] + counts[Fate.BOUNCED]))
            for name, counts in found[:DOMAINS_SHOWN]]
    more = len(found) - len(rows)
    return section(head, note + (
        w("; {more} more are in the JSON.", more=w.number(more)) if more > 0 else "."), table(
        w("{note}, with the delivery status of their mails", note=note),
        (what, "", w("mails"), w("delivered"), w("failed")), rows,
        drawings=frozenset({1}), numbers=frozenset({2, 3, 4}), optional=frozenset({4})))


def _answers(w: Wording, report: Report) -> Markup:
    found = [((kind, answer), count) for (kind, answer), count in report.answers.most_common()
             if kind in (Fate.BOUNCED, Fate.DEFERRED) and answer]
    if not found:
        return Markup()
    rows = [(answer, w(FATES[kind][1]), w.number(count)) for (kind, answer), count in found[:ANSWERS_SHOWN]]
    head, note = w("Answers of recipients' servers"), w("The first words of replies that rejected or deferred a mail.")
    return section(head, note, table(head, (w("answer"), w("status"), w("mails")), rows, numbers=frozenset({2}),
        optional=frozenset({1})))


def _cases(w: Wording, report: Report) -> Markup:
    groups: dict[tuple[Fate, str], list[Case]] = {}
    for one in report.cases:
        groups.setdefault((one.fate, one.reason), []).append(one)
    parts = [_case(w, kind, reason, found, report) for (kind, reason), found in sorted(
        groups.items(), key=lambda pair: (tuple(Fate).index(pair[0][0]) * -1, -len(pair[1])))]
    if not parts:
        return section(w("To be checked"), w("No mail needs attention."))
    return section(w("To be checked"), w("Each reason with its remedy and the rows that it concerns."), *parts)


def _case(w: Wording, kind: Fate, reason: str, found: list[Case], report: Report) -> Markup:
    known = Reason(reason) if is_reason(reason) else None
    count = report.reasons[kind, reason] if reason else report.fates[kind]
    rows = [(w.number(one.row), one.customer, one.detail) for one in found[:CASES_SHOWN]]
    shown = f"{w(FATES[kind][1])}, {w.number(count)}" + (
        w(", the first {count} shown", count=len(rows)) if count > len(rows) else "")
    what = w.what(known) if known else w("The recipient's server gave the reason.")
    helps = f"{w.remedy(known)} ({reason})" if known else w("Its answer is shown in each row.")
    return folded(what, shown, helps, table(
        w("Rows: {reason}", reason=f"{w(FATES[kind][1])} {reason}"),
        (w("row"), w("customer"), w("detail")), rows, numbers=frozenset({0})))


def remedies() -> dict[str, str]:
    """By a Reason's value, for the CSV."""
    return {reason.value: SENTENCES[reason].admin for reason in Reason}
