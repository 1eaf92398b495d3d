"""The four stores of statement runs, on one database."""

from gateway.adapters.db.engine.database import Database
from gateway.adapters.db.evidence import DbEvidence
from gateway.adapters.db.statements.plans import DbPlans
from gateway.adapters.db.statements.results import DbResults
from gateway.adapters.db.statements.runs import DbRuns
from gateway.adapters.db.statements.work import DbWork
from gateway.ports.services.statements.store import StatementStore


def statement_store(database: Database, evidence: DbEvidence | None = None) -> StatementStore:
    """`evidence`: what a thread keeps back there is written in the commit of its next `note`."""
    return StatementStore(DbRuns(database), DbPlans(database), DbWork(database, evidence), DbResults(database))
