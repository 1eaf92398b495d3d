"""Logins of clients: a file of NAME:HASH lines, argon2id (RFC 9106), written by `sealgate client add`, mode 0600.

A wrong name costs the time of a wrong password, so that a client cannot find out which names exist.
"""

import os
import tempfile
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gateway.adapters.files.owner import hand_over
from gateway.adapters.keys.files import read_secret
from gateway.errors import GatewayError, Reason, file_error

NAME_MAX: Final = 64
PASSWORD_MIN: Final = 12  # characters: a machine's password is made, not remembered
PASSWORD_OCTETS_MAX: Final = 1_024  # hashing begins with all of them
AT_ONCE: Final = 4  # verifications in one process: each takes 64 MiB for 30 ms (RFC 9106 4, second choice)

_HASHER: Final = PasswordHasher()
_turns = threading.BoundedSemaphore(AT_ONCE)


def verify_login(path: Path, name: str, password: str) -> bool:
    """Whether the file has this name with this password. KEY_UNAVAILABLE (retry) if the file cannot be read."""
    hashed = read_clients(path).get(name)
    if len(password.encode("utf-8", "surrogatepass")) > PASSWORD_OCTETS_MAX:
        return False
    with _turns:
        try:
            return _HASHER.verify(hashed or _dummy_hash(), password) and hashed is not None
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            return False


def read_clients(path: Path) -> Mapping[str, str]:
    """Name to hash. KEY_UNAVAILABLE if the file is open to others, CONFIG_INVALID with its line if it is malformed."""
    found: dict[str, str] = {}
    text = read_secret(path).decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, hashed = line.strip().partition(":")
        if not colon or not _is_name(name) or not hashed.startswith("$argon2id$"):
            raise GatewayError(Reason.CONFIG_INVALID,
                               f"{path}:{number}:1: `sealgate client add` did not write this line. "
                               "Remove it, and add the client again")
        if name in found:
            raise GatewayError(Reason.CONFIG_INVALID, f"{path}:{number}:1: the name `{name}` is repeated. "
                               "Remove one of the two lines")
        found[name] = hashed
    return found


def add_client(path: Path, name: str, password: str) -> bool:
    """Adds the name or changes its password; True if it is new. USAGE for a name or password that will not do."""
    if not _is_name(name):
        raise GatewayError(Reason.USAGE,
                           f"`{name}` is not a valid login. Use at most {NAME_MAX} letters, digits and . - _ @, "
                           "such as online-banking")
    if len(password) < PASSWORD_MIN:
        raise GatewayError(Reason.USAGE, f"the password is too short. Use at least {PASSWORD_MIN} characters")
    if len(password.encode("utf-8", "surrogatepass")) > PASSWORD_OCTETS_MAX or not password.isprintable():
        raise GatewayError(Reason.USAGE, "the password is too long or contains control characters. Choose another one")
    clients = dict(read_clients(path)) if path.exists() else {}
    new = name not in clients
    clients[name] = _HASHER.hash(password)
    _write(path, clients)
    return new


def remove_client(path: Path, name: str) -> None:
    """Takes the name out. USAGE if it is not there."""
    clients = dict(read_clients(path)) if path.exists() else {}
    if clients.pop(name, None) is None:
        raise GatewayError(Reason.USAGE, f"{path} has no login `{name}`. `sealgate client list` shows all")
    _write(path, clients)


def _is_name(name: str) -> bool:
    return 0 < len(name) <= NAME_MAX and name.isascii() and all(c.isalnum() or c in ".-_@" for c in name)


@lru_cache(maxsize=1)
def _dummy_hash() -> str:
    """A hash that no password fits."""
    return _HASHER.hash(os.urandom(32))


def _write(path: Path, clients: Mapping[str, str]) -> None:
    """Atomically, mode 0600 from the first octet on: a reader sees the old file or the new one."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mkstemp makes it 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                hand_over(descriptor, path.parent)
                file.writelines(f"{client}:{hashed}\n" for client, hashed in sorted(clients.items()))
                file.flush()
                os.fsync(descriptor)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise GatewayError(Reason.CONFIG_UNREADABLE, file_error(path, error)) from None
