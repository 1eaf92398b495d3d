"""The time-stamping services of the settings."""

from gateway.adapters.files.trust import load_trusted
from gateway.adapters.keys.files import read_passphrase, stamper_key
from gateway.adapters.web.client import Web
from gateway.adapters.web.stamper import HttpStamper
from gateway.app.keys import one_certificate
from gateway.authority.tsa import EmbeddedTsa
from gateway.clock import Clock
from gateway.errors import GatewayError, Reason
from gateway.pki.revocation.verdict import Revocation
from gateway.pki.timestamps import judge_token
from gateway.pki.trust import TrustSet
from gateway.ports.keys import Keys
from gateway.ports.stampers import TimeStamper
from gateway.settings import HttpStamperSettings, InternalStamperSettings


def stamper(
    settings: InternalStamperSettings | HttpStamperSettings, keys: Keys, clock: Clock, trust: TrustSet,
    revocation: Revocation,
) -> TimeStamper:
    """One service. GatewayError CONFIG_INVALID, CONFIG_UNREADABLE, KEY_UNAVAILABLE."""
    if isinstance(settings, HttpStamperSettings):
        return external(settings, clock, trust, revocation)
    return embedded(settings, keys, clock)


def external(settings: HttpStamperSettings, clock: Clock, trust: TrustSet, revocation: Revocation) -> HttpStamper:
    """An outside service over HTTP. Its tokens are judged as those of a stranger, under the anchors for stampers.

    CONFIG_INVALID without such anchors: none of its tokens could be believed. KEY_UNAVAILABLE for its secrets.
    """
    if not trust.stampers:
        raise GatewayError(
            Reason.CONFIG_INVALID,
            f"stamper {settings.name}: no token of it can be believed without `stampers`, `stampers_external` or "
            "`stampers_qualified` in `trust`",
        )
    password = read_passphrase(settings.password_file) or b""
    web = Web(
        schemes=frozenset({"http", "https"}),
        networks=settings.networks,
        ca=settings.tls_ca,
        client_certificate=settings.client_certificate,
        client_key=settings.client_key,
        basic=(settings.username, password) if settings.username else None,
        connections_max=settings.in_flight_max,
    )
    return HttpStamper(
        settings.name,
        web,
        settings.url,
        lambda token: judge_token(token, None, clock.now(), trust, revocation),
        clock,
        policy_oid=settings.policy_oid,
        deadline_s=settings.deadline_s,
        in_flight_max=settings.in_flight_max,
        trust=trust.stampers[-1].stamper,
    )


def embedded(settings: InternalStamperSettings, keys: Keys, clock: Clock) -> EmbeddedTsa:
    """Our own. GatewayError CONFIG_INVALID, CONFIG_UNREADABLE, KEY_UNAVAILABLE."""
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
