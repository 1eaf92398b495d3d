"""Legal holds: records that must not be deleted at any age."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from gateway.model.audit.acts import Act, Scalar
from gateway.model.mailbox import in_ascii

_WORDS: Final = re.compile(r"[^\s<>,;:\"()\[\]]+")


@dataclass(frozen=True, slots=True)
class HoldTerms:
    """What a hold covers: records that meet all conditions which are given; '' and None are no condition.

    `message`: a Message-ID, the id that `trace` takes, a code's id or a run's id. `since` is included, `until` is not.
    """

    address: str = ""
    customer: str = ""
    message: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is no condition at all."""
        return self == HoldTerms()


@dataclass(frozen=True, slots=True)
class LegalHold:
    """`person`: who ordered it. `addresses`, `customers`: of the same persons, as the register has or had them.

    `messages`: ids of the message, by which the evidence of all its attempts is found.
    """

    number: int
    at: datetime
    person: str
    reason: str
    terms: HoldTerms
    addresses: frozenset[str] = frozenset()
    customers: frozenset[str] = frozenset()
    messages: frozenset[str] = field(default=frozenset(), compare=False)

    def covers(self, record: "RecordWords") -> bool:
        """Whether the record must be kept."""
        terms = self.terms
        if terms.since is not None and record.at < terms.since:
            return False
        if terms.until is not None and record.at >= terms.until:
            return False
        is_customers = bool(self.customers & record.customers)
        if terms.address and comparable(terms.address) not in record.words and not is_customers:
            return False
        if terms.customer and terms.customer not in record.customers and not self.addresses & record.words:
            return False
        return (not terms.message or comparable(terms.message) in record.words or bool(self.messages & record.words)
                or (is_customers and not record.has_message))

    def act(self, name: str) -> Act:
        """`legal_hold.add` or `legal_hold.remove`, for the audit log."""
        details: dict[str, Scalar] = {field: one.isoformat() for field in ("since", "until")
                                      if (one := getattr(self.terms, field)) is not None}
        return Act(name, str(self.number), details, {
            "person": self.person, "reason": self.reason, "address": self.terms.address,
            "customer": self.terms.customer, "message": self.terms.message})


@dataclass(frozen=True, slots=True)
class RecordWords:
    """What a record says, for comparison with holds. `words`: addresses and ids, each `comparable`.

    `has_message`: its words name the message that it belongs to.
    """

    at: datetime
    words: frozenset[str] = frozenset()
    customers: frozenset[str] = field(default=frozenset())
    has_message: bool = True


def comparable(word: str) -> str:
    """An address in the spelling that all its spellings have in common; a Message-ID without brackets."""
    return in_ascii(word.strip().removeprefix("<").removesuffix(">"))


def words_of(value: object) -> Iterator[str]:
    """All words of the texts in a value out of JSON, each `comparable`; a text is one, and so is each of its parts."""
    if isinstance(value, str):
        yield comparable(value)
        if len(parts := _WORDS.findall(value)) > 1 or parts != [value]:
            yield from map(comparable, parts)
    elif isinstance(value, Mapping):
        yield from _words_of_all(value.values())
    elif isinstance(value, Sequence):
        yield from _words_of_all(value)


def _words_of_all(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        yield from words_of(value)
