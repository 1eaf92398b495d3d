"""The process that the bank's own systems ask: a whole gateway behind HTTP. A code is sealed and sent while its
caller waits. It holds the keys that a relay worker holds; only clients of the settings may ask.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from gateway.adapters.db.callbacks import DbCallbacks
from gateway.adapters.db.requests import DbRequests
from gateway.adapters.files.mac_secret import mac_secret
from gateway.adapters.files.partner_tokens import read_digests
from gateway.adapters.files.reader import read_below
from gateway.app import Gateway
from gateway.app.codes.callbacks import filing
from gateway.app.codes.service import load_codes
from gateway.app.letters import wording
from gateway.app.operation.hold import reject, release
from gateway.app.operation.status import read_status, status_shown
from gateway.app.operation.tracing import mail_list
from gateway.app.statements.runs import statements
from gateway.app.store import called
from gateway.clock import Clock
from gateway.errors import GatewayError, Reason
from gateway.frontends.api.application import application
from gateway.frontends.api.callers import Caller, Callers
from gateway.frontends.api.memory_release import stay
from gateway.frontends.api.service import Current, HoldDesk, RunDesk, Service
from gateway.frontends.clients import Clients
from gateway.frontends.http.partners import KnownPartner
from gateway.frontends.http.server import HttpServer
from gateway.frontends.http.unavailable import when_usable
from gateway.frontends.processes.children import end_with_parent
from gateway.frontends.processes.notify import reloaded
from gateway.frontends.telemetry import metrics
from gateway.frontends.telemetry.logs import configure, own_process
from gateway.model.outcome import Outcome
from gateway.settings import Api, Client, Http, InForce, Settings, Texts

log = structlog.get_logger("sealgate.api")

STRANGERS_MAX: Final = 64  # connections of addresses that are in no client's network and have shown no token yet
RUN_OCTETS_MAX: Final = 262_144  # of a run's file; some have thirty lines
DEADLINE_S: Final = 90.0  # of a request, longer than a next hop takes that answers at all; who waits may end sooner


class ApiContext:
    """The state behind the endpoints. `current` is for the front end; a reload replaces what it holds."""

    def __init__(self, settings: Settings, clock: Clock | None = None, policies: Texts | None = None, *,
                 has_served: bool = False) -> None:
        """`policies`: their texts; None: the files are read. `has_served`: see `Gateway.enter_service`.

        GatewayError of the first thing that cannot be had: CONFIG_*, KEY_UNAVAILABLE, STORE_UNAVAILABLE.
        """
        section(settings)
        self.gateway = Gateway(settings, clock=clock, policies=policies)
        self._requests = DbRequests(self.gateway.store.database, self.gateway.clock, self.gateway.store.evidence)
        self._callbacks = DbCallbacks(self.gateway.store.database)
        try:
            self.gateway.enter_service(has_served=has_served)
            self.current = Current(self._service(settings))
        except GatewayError:
            self.gateway.close()
            raise

    def knows(self, peer: str) -> bool:
        """Whether an IP address is in the network of a client that may ask something."""
        return self._clients.by_peer(peer) is not None

    def _service(self, settings: Settings) -> Service:
        self._clients = Clients(client for client in settings.clients if client.scopes)
        codes = None
        if settings.codes is not None:
            codes = load_codes(settings, self.gateway, filing(settings, self._callbacks))
        runs = None
        if settings.statements is not None:
            runs = RunDesk(statements(settings, self.gateway.store, self.gateway.clock),
                           reader(settings.statements.sources), self.gateway.clock.now,
                           settings.statements.postfix_log is not None, wording(settings))
        return Service(callers=callers_of(settings), requests=self._requests, mac=mac_of(settings), ready=self._ready,
                       codes=codes, runs=runs, mails=mail_list(self.gateway.store),
                       hold=HoldDesk(self.gateway.store.hold, self._release, self._reject),
                       audit=self.gateway.store.audit, status=lambda: status_shown(read_status(settings)),
                       requests_per_minute_max=section(settings).requests_per_minute_max,
                       urgent=self.gateway.store.database.urgent)

    def _release(self, hold_id: str) -> tuple[Outcome, bool]:
        released = release(self.gateway, hold_id)
        return released.outcome, released.is_done

    def _reject(self, hold_id: str) -> None:
        reject(self.gateway.store, hold_id)

    def _ready(self) -> None:
        """The store is asked as a mail asks it, and the keys how they are."""
        if troubles := self.gateway.keys.health():
            raise GatewayError(Reason.KEY_UNAVAILABLE, troubles[0], retry=True)
        self.gateway.store.certificates.rows("nobody@invalid")

    def reload(self, settings: Settings) -> None:
        """Reloads rules, keys, trust, clients and services; address and database stay. If it fails nothing changes."""
        service = self._service(settings)
        self.gateway.reload(settings)
        self.gateway.store.database.called = called(settings)
        self.current.service = service

    def close(self) -> None:
        """After the last request."""
        self.gateway.close()


def reader(directory: Path) -> Callable[[str], str]:
    """See `frontends.api.service.RunDesk`. Links that lead out of the directory lead nowhere."""
    def text(name: str) -> str:
        try:
            return read_below(directory, name, RUN_OCTETS_MAX).decode("utf-8")
        except UnicodeDecodeError:
            raise GatewayError(Reason.INPUT_UNREADABLE, f"{directory}/{name}: is not UTF-8") from None

    return text


def section(settings: Settings) -> Api:
    """CONFIG_INVALID where there is none."""
    if settings.api is None:
        raise GatewayError(Reason.CONFIG_INVALID, "the settings have no section `api`. Add it: docs/api.md")
    return settings.api


def callers_of(settings: Settings) -> Callers:
    """The clients that may do something over HTTP. One whose token cannot be read has none; the others work."""
    return Callers([Caller(KnownPartner(client.name, _digests(client), frozenset(client.tls_certificates)),
                           frozenset(client.scopes))
                    for client in settings.clients if client.scopes])


def _digests(client: Client) -> tuple[bytes, ...]:
    if client.token_file is None:
        return ()
    try:
        return read_digests(client.token_file)
    except GatewayError as error:
        log.critical("client.token_unreadable", client=client.name, detail=error.detail)
        return ()


def mac_of(settings: Settings) -> Callable[[bytes], str]:
    """See `frontends.api.service.Service`. KEY_UNAVAILABLE (retry), CONFIG_INVALID: of the secret's file."""
    services = [one for one in (settings.codes, settings.statements) if one is not None]
    secret = mac_secret(services[0].secret_file) if services else secrets.token_bytes(32)
    key = hmac.digest(secret, b"sealgate: requests that are repeated", "sha256")
    return lambda octets: hmac.new(key, octets, hashlib.sha256).hexdigest()


