"""Use cases of runs: accept, show, pause, resume, cancel. HTTP and commands call the same functions.

Nothing is sent here: `drive` does that, in the process of `sealgate statements send` or of the supervisor's child.
"""

import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from gateway.clock import Clock
from gateway.errors import GatewayError, Reason
from gateway.ports.services.statements.rows import Counts, ItemRow, RunRow, RunState
from gateway.ports.services.statements.store import StatementStore
from gateway.services.statements import source
from gateway.services.statements import spec as specs
from gateway.services.statements.drive import checked
from gateway.services.statements.spec import Spec

ID_OCTETS: Final = 8
_ID = re.compile(r"[0-9a-f]{16}")
_OPEN: Final = (RunState.NEW, RunState.PLANNING, RunState.RUNNING, RunState.PAUSED)


@dataclass(frozen=True, slots=True)
class Shown:
    """A run and how far it is. `rate`: mails a second since it began; `rest_s`: None if unknown."""

    run: RunRow
    counts: Counts
    rate: float
    rest_s: float | None


class Statements:
    """Threads may share it."""

    def __init__(self, store: StatementStore, clock: Clock, *, sources: Path, reports: Path,
                 digest: Callable[[str], str], untexted: Callable[[str, str], str]) -> None:
        """`sources`, `reports`: directories of the settings; `digest`: see ports.services.documents.Documents;

        `untexted`: what is wrong with a kind of mail in a language, see `mail.untexted`.
        """
        self._store = store
        self._clock = clock
        self._sources = sources
        self._reports = reports
        self._digest = digest
        self._untexted = untexted

    def create(self, client: str, given: str | Mapping[str, Any], *, base: Path | None = None,
               run_id: str | None = None, name: str = "run") -> RunRow:
        """Accepts a run; it begins once a process leads it. `given`: a run's file as text, or its values.

        `base`: the directory of its file, from which its paths are relative; None: over HTTP, all paths are below
        `statements.sources`. `run_id`: 16 hex digits that the caller chose, so that the same call makes no second run
        (derived from the idempotency key). `name`: of the file, for reports.
        Over HTTP no file of the run is opened: a file that cannot be read stops the run when it begins.
        REQUEST_KEY_CONFLICT if the id is another run's; CONFIG_INVALID with all problems, USAGE, INPUT_UNREADABLE;
        PDF_NOT_MADE if there is no such template of documents, RUN_CHANGED if it is another than the run names.
        """
        spec = specs.read(given, name, base) if isinstance(given, str) else specs.of_mapping(given, name)
        spec = specs.placed(spec, base or self._sources, below=self._sources if base is None else None)
        if base is not None:
            _readable(spec)
        return self._add(client, spec, run_id)

    def replace(self, about: str, client: str, given: str, *, base: Path, name: str = "run") -> RunRow:
        """Takes a run of new versions, for those who have what an ended run sent. RUN_UNKNOWN, RUN_STATE."""
        before = self._ended(about)
        spec = specs.placed(specs.read(given, name, base), base)
        if spec.period != before.period:
            raise GatewayError(Reason.USAGE, f"run {about} was of period {before.period}, this one is of {spec.period}")
        if not spec.columns.version:
            raise GatewayError(Reason.USAGE, f"{name}: what replaces statements needs a column for their version")
        _readable(spec)
        return self._add(client, spec, None, kind="replace", about=about)

    def recall(self, about: str, client: str) -> RunRow:
        """Takes a run of notices to all who have what an ended run sent. RUN_UNKNOWN, RUN_STATE."""
        before = self._ended(about)
        spec = self.spec(before)
        sha256 = before.sha256 if spec.source.sql is None else ""  # the query runs again
        return self._add(client, spec, None, kind="recall", about=about, sha256=sha256)

    def _ended(self, about: str) -> RunRow:
        run = self._known(about)
        if run.ended_at is None or run.kind == "recall":
            raise GatewayError(Reason.RUN_STATE, f"run {about} is {run.state}"
                               if run.kind != "recall" else f"run {about} is a recall")
        return run

    def _add(self, client: str, spec: Spec, run_id: str | None, *, kind: str = "statement", about: str = "",
             sha256: str = "") -> RunRow:
        if run_id is not None and not _ID.fullmatch(run_id):
            raise GatewayError(Reason.USAGE, "the id of a run has 16 hex digits")
        if run_id is not None and (known := self._store.runs.run(run_id)) is not None:
            return self._same(known, spec)
        if kind != "recall":
            if wrong := self._untexted("statement_replaced" if kind == "replace" else spec.template,
                                       spec.language or ""):
                raise GatewayError(Reason.USAGE, f"language: {wrong}")
            spec = self._with_template(spec)
        run = RunRow(run_id or secrets.token_hex(ID_OCTETS), kind, client, spec.name, spec.period, RunState.NEW,
                     spec.model_dump_json(), sha256, about, None, self._clock.now(), None, None, "", "")
        self._store.runs.add(run)
        return run

    def _same(self, known: RunRow, spec: Spec) -> RunRow:
        """The book of requests forgets a key after some days, its run stays: no other is taken for it."""
        before = self.spec(known)
        documents = spec.documents.model_copy(update={"digest": before.documents.digest})
        if spec.model_copy(update={"documents": documents}) != before:
            raise GatewayError(Reason.REQUEST_KEY_CONFLICT)
        return known

    def list(self, *, client: str | None = None, limit: int = 100,
             before: tuple[datetime, str] | None = None) -> Sequence[RunRow]:
        """The newest first; `client`: only its own; `before`: those after the run of this time and id."""
        return self._store.runs.runs(client=client, limit=limit, before=before)

    def show(self, run: str, *, client: str | None = None) -> Shown:
        """RUN_UNKNOWN if there is none, or if it is not the client's."""
        row = self._known(run, client)
        counts = self._store.results.counts(run)
        if row.started_at is None:
            return Shown(row, counts, 0.0, None)
        took_s = ((row.ended_at or self._clock.now()) - row.started_at).total_seconds()
        left = sum(number for state, number in counts.states.items() if state in ("sent", "held"))
        rate = left / took_s if took_s > 0 else 0.0
        rest_s = counts.open / rate if rate and row.state is RunState.RUNNING else None
        return Shown(row, counts, rate, rest_s)

    def pause(self, run: str, *, client: str | None = None) -> RunRow:
        """Mails in work are finished. RUN_STATE if it has ended; pausing a paused run changes nothing."""
        return self._move(run, client, _OPEN, RunState.PAUSED, "run.pause")

    def resume(self, run: str, *, client: str | None = None) -> RunRow:
        """Goes on, where it was. RUN_STATE if it has ended; resuming a run that goes changes nothing."""
        row = self._known(run, client)
        if row.state is not RunState.PAUSED:
            return self._in(row, _OPEN)
        to = RunState.RUNNING if row.rows is not None else RunState.PLANNING if row.sha256 else RunState.NEW
        return self._move(run, client, (RunState.PAUSED,), to, "run.resume")

    def cancel(self, run: str, *, client: str | None = None) -> RunRow:
        """What has not left does not leave any more. RUN_STATE if it has ended; cancelling twice changes nothing."""
        row = self._move(run, client, (*_OPEN, RunState.CANCELLED), RunState.CANCELLED, "run.cancel")
        if self._store.runs.lead(run):  # no process works on it: it ends here
            try:
                self._store.runs.finish(run, self._clock.now())
            finally:
                self._store.runs.leave(run)
            self.forget_rows(row)
        return replace(row, state=RunState.CANCELLED)

    def _move(self, run: str, client: str | None, states: Sequence[RunState], to: RunState,
              act: str) -> RunRow:
        row = self._known(run, client)
        if row.ended_at is not None or not self._store.runs.change(run, states, to, act=act):
            return self._in(self._known(run, client), (to,) if row.ended_at is None else ())
        return replace(row, state=to, reason="", detail="")

    @staticmethod
    def _in(row: RunRow, states: Sequence[RunState]) -> RunRow:
        if row.state not in states:
            raise GatewayError(Reason.RUN_STATE, f"run {row.id} is {row.state}")
        return row

    def _known(self, run: str, client: str | None = None) -> RunRow:
        row = self._store.runs.run(run) if _ID.fullmatch(run) else None
        if row is None or (client is not None and row.client != client):
            raise GatewayError(Reason.RUN_UNKNOWN, run if _ID.fullmatch(run) else "")
        return row

    def spec(self, run: RunRow) -> Spec:
        """The run's file."""
        return Spec.model_validate_json(run.spec)

    def opened(self, run: RunRow) -> Spec:
        """The run's file for a process that opens what it names: see spec.confined. INPUT_UNREADABLE."""
        return specs.confined(self.spec(run), self._sources)

    def same_template(self, run: RunRow, spec: Spec) -> None:
        """A mail that goes again has to be the same: RUN_CHANGED if the template is not what it was."""
        if run.kind != "recall":
            self._with_template(spec)

    def _with_template(self, spec: Spec) -> Spec:
        if not spec.documents.template:
            return spec
        digest = self._digest(spec.documents.template)
        if spec.documents.digest not in {"", digest}:
            raise GatewayError(Reason.RUN_CHANGED, f"template `{spec.documents.template}` of documents")
        return spec.model_copy(update={"documents": spec.documents.model_copy(update={"digest": digest})})

    def source_of(self, run: RunRow, spec: Spec) -> Path:
        """The file that rows are read from; of a query what it gave when the run began."""
        return spec.source.path or self._reports / f"{run.id}.rows.jsonl"

    def forget_rows(self, run: RunRow) -> None:
        """Deletes an ended run's query result, also that of a killed process, because it has account numbers."""
        spec = self.spec(run)
        if spec.source.sql is not None:
            path = self.source_of(run, spec)
            for one in (path, path.with_name(f"{path.name}.part")):
                one.unlink(missing_ok=True)

    def rows(self, run: RunRow) -> Iterator[source.Row | source.BadRow]:
        """All rows of its source. RUN_CHANGED if that is not what it was; INPUT_UNREADABLE."""
        spec = self.opened(run)
        path = self.source_of(run, spec)
        if run.sha256:
            checked(path, run)
        return (one.row for one in source.rows(spec, path))

    def items(self, run: str) -> Iterator[ItemRow]:
        """All mails of a run, in the order of rows and holders."""
        return self._store.results.items(run)


def _readable(spec: Spec) -> None:
    """INPUT_UNREADABLE if the source cannot be opened now: the command says so before it takes the run."""
    if spec.source.path is not None:
        source.open_regular(spec.source.path).close()
