"""What is seen of the gateway from outside, put together for the process that serves it: no key is loaded for it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from threading import Lock
from typing import Final

from gateway import __version__
from gateway.adapters.db.counts import DbNumbers
from gateway.adapters.db.evidence_spool import Spool
from gateway.adapters.next_hop.smtp import SmtpNextHop
from gateway.app.expiry import ends
from gateway.app.store import Store, evidence_spool, open_store
from gateway.clock import Clock, SystemClock
from gateway.errors import GatewayError, Reason
from gateway.frontends.background_value import BackgroundValue
from gateway.frontends.http.observed import Check, Observed
from gateway.frontends.smtp.greeting import answers, greets
from gateway.frontends.telemetry import metrics
from gateway.frontends.telemetry.metrics.numbers import Measurements
from gateway.frontends.telemetry.metrics.page import MEDIA_TYPE, Page
from gateway.ports.counts import StoreNumbers
from gateway.settings import NextHopSettings, Settings

NUMBERS_LIFE_S: Final = 10.0
NUMBERS_WAIT_S: Final = 3.0  # Prometheus waits ten seconds for the page
ENROLLED_LIFE_S: Final = 21_600.0  # six hours: the whole table of certificates is read for it
ENROLLED_DAYS: Final = (7, 30)
CHECKS_LIFE_S: Final = 5.0
CHECKS_WAIT_S: Final = 8.0
HOPS_LIFE_S: Final = 30.0  # the mail servers behind us write a line for each greeting


class Watcher:
    """Made by the process that serves `metrics` of the settings; `observed` is for its front end."""

    def __init__(self, settings: Settings, opened: Callable[[], Store], clock: Clock | None = None) -> None:
        """`opened` gives the store, the same each time, or raises GatewayError STORE_UNAVAILABLE."""
        self._clock: Clock = clock or SystemClock()
        self._settings = settings
        self._opened = opened
        nothing = Measurements(self._clock.now(), __version__, None)
        self._numbers = BackgroundValue(self._measure, nothing, life_s=NUMBERS_LIFE_S, wait_s=NUMBERS_WAIT_S)
        self._enrolled: BackgroundValue[dict[int, int]] = BackgroundValue(
            self._ending, {}, life_s=ENROLLED_LIFE_S, wait_s=0.0)
        self._hops: BackgroundValue[Sequence[Check]] = BackgroundValue(
            self._next_hops, (), life_s=HOPS_LIFE_S, wait_s=CHECKS_WAIT_S / 2)
        asked: Sequence[Check] = (Check("listeners", "failed", "not asked yet"),)
        self._checks = BackgroundValue(self._asked, asked, life_s=CHECKS_LIFE_S, wait_s=CHECKS_WAIT_S)
        place = metrics.directory(settings)
        self._page = page = None if place is None else Page(place, self._numbers.get)
        self.observed = Observed(lambda: (page.octets() if page else b"", MEDIA_TYPE), self._checks.get)

    def keep(self) -> None:
        """Periodic work between two requests."""
        if self._page is not None:
            self._page.keep_burying()

    def reload(self, settings: Settings) -> None:
        """Other certificates, other next hops; the address that is listened on and the directory stay."""
        self._settings = settings

    def _measure(self) -> Measurements:
        now, settings = self._clock.now(), self._settings
        try:
            store = self._opened()
            numbers: StoreNumbers | None = DbNumbers(store.database).read(now)
            ending = {(one.what, one.name): one.not_after for one in ends(settings, store, now)}
        except GatewayError:
            numbers = None
            ending = {(one.what, one.name): one.not_after for one in ends(settings, None, now)}
        return Measurements(now, __version__, numbers, settings.hold.octets_max, _spooled(settings), ending,
                    self._enrolled.get() if numbers is not None else {})

    def _ending(self) -> dict[int, int]:
        try:
            numbers = DbNumbers(self._opened().database)
            now = self._clock.now()
            return {days: numbers.enrolled_ending(now, days) for days in ENROLLED_DAYS}
        except GatewayError:
            return {}

    def _asked(self) -> Sequence[Check]:
        milter = self._settings.milter
        there = () if milter is None else (_milter(milter.socket),)
        return (self._listeners(), *there, *self._hops.get(), self._database(),
                self._certificates(self._clock.now()))

    def _listeners(self) -> Check:
        """Failed only if none answers: one that was forgotten in the settings must not take the others' mail away."""
        dumb = [one.name for one in self._settings.listeners if not greets(one)]
        if not dumb:
            return Check("listeners", "ok")
        return Check("listeners", "failed" if len(dumb) == len(self._settings.listeners) else "degraded",
                     "no greeting: " + ", ".join(dumb))

    def _next_hops(self) -> Sequence[Check]:
        hops, bank = self._settings.next_hops, self._settings.bank
        troubles = {"next_hop_outbound": _trouble(hops.outbound, bank.hostname)}
        troubles["next_hop_inbound"] = (
            troubles["next_hop_outbound"] if hops.inbound == hops.outbound else _trouble(hops.inbound, bank.hostname))
        dead = all(troubles.values())
        return tuple(Check(name, ("failed" if dead else "degraded") if why else "ok", why)
                     for name, why in troubles.items())

    def _database(self) -> Check:
        if self._numbers.get().store is None:
            return Check("database", "degraded", str(Reason.STORE_UNAVAILABLE))
        return Check("database", "ok")

    def _certificates(self, now: datetime) -> Check:
        """Of the bank's own certificates; expired roots are left out."""
        ended = sorted({name for (what, name), at in self._numbers.get().ends.items()
                        if at <= now and not what.startswith("root ")})
        return Check("certificates", "degraded" if ended else "ok", "ended: " + ", ".join(ended) if ended else "")


def _milter(address: str) -> Check:
    """It is never `failed`: Postfix on this machine waits for it and has no other milter to ask."""
    return Check("milter", "ok") if answers(address) else Check("milter", "degraded", "no process listens")


def _spooled(settings: Settings) -> int:
    try:
        return Spool(evidence_spool(settings)).waiting()
    except GatewayError:
        return 0


def _trouble(settings: NextHopSettings, hostname: str) -> str:
    """'' where it greets us as the settings want, else a Reason."""
    hop = SmtpNextHop(settings.model_copy(update={"connections_max": 1}), hostname=hostname)
    try:
        return str(Reason.NEXT_HOP_UNAVAILABLE) if hop.health() else ""
    except GatewayError as error:
        return str(error.reason)
    finally:
        hop.close()


class LazyStore:
    """The store, opened when it is first wanted, and tried again while it cannot be had."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = Lock()
        self._store: Store | None = None

    def __call__(self) -> Store:
        """GatewayError STORE_UNAVAILABLE."""
        with self._lock:
            if self._store is None:
                self._store = open_store(self._settings, self._clock)
            return self._store

    def close(self) -> None:
        """After the last use."""
        with self._lock:
            if self._store is not None:
                self._store.close()
