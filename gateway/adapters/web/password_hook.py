"""Where passwords of locked PDFs are handed over: the bank's hook, by HTTP or as a program. docs/encrypted-pdf.md.

Both get one JSON object and have one deadline. Of their answer only yes or no is read: the rest might repeat the
password, which must not be in a log. A hook that does not answer delays no more than IN_FLIGHT_MAX mails at
once; others are deferred at once, so that no slow hook stops all mail.

    HTTP      POST, application/json; the header field `Sealgate-Signature` as for calls to clients (docs/api.md), and
              `Idempotency-Key`; 2xx is yes
    program   the same object on standard input, nothing in its arguments or environment; exit status 0 is yes
"""

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.adapters.web.callback import SIGNATURE, signature
from gateway.adapters.web.client import Web
from gateway.clock import Clock
from gateway.errors import GatewayError, Reason
from gateway.ports.services.passwords import Handover

IN_FLIGHT_MAX: Final = 8
_PASSED_ON: Final = ("PATH", "LANG")  # of the environment


class HttpHook:
    """See ports.services.passwords.Passwords. Any address may be called: where it lives is the operator's word."""

    def __init__(self, url: str, secret: bytes, clock: Clock, timeout_s: float) -> None:
        self._url, self._secret, self._clock, self._timeout_s = url, secret, clock, timeout_s
        self._web = Web(schemes=frozenset({"https", "http"}), networks=("0.0.0.0/0", "::/0"),
                        connections_max=IN_FLIGHT_MAX)
        self._turns = _Turns()

    def hand_over(self, handover: Handover) -> None:
        """See Passwords."""
        body = packed(handover)
        fields = {SIGNATURE: signature(self._secret, int(self._clock.now().timestamp()), body),
                  "Idempotency-Key": handover.key}
        with self._turns.turn():
            try:
                self._web.notify(self._url, body, "application/json", deadline_s=self._timeout_s, fields=fields)
            except GatewayError as error:
                raise _not(error.detail) from None

    def close(self) -> None:
        """See Passwords."""
        self._web.close()


class ProgramHook:
    """See ports.services.passwords.Passwords. Each password starts the program, which is killed at the deadline."""

    def __init__(self, program: Path, timeout_s: float) -> None:
        self._program, self._timeout_s = program, timeout_s
        self._turns = _Turns()

    def hand_over(self, handover: Handover) -> None:
        """See Passwords."""
        body = packed(handover)
        with self._turns.turn():
            status = self._run(body)
        if status != 0:
            raise _not(f"{self._program} ended with {status}")

    def _run(self, body: bytes) -> int:
        try:
            process = subprocess.Popen(  # noqa: S603 - the operator's own program, without arguments
                [str(self._program)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                cwd="/", start_new_session=True,
                env={name: os.environ[name] for name in _PASSED_ON if name in os.environ})
        except OSError as error:
            raise _not(f"{self._program}: {error.strerror}") from None
        with process:
            try:
                process.communicate(body, timeout=self._timeout_s)
            except subprocess.TimeoutExpired:
                raise _not(f"{self._program} took more than {self._timeout_s} s") from None
            finally:
                _end(process)
        return process.returncode

    def close(self) -> None:
        """See Passwords."""


def packed(handover: Handover) -> bytes:
    """The object, the same octets for the same handover."""
    return json.dumps({
        "event": "pdf.password", "key": handover.key, "recipient": handover.recipient, "customer": handover.customer,
        "password": handover.password, "from": handover.sender, "message_id": handover.message_id,
        "language": handover.language}, ensure_ascii=True, sort_keys=True).encode()


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends the process and its children, unless it has ended already."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class _Turns:
    """Never more than so many at once; who comes besides does not wait."""

    def __init__(self) -> None:
        self._free = threading.BoundedSemaphore(IN_FLIGHT_MAX)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        if not self._free.acquire(blocking=False):
            raise _not(f"{IN_FLIGHT_MAX} passwords are being handed over already")
        try:
            yield
        finally:
            self._free.release()


def _not(detail: str) -> GatewayError:
    return GatewayError(Reason.PASSWORD_NOT_HANDED_OVER, detail, retry=True)
