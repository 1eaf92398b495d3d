"""How inbound mail is opened, and signed verdicts on it."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from gateway.settings.base import Section


class Opening(Section):
    """How inbound mail is opened."""

    weak: tuple[Literal["3des"], ...] = Field(
        (), description="weak ciphers whose mail is decrypted, but never trusted")


class TrustCard(Section):
    """Signed verdicts on opened mail, which back offices can verify (docs/trust-card.md)."""

    key: Path = Field(description="P-256, used for nothing else, mode 0600")
    passphrase_file: Path | None = None
    lifetime_s: int = Field(604_800, ge=60, description="7 days")
