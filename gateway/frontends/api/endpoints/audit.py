"""`/v1/audit`: records of the audit log, for a SIEM and for auditors (scope `audit`). docs/audit.md has their form."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.errors import Reason
from gateway.frontends.api.callers import permitted
from gateway.frontends.api.concurrency_limit import ConcurrencyLimit
from gateway.frontends.api.pages import LIMIT, WORD, Cursor, Limit, Moment, Page, cursor_of, place_of
from gateway.frontends.api.service import Current
from gateway.frontends.http.problems import ProblemError, of_reason
from gateway.model.audit.record import AuditEntry, exported
from gateway.ports.audit import AuditLog, AuditQuery
from gateway.ports.place import Place

SEARCHING_MAX: Final = 2
NUMBER_MAX: Final = 10 ** 15


class Actor(BaseModel):
    """Who acted. The name of a user is in `values.actor`."""

    kind: Literal["user", "client", "program"]
    name: str | None = None
    credential: str | None = None


class Object(BaseModel):
    """What the act changed. An id that is personal data is in `values.object`."""

    kind: str
    id: str


class Value(BaseModel):
    """A personal value with the salt of its commitment."""

    value: str
    salt: str


class Record(BaseModel):
    """A record of the audit log, as `sealgate audit export` writes it."""

    model_config = ConfigDict(extra="forbid")

    v: Literal[1] = Field(description="Version of the format")
    number: int
    at: datetime
    act: str = Field(examples=["hold.release"])
    result: Literal["begun", "done", "failed"]
    reason: str | None = None
    actor: Actor
    object: Object
    details: dict[str, Any]
    personal: dict[str, str] = Field(description="A commitment to each personal value")
    values: dict[str, Value] = Field(description="Personal values that were not deleted")

    @classmethod
    def of(cls, entry: AuditEntry) -> "Record":
        """Of the entry."""
        return cls.model_validate(exported(entry))


class Records(Page[Record]):
    """Some of the audit log."""


def router(current: Current) -> APIRouter:
    """The endpoint."""
    routes = APIRouter(tags=["audit"])
    client = Depends(permitted("audit", lambda: current.service.callers))
    searching = ConcurrencyLimit(SEARCHING_MAX)

    def log() -> AuditLog:
        if current.service.audit is None:
            raise ProblemError(of_reason(Reason.REQUEST_UNKNOWN))
        return current.service.audit

    @routes.get("/audit", operation_id="list_audit", summary="List records of the audit log", dependencies=[client],
                response_model_exclude_unset=True)
    def list_audit(
        log: Annotated[AuditLog, Depends(log)],
        limit: Limit = LIMIT,
        cursor: Cursor = None,
        actor: Annotated[str, Query(max_length=256, description="A user, client or program")] = "",
        act: Annotated[str, Query(pattern=WORD, description="hold.release, or hold for all")] = "",
        object: Annotated[str, Query(max_length=256, description="An id, or its first eight characters")] = "",  # noqa: A002
        of_client: Annotated[str, Query(alias="client", pattern=WORD)] = "",
        result: Annotated[Literal["begun", "done", "failed"] | None, Query()] = None,
        since: Annotated[Moment | None, Query(description="This time or later")] = None,
        until: Annotated[Moment | None, Query(description="Before this time")] = None,
    ) -> Records:
        """The latest first."""
        place = place_of(cursor)
        query = AuditQuery(actor, act, object, of_client, result or "", since, until)
        with searching:
            found = log.entries(query, before=None if place is None else place.number)
            return _page(found, limit)

    @routes.get("/audit/export", operation_id="export_audit", summary="Copy the audit log", dependencies=[client],
                response_model_exclude_unset=True)
    def export_audit(
        log: Annotated[AuditLog, Depends(log)],
        after: Annotated[int, Query(ge=0, le=NUMBER_MAX, description="The last record that the copy has")] = 0,
        limit: Limit = LIMIT,
        cursor: Cursor = None,
    ) -> Records:
        """All records after a number, the oldest first, for a copy that is kept complete."""
        place = place_of(cursor)
        with searching:
            return _page(log.all_after(after if place is None else max(after, place.number)), limit)

    return routes


def _page(found: Iterator[AuditEntry], limit: int) -> Records:
    page = list(islice(found, limit))
    last = Place(0, page[-1].record.number) if len(page) == limit else None
    return Records(items=list(map(Record.of, page)), next=cursor_of(last))
