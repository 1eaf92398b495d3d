"""One HTTP connection: uvicorn's h11 protocol, with what it lacks.

- a limit on connections, of all and of one peer; peers that have never shown who they are have a share of it. A
  connection without a place is answered 503
- a deadline for each request to arrive: HEAD_S for its head, from its first octet (or the connection's), and BODY_S
  more for its body; and one for all of it, to its answer. uvicorn has none of them: a client that sends an octet a
  minute would stay without end
- the fingerprint of the peer's TLS certificate, which uvicorn passes to no application: it is in scope["state"]
- a problem document for requests that h11 cannot read; the log has no line of their content
"""

import asyncio
import hashlib
import secrets
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

import h11
import structlog
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from gateway.errors import Reason
from gateway.frontends.http.problems import MEDIA_TYPE, of_reason
from gateway.frontends.limits import Admission, Place

log = structlog.get_logger("sealgate.http")

REQUEST_DEADLINE_S: Final = 15.0
HEAD_S: Final = 10.0
BODY_S: Final = 20.0  # bodies of some KiB: a longer one needs its part of `deadline_s` in any case
HEAD_OCTETS_MAX: Final = 16_384  # request line and fields
REMEMBERED_S: Final = 3600.0
REMEMBERED_MAX: Final = 4096
RETRY_AFTER_S: Final = 5
LINGER_S: Final = 2.0  # a client reads its 503 before the connection ends: to close with octets unread would reset it
LINGERING_MAX: Final = 64  # at once; the others are reset


class Doorway:
    """Which connections of one listener get a place, and whose peers are known. In the event loop's thread."""

    def __init__(self, admission: Admission, known: Callable[[str], bool] = lambda _: False,
                 now: Callable[[], float] = time.monotonic) -> None:
        """`known`: whether an IP address is in the network of a client of the settings."""
        self._admission = admission
        self._known = known
        self._now = now
        self.lingering = 0
        self._identified: OrderedDict[str, float] = OrderedDict()  # address to when it last showed a right token

    def enter(self, peer: str) -> Place | None:
        """A place for one more connection of this address; None: there is none left for it."""
        at = self._identified.get(peer)
        recent = at is not None and self._now() - at < REMEMBERED_S
        return self._admission.enter(peer, known=recent or self._known(peer))

    def identified(self, peer: str) -> None:
        """The address has shown a right token or certificate: it is known for REMEMBERED_S."""
        self._identified[peer] = self._now()
        self._identified.move_to_end(peer)
        if len(self._identified) > REMEMBERED_MAX:
            self._identified.popitem(last=False)


class Connection(H11Protocol):
    """Made by `server` for each connection."""

    def __init__(self, config: Config, server_state: ServerState, doorway: Doorway,
                 deadline_s: float = REQUEST_DEADLINE_S) -> None:
        super().__init__(config, server_state, {})
        self._doorway = doorway
        self._place: Place | None = None
        self._deadline_s = deadline_s
        self._deadline: asyncio.TimerHandle | None = None
        self._arrival: asyncio.TimerHandle | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._awaited: object = None  # h11's state in which `_arrival` was set
        self._peer = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Counts the connection, or sends it away."""
        name = transport.get_extra_info("peername")
        self._peer = str(name[0]) if isinstance(name, tuple) else ""
        self._place = self._doorway.enter(self._peer)
        if self._place is None:
            log.warning("session.rejected", reason=str(Reason.CLIENT_BUSY), peer=self._peer)
            self.transport = transport
            self._turn_away(transport)
            return
        self.app_state = {"certificate": peer_certificate(transport), "identified": self._was_identified}
        super().connection_made(transport)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._end()
        if self._place is not None:
            self._place.leave()
            self._place = None
            super().connection_lost(exc)
        elif self._linger is not None:
            self._linger.cancel()
            self._doorway.lingering -= 1

    def data_received(self, data: bytes) -> None:
        """Octets of a request."""
        if self._place is None:
            return
        self._begin()
        super().data_received(data)
        self._look_what_is_missing()

    def _turn_away(self, transport: asyncio.Transport) -> None:
        if self._doorway.lingering >= LINGERING_MAX:
            transport.abort()
            return
        self._doorway.lingering += 1
        self._linger = self.loop.call_later(LINGER_S, transport.abort)
        transport.write(_busy())
        if transport.can_write_eof():
            transport.write_eof()

    def _was_identified(self) -> None:
        """The application knows who asks. Also called when the connection is gone already."""
        self._doorway.identified(self._peer)
        if self._place is not None:
            self._place.identified()

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
            self._arrives_within(HEAD_S, h11.IDLE)

    def _look_what_is_missing(self) -> None:
        """After its head a request has BODY_S for its body; once it is whole, only the deadline for its answer."""
        state = self.conn.their_state
        if self._deadline is None or state is self._awaited:
            return
        if state is h11.SEND_BODY:
            self._arrives_within(BODY_S, state)
        elif self._arrival is not None:
            self._arrival.cancel()
            self._arrival = self._awaited = None

    def _arrives_within(self, seconds: float, state: object) -> None:
        if self._arrival is not None:
            self._arrival.cancel()
        self._arrival, self._awaited = self.loop.call_later(seconds, self._too_slow), state

    def _end(self) -> None:
        for timer in (self._deadline, self._arrival):
            if timer is not None:
                timer.cancel()
        self._deadline = self._arrival = self._awaited = None

    def _too_slow(self) -> None:
        log.info("session.timeout", peer=self._peer)
        self._end()
        self.transport.abort()


def _busy() -> bytes:
    """The whole answer to a connection that gets no place (RFC 9110 15.6.4)."""
    body = of_reason(Reason.CLIENT_BUSY).octets(secrets.token_hex(8))
    head = (f"HTTP/1.1 503 Service Unavailable\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
            f"retry-after: {RETRY_AFTER_S}\r\nconnection: close\r\n\r\n")
    return head.encode() + body


def peer_certificate(transport: asyncio.BaseTransport) -> str | None:
    """SHA-256 (hex) of the verified TLS client certificate; None without one."""
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    der = tls.getpeercert(binary_form=True) if tls is not None else None
    return hashlib.sha256(der).hexdigest() if der else None


def settings_of(app: Any, keep_alive_s: int, grace_s: int) -> Mapping[str, Any]:
    """The settings of uvicorn: no banner, no log of its own, no proxy headers, no other protocols."""
    return {
        "app": app, "http": "h11", "ws": "none", "lifespan": "off", "log_config": None, "access_log": False,
        "proxy_headers": False, "server_header": False, "timeout_keep_alive": keep_alive_s,
        "timeout_graceful_shutdown": grace_s, "h11_max_incomplete_event_size": HEAD_OCTETS_MAX}
