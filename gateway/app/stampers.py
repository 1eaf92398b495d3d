"""The time-stamping services of the settings."""

from gateway.adapters.keys_file import stamper_key
from gateway.adapters.trust_files import load_trusted
from gateway.app.keys import one_certificate
from gateway.authority.tsa import EmbeddedTsa
from gateway.clock import Clock
from gateway.errors import GatewayError, Reason
from gateway.ports.keys import Keys
from gateway.settings import Stamper as StamperSettings


def stamper(settings: StamperSettings, keys: Keys, clock: Clock) -> EmbeddedTsa:
    """One service. GatewayError CONFIG_INVALID."""
    return embedded(settings, keys, clock)


def embedded(settings: StamperSettings, keys: Keys, clock: Clock) -> EmbeddedTsa:
    """Our own. GatewayError CONFIG_INVALID, CONFIG_UNREADABLE, KEY_UNAVAILABLE."""
    if settings.certificate is None:
        raise GatewayError(Reason.CONFIG_INVALID, f"stamper {settings.name} has no certificate")
    return EmbeddedTsa(
        settings.name,
        keys,
        stamper_key(settings.name),
        one_certificate(settings.certificate),
        load_trusted((settings.chain,)) if settings.chain else (),
        policy_oid=settings.policy_oid,
        accuracy_ms=settings.accuracy_ms,
        clock=clock,
        clock_check=settings.clock_check,
    )
