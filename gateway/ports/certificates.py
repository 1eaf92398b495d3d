"""Where certificates of recipients and issuers come from."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from gateway.cms.certificate import Certificate
from gateway.model.lookup import CertificateRow, Kept


class CertificateSource(Protocol):
    """Asked for one address. Answers with everything it knows; choosing is `pki.select`'s work."""

    name: str

    def rows(self, address: str) -> tuple[CertificateRow, ...]:
        """All certificates that name `address` (folded comparison). GatewayError(retry=True) if it cannot tell."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """What a directory says, and where the answer comes from."""

    rows: tuple[CertificateRow, ...]
    kept: Kept = "asked"


@runtime_checkable
class Directory(CertificateSource, Protocol):
    """A source outside the house, which may be slow, dead or not concerned."""

    def serves(self, address: str) -> bool:
        """Whether it is asked for this address at all."""
        ...

    def reply(self, address: str) -> Reply:
        """As `rows`, telling where the answer comes from. Takes no longer than its deadline."""
        ...


class IntermediateSource(Protocol):
    """Issuers that are known but not trusted by themselves: they complete paths."""

    def by_subject(self, subject: bytes) -> tuple[bytes, ...]:
        """DER certificates whose subject Name is these DER octets."""
        ...

    def missing(self, certificate: Certificate) -> bool:
        """Told once of a certificate whose issuer nobody knows. True: one may have been learned now, search again.

        False: there is nothing to be had at present. May take a few seconds where it asks the outside.
        """
        ...


class Bindings(Protocol):
    """What the bank itself has registered about single certificates."""

    def binding(self, sha256: str) -> CertificateRow | None:
        """The row of this very certificate (SHA-256, hex) if it is bound to a customer; None for all others.

        GatewayError(STORE_UNAVAILABLE, retry=True) if it cannot tell.
        """
        ...
