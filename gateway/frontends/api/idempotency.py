"""A request that is repeated is not done twice. draft-ietf-httpapi-idempotency-key-header-07.

- the key is the client's own: two clients may have the same one
- the same request again gets the first one's answer, distinguished by `Idempotent-Replayed: true`
- another request with the same key is 422, one while the first is in work 409, both by name
- only completed requests are recorded: a rejected one changed nothing, and may be tried again with its key
- the book of requests has MACs of key and content, and the answer, which contains no code
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import structlog
from fastapi import Request, Response
from pydantic import BaseModel

from gateway.errors import GatewayError, Reason
from gateway.frontends.api.bodies import JSON
from gateway.frontends.api.former_paths import VERSION
from gateway.frontends.api.service import Service
from gateway.frontends.http.problems import ProblemError, of_reason
from gateway.ports.services.requests import KEPT, Answered

log = structlog.get_logger("sealgate.api")

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotent-Replayed"
KEY_CHARACTERS_MAX: Final = 255


def key_of(request: Request, *, required: bool = True) -> str | None:
    """The key, without the quotation marks of the draft, which clients omit. ProblemError 400."""
    given = request.headers.getlist(HEADER)
    if not given and not required:
        return None
    key = given[0] if len(given) == 1 else ""
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not key or len(key) > KEY_CHARACTERS_MAX or not all("!" <= one <= "~" for one in key):
        raise ProblemError(of_reason(Reason.REQUEST_KEY_MISSING))
    return key


def idempotent(service: Service, request: Request, client: str, canonical: bytes, work: Callable[[], BaseModel], *,
         status: int, required: bool = True, kept: timedelta = KEPT) -> Response:
    """Carries out the request, or returns the stored answer of its key, for as long as `kept`.

    ProblemError 400, GatewayError 409, 422.
    """
    key = key_of(request, required=required)
    if key is None:
        return _answer(Answered(status, work().model_dump_json()))
    path = request.url.path.removeprefix(VERSION)  # a former path is the same request
    what = f"{request.method}\0{path}\0".encode() + canonical
    claim = service.requests.begin(service.mac(f"key\0{client}\0{key}".encode()), service.mac(b"what\0" + what), kept)
    if isinstance(claim, Answered):
        return _answer(claim, {REPLAYED: "true"})
    try:
        answered = Answered(status, work().model_dump_json())
    except BaseException:
        _written(request, lambda: service.requests.withdraw(claim))
        raise
    _written(request, lambda: service.requests.answer(claim, answered))
    return _answer(answered)


def _written(request: Request, write: Callable[[], None]) -> None:
    """Writes the answer. If the book is unavailable, the act stays done, and a repetition waits for the claim's end."""
    try:
        write()
    except GatewayError as trouble:
        log.error(  # noqa: TRY400 - a traceback has values
            "request.not_stored", incident=request.scope["state"]["incident"], reason=str(trouble.reason),
            detail=trouble.detail)


def _answer(answered: Answered, headers: dict[str, str] | None = None) -> Response:
    return Response(answered.body, answered.status, headers, JSON)
