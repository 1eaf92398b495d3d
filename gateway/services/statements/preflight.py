"""Before a run: how each mail of it would leave if it left now. Nothing is sent, and nothing is stored.

The rules are asked as they are for a mail, with the same facts, by the same code. Customers and certificates are read
by the thousand, so that a million takes less than a minute. What is looked at, in the order of the code:

1. the row itself: is it one, is its statement in the source before, was it sent by another run
2. the customer: is there one, has it an address, is that one, is an address of the row another customer's; are its
   codes blocked, which stops no statement
3. the document: is it there, whole, not locked, not too large; of a sample: is it sound inside, and accessible. What
   the sample shows is expected of all documents, and counts for the threshold
4. the certificate, and what the rules make of the answer; is it bound to another customer (pipeline.outbound.plan)
5. does the certificate end before the run may have ended
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Final

from gateway.errors import Reason
from gateway.model.address import domain_of, fold
from gateway.model.decision import Decision
from gateway.model.lookup import CertificateAnswer, Customer, Found
from gateway.services.statements.source import BadRow, Row, is_address
from gateway.services.statements.tally import Channel, Problem, Tally, first_of_each

CHUNK_ROWS: Final = 2_000
SAMPLE: Final = 200  # documents that are looked at thoroughly

_WEAKNESS: Final = {channel: place for place, channel in enumerate(Channel)}


@dataclass(frozen=True, slots=True)
class Slim:
    """Of a row what a pre-flight needs; `problem`: of one that is none. No account, no values.

    `series`: of each customer's statement, as the run will name it; () where that is not looked at. `repeated`:
    customers whose statement is in the source before. `content`: a hash of what is sent, of this process; `differs`:
    the row before names another document, and it is unknown which is right.
    """

    number: int
    customers: tuple[str, ...]
    address: str = ""
    document: str = ""
    series: tuple[bytes, ...] = ()
    version: str = ""
    repeated: tuple[str, ...] = ()
    content: int = 0
    differs: bool = False
    problem: Reason | None = None
    what: str = ""


def slim(row: Row | BadRow, series: Callable[[str, str], bytes]) -> Slim:
    """Everything else stays in the process that reads the source. `series`: of a customer and an account."""
    if isinstance(row, BadRow):
        return Slim(row.number, (row.customer,), problem=Reason.STATEMENT_ROW, what=row.problem)
    return Slim(row.number, row.customers, row.address, row.document,
                tuple(series(customer, row.account) for customer in row.customers), row.version,
                content=hash(row.document or repr(row.values)))


def once_each(rows: Iterable[Slim]) -> Iterator[Slim]:
    """Marks each statement that is in the source a second time. Keeps some 150 octets for each statement."""
    contents: dict[int, int] = {}
    for row in rows:
        names = [hash((series, row.version)) for series in row.series]
        if contents.keys().isdisjoint(names):
            yield row
        else:
            repeated = tuple(dict.fromkeys(
                customer for customer, name in zip(row.customers, names, strict=True) if name in contents))
            yield replace(row, repeated=repeated,
                          differs=any(contents.get(name, row.content) != row.content for name in names))
        for name in names:
            contents.setdefault(name, row.content)


@dataclass(frozen=True, slots=True)
class Decided:
    """What the rules make of one address now. `answer`: of the certificate, None where they did not ask for it.

    `asks`: a directory outside would be asked first, which is not done by the million.
    """

    decision: Decision
    answer: CertificateAnswer | None = None
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Looking:
    """What is asked of the outside; each call takes up to 5,000 of them."""

    customers: Callable[[Sequence[str]], Mapping[str, Customer]]
    blocked: Callable[[Sequence[str]], frozenset[str]]
    owners: Callable[[Sequence[str]], Mapping[str, str]]  # of addresses (folded) the customer's number, where known
    sent: Callable[[Sequence[bytes]], frozenset[tuple[bytes, str]]]  # series and version, of another run's statements
    decide: Callable[[Mapping[str, str | None]], Mapping[str, Decided]]  # of address (folded) to segment
    document: Callable[[str, bool], Reason | None]  # file name, thoroughly
    lacking: Callable[[str], str]  # file name; of one that is not accessible


_Mail = tuple[Slim, str, tuple[str, ...], str | None]  # row, customer, addresses (folded), segment


def check(rows: Sequence[Slim], looking: Looking, until: datetime, thorough: Callable[[int], bool]) -> Tally:
    """One chunk of at most CHUNK_ROWS rows. `thorough`: whether the document of a row is looked at thoroughly.

    GatewayError(STORE_UNAVAILABLE, retry=True).
    """
    tally = Tally(rows=len(rows))
    mails = _addressed(rows, looking, tally)
    segments = {address: segment for _, _, addresses, segment in mails for address in addresses}
    decided = looking.decide(segments) if segments else {}
    documents: dict[str, _Sight] = {}
    for row, number, addresses, _ in mails:
        if row.document and row.document not in documents:
            documents[row.document] = _document(row, looking, tally, deep=thorough(row.number))
        sight = documents.get(row.document, _SOUND)
        if sight.reason is not None:
            _refuse(tally, row, number, sight.reason, sight.what, domain_of(addresses[0]))
        else:
            tally.unsampled += not sight.deep
            _mail(tally, row, number, [(address, _for_others(row, decided[address])) for address in addresses], until)
    tally.problems = first_of_each(tally.problems)
    return tally


def _addressed(rows: Sequence[Slim], looking: Looking, tally: Tally) -> list[_Mail]:
    """1 and 2: a mail for each row and holder; those that cannot go are counted at once."""
    numbers = list(dict.fromkeys(number for row in rows if row.problem is None for number in row.customers))
    customers: dict[str, Customer] = {}
    blocked: set[str] = set()
    for start in range(0, len(numbers), CHUNK_ROWS):
        page = numbers[start:start + CHUNK_ROWS]
        customers.update(looking.customers(page))
        blocked.update(looking.blocked(page))
    owners: dict[str, str] = {}
    given = list(dict.fromkeys(fold(row.address) for row in rows if row.address))
    for start in range(0, len(given), CHUNK_ROWS):
        owners.update(looking.owners(given[start:start + CHUNK_ROWS]))
    sent = looking.sent([series for row in rows for series in row.series])
    mails: list[_Mail] = []
    for row in rows:
        if row.problem is not None:
            _refuse(tally, row, row.customers[0], row.problem, row.what)
            continue
        for place, number in enumerate(row.customers):
            if number in row.repeated and row.differs:
                _refuse(tally, row, number, Reason.STATEMENT_AMBIGUOUS, row.document)
                tally.ambiguous += 1
                continue
            if number in row.repeated or (row.series and (row.series[place], row.version) in sent):
                _before(tally, row, number)
                continue
            customer = customers.get(number)
            addresses = tuple(map(fold, (row.address,))) if row.address and number == row.customers[0] else (
                customer.addresses if customer is not None else ())
            if customer is None:
                _refuse(tally, row, number, Reason.CUSTOMER_UNKNOWN)
            elif not addresses:
                _refuse(tally, row, number, Reason.CUSTOMER_NO_ADDRESS)
            elif wrong := next((address for address in addresses if not is_address(address)), ""):
                _refuse(tally, row, number, Reason.RECIPIENT_ADDRESS_REFUSED, wrong)
            elif wrong := next((address for address in addresses
                                if owners.get(address, number) not in row.customers), ""):
                _refuse(tally, row, number, Reason.RECIPIENT_OTHER_CUSTOMER, wrong)
            else:
                mails.append((row, number, addresses, customer.segment))
                if number in blocked:
                    tally.blocked += 1
                    tally.problems.append(Problem(row.number, number, Reason.CUSTOMER_BLOCKED, warning=True))
    return mails


@dataclass(frozen=True, slots=True)
class _Sight:
    """Of a document. `deep`: nothing more can be found out about it."""

    reason: Reason | None
    what: str = ""
    deep: bool = True


_SOUND: Final = _Sight(None)


def _document(row: Slim, looking: Looking, tally: Tally, *, deep: bool) -> _Sight:
    """3."""
    tally.documents += 1
    wrong = looking.document(row.document, False)
    if wrong is not None:
        return _Sight(wrong, row.document)
    if not deep:
        return _Sight(None, deep=False)
    wrong = looking.document(row.document, True)
    tally.sampled += 1
    tally.sample_faults += wrong is not None
    if wrong is not Reason.PDF_INACCESSIBLE:
        return _Sight(wrong, row.document)
    tally.inaccessible += 1
    missing = looking.lacking(row.document)
    return _Sight(wrong, f"{row.document} lacks {missing}" if missing else row.document)


def _for_others(row: Slim, one: Decided) -> Decided:
    """As pipeline.outbound.plan does it: a certificate that is bound to another customer refuses the mail."""
    if not isinstance(one.answer, Found) or all(
            found.customer is None or found.customer in row.customers for found in one.answer.rows):
        return one
    end = replace(one.decision.end, kind="reject")
    return Decided(replace(one.decision, steps=(), end=end, reason=Reason.RECIPIENT_OTHER_CUSTOMER))


def _mail(tally: Tally, row: Slim, number: str, decided: Sequence[tuple[str, Decided]], until: datetime) -> None:
    """4 and 5. A mail to several addresses goes as its weakest one does: nothing leaves where one is refused."""
    address, one = decided[0]
    channel = channel_of(one)
    for other, found in decided[1:]:
        if _WEAKNESS[weaker := channel_of(found)] > _WEAKNESS[channel]:
            channel, address, one = weaker, other, found
    reason = one.decision.reason if channel in (Channel.REFUSED, Channel.LATER) else None
    tally.count(channel, domain_of(address), one.decision.rule, reason)
    if reason is not None:
        tally.problems.append(Problem(row.number, number, reason, address))
    for address, one in decided:
        if isinstance(one.answer, Found):
            ends = max(found.not_after for found in one.answer.rows)
            tally.ends[_month(ends)] += 1
            if ends <= until:
                tally.ending += 1
                tally.problems.append(Problem(row.number, number, Reason.CERTIFICATE_EXPIRED,
                                              f"{address}: ends {ends:%Y-%m-%d %H:%M}Z", warning=True))


@lru_cache(maxsize=4096)
def _month(at: datetime) -> str:
    return f"{at:%Y-%m}"


def channel_of(decided: Decided) -> Channel:
    """How a mail leaves on which this was decided."""
    decision = decided.decision
    if decided.asks:
        return Channel.DIRECTORY
    match decision.end.kind:
        case "reject" | "quarantine":
            return Channel.REFUSED
        case "defer":
            return Channel.LATER
    return Channel(decision.channel)


def _refuse(tally: Tally, row: Slim, number: str, reason: Reason, what: str = "", domain: str = "") -> None:
    tally.count(Channel.REFUSED, domain, reason=reason)
    tally.problems.append(Problem(row.number, number, reason, what))


def _before(tally: Tally, row: Slim, number: str) -> None:
    reason = Reason.STATEMENT_REPEATED if number in row.repeated else Reason.STATEMENT_SENT_BEFORE
    tally.count(Channel.SENT_BEFORE, "", reason=reason)
    tally.problems.append(Problem(row.number, number, reason))

