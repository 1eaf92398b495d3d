"""Where certificates of recipients and issuers come from."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from gateway.cms.certificate import Certificate
from gateway.model.lookup import CertificateRow, Kept


class CertificateSource(Protocol):
    """Asked for one address. Answers with everything it knows; choosing is `pki.select`'s work."""

    name: str

    def rows(self, address: str) -> tuple[CertificateRow, ...]:
        """All certificates that name `address` (folded comparison). GatewayError(retry=True) if unavailable."""
        ...


@runtime_checkable
class TimedSource(CertificateSource, Protocol):
    """A source whose answers say how long they may be kept, such as DNS by its TTL."""

    def timed_rows(self, address: str) -> tuple[tuple[CertificateRow, ...], float]:
        """As `rows`, and how many seconds from now the answer may be kept."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """What a directory says, and where the answer comes from."""

    rows: tuple[CertificateRow, ...]
    kept: Kept = "asked"


@runtime_checkable
class Directory(CertificateSource, Protocol):
    """A source outside the gateway, which may be slow, dead or not concerned."""

    def serves(self, address: str) -> bool:
        """Whether it is asked for this address at all."""
        ...

    def reply(self, address: str) -> Reply:
        """As `rows`, telling where the answer comes from. Takes no longer than its deadline."""
        ...


@dataclass(frozen=True, slots=True)
class Harvest:
    """A certificate out of a verified mail from `address`, signed at `at`, with the issuers that complete its path."""

    address: str
    certificate: Certificate
    issuers: tuple[Certificate, ...]
    capabilities: bytes | None
    at: datetime


Harvested = Literal["stored", "known", "bound", "older", "often", "full"]


class LearnedCertificates(CertificateSource, Protocol):
    """What verified mail has taught, in the store. GatewayError(STORE_UNAVAILABLE, retry=True) from every method."""

    def set_capabilities(self, sha256: str, capabilities: bytes | None, at: datetime) -> bool:
        """What the holder's program reads, as a mail signed at `at` announced it; None: it announced nothing.

        False, and nothing is changed: a mail of that time or later has announced them, or it is not in the store.
        """
        ...

    def harvest(self, found: Harvest) -> Harvested:
        """Keeps it as merely found, in place of older ones harvested for the same owner (issuer and subject).

        Nothing is changed but for `stored`. `known`: it is in the store. `bound`: one of its addresses has a
        certificate bound to a customer. `older`: a mail signed at that time or later was harvested for this address.
        `often`: this owner's was renewed within a day. `full`: so many for this address, or on this day, are enough.
        """
        ...


class IntermediateSource(Protocol):
    """Issuers that are known but not trusted by themselves: they complete paths."""

    def by_subject(self, subject: bytes) -> tuple[bytes, ...]:
        """DER certificates whose subject Name is these DER octets."""
        ...

    def missing(self, certificate: Certificate) -> bool:
        """Called once with a certificate whose issuer is unknown. True: an issuer may be known now, search again.

        False: no issuer is available at present. May take a few seconds where it asks remote servers.
        """
        ...

    def awaits_issuer(self, certificate: Certificate) -> bool:
        """Whether its missing issuer may still be learned soon: it is being asked for, and was not refused."""
        ...


class Bindings(Protocol):
    """What the bank itself has registered about single certificates."""

    def binding(self, sha256: str) -> CertificateRow | None:
        """The row of this very certificate (SHA-256, hex) if it is bound to a customer; None for all others.

        GatewayError(STORE_UNAVAILABLE, retry=True) if the store does not answer.
        """
        ...
