"""A finished pre-flight as JSON and as a page for people."""

from collections import Counter
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from markupsafe import Markup

from gateway.errors import Reason
from gateway.model.sentences import SENTENCES
from gateway.services.statements.pages.charts import Part, columns, legend, number, percent, ring, stacked
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


def html(done: Preflight) -> str:
    """The page."""
    tally = done.tally
    body = [
        _verdict(done),
        tiles((
            ("Mails", number(tally.mails), f"of {number(tally.rows)} rows"),
            ("Sealed", percent(tally.channels[Channel.SEALED], tally.mails),
             number(tally.channels[Channel.SEALED])),
            ("Held", number(tally.channels[Channel.HELD] + tally.channels[Channel.INVITED]), "for a certificate"),
            ("Rejected", number(tally.refused), percent(tally.refused, tally.mails)),
        )),
        _channels(tally),
        side_by_side(_documents(done), _certificates(done)),
        _domains(tally),
        _problems(tally),
    ]
    foot = (f"Checked on {done.at:%d %B %Y, %H:%M} UTC in {done.took_s:.1f} s. Nothing was sent or stored.",
            "The issuer's signature was verified for one certificate of each kind. The run verifies it for every one.")
    return page(f"Pre-flight: {done.name}", f"Period {done.period}. How each mail would be sent now.", body,
                foot)


def _verdict(done: Preflight) -> Markup:
    tally = done.tally
    share = (f"{tally.expected_percent:.2f} % of the mails are expected to be rejected, judged by the sample of "
             f"documents; {done.percent_max:g} % are allowed.")
    if done.may_start:
        return banner("The run may start.", share, good=True, fair=tally.refused > 0)
    why = done.why_not
    return banner("The run will not start.", f"{why[:1].upper()}{why[1:]}.", good=False)


def _channels(tally: Tally) -> Markup:
    parts = [Part(label, tally.channels[channel], kind) for channel, (kind, label) in CHANNELS.items()]
    leaving = sum(tally.channels[channel] for channel in LEAVING)
    note = f"{number(leaving)} of {number(tally.mails)} mails would be sent immediately."
    return section("By channel", note, stacked(parts, "By channel"), legend(parts))


def _documents(done: Preflight) -> Markup:
    tally = done.tally
    if not tally.documents:
        return section("Documents", "The run makes them from a template when it sends each mail.")
    of_document = {Reason.PDF_MISSING: "are missing", Reason.PDF_UNREADABLE: "are not a complete PDF",
                   Reason.PDF_LOCKED: "need a password", Reason.PDF_TOO_LARGE: "are too large",
                   Reason.PDF_INACCESSIBLE: "are not accessible"}
    wrong = [(words, sum(count for (_, found), count in tally.reasons.items() if found is reason))
             for reason, words in of_document.items()]
    bad = sum(count for _, count in wrong)
    parts = [Part("have no fault", max(tally.documents - bad, 0), "sealed"),
             *(Part(words, count, "refused") for words, count in wrong)]
    deep = "every one" if done.thorough else f"a sample of {number(tally.sampled)}"
    note = f"{number(tally.documents)} were checked; {deep} was also checked for accessibility (PDF/UA)."
    return section("Documents", note, beside(ring(parts, "Documents"), legend(parts)))


def _certificates(done: Preflight) -> Markup:
    tally, limit = done.tally, done.at + timedelta(days=31 * MONTHS_SHOWN)
    soon = sorted((month, count) for month, count in tally.ends.items() if month <= f"{limit:%Y-%m}")
    note = (f"{number(tally.ending)} expire before the run must have finished ({done.until:%Y-%m-%d %H:%M} UTC). "
            f"Certificates that expire in the next {MONTHS_SHOWN} months:")
    if not soon:
        return section("Expiring certificates", f"{note} none.")
    this = f"{done.until:%Y-%m}"
    filled = _every_month(min(f"{done.at:%Y-%m}", soon[0][0]), soon[-1][0])
    counts = dict(soon)
    values = [(month, counts.get(month, 0)) for month in filled]
    listed = table("Certificates by the month in which they expire", ("month", "certificates"),
                   [(month, number(count)) for month, count in soon], numbers=frozenset({1}))
    return section("Expiring certificates", note,
                   columns(values, "Certificates by the month in which they expire", "held",
                           frozenset({this}) if tally.ending else frozenset()),
                   folded("As a table", f"{len(soon)} months", "Months without an expiry are left out.", listed))


def _every_month(first: str, last: str) -> list[str]:
    year, month = map(int, first.split("-"))
    found: list[str] = []
    while (name := f"{year:04}-{month:02}") <= last and len(found) < 10 * MONTHS_SHOWN:
        found.append(name)
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return found


def _domains(tally: Tally) -> Markup:
    largest = _largest(tally)
    if not largest:
        return section("By domain", "No mail has an address.")
    most = max(counts.total() for _, counts in largest)
    rows = []
    for domain, counts in largest[:DOMAINS_SHOWN]:
        parts = [Part(label, counts[channel], kind) for channel, (kind, label) in CHANNELS.items()]
        rows.append((domain, stacked(parts, domain, of=most, small=True), number(counts.total()),
                     percent(counts[Channel.SEALED], counts.total()), number(counts[Channel.REFUSED])))
    more = len(largest) - len(rows)
    note = "The largest destination domains" + (f"; {number(more)} more are in the JSON." if more > 0 else ".")
    return section("By domain", note, table(
        "Mails by destination domain", ("domain", "", "mails", "sealed", "rejected"), rows,
        drawings=frozenset({1}), numbers=frozenset({2, 3, 4}), optional=frozenset({4})))


def _problems(tally: Tally) -> Markup:
    counts: Counter[tuple[Reason, bool]] = Counter()
    for (_, reason), count in tally.reasons.items():
        counts[reason, False] += count
    counts[Reason.CUSTOMER_BLOCKED, True] = tally.blocked
    counts[Reason.CERTIFICATE_EXPIRED, True] = tally.ending
    groups: dict[tuple[Reason, bool], list[Problem]] = {}
    for problem in tally.problems:
        groups.setdefault((problem.reason, problem.warning), []).append(problem)
    ordered = sorted(counts.items(), key=lambda one: (one[0][1], -one[1]))
    parts = [_problem(reason, count, groups.get((reason, warning), []), warning=warning)
             for (reason, warning), count in ordered if count]
    if not parts:
        return section("To be checked", "No mail needs attention.")
    return section("To be checked", "Each reason with its remedy and the rows that it concerns.", *parts)


def _problem(reason: Reason, count: int, found: list[Problem], *, warning: bool) -> Markup:
    sentence = SENTENCES[reason]
    rows = [(number(one.row), one.customer, one.what) for one in found[:PROBLEMS_SHOWN]]
    shown = number(count) + (" (warning: the mails are sent)" if warning else "") + (
        f", the first {len(rows)} shown" if 0 < len(rows) < count else "")
    what = _WARNED.get(reason, sentence.what) if warning else sentence.what
    return folded(what, shown, f"{sentence.admin} ({reason})", table(
        f"Rows: {reason}", ("row", "customer", "detail"), rows, numbers=frozenset({0})) if rows else Markup())
