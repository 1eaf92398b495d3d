"""Was it revoked at t? The seam for the bank's own table of revocations, and what is said while there is none.

Modes, for signers, time-stampers and recipients alike:
- `none`: nobody asks, nothing is told
- `soft`: what is known counts; where nothing is known it is told (revocation.not_checked), the verdict stays, and
  acts that need fresh data are refused
- `require`: where nothing is known the verdict is indeterminate (revocation.unavailable)

A revocation counts if its date is not after t; `pki.path` is never asked with revocation data, since
its library takes today's list for useless at a past t.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Literal, Protocol

from gateway.cms.certificate import Certificate
from gateway.errors import Reason
from gateway.model.verdict import Status

RevocationMode = Literal["none", "soft", "require"]
Known = Literal["good", "revoked", "unknown"]


class RevocationData(Protocol):
    """The table. It answers for one certificate, at the time t, from what is known at `received`."""

    version: str

    def known(self, certificate: Certificate, issuer: Certificate, at: datetime, received: datetime) -> Known:
        """Whether it was revoked at `at`; 'unknown' where the data do not cover it."""
        ...


class NoRevocationData:
    """Knows nothing."""

    version = "none"

    def known(self, certificate: Certificate, issuer: Certificate, at: datetime, received: datetime) -> Known:  # noqa: ARG002
        """See RevocationData."""
        return "unknown"


@dataclass(frozen=True, slots=True)
class RevocationVerdict:
    """`status` VALID, INVALID or INDETERMINATE with its `reason`; `note` is told and decides nothing.

    `fresh`: every certificate below the anchor is known to be good.
    """

    status: Status = Status.VALID
    reason: Reason | None = None
    note: Reason | None = None
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Revocation:
    """A mode over a table."""

    mode: RevocationMode = "soft"
    data: RevocationData = field(default_factory=NoRevocationData)

    def judge(self, path: Sequence[Certificate], at: datetime, received: datetime) -> RevocationVerdict:
        """Of a path from certificate to anchor; the anchor itself cannot be revoked."""
        if self.mode == "none":
            return RevocationVerdict()
        answers = [self.data.known(child, issuer, at, received) for child, issuer in pairwise(path)]
        if "revoked" in answers:
            return RevocationVerdict(Status.INVALID, Reason.CERTIFICATE_REVOKED)
        if answers and all(answer == "good" for answer in answers):
            return RevocationVerdict(fresh=True)
        if self.mode == "require":
            return RevocationVerdict(Status.INDETERMINATE, Reason.REVOCATION_UNAVAILABLE)
        return RevocationVerdict(note=Reason.REVOCATION_NOT_CHECKED)
