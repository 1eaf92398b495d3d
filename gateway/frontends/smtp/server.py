"""The listeners of the relay: sockets, TLS contexts, threads, and a stop that loses nothing.

A mail's work always runs in a worker thread, because it waits for the next hop; in the loop it would stall every
other connection. Measured with a handler that does nothing (two cores, uvloop, CPU of the gateway for one mail of
5 KiB, 100 KiB, 1 MiB): 210, 390, 1970 us with the worker, 215, 360, 1940 with the handler called in the loop, 280,
385, 1930 with concurrent.futures, and 370, 2600, 25000 for plain aiosmtpd: the cost of the thread is within the
noise of the measurement.
"""

import asyncio
import contextlib
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import structlog

from gateway.clock import Clock, SystemClock
from gateway.errors import GatewayError, Reason
from gateway.frontends.clients import Clients, speaking_freely
from gateway.frontends.limits import Admission, Connections, Octets, Rate
from gateway.frontends.login_pauses import FORGOTTEN_S, KNOWN_S, LoginPauses, Marks
from gateway.frontends.processes.process import PATIENCE_S, REPLACED
from gateway.frontends.processes.sockets import BACKLOG, Sockets, bound, unavailable
from gateway.frontends.shared_limits import (
    FAILURES,
    KNOWN,
    SharedConnections,
    SharedLimits,
    SharedMarks,
    SharedRate,
)
from gateway.frontends.smtp.connection import HANDSHAKE_TIMEOUT_S, Connection
from gateway.frontends.smtp.listener import ListenerContext, Shared
from gateway.frontends.smtp.lmtp import Lmtp
from gateway.frontends.smtp.session import Relay
from gateway.frontends.smtp.threads import Workers
from gateway.frontends.telemetry import metrics
from gateway.frontends.telemetry.logs import silence_aiosmtpd
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome
from gateway.ports.next_hop import HopReply
from gateway.settings import Listener, Settings

log = structlog.get_logger("sealgate.smtp")

LOGIN_THREADS = 2  # argon2 takes a core and some 64 MiB for each
LOGINS_WAITING_MAX = 32
PROBE_THREADS = 4
STRANGERS_OUTBOUND = 0.2  # of `connections_max`
ONE_STRANGER_OUTBOUND = 0.1  # of the strangers' share
STRANGERS_INBOUND = 0.8
STOP_GRACE_S = 30.0

Handle = Callable[[Mail], Outcome]
Probe = Callable[[str, str], HopReply]
Verify = Callable[[str, str], bool]


