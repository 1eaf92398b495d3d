"""Rules that apply to every request. RFC 9110 (HEAD, Connection), RFC 9457.

1. an incident id, for the log and for the answer if it is an error
2. the rate of its client: of who it shows to be, where the application knows (`who`), else of its address
3. its size, announced or counted
4. HEAD is GET without a body
5. headers that keep browsers from making anything of an answer
6. an unexpected exception is logged by its place and answered with a fixed text
7. one line in the log: never the query, never a header, never the body. Where monitors ask every few seconds
   (`quiet`), a line of level debug for what was answered as it should be. An application may leave a path without a
   customer's number in state["path"], which is then logged

An application calls state["identified"] once it knows by a token or certificate who asks (`connection.Doorway`).
"""

import secrets
import time
from collections.abc import Callable
from typing import Final, Protocol

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import Reason
from gateway.frontends.http.problems import MEDIA_TYPE, Problem, ProblemError, of_reason
from gateway.frontends.limits import Rate, client_key
from gateway.frontends.telemetry.logs import log_unexpected

log = structlog.get_logger("sealgate.http")

BODY_OCTETS_MAX: Final = 4_096  # a time-stamp request has some 60 to 120 octets; nothing else there has a body
PATH_LOGGED_MAX: Final = 400
_HEADERS: Final = (
    (b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"), (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"))
_TLS_HEADERS: Final = (*_HEADERS, (b"strict-transport-security", b"max-age=31536000"))


class Limited(Protocol):
    """What the guard asks of a service."""

    @property
    def requests_per_minute_max(self) -> int:
        """Of one client; 0: no limit."""
        ...


class Holder(Protocol):
    """Where it finds the service of the moment."""

    @property
    def service(self) -> Limited:
        """A reload replaces it."""
        ...


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, current: Holder, now: Callable[[], float] = time.monotonic, *,
                 quiet: bool = False, octets_max: int = BODY_OCTETS_MAX,
                 who: Callable[[Scope], str | None] = lambda _: None, problem_page: str = "") -> None:
        """`who`: the name of a request's client, None where it shows none. Strangers who share the address of such a
        client, behind a proxy for instance, cannot use up its requests then. `problem_page`: see Problem.octets; the
        state of each request has it.
        """
        self._app = app
        self._who = who
        self._problem_page = problem_page
        self._quiet = quiet
        self._octets_max = octets_max
        self._current = current
        self._now = now
        self._rate = Rate(current.service.requests_per_minute_max, now)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http":
            request = _Request(self._app, scope, receive, send, self._now, quiet=self._quiet,
                               octets_max=self._octets_max, problem_page=self._problem_page)
            await request.run(self._permitted)

    def _permitted(self, scope: Scope, peer: str) -> bool:
        self._rate.per_minute = self._current.service.requests_per_minute_max
        name = self._who(scope)
        return self._rate.allow(client_key(peer) if name is None else f"client {name}")


class _Request:
    """One request on its way."""

    def __init__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, now: Callable[[], float], *,
                 quiet: bool, octets_max: int, problem_page: str) -> None:
        self._app = app
        self._problem_page = problem_page
        self._quiet = quiet
        self._octets_max = octets_max
        self._receive = receive
        self._send = send
        self._now = now
        self._began = now()
        self._method: str = scope["method"]
        # 1. the incident, 4. HEAD
        self.incident = secrets.token_hex(8)
        state = scope.get("state") or {}
        self._scope: Scope = {
            **scope, "method": "GET" if self._method == "HEAD" else self._method,
            "state": {"identified": lambda: None, **state, "incident": self.incident, "partner": None,
                      "problem_page": problem_page}}
        self._peer = str((scope.get("client") or ("",))[0])
        self._read = 0
        self._sent = 0
        self._status = 0

    async def run(self, permitted: Callable[[Scope, str], bool]) -> None:
        try:
            # 2. the rate
            if not permitted(self._scope, self._peer):
                await self._refuse(of_reason(Reason.CLIENT_RATE_EXCEEDED))
                return
            # 3. the size, as announced
            if self._announced() > self._octets_max:
                await self._refuse(of_reason(Reason.INPUT_TOO_LARGE))
                return
            await self._app(self._scope, self._counted, self._answered)
        # 6. unexpected errors
        except Exception as error:  # noqa: BLE001 - any exception becomes a fixed answer
            log_unexpected(log, error, incident=self.incident)
            if not self._status:
                await self._refuse(of_reason(Reason.INTERNAL))
        finally:
            # 7. one line
            line = log.debug if self._quiet and self._status == 200 else log.info
            state = self._scope["state"]
            line("request", incident=self.incident, peer=self._peer, method=self._method[:16],
                 path=str(state.get("path") or self._scope["path"])[:PATH_LOGGED_MAX], status=self._status or None,
                 partner=state["partner"], octets=self._sent,
                 ms=round((self._now() - self._began) * 1000, 1))

    def _announced(self) -> int:
        """What Content-Length says; h11 has refused what is no number."""
        return max((int(value) for name, value in self._scope["headers"] if name == b"content-length"), default=0)

    async def _counted(self) -> Message:
        """3. The size, as it comes."""
        message = await self._receive()
        self._read += len(message.get("body", b""))
        if self._read > self._octets_max:
            raise ProblemError(of_reason(Reason.INPUT_TOO_LARGE))
        return message

    async def _answered(self, message: Message) -> None:
        """5. The headers."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            more = _TLS_HEADERS if self._scope.get("scheme") == "https" else _HEADERS
            close = ((b"connection", b"close"),) if self._status in (413, 429, 500) else ()
            headers = list(message.get("headers", ()))
            own = {name.lower() for name, _ in headers}  # a page has a policy of its own
            message = {**message, "headers": [*headers, *(one for one in more if one[0] not in own), *close]}
        elif message["type"] == "http.response.body":
            self._sent += len(message.get("body", b""))
        await self._send(message)

    async def _refuse(self, problem: Problem) -> None:
        body = problem.octets(self.incident, self._problem_page)
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body)),
                   *((name.encode(), value.encode()) for name, value in problem.headers.items())]
        await self._answered({"type": "http.response.start", "status": problem.status, "headers": headers})
        await self._answered({"type": "http.response.body", "body": body})
