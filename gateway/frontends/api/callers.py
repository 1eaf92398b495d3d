"""Identifies the client and its scopes. As `frontends.http.partners`, but unknown clients are rejected.

A client is known by its token (RFC 6750 2.1) or by its TLS client certificate, before a line of its request's body is
read. What it may are the `scopes` of the settings.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import Reason
from gateway.frontends.api.documentation.router import PATHS
from gateway.frontends.api.former_paths import FORMER_STATE, VERSION
from gateway.frontends.http.partners import KnownPartner, Partners, token_digest
from gateway.frontends.http.problems import MEDIA_TYPE, ProblemError, of_reason
from gateway.model.audit.actor import Actor, acting

OPEN: Final = frozenset({"/healthz", "/readyz", f"{VERSION}/openapi.json", *PATHS})  # without a token
CUSTOMERS: Final = f"{VERSION}/customers/"
CREDENTIAL_DIGITS: Final = 16  # of a token's SHA-256 in the audit log, which `sealgate client token` prints, too


@dataclass(frozen=True, slots=True)
class Caller:
    """A client of the settings. `known`: how it shows who it is; `scopes`: codes, statements, operate."""

    known: KnownPartner
    scopes: frozenset[str]


class Callers:
    """All of them."""

    def __init__(self, callers: Sequence[Caller]) -> None:
        self._partners = Partners([one.known for one in callers])
        self._scopes = {one.known.name: one.scopes for one in callers}

    def who(self, authorization: str | None, certificate: str | None) -> str:
        """The client's name. ProblemError 401 for everybody else."""
        name = self._partners.who(authorization, certificate)
        if name is None:
            raise ProblemError(of_reason(Reason.PARTNER_UNKNOWN))
        return name

    def of(self, scope: Scope) -> str:
        """As `who`, of a request with the guard's state."""
        authorization = dict(scope["headers"]).get(b"authorization")
        return self.who(None if authorization is None else authorization.decode("latin-1"),
                        scope["state"].get("certificate"))

    def known(self, scope: Scope) -> str | None:
        """As `of`; None for everybody else."""
        try:
            return self.of(scope)
        except ProblemError:
            return None

    def may(self, client: str, scope: str) -> bool:
        """Whether the settings say so."""
        return scope in self._scopes.get(client, frozenset())


class Door:
    """An ASGI application around another one: rejects unknown clients."""

    def __init__(self, app: ASGIApp, callers: Callable[[], Callers]) -> None:
        self._app = app
        self._callers = callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; the guard has made its state."""
        state, path = scope["state"], scope["path"]
        if path.startswith(CUSTOMERS):
            former = FORMER_STATE in state  # a log needs no customer's number
            state["path"] = f"{CUSTOMERS.removeprefix(VERSION) if former else CUSTOMERS}*"
        if path not in OPEN:
            try:
                state["partner"] = self._callers().of(scope)
            except ProblemError as error:
                problem = error.problem
                octets = problem.octets(state["incident"], state["problem_page"])
                answer = Response(octets, problem.status, problem.headers, MEDIA_TYPE)
                await answer(scope, receive, send)
                return
            state["identified"]()
            with acting(_actor(scope)):
                await self._app(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _actor(scope: Scope) -> Actor:
    """The client for the audit log, with the token or certificate that it used and its address."""
    state = scope["state"]
    authorization = dict(scope["headers"]).get(b"authorization")
    if authorization is not None:
        credential = f"token {token_digest(authorization.decode('latin-1')).hex()[:CREDENTIAL_DIGITS]}"
    else:
        credential = f"certificate {state.get('certificate')}"
    peer = scope.get("client")
    return Actor("client", state["partner"], peer[0] if peer else "", credential=credential)


def permitted(scope: str, callers: Callable[[], Callers]) -> Callable[[Request], Awaitable[str]]:
    """A dependency of endpoints: the client that asks. ProblemError 403 if the scope is not its own."""

    async def client(request: Request) -> str:
        name: str = request.scope["state"]["partner"]
        if not callers().may(name, scope):
            raise ProblemError(of_reason(Reason.PARTNER_NOT_PERMITTED))
        return name

    return client
