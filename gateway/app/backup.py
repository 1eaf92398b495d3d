"""The whole state in one file, and back: tables, settings, policies, what is trusted. Never a private key.

The same file restores into SQLite and PostgreSQL alike: it is also the way from the one to the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway import __version__
from gateway.adapters.db import export as portable
from gateway.adapters.db.audit import DbAudit
from gateway.adapters.db.engine import schema
from gateway.adapters.db.engine.database import Connection
from gateway.adapters.db.evidence_spool import Spool
from gateway.adapters.files.backup import Reader, Writer, reading, writing
from gateway.adapters.files.mac_secret import mac_secret
from gateway.app import database as databases
from gateway.app.audit.heads import signer
from gateway.app.audit.restores import described, restore_act
from gateway.app.store import evidence_spool
from gateway.clock import Clock, SystemClock
from gateway.errors import GatewayError, Reason, file_error
from gateway.model.audit.acts import Act
from gateway.settings import Settings
from gateway.settings.base import Section

# Settings whose files are secrets: named in the backup, not in it.
SECRET: Final = frozenset({"key", "client_key", "archive_key", "passphrase_file", "archive_passphrase_file",
                           "password_file", "pin_file", "header_file", "secret_file", "hook_secret_file",
                           "callback_secret_file"})
_NO_STATE: Final = frozenset({"database", "database_id", "spool", "module", "sources", "reports", "postfix_log",
                              "hook_program"})
_TABLES, _FILES = "tables/", "files/"


@dataclass(frozen=True, slots=True)
class BackupContents:
    """What a backup holds. `missing`: keys and other secrets that have to be kept elsewhere."""

    rows: dict[str, int]
    files: tuple[str, ...]
    missing: tuple[str, ...]
    made_at: str
    version: str


def backup(settings: Settings, config: Path, target: Path, clock: Clock | None = None) -> BackupContents:
    """Writes the file while mail goes on; all tables as they were at one moment. GatewayError USAGE, STORE_*."""
    Spool(evidence_spool(settings)).prepare()
    database = schema.open_database(settings.postgresql or settings.database, settings.database_id)
    log = DbAudit(database)
    try:
        with (log.carrying_out(Act("backup.create", str(target.absolute()))),
              writing(target, _secret(settings)) as writer, database.snapshot() as connection):
            rows = {name: writer.add(_TABLES + name, portable.lines(connection, name)) for name in portable.TABLES}
            files, missing = _add_files(writer, settings, config)
            missing += _waiting(settings)
            contents = BackupContents(rows, files, missing, (clock or SystemClock()).now().isoformat(), __version__)
            writer.finish({"made_at": contents.made_at, "version": contents.version, "schema": schema.HEAD,
                           "database": database.name, "rows": rows, "secrets_not_in_here": missing,
                           "audit": described(connection, log.origin())})
    finally:
        database.close()
    return contents


def _secret(settings: Settings) -> bytes | None:
    """What authenticates backups; None if the settings name no file. KEY_UNAVAILABLE (retry), CONFIG_INVALID."""
    return mac_secret(settings.backup.secret_file) if settings.backup.secret_file is not None else None


def _waiting(settings: Settings) -> tuple[str, ...]:
    """Evidence that the database has not taken yet."""
    directory = evidence_spool(settings)
    return (f"{directory} (evidence that waits for the database)",) if Spool(directory).waiting() else ()


def _add_files(writer: Writer, settings: Settings, config: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The settings and what they name; which of it, and which is left out as a secret or not there."""
    put: dict[str, None] = {}
    missing: dict[str, None] = {}
    for name, path in (("config", config.absolute()), *_files(settings)):
        if name in _NO_STATE or str(path) in put:
            continue
        octets = None if name in SECRET else _read(path)
        if octets is None or b"PRIVATE KEY-----" in octets:
            missing[str(path)] = None
            continue
        writer.add(_FILES + str(path).lstrip("/"), [octets])
        put[str(path)] = None
    return tuple(put), tuple(missing)


