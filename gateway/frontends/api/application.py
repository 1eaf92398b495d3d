"""All endpoints as one ASGI application, with their description at /v1/openapi.json."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from gateway import __version__
from gateway.errors import GatewayError, Reason
from gateway.frontends.api.bodies import malformed
from gateway.frontends.api.callers import Door
from gateway.frontends.api.counted import Counted
from gateway.frontends.api.description import described
from gateway.frontends.api.documentation import router as documentation
from gateway.frontends.api.endpoints import audit, codes, customers, health, held_mails, mails, runs, status
from gateway.frontends.api.former_paths import PROBLEMS, VERSION, FormerPaths
from gateway.frontends.api.memory_release import MemoryRelease
from gateway.frontends.api.run_shapes import RunOrder
from gateway.frontends.api.service import Current
from gateway.frontends.api.shapes import Again, CodeOrder, Verification
from gateway.frontends.http.guard import Guard
from gateway.frontends.http.problems import (
    MEDIA_TYPE,
    Problem,
    ProblemError,
    of_error,
    of_reason,
    of_runtime_error,
    of_status,
)
from gateway.model.sentences import SENTENCES

# Of these families what has no status of its own is 409, where it is no matter of time: the request is good, and as
# things stand it cannot be done.
_AS_THINGS_STAND: Final = frozenset(
    {"certificate", "client", "from", "next_hop", "path", "policy", "recipient", "revocation"})

_METHODS: Final = ("GET", "POST", "PUT", "DELETE")  # that this interface knows at all


class _Api(FastAPI):
    """FastAPI whose description is ours."""

    current: Current

    def openapi(self) -> dict[str, Any]:
        """See FastAPI.openapi."""
        if self.openapi_schema is None:
            codes = self.current.service.codes
            self.openapi_schema = described(super().openapi(), (CodeOrder, Verification, Again, RunOrder),
                                            () if codes is None else codes.languages)
        return self.openapi_schema


def application(current: Current, octets_max: int, now: Callable[[], datetime]) -> Guard:
    """The whole of it. `octets_max`: of one body. `now`: the time, by which former paths end."""
    api = _Api(title="Sealgate for the bank's systems", version=__version__, docs_url=None, redoc_url=None,
               openapi_url=f"{VERSION}/openapi.json",
               summary="One-time codes by sealed mail, runs of statements, and the work of administrators",
               redirect_slashes=False)
    api.current = current
    for part in (codes, customers, runs, mails, held_mails, status, audit):
        api.include_router(part.router(current), prefix=VERSION)
    api.include_router(health.router(current))
    api.include_router(documentation.router())
    api.add_exception_handler(ProblemError, _problem)
    api.add_exception_handler(GatewayError, _gateway_error)
    api.add_exception_handler(HTTPException, _http_exception)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(RuntimeError, _runtime_error)
    api.add_exception_handler(Exception, _unexpected)
    def who(scope: Scope) -> str | None:  # a reload replaces the service
        return current.service.callers.known(scope)

    door = Door(api, lambda: current.service.callers)
    return Guard(MemoryRelease(Counted(FormerPaths(door, now))), current, octets_max=octets_max, who=who,
                 problem_page=PROBLEMS)


# Coroutines, for Starlette calls a function on a thread of its own, and there may be none.


def _answer(request: Request, problem: Problem) -> Response:
    state = request.scope["state"]
    octets = problem.octets(state["incident"], state["problem_page"])
    return Response(octets, problem.status, problem.headers, MEDIA_TYPE)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101 - the table above says so
    return _answer(request, error.problem)


async def _gateway_error(request: Request, error: Exception) -> Response:
    """Answers with the fault of the request in words: the services quote nothing of it."""
    assert isinstance(error, GatewayError)  # noqa: S101
    if error.reason is Reason.INPUT_MALFORMED and error.detail:
        return _answer(request, malformed([("", f"{error.detail}.")]))
    problem = of_error(error)
    if problem.reason is not error.reason and error.reason.family in _AS_THINGS_STAND:
        problem = Problem(409, error.reason, "")
    sentence = SENTENCES[problem.reason]
    return _answer(request, replace(problem, detail=f"{sentence.what} {sentence.remedy}"))


async def _http_exception(request: Request, error: Exception) -> Response:
    """Starlette's own: no such place, no such method."""
    assert isinstance(error, HTTPException)  # noqa: S101
    allowed = _methods(request) if error.status_code == 405 else set()
    return _answer(request, of_status(error.status_code, {"allow": ", ".join(sorted(allowed))} if allowed else None))


def _methods(request: Request) -> set[str]:
    """All methods of a path (RFC 9110 10.2.1): Starlette lists those of its first route only."""
    allowed = {method for method in _METHODS for route in request.app.routes
               if route.matches({**request.scope, "method": method})[0] is Match.FULL}
    return allowed | ({"HEAD"} if "GET" in allowed else set())


async def _invalid(request: Request, error: Exception) -> Response:
    del error
    return _answer(request, of_reason(Reason.INPUT_MALFORMED))


async def _runtime_error(request: Request, error: Exception) -> Response:
    return _answer(request, of_runtime_error(error))


async def _unexpected(request: Request, error: Exception) -> Response:
    """Answers 500. Starlette raises the exception again after this answer, and the guard logs it."""
    del error
    return _answer(request, of_reason(Reason.INTERNAL))
