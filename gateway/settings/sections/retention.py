"""How long records are kept (docs/retention.md)."""

from collections.abc import Iterator

from pydantic import Field

from gateway.settings.base import Finding, Section

DAYS_MAX = 36_525  # a century


class Retention(Section):
    """For each kind of record the days after which the jobs process deletes it. A legal hold keeps it longer."""

    evidence_days: int = Field(
        2557, ge=0, le=DAYS_MAX, description="evidence of each mail, which `mails` and `trace` show; 0 = no deletion")


def check(retention: Retention, hold_days: int) -> Iterator[Finding]:
    """Contradictions. `hold_days`: of the settings' `fallbacks`."""
    if 0 < retention.evidence_days <= hold_days:
        yield ("retention", "evidence_days"), (
            f"evidence would be deleted while its mail is still held (`fallbacks.hold_days`: {hold_days})"), (
            f"write more than {hold_days}, or 0 for no deletion")
