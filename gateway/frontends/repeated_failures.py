"""The repeated failure counter: mail that has caused an unexpected error before is reported, and answered 451.

A mail that meets a fault of the gateway is retried until its sender gives up; each time is one line of the log
among many. Three failures are no accident: that line is critical, and an alarm (docs/alerts.md). Nothing
else changes. To reject it would lose a mail for a fault of the gateway, and to accept it would send an unfinished mail.

All processes of a machine remember together, in one small file, for a retry may reach any of them. It holds digests
and counts, no octet of a mail, and never more than KEYS_MAX of them. Where there is no such file, each process
remembers for itself.
"""

import fcntl
import hashlib
import os
import re
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from gateway.errors import GatewayError, where
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome
from gateway.settings import Settings

log = structlog.get_logger("sealgate.smtp")

ALARM_AT: Final = 3  # failures of one mail
KEYS_MAX: Final = 1_000  # 20 kB; when there are more, those that failed longest ago are forgotten
FILE: Final = "poison"
_ROW: Final = struct.Struct("!16sI")
_ON_TOP: Final = re.compile(
    rb"(?:(?:received|return-path|delivered-to|authentication-results|received-spf|dkim-signature|arc-[a-z-]+)[ \t]*:"
    rb"[^\n]*\n(?:[ \t][^\n]*\n)*)+", re.IGNORECASE)

Handle = Callable[[Mail], Outcome]


def place(settings: Settings) -> Path:
    """Where the processes of this machine remember: the service's runtime directory, else beside the database."""
    runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    return Path(runtime or settings.database.parent) / FILE


class FailureCounter:
    """How often each mail has broken us. Safe on many threads and in many processes."""

    def __init__(self, file: Path | None = None) -> None:
        """`file`: shared with the other processes; None: this process alone."""
        self._file = file
        self._lock = threading.Lock()
        self._rows: OrderedDict[bytes, int] = OrderedDict()

    def watching(self, handle: Handle) -> Handle:
        """The same way for a mail; an unexpected error is counted and raised again."""
        def watched(mail: Mail) -> Outcome:
            try:
                return handle(mail)
            except GatewayError:
                raise
            except Exception as error:
                self._tell(mail, error)
                raise

        return watched

    def _tell(self, mail: Mail, error: Exception) -> None:
        key = _key(mail)
        times = self.failed(key)
        if times >= ALARM_AT:
            log.critical("mail.repeated_failure", incident=mail.origin.incident, key=key.hex(), times=times,
                         where=where(error))

    def failed(self, key: bytes) -> int:
        """Counts one failure more of this key; how many there are now. Never raises."""
        with self._lock:
            try:
                return self._failed_anywhere(key)
            except OSError:
                return self._count(key)

    def _failed_anywhere(self, key: bytes) -> int:
        if self._file is None:
            return self._count(key)
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            held = os.pread(descriptor, KEYS_MAX * _ROW.size, 0)
            whole = len(held) - len(held) % _ROW.size  # a process may have died while it wrote
            self._rows = OrderedDict(_ROW.iter_unpack(held[:whole]))
            times = self._count(key)
            octets = b"".join(_ROW.pack(*row) for row in self._rows.items())
            os.pwrite(descriptor, octets, 0)
            os.ftruncate(descriptor, len(octets))
        finally:
            os.close(descriptor)
        return times

    def _count(self, key: bytes) -> int:
        times = min(self._rows.pop(key, 0) + 1, 0xFFFFFFFF)
        self._rows[key] = times
        while len(self._rows) > KEYS_MAX:
            self._rows.popitem(last=False)
        return times


def _key(mail: Mail) -> bytes:
    """The octets that are the same at each retry, without fields added on top. Uses no parser: it may be what broke."""
    digest = hashlib.sha256(mail.envelope.reverse_path.encode("utf-8", "surrogateescape") + b"\0")
    on_top = _ON_TOP.match(mail.octets)
    digest.update(memoryview(mail.octets)[on_top.end() if on_top else 0:])
    return digest.digest()[:16]
