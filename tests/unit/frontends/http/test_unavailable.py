"""503 while the database cannot be used. Truth: a client's answers at the process's own port."""

import json
import urllib.error
import urllib.request

import pytest

from gateway.errors import GatewayError, Reason
from gateway.frontends.http import unavailable
from gateway.frontends.http.unavailable import when_usable
from gateway.settings import Http
from tests.support.process import free_ports


def answer(port: int) -> tuple[int, str | None, dict]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/anything", timeout=10)
    with caught.value as error:
        return error.code, error.headers["retry-after"], json.loads(error.read())


def test_every_request_is_answered_503_until_the_database_is_there(monkeypatch) -> None:
    (port,) = free_ports(1)
    http, answers, pauses = Http(port=port), [], []
    troubles = [GatewayError(Reason.STORE_MISSING, "s.db", retry=True),
                GatewayError(Reason.STORE_MISMATCH, "s.db", retry=True)]

    def build() -> str:
        if troubles:
            raise troubles.pop(0)
        return "built"

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        answers.append(answer(port))

    monkeypatch.setattr(unavailable.time, "sleep", sleep)
    assert when_usable(build, http, "api") == "built"
    assert [(status, retry, body["reason"]) for status, retry, body in answers] == [
        (503, "30", "store.missing"), (503, "30", "store.mismatch")]
    assert "s.db" not in str(answers)
    assert pauses == sorted(pauses)
    with pytest.raises(urllib.error.URLError):  # the port is free again, for the server itself
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10)


@pytest.mark.parametrize("trouble", [GatewayError(Reason.CONFIG_INVALID, "a word"),
                                     GatewayError(Reason.KEY_UNAVAILABLE, "a key", retry=True)])
def test_anything_else_ends_the_start(trouble) -> None:
    def build() -> None:
        raise trouble

    with pytest.raises(GatewayError) as caught:
        when_usable(build, Http(port=0), "api")
    assert caught.value is trouble
