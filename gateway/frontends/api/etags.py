"""Changes of a resource as it was read: ETag and If-Match. RFC 9110 8.8.3, 13.1.1; RFC 6585 3 (428).

An ETag is a digest of what the resource's GET answers. Former paths know no If-Match, so they do not demand it.
"""

import hashlib
from typing import Any, Final

from fastapi import Request
from pydantic import BaseModel

from gateway.errors import Reason
from gateway.frontends.api.former_paths import FORMER_STATE
from gateway.frontends.http.problems import ProblemError, of_reason

HEADER: Final = "If-Match"
ETAG: Final[dict[int | str, dict[str, Any]]] = {200: {"headers": {"ETag": {
    "description": "Send it as If-Match with a change", "schema": {"type": "string"}}}}}
_DIGITS: Final = 32


def etag_of(shown: BaseModel) -> str:
    """A strong one."""
    return f'"{hashlib.sha256(shown.model_dump_json().encode()).hexdigest()[:_DIGITS]}"'


def match(request: Request, shown: BaseModel, *, required: bool = True) -> None:
    """The change is of the resource as `shown`. ProblemError 412, and 428 where the field is missing and required."""
    given = request.headers.getlist(HEADER)
    if not given:
        if required and FORMER_STATE not in request.scope["state"]:
            raise ProblemError(of_reason(Reason.REQUEST_UNCONDITIONAL))
        return
    tags = {tag.strip() for field in given for tag in field.split(",")}
    if not tags & {"*", etag_of(shown)}:
        raise ProblemError(of_reason(Reason.REQUEST_OUTDATED))


def match_parameter(*, required: bool = True) -> dict[str, Any]:
    """The If-Match of an operation, for `openapi_extra`."""
    return {"name": HEADER, "in": "header", "required": required,
            "description": "ETag of the resource as it was read; * for any state",
            "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r'^(\*|"[0-9a-f]{32}")$'},
            "example": "*"}
