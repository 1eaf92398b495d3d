"""What postconf says of a configuration directory, the tables that its values name, and what milters declare. The only
part that runs, reads or connects to anything.
"""

import socket
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

from gateway.errors import GatewayError, Reason
from gateway.postfix.configuration import INCLUDE, Configuration, endpoint

_TIMEOUT_S = 30.0
_MILTER_S = 3.0
_MILTER_VERSION, _ALL_ACTIONS = 6, 0x1FF  # SMFI_VERSION, SMFI_CURR_ACTS of libmilter/mfdef.h
_OPTIONS_OCTETS_MAX = 4096
_TABLE_OCTETS_MAX = 8 << 20
_FILES = ("hash", "btree", "lmdb", "cdb", "dbm", "texthash", "regexp", "pcre", "cidr")  # compiled from, or are, text


def read(directory: Path | None) -> Configuration:
    """GatewayError(USAGE) if there is no Postfix, or postconf refuses its configuration. None: the usual directory."""
    where = () if directory is None else ("-c", str(directory.absolute()))
    configuration = Configuration.parsed(
        _postconf(*where, "-x"), _postconf(*where, "-M"), _postconf(*where, "-P", "-x"))
    configuration = replace(configuration, tables={name: _text(name) for name in configuration.named_tables()})
    while new := configuration.included_lists() - configuration.tables.keys():
        included = {name: _included(name) for name in new}
        configuration = replace(configuration, tables={**configuration.tables, **included})
    return configuration


def milter_actions(address: str, queue_directory: str) -> int | None:
    """The SMFIF_* bits that a milter declares (libmilter: SMFIC_OPTNEG); None if it does not answer in that protocol.

    `address`: as smtpd_milters has it; a path may be relative to the queue directory, where Postfix runs in a chroot.
    """
    offer = struct.pack("!IcIII", 13, b"O", _MILTER_VERSION, _ALL_ACTIONS, 0)
    try:
        with _connected(address, queue_directory) as channel:
            channel.sendall(offer)
            with channel.makefile("rb") as answers:
                length, command, _, actions = struct.unpack("!IcII", answers.read(13))  # lists of macros may follow
            channel.sendall(struct.pack("!Ic", 1, b"Q"))  # SMFIC_QUIT
    except (OSError, struct.error):
        return None
    return int(actions) if command == b"O" and struct.calcsize("!cIII") <= length <= _OPTIONS_OCTETS_MAX else None


def _connected(address: str, queue_directory: str) -> socket.socket:
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        chrooted = Path(queue_directory) / path.lstrip("/")
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        channel.settimeout(_MILTER_S)
        try:
            channel.connect(str(chrooted if chrooted.exists() else path))
        except OSError:
            channel.close()
            raise
        return channel
    at = endpoint(address)
    return socket.create_connection((at.host, at.port), _MILTER_S)


def _postconf(*arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and the directory is the administrator's own
            ("postconf", *arguments), capture_output=True, check=False, timeout=_TIMEOUT_S)  # noqa: S607 - as typed
    except (OSError, subprocess.TimeoutExpired) as trouble:
        raise GatewayError(Reason.USAGE, f"Cannot run postconf: {trouble}. Run this check on the machine on which "
                           "Postfix is installed") from None
    if done.returncode:
        output = done.stderr.decode("utf-8", "replace").strip()
        raise GatewayError(Reason.USAGE, f"{output or f'postconf failed with status {done.returncode}'}. Check the "
                           "configuration of Postfix and `--postfix-dir`; `postconf` shows all errors")
    return done.stdout.decode("utf-8", "replace")


def _text(table: str) -> str | None:
    """Of a table that is a text file or is made of one; LDAP, SQL and the like are asked by Postfix alone."""
    kind, _, name = table.removeprefix("proxy:").partition(":")
    return _read(Path(name)) if kind in _FILES else None


def _included(name: str) -> str | None:
    """Of an `:include:PATH`; not of a pipe or device, which would block."""
    path = Path(name.removeprefix(INCLUDE))
    return _read(path) if path.is_file() else None


def _read(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(_TABLE_OCTETS_MAX).decode("utf-8", "replace")
    except OSError:
        return None
