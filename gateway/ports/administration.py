"""What `sealgate cert`, `customer`, `client` and `key` ask of the store: the ways in which people fill it.

The mail's way never writes through these; it looks up by the smaller ports, which the same adapters implement.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from gateway.cms.certificate import Certificate
from gateway.errors import Reason
from gateway.model.lookup import CertificateRow, Customer, KeyOrigin
from gateway.ports.certificates import CertificateSource, IntermediateSource
from gateway.ports.customers import Customers

AnchorPurpose = Literal["signers", "recipients", "stampers"]
ANCHOR_PURPOSES: tuple[AnchorPurpose, ...] = ("signers", "recipients", "stampers")


@dataclass(frozen=True, slots=True)
class NewCertificate:
    """A certificate to keep. `customer`: the number it is bound to; None: merely found, or an issuer."""

    certificate: Certificate
    customer: str | None = None
    source: str = "import"
    key_origin: KeyOrigin = "unknown"
    device_bound: bool = False
    profile: Literal["cbc", "gcm"] | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """The result for one: new, bound to a customer only now, or known as it is. `notes` are only reported."""

    row: CertificateRow
    change: Literal["added", "bound", "known"]
    notes: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class CertificateEntry:
    """A row of the store with what people want to see. `trust_for`: of a trusted issuer, its purposes."""

    row: CertificateRow
    subject: str
    is_issuer: bool
    trust_for: tuple[AnchorPurpose, ...] = ()


@dataclass(frozen=True, slots=True)
class TrustList:
    """The bank's own word on single certificates: SHA-256 (hex), and issuers that are anchors by purpose."""

    trusted: frozenset[str]
    distrusted: frozenset[str]
    anchors: tuple[tuple[AnchorPurpose, Certificate], ...]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why one item was not taken. `where` is for people: 'customers.csv:17', a file name, or a subject."""

    where: str
    reason: Reason
    detail: str = ""


class CertificateStore(CertificateSource, IntermediateSource, Protocol):
    """GatewayError(STORE_UNAVAILABLE, retry=True) from every method that cannot; `sha256` may be a unique beginning."""

    def add(self, new: Sequence[NewCertificate]) -> tuple[Kept, ...]:
        """All or none, in one commit. CERTIFICATE_CONFLICT: bound to another customer; USAGE: no such customer."""
        ...

    def get(self, sha256: str) -> CertificateEntry:
        """GatewayError(USAGE) if none or several begin so."""
        ...

    def list(self, *, address: str | None = None, customer: str | None = None, ends_before: datetime | None = None,
             issuers: bool | None = None) -> Iterator[CertificateEntry]:
        """In the order of arrival; each condition narrows."""
        ...

    def set_trust(self, sha256: str, trust: Literal["trusted", "distrusted"] | None,
                  purposes: Sequence[AnchorPurpose] = ()) -> CertificateEntry:
        """`purposes` only of a trusted issuer, which needs one at least: USAGE."""
        ...

    def trust_list(self) -> TrustList:
        """All that the bank has spoken on."""
        ...


class CustomerStore(Customers, Protocol):
    """GatewayError(STORE_UNAVAILABLE, retry=True) from every method that cannot."""

    def put(self, customers: Iterable[Customer]) -> None:
        """Adds or replaces them, all or none. USAGE: an address belongs to another customer, or is none."""
        ...

    def get(self, number: str) -> Customer | None:
        """By number."""
        ...

    def list(self, *, segment: str | None = None) -> Iterator[Customer]:
        """In the order of their numbers."""
        ...
