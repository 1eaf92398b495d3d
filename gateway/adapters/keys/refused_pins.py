"""PINs that a token refused, remembered for all processes of the machine and over their restarts.

Wrong PINs lock tokens, mostly three of them, and a gateway has many processes that all start at once. So a PIN is
tried by one process at a time, and a refused one by no other until the PIN file says something else. The directory
holds a file for each token: its lock, and after a refusal a salted scrypt digest (RFC 7914) of the PIN.
"""

import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.adapters.files.owner import hand_over
from gateway.errors import GatewayError, Reason
from gateway.settings import Settings, Token

LOCK_WAIT_S: Final = 30.0  # one login of the slowest smart card takes some seconds
RECORD_OCTETS_MAX: Final = 4096
_MOMENT_S: Final = 0.03


def directory_of(settings: Settings) -> Path:
    """Where this machine keeps them: beside its database, or beside its spool where the database is elsewhere."""
    local = settings.database if settings.postgresql is None else settings.postgresql.spool
    return local.parent / "refused-pins"


@dataclass(frozen=True, slots=True)
class Trial:
    """The one login that is tried on this machine at this time. `path`: the token's file, None if there is none.

    `refusal`: why this PIN must not be tried: the token's error when it refused it.
    """

    descriptor: int | None
    path: Path | None
    refusal: str | None = None

    def refused(self, pin: bytes, detail: str) -> None:
        """Records that the token refused `pin`; `detail` is what later trials are answered. An OSError is ignored."""
        if self.descriptor is None:
            return
        salt = secrets.token_bytes(16)
        record = {"salt": salt.hex(), "digest": _digest(pin, salt).hex(), "said": detail}
        with contextlib.suppress(OSError):
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, json.dumps(record).encode(), 0)
            os.fsync(self.descriptor)

    def accepted(self) -> None:
        """Forgets what the token refused before. An OSError is ignored: the PIN is right, the record names another."""
        if self.descriptor is not None:
            with contextlib.suppress(OSError):
                if os.fstat(self.descriptor).st_size:
                    os.ftruncate(self.descriptor, 0)


@contextlib.contextmanager
def trial(directory: Path | None, token: Token, pin: bytes) -> Iterator[Trial]:
    """Waits for this machine's turn to log in. KEY_UNAVAILABLE (retry) after LOCK_WAIT_S.

    Without a directory, or where it cannot be written, the caller's own memory must do.
    """
    path = None if directory is None else directory / hashlib.sha256(
        f"{token.module}\0{token.label}".encode()).hexdigest()[:32]
    descriptor = None if path is None else _opened(path)
    try:
        refusal = None
        if descriptor is not None:
            _lock(descriptor, token)
            refusal = _recorded_refusal(os.pread(descriptor, RECORD_OCTETS_MAX, 0), pin)
        yield Trial(descriptor, path, refusal)
    finally:
        if descriptor is not None:
            os.close(descriptor)  # ends the lock


def _opened(path: Path) -> int | None:
    try:
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            made = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                hand_over(made, path.parent.parent)
            finally:
                os.close(made)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        hand_over(descriptor, path.parent)
    except OSError:
        return None
    return descriptor


def _lock(descriptor: int, token: Token) -> None:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise GatewayError(Reason.KEY_UNAVAILABLE, f"token {token.name}: another process has been logging in "
                                   f"for {LOCK_WAIT_S:g} s", retry=True) from None
            time.sleep(_MOMENT_S)
        else:
            return


def _recorded_refusal(record: bytes, pin: bytes) -> str | None:
    """The token's error for this very PIN; None if it was not refused, or the record cannot be read."""
    try:
        found = json.loads(record)
        salt, digest, refusal = bytes.fromhex(found["salt"]), bytes.fromhex(found["digest"]), str(found["said"])
    except (ValueError, TypeError, KeyError):
        return None
    return refusal if hmac.compare_digest(digest, _digest(pin, salt)) else None


def _digest(pin: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(pin, salt=salt, n=2**14, r=8, p=1)
