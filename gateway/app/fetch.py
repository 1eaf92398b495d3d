"""Fetching put together: what mails wish for, and who carries it out."""

from collections.abc import Callable

from gateway.adapters.web import Web
from gateway.adapters.wishes import Wishes
from gateway.app.store import Store
from gateway.clock import Clock
from gateway.pipeline.fetching import Fetching, Terms
from gateway.pki.table import StoredRevocation
from gateway.pki.trust import TrustSet
from gateway.settings import Settings

CONNECTIONS_MAX = 8  # the jobs' threads, and a spare one


def wishes(settings: Settings, store: Store, clock: Clock) -> Wishes | None:
    """What a mail's way asks the background for; None where nothing is fetched."""
    return Wishes(store.fetch_tasks, store.certificates, clock, settings.fetch) if settings.fetch.enabled else None


def web(settings: Settings) -> Web:
    """For whatever URL a certificate names. LDAP URLs are not fetched by it."""
    fetch = settings.fetch
    return Web(schemes=frozenset(fetch.schemes), networks=fetch.networks, connections_max=CONNECTIONS_MAX,
               any_port=False)


def fetching(settings: Settings, store: Store, clock: Clock, client: Web, trust: Callable[[], TrustSet]) -> Fetching:
    """Carries tasks out with `client`."""
    fetch = settings.fetch
    terms = Terms(frozenset(fetch.schemes), fetch.deadline_s, fetch.octets_max, fetch.max_age_s, fetch.retry_s)
    return Fetching(client, store.fetch_tasks, store.revocations, store.certificates, trust,
                    StoredRevocation(store.revocations), clock, terms)
