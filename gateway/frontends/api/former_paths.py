"""Paths without a version, as they were before /v1: the same endpoints until SUNSET, then 410. RFC 9745, RFC 8594.

One table of prefixes; the endpoints know one path each.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from fastapi import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import GatewayError, Reason
from gateway.frontends.http.problems import MEDIA_TYPE, of_reason

VERSION: Final = "/v1"
PROBLEMS: Final = f"{VERSION}/problems"  # the page of problem types
FORMER: Final = ("/codes", "/customers", "/statement-runs", "/openapi.json")  # each is below VERSION now
DEPRECATED_AT: Final = datetime(2026, 12, 1, tzinfo=UTC)
SUNSET: Final = datetime(2027, 12, 1, tzinfo=UTC)
FORMER_STATE: Final = "former_path"  # in the state of a request that came by a former path

_HEADERS: Final = (
    (b"deprecation", b"@%d" % int(DEPRECATED_AT.timestamp())),
    (b"sunset", format_datetime(SUNSET, usegmt=True).encode("ascii")))


class FormerPaths:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, now: Callable[[], datetime]) -> None:
        self._app = app
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; the guard has made its state."""
        path: str = scope["path"]
        if not any(path == one or path.startswith(f"{one}/") for one in FORMER):
            await self._app(scope, receive, send)
            return
        successor = f"{VERSION}{path}"

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
            await send(message)

        scope["state"][FORMER_STATE] = True
        if self._is_over():
            problem = of_reason(Reason.REQUEST_PATH_GONE)
            answer = Response(problem.octets(scope["state"]["incident"], PROBLEMS), problem.status, None, MEDIA_TYPE)
            await answer(scope, receive, marked)
            return
        await self._app({**scope, "path": successor, "raw_path": VERSION.encode() + scope.get("raw_path", b"")},
                        receive, marked)

    def _is_over(self) -> bool:
        """With a wrong clock the paths stay: an old one answers more than none."""
        try:
            return self._now() >= SUNSET
        except GatewayError:
            return False
