"""Is somebody a customer of this bank? One certificate found would tell. Nobody but a partner may learn it.

The attacker asks the running service (`sealgate http`, with its store) for the address of a customer and for one that
nobody has, and compares everything that he can see: status, header fields, body, length, time, what HEAD and other
methods and forms say, what many questions do to the rate limit, and what guessed tokens are answered.
"""

import json
import re
import secrets
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.demo.bank import Bank
from tests.support.command_server import prefix
from tests.support.http_service import ROOT, Answer, Asker, Process, add_http, asking, process
from tests.support.process import new_bank

CUSTOMER, UNKNOWN = "anna@customer.example", "alma@customer.example"
OWN = "otp@bank.example"


def new_token(bank: Bank) -> str:
    made = subprocess.run([*prefix(), "--config", bank.config, "http", "token", "payments"],
                          cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return made.stdout.strip()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, str]]:
    bank = new_bank(tmp_path_factory.mktemp("oracle") / "bank")
    add_http(bank, "  port: 0\n  requests_per_minute_max: 0\n"
                   "  partners: [{name: payments, token_file: partners/payments.token}]")
    token = new_token(bank)
    with process(bank) as started:
        yield started, token


@pytest.fixture
def asker(running: tuple[Process, str]) -> Iterator[Asker]:
    with asking(running[0].port) as one:
        yield one


def seen(answer: Answer) -> tuple[int, list[tuple[str, str]], str, int]:
    """All that an attacker sees, but what differs between any two answers: the date and the incident."""
    body = re.sub(rb'"incident": "[0-9a-f]{16}"', b"", answer.body)
    headers = sorted((name, value) for name, value in answer.headers.items() if name != "date")
    return answer.status, headers, body.decode(), len(answer.body)


def test_a_partner_does_learn_it(running: tuple[Process, str], asker: Asker) -> None:
    """Or the comparisons below would compare nothing."""
    field = f"Bearer {running[1]}"
    assert asker.ask(f"/certificates/{CUSTOMER}", authorization=field).status == 200
    assert asker.ask(f"/certificates/{UNKNOWN}", authorization=field).status == 404
    told = [json.loads(line) for line in running[0].told.splitlines() if "certificate.looked_up" in line]
    assert {(line["partner"], line["address"], line["answer"]) for line in told} >= {
        ("payments", CUSTOMER, "found"), ("payments", UNKNOWN, "absent")}
    assert running[1] not in running[0].told


VARIANTS: list[tuple[str, dict[str, str]]] = [
    ("GET", {}), ("HEAD", {}), ("POST", {}), ("PUT", {}), ("OPTIONS", {}), ("DELETE", {}),
    ("GET", {"accept": "application/pkix-cert"}), ("GET", {"accept": "application/pkcs7-mime"}),
    ("GET", {"accept": "text/html"}), ("GET", {"authorization": ""}), ("GET", {"authorization": "Bearer guessed"}),
    ("GET", {"authorization": "Basic YTpi"}), ("GET", {"if_none_match": "*"}), ("GET", {"range": "bytes=0-10"}),
    ("GET", {"x_forwarded_for": "127.0.0.1"}), ("GET", {"connection": "close"}), ("HEAD", {"accept": "*/*;q=0.1"})]


@pytest.mark.parametrize("method, fields", VARIANTS, ids=[f"{method} {fields}" for method, fields in VARIANTS])
def test_a_stranger_sees_no_difference(asker: Asker, method: str, fields: dict[str, str]) -> None:
    answers = [asker.ask(f"/certificates/{address}", method=method, **fields) for address in (CUSTOMER, UNKNOWN)]
    assert seen(answers[0]) == seen(answers[1])
    assert answers[0].status != 200


@pytest.mark.parametrize("spelling", [
    str.upper, lambda text: quote(text, safe=""), lambda text: f"{text}%20", lambda text: f"%22{text}%22",
    lambda text: f"{text}/", lambda text: f"{text}?x=1", lambda text: f"{text}%00", lambda text: f"<{text}>",
    lambda text: f"mailto:{text}", lambda text: f"./{text}", lambda text: f"{text};{OWN}",
    lambda text: f"{OWN},{text}"])
def test_no_spelling_helps(asker: Asker, spelling: object) -> None:
    assert callable(spelling)
    answers = [asker.ask(f"/certificates/{spelling(address)}") for address in (CUSTOMER, UNKNOWN)]
    assert seen(answers[0]) == seen(answers[1])
    assert answers[0].status in (400, 404)


