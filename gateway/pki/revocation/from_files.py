"""Lists and answers out of files, as a table of revocations for one question: what `inspect` is given.

They are read by the very code that fills the gateway's table, each against the issuers that a path turns out to
have. A file that cannot be verified is reported and not used.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from typing import Final, Literal

from gateway.cms.certificate import Certificate
from gateway.errors import GatewayError, Reason
from gateway.pki.revocation.crl import read_list
from gateway.pki.revocation.entries import authority_id, stored
from gateway.pki.revocation.ocsp import read_answer
from gateway.pki.revocation.table import judge_known, rows_of
from gateway.pki.revocation.verdict import Known
from gateway.pki.trust import TrustSet
from gateway.ports.revocation import StoredAnswer, StoredList

_GIVEN: Final = count(1)
_NOT_ABOUT_THIS: Final = frozenset({Reason.REVOCATION_UNTRUSTED, Reason.REVOCATION_REFUSED})


@dataclass(frozen=True, slots=True)
class GivenFile:
    """One file. `state`: 'used', 'refused' for its `reason`, or 'unused': no path needed it."""

    name: str
    kind: Literal["crl", "ocsp"]
    octets: bytes = field(repr=False)
    state: Literal["used", "refused", "unused"] = "unused"
    reason: Reason | None = None


class GivenRevocation:
    """See pki.revocation.verdict.RevocationData. For one process and one question, not for threads."""

    def __init__(self, files: Sequence[GivenFile], trust: TrustSet, certificates: Sequence[Certificate] = ()) -> None:
        self.files = list(files)
        self.version = f"given {next(_GIVEN)}"
        self._trust = trust
        self._certificates = certificates
        self._lists: dict[tuple[str, datetime], tuple[StoredList, ...]] = {}

    def known(self, certificate: Certificate, issuer: Certificate, at: datetime, received: datetime) -> Known:
        """See RevocationData."""
        return judge_known(certificate, rows_of(self._lists_of(issuer, received)),
                           self._answer(certificate, issuer, received), at, received)

    def _lists_of(self, issuer: Certificate, received: datetime) -> tuple[StoredList, ...]:
        key = (authority_id(issuer), received)
        if key not in self._lists:
            self._lists[key] = ()  # the signer of a list may be looked up in this very table
            found: dict[tuple[str, str], StoredList] = {}
            for place, file in enumerate(self.files):
                if file.kind != "crl":
                    continue
                try:
                    new = read_list(file.octets, issuer, self._certificates, self._trust, received, self)
                except GatewayError as error:
                    self._note(place, error.reason)
                    continue
                self.files[place] = replace(file, state="used", reason=None)
                before = found.get((new.scope, new.kind))
                if before is None or before.this_update <= new.this_update:
                    found[new.scope, new.kind] = stored(new, before, url="", fetched_at=received)
            self._lists[key] = tuple(found.values())
        return self._lists[key]

    def _answer(self, certificate: Certificate, issuer: Certificate, received: datetime) -> StoredAnswer | None:
        newest: StoredAnswer | None = None
        for place, file in enumerate(self.files):
            if file.kind != "ocsp":
                continue
            try:
                answer = read_answer(file.octets, certificate, issuer, self._trust, received).stored(received)
            except GatewayError as error:
                self._note(place, error.reason)
                continue
            self.files[place] = replace(file, state="used", reason=None)
            if newest is None or newest.this_update <= answer.this_update:
                newest = answer
        return newest

    def _note(self, place: int, reason: Reason) -> None:
        """A file that serves one issuer is not refused for being none of another's, nor is that its fault then."""
        file = self.files[place]
        if file.state == "unused" or (file.state == "refused" and file.reason in _NOT_ABOUT_THIS):
            self.files[place] = replace(file, state="refused", reason=reason)
