"""The jobs process put together: what it fetches, and its rounds.

It holds no private key: it speaks with strangers' servers. Held mail is judged again by processes of their own that
live only as long (`sealgate hold again`, `sealgate fallbacks again`).
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

import structlog

from gateway.adapters.db.callbacks import DbCallbacks
from gateway.adapters.db.daily import DbDaily
from gateway.adapters.db.requests import DbRequests
from gateway.adapters.db.retention.steps import DbRetention
from gateway.adapters.next_hop.smtp import SmtpNextHop
from gateway.app.codes.callbacks import LOOK_S, Caller, lines_of
from gateway.app.expiry import ends
from gateway.app.fallbacks import is_round_due
from gateway.app.fetch import fetching, web
from gateway.app.letters import writer
from gateway.app.retention import Deletion, periods
from gateway.app.statements.delivered import take_deliveries
from gateway.app.store import Store, open_store
from gateway.app.trust import load_trust
from gateway.clock import Clock, SystemClock
from gateway.cms import strength
from gateway.cms.certificate import parse_certificate
from gateway.errors import GatewayError
from gateway.frontends.processes.children import end_with_parent
from gateway.frontends.processes.jobs import Jobs, Round
from gateway.frontends.telemetry.logs import configure, own_process
from gateway.pipeline.background.daily_report import Ends, Findings, failing, report_mail, send_report
from gateway.pipeline.background.rejudge import undecided
from gateway.pki.revocation.fetch_list import issuer_crl_requests
from gateway.ports.fetch import FetchTask
from gateway.settings import Settings

log = structlog.get_logger("sealgate.jobs")

AT_WORK_S: Final = 3.0  # well within the 10 s for which it counts
PLAN_S: Final = 3_600.0
WAITING_S: Final = 20.0  # as HELD_S
HELD_S: Final = 20.0  # between two processes that judge held mail again; each takes a second or two of a core
REPORT_S: Final = 60.0
DELIVERIES_S: Final = 30.0
FORGET_REQUESTS_S: Final = 600.0
ISSUERS_MAX: Final = 1_000  # of the store, whose lists are fetched before a mail needs them
AUDIT_S: Final = 3_600.0  # between two heads of the audit log
RETENTION_S: Final = 60.0  # between two rounds of deletion, each of at most half a minute
FORGET: Final = timedelta(days=90)
FORGET_UNPROVEN: Final = timedelta(days=1)


class JobsContext:
    """The state behind the loop. A reload replaces all of it, or nothing."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        """GatewayError of the first thing that cannot be had: CONFIG_*, STORE_UNAVAILABLE."""
        self._clock: Clock = clock or SystemClock()
        self._settings = settings
        self._judged_with = (-1, 0)  # what was known when held mail was judged the last time
        self._issuers_learned = 0
        self._audited = 0  # records at the last head of the audit log
        self._store = open_store(settings, self._clock)
        self._deletion = Deletion(DbRetention(self._store.database))
        self._callbacks = Caller(DbCallbacks(self._store.database), self._clock, lines_of(settings, self._clock))
        try:
            self._trust = load_trust(settings, self._store)
        except GatewayError:
            self._store.close()
            raise
        self._take(settings)

    def _take(self, settings: Settings) -> None:
        client = web(settings)
        fetch = fetching(settings, self._store, self._clock, client, lambda: self._trust)
        self._settings, self._web, self._fetching = settings, client, fetch

    def reload(self, settings: Settings) -> None:
        """Trust and settings again; `fetch.enabled` and the database as they were at the start."""
        trust = load_trust(settings, self._store)
        before = self._web
        self._take(settings)
        self._trust = trust
        self._callbacks.use(lines_of(settings, self._clock))
        before.close()

    @property
    def store(self) -> Store:
        """The database's adapters."""
        return self._store

    def carry_out(self, task: FetchTask) -> GatewayError | None:
        """See pipeline.background.fetching.Fetching."""
        trouble = self._fetching.carry_out(task)
        if trouble is None and task.request.kind == "issuer":
            self._issuers_learned += 1
        return trouble

    def rounds(self) -> tuple[Round, ...]:
        """All, each with its pace."""
        return (Round("at work", AT_WORK_S, self.at_work), Round("plan", PLAN_S, self.plan),
                Round("held", HELD_S, self.held), Round("waiting", WAITING_S, self.waiting),
                Round("report", REPORT_S, self.report),
                Round("deliveries", DELIVERIES_S, self.deliveries), Round("callbacks", LOOK_S, self.callbacks),
                Round("requests", FORGET_REQUESTS_S, self.requests),
                Round("audit", AUDIT_S, self.audit), Round("retention", RETENTION_S, self.retention))

    def at_work(self) -> None:
        """Lets mails know that it is worth while to wait a moment."""
        self._store.fetch_tasks.attend(self._clock.now())

    def callbacks(self) -> None:
        """Reports the results of codes to clients."""
        self._callbacks.round()

    def deliveries(self) -> None:
        """Takes over what the mail server behind us says of statements."""
        take_deliveries(self._settings, self._store, self._clock)

    def requests(self) -> None:
        """Drops what no client repeats any more."""
        book = DbRequests(self._store.database, self._clock)
        while book.forget():
            pass

    def plan(self) -> None:
        """Requests the lists of the known issuers, and drops tasks that are not requested any more."""
        settings, now, tasks = self._settings, self._clock.now(), self._store.fetch_tasks
        if not settings.fetch.enabled:
            return
        known = []
        for entry in self._store.certificates.list(issuers=True):
            known.append(entry.row.der)
            if len(known) == ISSUERS_MAX:
                break
        issuers = (*self._trust.intermediates, *map(parse_certificate, known))
        tasks.want(issuer_crl_requests(issuers, self._trust, settings.fetch.schemes), now,
                   again_s=settings.fetch.max_age_s)
        tasks.forget(now - FORGET, unproven_before=now - FORGET_UNPROVEN)

    def held(self) -> Sequence[str] | None:
        """Whether held mail may be decided now: something was learned since the last look. Needs the archive key."""
        if self._settings.hold.archive_key is None:
            return None
        known = (self._store.revocations.generation(), self._issuers_learned)
        if known == self._judged_with or next(undecided(self._store.hold, self._store.evidence), None) is None:
            return None
        self._judged_with = known
        return ("hold", "again")

    def waiting(self) -> Sequence[str] | None:
        """Whether mail that waits for a certificate may leave now, or its sender gets a notice."""
        if not is_round_due(self._settings, self._store, self._clock.now()):
            return None
        return ("fallbacks", "again")

    def audit(self) -> Sequence[str] | None:
        """Whether there are records since the last head. A process of its own signs it, for this one holds no key."""
        size = self._store.audit.size()
        signed = self._settings.audit.key is not None
        if size == (self._store.audit.head_size() if signed else self._audited):
            return None
        self._audited = size
        return ("audit", "head")

    def retention(self) -> None:
        """Deletes records that are older than the settings say."""
        self._deletion.round(periods(self._settings), self._store.database.now())

    def report(self) -> None:
        """Once a day, after the hour of the settings, by whichever process comes first."""
        settings, now = self._settings, self._clock.now()
        daily = DbDaily(self._store.database)
        if now.hour < settings.reports.hour or not daily.take(now.date()):
            return
        bank = settings.bank
        postmaster = bank.postmaster or f"postmaster@{bank.domains[0]}"
        to = settings.reports.to or postmaster
        try:
            found = self.findings()
            if found:
                hop = SmtpNextHop(settings.next_hops.inbound, hostname=bank.hostname)
                try:
                    letters = writer(settings, None, bank.language)
                    send_report(report_mail(found, to, postmaster, bank.hostname, now, letters), to, hop)
                finally:
                    hop.close()
        except GatewayError:
            daily.give_back(now.date())
            raise
        self._store.authorities.mark_reported([one.key for one in found.unknown], now)
        log.info("report.daily", sent=bool(found), ends=len(found.ends), unknown=len(found.unknown),
                 failed=len(found.failed))

    def findings(self) -> Findings:
        """The findings of the daily report."""
        now = self._clock.now()
        until = now + timedelta(days=self._settings.reports.expiry_days)
        soon = [Ends(one.name, one.what, one.subject, one.not_after)
                for one in ends(self._settings, self._store, now) if one.not_after <= until]
        soon += [Ends(one.name, "algorithm", f"customers with it need {one.use}", one.until)
                 for one in strength.endings(now, until - now) if one.until <= until]
        decided = {anchor.certificate.sha256 for anchor in self._trust.signers} | self._trust.distrusted
        unknown = [one for one in self._store.authorities.untold() if one.key not in decided]
        return Findings(ends=soon, unknown=unknown, failed=failing(tuple(self._store.fetch_tasks.list())))

    def close(self) -> None:
        """At the end."""
        self._callbacks.close()
        self._web.close()
        self._store.close()


def log_as_child(settings: Settings) -> None:
    """For a command that the jobs run as a process: its lines are the service's."""
    configure(settings.log_level)
    own_process()


def serve_jobs(settings: Settings, read: Callable[[], Settings], command: Sequence[str]) -> bool:
    """Blocks until SIGTERM. `read` gives the settings again at SIGHUP; `command`: how `sealgate` is called.

    False: threads are still at work, the process must just end. GatewayError if something cannot be had.
    """
    end_with_parent()
    configure(settings.log_level)
    own_process()
    context = JobsContext(settings)
    jobs = Jobs(context.store.fetch_tasks, context.carry_out if settings.fetch.enabled else None, context.rounds(),
                SystemClock(), command=command, reload=lambda: context.reload(read()),
                leads=lambda: context.store.database.leads("jobs"))
    log.info("jobs.started", fetch=settings.fetch.enabled)
    ended = jobs.run()
    if ended:
        context.close()
    return ended
