"""A finished pre-flight as JSON and as a page for people."""

from collections import Counter
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from markupsafe import Markup

from gateway.errors import Reason
from gateway.languages import ENGLISH
from gateway.services.statements.pages.charts import Part, columns, legend, ring, stacked
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
from gateway.services.statements.pages.wording import ENGLISH_PAGE, Wording
from gateway.services.statements.tally import LEAVING, Channel, Preflight, Problem, Tally

DOMAINS_SHOWN: Final = 15
MONTHS_SHOWN: Final = 24
PROBLEMS_SHOWN: Final = 50  # rows of one reason on the page; JSON has those of tally.TOLD_MAX

# Channel to its class in the page's style sheet, and its name.
CHANNELS: Final = MappingProxyType({
    Channel.SEALED: ("sealed", "sealed"),
    Channel.ENCRYPTED_PDF: ("pdf", "encrypted PDF"),
    Channel.INVITED: ("invited", "held, customer invited"),
    Channel.HELD: ("held", "held"),
    Channel.PLAIN: ("plain", "unencrypted, as a rule allows"),
    Channel.DIRECTORY: ("directory", "directory lookup when sent"),
    Channel.SENT_BEFORE: ("none", "sent before"),
    Channel.LATER: ("later", "deferred"),
    Channel.REFUSED: ("refused", "rejected"),
})
_WARNED: Final = MappingProxyType({
    Reason.CERTIFICATE_EXPIRED: "The certificate may expire before the run has finished.",
    Reason.CUSTOMER_BLOCKED: "The customer is blocked and receives no codes.",
})


def as_json(done: Preflight) -> dict[str, Any]:
    """Everything, as one object. Names are those of Channel and Reason."""
    tally = done.tally
    return {
        "name": done.name, "period": done.period, "at": done.at, "until": done.until, "took_s": round(done.took_s, 2),
        "may_start": done.may_start, "refused_percent": round(tally.refused_percent, 3),
        "expected_refused": tally.expected, "expected_percent": round(tally.expected_percent, 3),
        "why_not": done.why_not, "refused_percent_max": done.percent_max, "rows": tally.rows, "mails": tally.mails,
        "channels": {channel.value: tally.channels[channel] for channel in Channel},
        "reasons": [{"channel": channel.value, "reason": reason.value, "mails": count}
                    for (channel, reason), count in tally.reasons.most_common()],
        "rules": dict(tally.rules.most_common()),
        "domains": [{"domain": domain, "mails": counts.total(),
                     **{channel.value: counts[channel] for channel in Channel if counts[channel]}}
                    for domain, counts in _largest(tally)],
        "certificates": {"end_before_the_run": tally.ending, "end_in": dict(sorted(tally.ends.items()))},
        "customers_blocked": tally.blocked,
        "documents": {"looked_at": tally.documents, "thoroughly": tally.sampled,
                      "faults": tally.sample_faults, "not_accessible": tally.inaccessible,
                      "all_thoroughly": done.thorough},
        "problems": [{"row": one.row, "customer": one.customer, "reason": one.reason.value, "what": one.what,
                      "warning": one.warning} for one in tally.problems],
    }


def _largest(tally: Tally) -> list[tuple[str, Counter[Channel]]]:
    return sorted(tally.domains.items(), key=lambda found: (-found[1].total(), found[0]))


def html(done: Preflight, w: Wording = ENGLISH_PAGE) -> str:
    """The page. `w`: in whose language and name."""
    tally = done.tally
    body = [
        _verdict(w, done),
        tiles((
            (w("Mails"), w.number(tally.mails), w("of {rows} rows", rows=w.number(tally.rows))),
            (w("Sealed"), w.percent(tally.channels[Channel.SEALED], tally.mails),
             w.number(tally.channels[Channel.SEALED])),
            (w("Held"), w.number(tally.channels[Channel.HELD] + tally.channels[Channel.INVITED]),
             w("for a certificate")),
            (w("Rejected"), w.number(tally.refused), w.percent(tally.refused, tally.mails)),
        )),
        _channels(w, tally),
        side_by_side(_documents(w, done), _certificates(w, done)),
        _domains(w, tally),
        _problems(w, tally),
    ]
    foot = (w("Checked on {moment} in {seconds} s. Nothing was sent or stored.", moment=w.moment(done.at),
              seconds=w.decimal(done.took_s, 1)),
            w("The issuer's signature was verified for one certificate of each kind. The run verifies it for every "
              "one."))
    return page(w, w("Pre-flight: {name}", name=done.name),
                w("Period {period}. How each mail would be sent now.", period=done.period), body, foot)


def _verdict(w: Wording, done: Preflight) -> Markup:
    tally = done.tally
    share = w("{share} % of the mails are expected to be rejected, judged by the sample of documents; {most} % are "
              "allowed.", share=w.decimal(tally.expected_percent, 2), most=f"{done.percent_max:g}")
    if done.may_start:
        return banner(w("The run may start."), share, good=True, fair=tally.refused > 0)
    return banner(w("The run will not start."), _why_not(w, done, share), good=False)


def _why_not(w: Wording, done: Preflight, share: str) -> str:
    """In English the words that the command says, too."""
    if w.tag == ENGLISH:
        return f"{done.why_not[:1].upper()}{done.why_not[1:]}."
    if not done.tally.mails:
        return w("There is nothing to send.")
    return w.what(Reason.STATEMENT_AMBIGUOUS) if done.tally.ambiguous else share


