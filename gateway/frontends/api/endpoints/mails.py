"""`/v1/mails`: what happened to mails, for the bank's monitoring and support systems. No content and no subject."""

from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from gateway.errors import Reason
from gateway.frontends.api.callers import permitted
from gateway.frontends.api.concurrency_limit import ConcurrencyLimit
from gateway.frontends.api.pages import LIMIT, WORD, Cursor, Limit, Moment, Page, cursor_of, place_of
from gateway.frontends.api.service import Current
from gateway.frontends.http.problems import ProblemError, of_reason
from gateway.model.mail_query import MailQuery
from gateway.model.outcome import Settled
from gateway.model.record import EvidenceRecord
from gateway.ports.mail_list import MailList

SEARCHING_MAX: Final = 4  # a search reads up to 20,000 records


class MailShown(BaseModel):
    """A mail to one recipient."""

    at: datetime
    id: str = Field(description="The incident id: `sealgate trace` shows this mail in full")
    direction: str = Field(description="outbound, inbound or internal")
    client: str | None = Field(description="The client of the settings that sent it; null for mail from outside")
    sender: str = Field(description="The reverse-path; empty for reports")
    recipient: str
    outcome: Settled
    reasons: list[str]
    rule: str = Field(description="The rule that decided")

    @classmethod
    def of(cls, record: EvidenceRecord) -> "MailShown":
        """Of the record."""
        return cls(at=record.at, id=record.incident, direction=record.direction, client=record.client,
                   sender=record.sender, recipient=record.recipient, outcome=record.settled,
                   reasons=list(record.reasons), rule=record.rule)


class Mails(Page[MailShown]):
    """The latest mail first."""


def router(current: Current) -> APIRouter:
    """The endpoint."""
    routes = APIRouter(tags=["mails"])
    client = Depends(permitted("operate", lambda: current.service.callers))
    searching = ConcurrencyLimit(SEARCHING_MAX)

    def mails() -> MailList:
        if current.service.mails is None:
            raise ProblemError(of_reason(Reason.REQUEST_UNKNOWN))
        return current.service.mails

    @routes.get("/mails", operation_id="list_mails", summary="List mails", dependencies=[client])
    def list_mails(
        mails: Annotated[MailList, Depends(mails)],
        limit: Limit = LIMIT,
        cursor: Cursor = None,
        address: Annotated[str, Query(max_length=254, description="Sender or recipient, or @domain")] = "",
        of_client: Annotated[str, Query(alias="client", pattern=WORD)] = "",
        direction: Annotated[Literal["", "outbound", "inbound", "internal"], Query()] = "",
        outcome: Annotated[Settled | None, Query()] = None,
        reason: Annotated[str, Query(pattern=WORD, description="certificate.expired, or certificate for all")] = "",
        rule: Annotated[str, Query(max_length=256)] = "",
        since: Annotated[Moment | None, Query(description="This time or later")] = None,
        until: Annotated[Moment | None, Query(description="Before this time")] = None,
    ) -> Mails:
        """A line for each recipient; it names addresses, reasons and rules, and nothing of a mail's content."""
        query = MailQuery(address, of_client, direction, outcome or "", reason, rule, since, until)
        with searching:
            page = mails.page(query, limit, place_of(cursor))
        return Mails(items=list(map(MailShown.of, page.records)), next=cursor_of(page.next))

    return routes
