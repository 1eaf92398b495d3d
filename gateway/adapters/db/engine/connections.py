"""Connections to PostgreSQL: how they are opened, and when they are given up.

- synchronous_commit=on: a commit is durable when it returns, and "durable" is before each 250.
- A connection whose server has gone is seen when it is taken from the pool, without a question to it; a server that
  went silently is given up after `SILENT_S`.
- While the server does not answer, it is tried by one thread at a time and once a second, not by every mail.
The password is read from its file whenever a connection is opened, and is in no URL.
"""

import select as system_select
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg
from psycopg.errors import _WaitTimeout
from sqlalchemy.exc import DisconnectionError

from gateway.adapters.keys.files import read_passphrase
from gateway.errors import GatewayError, Reason
from gateway.settings import Postgresql

SILENT_S: Final = 10  # a server that acknowledges nothing for so long is dead
TRIED_AGAIN_S: Final = 1.0  # between two attempts to connect while there is no server


class _Bounded(psycopg.Connection[Any]):
    """Waits for no answer longer than a server that lives can take: `statement_timeout` is the server's own."""

    bound_s: float | None = None
    silent: Callable[[], None] | None = None  # is called then

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """See psycopg.Connection."""
        try:
            return super().wait(gen, interval, timeout or self.bound_s)
        except _WaitTimeout:
            self.pgconn.finish()
            if self.silent is not None:
                self.silent()
            raise psycopg.OperationalError("the server gives no answer") from None


class Connector:
    """Opens connections to one server."""

    def __init__(self, settings: Postgresql, accept: Callable[["psycopg.Connection[Any]"], None]) -> None:
        """`accept` is called with each new connection, and raises what must not be used."""
        self._settings, self._accept = settings, accept
        self._away, self._away_until = False, 0.0
        self._trying = threading.Lock()

    def connect(self, purpose: str, *, read_only: bool = False,
                autocommit: bool = False) -> "psycopg.Connection[Any]":
        """A new connection. psycopg.OperationalError; while there is no server one caller at a time finds that out."""
        if not self._away:
            return self._connected(purpose, read_only=read_only, autocommit=autocommit)
        if time.monotonic() < self._away_until or not self._trying.acquire(blocking=False):
            raise psycopg.OperationalError("the server did not answer a moment ago")
        try:
            return self._connected(purpose, read_only=read_only, autocommit=autocommit)
        finally:
            self._trying.release()

    def _connected(self, purpose: str, *, read_only: bool, autocommit: bool) -> "psycopg.Connection[Any]":
        begun = time.monotonic()
        try:
            made = _Bounded.connect(autocommit=autocommit,
                                    **parameters(self._settings, purpose, read_only=read_only))
        except psycopg.OperationalError:
            self._lost(time.monotonic() - begun)
            raise
        made.bound_s, made.silent = self._settings.statement_timeout_s + SILENT_S, self._lost
        self._away = False
        self._accept(made)
        return made

    def _lost(self, waited_s: float = 0.0) -> None:
        """The server did not answer; the longer one has to wait for that, the more seldom it is tried."""
        self._away, self._away_until = True, time.monotonic() + max(TRIED_AGAIN_S, 2 * waited_s)


def parameters(settings: Postgresql, purpose: str, *, read_only: bool = False) -> dict[str, Any]:
    """Those of libpq. GatewayError KEY_UNAVAILABLE (retry) if the password's file is not there or open to others."""
    timeout_ms = round(settings.statement_timeout_s * 1000)
    options = {
        "statement_timeout": timeout_ms,
        "idle_in_transaction_session_timeout": timeout_ms,  # a node that stops in the middle blocks no other
        "synchronous_commit": "on", "timezone": "UTC", "default_transaction_read_only": "on" if read_only else "off",
        "default_transaction_isolation": r"read\ committed",
        # The server's own look whether this node still lives: what it holds is free soon after.
        "tcp_keepalives_idle": 5, "tcp_keepalives_interval": 2, "tcp_keepalives_count": 3,
        "tcp_user_timeout": SILENT_S * 1000}
    password = read_passphrase(settings.password_file)
    system = "system" if settings.tls == "verify-full" else None  # libpq allows the system's roots for that alone
    return {
        "host": settings.host, "port": settings.port, "dbname": settings.name, "user": settings.user,
        "sslmode": settings.tls, "sslrootcert": str(settings.tls_ca) if settings.tls_ca else system,
        "password": None if password is None else _text(password, settings),
        "connect_timeout": max(2, round(settings.connect_timeout_s)),  # libpq takes 1 for 2
        "application_name": f"sealgate {purpose}", "target_session_attrs": "primary",
        "keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3,
        "tcp_user_timeout": SILENT_S * 1000,
        "options": " ".join(f"-c {name}={value}" for name, value in options.items())}


def _text(password: bytes, settings: Postgresql) -> str:
    try:
        text = password.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # libpq would cut it there
        raise GatewayError(Reason.KEY_UNAVAILABLE,
                           f"{settings.password_file}: the first line is not UTF-8 text", retry=True)
    return text


def is_broken(error: psycopg.Error) -> bool:
    """Whether the connection ended, rather than that the server refused what it was asked."""
    return isinstance(error, psycopg.OperationalError) and (
        error.sqlstate is None or error.sqlstate.startswith(("57P", "08")))


def still_there(connection: "psycopg.Connection[Any]", _record: object, _proxy: object) -> None:
    """Whether an idle connection is open: pending input means its end. Costs 2 us and no message to the server."""
    try:
        gone = connection.closed or _readable(connection.fileno())
    except psycopg.Error:
        gone = True
    if gone:
        raise DisconnectionError("the server ended it")


def _readable(descriptor: int) -> bool:
    poll = system_select.poll()
    poll.register(descriptor, system_select.POLLIN | system_select.POLLHUP)
    return bool(poll.poll(0))