class SmtpFrontend:
    """All SMTP listeners of the settings in one process."""

    def __init__(self, settings: Settings, handle: Handle, *, probe: Probe | None = None, verify: Verify | None = None,
                 clock: Clock | None = None, shared_limits: SharedLimits | None = None) -> None:
        """Loads certificates and clients: GatewayError(CONFIG_INVALID | CONFIG_UNREADABLE) if they are wrong.

        `handle`: the mail's whole way, called in a thread; GatewayError becomes its reply, anything else 451.
        `probe`: (reverse-path, recipient) -> the inbound next hop's answer, for `recipient_check: next_hop`.
        `verify`: (login, password) -> right or not, called in a thread.
        `shared_limits`: where connections and mails a minute are counted with those of other workers.
        """
        silence_aiosmtpd()
        limits = settings.limits
        clients = Clients(settings.clients if settings.mode == "live" else speaking_freely(settings.clients))
        roles = {listener.role for listener in settings.listeners}
        per_minute = limits.messages_per_minute_per_client_max
        rate = Rate(per_minute, time.monotonic) if shared_limits is None else SharedRate(
            per_minute, time.monotonic, shared_limits)
        failures, known = ((Marks(FORGOTTEN_S), Marks(KNOWN_S)) if shared_limits is None else
                           (SharedMarks(FORGOTTEN_S, shared_limits, FAILURES),
                            SharedMarks(KNOWN_S, shared_limits, KNOWN)))
        pauses = LoginPauses(failures, known, time.monotonic)
        self._logins = Workers("login", LOGIN_THREADS, LOGINS_WAITING_MAX)
        self._probes = Workers("probe", PROBE_THREADS, limits.connections_max)
        shared = {role: Shared(_admission(settings, role, shared_limits), rate,
                               Octets(limits.octets_in_flight_max), self._logins, pauses, self._probes)
                  for role in roles}
        # A next hop of one direction that is slow must not stop the other direction.
        self._workers = {role: Workers(role, limits.workers_max, limits.connections_max) for role in roles}
        self._fronts = tuple(
            ListenerContext(settings.bank, listener, limits, clients, shared[listener.role],
                            self._workers[listener.role], handle,
                  probe, verify, clock or SystemClock(), tls_context(listener))
            for listener in settings.listeners)
        self._servers: list[asyncio.Server] = []
        self._relays: set[Connection] = set()
        self._last_gone: asyncio.Event | None = None
        self._addresses: dict[str, tuple[str, int]] = {}
        self._beside: set[asyncio.Task[None]] = set()
        self._shared = shared
        metrics.sample(self._sample)

    def _sample(self) -> None:
        """Samples the load for the metrics. Runs on the sampler's thread."""
        metrics.ready("relay", takes_mail=bool(self._servers))
        for role, shared in self._shared.items():
            workers = self._workers[role]
            metrics.load(role, connections=shared.admission.everyone.now, waiting=workers.waiting,
                         working=workers.working, octets=shared.octets.used)

    @property
    def addresses(self) -> Mapping[str, tuple[str, int]]:
        """Listener name to host and port, once started (port 0 in the settings means any free one)."""
        return MappingProxyType(self._addresses)

    async def start(self, sockets: Sockets | None = None) -> None:
        """Accepts connections on `sockets`, by listener name, or on new ones.

        GatewayError(CONFIG_INVALID) if an address cannot be had.
        """
        loop = asyncio.get_running_loop()
        try:
            for front in self._fronts:
                given = (sockets or {}).get(front.listener.name)
                for one in given or bound(front.listener):
                    await self._accept(front, loop, one)
                    if given is None and one is not None:
                        host, port = self._addresses[front.listener.name]
                        log.info("listener.open", listener=front.listener.name, role=front.listener.role, host=host,
                                 port=port)
        except BaseException:
            await self.stop(0)
            raise

    async def _accept(self, front: ListenerContext, loop: asyncio.AbstractEventLoop, one: socket.socket) -> None:
        listener = front.listener
        options: dict[str, Any] = {"backlog": BACKLOG, "sock": one}
        if listener.tls == "implicit":
            options |= {"ssl": front.tls, "ssl_handshake_timeout": HANDSHAKE_TIMEOUT_S}
        name = one.getsockname()
        try:
            self._servers.append(await loop.create_server(partial(self._relay, front, loop), **options))
        except OSError as error:
            raise unavailable(listener, error) from None
        self._addresses.setdefault(listener.name, (name[0], name[1]))

    def _relay(self, front: ListenerContext, loop: asyncio.AbstractEventLoop) -> Relay:
        kind = Lmtp if front.listener.protocol == "lmtp" else Relay
        relay = kind(front, loop, self._gone)
        self._relays.add(relay)
        if self._last_gone is not None:  # accepted while we stopped accepting
            loop.call_later(PATIENCE_S, relay.stop)
        return relay

    def _gone(self, relay: Connection) -> None:
        self._relays.discard(relay)
        if not self._relays and self._last_gone is not None:
            self._last_gone.set()

    async def stop(self, grace_s: float = STOP_GRACE_S, deaf: Callable[[], None] | None = None,
                   patience_s: float = 0.0) -> int:
        """Accepts no more connections (`deaf`), ends idle ones, finishes mails under way for at most `grace_s`.

        `patience_s`: so long idle ones may begin a mail still, while another process takes the new connections.
        Returns how many connections had to be cut and mails left under way.
        """
        for server in self._servers:
            server.close()
        self._servers.clear()
        if deaf is not None:
            deaf()
        end = time.monotonic() + grace_s
        self._last_gone = asyncio.Event()
        for relay in tuple(self._relays):
            relay.stop(patience_s)
        if self._relays:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._last_gone.wait(), grace_s)
        cut = tuple(self._relays)
        for relay in cut:
            relay.cut()
        left = 0
        for workers in self._workers.values():  # whose clients have left
            left += await workers.finish(max(0.0, end - time.monotonic()))
        for workers in (*self._workers.values(), self._logins, self._probes):
            workers.close()
        return len(cut) + left

    def oldest_mail_s(self) -> float:
        """For how long the mail that began first is in work already; 0.0 of none."""
        return max(workers.oldest_s() for workers in self._workers.values())

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Goes on beside the listeners until they end. In the loop's thread."""
        self._beside.add(asyncio.get_running_loop().create_task(work))

    def run(self, *, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
            ready: Callable[[], None] | None = None, deaf: Callable[[], None] | None = None,
            grace_s: float = STOP_GRACE_S, sockets: Sockets | None = None) -> int:
        """Serves until SIGTERM or SIGINT, then stops as `stop` does; returns what it returns. On the main thread.

        `ready` is called when connections are accepted, `deaf` when none is any more. At REPLACED, which is no end of
        the whole, those who are connected already have PATIENCE_S to begin a mail.
        """
        async def serve() -> int:
            loop, ended, patience = asyncio.get_running_loop(), asyncio.Event(), 0.0

            def end(seconds: float) -> None:
                nonlocal patience
                patience = seconds
                ended.set()

            for number, seconds in ((signal.SIGTERM, 0.0), (signal.SIGINT, 0.0), (REPLACED, PATIENCE_S)):
                loop.add_signal_handler(number, end, seconds)
            await self.start(sockets)
            if ready is not None:
                ready()
            await ended.wait()
            log.info("service.stopping")
            return await self.stop(grace_s, deaf, patience)

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(serve())

    @contextlib.contextmanager
    def running(self, *, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
                grace_s: float = 5.0) -> Iterator[Mapping[str, tuple[str, int]]]:
        """Serves in a thread of its own while the `with` lasts; gives the addresses."""
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            loop = runner.get_loop()
            thread = threading.Thread(target=loop.run_forever, name="smtp", daemon=True)
            thread.start()
            try:
                asyncio.run_coroutine_threadsafe(self.start(), loop).result()
                yield self.addresses
            finally:
                asyncio.run_coroutine_threadsafe(self.stop(grace_s), loop).result()
                loop.call_soon_threadsafe(loop.stop)
                thread.join()


