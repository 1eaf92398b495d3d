"""The HTTP face over real sockets: what is answered, in which form, and what every answer has.

Truth: RFC 9110 (methods, Accept, statuses), RFC 9457 (problem documents), RFC 3161 3.4.
"""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.authority.tsa import EmbeddedTsa
from gateway.clock import SystemClock
from gateway.cms import timestamp
from gateway.errors import GatewayError, Reason
from gateway.frontends.http.guard import BODY_OCTETS_MAX
from gateway.frontends.http.problems import STATUSES, TITLES, of_reason
from gateway.frontends.http.service import Service
from gateway.frontends.limits import client_key
from tests.support.http_service import Answer, Asker, serving
from tests.support.pki import KeyRing, get_pki

QUERY = timestamp.build_request(bytes(32), "sha256", nonce=5)
OWN = {"otp@bank.example": ("otp@bank.example",), "two@bank.example": ("a@bank.example", "b@bank.example")}


def unit() -> EmbeddedTsa:
    person = get_pki().stamper()
    return EmbeddedTsa("internal", KeyRing(tsa=(person, "stamp")), "tsa", person.certificate, person.chain,
                       policy_oid="1.3.6.1.4.1.99999.7", accuracy_ms=500, clock=SystemClock(), clock_check="none")


def own(address: str) -> Any:
    return [get_pki().signer(email=email).certificate for email in OWN.get(address, ())]


@pytest.fixture(scope="module")
def asker() -> Iterator[Asker]:
    with serving(Service(respond=unit().respond, own=own, requests_per_minute_max=0)) as (one, _):
        yield one


def problem(answer: Answer, status: int, reason: Reason) -> dict[str, Any]:
    """Holds what RFC 9457 asks, and that nothing of the inside is told."""
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = json.loads(answer.body)
    assert set(found) == {"type", "title", "status", "detail", "reason", "incident"}
    assert (found["type"], found["title"], found["status"]) == ("about:blank", TITLES[status], status)
    assert found["reason"] == reason
    assert found["detail"].endswith(".")
    for inside in ("/", "Traceback", "127.0.0.1", "Error", "line "):
        assert inside not in found["detail"]
    return found


def test_a_stamp(asker: Asker) -> None:
    answer = asker.stamp(QUERY)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/timestamp-reply")
    token = timestamp.parse_response(answer.body).token
    assert token is not None
    assert timestamp.parse_token(token).nonce == 5


@pytest.mark.parametrize("body", [b"", b"GET / HTTP/1.1", b"\x30\x80" * 2000, bytes(BODY_OCTETS_MAX)])
def test_what_is_no_request_is_refused_in_the_protocols_own_words(asker: Asker, body: bytes) -> None:
    answer = asker.stamp(body)
    assert answer.status == 200
    assert timestamp.parse_response(answer.body).failures == (timestamp.Failure.BAD_DATA_FORMAT,)


@given(st.one_of(st.binary(max_size=300), st.builds(
    lambda at, octet: QUERY[:at] + bytes((octet,)) + QUERY[at + 1:], st.integers(0, len(QUERY) - 1),
    st.integers(0, 255))))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_sent_gets_a_response_that_can_be_read(asker: Asker, body: bytes) -> None:
    answer = asker.stamp(body)
    assert answer.status == 200
    read = timestamp.parse_response(answer.body)
    assert (read.token is not None) == (read.status == 0)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "", "application/timestamp-reply"])
def test_another_media_type(asker: Asker, content_type: str) -> None:
    problem(asker.stamp(QUERY, content_type=content_type), 415, Reason.USAGE)


def test_a_media_type_with_parameters_and_case(asker: Asker) -> None:
    assert asker.stamp(QUERY, content_type="Application/Timestamp-Query; x=y").status == 200


def test_one_octet_too_many(asker: Asker) -> None:
    answer = asker.stamp(bytes(BODY_OCTETS_MAX + 1))
    problem(answer, 413, Reason.INPUT_TOO_LARGE)
    assert answer.headers["connection"] == "close"


def test_too_many_octets_without_an_announcement(asker: Asker) -> None:
    got = asker.pool.request("POST", f"http://127.0.0.1:{asker.port}/tsa", body=iter([bytes(1000)] * 5), chunked=True,
                             headers={"content-type": "application/timestamp-query"}, retries=False, timeout=30)
    assert (got.status, got.json()["reason"]) == (413, "input.too_large")


def test_chunks_are_one_request(asker: Asker) -> None:
    got = asker.pool.request("POST", f"http://127.0.0.1:{asker.port}/tsa", body=iter([QUERY[:9], QUERY[9:]]),
                             chunked=True, headers={"content-type": "application/timestamp-query"}, timeout=30)
    assert timestamp.parse_response(got.data).token is not None


