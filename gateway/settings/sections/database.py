"""The database of several nodes, backups, and the audit log."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from gateway.settings.base import Section


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
