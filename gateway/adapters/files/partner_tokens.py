"""Tokens of partners: random and long, shown once; what stays is the SHA-256 in a file, mode 0600.

Since it is random, a token needs no salt and no slow digest: 256 bits cannot be guessed.
"""

import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from gateway.adapters.files.owner import hand_over
from gateway.adapters.keys.files import read_secret
from gateway.errors import GatewayError, Reason, file_error

TOKEN_OCTETS: Final = 32
TOKENS_MAX: Final = 2  # of one client: the new one, and the former during a rotation
_DIGEST_OCTETS: Final = 32  # of SHA-256


def make_token(path: Path, *, keep: bool = False) -> str:
    """A new token, whose digest is the first line of `path`. CONFIG_UNREADABLE.

    `keep`: the present token stays valid, too; one before that does not. Errors then also as of `read_digests`.
    """
    token = secrets.token_urlsafe(TOKEN_OCTETS)
    kept = read_digests(path)[:TOKENS_MAX - 1] if keep and path.exists() else ()
    _write(path, (hashlib.sha256(token.encode("ascii")).digest(), *kept))
    return token


def end_former(path: Path) -> bool:
    """Only the newest token stays valid; whether there was another one. Errors as of `read_digests`, `make_token`."""
    newest, *former = read_digests(path)
    if former:
        _write(path, (newest,))
    return bool(former)


def _write(path: Path, digests: Iterable[bytes]) -> None:
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mkstemp makes it 0600
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                hand_over(descriptor, path.parent)
                file.writelines(f"{one.hex()}\n" for one in digests)
                file.flush()
                os.fsync(descriptor)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise GatewayError(Reason.CONFIG_UNREADABLE, file_error(path, error)) from None


def read_digests(path: Path) -> tuple[bytes, ...]:
    """The SHA-256 of each token, the newest first; two during a rotation.

    KEY_UNAVAILABLE (retry) if the file is not there or open to others, CONFIG_INVALID.
    """
    try:
        digests = tuple(bytes.fromhex(line.decode("ascii")) for line in read_secret(path).split())
    except ValueError:
        digests = ()
    if not 1 <= len(digests) <= TOKENS_MAX or any(len(one) != _DIGEST_OCTETS for one in digests):
        raise GatewayError(Reason.CONFIG_INVALID,
                           f"{path} is not a token file. Create it again with `sealgate http token` or "
                           "`sealgate client token`")
    return digests
