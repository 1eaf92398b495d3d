"""`/v1/customers/{number}/block`: no codes for a customer, whichever client asks, until the block is lifted."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from gateway.errors import Reason
from gateway.frontends.api.callers import permitted
from gateway.frontends.api.service import Current
from gateway.frontends.api.shapes import CUSTOMER, Blocked
from gateway.frontends.http.problems import ProblemError, of_reason
from gateway.services.codes.issue_and_verify import Codes

Number = Annotated[str, Path(pattern=CUSTOMER, description="The customer's number")]


def router(current: Current) -> APIRouter:
    """The endpoints."""
    routes = APIRouter(tags=["customers"])
    client = Depends(permitted("codes", lambda: current.service.callers))

    def codes() -> Codes:
        if current.service.codes is None:
            raise ProblemError(of_reason(Reason.REQUEST_UNKNOWN))
        return current.service.codes

    desk = Depends(codes)

    @routes.put("/customers/{number}/block", operation_id="block", summary="No codes for this customer",
                dependencies=[client])
    def block(number: Number, codes: Annotated[Codes, desk]) -> Blocked:
        """Their live codes are dead at once."""
        return Blocked(state="blocked", changed=codes.block(number))

    @routes.delete("/customers/{number}/block", operation_id="unblock", summary="Codes for this customer again",
                   dependencies=[client])
    def unblock(number: Number, codes: Annotated[Codes, desk]) -> Blocked:
        """Speak with the customer first: their answer `not me` may have caused the block."""
        return Blocked(state="not_blocked", changed=codes.unblock(number))

    return routes
