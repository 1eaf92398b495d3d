"""Octets that signatures cover, hashed once per algorithm however many signatures there are."""

import hashlib

from gateway.errors import GatewayError, Reason


class Content:
    """The very octets of one signed layer. Two of them are the same content only if they are the same object."""

    __slots__ = ("_digests", "octets")

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self._digests: dict[str, bytes] = {}

    def digest(self, name: str) -> bytes:
        """The digest by hashlib's name. GatewayError(SIGNATURE_ALGORITHM_UNKNOWN) if there is no such digest."""
        known = self._digests.get(name)
        if known is None:
            try:
                known = hashlib.new(name, self.octets).digest()
            except (ValueError, TypeError):  # unknown, or one that needs a length
                raise GatewayError(Reason.SIGNATURE_ALGORITHM_UNKNOWN, f"no digest {name}") from None
            self._digests[name] = known
        return known
