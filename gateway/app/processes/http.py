"""The HTTP process of the settings, `http` and `metrics`: what it opens, and no more.

The key of the one time-stamping service that it serves, never a key that signs or opens mail; certificates out of
files; the store where there are partners, of that only what look-ups read, and where it is measured, of that only
counts.
"""

from collections.abc import Callable

import structlog

from gateway.adapters.files.partner_tokens import read_digests
from gateway.app.keys import load_keys
from gateway.app.measurements import LazyStore, Watcher
from gateway.app.stampers import embedded
from gateway.app.store import Store, open_store
from gateway.app.trust import load_trust, revocations
from gateway.authority.tsa import EmbeddedTsa
from gateway.clock import Clock, SystemClock
from gateway.cms.certificate import Certificate, load_certificates
from gateway.errors import GatewayError, Reason
from gateway.frontends.http.observed import application
from gateway.frontends.http.partners import KnownPartner, Partners
from gateway.frontends.http.server import HttpServer
from gateway.frontends.http.service import Current, Service
from gateway.frontends.http.unavailable import when_usable
from gateway.frontends.processes.children import end_with_parent
from gateway.frontends.processes.notify import reloaded
from gateway.frontends.telemetry import metrics
from gateway.frontends.telemetry.logs import configure, own_process
from gateway.model.address import fold
from gateway.model.lookup import Absent, CertificateAnswer
from gateway.pki.select import select
from gateway.settings import Http, InternalStamperSettings, Partner, Settings

log = structlog.get_logger("sealgate.http")


class HttpContext:
    """The state behind the endpoints. `current` is for the front end; a reload replaces what it holds."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        """GatewayError of the first thing that cannot be had: CONFIG_*, KEY_UNAVAILABLE, STORE_UNAVAILABLE."""
        self._clock: Clock = clock or SystemClock()
        self._store: Store | None = None
        try:
            self.current = Current(self._service(settings))
        except GatewayError:
            self.close()
            raise

    def reload(self, settings: Settings) -> None:
        """Reloads all but the address of the listener; if it fails nothing changes."""
        self.current.service = self._service(settings)

    def close(self) -> None:
        """After the last request."""
        if self._store is not None:
            self._store.close()

    def _service(self, settings: Settings) -> Service:
        http = section(settings)
        tsa = self._tsa(settings, http.tsa) if http.tsa else None
        own = OwnCertificates(settings, self._clock)
        store = self._opened(settings) if http.partners else None
        chosen = None if store is None else _chooser(settings, store, self._clock)

        def ready() -> None:
            if tsa is not None:
                tsa.stamp(bytes(32), "sha256")
            if chosen is not None:
                chosen("nobody@invalid")

        return Service(tsa.respond if tsa else None, own.of, chosen, Partners(tuple(map(_partner, http.partners))),
                       ready, http.requests_per_minute_max)

    def _tsa(self, settings: Settings, name: str) -> EmbeddedTsa:
        """With the only key that this process loads."""
        one = next(one for one in settings.stampers if isinstance(one, InternalStamperSettings) and one.name == name)
        return embedded(one, load_keys(only(settings, name)), self._clock)

    def _opened(self, settings: Settings) -> Store:
        if self._store is None:
            self._store = open_store(only(settings, ""), self._clock)
        return self._store


def section(settings: Settings) -> Http:
    """CONFIG_INVALID where there is none."""
    if settings.http is None:
        raise GatewayError(
            Reason.CONFIG_INVALID, "the settings have neither a section `http` nor `metrics`. Add one: "
            "docs/http.md, docs/metrics.md")
    return settings.http


def only(settings: Settings, stamper: str) -> Settings:
    """The settings without any key but that of one stamper."""
    return settings.model_copy(update={
        "keys": (), "trust_card": None, "stampers": tuple(one for one in settings.stampers if one.name == stamper),
        "hold": settings.hold.model_copy(update={"archive_key": None, "archive_passphrase_file": None})})


class OwnCertificates:
    """The bank's own service certificates, by the addresses that they name: to verify with and to encrypt to."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        paths = []
        for key in settings.keys:
            paths += [key.certificate, *(one.certificate for one in key.generations)]
            paths += [key.encryption_certificate] if key.encryption_certificate is not None else []
        self._by_address: dict[str, dict[Certificate, None]] = {}
        for path in dict.fromkeys(paths):
            try:
                certificate = load_certificates(path.read_bytes())[0]
            except (OSError, IndexError) as error:
                raise GatewayError(Reason.CONFIG_UNREADABLE, f"{path}: {error}") from None
            for email in certificate.emails:
                self._by_address.setdefault(fold(email), {})[certificate] = None

    def of(self, address: str) -> tuple[Certificate, ...]:
        """Those that are valid now."""
        now = self._clock.now()
        return tuple(one for one in self._by_address.get(fold(address), ()) if one.not_before <= now <= one.not_after)