@pytest.mark.parametrize("method, path, allow", [
    ("GET", "/tsa", "POST"), ("HEAD", "/tsa", "POST"), ("PUT", "/tsa", "POST"), ("OPTIONS", "/tsa", "POST"),
    ("POST", "/healthz", "GET, HEAD"), ("DELETE", "/certificates/otp@bank.example", "GET, HEAD"),
    ("POST", "/openapi.json", "GET, HEAD"), ("BREW", "/tsa", "POST")])
def test_other_methods(asker: Asker, method: str, path: str, allow: str) -> None:
    answer = asker.ask(path, method=method)
    assert (answer.status, answer.headers["allow"]) == (405, allow)
    if method != "HEAD":
        problem(answer, 405, Reason.USAGE)


@pytest.mark.parametrize("path", ["/healthz", "/openapi.json", "/certificates/otp@bank.example",
                                  "/certificates/nobody@bank.example"])
def test_head_is_get_without_a_body(asker: Asker, path: str) -> None:
    got, head = asker.ask(path), asker.ask(path, method="HEAD")
    assert (head.status, head.body) == (got.status, b"")
    assert {**head.headers, "date": ""} == {**got.headers, "date": ""}


@pytest.mark.parametrize("path", ["/", "/tsa/", "/docs", "/redoc", "/certificates", "/healthz/", "/..%2f..%2fetc"])
def test_nothing_else_is_there(asker: Asker, path: str) -> None:
    problem(asker.ask(path), 404, Reason.USAGE)


