"""Time-stamping services (RFC 3161)."""

from typing import Literal, Protocol

StamperTrust = Literal["internal", "external", "qualified"]


class TimeStamper(Protocol):
    """One TSA, or several as one. `trust` is what its anchors say of it."""

    name: str

    @property
    def trust(self) -> StamperTrust:
        """What kind of service it is."""
        ...

    def stamp(self, digest: bytes, digest_name: str) -> bytes:
        """The TimeStampToken (DER ContentInfo) over a message imprint; `digest_name` as in hashlib.

        GatewayError(STAMPER_UNAVAILABLE | STAMPER_CLOCK, retry=True) if it cannot.
        """
        ...
