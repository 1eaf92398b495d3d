"""The database's adapters, one per port."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.db.audit import DbAudit
from gateway.adapters.db.certificates.authorities import DbAuthorities
from gateway.adapters.db.certificates.customers import DbCustomers
from gateway.adapters.db.certificates.fetch_tasks import DbFetchTasks
from gateway.adapters.db.certificates.learned import DbLearned
from gateway.adapters.db.certificates.revocations import DbRevocations
from gateway.adapters.db.certificates.store import DbCertificates
from gateway.adapters.db.codes import DbCodes
from gateway.adapters.db.engine import schema
from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.evidence import DbEvidence
from gateway.adapters.db.evidence_spool import Spool
from gateway.adapters.db.hold import DbHold
from gateway.adapters.db.journal import DbJournal
from gateway.adapters.db.legal_holds import DbLegalHolds
from gateway.adapters.db.policy_sets import DbPolicySets
from gateway.app.audit.four_eyes import demand
from gateway.clock import Clock, SystemClock
from gateway.cms.certificate import load_certificates
from gateway.errors import GatewayError
from gateway.ports.administration import NewCertificate
from gateway.settings import Settings


def evidence_spool(settings: Settings) -> Path:
    """The directory for evidence that the database has not taken yet; with SQLite beside its file."""
    if settings.postgresql is not None:
        return settings.postgresql.spool
    return settings.database.with_name(f"{settings.database.name}-evidence")


@dataclass(frozen=True, slots=True)
class Store:
    """The database's adapters, one per port."""

    database: Database
    customers: DbCustomers
    certificates: DbCertificates
    learned: DbLearned
    journal: DbJournal
    hold: DbHold
    evidence: DbEvidence
    authorities: DbAuthorities
    revocations: DbRevocations
    fetch_tasks: DbFetchTasks
    codes: DbCodes
    audit: DbAudit
    policy_sets: DbPolicySets
    legal_holds: DbLegalHolds

    def close(self) -> None:
        """Ends the connections; what was committed is there."""
        self.evidence.close()
        self.database.close()


def open_store(settings: Settings, clock: Clock | None = None) -> Store:
    """The database of the settings. Creates nothing: see `app.database`.

    GatewayError STORE_MISSING, STORE_VERSION, STORE_MISMATCH, STORE_UNAVAILABLE (each with retry).
    """
    held = settings.hold
    database = schema.open_database(settings.postgresql or settings.database, settings.database_id)
    demand(database, settings)
    database.called = called(settings)
    spool = Spool(evidence_spool(settings))
    try:
        spool.prepare()
    except GatewayError:
        database.close()
        raise
    clock = shared_clock(database, clock)
    certificates = DbCertificates(database, clock)
    return Store(
        database=database,
        customers=DbCustomers(database),
        certificates=certificates,
        learned=DbLearned(database, certificates, clock),
        journal=DbJournal(database, clock),
        hold=DbHold(
            database,
            clock,
            held.archive_certificate,
            held.archive_key,
            held.archive_passphrase_file,
            octets_max=held.octets_max,
        ),
        evidence=DbEvidence(database, spool),
        authorities=DbAuthorities(database),
        revocations=DbRevocations(database),
        fetch_tasks=DbFetchTasks(database),
        codes=DbCodes(database),
        audit=DbAudit(database),
        policy_sets=DbPolicySets(database),
        legal_holds=DbLegalHolds(database),
    )


def called(settings: Settings) -> frozenset[str]:
    """The clients that get webhooks."""
    return frozenset(client.name for client in settings.clients if client.callback_url)


def shared_clock(database: Database, clock: Clock | None = None) -> Clock:
    """The clock for times that several nodes compare: the database's, unless a test has one of its own."""
    return database if clock is None or isinstance(clock, SystemClock) else clock


def enrol(store: Store, certificates: Iterable[tuple[bytes, str]]) -> None:
    """Binds certificates (PEM or DER) to customer numbers."""
    store.certificates.add(
        [
            NewCertificate(certificate, customer=number)
            for octets, number in certificates
            for certificate in load_certificates(octets)
        ]
    )