def test_time_tells_nothing_for_the_store_is_not_asked(running: tuple[Process, str], asker: Asker) -> None:
    """In turns, so that both suffer the same noise. A partner's look-up costs far more than the bound."""
    for address in (CUSTOMER, UNKNOWN):
        asker.ask(f"/certificates/{address}")
    took: dict[str, list[float]] = {CUSTOMER: [], UNKNOWN: []}
    for _ in range(150):
        for address, times in took.items():
            began = time.perf_counter()
            asker.ask(f"/certificates/{address}")
            times.append(time.perf_counter() - began)
    medians = {address: statistics.median(times) for address, times in took.items()}
    ratio = medians[CUSTOMER] / medians[UNKNOWN]
    assert 0.5 < ratio < 2, medians


def test_a_stranger_is_answered_alike_without_any_store(tmp_path: Path) -> None:
    """The proof of the above: no look-up of a stranger's reaches the database, for it still answers without one."""
    bank = new_bank(tmp_path / "bank")
    add_http(bank, "  port: 0\n  partners: [{name: payments, token_file: partners/payments.token}]")
    token = new_token(bank)
    with process(bank) as started, asking(started.port) as asker:
        database = bank.home / "sealgate.db"
        assert asker.ask(f"/certificates/{CUSTOMER}", authorization=f"Bearer {token}").status == 200
        database.write_bytes(b"no database at all" * 1000)
        for path in bank.home.glob("sealgate.db-???"):
            path.unlink()
        answers = [asker.ask(f"/certificates/{address}") for address in (CUSTOMER, UNKNOWN)]
        assert seen(answers[0]) == seen(answers[1])
        assert answers[0].status == 404


def test_what_a_stranger_asked_is_in_the_log_alike(running: tuple[Process, str], asker: Asker) -> None:
    time.sleep(0.2)  # lines of earlier requests
    before = len(running[0].told)
    for address in (CUSTOMER, UNKNOWN):
        asker.ask(f"/certificates/{address}")
    end = time.monotonic() + 20
    while running[0].told[before:].count("\n") < 2:  # the line comes behind the answer
        assert time.monotonic() < end
        time.sleep(0.02)
    lines = [json.loads(line) for line in running[0].told[before:].splitlines()]
    assert [line["event"] for line in lines] == ["request", "request"]
    assert [line["path"] for line in lines] == [f"/certificates/{CUSTOMER}", f"/certificates/{UNKNOWN}"]


def test_guessing_tokens_is_slow_and_its_limit_is_the_same_for_both(tmp_path: Path) -> None:
    """Whatever is asked costs one of the client's requests: right or wrong, customer or not, a token or none."""
    bank = new_bank(tmp_path / "bank")
    add_http(bank, "  port: 0\n  requests_per_minute_max: 20\n"
                   "  partners: [{name: payments, token_file: partners/payments.token}]")
    token = new_token(bank)
    with process(bank) as started, asking(started.port) as asker:
        answers = [asker.ask(f"/certificates/{(CUSTOMER, UNKNOWN)[number % 2]}",
                             authorization=f"Bearer {secrets.token_urlsafe(32)}") for number in range(30)]
        statuses = [answer.status for answer in answers]
        assert statuses[:20] == [401] * 20
        assert statuses.count(429) >= 9
        refused = [answer for answer in answers if answer.status == 429]
        assert len({str(seen(answer)) for answer in refused}) == 1
        right = asker.ask(f"/certificates/{CUSTOMER}", authorization=f"Bearer {token}")
        assert right.status == 429, "or whoever guesses would learn it beyond the limit"


def test_errors_of_the_wire_tell_nothing_either(running: tuple[Process, str]) -> None:
    """Requests that h11 cannot read: the same problem document, without a trace of what was sent."""
    def raw(octets: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", running[0].port), timeout=10) as sock:
            sock.sendall(octets)
            answer = b""
            while more := sock.recv(65536):
                answer += more
            return re.sub(rb'"incident": "[0-9a-f]{16}"|date: [^\r]*', b"", answer)

    answers = {raw(b"GET /certificates/%s HTTP/1.1\r\nHost : x\r\n\r\n" % address.encode())
               for address in (CUSTOMER, UNKNOWN)}
    (answer,) = answers
    assert answer.startswith(b"HTTP/1.1 400 Bad Request")
    assert b"application/problem+json" in answer
    assert b"customer.example" not in answer
