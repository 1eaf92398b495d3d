"""The JSON of the gateway's state."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from gateway.model.outcome import Settled


class CheckShown(BaseModel):
    """One thing that mail depends on."""

    name: str
    state: Literal["ok", "degraded", "failed"]
    detail: str


class WaitingShown(BaseModel):
    """Held mail of one kind."""

    mails: int
    octets: int
    oldest: datetime | None


class NumbersShown(BaseModel):
    """Counts of the database."""

    held: dict[str, WaitingShown] = Field(description="By kind: hold, quarantine")
    fetch_requests: int
    fetch_failing: int
    lists: int = Field(description="CRLs")
    lists_stale: int


class ExpiryShown(BaseModel):
    """Something that expires within 30 days, or has expired."""

    name: str
    what: str
    not_after: datetime


class DiskShown(BaseModel):
    """Octets of a file system."""

    path: str
    free: int
    total: int


class StatusShown(BaseModel):
    """The state of the gateway. null: it is not known, because what has to be asked does not answer."""

    at: datetime
    good: bool = Field(description="Whether mail can be accepted")
    version: str
    hostname: str
    mode: str
    checks: list[CheckShown]
    hour: dict[Settled, int] | None = Field(description="Recipients of the last hour, by outcome")
    day: dict[Settled, int] | None = Field(description="Recipients of the last day, by outcome")
    numbers: NumbersShown | None
    processes: dict[str, int] | None = Field(description="By kind, how many accept mail; needs the section `metrics`")
    not_asked: list[str] | None = Field(description="Directories and stampers with an open circuit breaker")
    expiring: list[ExpiryShown]
    disks: list[DiskShown]
    last_backup: datetime | None = Field(None, description="null: the audit log has none")