def _files(settings: Settings) -> Iterator[tuple[str, Path]]:
    """Of a directory, such as one of roots, the files in it."""
    for name, path in _named(settings):
        within = sorted(one for one in path.glob("*") if one.is_file()) if name not in _NO_STATE else ()
        for one in within or (path,):
            yield name, one


def _named(section: Section) -> Iterator[tuple[str, Path]]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, Path):
                yield name, one
            elif isinstance(one, Section):
                yield from _named(one)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def restore(settings: Settings, source: Path, into: Path | None = None, *, unverified: bool = False,
            head: str | None = None) -> BackupContents:
    """Creates the database of the settings with the rows of a backup, and records its new id beside the settings.

    Tables, rows and id come in one transaction, and only while no process of Sealgate uses the database: no process
    ever sees a register that is empty or half filled. Nothing is written before the whole backup was checked.
    `into`: a new directory for settings, policies and trust as they were, for the administrator to compare.
    `unverified`: skips the check of who wrote the backup. `head`: the last exported head of the audit log, which the
    record of the restore names. GatewayError USAGE, STORE_UNAVAILABLE, KEY_UNAVAILABLE.
    """
    with reading(source, None if unverified else _secret(settings), unverified=unverified) as reader:
        contents = _contents_of(reader)
        if reader.manifest["schema"] not in schema.known():
            raise GatewayError(Reason.USAGE, f"{source} was made by Sealgate {contents.version}, which has newer "
                               "tables than this version: install that version first")
        if into is not None and into.exists():
            raise GatewayError(Reason.USAGE, f"{into} is there already: name a new directory")
        aside = _aside(reader)
        by = signer(settings)
        act = restore_act(source.absolute(), reader.manifest, head, None if by is None else by.key)
        databases.create(settings, lambda connection: _fill(connection, reader, contents), replace=True, act=act)
        if into is not None:
            _lay_aside(reader, aside, into)
    return contents


def _contents_of(reader: Reader) -> BackupContents:
    manifest: dict[str, Any] = reader.manifest
    try:
        rows = {str(name): int(count) for name, count in manifest["rows"].items()}
        files = tuple(name.removeprefix(_FILES) for name in manifest["members"] if name.startswith(_FILES))
        contents = BackupContents(rows, files, tuple(manifest["secrets_not_in_here"]), str(manifest["made_at"]),
                                  str(manifest["version"]))
        known = rows.keys() <= portable.TABLES.keys() and {_TABLES + name for name in rows} <= set(manifest["members"])
    except (KeyError, TypeError, ValueError, AttributeError):
        known = False
    if not known:
        raise GatewayError(Reason.USAGE, "the manifest of the backup does not say which tables are in it")
    return contents


def _fill(connection: Connection, reader: Reader, contents: BackupContents) -> None:
    for name in portable.TABLES:  # in the order in which rows refer to each other
        count = contents.rows.get(name)
        if count is not None and portable.take(connection, name, reader.lines(_TABLES + name)) != count:
            raise GatewayError(Reason.USAGE, f"{name} has other rows than the manifest says")


def _aside(reader: Reader) -> dict[str, Path]:
    """The files by their members, below a directory that is not named yet. USAGE if one would lead out of it."""
    found = {name: Path(name.removeprefix(_FILES)) for name in reader.manifest["members"] if name.startswith(_FILES)}
    for name, path in found.items():
        if not path.parts or ".." in path.parts or path.is_absolute():
            raise GatewayError(Reason.USAGE,
                               f"the backup contains the path {name}, which leads out of its directory. Use "
                               "another backup")
    return found


def _lay_aside(reader: Reader, files: dict[str, Path], into: Path) -> None:
    """Under their old paths, each the owner's alone: there are hashes of logins among them."""
    try:
        into.mkdir(mode=0o700)
        for name, below in files.items():
            path = into / below
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_bytes(reader.octets(name))
            path.chmod(0o600)
    except OSError as error:
        raise GatewayError(Reason.USAGE, file_error(into, error)) from None