def _channels(w: Wording, tally: Tally) -> Markup:
    parts = [Part(w(label), tally.channels[channel], kind) for channel, (kind, label) in CHANNELS.items()]
    leaving = sum(tally.channels[channel] for channel in LEAVING)
    note = w("{count} of {mails} mails would be sent immediately.", count=w.number(leaving),
             mails=w.number(tally.mails))
    return section(w("By channel"), note, stacked(w, parts, w("By channel")), legend(w, parts))


def _documents(w: Wording, done: Preflight) -> Markup:
    tally = done.tally
    if not tally.documents:
        return section(w("Documents"), w("The run makes them from a template when it sends each mail."))
    of_document = {Reason.PDF_MISSING: "are missing", Reason.PDF_UNREADABLE: "are not a complete PDF",
                   Reason.PDF_LOCKED: "need a password", Reason.PDF_TOO_LARGE: "are too large",
                   Reason.PDF_INACCESSIBLE: "are not accessible"}
    wrong = [(words, sum(count for (_, found), count in tally.reasons.items() if found is reason))
             for reason, words in of_document.items()]
    bad = sum(count for _, count in wrong)
    parts = [Part(w("have no fault"), max(tally.documents - bad, 0), "sealed"),
             *(Part(w(words), count, "refused") for words, count in wrong)]
    deep = w("every one") if done.thorough else w("a sample of {count}", count=w.number(tally.sampled))
    note = w("{count} were checked; {deep} was also checked for accessibility (PDF/UA).",
             count=w.number(tally.documents), deep=deep)
    return section(w("Documents"), note, beside(ring(w, parts, w("Documents")), legend(w, parts)))


def _certificates(w: Wording, done: Preflight) -> Markup:
    tally, limit = done.tally, done.at + timedelta(days=31 * MONTHS_SHOWN)
    soon = sorted((month, count) for month, count in tally.ends.items() if month <= f"{limit:%Y-%m}")
    head = w("Expiring certificates")
    note = w("{count} expire before the run must have finished ({moment}). Certificates that expire in the next "
             "{months} months:", count=w.number(tally.ending), moment=w.moment(done.until), months=MONTHS_SHOWN)
    if not soon:
        return section(head, f"{note} {w('none.')}")
    this = f"{done.until:%Y-%m}"
    filled = _every_month(min(f"{done.at:%Y-%m}", soon[0][0]), soon[-1][0])
    counts = dict(soon)
    values = [(month, counts.get(month, 0)) for month in filled]
    caption = w("Certificates by the month in which they expire")
    listed = table(caption, (w("month"), w("certificates")),
                   [(month, w.number(count)) for month, count in soon], numbers=frozenset({1}))
    return section(head, note,
                   columns(w, values, caption, "held", frozenset({this}) if tally.ending else frozenset()),
                   folded(w("As a table"), w("{count} months", count=len(soon)),
                          w("Months without an expiry are left out."), listed))


def _every_month(first: str, last: str) -> list[str]:
    year, month = map(int, first.split("-"))
    found: list[str] = []
    while (name := f"{year:04}-{month:02}") <= last and len(found) < 10 * MONTHS_SHOWN:
        found.append(name)
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return found


def _domains(w: Wording, tally: Tally) -> Markup:
    largest = _largest(tally)
    if not largest:
        return section(w("By domain"), w("No mail has an address."))
    most = max(counts.total() for _, counts in largest)
    rows = []
    for domain, counts in largest[:DOMAINS_SHOWN]:
        parts = [Part(w(label), counts[channel], kind) for channel, (kind, label) in CHANNELS.items()]
        rows.append((domain, stacked(w, parts, domain, of=most, small=True), w.number(counts.total()),
                     w.percent(counts[Channel.SEALED], counts.total()), w.number(counts[Channel.REFUSED])))
    more = len(largest) - len(rows)
    note = w("The largest destination domains") + (
        w("; {more} more are in the JSON.", more=w.number(more)) if more > 0 else ".")
    return section(w("By domain"), note, table(
        w("Mails by destination domain"), (w("domain"), "", w("mails"), w("sealed"), w("rejected")), rows,
        drawings=frozenset({1}), numbers=frozenset({2, 3, 4}), optional=frozenset({4})))


def _problems(w: Wording, tally: Tally) -> Markup:
    counts: Counter[tuple[Reason, bool]] = Counter()
    for (_, reason), count in tally.reasons.items():
        counts[reason, False] += count
    counts[Reason.CUSTOMER_BLOCKED, True] = tally.blocked
    counts[Reason.CERTIFICATE_EXPIRED, True] = tally.ending
    groups: dict[tuple[Reason, bool], list[Problem]] = {}
    for problem in tally.problems:
        groups.setdefault((problem.reason, problem.warning), []).append(problem)
    ordered = sorted(counts.items(), key=lambda one: (one[0][1], -one[1]))
    parts = [_problem(w, reason, count, groups.get((reason, warning), []), warning=warning)
             for (reason, warning), count in ordered if count]
    if not parts:
        return section(w("To be checked"), w("No mail needs attention."))
    return section(w("To be checked"), w("Each reason with its remedy and the rows that it concerns."), *parts)


def _problem(w: Wording, reason: Reason, count: int, found: list[Problem], *, warning: bool) -> Markup:
    rows = [(w.number(one.row), one.customer, one.what) for one in found[:PROBLEMS_SHOWN]]
    shown = w.number(count) + (w(" (warning: the mails are sent)") if warning else "") + (
        w(", the first {count} shown", count=len(rows)) if 0 < len(rows) < count else "")
    what = w(_WARNED[reason]) if warning and reason in _WARNED else w.what(reason)
    return folded(what, shown, f"{w.remedy(reason)} ({reason})", table(
        w("Rows: {reason}", reason=reason), (w("row"), w("customer"), w("detail")), rows,
        numbers=frozenset({0})) if rows else Markup())
