"""Requests a minute: who is known by a token is counted by name, everybody else by address. Truth: RFC 6585 4."""

import asyncio
import hashlib
from collections.abc import MutableMapping
from typing import Any

from gateway.frontends.api.application import application
from gateway.frontends.api.callers import Caller, Callers
from gateway.frontends.api.service import Current, Service
from gateway.frontends.http.partners import KnownPartner
from tests.support.pki import NOW

LIMIT = 3


class Api:
    """The application without sockets."""

    def __init__(self) -> None:
        known = [Caller(KnownPartner(name, (hashlib.sha256(name.encode()).digest(),)), frozenset())
                 for name in ("online-banking", "core-banking")]
        self._app = application(Current(Service(Callers(known), None, lambda _: "", lambda: None,  # type: ignore[arg-type]
                                                requests_per_minute_max=LIMIT)), 1_000, lambda: NOW)

    def ask(self, token: str | None = None, *, address: str = "192.0.2.1") -> int:
        return asyncio.run(self._ask(token, address))

    async def _ask(self, token: str | None, address: str) -> int:
        headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
        scope = {"type": "http", "method": "GET", "path": "/nothing", "headers": headers, "query_string": b"",
                 "client": (address, 1), "scheme": "http", "state": {}}
        said: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            said.append(message)

        await self._app(scope, receive, send)
        return int(said[0]["status"])


def test_wrong_tokens_behind_a_clients_own_address_do_not_lock_it_out() -> None:
    """Attack: strangers come through the same proxy as online banking, and send requests without a right token."""
    api = Api()
    assert [api.ask("wrong") for _ in range(LIMIT + 1)] == [401] * LIMIT + [429]
    assert api.ask() == 429
    assert api.ask("online-banking") == 404
    assert api.ask("core-banking") == 404


def test_a_client_has_its_number_wherever_it_comes_from() -> None:
    api = Api()
    assert [api.ask("online-banking", address=f"192.0.2.{i}") for i in range(LIMIT + 1)] == [404] * LIMIT + [429]
    assert api.ask("core-banking") == 404
    assert api.ask("wrong") == 401
