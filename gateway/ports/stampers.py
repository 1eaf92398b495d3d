"""Time-stamping services (RFC 3161)."""

from typing import Literal, Protocol


class TimeStamper(Protocol):
    """One TSA. `trust` is what its anchors say of it."""

    name: str
    trust: Literal["internal", "external", "qualified"]

    def stamp(self, digest: bytes, digest_name: str) -> bytes:
        """The TimeStampToken (DER ContentInfo) over a message imprint; `digest_name` as in hashlib.

        GatewayError(STAMPER_UNAVAILABLE | STAMPER_CLOCK, retry=True) if it cannot.
        """
        ...
