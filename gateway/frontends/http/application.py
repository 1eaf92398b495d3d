"""All endpoints as one ASGI application, with their description in OpenAPI 3.1 at /openapi.json."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from gateway import __version__
from gateway.errors import GatewayError, Reason
from gateway.frontends.http import certificates, health, tsa
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
from gateway.frontends.http.service import Current

_REF: Final = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_PROBLEM: Final = {
    "type": "object", "title": "Problem", "description": "RFC 9457",
    "required": ["type", "title", "status", "detail", "reason", "incident"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"}, "title": {"type": "string"},
        "status": {"type": "integer"}, "detail": {"type": "string", "description": "A sentence for people"},
        "reason": {"type": "string", "enum": [str(reason) for reason in Reason],
                   "description": "What went wrong, for programs"},
        "incident": {"type": "string", "description": "Finds the line in the bank's log"}}}
_SECURITY: Final = {
    "token": {"type": "http", "scheme": "bearer", "description": "Of a partner, agreed on with the bank"},
    "certificate": {"type": "mutualTLS", "description": "Of a partner, known to the bank by its fingerprint"}}


class _Api(FastAPI):
    """FastAPI whose description lists the gateway's errors in place of its own."""

    def openapi(self) -> dict[str, Any]:
        """See FastAPI.openapi."""
        if self.openapi_schema is None:
            described = super().openapi()
            for path in described["paths"].values():
                for operation in path.values():
                    responses = operation["responses"]
                    responses.pop("422", None)
                    responses["default"] = {"description": "Why not", "content": _REF}
                    if "404" in responses:
                        responses["404"]["content"] = _REF
            components = described.setdefault("components", {})
            components["schemas"] = {"Problem": _PROBLEM}
            components["securitySchemes"] = _SECURITY
        return self.openapi_schema or {}


def application(current: Current) -> Guard:
    """The whole of it."""
    api = _Api(title="Sealgate", version=__version__, summary="Time-stamps and certificates of the bank",
               docs_url=None, redoc_url=None, redirect_slashes=False)
    for part in (tsa, certificates, health):
        api.include_router(part.router(current))
    api.add_exception_handler(ProblemError, _problem)
    api.add_exception_handler(GatewayError, _gateway_error)
    api.add_exception_handler(HTTPException, _http_exception)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(RuntimeError, _runtime_error)
    api.add_exception_handler(Exception, _unexpected)
    return Guard(api, current)


# Coroutines, for Starlette calls a function on a thread of its own, and there may be none.


def _answer(request: Request, problem: Problem) -> Response:
    return Response(problem.octets(request.scope["state"]["incident"]), problem.status, problem.headers, MEDIA_TYPE)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)  # noqa: S101 - the table above says so
    return _answer(request, error.problem)


async def _gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)  # noqa: S101
    return _answer(request, of_error(error))


async def _http_exception(request: Request, error: Exception) -> Response:
    """Starlette's own: no such place, no such method."""
    assert isinstance(error, HTTPException)  # noqa: S101
    headers: Mapping[str, str] = error.headers or {}
    allowed = {name.strip() for name in headers.get("Allow", "").split(",") if name.strip()}
    if "GET" in allowed:
        allowed.add("HEAD")
    return _answer(request, of_status(error.status_code, {"allow": ", ".join(sorted(allowed))} if allowed else None))


async def _invalid(request: Request, error: Exception) -> Response:
    del error
    return _answer(request, of_reason(Reason.INPUT_MALFORMED))


async def _runtime_error(request: Request, error: Exception) -> Response:
    return _answer(request, of_runtime_error(error))


async def _unexpected(request: Request, error: Exception) -> Response:
    """Answers 500. Starlette raises the exception again after this answer, and the guard logs it."""
    del error
    return _answer(request, of_reason(Reason.INTERNAL))
