"""Requests to the API's application without a socket: in this process, one after the other."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.app.processes.api import ApiContext
from gateway.demo.bank import Bank, Ports
from gateway.frontends.api.application import application
from gateway.frontends.api.callers import Caller, Callers
from gateway.frontends.api.service import Current, Service
from gateway.frontends.http.guard import Guard
from gateway.frontends.http.partners import KnownPartner, token_digest
from gateway.settings import load
from tests.support.api_service import Answer
from tests.support.pki import NOW
from tests.support.process import demo_bank, free_ports

SCOPES = ("codes", "statements", "operate", "release", "audit")


def callers(**scopes: tuple[str, ...]) -> Callers:
    """Clients whose token is their name."""
    return Callers([Caller(KnownPartner(name.replace("_", "-"), (token_digest(f"Bearer {name.replace('_', '-')}"),)),
                           frozenset(those)) for name, those in scopes.items()])


@dataclass
class Asked:
    """An application, and who asks it."""

    app: Guard
    client: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """One request. `headers`: names with _ for -."""
        octets = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        fields = {"authorization": f"Bearer {self.client}"} if self.client else {}
        fields |= {"content-type": "application/json"} if body is not None else {}
        fields |= {name.replace("_", "-"): value for name, value in (self.headers | headers).items()}
        path, _, query = path.partition("?")
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
                 "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
                 "headers": [(name.encode(), value.encode("latin-1")) for name, value in fields.items()],
                 "client": ("192.0.2.7", 40000), "server": ("127.0.0.1", 8027)}
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": octets, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        with ThreadPoolExecutor(1) as pool:  # a browser's driver may have a loop in this thread
            pool.submit(lambda: asyncio.run(self.app(scope, receive, send))).result()  # type: ignore[arg-type]
        return Answer(sent[0]["status"], {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]},
                      b"".join(one.get("body", b"") for one in sent[1:]))


def asked(service: Service, client: str = "", now: datetime = NOW) -> Asked:
    """The application over a service, asked by a client of it."""
    return Asked(application(Current(service), 1_048_576, lambda: now), client)


@dataclass
class BankApi:
    """The API of a demo bank in this process, with all that is behind it."""

    bank: Bank
    context: ApiContext

    def system(self, client: str = "online-banking") -> Asked:
        """A client of the settings, as it asks."""
        return Asked(application(self.context.current, 1_048_576, lambda: NOW), self.bank.token(client))


@contextmanager
def bank_api(home: Path, change: Callable[[str], str] = lambda text: text, *, sink: int = 0) -> Iterator[BankApi]:
    """It, until the `with` ends. `sink`: the port of the next hop. online-banking may do everything."""
    bank = demo_bank(home, Ports(sink=sink or free_ports(1)[0], api=8027))
    text = bank.config.read_text("utf-8").replace("scopes: [codes]", f"scopes: [{', '.join(SCOPES)}]")
    bank.config.write_text(change(text), "utf-8")
    context = ApiContext(load(bank.config))
    try:
        yield BankApi(bank, context)
    finally:
        context.close()
