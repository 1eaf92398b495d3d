"""`/v1/statement-runs`: a run is recorded here, and sent by processes of `sealgate run`. A client sees its own only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from gateway.errors import GatewayError, Reason
from gateway.frontends.api.bodies import JSON, Body, body_of, malformed
from gateway.frontends.api.callers import permitted
from gateway.frontends.api.concurrency_limit import ConcurrencyLimit
from gateway.frontends.api.description import asks, key_parameter
from gateway.frontends.api.etags import ETAG, etag_of, match, match_parameter
from gateway.frontends.api.former_paths import FORMER_STATE
from gateway.frontends.api.idempotency import idempotent, key_of
from gateway.frontends.api.pages import LIMIT, Cursor, Limit
from gateway.frontends.api.run_shapes import RUN_ID, RunFile, RunListed, RunOrder, RunPage, Runs, RunShown
from gateway.frontends.api.service import Current, RunDesk
from gateway.frontends.http.certificates import negotiated
from gateway.frontends.http.problems import Problem, ProblemError, of_reason
from gateway.ports.services.statements.rows import RunRow
from gateway.services.statements.pages.report_page import html, remedies
from gateway.services.statements.report import as_json, csv_lines, made

Id = Annotated[str, Path(pattern=RUN_ID, description="As POST /v1/statement-runs answered it")]
CSV: Final = "text/csv"
HTML: Final = "text/html"
_FORMS: Final = {JSON: JSON, CSV: CSV, HTML: HTML, "application/*": JSON, "text/*": HTML, "*/*": JSON}
_EXAMPLE: Final = {
    "version": 1, "name": "Statements of October 2026", "period": "2026-10",
    "source": {"csv": "2026-10/customers.csv"}, "columns": {"document": "file"},
    "documents": {"directory": "2026-10/pdf"}}
# Faults of a run, in words for the client; they quote the run and no file of the gateway.
_OF_THE_RUN: Final = frozenset({Reason.CONFIG_INVALID, Reason.USAGE, Reason.PDF_NOT_MADE})
_LINES_MAX: Final = 20
_AT_MAX: Final = 250_000_000_000_000_000  # microseconds since 1970: a time that Python has
LINES_AT_ONCE: Final = 500  # of CSV: each piece goes through a thread
REPORTING_MAX: Final = 4  # each reads all mails of a run


@contextmanager
def _run_errors() -> Iterator[None]:
    """A run that is wrong is the request that is wrong."""
    try:
        yield
    except GatewayError as error:
        if error.reason in _OF_THE_RUN and not error.retry:
            lines = [("", line) for line in error.detail.splitlines()[:_LINES_MAX]]
            raise ProblemError(malformed(lines, error.reason, 422)) from None
        if error.reason is Reason.INPUT_UNREADABLE and not error.retry:
            raise ProblemError(Problem(404, error.reason, "A file that the run names cannot be read.")) from None
        raise


def _pieces(lines: Iterator[str]) -> Iterator[str]:
    while piece := "".join(islice(lines, LINES_AT_ONCE)):
        yield piece


def _cursor(run: RunRow) -> str:
    return f"{run.created_at.timestamp() * 1_000_000:.0f}-{run.id}"


def _before(cursor: str | None) -> tuple[datetime, str] | None:
    if cursor is None:
        return None
    at, _, run = cursor.partition("-")
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=min(int(at), _AT_MAX)), run


def router(current: Current) -> APIRouter:
    """The endpoints."""
    routes = APIRouter(tags=["statement runs"])
    client = Depends(permitted("statements", lambda: current.service.callers))
    reporting = ConcurrencyLimit(REPORTING_MAX)

    def desk() -> RunDesk:
        if current.service.runs is None:
            raise ProblemError(of_reason(Reason.REQUEST_UNKNOWN))
        return current.service.runs

    @routes.post("/statement-runs", operation_id="begin", status_code=201, response_model=RunListed,
                 summary="Begin a run", openapi_extra={**asks(RunOrder, _EXAMPLE),
                                                       "parameters": [key_parameter(required=True)]})
    def begin(request: Request, client: Annotated[str, client],
              body: Annotated[Body[RunOrder], Depends(body_of(RunOrder))]) -> Response:
        """Accepts a run, which begins once its pre-flight is good. One statement is sent once, over all runs."""
        runs, asked = desk(), body.value.root
        run_id = current.service.mac(f"run\0{client}\0{key_of(request)}".encode())[:16]

        def work() -> RunListed:
            with _run_errors():
                given: Any = runs.text(asked.file) if isinstance(asked, RunFile) else body.parsed
                return RunListed.of(runs.statements.create(client, given, run_id=run_id))

        return idempotent(current.service, request, client, body.canonical, work, status=201)

    @routes.get("/statement-runs", operation_id="runs", response_model=RunPage, summary="List runs")
    def listed(client: Annotated[str, client], request: Request, limit: Limit = LIMIT, cursor: Cursor = None
               ) -> RunPage | Response:
        found = desk().statements.list(client=client, limit=limit, before=_before(cursor))
        items = [RunListed.of(run) for run in found]
        if FORMER_STATE in request.scope["state"]:
            return Response(Runs(runs=items).model_dump_json(), media_type=JSON)
        return RunPage(items=items, next=_cursor(found[-1]) if len(found) == limit else None)

    @routes.get("/statement-runs/{run_id}", operation_id="run", summary="Show a run and its progress", responses=ETAG)
    def show(run_id: Id, client: Annotated[str, client], response: Response) -> RunShown:
        """The ETag is of what RunListed has: it stays the same while only the numbers of mails change."""
        runs = desk()
        shown = runs.statements.show(run_id, client=client)
        response.headers["etag"] = etag_of(RunListed.of(shown.run))
        return RunShown.whole(shown, log_read=runs.log_read)

    @routes.get("/statement-runs/{run_id}/report", operation_id="report", response_class=Response,
                summary="Show the report of a run, mail by mail",
                responses={200: {"description": "As the Accept field likes best", "content": {
                    JSON: {"schema": {"type": "object"}}, CSV: {"schema": {"type": "string"}},
                    HTML: {"schema": {"type": "string"}}}}})
    def report(run_id: Id, request: Request, client: Annotated[str, client]) -> Response:
        """JSON with the numbers, CSV with a line for each mail, or a page for people that loads nothing."""
        form = negotiated(request.headers.get("accept"), _FORMS)
        runs = desk()
        run = runs.statements.show(run_id, client=client).run
        vary = {"vary": "accept"}
        if form == CSV:  # by lines, for a run may have millions
            lines = csv_lines(runs.statements.items(run.id), remedies())
            return StreamingResponse(_pieces(lines), media_type=CSV, headers=vary)
        with reporting:
            found = made(run, runs.statements.items(run.id), runs.now(), log_read=runs.log_read)
        if form == HTML:
            return Response(html(found, runs.wording), media_type=HTML, headers=vary)
        return Response(to_json(as_json(found)), media_type=JSON, headers=vary)

    def moves(name: str, summary: str, of: Callable[[RunDesk], Callable[..., RunRow]]) -> None:
        def move(run_id: Id, request: Request, response: Response, client: Annotated[str, client]) -> RunListed:
            runs = desk()
            match(request, RunListed.of(runs.statements.show(run_id, client=client).run))
            moved = RunListed.of(of(runs)(run_id, client=client))
            response.headers["etag"] = etag_of(moved)
            return moved

        routes.post(f"/statement-runs/{{run_id}}/{name}", operation_id=f"{name}_run", summary=summary,
                    name=name, responses=ETAG, openapi_extra={"parameters": [match_parameter()]})(move)

    moves("pause", "Pause a run; mails in work are finished", lambda desk: desk.statements.pause)
    moves("resume", "Resume a run where it was", lambda desk: desk.statements.resume)
    moves("cancel", "Cancel a run; what has left has left", lambda desk: desk.statements.cancel)
    return routes
