"""The interface of the bank's systems as they have it: a real `sealgate api`, a next hop, and Anna, who reads her mail
with openssl.

Truth: what the mail that left says when openssl has opened it; draft-ietf-httpapi-idempotency-key-header-07; RFC 6750,
RFC 9110 (Retry-After), RFC 9457.
"""

import re
import subprocess
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.support.api_service import PAYMENT, ROOT, Api, System, api
from tests.support.command_server import prefix

PAID = b'{"customer": "10001", "purpose": "p", "transaction": {"amount": %s, "payee": "A", "account": "1"}}'


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with api(tmp_path_factory.mktemp("api") / "bank") as running:
        yield running


@pytest.fixture
def portal(service: Api) -> System:
    service.hop.mails.clear()
    service.hop.replies.clear()
    return service.system()


def refused(answer, status: int, reason: str) -> None:
    assert (answer.status, answer.json["reason"]) == (status, reason), answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("retry-after" in answer.headers) == (status in (429, 503))


def tried(portal: System, code_id: str, code: str, transaction: object = PAYMENT) -> tuple[bool, str | None]:
    answer = portal.post(f"/v1/codes/{code_id}/verify", {"code": code, "transaction": transaction})
    assert answer.status == 200, answer.body
    assert set(answer.json) == {"valid", "reason", "tries_left", "state"}
    return answer.json["valid"], answer.json["reason"]


def other(code: str) -> str:
    return ("2" if code[0] == "1" else "1") + code[1:]


def test_a_payment_from_the_order_to_the_consent(service: Api, portal: System) -> None:
    made = portal.order("payment-1", reference="order-4711", digits=8)
    assert made.status == 201, made.body
    code_id = made.json["id"]
    assert (made.json["state"], made.json["digits"], made.json["recipients"]) == ("live", 8, 1)
    code = service.code()
    assert len(code) == 8
    assert code.encode() not in made.body
    assert tried(portal, code_id, other(code)) == (False, "code.wrong")
    for change in ({"amount": "1234.51"}, {"payee": "Somebody else"}, {"account": "DE02 1203 0000 0000 2020 51"},
                   {"currency": "USD"}):
        assert tried(portal, code_id, code, PAYMENT | change)[0] is False
        shown = portal.ask("GET", f"/v1/codes/{code_id}").json
        if shown["tries_left"] == 1:
            break
    same = PAYMENT | {"amount": "1234.5", "account": "DE89370400440532013000"}
    assert tried(portal, code_id, code, same) == (True, None)
    assert tried(portal, code_id, code) == (False, "code.used")
    shown = portal.ask("GET", f"/v1/codes/{code_id}").json
    assert (shown["state"], shown["reference"], shown["customer"]) == ("used", "order-4711", "10001")
    assert "account" not in shown


def test_a_request_that_is_repeated_sends_no_second_mail(service: Api, portal: System) -> None:
    first = portal.order("twice", purpose="twice")
    again = portal.order("twice", purpose="twice")
    quoted = portal.order('"twice"', purpose="twice")
    assert [first.body] * 2 == [again.body, quoted.body]
    assert (first.status, again.status) == (201, 201)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len(service.hop.mails) == 1
    refused(portal.order("twice", purpose="twice", transaction=PAYMENT | {"amount": "1"}), 422, "request.key_conflict")
    assert len(service.hop.mails) == 1


def test_the_same_json_in_another_spelling_is_the_same_request(service: Api, portal: System) -> None:
    first = portal.post("/v1/codes", b'{"customer":"10001","purpose":"spelling"}', "spelling")
    again = portal.post("/v1/codes", b'{ "purpose" : "spelling", "customer": "\\u0031000\\u0031" }', "spelling")
    assert (first.status, again.body) == (201, first.body)


def test_of_many_at_once_with_one_key_one_is_done(service: Api, portal: System) -> None:
    told: list[tuple[int, str]] = []
    start = threading.Barrier(6)

    def ask() -> None:
        start.wait()
        answer = portal.order("at-once", purpose="at-once")
        told.append((answer.status, answer.json.get("id") or answer.json["reason"]))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(service.hop.mails) == 1
    assert {status for status, _ in told} <= {201, 409}
    assert len({what for status, what in told if status == 201}) == 1
    assert {what for status, what in told if status == 409} <= {"request.in_progress"}


