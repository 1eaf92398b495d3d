"""`/v1/mails`: what happened to mails, for the bank's monitoring and support systems. No content and no subject."""

import re
from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, WithJsonSchema

from gateway.errors import Reason
from gateway.frontends.api.callers import permitted
from gateway.frontends.api.concurrency_limit import ConcurrencyLimit
from gateway.frontends.api.service import Current
from gateway.frontends.http.problems import ProblemError, of_reason
from gateway.model.mail_query import MailQuery
from gateway.model.outcome import Settled
from gateway.model.record import EvidenceRecord
from gateway.ports.mail_list import MailList, Place

SEARCHING_MAX: Final = 4  # a search reads up to 20,000 records
LIMIT_MAX: Final = 200
CURSOR: Final = "^[0-9]{1,18}-[0-9]{1,18}$"
_MOMENT: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})$"
_WORD: Final = "^[!-~]{0,128}$"



def _rfc3339(value: str) -> str:
    """Pydantic takes numbers for times, too."""
    if not re.match(_MOMENT, value):
        raise ValueError
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_rfc3339), WithJsonSchema(
    {"type": "string", "format": "date-time", "pattern": _MOMENT, "examples": ["2026-11-24T08:00:00Z"]})]


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


class MailsShown(BaseModel):
    """A page of the list, the latest mail first."""

    mails: list[MailShown]
    next: str | None = Field(pattern=CURSOR, description="Pass it as `before` for the next page, which is older; null: "
                             "there is none. A page of a long search may be empty and have a next one")


def router(current: Current) -> APIRouter:
    """The endpoint."""
    routes = APIRouter(tags=["mails"])
    client = Depends(permitted("operate", lambda: current.service.callers))
    searching = ConcurrencyLimit(SEARCHING_MAX)

    def mails() -> MailList:
        if current.service.mails is None:
            raise ProblemError(of_reason(Reason.REQUEST_UNKNOWN))
        return current.service.mails

    @routes.get("/mails", operation_id="list_mails", summary="What happened to mails", dependencies=[client])
    def list_mails(
        mails: Annotated[MailList, Depends(mails)],
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 50,
        before: Annotated[str | None, Query(pattern=CURSOR, description="`next` of the page before")] = None,
        address: Annotated[str, Query(max_length=254, description="Sender or recipient, or @domain")] = "",
        of_client: Annotated[str, Query(alias="client", pattern=_WORD)] = "",
        direction: Annotated[Literal["", "outbound", "inbound", "internal"], Query()] = "",
        outcome: Annotated[Settled | None, Query()] = None,
        reason: Annotated[str, Query(pattern=_WORD, description="certificate.expired, or certificate for all")] = "",
        rule: Annotated[str, Query(max_length=256)] = "",
        since: Annotated[Moment | None, Query(description="This time or later")] = None,
        until: Annotated[Moment | None, Query(description="Before this time")] = None,
    ) -> MailsShown:
        """A line for each recipient; it names addresses, reasons and rules, and nothing of a mail's content."""
        query = MailQuery(address, of_client, direction, outcome or "", reason, rule, since, until)
        with searching:
            page = mails.page(query, limit, None if before is None else Place(*map(int, before.split("-"))))
        return MailsShown(mails=list(map(MailShown.of, page.records)),
                          next=None if page.next is None else f"{page.next.at}-{page.next.number}")

    return routes
