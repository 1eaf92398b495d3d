"""The hold store."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from gateway.settings.base import Finding, Section


class HoldSettings(Section):
    """The hold store."""

    archive_certificate: Path | None = Field(None, description="held bodies are encrypted to this certificate")
    archive_key: Path | None = Field(None, description="needed to release mail; may be kept offline until then")
    archive_passphrase_file: Path | None = None
    octets_max: int = Field(1_073_741_824, ge=0, description="quarantined mail takes at most half of it")


def check(hold: HoldSettings) -> Iterator[Finding]:
    """Contradictions in the section."""
    if hold.archive_key is not None and hold.archive_certificate is None:
        yield ("hold", "archive_key"), "`archive_key` needs `archive_certificate`", "set `archive_certificate`"
    if hold.archive_passphrase_file is not None and hold.archive_key is None:
        yield ("hold", "archive_passphrase_file"), (
            "`archive_passphrase_file` needs `archive_key`"), "set `archive_key`, or remove the passphrase"
