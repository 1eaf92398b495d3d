"""Each request counted, by what was asked for and how it was answered (docs/metrics.md)."""

import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.frontends.telemetry import metrics

NONE: Final = "none"  # for an unknown path or an unknown client


class Counted:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. The framework leaves the route in its scope."""
        began, status = time.monotonic(), 500

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, answered)
        finally:
            metrics.asked(getattr(scope.get("route"), "operation_id", None) or NONE, status, time.monotonic() - began)
