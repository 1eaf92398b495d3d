"""When the bank's certificates expire: of keys, stampers, escrow, archive, TLS, and the trusted roots.

For a key with several generations the reported end is the moment after which none would be valid: a rollover
that is prepared needs no warning. Unreadable files are left out here; `sealgate check` reports them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gateway.adapters.files.trust import load_trusted
from gateway.app.store import Store
from gateway.cms.certificate import Certificate
from gateway.errors import GatewayError
from gateway.settings import InternalStamperSettings, Settings


@dataclass(frozen=True, slots=True)
class Ending:
    """One thing that ends. `name` as in the settings; `what` it is, in words; `subject` of its certificate."""

    name: str
    what: str
    subject: str
    not_after: datetime


def ends(settings: Settings, store: Store | None, now: datetime) -> tuple[Ending, ...]:
    """All expiry dates, the next one first, past ones included.

    GatewayError STORE_UNAVAILABLE (retry): the trust list is out of the store; None: it is left out.
    """
    found = [*_keys(settings, now), *_stampers(settings), *_others(settings), *_anchors(settings, store)]
    return tuple(sorted(found, key=lambda one: (one.not_after, one.what, one.name)))


def covered_by(certificates: Iterable[Certificate], now: datetime) -> Certificate:
    """The certificate after whose end nothing valid follows without a gap. Of none valid now, the newest.

    ValueError of no certificates at all.
    """
    everyone = list(certificates)
    valid = [one for one in everyone if one.not_before <= now <= one.not_after]
    if not valid:
        return max(everyone, key=lambda one: (one.not_before, one.not_after))
    last = max(valid, key=lambda one: one.not_after)
    while True:
        follows = [one for one in everyone if one.not_before <= last.not_after < one.not_after]
        if not follows:
            return last
        last = max(follows, key=lambda one: one.not_after)


def _keys(settings: Settings, now: datetime) -> Iterator[Ending]:
    opening: set[Certificate] = set()
    for key in settings.keys:
        generations = [one for item in (key, *key.generations) for one in _first(item.certificate)]
        if key.purpose == "decrypt":
            opening.update(generations)
        if generations:
            what = "key that signs" if key.purpose == "sign" else "key that opens mail"
            yield _ending(key.name, what, covered_by(generations, now))
    for key in settings.keys:
        for published in _first(key.encryption_certificate):
            if published not in opening:  # else it follows the generations of that key
                yield _ending(key.name, "published encryption certificate", published)


def _stampers(settings: Settings) -> Iterator[Ending]:
    for stamper in settings.stampers:
        if isinstance(stamper, InternalStamperSettings):
            yield from (_ending(stamper.name, "key that stamps", one) for one in _first(stamper.certificate))
        else:
            yield from (_ending(stamper.name, "TLS client certificate at the stamper", one)
                        for one in _first(stamper.client_certificate))


def _others(settings: Settings) -> Iterator[Ending]:
    for escrow in settings.escrow:
        for certificate in _first(escrow.certificate):
            yield _ending(escrow.name, "escrow", certificate)
    for certificate in _first(settings.hold.archive_certificate):
        yield _ending("hold", "archive key of held mail", certificate)
    for listener in settings.listeners:
        for certificate in _first(listener.certificate):
            yield _ending(listener.name, "TLS of a listener", certificate)
    if settings.http is not None:
        for certificate in _first(settings.http.certificate):
            yield _ending("http", "TLS of the HTTP service", certificate)
    if settings.api is not None:
        for certificate in _first(settings.api.certificate):
            yield _ending("api", "TLS of the bank's own systems", certificate)


def _anchors(settings: Settings, store: Store | None) -> Iterator[Ending]:
    """Roots out of files and out of the store's trust list, each once for each use."""
    trust = settings.trust
    found: dict[tuple[str, Certificate], None] = {}
    for use, paths in (("signers", trust.signers), ("recipients", trust.recipients), ("stampers", trust.stampers),
                       ("stampers", trust.stampers_external), ("stampers", trust.stampers_qualified)):
        found.update(((use, certificate), None) for path in paths for certificate in _all(path))
    if store is not None:
        found.update(((str(purpose), anchor), None) for purpose, anchor in store.certificates.trust_list().anchors)
    for (use, certificate) in found:
        yield _ending(certificate.subject, f"root for {use}", certificate)


def _ending(name: str, what: str, certificate: Certificate) -> Ending:
    return Ending(name, what, certificate.subject, certificate.not_after)


def _first(path: Path | None) -> tuple[Certificate, ...]:
    return () if path is None else _all(path)[:1]


def _all(path: Path) -> tuple[Certificate, ...]:
    try:
        return load_trusted((path,))
    except GatewayError:
        return ()
