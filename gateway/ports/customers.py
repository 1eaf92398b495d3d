"""What the bank knows of its customers, as far as rules and judgement need it."""

from typing import Protocol

from gateway.model.lookup import Customer


class Customers(Protocol):
    """GatewayError(STORE_UNAVAILABLE, retry=True) from every method if the store does not answer."""

    def by_address(self, address: str) -> Customer | None:
        """The customer with this mail address (folded), None if there is none."""
        ...

    def by_certificate(self, sha256: str) -> Customer | None:
        """The customer to whom this certificate is bound, never one that it merely names."""
        ...
