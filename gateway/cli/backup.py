"""`sealgate backup`, `sealgate restore`: the whole state in one file, and back, into either kind of database."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.app import backup as composition
from gateway.cli import context
from gateway.cli.audit.heads import read_head
from gateway.cli.context import reporting_errors, say


def register(app: typer.Typer) -> None:
    """Adds both commands."""
    app.command()(backup)
    app.command()(restore)


def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE",
                                           help="file to create with mode 0600; it must not exist yet")],
) -> None:
    """Write database, settings, policies and trust anchors to one file, without private keys. Mail is not stopped.

    Example: sealgate backup /var/backups/sealgate-2026-11-24.tar
    """
    settings = context.settings()
    with reporting_errors():
        found = composition.backup(settings, context.config_path(), target)
    print(f"{target}: {sum(found.rows.values())} rows of {len(found.rows)} tables, {len(found.files)} files")
    if settings.backup.secret_file is None:
        say(f"sealgate: {target} is not authenticated, so a restore cannot detect changes. Set `backup.secret_file` "
            "(docs/backup.md)")
    _tell_missing(found)


def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="file that `sealgate backup` wrote")],
    into: Annotated[Path | None, typer.Option(
        metavar="DIRECTORY",
            help="directory to create, for the settings, policies and trust anchors of the backup")] = None,
    unverified: Annotated[bool, typer.Option(
        "--unverified", help="accept a backup that is not authenticated, or whose secret is lost")] = False,
    audit_head: Annotated[Path | None, typer.Option(
        "--audit-head", metavar="FILE", help="the last exported head of the audit log before the loss")] = None,
) -> None:
    """Fill the empty database of the settings from a backup. The backup is checked before the first write.

    Example: sealgate restore /var/backups/sealgate-2026-11-24.tar --into /srv/as-it-was
    """
    settings = context.settings()
    head = None if audit_head is None else read_head(audit_head)
    with reporting_errors():
        found = composition.restore(settings, source, into, unverified=unverified, head=head)
    print(f"restored the state of {found.made_at}: {sum(found.rows.values())} rows of {len(found.rows)} tables")
    if into is not None:
        print(f"{len(found.files)} files are in {into}; no file in use changed. Compare them and copy what you need")
    _tell_missing(found)


def _tell_missing(found: composition.BackupContents) -> None:
    for path in found.missing:
        print(f"not in the backup, so keep a copy elsewhere: {path}")
