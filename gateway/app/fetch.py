"""Composes fetching: the fetch requests of mails, and the jobs that carry them out."""

from collections.abc import Callable

from gateway.adapters.fetch_requests import FetchRequests
from gateway.adapters.web.client import Web
from gateway.app.store import Store
from gateway.clock import Clock
from gateway.pipeline.background.fetching import Fetching, Terms
from gateway.pki.revocation.table import StoredRevocation
from gateway.pki.trust import TrustSet
from gateway.settings import Settings

CONNECTIONS_MAX = 8  # the jobs' threads, and a spare one


def fetch_requests(settings: Settings, store: Store, clock: Clock) -> FetchRequests | None:
    """What a mail's way asks the background for; None where nothing is fetched."""
    if not settings.fetch.enabled:
        return None
    return FetchRequests(store.fetch_tasks, store.certificates, clock, settings.fetch)


def web(settings: Settings) -> Web:
    """Fetches any HTTP URL that a certificate names. It does not fetch LDAP URLs."""
    fetch = settings.fetch
    return Web(schemes=frozenset(fetch.schemes), networks=fetch.networks, connections_max=CONNECTIONS_MAX,
               any_port=False)


def fetching(settings: Settings, store: Store, clock: Clock, client: Web, trust: Callable[[], TrustSet]) -> Fetching:
    """Carries tasks out with `client`."""
    fetch = settings.fetch
    terms = Terms(frozenset(fetch.schemes), fetch.deadline_s, fetch.octets_max, fetch.max_age_s, fetch.retry_s)
    return Fetching(client, store.fetch_tasks, store.revocations, store.certificates, trust,
                    StoredRevocation(store.revocations), clock, terms)
