"""What postconf says of a configuration directory, and the tables that its values name. The only part that runs or
reads anything.
"""

import subprocess
from dataclasses import replace
from pathlib import Path

from gateway.cli.postfix.configuration import Configuration
from gateway.errors import GatewayError, Reason

_TIMEOUT_S = 30.0
_TABLE_OCTETS_MAX = 8 << 20
_FILES = ("hash", "btree", "lmdb", "cdb", "dbm", "texthash", "regexp", "pcre", "cidr")  # compiled from, or are, text


def read(directory: Path | None) -> Configuration:
    """GatewayError(USAGE) if there is no Postfix, or postconf refuses its configuration. None: the usual directory."""
    where = () if directory is None else ("-c", str(directory.absolute()))
    said = Configuration.parsed(_postconf(*where, "-x"), _postconf(*where, "-M"), _postconf(*where, "-P", "-x"))
    return replace(said, tables={name: _text(name) for name in said.named_tables()})


def _postconf(*arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and the directory is the administrator's own
            ("postconf", *arguments), capture_output=True, check=False, timeout=_TIMEOUT_S)  # noqa: S607 - as typed
    except (OSError, subprocess.TimeoutExpired) as trouble:
        raise GatewayError(Reason.USAGE, f"postconf: {trouble}; is Postfix installed here?") from None
    if done.returncode:
        raise GatewayError(Reason.USAGE, done.stderr.decode("utf-8", "replace").strip())
    return done.stdout.decode("utf-8", "replace")


def _text(table: str) -> str | None:
    """Of a table that is a text file or is made of one; LDAP, SQL and the like are asked by Postfix alone."""
    kind, _, name = table.removeprefix("proxy:").partition(":")
    if kind not in _FILES:
        return None
    try:
        with Path(name).open("rb") as file:
            return file.read(_TABLE_OCTETS_MAX).decode("utf-8", "replace")
    except OSError:
        return None
