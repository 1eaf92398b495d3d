"""The certificate of a recipient out of several sources, one after the other.

The rules, in the order of the code:

1. Where the policy wants enrolled ones, the store alone is asked: a customer's code never waits for a directory.
2. Bound certificates in the store end it at once, at any position of the store among the sources, usable or not: a
   directory must not step in the day the customer's own certificate ends.
3. Each source is asked in order. The first that finds something usable, or usable ones of several owners, ends it.
4. A source that does not answer ends it too, and later ones are not asked: it may have known better. What covers an
   outage is what was kept before (`adapters.directories.guarded`), never another source.
5. Certificates that cannot be used, and absence, go on to the next source; nothing usable anywhere is Unusable if there
   was any certificate, else Absent.

A certificate that the store knows as well is judged by the store's row: with the bank's word on it and what its holder
can read. Choosing among the certificates of one source is `pki.select`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.model.address import fold
from gateway.model.lookup import (
    Absent,
    CertificateAnswer,
    CertificateRow,
    Conflict,
    Found,
    Kept,
    LookedUp,
    Loser,
    SourceAnswer,
    Unavailable,
    Unusable,
    Want,
)
from gateway.model.mailbox import spellings
from gateway.pki.revocation.verdict import Revocation
from gateway.pki.select import select
from gateway.pki.trust import TrustSet
from gateway.ports.certificates import CertificateSource, Directory

Rows = tuple[CertificateRow, ...]


class LookUp:
    """See the module. Safe on many threads as its sources are."""

    def __init__(self, store: CertificateSource, sources: Sequence[CertificateSource], trust: TrustSet, clock: Clock,
                 revocation: Revocation | None = None, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`sources` in their order, `store` among them where its found certificates are to count."""
        self._store = store
        self._sources = tuple(sources)
        self._directories = {id(source): source for source in self._sources if isinstance(source, Directory)}
        self._trust = trust
        self._clock = clock
        self._revocation = revocation or Revocation()
        self._monotonic = monotonic

    def __call__(self, address: str, want: Want = "any") -> CertificateAnswer:
        """The answer; Unavailable where a source does not answer. Takes no longer than its sources' deadlines."""
        return self.explained(address, want).answer

    def explained(self, address: str, want: Want = "any", *, every: bool = False) -> LookedUp:
        """The same, with each source's answer. `every`: sources that are not needed are asked as well."""
        begun = self._monotonic()
        own = self._rows(self._store, address)
        rows: Rows = () if isinstance(own, Unavailable) else own[0]
        # 1 and 2
        alone = want == "enrolled" or isinstance(own, Unavailable) or any(row.customer is not None for row in rows)
        first = own if isinstance(own, Unavailable) else self._select(rows, address, want if alone else "any")
        answers: list[SourceAnswer] = []
        losers: tuple[Loser, ...] = ()
        final: CertificateAnswer | None = None
        if alone:
            final = first
            answers.append(SourceAnswer(self._store.name, first, "asked", self._monotonic() - begun))
        for source in self._sources:
            if source is self._store and alone:
                continue
            needed = final is None
            if not self._serves(source, address):
                answers.append(SourceAnswer(source.name, None, note="not_served"))
                continue
            if not needed and not every:
                answers.append(SourceAnswer(source.name, None, note="not_needed"))
                continue
            # 3 and 4
            begun = self._monotonic()
            kept: Kept = "asked"
            answer = first
            if source is not self._store:
                answer, kept = self._directory(source, address, rows)
            note: Literal["", "not_needed"] = "" if needed else "not_needed"
            answers.append(SourceAnswer(source.name, answer, kept, self._monotonic() - begun, note))
            if needed and not isinstance(answer, Absent):
                losers = _combined(losers, answer.losers)
                final = _with(answer, losers)
        # 5
        return LookedUp(final or (Unusable(losers) if losers else Absent()), tuple(answers))

    def _directory(self, source: CertificateSource, address: str, known: Rows) -> tuple[CertificateAnswer, Kept]:
        """What one source beside the store says; `known`: the store's rows of this address."""
        found = self._rows(source, address)
        if isinstance(found, Unavailable):
            return found, "asked"
        rows, kept = found
        own = {row.sha256: row for row in known}
        return self._select(tuple(own.get(row.sha256, row) for row in rows), address, "any"), kept

    def _select(self, rows: Rows, address: str, want: Want) -> CertificateAnswer:
        if not rows:
            return Absent()
        return select(rows, address, self._clock.now(), self._trust, want, revocation=self._revocation)

    def _serves(self, source: CertificateSource, address: str) -> bool:
        directory = self._directories.get(id(source))
        return directory is None or directory.serves(address)

    def _rows(self, source: CertificateSource, address: str) -> tuple[Rows, Kept] | Unavailable:
        """Of all spellings of the address: absence counts only where none of them is known."""
        directory = self._directories.get(id(source))
        try:
            if directory is None:
                return tuple([row for one in spellings(address) for row in source.rows(one)]), "asked"
            reply = directory.reply(address)
            others = [directory.reply(one).rows for one in spellings(address) if one != fold(address)]
            return sum(others, reply.rows), reply.kept
        except GatewayError as trouble:
            return Unavailable(trouble.detail or str(trouble.reason))


def _combined(losers: tuple[Loser, ...], more: tuple[Loser, ...]) -> tuple[Loser, ...]:
    """Each certificate once, with the reason of the first source that had it."""
    known = {loser.row.sha256 for loser in losers}
    return losers + tuple(loser for loser in more if loser.row.sha256 not in known)


def _with(answer: CertificateAnswer, losers: tuple[Loser, ...]) -> CertificateAnswer | None:
    """The answer that ends it, with the losers of all sources before; a winner is no loser. None: it goes on."""
    if isinstance(answer, Found):
        chosen = {row.sha256 for row in answer.rows}
        return replace(answer, losers=tuple(loser for loser in losers if loser.row.sha256 not in chosen))
    return replace(answer, losers=losers) if isinstance(answer, Conflict | Unavailable) else None
