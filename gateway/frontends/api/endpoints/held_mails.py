"""`/v1/held-mails`: mail that rules hold back. List and show (scope `operate`), release and reject (`release`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, Field

from gateway.errors import GatewayError, Reason
from gateway.frontends.api.callers import permitted
from gateway.frontends.api.concurrency_limit import ConcurrencyLimit
from gateway.frontends.api.etags import ETAG, etag_of, match, match_parameter
from gateway.frontends.api.pages import LIMIT, WORD, Cursor, Limit, Moment, Page, cursor_of, place_of
from gateway.frontends.api.service import Current, HoldDesk
from gateway.frontends.http.problems import RETRY_AFTER_S, Problem, ProblemError, of_reason
from gateway.model.outcome import Outcome, Settled
from gateway.model.sentences import SENTENCES
from gateway.ports.hold import HeldRow, HoldQuery

HELD_ID: Final = "^[0-9a-f]{12}$"
WORKING_MAX: Final = 4  # searches read up to 20,000 rows, releases wait for a next hop
Id = Annotated[str, Path(pattern=HELD_ID, description="`id` of the list")]
Kind = Literal["hold", "quarantine"]
State = Literal["waiting", "released", "rejected"]
Direction = Literal["outbound", "inbound"]


class HeldMail(BaseModel):
    """A held mail, without its content."""

    id: str = Field(pattern=HELD_ID)
    kind: Kind
    state: State
    at: datetime = Field(description="Since when it is held")
    direction: Direction
    sender: str = Field(description="The reverse-path; empty for reports")
    recipients: list[str] = Field(description="Those for whom it is held")
    rule: str = Field(description="The rule that holds it")
    reason: str
    size: int = Field(description="Octets")
    incident: str = Field(description="The mail in `/v1/mails` and `sealgate trace`; empty: not known")

    @classmethod
    def of(cls, row: HeldRow) -> "HeldMail":
        """Without the subject, which is content."""
        return cls(id=row.hold_id, kind=row.kind, state=row.state, at=row.at, direction=row.direction,
                   sender=row.sender, recipients=list(row.recipients), rule=row.rule, reason=row.reason, size=row.size,
                   incident=row.incident)


class HeldMails(Page[HeldMail]):
    """The oldest first."""


class Recipient(BaseModel):
    """The result of a released mail for one recipient."""

    address: str
    outcome: Settled
    reason: Reason | None


class Released(HeldMail):
    """A held mail that was released."""

    outcomes: list[Recipient]


def router(current: Current) -> APIRouter:
    """The endpoints."""
    routes = APIRouter(tags=["held mail"])
    reader = Depends(permitted("operate", lambda: current.service.callers))
    releaser = Depends(permitted("release", lambda: current.service.callers))
    working = ConcurrencyLimit(WORKING_MAX)

    def desk() -> HoldDesk:
        if current.service.hold is None:
            raise ProblemError(of_reason(Reason.REQUEST_UNKNOWN))
        return current.service.hold

    def shown(hold_id: str) -> HeldMail:
        try:
            return HeldMail.of(desk().hold.row(hold_id))
        except GatewayError as error:
            if error.reason is Reason.USAGE:
                raise ProblemError(of_reason(Reason.REQUEST_UNKNOWN)) from None
            raise

    @routes.get("/held-mails", operation_id="list_held_mails", summary="List held mail", dependencies=[reader])
    def list_held_mails(
        limit: Limit = LIMIT,
        cursor: Cursor = None,
        state: Annotated[State, Query()] = "waiting",
        kind: Annotated[Kind | None, Query()] = None,
        address: Annotated[str, Query(max_length=254, description="Sender or recipient, or @domain")] = "",
        direction: Annotated[Direction | None, Query()] = None,
        reason: Annotated[str, Query(pattern=WORD, description="policy.quarantined, or policy for all")] = "",
        rule: Annotated[str, Query(max_length=256)] = "",
        since: Annotated[Moment | None, Query(description="This time or later")] = None,
        until: Annotated[Moment | None, Query(description="Before this time")] = None,
    ) -> HeldMails:
        """The oldest first. Subjects are content, and are not shown."""
        query = HoldQuery(kind or "", address, direction or "", reason, rule, since, until)
        with working:
            page = desk().hold.page(query, limit, state=state, after=place_of(cursor))
        return HeldMails(items=list(map(HeldMail.of, page.rows)), next=cursor_of(page.next))

    @routes.get("/held-mails/{hold_id}", operation_id="held_mail", summary="Show a held mail", dependencies=[reader],
                responses=ETAG)
    def held_mail(hold_id: Id, response: Response) -> HeldMail:
        found = shown(hold_id)
        response.headers["etag"] = etag_of(found)
        return found

    @contextmanager
    def changing(hold_id: str, request: Request) -> Iterator[None]:
        match(request, shown(hold_id))
        try:
            with working:
                yield
        except GatewayError as error:
            if error.reason is Reason.USAGE and not error.retry:  # it is not waiting any more
                raise ProblemError(of_reason(Reason.HOLD_SETTLED)) from None
            raise

    change: dict[str, Any] = {"parameters": [match_parameter()]}

    @routes.post("/held-mails/{hold_id}/release", operation_id="release_held_mail", summary="Release a held mail",
                 dependencies=[releaser], openapi_extra=change)
    def release(hold_id: Id, request: Request) -> Released:
        """Processes the mail again without the rule that held it, and sends it. Needs `hold.archive_key`.

        200: all recipients are completed. Otherwise the mail stays held, and the problem says why: 409 for good, 503
        for now.
        """
        with changing(hold_id, request):
            outcome, is_done = desk().release(hold_id)
        if not is_done:
            raise ProblemError(_still_held(outcome))
        return Released(**shown(hold_id).model_dump(), outcomes=_outcomes(outcome))

    @routes.post("/held-mails/{hold_id}/reject", operation_id="reject_held_mail", summary="Reject a held mail",
                 dependencies=[releaser], openapi_extra=change)
    def reject(hold_id: Id, request: Request) -> HeldMail:
        """Deletes the mail's body. The sender is not notified."""
        with changing(hold_id, request):
            desk().reject(hold_id)
        return shown(hold_id)

    return routes


def _outcomes(outcome: Outcome) -> list[Recipient]:
    return [Recipient(address=one.address, outcome=one.settled, reason=one.reason) for one in outcome.recipients]


def _still_held(outcome: Outcome) -> Problem:
    reasons = (outcome.reason, *(one.reason for one in outcome.recipients))
    reason = next((one for one in reasons if one is not None), Reason.POLICY_REJECTED)
    later = outcome.answer is Settled.LATER
    return Problem(503 if later else 409, reason, f"The mail is still held. {SENTENCES[reason].what}",
                   {"retry-after": str(RETRY_AFTER_S)} if later else {},
                   {"outcomes": [one.model_dump(mode="json") for one in _outcomes(outcome)]})
