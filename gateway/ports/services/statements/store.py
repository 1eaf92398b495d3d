"""The four stores of statement runs as one value."""

from dataclasses import dataclass

from gateway.ports.services.statements.plans import PlanStore
from gateway.ports.services.statements.results import ResultStore
from gateway.ports.services.statements.runs import RunStore
from gateway.ports.services.statements.work import WorkStore


@dataclass(frozen=True, slots=True)
class StatementStore:
    """All four, on one database."""

    runs: RunStore
    plans: PlanStore
    work: WorkStore
    results: ResultStore
