"""Changes of a resource as it was read: ETag and If-Match. RFC 9110 8.8.3, 13.1.1; RFC 6585 3 (428).

An ETag is a digest of what the resource's GET answers. Former paths know no If-Match, so they do not demand it.
"""

import hashlib
import re
from typing import Any, Final

from fastapi import Request
from pydantic import BaseModel

from gateway.errors import Reason
from gateway.frontends.api.bodies import malformed
from gateway.frontends.api.former_paths import FORMER_STATE
from gateway.frontends.http.problems import ProblemError, of_reason

HEADER: Final = "If-Match"
ETAG: Final[dict[int | str, dict[str, Any]]] = {200: {"headers": {"ETag": {
    "description": "Send it as If-Match with a change", "schema": {"type": "string"}}}}}
CHARACTERS_MAX: Final = 400
_DIGITS: Final = 32
_FIELD: Final = r'^(\*|(W/)?"[!#-+\--~]*"(, ?(W/)?"[!#-+\--~]*")*)$'  # without commas in tags


def etag_of(shown: BaseModel) -> str:
    """A strong one."""
    return f'"{hashlib.sha256(shown.model_dump_json().encode()).hexdigest()[:_DIGITS]}"'


def match(request: Request, shown: BaseModel | None) -> None:
    """The change is of the resource as `shown`; None: there is none, so nothing is compared.

    ProblemError 412; 428 where the field is missing; 400 where it has not its form.
    """
    fields = request.headers.getlist(HEADER)
    given = ",".join(fields)
    if fields and (len(given) > CHARACTERS_MAX or not re.fullmatch(_FIELD, given)):
        raise ProblemError(malformed([("", "The field If-Match is * or a list of entity tags, each in quotes.")]))
    if not fields and FORMER_STATE not in request.scope["state"]:
        raise ProblemError(of_reason(Reason.REQUEST_UNCONDITIONAL))
    if shown is None or not fields:
        return
    if not {tag.strip() for tag in given.split(",")} & {"*", etag_of(shown)}:
        raise ProblemError(of_reason(Reason.REQUEST_OUTDATED))


def match_parameter() -> dict[str, Any]:
    """The If-Match of an operation, for `openapi_extra`."""
    return {"name": HEADER, "in": "header", "required": True,
            "description": "ETag of the resource as it was read; * for any state",
            "schema": {"type": "string", "minLength": 1, "maxLength": CHARACTERS_MAX, "pattern": _FIELD},
            "example": "*"}
