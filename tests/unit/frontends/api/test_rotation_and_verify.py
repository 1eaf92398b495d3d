"""Two tokens during a rotation, and a try that is repeated. Truth: docs/api.md; the tries that the store counts."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.adapters.files.partner_tokens import end_former, make_token, read_digests
from gateway.app.processes.api import callers_of
from gateway.demo import openssl
from gateway.errors import GatewayError, Reason
from gateway.frontends.api.endpoints.codes import VERDICT_KEPT
from gateway.settings import load
from tests.support.api_requests import Asked, BankApi, bank_api
from tests.support.smtp import Hop

ORDER = {"customer": "10001", "purpose": "login"}


@pytest.fixture(scope="module")
def hop() -> Iterator[Hop]:
    with Hop() as running:
        yield running


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, hop: Hop) -> Iterator[BankApi]:
    with bank_api(tmp_path_factory.mktemp("rotation") / "bank", sink=hop.port) as running:
        yield running


@pytest.fixture
def portal(api: BankApi) -> Asked:
    return api.system()


def code_in(api: BankApi, hop: Hop) -> str:
    text = openssl.verify(openssl.decrypt(hop.mails[-1], api.bank.people["anna"]), api.bank.root)
    return re.findall(rb"(?<![0-9A-Za-z=.])[0-9]{6,10}(?![0-9A-Za-z=.])", text)[0].decode()


def test_a_repeated_try_has_the_first_verdict_and_costs_nothing(api: BankApi, portal: Asked, hop: Hop) -> None:
    made = portal.ask("POST", "/v1/codes", ORDER, idempotency_key="verify-1").json
    path, code = f"/v1/codes/{made['id']}", code_in(api, hop)
    wrong = ("2" if code[0] == "1" else "1") + code[1:]
    first = portal.ask("POST", f"{path}/verify", {"code": wrong}, idempotency_key="try-1")
    again = portal.ask("POST", f"{path}/verify", {"code": wrong}, idempotency_key="try-1")
    assert (first.status, first.json["reason"], first.json["tries_left"]) == (200, "code.wrong", 4)
    assert (again.body, again.headers["idempotent-replayed"]) == (first.body, "true")
    assert portal.ask("GET", path).json["tries_left"] == 4
    other = portal.ask("POST", f"{path}/verify", {"code": code}, idempotency_key="try-1")
    assert (other.status, other.json["reason"]) == (422, "request.key_conflict")
    assert portal.ask("GET", path).json["tries_left"] == 4
    valid = portal.ask("POST", f"{path}/verify", {"code": code}, idempotency_key="try-2")
    assert valid.json["valid"] is True
    assert portal.ask("POST", f"{path}/verify", {"code": code}, idempotency_key="try-2").body == valid.body
    without_key = portal.ask("POST", f"{path}/verify", {"code": code})
    assert without_key.json["reason"] == "code.used"
    assert timedelta(hours=24) == VERDICT_KEPT


def test_an_unknown_code_leaves_its_key_free(portal: Asked) -> None:
    for _ in range(2):
        answer = portal.ask("POST", f"/v1/codes/{'0' * 24}/verify", {"code": "000000"}, idempotency_key="nowhere")
        assert (answer.status, answer.json["reason"]) == (404, "code.unknown")


def test_two_tokens_are_valid_during_a_rotation(api: BankApi) -> None:
    settings = load(api.bank.config)
    (client,) = (one for one in settings.clients if one.name == "online-banking")
    path = client.token_file
    assert path is not None
    before = path.read_bytes()

    def names(*tokens: str) -> list[str | None]:
        known = callers_of(settings)
        return [known.known({"headers": [(b"authorization", f"Bearer {one}".encode())], "state": {}}) for one in tokens]

    try:
        first = api.bank.token("online-banking")
        second = make_token(path, keep=True)
        assert names(first, second) == ["online-banking", "online-banking"]
        third = make_token(path, keep=True)
        assert names(first, second, third) == [None, "online-banking", "online-banking"]
        assert end_former(path)
        assert not end_former(path)
        assert names(second, third) == [None, "online-banking"]
        alone = make_token(path)
        assert names(third, alone) == [None, "online-banking"]
        assert path.stat().st_mode & 0o777 == 0o600
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("text", ["", "00", "x" * 64, "\n".join(["00" * 32] * 3)])
def test_no_token_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(GatewayError) as caught:
        read_digests(path)
    assert caught.value.reason is Reason.CONFIG_INVALID
