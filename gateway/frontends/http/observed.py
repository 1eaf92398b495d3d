"""The gateway as monitors see it: `/metrics`, `/healthz`, `/readyz`. An application of its own.

It discloses no names and changes nothing, so it needs no token; by default it listens on the loopback.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.frontends.http.guard import Guard
from gateway.frontends.http.problems import MEDIA_TYPE as PROBLEM
from gateway.frontends.http.problems import of_status
from gateway.frontends.http.service import Current, Service

REQUESTS_PER_MINUTE_MAX: Final = 600

State = Literal["ok", "degraded", "failed"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that mail depends on. `failed`: no mail can be taken; `degraded`: some mail has to wait.

    `detail` names no host and no path: a Reason, or names out of the settings.
    """

    name: str
    state: State
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """`page`: what `/metrics` answers, with its media type; `checks`: what mail depends on, now."""

    page: Callable[[], tuple[bytes, str]]
    checks: Callable[[], Sequence[Check]]


def application(observed: Observed) -> Guard:
    """The whole of it. The endpoints are plain functions: the framework calls them on threads."""

    def metrics(_: Request) -> Response:
        octets, media_type = observed.page()
        return Response(octets, media_type=media_type)

    def alive(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    def ready(_: Request) -> Response:
        status, answer = readiness(observed.checks())
        return JSONResponse(answer, status)

    routes = [Route("/metrics", metrics), Route("/healthz", alive), Route("/readyz", ready)]
    api = Starlette(routes=routes, exception_handlers={HTTPException: _http_exception})
    return Guard(api, Current(Service(requests_per_minute_max=REQUESTS_PER_MINUTE_MAX)), quiet=True)


def readiness(checks: Sequence[Check]) -> tuple[int, dict[str, object]]:
    """Status and body of `/readyz`: 503 only where no mail can be taken at all, for then another node should be asked.

    A cause that delays some mail is reported with 200: every node has it, and other mail should go.
    """
    states = {check.state for check in checks}
    status = "not_ready" if "failed" in states else "degraded" if "degraded" in states else "ready"
    body = {check.name: {"state": check.state} | ({"detail": check.detail} if check.detail else {})
            for check in checks}
    return 503 if status == "not_ready" else 200, {"status": status, "checks": body}


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - the table above says so
    problem = of_status(error.status_code)
    return Response(problem.octets(request.scope["state"]["incident"]), problem.status, problem.headers, PROBLEM)