@pytest.mark.parametrize("key", ["", "ä", "a b", "x" * 256, '""'])
def test_without_a_good_key_nothing_is_done(service: Api, portal: System, key: str) -> None:
    answer = portal.post("/v1/codes", {"customer": "10001", "purpose": "login"},
                         **({"idempotency_key": key.encode().decode("latin-1")} if key else {}))
    refused(answer, 400, "request.key_missing")
    assert service.hop.mails == []


def test_who_has_no_certificate_gets_no_code_and_the_caller_hears_why_at_once(service: Api, portal: System) -> None:
    refused(portal.order("clara", customer="10003"), 404, "certificate.absent")
    refused(portal.order("nobody", customer="99999"), 404, "customer.unknown")
    assert service.hop.mails == []


def test_what_cannot_leave_now_is_503_and_its_key_may_try_again(service: Api, portal: System) -> None:
    service.hop.replies["dot"] = "451 4.3.0 full"
    refused(portal.order("later", purpose="later"), 503, "next_hop.later")
    service.hop.replies.clear()
    service.hop.mails.clear()
    made = portal.order("later", purpose="later")
    assert made.status == 201
    assert "idempotent-replayed" not in made.headers
    assert tried(portal, made.json["id"], service.code()) == (True, None)


def test_again_and_cancelled(service: Api, portal: System) -> None:
    made = portal.order("resent", purpose="resent").json
    path = f"/v1/codes/{made['id']}"
    refused(portal.post(f"{path}/resend", {"transaction": PAYMENT | {"amount": "1"}}), 409, "code.changed")
    again = portal.post(f"{path}/resend", {"transaction": PAYMENT}, "again-1")
    assert (again.status, again.json["expires_at"]) == (200, made["expires_at"])
    assert portal.post(f"{path}/resend", {"transaction": PAYMENT}, "again-1").body == again.body
    assert len(service.hop.mails) == 2
    assert service.code(0) == service.code(1)
    assert portal.post(f"{path}/cancel").json["state"] == "cancelled"
    assert tried(portal, made["id"], service.code()) == (False, "code.cancelled")
    refused(portal.post(f"{path}/resend", {"transaction": PAYMENT}), 409, "code.cancelled")


def test_a_block_holds_until_it_is_lifted(service: Api, portal: System) -> None:
    made = portal.order("before-the-block", purpose="block").json
    block = "/v1/customers/10001/block"
    try:
        assert portal.ask("PUT", block).json == {"state": "blocked", "changed": True}
        assert portal.ask("PUT", block).json == {"state": "blocked", "changed": False}
        assert tried(portal, made["id"], service.code())[0] is False
        refused(portal.order("blocked", purpose="block"), 409, "customer.blocked")
    finally:
        assert portal.ask("DELETE", block, if_match="*").json == {"state": "not_blocked", "changed": True}
    assert portal.ask("DELETE", block, if_match="*").json == {"state": "not_blocked", "changed": False}
    refused(portal.ask("DELETE", block), 428, "request.unconditional")
    assert portal.ask("DELETE", block.removeprefix("/v1")).json == {"state": "not_blocked", "changed": False}
    refused(portal.ask("PUT", "/v1/customers/99999/block"), 404, "customer.unknown")
    assert portal.order("blocked", purpose="block").status == 201
    assert "/v1/customers/10001" not in service.told


def test_nobody_comes_in_whom_nobody_knows(service: Api, portal: System) -> None:
    code_id = portal.order("who", purpose="who").json["id"]
    for token, path, broken in [
            ("", f"/v1/codes/{code_id}", b"{"), ("x" * 43, "/v1/codes", b"{"), ("", "/nothing", None)]:
        stranger = System(service.base, token, service.pool)
        answer = stranger.ask("POST", path, broken)
        refused(answer, 401, "partner.unknown")
        assert answer.headers["www-authenticate"] == "Bearer"
    statements = service.system("core-banking")
    for answer in (statements.ask("GET", f"/v1/codes/{code_id}"), statements.order("mine"),
                   statements.ask("PUT", "/v1/customers/10001/block")):
        refused(answer, 403, "partner.not_permitted")