def listener(api: Api) -> Http:
    """Where it listens, as the HTTP front end knows it."""
    return Http(host=api.host, port=api.port, certificate=api.certificate, key=api.key, client_ca=api.client_ca)


def serve_api(first: InForce, read: Callable[[], Settings]) -> None:
    """Blocks until SIGTERM; requests under way are finished. `read` reads the settings again at SIGHUP.

    GatewayError if something cannot be had.
    """
    settings = first.settings
    end_with_parent()
    configure(settings.log_level)
    own_process()
    metrics.begin(settings)
    api = section(settings)
    context = when_usable(lambda: ApiContext(settings, policies=first.policies, has_served=first.has_served),
                          listener(api), "api")

    def reload() -> None:
        try:
            changed = read()
            server.renew_tls(listener(section(changed)))
            context.reload(changed)
        except GatewayError as trouble:
            log.critical("reload.failed", reason=str(trouble.reason), detail=trouble.detail)
            reloaded(trouble)
            return
        stay()
        log.info("reload.done")
        reloaded()

    stay()
    try:
        endpoints = application(context.current, api.body_octets_max, context.gateway.clock.now)
        server = HttpServer(listener(api), endpoints, reload=reload, name="api",
                            deadline_s=DEADLINE_S, strangers_max=STRANGERS_MAX, known=context.knows)
        server.run_until_ended()
    finally:
        context.close()
