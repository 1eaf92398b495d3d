"""Was it revoked at t? What the three modes make of what the table knows.

Modes, for signers, time-stampers and recipients each:
- `none`: revocation is not looked up and not reported
- `soft`: what is known counts; where nothing is known it is reported (revocation.not_checked), the verdict stays, and
  acts that need fresh data are rejected
- `require`: where nothing is known the verdict is indeterminate (revocation.unavailable)

A revocation counts if its date is not after t; `pki.path.validation` is never asked with revocation data, since
its library takes today's list for useless at a past t. A time-stamping service is another matter: it dates itself,
so that a compromised one could have stamped any time. Unless its issuer says that the key was never in danger, its
revocation counts whenever it was (RFC 3161 4, 1 and 2).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final, Literal, NamedTuple, Protocol

from gateway.cms.certificate import Certificate
from gateway.errors import Reason
from gateway.model.verdict import Status

RevocationMode = Literal["none", "soft", "require"]

FOREVER: Final = datetime.max.replace(tzinfo=UTC)
_KEY_WAS_SAFE: Final = frozenset({"unspecified", "affiliationChanged", "superseded", "cessationOfOperation"})


class Known(NamedTuple):
    """What the table knows of one certificate at t. 'unknown': the data do not cover it.

    `fresh`: by data that are in force at reception. `revoked_at`, `reason`: of its revocation, also where that
    came after t. `until`: the answer may be another one after this.
    """

    status: Literal["good", "revoked", "on_hold", "unknown"]
    fresh: bool = False
    revoked_at: datetime | None = None
    reason: str | None = None
    until: datetime = FOREVER


UNKNOWN: Final = Known("unknown")


class RevocationData(Protocol):
    """The table. It answers for one certificate, at the time t, from what is known at `received`."""

    @property
    def version(self) -> str:
        """Another text whenever an answer might be another one. Cheap."""
        ...

    def known(self, certificate: Certificate, issuer: Certificate, at: datetime, received: datetime) -> Known:
        """Whether it was revoked at `at`. Never raises: a failure to find out is unknown."""
        ...


class NoRevocationData:
    """Knows nothing."""

    version = "none"

    def known(self, certificate: Certificate, issuer: Certificate, at: datetime, received: datetime) -> Known:  # noqa: ARG002
        """See RevocationData."""
        return UNKNOWN


@dataclass(frozen=True, slots=True)
class RevocationVerdict:
    """`status` VALID, INVALID or INDETERMINATE with its `reason`; `note` is reported and decides nothing.

    `fresh`: every certificate below the anchor is known to be good, on data in force at reception. `until`: the
    verdict may be another one after this.
    """

    status: Status = Status.VALID
    reason: Reason | None = None
    note: Reason | None = None
    fresh: bool = False
    until: datetime = FOREVER


@dataclass(frozen=True, slots=True)
class Revocation:
    """A mode over a table."""

    mode: RevocationMode = "soft"
    data: RevocationData = field(default_factory=NoRevocationData)

    @property
    def version(self) -> str:
        """Part of every cache key that a verdict depends on."""
        return self.mode if self.mode == "none" else f"{self.mode}/{self.data.version}"

    def judge(self, path: Sequence[Certificate], at: datetime, received: datetime, *,
              dates_itself: bool = False) -> RevocationVerdict:
        """Of a path from certificate to anchor; the anchor itself cannot be revoked.

        `dates_itself`: `at` is the certificate's own word, as a time-stamping service's is.
        """
        if self.mode == "none":
            return RevocationVerdict()
        answers = [self.data.known(child, issuer, at, received) for child, issuer in pairwise(path)]
        until = min((answer.until for answer in answers), default=FOREVER)
        for place, answer in enumerate(answers):
            if answer.status == "revoked" or (dates_itself and _never_safe(answer, received)):
                return RevocationVerdict(Status.INVALID, Reason.PATH_REVOKED if place else Reason.CERTIFICATE_REVOKED,
                                         until=until)
        for place, answer in enumerate(answers):
            if answer.status == "on_hold":
                return RevocationVerdict(Status.INVALID, Reason.PATH_REVOKED if place else Reason.CERTIFICATE_ON_HOLD,
                                         until=until)
        if answers and all(answer.status == "good" for answer in answers):
            return RevocationVerdict(fresh=all(answer.fresh for answer in answers), until=until)
        if self.mode == "require":
            return RevocationVerdict(Status.INDETERMINATE, Reason.REVOCATION_UNAVAILABLE, until=until)
        return RevocationVerdict(note=Reason.REVOCATION_NOT_CHECKED, until=until)


def _never_safe(answer: Known, received: datetime) -> bool:
    return (answer.revoked_at is not None and answer.revoked_at <= received
            and answer.reason not in _KEY_WAS_SAFE and answer.status != "on_hold")
