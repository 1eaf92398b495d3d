"""One-time codes put together: over a gateway where they are made, over the database where their bounces arrive."""

from dataclasses import replace
from datetime import timedelta

from gateway.adapters.files.mac_secret import mac_secret
from gateway.adapters.next_hop.session import within
from gateway.app import Gateway
from gateway.app.letters import writer
from gateway.app.services import returns_of
from gateway.app.store import Store, shared_clock
from gateway.clock import Clock
from gateway.errors import GatewayError, Reason
from gateway.frontends.telemetry import metrics
from gateway.model.lookup import CertificateAnswer
from gateway.model.mail import Mail
from gateway.model.outcome import Outcome
from gateway.pipeline.context import Context
from gateway.pipeline.outbound.sealed_only import sealed_only
from gateway.pipeline.outbound.send import Outbound
from gateway.ports.services.codes import FailureLock, SendLimits
from gateway.services.codes.administration import Desk
from gateway.services.codes.derive import CodeKeys
from gateway.services.codes.events import EventSink
from gateway.services.codes.issue_and_verify import Codes, Terms, Way
from gateway.services.codes.message import Sender, rehearse
from gateway.settings import Codes as CodesSettings
from gateway.settings import Settings


def load_codes(settings: Settings, gateway: Gateway, sink: EventSink) -> Codes:
    """Codes that leave through this gateway, also after it was reloaded; their own settings are those of now.

    GatewayError CONFIG_INVALID where the settings have no section `codes`, and for a template that breaks a rule; of
    the secret as adapters.files.mac_secret.
    """
    section = section_of(settings)
    keys, sender = prepared(settings)
    terms = Terms(
        digits=section.digits, life_s=section.life_s, life_s_max=section.life_s_max, tries_max=section.tries_max,
        language=settings.language_of(section),
        limits=SendLimits(section.per_customer_per_hour_max, section.per_client_per_minute_max),
        lock=FailureLock(section.failures_max, section.failures_window_s) if section.failures_max else None)
    outward = _Outward(gateway, section.send_timeout_s)
    clock = shared_clock(gateway.store.database, gateway.clock)
    return Codes(desk(settings, gateway.store, clock, sink), terms, keys, sender,
                 Way(outward.select, outward.send), metrics.code)


def desk(settings: Settings, store: Store, clock: Clock, sink: EventSink) -> Desk:
    """What needs the database alone. CONFIG_INVALID where the settings have no section `codes`."""
    return Desk(store.codes, clock, store.customers.get, sink, section_of(settings).tries_max)


def prepared(settings: Settings) -> tuple[CodeKeys, Sender]:
    """What is read of files: the secret, and the templates, each of which is tried. As `load_codes`."""
    section = section_of(settings)
    letters = writer(settings, section.templates, settings.language_of(section))
    rehearse(letters, dict.fromkeys((settings.language_of(section), *letters.languages("code"))))
    keys = CodeKeys.of(mac_secret(section.secret_file))
    return keys, Sender(section.from_, section.bounces, returns_of(section), letters)


def section_of(settings: Settings) -> CodesSettings:
    """CONFIG_INVALID where there is none."""
    if settings.codes is None:
        raise GatewayError(Reason.CONFIG_INVALID, "the settings have no section `codes`. Add it: docs/codes.md")
    return settings.codes


class _Outward:
    """The gateway's outbound way for sealed mail alone; a reload gives it another context.

    The caller waits, so a next hop that hangs is given up after `timeout_s`, at any time-out of the relay.
    """

    def __init__(self, gateway: Gateway, timeout_s: float) -> None:
        self._gateway, self._timeout_s = gateway, timeout_s
        self._made: tuple[Context, Outbound] | None = None

    def select(self, address: str) -> CertificateAnswer:
        """Of enrolled certificates."""
        return self._gateway.renewed().select(address, "enrolled")

    def send(self, mail: Mail) -> Outcome:
        """See Outbound.send. POLICY_REJECTED in `mode: observe`."""
        context, made = self._gateway.context, self._made
        if made is None or made[0] is not context:
            made = self._made = context, Outbound(sealed_only(context))
        deadline_at = self._gateway.clock.now() + timedelta(seconds=self._timeout_s)
        with within(self._timeout_s):
            return made[1].send(replace(mail, origin=replace(mail.origin, deadline_at=deadline_at)))
