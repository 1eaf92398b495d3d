"""What may be asked of runs: take one, tell of it, pause, resume, cancel. HTTP and commands call this alike.

Nothing is sent here: `drive` does that, in the process of `sealgate statements send` or of the supervisor's child.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.clock import Clock
from gateway.errors import GatewayError, Reason
from gateway.ports.statements import Counts, ItemRow, RunRow, RunState, StatementStore
from gateway.services.statements import source
from gateway.services.statements.spec import Spec


@dataclass(frozen=True, slots=True)
class Shown:
    """A run and how far it is. `rate`: mails a second since it began or went on; `rest_s`: None if nobody knows."""

    run: RunRow
    counts: Counts
    rate: float
    rest_s: float | None


class Statements:
    """Threads may share it."""

    def __init__(self, store: StatementStore, clock: Clock, *, sources: Path, reports: Path) -> None:
        """`sources`, `reports`: directories of the settings."""
        self._store = store
        self._clock = clock
        self._sources = sources
        self._reports = reports

    def create(self, client: str, given: str | Mapping[str, Any], *, base: Path | None = None,
               run_id: str | None = None) -> RunRow:
        """Takes a run; it begins as soon as somebody drives it. `given`: a run's file as text, or its values.

        `base`: the directory of its file, from which its paths are relative; None: over HTTP, all lies below
        `statements.sources`. `run_id`: 16 hex digits that the caller chose, so that the same call makes no second run
        (derived from the idempotency key). CONFIG_INVALID with all problems, USAGE, INPUT_UNREADABLE.
        """
        raise NotImplementedError

    def list(self, *, client: str | None = None, limit: int = 100) -> Sequence[RunRow]:
        """The newest first; `client`: only its own."""
        return self._store.runs(client=client, limit=limit)

    def show(self, run: str, *, client: str | None = None) -> Shown:
        """RUN_UNKNOWN if there is none, or if it is not the client's."""
        raise NotImplementedError

    def pause(self, run: str, *, client: str | None = None) -> RunRow:
        """Mails in work are finished. RUN_STATE if it has ended; pausing a paused run changes nothing."""
        raise NotImplementedError

    def resume(self, run: str, *, client: str | None = None) -> RunRow:
        """Goes on. RUN_STATE if it has ended or was cancelled."""
        raise NotImplementedError

    def cancel(self, run: str, *, client: str | None = None) -> RunRow:
        """What has not left does not leave any more. RUN_STATE if it has ended."""
        raise NotImplementedError

    def spec(self, run: RunRow) -> Spec:
        """The run's file."""
        return Spec.model_validate_json(run.spec)

    def rows(self, run: RunRow) -> Iterator[source.Row | source.BadRow]:
        """All rows of its source. RUN_CHANGED if that is not what it was; INPUT_UNREADABLE."""
        raise NotImplementedError

    def items(self, run: str) -> Iterator[ItemRow]:
        """All mails of a run, in the order of rows and holders."""
        return self._store.items(run)
