"""Where certificates of recipients and issuers come from."""

from typing import Protocol

from gateway.model.lookup import CertificateRow


class CertificateSource(Protocol):
    """Asked for one address. Answers with everything it knows; choosing is `pki.select`'s work."""

    name: str

    def rows(self, address: str) -> tuple[CertificateRow, ...]:
        """All certificates that name `address` (folded comparison). GatewayError(retry=True) if it cannot tell."""
        ...


class IntermediateSource(Protocol):
    """Issuers that are known but not trusted by themselves: they complete paths."""

    def by_subject(self, subject: bytes) -> tuple[bytes, ...]:
        """DER certificates whose subject Name is these DER octets."""
        ...
