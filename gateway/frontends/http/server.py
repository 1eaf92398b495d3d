"""The HTTP listener: sockets, TLS, signals, and an end that cuts no request short.

uvicorn's server with its sockets and signals replaced: time-outs for handshakes, SIGTERM and SIGINT that end the
process with exit 0 after the requests under way, SIGHUP that reloads.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import structlog
from uvicorn.config import Config
from uvicorn.server import Server

from gateway.errors import GatewayError, Reason, address_error
from gateway.frontends.http.application import application
from gateway.frontends.http.connection import REQUEST_DEADLINE_S, Connection, Doorway, settings_of
from gateway.frontends.http.guard import Guard
from gateway.frontends.http.service import Current
from gateway.frontends.limits import Admission, Connections
from gateway.frontends.processes.notify import live, notify
from gateway.settings import Http

log = structlog.get_logger("sealgate.http")

CONNECTIONS_MAX: Final = 256
CONNECTIONS_PER_PEER_MAX: Final = 64
STRANGERS_MAX: Final = 192  # connections of peers that have shown no token or certificate within the last hour
BACKLOG: Final = 128
HANDSHAKE_TIMEOUT_S: Final = 10.0
SHUTDOWN_TIMEOUT_S: Final = 5.0
KEEP_ALIVE_S: Final = 15
GRACE_S: Final = 10


class HttpServer(Server):
    """One listener. `current` holds the service; replacing it there is a reload."""

    def __init__(self, http: Http, current: Current | Guard, *, reload: Callable[[], None] | None = None,
                 name: str = "http", deadline_s: float = REQUEST_DEADLINE_S, strangers_max: int = STRANGERS_MAX,
                 known: Callable[[str], bool] = lambda _: False) -> None:
        """Loads the TLS certificate: GatewayError CONFIG_UNREADABLE. `reload` is called at SIGHUP.

        `current`: the service of the moment, or another application (`observed`) as a whole. `name`: its section of
        the settings. `strangers_max`: of CONNECTIONS_MAX, how many peers may have that are not known: neither by
        `known`, which is asked for an IP address, nor by a token or certificate within the last hour.
        """
        app = current if isinstance(current, Guard) else application(current)
        for logger in ("uvicorn", "uvicorn.error", "uvicorn.access"):  # what it says may quote what strangers sent
            logging.getLogger(logger).setLevel(logging.CRITICAL + 1)
        super().__init__(Config(**settings_of(app, KEEP_ALIVE_S, GRACE_S)))
        self.config.load()
        self.tls = tls_context(http)
        self._http = http
        self._name = name
        self._reload = reload
        self._deadline_s = deadline_s
        self._doorway = Doorway(
            Admission(Connections(CONNECTIONS_MAX, CONNECTIONS_PER_PEER_MAX),
                      Connections(strangers_max, min(CONNECTIONS_PER_PEER_MAX, max(1, strangers_max // 4)))), known)
        self.address: tuple[str, int] = (http.host, http.port)
        self._living: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Opens the listener. CONFIG_INVALID if the address cannot be had."""
        del sockets
        loop = asyncio.get_running_loop()
        tls: dict[str, Any] = {
            "ssl": self.tls, "ssl_handshake_timeout": HANDSHAKE_TIMEOUT_S, "ssl_shutdown_timeout": SHUTDOWN_TIMEOUT_S}
        try:
            server = await loop.create_server(
                lambda: Connection(self.config, self.server_state, self._doorway, self._deadline_s),
                self._http.host, self._http.port, backlog=BACKLOG, **(tls if self.tls else {}))
        except OSError as error:
            raise GatewayError(Reason.CONFIG_INVALID,
                               address_error(f"{self._name}: {self._http.host}:{self._http.port}", error)) from None
        self.servers = [server]
        name = server.sockets[0].getsockname()
        self.address = (name[0], name[1])
        self.started = True
        if threading.current_thread() is threading.main_thread():
            notify("READY=1")
            self._living = loop.create_task(live(), name="signs of life")
        log.info("listener.open", service=self._name, host=name[0], port=name[1], tls=self.tls is not None)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end, SIGHUP reloads; on another thread than the main one there are none."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        handlers = {signal.SIGTERM: self.end, signal.SIGINT: self.end, signal.SIGHUP: self._reload or self.end}
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def end(self) -> None:
        """No new connections; requests under way are finished, at most for GRACE_S."""
        self.should_exit = True

    def renew_tls(self, http: Http) -> None:
        """Reads certificate and key again, for new connections. CONFIG_UNREADABLE: nothing changed."""
        if self.tls is not None and http.certificate is not None:
            tls_context(http)  # certificate and key fit each other, or this raises
            self.tls.load_cert_chain(http.certificate, http.key, _no_passphrase)

    def run_until_ended(self) -> None:
        """Serves until SIGTERM. On the main thread."""
        with asyncio.Runner() as runner:
            runner.run(self.serve())

    @contextlib.contextmanager
    def running(self) -> Iterator[tuple[str, int]]:
        """Serves in a thread of its own while the `with` lasts; gives host and port. Raises as `startup`."""
        failed: list[GatewayError] = []

        def run() -> None:
            try:
                self.run_until_ended()
            except GatewayError as error:
                failed.append(error)

        thread = threading.Thread(target=run, name=self._name, daemon=True)
        thread.start()
        try:
            while not self.started and thread.is_alive():
                thread.join(0.01)
            if failed:
                raise failed[0]
            yield self.address
        finally:
            self.end()
            thread.join()


def tls_context(http: Http) -> ssl.SSLContext | None:
    """The server side of TLS 1.2 and up, None without a certificate. With `client_ca` clients may show one, too."""
    if http.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(http.certificate, lambda path: context.load_cert_chain(path, http.key, _no_passphrase))
    if http.client_ca is not None:
        _load(http.client_ca, context.load_verify_locations)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _no_passphrase() -> str:
    """An encrypted key would ask on the terminal; it is refused instead."""
    return ""


def _load(path: Path, load: Callable[[Path], None]) -> None:
    try:
        load(path)
    except (OSError, ValueError) as error:
        raise GatewayError(Reason.CONFIG_UNREADABLE, f"http: {path}: {type(error).__name__}: {error}") from None