@pytest.mark.parametrize("body, pointer", [
    (b'{"customer": "10001", "customer": "10002", "purpose": "login"}', ""),
    (b'{"customer": "10001", "purpose": "login", "digits": NaN}', ""),
    (b'{"customer": "10001", "purpose": "log\\u0000in"}', ""),
    (b'{"customer": "10001", "purpose": "login", "reference": "\\ud800"}', ""),
    (b"[" * 100_000, ""), (b"\xff\xfe{}", ""), (b"", ""), (b"[]", ""), (b"null", ""), (b"1" * 5000, ""),
    (b'{"customer": "10001", "purpose": "login", "digits": "8"}', "/digits"),
    (b'{"customer": "10001", "purpose": "login", "digits": 8.5}', "/digits"),
    (b'{"customer": "10001", "purpose": "login", "digits": 11}', "/digits"),
    (b'{"customer": "10001", "purpose": "login", "a/b~c": 1}', "/a~1b~0c"),
    (PAID % b'"1,5", "currency": "EUR"', "/transaction/amount"),
    (b'{"customer": "10001", "purpose": "p", "transaction": {"total": "1", "currency": "EUR", "payees": []}}',
     "/transaction/payees"),
    (PAID % b'"1.5", "currency": "JPY"', ""),
    (PAID % b'"1.5", "currency": "QQQ"', ""),
])
def test_what_is_no_order_is_told_where_it_is_none(service: Api, portal: System, body: bytes, pointer: str) -> None:
    answer = portal.post("/v1/codes", body, "broken")
    refused(answer, 400, "input.malformed")
    assert pointer in [one["pointer"] for one in answer.json["errors"]], answer.body
    assert service.hop.mails == []


def test_bodies_of_another_kind_and_size(portal: System) -> None:
    assert portal.post("/v1/codes", b"{}", "k", content_type="text/plain").status == 415
    refused(portal.post("/v1/codes", b" " * 1_048_577, "k"), 413, "input.too_large")


def test_a_new_token_counts_from_the_reload_on(service: Api, portal: System) -> None:
    before = service.bank.token("online-banking")
    made = subprocess.run(
        [*prefix(), "--config", service.bank.config, "client", "token", "online-banking"],
        cwd=ROOT, capture_output=True, text=True, check=True)
    token = made.stdout.strip()
    assert token not in made.stderr
    new = System(service.base, token, service.pool)
    assert (new.order("t1", purpose="token").status, portal.order("t1", purpose="token").status) == (401, 201)
    service.reload()
    (service.bank.home / "clients" / "online-banking.token").write_text(token)
    assert new.order("t2", purpose="token").status == 201
    refused(System(service.base, before, service.pool).order("t3"), 401, "partner.unknown")


@pytest.mark.parametrize("name, told", [
    ("online-bankin", "did you mean `online-banking`?"), ("zzz", "see `clients`"), ("staff", "no `token_file`")])
def test_a_token_for_nobody(service: Api, name: str, told: str) -> None:
    made = subprocess.run([*prefix(), "--config", service.bank.config, "client", "token", name],
                          cwd=ROOT, capture_output=True, text=True, check=False)
    assert (made.returncode, made.stdout) == (2, "")
    assert told in made.stderr


@pytest.mark.parametrize("change, told", [
    (lambda text: re.sub(r"(?m)^api: .*$", "", text), "no section `api`"),
    (lambda text: text.replace("api: {", "api: {host: 192.0.2.1, "), "without TLS"),
    (lambda text: text.replace("keys/codes.secret", "keys/none.secret"), "none.secret")])
def test_what_it_does_not_start_with(service: Api, change: Callable[[str], str], told: str) -> None:
    broken = service.bank.home / "broken.yaml"
    broken.write_text(change(service.bank.config.read_text()))
    ended = subprocess.run([*prefix(), "--config", broken, "api"], cwd=ROOT, capture_output=True,
                           text=True, check=False, timeout=60)
    assert ended.returncode == 2, ended.stderr
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_reload_that_does_not_load_changes_nothing(service: Api, portal: System) -> None:
    good = service.bank.config.read_text()
    before = service.told.count("reload.failed")
    for broken in (f"{good}\nnonsense: 1\n", re.sub(r"(?m)^api: .*$", "", good)):
        service.bank.config.write_text(broken)
        service.reload()
        assert service.system().order(f"broken-{len(broken)}", purpose="reload").status == 201
    service.bank.config.write_text(good)
    service.reload()
    assert service.told.count("reload.failed") == before + 2


def test_no_secret_of_all_this_stands_in_the_log(service: Api) -> None:
    """Runs last: everything above has been through it."""
    told = service.told
    assert told.count('"event": "request"') > 50
    for secret in (service.bank.token("online-banking"), "Stadtwerke", "DE89", "370400440532013000", "1234.5",
                   "Traceback", '"internal.error"'):
        assert secret not in told
