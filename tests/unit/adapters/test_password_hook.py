"""Where passwords are handed over: real programs and a real HTTP server. Truth: docs/fallbacks.md.

Not a word of what a hook answers, and no password, is in what is told of it.
"""

import hashlib
import hmac
import json
import os
import threading
import time
from pathlib import Path

import pytest

from gateway.adapters.web.password_hook import IN_FLIGHT_MAX, HttpHook, ProgramHook, packed
from gateway.clock import FrozenClock
from gateway.errors import GatewayError, Reason
from gateway.ports.services.passwords import Handover
from tests.support.pki import NOW
from tests.support.web import WebServer, reply

SECRET = b"s" * 32
HANDOVER = Handover("k1", "ben@nowhere.example", "4711", "abcd2345abcd2345", "Bänk <otp@bank.example>",
                    "<1@bank.example>", "de")


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return path


def not_handed_over(hook: HttpHook | ProgramHook) -> str:
    with pytest.raises(GatewayError) as caught:
        hook.hand_over(HANDOVER)
    assert (caught.value.reason, caught.value.retry) == (Reason.PASSWORD_NOT_HANDED_OVER, True)
    told = f"{caught.value!r} {caught.value.detail} {caught.value.__cause__!r}"
    assert HANDOVER.password not in told
    return told


def test_a_handover_does_not_show_its_password() -> None:
    assert HANDOVER.password not in repr(HANDOVER)


def test_a_program_has_it_on_standard_input_and_nowhere_else(tmp_path: Path) -> None:
    """Arguments and environment of a process can be read by others."""
    out = tmp_path / "out"
    hook = program(tmp_path / "hook", f"cat > {out}; tr '\\0' ' ' < /proc/$$/cmdline >> {out}.args; env >> {out}.args")
    os.environ["SEALGATE_TEST_SECRET"] = "of the gateway's own"
    try:
        ProgramHook(hook, 10).hand_over(HANDOVER)
    finally:
        del os.environ["SEALGATE_TEST_SECRET"]
    assert json.loads(out.read_bytes()) == {
        "event": "pdf.password", "key": "k1", "recipient": "ben@nowhere.example", "customer": "4711",
        "password": "abcd2345abcd2345", "from": "Bänk <otp@bank.example>", "message_id": "<1@bank.example>",
        "language": "de"}
    around = Path(f"{out}.args").read_text()
    assert "hook" in around, "the look there sees something"
    assert HANDOVER.password not in around
    assert "SEALGATE_TEST_SECRET" not in around


@pytest.mark.parametrize("text", ["cat >/dev/null; exit 1", "exit 75", "cat; cat >&2; exit 3", "kill -9 $$",
                                  "exec <&-; exit 1"])
def test_a_program_that_fails_has_not_handed_it_over(tmp_path: Path, text: str,
                                                     capfd: pytest.CaptureFixture[str]) -> None:
    not_handed_over(ProgramHook(program(tmp_path / "hook", text), 10))
    told = capfd.readouterr()
    assert HANDOVER.password not in told.out + told.err


def test_a_program_that_does_not_end_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    child = tmp_path / "child"
    hook = ProgramHook(program(tmp_path / "hook", f"sleep 60 & echo $! > {child}; wait"), 1)
    began = time.monotonic()
    assert "took more than 1 s" in not_handed_over(hook)
    assert time.monotonic() - began < 20
    pid = int(child.read_text())
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "State:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < end, "what it started lives on"
        time.sleep(0.02)


@pytest.mark.parametrize("mode", [None, 0o600])
def test_a_program_that_cannot_be_run_is_told(tmp_path: Path, mode: int | None) -> None:
    path = tmp_path / "hook"
    if mode is not None:
        path.write_text("no program")
        path.chmod(mode)
    assert str(path) in not_handed_over(ProgramHook(path, 10))


def test_http_is_signed_and_names_its_key() -> None:
    """The receiver's side written anew, as docs/fallbacks.md tells it."""
    with WebServer({"/p": reply(b"", "204 No Content")}) as server:
        hook = HttpHook(server.url("/p"), SECRET, FrozenClock(NOW), 10)
        hook.hand_over(HANDOVER)
        hook.close()
    (request,) = server.requests
    assert (request.method, request.headers["content-type"]) == ("POST", "application/json")
    assert request.headers["idempotency-key"] == "k1"
    fields = dict(part.split("=") for part in request.headers["sealgate-signature"].split(","))
    assert int(fields["t"]) == int(NOW.timestamp())
    assert fields["v1"] == hmac.new(SECRET, f"{fields['t']}.".encode() + request.body, hashlib.sha256).hexdigest()
    assert request.body == packed(HANDOVER)
    assert HANDOVER.password not in request.path + str(request.headers)


@pytest.mark.parametrize("status", ["500 Oops", "503 Later", "404 Not Found", "400 Bad", "302 Found", "101 Other"])
def test_what_is_not_2xx_is_no(status: str) -> None:
    with WebServer({"/p": reply(packed(HANDOVER), status, location="/elsewhere")}) as server:
        hook = HttpHook(server.url("/p"), SECRET, FrozenClock(NOW), 3)
        not_handed_over(hook)
        hook.close()
    assert {request.path for request in server.requests} == {"/p"}, "it goes nowhere else"


def test_a_server_that_is_not_there_is_no() -> None:
    with WebServer() as server:
        url = server.url("/p")
    not_handed_over(HttpHook(url, SECRET, FrozenClock(NOW), 3))


def test_a_slow_hook_holds_up_so_many_mails_and_no_more(tmp_path: Path) -> None:
    gate, began = tmp_path / "gate", tmp_path / "began"
    hook = ProgramHook(program(
        tmp_path / "hook", f"cat > /dev/null; echo >> {began}; while [ ! -e {gate} ]; do sleep 0.05; done"), 60)
    threads = [threading.Thread(target=hook.hand_over, args=(HANDOVER,)) for _ in range(IN_FLIGHT_MAX)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 30
    while not began.exists() or len(began.read_bytes()) < IN_FLIGHT_MAX:
        assert time.monotonic() < end
        time.sleep(0.01)
    at = time.monotonic()
    assert "already" in not_handed_over(hook)
    assert time.monotonic() - at < 5
    gate.touch()
    for thread in threads:
        thread.join(30)
    hook.hand_over(HANDOVER)
