"""What a pre-flight has found so far: counts that can be added up, so that several processes count together.

It holds no account number, and of documents only the file name. It names a customer's number and address only where
the operator has to look after them.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from gateway.errors import Reason

TOLD_MAX: Final = 500  # problems of one reason that are named; all are counted
DOMAINS_MAX: Final = 20_000  # counted one by one; rarer ones beyond them together
ELSEWHERE: Final = "(others)"
THRESHOLD: Final = "`refused_percent_max`: the lower one of run and settings counts"


class Channel(StrEnum):
    """How a mail would leave now, in the order in which reports show them."""

    SEALED = "sealed"
    ENCRYPTED_PDF = "encrypted_pdf"
    INVITED = "invited"  # held, and the customer is invited to enrol
    HELD = "held"
    PLAIN = "plain"
    DIRECTORY = "directory"  # a directory outside is asked when it is sent
    SENT_BEFORE = "sent_before"  # by another run, or it is in the source before
    LATER = "later"  # temporary trouble: `reason`
    REFUSED = "refused"  # `reason`


LEAVING: Final = (Channel.SEALED, Channel.ENCRYPTED_PDF, Channel.PLAIN, Channel.DIRECTORY)


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding that the operator can look after. `row`: of the source, from 1; `what`: what it is about, or ''.

    `warning`: the mail leaves all the same.
    """

    row: int
    customer: str
    reason: Reason
    what: str = ""
    warning: bool = False


@dataclass(slots=True)
class Tally:
    """See the module. `mails`: one for each row and holder; `rows`: of the source.

    `ends`: month (2027-03) to certificates that end in it; `ending`: those that end before the run may have ended.
    `blocked`: mails to customers who get no codes: they leave all the same, and the report says so.
    `ambiguous`: mails whose statement is in the source with another document before: the run does not start.
    `documents`: looked at; `sampled`: those of them that were looked at thoroughly, `sample_faults` of which cannot go,
    `inaccessible` of these for want of accessibility. `unsampled`: mails that may go, as far as a quick look at their
    document shows.
    """

    rows: int = 0
    mails: int = 0
    channels: Counter[Channel] = field(default_factory=Counter)
    reasons: Counter[tuple[Channel, Reason]] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    domains: dict[str, Counter[Channel]] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)
    ending: int = 0
    blocked: int = 0
    documents: int = 0
    ambiguous: int = 0
    sampled: int = 0
    sample_faults: int = 0
    inaccessible: int = 0
    unsampled: int = 0
    problems: list[Problem] = field(default_factory=list)

    def count(self, channel: Channel, domain: str, rule: str = "", reason: Reason | None = None) -> None:
        """One mail."""
        self.mails += 1
        self.channels[channel] += 1
        if reason is not None:
            self.reasons[channel, reason] += 1
        if rule:
            self.rules[rule] += 1
        if domain:
            self._domain(domain)[channel] += 1

    def _domain(self, domain: str) -> Counter[Channel]:
        found = self.domains.get(domain)
        if found is None:
            if len(self.domains) >= DOMAINS_MAX:
                domain = ELSEWHERE
            found = self.domains.setdefault(domain, Counter())
        return found

    def add(self, other: "Tally") -> None:
        """Counts of another process. Its problems are added as far as they are reported: see `first_of_each`."""
        self.rows += other.rows
        self.mails += other.mails
        self.channels += other.channels
        self.reasons += other.reasons
        self.rules += other.rules
        self.ends += other.ends
        self.ending += other.ending
        self.blocked += other.blocked
        self.documents += other.documents
        self.ambiguous += other.ambiguous
        self.sampled += other.sampled
        self.sample_faults += other.sample_faults
        self.inaccessible += other.inaccessible
        self.unsampled += other.unsampled
        for domain, counts in other.domains.items():
            self._domain(domain).update(counts)
        self.problems = first_of_each((*self.problems, *other.problems))

    @property
    def refused(self) -> int:
        """Mails that cannot go: neither now nor by waiting."""
        return self.channels[Channel.REFUSED]

    @property
    def refused_percent(self) -> float:
        """Of all mails; 0 where there are none."""
        return 100.0 * self.refused / self.mails if self.mails else 0.0

    @property
    def expected(self) -> int:
        """Mails that cannot go if all documents are like those of the sample."""
        faults = self.sample_faults / self.sampled if self.sampled else 0.0
        return self.refused + round(faults * self.unsampled)

    @property
    def expected_percent(self) -> float:
        """`expected` of all mails: what the threshold counts."""
        return 100.0 * self.expected / self.mails if self.mails else 0.0


def first_of_each(problems: Iterable[Problem]) -> list[Problem]:
    """The first TOLD_MAX of each reason, in the order of rows."""
    left: Counter[tuple[Reason, bool]] = Counter()
    kept: list[Problem] = []
    for problem in sorted(problems, key=lambda one: one.row):
        left[problem.reason, problem.warning] += 1
        if left[problem.reason, problem.warning] <= TOLD_MAX:
            kept.append(problem)
    return kept


@dataclass(frozen=True, slots=True)
class Preflight:
    """A finished pre-flight. `percent_max`: above it a run does not start. `until`: by when the run may have ended."""

    name: str
    period: str
    at: datetime
    until: datetime
    took_s: float
    percent_max: float
    tally: Tally
    thorough: bool = False

    @property
    def may_start(self) -> bool:
        """Whether a run may start: see `why_not`."""
        return not self.why_not

    @property
    def reason(self) -> Reason | None:
        """Of a run that does not start."""
        if self.may_start:
            return None
        return Reason.STATEMENT_AMBIGUOUS if self.tally.ambiguous else Reason.RUN_THRESHOLD

    @property
    def why_not(self) -> str:
        """Why the run does not start, in words; '' if it may."""
        tally = self.tally
        if not tally.mails:
            return "there is nothing to send"
        if tally.ambiguous:
            return f"{tally.ambiguous} mails name a statement that an earlier row names with another document"
        if tally.expected_percent > self.percent_max:
            of_sample = "" if tally.expected == tally.refused else (
                f" if all documents are like those of the sample ({tally.sample_faults} of {tally.sampled} fail)")
            return (f"{tally.expected} of {tally.mails} mails would be rejected{of_sample}; {self.percent_max:g} % are "
                    f"allowed ({THRESHOLD})")
        return ""
