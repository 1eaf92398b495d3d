"""The metrics. Imported only once the environment says where processes count (see `metrics.begin`).

A child of a metric is looked up in a dict of our own: `labels()` takes a lock and builds a tuple of texts, which costs
more than the counting.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway.errors import Reason
from gateway.model.outcome import Settled

T = TypeVar("T", Counter, Gauge, Histogram)

# Lines of the log that are alarms (conf/prometheus/alerts.yml). They are there from the start, as 0: an increase from
# nothing to one is none to Prometheus.
ALARMS: Final = (
    ("critical", "evidence.lost"), ("critical", "mail.repeated_failure"), ("error", "internal.error"),
    ("critical", "worker.exited"), ("error", "worker.exited"), ("critical", "worker.stuck"), ("error", "worker.stuck"),
    ("critical", "worker.not_started"), ("critical", "worker.mail_stuck"), ("error", "worker.killed"),
    ("critical", "worker.failed"), ("error", "milter.unknown_daemon"), ("error", "process.exited"),
    ("critical", "process.stuck"), ("critical", "process.not_started"), ("critical", "reload.failed"),
    ("critical", "jobs.reload_failed"), ("warning", "code.customer_blocked"), ("critical", "code.alarm_rejected"),
    ("critical", "code.alarm_bounced"), ("error", "callback.given_up"), ("critical", "run.paused"),
    ("critical", "run.stopped"), ("critical", "run.worker_not_started"), ("critical", "run.worker_stuck"),
    ("error", "run.internal_error"), ("error", "run.worker_died"), ("critical", "statement.ended_process"),
    ("critical", "clock.skewed"), ("error", "retention.failed"))
SECONDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 240.0)
SIZES: Final = (4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 52_428_800)


def _children(metric: T) -> Callable[..., T]:
    """The child of some label values, in the order of the metric's label names."""
    return cache(metric.labels)


class Meters:
    """All that one process counts. The registry is of no use to anybody: what is served is read from the files."""

    def __init__(self) -> None:
        registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Callable[..., Counter]:
            return _children(Counter(f"sealgate_{name}", text, labels, registry=registry))

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Callable[..., Histogram]:
            return _children(Histogram(f"sealgate_{name}", text, labels, buckets=buckets, registry=registry))

        def live(name: str, text: str, *labels: str) -> Callable[..., Gauge]:
            """The sum over the processes that live."""
            return _children(Gauge(f"sealgate_{name}", text, labels, multiprocess_mode="livesum", registry=registry))

        self.mails = counter("mails", "Mails by how they were answered", "direction", "listener", "answer", "reason")
        self.recipients = counter("recipients", "Recipients by result", "direction", "settled")
        self.mail_seconds = histogram("mail_seconds", "From a mail's last octet to its answer", SECONDS, "direction")
        self.mail_size = histogram("mail_size_bytes", "Size of mails as received", SIZES, "direction")
        self.refusals = counter("refusals", "Commands and connections rejected before a mail",
                                "listener", "reason")
        self.decisions = counter("decisions", "Recipients by the rule that decided, and its end", "rule", "end")
        self.observed = counter("observed", "In mode observe, recipients by the result they would have had",
                                "direction", "settled")
        self.protections = counter("protections", "Recipients who got their mail, by what was done to it",
                                   "direction", "verb")
        self.fallbacks = counter("fallbacks", "Recipients without a certificate whose mail was sent by a fallback",
                                 "rule", "way")
        self.verdicts = counter("verdicts", "Inbound mails by what was found", "kind", "status")
        self.lookups = counter("lookups", "Certificate look-ups by source and answer", "source", "answer", "kept")
        self.lookup_seconds = histogram("lookup_seconds", "One source's answer to one look-up", SECONDS, "source")
        self.hop_seconds = histogram("next_hop_seconds", "One transaction with the mail server behind us", SECONDS,
                                     "direction")
        self.hop_replies = counter("next_hop_replies", "Its answers for recipients", "direction", "answer")
        self.stamps = counter("stamps", "Time-stamps asked for", "stamper", "answer")
        self.stamp_seconds = histogram("stamp_seconds", "One answer of a time-stamping service", SECONDS, "stamper")
        self.asked = counter("api_requests", "Requests of the bank's systems", "operation", "status")
        self.asked_seconds = histogram("api_request_seconds", "From a request's first octet to its answer", SECONDS,
                                       "operation")
        self.codes = counter("codes", "Mails with one-time codes, and tries", "client", "what", "reason")
        self.callbacks = counter("callbacks", "Calls to clients", "client", "answer")
        self.deleted = counter("records_deleted", "Old records that were deleted", "kind")
        self.database_errors = counter("database_errors", "Errors that the database gave", "kind")
        self.events = counter("log_events", "Lines of the log of level warning and worse", "level", "event")
        for level, event in ALARMS:
            self.events(level, event)
        self.dropped_lines = Counter("sealgate_log_lines_dropped_total", "Lines of the log that could not be written",
                                     registry=registry)
        self.connections = live("connections", "SMTP connections open", "role")
        self.waiting = live("mails_waiting", "Mails that wait for a thread", "role")
        self.working = live("mails_in_work", "Mails in work", "role")
        self.octets = live("octets_in_flight_bytes", "Octets of mails in work", "role")
        self.resting = live("resting", "Processes that leave an outside service alone", "kind", "name")
        self.ready = live("processes_ready", "Processes that take mail", "kind")
        self._rules = live("policies_info", "Processes in which these policies are in force", "digest")
        self._loaded_at = Gauge("sealgate_policies_loaded_timestamp_seconds", "When policies were last loaded",
                                multiprocess_mode="livemax", registry=registry)
        self._digest: str | None = None

    def mail(self, direction: str, listener: str, answer: str, reason: Reason | None, seconds: float,
             size: int, recipients: Iterable[Settled]) -> None:
        """See metrics.mail_settled."""
        self.mails(direction, listener, answer, reason or "").inc()
        self.mail_seconds(direction).observe(seconds)
        self.mail_size(direction).observe(size)
        for settled in recipients:
            self.recipients(direction, settled).inc()

    def set_load(self, role: str, connections: int, waiting: int, working: int, octets: int) -> None:
        """See metrics.load."""
        self.connections(role).set(connections)
        self.waiting(role).set(waiting)
        self.working(role).set(working)
        self.octets(role).set(octets)

    def rules_in_force(self, digest: str, at: float) -> None:
        """See metrics.in_force. The ones before are in force in no mail that begins now."""
        if self._digest is not None and self._digest != digest:
            self._rules(self._digest).set(0)
        self._rules(digest).set(1)
        self._digest = digest
        self._loaded_at.set(at)
