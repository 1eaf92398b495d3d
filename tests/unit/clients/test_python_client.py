"""The Python client at the real application, in this process. Truth: docs/api-python.md; what the stores have
afterwards; for webhooks what the gateway itself signs, and the vector of Standard Webhooks' own libraries.
"""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sealgate_client import Answer, ApiError, HttpTransport, Sealgate
from sealgate_client import __file__ as client_file
from sealgate_client.webhooks import is_genuine

from gateway.adapters.web.callback import webhook_signature
from tests.ports.test_evidence import RECORD
from tests.support.api_requests import Asked, BankApi, bank_api
from tests.support.callbacks import listening
from tests.support.pki import NOW
from tests.support.smtp import Hop
from tests.unit.frontends.api.test_operation import held


class InProcess:
    """See Transport. `lost`: so many answers are lost after the work was done."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.lost = 0

    def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        fields = {name.lower().replace("-", "_"): value for name, value in headers.items()}
        got = self.asked.ask(method, path, body, **fields)
        if self.lost:
            self.lost -= 1
            raise ConnectionResetError
        return Answer(got.status, got.headers, got.body)


@pytest.fixture(scope="module")
def hop() -> Iterator[Hop]:
    with Hop() as running:
        yield running


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, hop: Hop) -> Iterator[BankApi]:
    with bank_api(tmp_path_factory.mktemp("client") / "bank", sink=hop.port) as running:
        yield running


@pytest.fixture
def transport(api: BankApi) -> InProcess:
    return InProcess(Asked(api.system().app))


@pytest.fixture
def client(api: BankApi, transport: InProcess) -> Sealgate:
    return Sealgate(token=api.bank.token("online-banking"), transport=transport, sleep=lambda _: None)


def test_a_code(client: Sealgate, transport: InProcess, hop: Hop) -> None:
    hop.mails.clear()
    transport.lost = 2
    code = client.issue_code("10001", "login", reference="session-17")
    assert (len(hop.mails), code["state"]) == (1, "live"), "a lost answer sends no second mail"
    assert client.code(code["id"])["reference"] == "session-17"
    transport.lost = 1
    verdict = client.verify_code(code["id"], "000000")
    assert (verdict["valid"], verdict["reason"], verdict["tries_left"]) == (False, "code.wrong", 4)
    assert client.resend_code(code["id"])["resends_left"] == code["resends_left"] - 1
    assert client.cancel_code(code["id"])["state"] == "cancelled"


def test_errors_say_what_and_where(client: Sealgate, transport: InProcess) -> None:
    with pytest.raises(ApiError) as caught:
        client.issue_code("10003", "login")
    assert (caught.value.status, caught.value.reason) == (404, "certificate.absent")
    assert caught.value.incident
    with pytest.raises(ApiError) as caught:
        client.issue_code("10001", "login", digits=4)
    assert caught.value.errors[0]["pointer"] == "/digits"
    transport.lost = 3
    with pytest.raises(OSError):
        client.status()


def test_a_block(client: Sealgate) -> None:
    assert client.customer_block("10001") is None
    assert client.block_customer("10001")["changed"]
    found = client.customer_block("10001")
    assert found is not None
    block, etag = found
    assert block["by"] == "bank"
    with pytest.raises(ApiError) as caught:
        client.unblock_customer("10001", '"00"')
    assert caught.value.status == 412
    assert client.unblock_customer("10001", etag) == {"state": "not_blocked", "changed": True}


def test_runs(api: BankApi, client: Sealgate) -> None:
    (api.bank.home / "statements").mkdir(exist_ok=True)
    begun = [client.begin_run({
        "version": 1, "name": f"Run {number}", "period": "2026-10", "source": {"csv": "customers.csv"},
        "columns": {"document": "file"}, "documents": {"directory": "."}}, key=f"run-{number}") for number in range(3)]
    assert {run["id"] for run in client.runs()} >= {run["id"] for run in begun}
    progress, etag = client.run(begun[0]["id"])
    assert (progress["state"], progress["mails"]) == ("new", 0)
    assert client.pause_run(progress["id"], etag)["state"] == "paused"
    assert client.resume_run(progress["id"], client.run(progress["id"])[1])["state"] == "new"
    assert client.run_report(progress["id"])["mails"] == 0
    assert client.cancel_run(progress["id"], client.run(progress["id"])[1])["state"] == "cancelled"


def test_operation(api: BankApi, client: Sealgate) -> None:
    ids = [held(api, rule="inbound:client") for _ in range(3)]
    assert [mail["id"] for mail in client.held_mails(rule="inbound:client", limit="2")] == ids
    _, etag = client.held_mail(ids[0])
    assert client.reject_held_mail(ids[0], etag)["state"] == "rejected"
    released = client.release_held_mail(ids[1], client.held_mail(ids[1])[1])
    assert (released["state"], released["outcomes"][0]["outcome"]) == ("released", "taken")
    assert client.status()["hostname"] == "gateway.bank.example"
    api.context.gateway.store.evidence.add([replace(RECORD, at=NOW + timedelta(days=400 + n)) for n in range(3)])
    assert len(list(client.mails(since="2027-11-01T00:00:00Z", limit="2"))) == 3
    assert [one["act"] for one in client.audit(object=ids[0])] == ["hold.reject"]
    assert [one["number"] for one in client.audit_after(2)][:2] == [3, 4]


def test_over_http_no_redirect_takes_the_token_along() -> None:
    with listening() as server:
        server.answers = [302, 204]
        send = HttpTransport(server.url.removesuffix("/sealgate"))
        assert [send("POST", "/sealgate", {}, b"{}").status for _ in range(2)] == [302, 204]
        assert len(server.bodies) == 2
    with pytest.raises(OSError):
        send("POST", "/sealgate", {}, b"{}")
    with pytest.raises(ValueError, match="not an http"):
        HttpTransport("file:///etc/passwd")


def test_webhooks() -> None:
    new = base64.b64encode(b"n" * 32).decode()
    body = b'{"event": "e"}'
    headers = {"Webhook-Id": "e", "Webhook-Timestamp": "1000000", "Webhook-Signature": " ".join(
        webhook_signature(key, "e", 1_000_000, body) for key in (b"n" * 32, b"o" * 32))}
    for secrets in (f"whsec_{new}", "o" * 32, ["x" * 32, f"whsec_{new}"]):
        assert is_genuine(secrets, headers, body, now=1_000_300)
    assert not is_genuine("x" * 32, headers, body, now=1_000_000)
    assert not is_genuine("o" * 32, headers, body, now=1_000_301)
    assert not is_genuine("o" * 32, headers, body + b" ", now=1_000_000)
    assert not is_genuine("o" * 32, headers | {"Webhook-Timestamp": "²"}, body, now=1_000_000)
    assert not is_genuine("o" * 32, {}, body)
    theirs = {"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
              "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}
    assert is_genuine("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", theirs, b'{"test": 2432232314}', now=1614265330)


def test_it_has_a_method_for_every_operation() -> None:
    """Truth: the paths of the description."""
    source = (Path(client_file).parent / "client.py").read_text("utf-8")
    described = Asked(_app()).ask("GET", "/v1/openapi.json").json["paths"]
    for path in described:
        if path.startswith("/v1/"):
            assert path.removeprefix("/v1").partition("{")[0].rstrip("/") in source, path


def _app() -> object:
    from tests.unit.frontends.api.test_documentation import SERVICE, asked

    return asked(SERVICE).app
