"""One HTTP connection: uvicorn's h11 protocol, with what it lacks.

- a limit on connections, of all and of one peer
- a deadline for each request, from its first octet (or the connection's) to its answer: uvicorn has none, a client
  that sends an octet a minute would stay for ever
- the fingerprint of the peer's TLS certificate, which uvicorn hands to nobody: it lies in scope["state"]
- what h11 cannot read is answered with a problem document, and told without a line of its content
"""

import asyncio
import hashlib
import secrets
import ssl
from collections.abc import Mapping
from typing import Any, Final

import h11
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from gateway.errors import Reason
from gateway.frontends.http.problems import MEDIA_TYPE, of_reason
from gateway.frontends.limits import Connections

log = structlog.get_logger("sealgate.http")

REQUEST_DEADLINE_S: Final = 15.0
HEAD_OCTETS_MAX: Final = 16_384  # request line and fields


class Connection(H11Protocol):
    """Made by `server` for each connection."""

    def __init__(self, config: Config, server_state: ServerState, connections: Connections,
                 deadline_s: float = REQUEST_DEADLINE_S) -> None:
        super().__init__(config, server_state, {})
        self._connections = connections
        self._deadline_s = deadline_s
        self._deadline: asyncio.TimerHandle | None = None
        self._peer: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Counts the connection, or sends it away."""
        name = transport.get_extra_info("peername")
        peer = str(name[0]) if isinstance(name, tuple) else ""
        if not self._connections.enter(peer):
            log.warning("refused", reason=str(Reason.CLIENT_BUSY), peer=peer)
            self.transport = transport
            transport.abort()
            return
        self._peer = peer
        self.app_state = {"certificate": peer_certificate(transport)}
        super().connection_made(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._end()
        if self._peer is not None:
            self._connections.leave(self._peer)
            self._peer = None
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Octets of a request."""
        if self._peer is None:
            return
        self._begin()
        super().data_received(data)

    def on_response_complete(self) -> None:
        """The answer is written; until the next request uvicorn's own time-out for idle connections counts."""
        waits = self.conn.their_state is h11.SEND_BODY  # what is still to come of this request has its old deadline
        if not waits:
            self._end()
        super().on_response_complete()
        if not waits and self.cycle is not None and not self.cycle.response_complete:  # one was in line already
            self._begin()

    def send_400_response(self, msg: str) -> None:
        """What could not be read is answered by us alone."""
        del msg
        incident = secrets.token_hex(8)
        log.info("request", incident=incident, peer=self._peer, method=None, path=None, status=400)
        body = of_reason(Reason.INPUT_MALFORMED).octets(incident)
        try:
            self.transport.write(self.conn.send(h11.Response(
                status_code=400, reason=b"Bad Request",
                headers=[("content-type", MEDIA_TYPE), ("content-length", str(len(body))), ("connection", "close")])))
            self.transport.write(self.conn.send(h11.Data(data=body)))
            self.transport.write(self.conn.send(h11.EndOfMessage()))
        except h11.LocalProtocolError:  # an answer is under way already
            pass
        self.transport.close()

    def _begin(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._deadline_s, self._too_slow)

    def _end(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        log.info("timeout", peer=self._peer)
        self._deadline = None
        self.transport.abort()


def peer_certificate(transport: asyncio.BaseTransport) -> str | None:
    """SHA-256 (hex) of the verified TLS client certificate; None without one."""
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    der = tls.getpeercert(binary_form=True) if tls is not None else None
    return hashlib.sha256(der).hexdigest() if der else None


def settings_of(app: Any, keep_alive_s: int, grace_s: int) -> Mapping[str, Any]:
    """What uvicorn is told: no banner, no log of its own, no proxy's word on who asks, no other protocols."""
    return {
        "app": app, "http": "h11", "ws": "none", "lifespan": "off", "log_config": None, "access_log": False,
        "proxy_headers": False, "server_header": False, "timeout_keep_alive": keep_alive_s,
        "timeout_graceful_shutdown": grace_s, "h11_max_incomplete_event_size": HEAD_OCTETS_MAX}
