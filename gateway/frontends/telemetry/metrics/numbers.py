"""What is known only at a scrape: the database's counts, what ends when, who we are. As metric families."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.ports.counts import StoreNumbers


@dataclass(frozen=True, slots=True)
class Measurements:
    """`store` None: the database does not answer, and its values are left out.

    `ends`: (what it is, its name in the settings) -> when it ends. `enrolled_ending`: days -> how many certificates
    of customers end within them. `hold_limit`: octets that held mail may take. `spooled`: octets of evidence that
    wait on this machine's disk for the database to come back.
    """

    at: datetime
    version: str
    store: StoreNumbers | None
    hold_limit: int = 0
    spooled: int = 0
    ends: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    enrolled_ending: Mapping[int, int] = field(default_factory=dict)


class AtScrape(Collector):
    """For a registry. Never raises: what cannot be had is left out."""

    def __init__(self, measure: Callable[[], Measurements]) -> None:
        self._measure = measure

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        measured = self._measure()
        yield _one("build_info", "Version of this program", 1, {"version": measured.version})
        yield _one("database_up", "1: the database answered", int(measured.store is not None))
        yield _one("hold_limit_bytes", "Octets that held mail may take (hold.octets_max)", measured.hold_limit)
        yield _one("evidence_waiting_bytes", "Evidence that waits on disk for the database", measured.spooled)
        ends = GaugeMetricFamily("sealgate_expiry_timestamp_seconds", "Expiry of certificates and roots of the bank",
                                 labels=("what", "name"))
        for (what, name), at in measured.ends.items():
            ends.add_metric((what, name), at.timestamp())
        yield ends
        if measured.store is not None:
            yield from _store(measured.store, measured.at)
            yield _many("enrolled_certificates_ending", "Customers' certificates that end within so many days", "days",
                        {str(days): count for days, count in measured.enrolled_ending.items()})


def _store(store: StoreNumbers, now: datetime) -> Iterator[Metric]:
    held = store.held.items()
    yield _many("held_mails", "Held mails that wait", "kind", {kind: one.mails for kind, one in held})
    yield _many("held_bytes", "Octets of held mails that wait", "kind", {kind: one.octets for kind, one in held})
    yield _many("held_oldest_age_seconds", "How long the oldest held mail waits", "kind",
                {kind: _age(one.oldest, now) for kind, one in held})
    yield _one("held_for_certificates", "Held mails that leave by themselves when there is a certificate",
               store.waiting)
    yield _many("fallback_people", "People who had no certificate, by the way that their mail went", "way",
                store.fallback_people)
    yield _many("fallback_converted_people", "Those of them who have a certificate since", "way",
                store.fallback_converted)
    yield _many("fetch_tasks", "Fetch requests in the background", "state",
                {"all": store.fetch_tasks, "due": store.fetch_due, "failing": store.fetch_failing})
    yield _many("revocation_lists", "Revocation lists in use", "state",
                {"all": store.lists, "stale": store.lists_stale})
    yield _one("revocation_list_oldest_age_seconds", "Age of the oldest revocation list in use",
               _age(store.list_oldest, now))
    yield _one("journal_claims", "Mails of several groups in work", store.claims)
    yield _one("journal_resent", "Sends repeated because it was not known how the first went, of the mails still kept",
               store.resent)
    yield _one("authorities_unknown", "Roots and issuers found in mail and not decided on",
               store.authorities_unknown)


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max((now - since).total_seconds(), 0.0)


def _one(name: str, text: str, value: float, labels: Mapping[str, str] | None = None) -> Metric:
    labels = labels or {}
    family = GaugeMetricFamily(f"sealgate_{name}", text, labels=tuple(labels))
    family.add_metric(tuple(labels.values()), value)
    return family


def _many(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"sealgate_{name}", text, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family