def _admission(settings: Settings, role: str, shared_limits: SharedLimits | None) -> Admission:
    """Of one role. On outbound listeners strangers get a small share: they may still log in, and must do so soon.

    On inbound ones nearly everybody is a stranger. A share is reserved only for mail servers that a listener names.
    """
    most, of_peer = settings.limits.connections_max, settings.limits.connections_per_peer_max
    strangers, of_stranger = most, of_peer
    if role == "outbound":
        strangers = max(1, int(most * STRANGERS_OUTBOUND))
        of_stranger = max(1, min(of_peer, int(strangers * ONE_STRANGER_OUTBOUND)))
    elif any(one.xforward_peers or one.xclient_peers or one.trusted_peers
             for one in settings.listeners if one.role == role):
        strangers = max(1, int(most * STRANGERS_INBOUND))

    def connections(all_max: int, peer_max: int, counted: str) -> Connections:
        if shared_limits is None:
            return Connections(all_max, peer_max)
        return SharedConnections(all_max, peer_max, shared_limits, counted)

    return Admission(connections(most, of_peer, role), connections(strangers, of_stranger, f"{role} strangers"))


def tls_context(listener: Listener) -> ssl.SSLContext | None:
    """The server side of a listener's TLS, None where it has none. TLS 1.2 and up.

    With `client_ca` the server requests and verifies client certificates, but requires none.
    """
    if listener.tls == "none":
        if listener.tls_required:
            raise GatewayError(Reason.CONFIG_INVALID, f"listeners: {listener.name}: tls_required without tls")
        return None
    if listener.certificate is None:
        raise GatewayError(Reason.CONFIG_INVALID, f"listeners: {listener.name}: tls needs certificate and key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(listener, listener.certificate, lambda path: context.load_cert_chain(path, listener.key, _no_passphrase))
    if listener.client_ca is not None:
        _load(listener, listener.client_ca, context.load_verify_locations)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _no_passphrase() -> str:
    """An encrypted key would ask on the terminal; it is refused instead."""
    return ""


def _load(listener: Listener, path: Path, load: Callable[[Path], None]) -> None:
    try:
        load(path)
    except (OSError, ValueError) as error:
        detail = f"listeners: {listener.name}: {path}: {type(error).__name__}: {error}"
        raise GatewayError(Reason.CONFIG_UNREADABLE, detail) from None
