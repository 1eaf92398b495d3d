"""`POST /tsa`: the embedded time-stamping service for others. RFC 3161 3.4.

A request that is refused gets a TimeStampResp that says why, with status 200: that is the protocol's own answer, and
every client reads it. Problem documents are for what is no time-stamp request at all.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response

from gateway.frontends.http.problems import ProblemError, of_status
from gateway.frontends.http.service import Current

QUERY: Final = "application/timestamp-query"
REPLY: Final = "application/timestamp-reply"
_BINARY: Final = {"schema": {"type": "string", "contentMediaType": QUERY}}


async def _query(request: Request) -> bytes:
    """The body of a request of the right media type; the guard has an eye on its size."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != QUERY:
        raise ProblemError(of_status(415))
    return await request.body()


def router(current: Current) -> APIRouter:
    """The endpoint."""
    routes = APIRouter(tags=["time-stamps"])

    @routes.post("/tsa", operation_id="stamp", summary="Time-stamp a digest (RFC 3161)", response_class=Response,
                 openapi_extra={"requestBody": {"required": True, "content": {QUERY: _BINARY}}},
                 responses={200: {"description": "A TimeStampResp: a token, or a rejection that says why",
                                  "content": {REPLY: {"schema": {"type": "string", "contentMediaType": REPLY}}}}})
    def stamp(query: Annotated[bytes, Depends(_query)]) -> Response:
        respond = current.service.respond
        if respond is None:
            raise ProblemError(of_status(404))
        return Response(respond(query), media_type=REPLY)

    return routes