@pytest.mark.parametrize("path", ["/healthz", "/nothing", "/tsa", "/certificates/x@y"])
def test_every_answer_has_the_same_safe_headers_and_no_banner(asker: Asker, path: str) -> None:
    headers = asker.ask(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "server" not in headers
    assert "strict-transport-security" not in headers, "in clear it says nothing (RFC 6797 7.2)"
    assert not [value for value in headers.values() if "uvicorn" in value or "python" in value.lower()]


def certificate(answer: Answer) -> x509.Certificate:
    return x509.load_der_x509_certificate(answer.body)


def test_the_banks_own_certificate_in_every_form(asker: Asker) -> None:
    path = "/certificates/otp@bank.example"
    plain = asker.ask(path)
    assert (plain.status, plain.headers["content-type"]) == (200, "application/pem-certificate-chain")
    (pem,) = x509.load_pem_x509_certificates(plain.body)
    assert pem.public_bytes(pkcs7.serialization.Encoding.DER) == own("otp@bank.example")[0].der
    der = asker.ask(path, accept="application/pkix-cert")
    assert der.headers["content-type"] == "application/pkix-cert"
    assert certificate(der) == pem
    p7c = asker.ask(path, accept="application/pkcs7-mime")
    assert p7c.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
    assert pkcs7.load_der_pkcs7_certificates(p7c.body) == [pem]
    assert plain.headers["vary"] == "accept, authorization"


def test_several_certificates(asker: Asker) -> None:
    path = "/certificates/two@bank.example"
    assert len(x509.load_pem_x509_certificates(asker.ask(path).body)) == 2
    p7c = asker.ask(path, accept="application/pkix-cert")
    assert p7c.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
    assert len(pkcs7.load_der_pkcs7_certificates(p7c.body)) == 2


@pytest.mark.parametrize("accept, form", [
    ("*/*", "application/pem-certificate-chain"), ("application/*;q=0.1", "application/pem-certificate-chain"),
    ("text/html, application/pkix-cert;q=0.5, */*;q=0.1", "application/pkix-cert"),
    ("application/pkix-cert;q=0, */*;q=0.1", "application/pem-certificate-chain"),
    ("APPLICATION/PKIX-CERT", "application/pkix-cert"), ("application/pkix-cert;q=x, */*", "application/pem-"),
    ("application/pkix-cert" + ",a/b" * 5000, "application/pkix-cert")])
def test_what_is_liked_best_is_given(asker: Asker, accept: str, form: str) -> None:
    if len(accept) > 16_000:
        accept = accept[:8_000]
    answer = asker.ask("/certificates/otp@bank.example", accept=accept)
    assert answer.headers["content-type"].startswith(form)


@pytest.mark.parametrize("address", ["otp@bank.example", "nobody@bank.example"])
@pytest.mark.parametrize("accept", ["text/html", ",;,", "application/pkix-cert;q=0", "q=1"])
def test_a_form_that_is_not_to_be_had(asker: Asker, accept: str, address: str) -> None:
    problem(asker.ask(f"/certificates/{address}", accept=accept), 406, Reason.USAGE)


def test_an_address_that_nobody_has(asker: Asker) -> None:
    problem(asker.ask("/certificates/nobody@bank.example"), 404, Reason.CERTIFICATE_ABSENT)


@given(st.text(min_size=1, max_size=80))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_address_at_all(asker: Asker, address: str) -> None:
    from urllib.parse import quote
    answer = asker.ask(f"/certificates/{quote(address.encode('utf-8', 'replace'), safe='')}")
    assert answer.status == 404


def test_openapi(asker: Asker) -> None:
    described = json.loads(asker.ask("/openapi.json").body)
    assert described["openapi"].startswith("3.1")
    assert {path: sorted(operations) for path, operations in described["paths"].items()} == {
        "/tsa": ["post"], "/certificates/{address}": ["get"], "/healthz": ["get"], "/readyz": ["get"]}
    (query,) = described["paths"]["/tsa"]["post"]["requestBody"]["content"]
    assert query == "application/timestamp-query"
    for operations in described["paths"].values():
        for operation in operations.values():
            assert "422" not in operation["responses"]
            assert operation["responses"]["default"]["content"]["application/problem+json"]
    assert set(described["components"]["schemas"]) == {"Problem"}
    assert described["components"]["schemas"]["Problem"]["properties"]["reason"]["enum"] == list(Reason)


def test_health(asker: Asker) -> None:
    assert json.loads(asker.ask("/healthz").body) == {"status": "alive"}
    assert json.loads(asker.ask("/readyz").body) == {"status": "ready"}


def test_not_ready() -> None:
    def clock() -> None:
        raise GatewayError(Reason.STAMPER_CLOCK, "internal: /dev/secret is not synchronised", retry=True)

    with serving(Service(ready=clock)) as (asker, _):
        answer = asker.ask("/readyz")
        found = problem(answer, 503, Reason.STAMPER_CLOCK)
        assert int(answer.headers["retry-after"]) > 0
        assert "secret" not in str(found)
        assert asker.ask("/healthz").status == 200


def test_without_a_thread_a_request_may_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system is at its limit of tasks: that passes, and is no fault of this program or of the request."""
    start = threading.Thread.start

    def starts(thread: threading.Thread) -> None:
        if "AnyIO" in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    with serving(Service()) as (asker, _):
        with monkeypatch.context() as limit:
            limit.setattr(threading.Thread, "start", starts)
            answer = asker.ask("/readyz")
            problem(answer, 503, Reason.CLIENT_BUSY)
            assert int(answer.headers["retry-after"]) > 0
        assert asker.ask("/readyz").status == 200


def test_no_time_stamps_are_served() -> None:
    with serving(Service()) as (asker, _):
        problem(asker.stamp(QUERY), 404, Reason.USAGE)


def test_a_surprise_is_silent_outside_and_told_inside() -> None:
    def broken(query: bytes) -> bytes:
        raise RuntimeError("secret at /etc/shadow")

    with structlog.testing.capture_logs() as logs, serving(Service(respond=broken)) as (asker, _):
        answer = asker.stamp(QUERY)
    found = problem(answer, 500, Reason.INTERNAL)
    assert b"secret" not in answer.body
    (surprise,) = [line for line in logs if line["event"] == "internal.error"]
    assert surprise["incident"] == found["incident"]
    assert surprise["where"].startswith("RuntimeError at ")
    assert "secret" not in surprise["where"]
    assert [line["status"] for line in logs if line["event"] == "request"] == [500]


def test_one_line_for_each_request_without_query_or_fields() -> None:
    with structlog.testing.capture_logs() as logs, serving(Service(own=own)) as (asker, _):
        asker.ask("/certificates/otp@bank.example?token=s3cret", authorization="Bearer s3cret")
        asker.ask("/certificates/otp@bank.example?token=s3cret", cookie="s3cret")
        asker.ask("/nothing/" + "x" * 1000)
    lines = [line for line in logs if line["event"] == "request"]
    assert [(line["method"], line["status"]) for line in lines] == [("GET", 401), ("GET", 200), ("GET", 404)]
    assert all("s3cret" not in str(line) for line in logs)
    assert lines[1]["path"] == "/certificates/otp@bank.example"
    assert len(lines[2]["path"]) < 500
    assert len({line["incident"] for line in lines}) == 3


def test_the_rate_of_one_client() -> None:
    with serving(Service(respond=unit().respond, requests_per_minute_max=3)) as (asker, _):
        answers = [asker.ask("/healthz") for _ in range(5)]
    assert [one.status for one in answers] == [200, 200, 200, 429, 429]
    problem(answers[3], 429, Reason.CLIENT_RATE_EXCEEDED)
    assert int(answers[3].headers["retry-after"]) > 0


@pytest.mark.parametrize("peer, key", [
    ("192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
    ("2001:db8:1:2:ffff::9", "2001:db8:1:2::/64"),
    ("::ffff:192.0.2.1", "192.0.2.1"), ("fe80::1%eth0", "fe80::/64"), ("", "")])
def test_who_counts_as_one_client(peer: str, key: str) -> None:
    assert client_key(peer) == key


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_problem(reason: Reason) -> None:
    for retry in (False, True):
        found = of_reason(reason, retry=retry)
        assert found.status in TITLES
        assert found.status == STATUSES.get(reason, 503 if retry else 500)
        assert json.loads(found.octets("x"))["title"]
    assert of_reason(reason).status != 500 or of_reason(reason).reason is Reason.INTERNAL