class _chooser:  # noqa: N801 - a function with what it needs
    """What a partner gets: what the gateway itself would encrypt a customer's mail to."""

    def __init__(self, settings: Settings, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._trust = load_trust(settings, store)
        self._revocation = revocations(settings, store).recipients

    def __call__(self, address: str) -> CertificateAnswer:
        rows = self._store.certificates.rows(address)
        if not rows:
            return Absent()
        return select(rows, address, self._clock.now(), self._trust, "enrolled", revocation=self._revocation)


def _partner(settings: Partner) -> KnownPartner:
    """A partner whose token cannot be read has none; that is logged, and the others work."""
    tokens: tuple[bytes, ...] = ()
    if settings.token_file is not None:
        try:
            tokens = read_digests(settings.token_file)
        except GatewayError as error:
            log.critical("partner.token_unreadable", partner=settings.name, detail=error.detail)
    return KnownPartner(settings.name, tokens, frozenset(settings.tls_certificates))


def serve_http(settings: Settings, read: Callable[[], Settings]) -> None:
    """Blocks until SIGTERM; requests under way are finished. `read` reads the settings again at SIGHUP.

    GatewayError if something cannot be had.
    """
    end_with_parent()
    configure(settings.log_level)
    own_process()
    metrics.begin(settings)
    if settings.metrics is None:
        _serve_partners(settings, read, nothing_besides)
        return
    store = LazyStore(only(settings, ""))
    watcher = Watcher(settings, store)
    watcher.keep()
    metrics_server = HttpServer(Http(host=settings.metrics.host, port=settings.metrics.port),
                                application(watcher.observed), name="metrics",
                                reload=lambda: _reread(read, watcher.reload))
    try:
        if settings.http is None:
            metrics_server.run_until_ended()
        else:
            with metrics_server.running():
                _serve_partners(settings, read, watcher.reload)
    finally:
        store.close()


def nothing_besides(_: Settings) -> None:
    """Where nothing else is to be reloaded."""


def _reread(read: Callable[[], Settings], *reloads: Callable[[Settings], None]) -> None:
    """Settings that do not load change nothing and are logged as critical."""
    try:
        changed = read()
        for one in reloads:
            one(changed)
    except GatewayError as trouble:
        log.critical("reload.failed", reason=str(trouble.reason), detail=trouble.detail)
        reloaded(trouble)
        return
    log.info("reload.done")
    reloaded()


def _serve_partners(settings: Settings, read: Callable[[], Settings], besides: Callable[[Settings], None]) -> None:
    """The section `http`; `besides` is reloaded with it."""
    http = section(settings)
    context = when_usable(lambda: HttpContext(settings), http, "http")

    def reload() -> None:
        _reread(read, lambda changed: server.renew_tls(section(changed)), context.reload, besides)

    server = HttpServer(http, context.current, reload=reload)
    try:
        server.run_until_ended()
    finally:
        context.close()
