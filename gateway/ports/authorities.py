"""Unknown authorities that mail has shown: collected for the administrator's decision, not trusted."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class UnknownAuthority:
    """One of them. `key`: SHA-256 (hex) of its certificate, or of its Name where the certificate is not known.

    `subject`, `issuer`: RFC 4514 text; `der`: its certificate, None where only its name is known (the mail did not
    enclose it). `example`: an address of a signer below it. `reported_at`: when it was reported to the administrator.
    """

    key: str
    subject: str
    issuer: str
    der: bytes | None
    example: str
    first_at: datetime
    last_at: datetime
    count: int
    reported_at: datetime | None = None


class UnknownAuthorities(Protocol):
    """Bounded: a flood of made-up authorities neither grows it without end nor drives out what was met often.

    GatewayError(STORE_UNAVAILABLE, retry=True) from every method that cannot.
    """

    def record(self, subject: str, issuer: str, der: bytes | None, example: str, at: datetime) -> None:
        """Counts one meeting. One that is ignored stays ignored."""
        ...

    def untold(self) -> tuple[UnknownAuthority, ...]:
        """Those not reported to the administrator yet, the most frequent first."""
        ...

    def mark_reported(self, keys: Iterable[str], at: datetime) -> None:
        """The administrator knows of these now."""
        ...

    def list(self, *, ignored: bool = False) -> tuple[UnknownAuthority, ...]:
        """All that wait for a decision, the latest met first; `ignored`: those on which it was `ignore`."""
        ...

    def get(self, key: str) -> UnknownAuthority:
        """One, ignored or not. `key` may be a unique beginning; GatewayError(USAGE) if none or several."""
        ...

    def ignore(self, key: str, at: datetime) -> UnknownAuthority:
        """Never report this one again. `key` as in `get`."""
        ...
