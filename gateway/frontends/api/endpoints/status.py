"""`/v1/status`: the state of the gateway, as `sealgate status` shows it."""

from typing import Final

from fastapi import APIRouter, Depends

from gateway.errors import Reason
from gateway.frontends.api.callers import permitted
from gateway.frontends.api.concurrency_limit import ConcurrencyLimit
from gateway.frontends.api.service import Current
from gateway.frontends.api.status_shapes import StatusShown
from gateway.frontends.http.problems import ProblemError, of_reason

READING_MAX: Final = 2  # each counts the mails of a day


def router(current: Current) -> APIRouter:
    """The endpoint."""
    routes = APIRouter(tags=["status"])
    client = Depends(permitted("operate", lambda: current.service.callers))
    reading = ConcurrencyLimit(READING_MAX)

    @routes.get("/status", operation_id="status", summary="Show the state of the gateway", dependencies=[client])
    def status() -> StatusShown:
        """Always 200: look at `good`. It asks listeners, next hops and the database, which takes seconds at most."""
        if current.service.status is None:
            raise ProblemError(of_reason(Reason.REQUEST_UNKNOWN))
        with reading:
            return current.service.status()

    return routes
