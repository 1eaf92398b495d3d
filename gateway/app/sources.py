"""Where recipients' certificates are looked up: the store, and the directories of the settings, each one guarded."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gateway.adapters.directories.guarded import Guarded
from gateway.app.fetch import fetch_requests
from gateway.app.store import Store
from gateway.app.trust import load_trust, revocations
from gateway.clock import Clock
from gateway.pki.lookup import LookUp
from gateway.pki.revocation.verdict import Revocation
from gateway.pki.trust import TrustSet
from gateway.ports.certificates import CertificateSource
from gateway.settings import (
    STORE,
    HttpSourceSettings,
    LdapSourceSettings,
    Settings,
    SmimeaSourceSettings,
    Source,
)


def load_sources(settings: Settings) -> tuple[Guarded, ...]:
    """The directories, in their order; nothing is connected to yet. GatewayError CONFIG_* of the first that cannot be.

    The bank's own domains are never asked about: whom we are is not for others to say.
    """
    return tuple(Guarded(_source(source), source, settings.bank.domains) for source in settings.sources)


def _source(settings: Source) -> CertificateSource:
    """What a kind needs is imported where there is one of it: dnspython alone would cost every command 50 ms."""
    match settings:
        case LdapSourceSettings():
            from gateway.adapters.directories.ldap import LdapSource

            return LdapSource(settings)
        case SmimeaSourceSettings():
            from gateway.adapters.directories.smimea import SmimeaSource

            return SmimeaSource(settings)
        case HttpSourceSettings():
            from gateway.adapters.directories.http_lookup import HttpSource

            return HttpSource(settings)


def look_up(settings: Settings, store: CertificateSource, directories: Sequence[Guarded], trust: TrustSet, clock: Clock,
            revocation: Revocation) -> LookUp:
    """The sources in the order of `lookups.any`. `revocation`: as it is judged for recipients."""
    known: dict[str, CertificateSource] = {STORE: store, **{one.name: one for one in directories}}
    order = settings.lookups.any or tuple(known)
    return LookUp(store, tuple(known[name] for name in order), trust, clock, revocation)


@contextmanager
def looking_up(settings: Settings, store: Store, clock: Clock) -> Iterator[LookUp]:
    """Every source of the settings, for commands; hung up at the end. GatewayError CONFIG_*, STORE_UNAVAILABLE.

    What is missing of revocation is wished for as by a mail.
    """
    directories = load_sources(settings)
    try:
        yield look_up(settings, store.certificates, directories, load_trust(settings, store), clock,
                      revocations(settings, store, fetch_requests(settings, store, clock)).recipients)
    finally:
        for directory in directories:
            directory.close()
