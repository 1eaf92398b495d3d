"""By what a request is known when it comes again. Truth: draft-ietf-httpapi-idempotency-key-header-07 2.2, 2.6, 5: a
key is its client's own, and one that somebody else has guessed tells him nothing.
"""

import hashlib
from typing import Any

import pytest
from fastapi import Request
from pydantic import BaseModel

from gateway.errors import GatewayError, Reason
from gateway.frontends.api.callers import Callers
from gateway.frontends.api.idempotency import idempotent
from gateway.frontends.api.service import Service
from gateway.ports.services.requests import Answered


class Done(BaseModel):
    number: int


class Book:
    """See ports.requests.Requests; in memory."""

    def __init__(self) -> None:
        self.digests: dict[str, str] = {}
        self.answers: dict[str, Answered] = {}

    def begin(self, key: str, digest: str, kept: object = None) -> Answered | str:
        del kept
        if self.digests.setdefault(key, digest) != digest:
            raise GatewayError(Reason.REQUEST_KEY_CONFLICT)
        return self.answers.get(key, key)

    def answer(self, claim: str, answered: Answered) -> None:
        self.answers[claim] = answered

    def withdraw(self, claim: str) -> None:
        del self.digests[claim]


class Desk:
    """Counts what was really done."""

    def __init__(self) -> None:
        self.book = Book()
        self.done = 0
        self.service = Service(Callers([]), self.book, lambda octets: hashlib.sha256(octets).hexdigest(), lambda: None)

    def ask(self, client: str = "a", key: str = "k", path: str = "/v1/codes", body: bytes = b"{}") -> tuple[int, bool]:
        scope: dict[str, Any] = {"type": "http", "method": "POST", "path": path, "query_string": b"", "server": None,
                                 "scheme": "http", "headers": [(b"idempotency-key", key.encode()), (b"host", b"x")]}

        def work() -> Done:
            self.done += 1
            return Done(number=self.done)

        answer = idempotent(self.service, Request(scope), client, body, work, status=201)
        return Done.model_validate_json(bytes(answer.body)).number, "idempotent-replayed" in answer.headers


def test_a_key_is_its_clients_own() -> None:
    desk = Desk()
    assert [desk.ask("a"), desk.ask("b"), desk.ask("a"), desk.ask("b")] == [
        (1, False), (2, False), (1, True), (2, True)]


@pytest.mark.parametrize("other", [{"path": "/v1/codes/x/resend"}, {"body": b'{"x":1}'}])
def test_another_request_has_another_key(other: dict[str, Any]) -> None:
    desk = Desk()
    desk.ask()
    with pytest.raises(GatewayError) as caught:
        desk.ask(**other)
    assert (caught.value.reason, desk.done) == (Reason.REQUEST_KEY_CONFLICT, 1)


def test_neither_key_nor_content_stands_in_the_book() -> None:
    desk = Desk()
    desk.ask(key="a-key-of-mine", body=b'{"account":"DE02"}')
    assert not any(word in text for text in (*desk.book.digests, *desk.book.digests.values())
                   for word in ("a-key-of-mine", "DE02"))
