"""The database of several nodes, backups, the audit log, and how long records are kept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field

from gateway.settings.base import Finding, Section

DAYS_MAX = 36_525  # a century


class Postgresql(Section):
    """The database of several nodes."""

    host: str = Field(description="a name, an address, or the directory of its socket")
    port: int = Field(5432, ge=1, le=65535)
    name: str = "sealgate"
    user: str = "sealgate"
    password_file: Path | None = Field(None, description="first line is the password; mode 0600")
    tls: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = Field(
        "verify-full", description="as libpq's sslmode")
    tls_ca: Path | None = Field(None, description="PEM of the roots; None = the system's")
    connections_max: int = Field(10, ge=4, description="per process")
    connect_timeout_s: float = Field(5.0, gt=0)
    statement_timeout_s: float = Field(10.0, gt=0, description="a statement that takes longer is cancelled")
    spool: Path = Field(
        Path("spool"), description="local directory for evidence of mail sent while the database was down")


class Backup(Section):
    """The secret that authenticates the files of `sealgate backup`."""

    secret_file: Path | None = Field(
        None, description="32 random characters or more; mode 0600; None = no authentication")


class Audit(Section):
    """The audit log: docs/audit.md."""

    key: Path | None = Field(
        None, description="Ed25519 key that signs the heads, used for nothing else; mode 0600; None = unsigned heads")
    passphrase_file: Path | None = None


class Retention(Section):
    """For each kind of record the days after which the jobs process deletes it (docs/retention.md)."""

    evidence_days: int = Field(
        2557, ge=0, le=DAYS_MAX, description="evidence of each mail, which `mails` and `trace` show; 0 = no deletion")
    audit_values_days: int = Field(
        2192, ge=0, le=DAYS_MAX, description="names of persons and customers in the audit log; 0 = no deletion")


class Person(Section):
    """Someone who requests or approves acts, with all their accounts on this machine."""

    name: str
    accounts: tuple[str, ...] = Field(min_length=1, description="login names")


def check(acts: tuple[str, ...], persons: tuple[Person, ...]) -> Iterator[Finding]:
    """Contradictions of `four_eyes` and `persons`."""
    owners: dict[str, str] = {}
    for number, person in enumerate(persons):
        for place, account in enumerate(person.accounts):
            owner = owners.setdefault(account, person.name)
            if owner != person.name or person.accounts.count(account) > 1:
                yield ("persons", number, "accounts", place), f"the account `{account}` is listed twice", (
                    "give each person accounts of their own")
    if acts and len(set(owners.values())) < 2:
        yield ("four_eyes",), "a second person is demanded, and `persons` does not name two", (
            "add each person with their accounts to `persons`")


def check_retention(retention: Retention, hold_days: int) -> Iterator[Finding]:
    """Contradictions. `hold_days`: of the settings' `fallbacks`."""
    if 0 < retention.evidence_days <= hold_days:
        yield ("retention", "evidence_days"), (
            f"evidence would be deleted while its mail is still held (`fallbacks.hold_days`: {hold_days})"), (
            f"write more than {hold_days}, or 0 for no deletion")
