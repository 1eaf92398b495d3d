"""What the fallbacks need, and what one is to the outbound way that sends another mail in the place of the original."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

from gateway.letters.write import Writer
from gateway.ports.services.fallbacks import FallbackBook


@dataclass(frozen=True, slots=True)
class Original:
    """A mail and its one recipient. `octets` as it would be signed; `key`: the message key."""

    octets: bytes
    key: str
    address: str


class Conversion(Protocol):
    """A fallback with `encrypts` in the table; the mail that it makes is signed and sent. Thread-safe."""

    def convert(self, original: Original, at: datetime) -> bytes:
        """The mail that is sent in the place of the original. GatewayError if it cannot be made."""
        ...

    def dry_run(self) -> Self:
        """The same conversion without any effect outside of the gateway."""
        ...

    def close(self) -> None:
        """Ends idle connections and processes; a conversion in work is finished."""
        ...


@dataclass(frozen=True, slots=True)
class Fallbacks:
    """`language`: of the letters. `conversions`: by the fallback's name, those that are configured."""

    book: FallbackBook
    letters: Writer
    language: str
    conversions: Mapping[str, Conversion]
