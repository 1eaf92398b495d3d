"""Tokens of partners: random and long, shown once; what stays is the SHA-256 in a file, mode 0600.

Since it is random, a token needs no salt and no slow digest: 256 bits cannot be guessed.
"""

import hashlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

from gateway.adapters.files.owner import hand_over
from gateway.adapters.keys.files import read_secret
from gateway.errors import GatewayError, Reason, file_error

TOKEN_OCTETS: Final = 32
_DIGEST_OCTETS: Final = 32  # of SHA-256


def make_token(path: Path) -> str:
    """A new token, whose digest takes the place of the old one's in `path`. CONFIG_UNREADABLE."""
    token = secrets.token_urlsafe(TOKEN_OCTETS)
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mkstemp makes it 0600
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                hand_over(descriptor, path.parent)
                file.write(f"{hashlib.sha256(token.encode('ascii')).hexdigest()}\n")
                file.flush()
                os.fsync(descriptor)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise GatewayError(Reason.CONFIG_UNREADABLE, file_error(path, error)) from None
    return token


def read_digest(path: Path) -> bytes:
    """The SHA-256 of a token. KEY_UNAVAILABLE (retry) if the file is not there or open to others, CONFIG_INVALID."""
    text = read_secret(path).strip()
    try:
        digest = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        digest = b""
    if len(digest) != _DIGEST_OCTETS:
        raise GatewayError(Reason.CONFIG_INVALID,
                           f"{path} is not a token file. Create it again with `sealgate http token` or "
                           "`sealgate client token`")
    return digest
