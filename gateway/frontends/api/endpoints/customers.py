"""`/v1/customers/{number}/block`: no codes for a customer, whichever client asks, until the block is lifted."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from gateway.errors import Reason
from gateway.frontends.api.callers import permitted
from gateway.frontends.api.etags import ETAG, etag_of, match, match_parameter
from gateway.frontends.api.service import Current
from gateway.frontends.api.shapes import CUSTOMER, Blocked, BlockShown
from gateway.frontends.http.problems import ProblemError, of_reason
from gateway.services.codes.issue_and_verify import Codes

Number = Annotated[str, Path(pattern=CUSTOMER, description="The customer's number")]


def shown(codes: Codes, number: str) -> BlockShown | None:
    """The customer's block; None: there is none."""
    blocks = codes.desk.blocks(number)
    return BlockShown(since=blocks[0].at, by=blocks[0].by) if blocks else None


def router(current: Current) -> APIRouter:
    """The endpoints."""
    routes = APIRouter(tags=["customers"])
    client = Depends(permitted("codes", lambda: current.service.callers))

    def codes() -> Codes:
        if current.service.codes is None:
            raise ProblemError(of_reason(Reason.REQUEST_UNKNOWN))
        return current.service.codes

    desk = Depends(codes)

    @routes.put("/customers/{number}/block", operation_id="block", summary="Block a customer",
                dependencies=[client])
    def block(number: Number, codes: Annotated[Codes, desk]) -> Blocked:
        """Living codes of this customer are cancelled at once."""
        return Blocked(state="blocked", changed=codes.block(number))

    @routes.get("/customers/{number}/block", operation_id="show_block", summary="Show whether a customer is blocked",
                dependencies=[client], responses=ETAG)
    def show_block(number: Number, codes: Annotated[Codes, desk], response: Response) -> BlockShown:
        """404 if the customer is not blocked."""
        found = shown(codes, number)
        if found is None:
            raise ProblemError(of_reason(Reason.REQUEST_UNKNOWN))
        response.headers["etag"] = etag_of(found)
        return found

    @routes.delete("/customers/{number}/block", operation_id="unblock", summary="Unblock a customer",
                   dependencies=[client], openapi_extra={"parameters": [match_parameter()]})
    def unblock(number: Number, codes: Annotated[Codes, desk], request: Request) -> Blocked:
        """Speak with the customer first: they may have blocked themselves by answering `not me`."""
        match(request, shown(codes, number))
        return Blocked(state="not_blocked", changed=codes.unblock(number))

    return routes
