"""Where legal holds are kept."""

from typing import Protocol

from gateway.model.legal_hold import HoldTerms, LegalHold


class LegalHolds(Protocol):
    """GatewayError STORE_UNAVAILABLE (retry) from every method. Adding and removing are acts of the audit log."""

    def add(self, terms: HoldTerms, person: str, reason: str) -> LegalHold:
        """From now on no record that meets the terms is deleted. GatewayError USAGE without any condition."""
        ...

    def remove(self, number: int) -> LegalHold:
        """GatewayError USAGE if there is none of this number."""
        ...

    def list(self) -> tuple[LegalHold, ...]:
        """All in force, the oldest first."""
        ...
