"""Answers of a look-up for a recipient's certificate. Absent is not Unavailable: only Absent may weaken a plan."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from gateway.errors import Reason

KeyOrigin = Literal["unknown", "bank", "customer", "token"]
Want = Literal["enrolled", "any"]  # only what is bound to a customer, out of the store; or what any source knows
Kept = Literal["asked", "kept", "stale"]  # asked now, kept from before, or past its life because no source answers


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """One stored certificate. `customer` is the number it is bound to, None: merely found.

    `addresses` are the rfc822Names it names, folded. `capabilities` is the DER of the last smimeCapabilities
    seen from its holder, `capabilities_at` when the mail that announced them was signed; `profile` an algorithm profile
    fixed by the bank for a partner ('gcm' | 'cbc' | None).
    `trust` is the bank's own word on this certificate: it overrides the path to a root in both directions,
    never expiry, revocation, key size, usage or address; None: the path alone decides.
    `address_customer` is the customer who has the address that was asked for; None: no customer, or
    not asked for.
    """

    sha256: str
    der: bytes
    addresses: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    customer: str | None = None
    source: str = "store"
    key_origin: KeyOrigin = "unknown"
    device_bound: bool = False
    capabilities: bytes | None = None
    profile: Literal["cbc", "gcm"] | None = None
    added_at: datetime | None = None
    trust: Literal["trusted", "distrusted"] | None = None
    capabilities_at: datetime | None = None
    address_customer: str | None = None


@dataclass(frozen=True, slots=True)
class Loser:
    """A certificate that was not chosen, and for what reason."""

    row: CertificateRow
    reason: Reason


@dataclass(frozen=True, slots=True)
class Found:
    """Encrypt to every one of `rows`. `enrolled`: they are bound to a customer."""

    rows: tuple[CertificateRow, ...]
    enrolled: bool
    losers: tuple[Loser, ...] = ()


@dataclass(frozen=True, slots=True)
class Absent:
    """Every source answered, none knows a certificate for this address."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """There are certificates, each lost for its reason."""

    losers: tuple[Loser, ...]


@dataclass(frozen=True, slots=True)
class Conflict:
    """Usable certificates of different owners: encrypting to all would show the mail to another person."""

    owners: tuple[str, ...]
    losers: tuple[Loser, ...] = ()


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A source that might know it did not answer. `losers`: what is known nevertheless, and why it does not count."""

    detail: str = ""
    losers: tuple[Loser, ...] = ()


CertificateAnswer = Found | Absent | Unusable | Conflict | Unavailable


def reason_of(answer: Absent | Unusable | Conflict | Unavailable) -> Reason:
    """Why there is no certificate to encrypt to; of certificates that lost for the same reason, that reason."""
    match answer:
        case Unusable(losers):
            reasons = {loser.reason for loser in losers}
            return reasons.pop() if len(reasons) == 1 else Reason.CERTIFICATE_UNUSABLE
        case Conflict():
            return Reason.CERTIFICATE_CONFLICT
        case Unavailable():
            return Reason.CERTIFICATE_UNAVAILABLE
        case Absent():
            return Reason.CERTIFICATE_ABSENT


@dataclass(frozen=True, slots=True)
class SourceAnswer:
    """The answer of one source alone. `answer` None: it was not asked, for the reason in `note`."""

    source: str
    answer: CertificateAnswer | None
    kept: Kept = "asked"
    seconds: float = 0.0
    note: Literal["", "not_needed", "not_served"] = ""


@dataclass(frozen=True, slots=True)
class LookedUp:
    """The answer over all sources, and each single answer, in the order in which they are asked."""

    answer: CertificateAnswer
    sources: tuple[SourceAnswer, ...]


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer of the bank."""

    number: str
    name: str = ""
    addresses: tuple[str, ...] = ()
    segment: str | None = None
