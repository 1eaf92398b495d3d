"""A time-stamping service over HTTP: what is believed of it, and what its troubles cost.

Truth: RFC 3161 2.2 and 2.4.2; tokens of `openssl ts -reply` and of the embedded service, over real sockets.
"""

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.adapters.web.client import Web
from gateway.adapters.web.stamper import FAILURES_MAX, PAUSE_S, HttpStamper
from gateway.app.stampers import external
from gateway.authority.tsa import EmbeddedTsa
from gateway.clock import Clock, FrozenClock, SystemClock
from gateway.cms import timestamp
from gateway.cms.timestamp import Failure, parse_token
from gateway.errors import GatewayError, Reason
from gateway.pki.revocation.verdict import Revocation
from gateway.pki.timestamps import judge_token
from gateway.pki.trust import TrustSet, anchors_of
from gateway.settings import HttpStamperSettings, findings, load
from tests.support.peer_openssl import OpenSsl
from tests.support.pki import KeyRing, get_pki
from tests.support.tsa_server import Answering, Served, openssl_tsa, tsa_server

DIGEST = hashlib.sha256(b"a signature").digest()
POLICY = "1.3.6.1.4.1.99999.7"


def unit(*, clock: Clock | None = None, which: int = 0) -> EmbeddedTsa:
    person = get_pki().stamper(which=which)
    return EmbeddedTsa("theirs", KeyRing(tsa=(person, "stamp")), "tsa", person.certificate, person.chain,
                       policy_oid=POLICY, accuracy_ms=500, clock=clock or SystemClock(), clock_check="none")


def believing(kind: Any = "qualified") -> TrustSet:
    return TrustSet(stampers=anchors_of((get_pki().tsa_root_certificate,), kind))


@contextmanager
def stamper(url: str, *, trust: TrustSet | None = None, clock: Clock | None = None, **options: Any,
            ) -> Iterator[HttpStamper]:
    clock, trust = clock or SystemClock(), trust or believing()
    one = HttpStamper("theirs", Web(schemes=frozenset({"http"}), networks=("127.0.0.0/8",), connections_max=8), url,
                      lambda token: judge_token(token, None, clock.now(), trust, Revocation()), clock, **options)
    try:
        yield one
    finally:
        one.close()


@contextmanager
def served(answer: Answering, **options: Any) -> Iterator[tuple[HttpStamper, Served]]:
    with tsa_server(answer) as server, stamper(server.url, **options) as one:
        yield one, server


def refused(one: HttpStamper) -> str:
    with pytest.raises(GatewayError) as caught:
        one.stamp(DIGEST, "sha256")
    assert (caught.value.reason, caught.value.retry) == (Reason.STAMPER_UNAVAILABLE, True)
    return caught.value.detail


@pytest.mark.parametrize("kind", ["internal", "external", "qualified"])
def test_a_token_of_openssl_is_believed_as_what_its_anchor_says(kind: str) -> None:
    with served(openssl_tsa(get_pki().stamper()), trust=believing(kind)) as (one, server):
        token = one.stamp(DIGEST, "sha256")
        assert one.trust == kind
        assert server.accepts == ["application/timestamp-reply"]
    OpenSsl().check_token(token, DIGEST, get_pki())
    asked = timestamp.parse_request(server.asked[0])
    assert (asked.imprint, asked.cert_req, asked.policy) == (DIGEST, True, None)
    assert parse_token(token).nonce == asked.nonce


def test_nonces_differ_and_have_64_bits() -> None:
    with served(unit().respond) as (one, server):
        for _ in range(8):
            one.stamp(DIGEST, "sha256")
    nonces = [timestamp.parse_request(request).nonce or 0 for request in server.asked]
    assert len(set(nonces)) == 8
    assert max(nonces).bit_length() > 56
    assert max(nonces).bit_length() <= 64


def test_the_policy_is_asked_for_and_must_be_the_tokens() -> None:
    with served(unit().respond, policy_oid=POLICY) as (one, server):
        assert parse_token(one.stamp(DIGEST, "sha256")).policy == POLICY
        assert timestamp.parse_request(server.asked[0]).policy == POLICY

    def of_another(request: bytes) -> bytes:
        """A service that ignores what policy was asked for."""
        read = timestamp.parse_request(request)
        return unit().respond(timestamp.build_request(read.imprint, read.digest_name, nonce=read.nonce))

    with served(of_another, policy_oid="1.2.3.4") as (one, _):
        assert POLICY in refused(one)


def another(**changes: Any) -> Answering:
    """A service that answers another request than the one it got."""
    def answer(request: bytes) -> bytes:
        read = timestamp.parse_request(request)
        values = {"imprint": read.imprint, "digest_name": read.digest_name, "nonce": read.nonce} | changes
        return unit().respond(timestamp.build_request(values["imprint"], values["digest_name"], nonce=values["nonce"]))
    return answer


def altered(request: bytes) -> bytes:
    octets = bytearray(unit().respond(request))
    octets[-1] ^= 1
    return bytes(octets)


@pytest.mark.parametrize("answer, told", [
    (another(imprint=hashlib.sha256(b"another").digest()), "other octets"),
    (another(imprint=hashlib.sha512(b"a signature").digest(), digest_name="sha512"), "other octets"),
    (another(nonce=7), "another request"), (another(nonce=None), "another request"),
    (lambda _: unit().respond(OpenSsl().stamp_request(b"x")), "other octets"),
    (altered, "timestamp.altered"),
    (lambda _: b"", "timestamp.malformed"), (lambda _: b"<html>not here</html>", "timestamp.malformed"),
    (lambda _: b"\x30\x80" * 50_000, "timestamp.malformed"),
    (lambda _: bytes(300_000), "fetch.too_large"),
    (unit(clock=FrozenClock(SystemClock().now() - timedelta(minutes=6))).respond, "is not ours"),
    (unit(clock=FrozenClock(SystemClock().now() + timedelta(hours=2))).respond, "is not ours"),
], ids=["imprint", "digest", "nonce", "no nonce", "replayed", "altered", "empty", "a page", "nested", "too large",
        "past", "future"])
def test_what_is_not_the_token_that_was_asked_for(answer: Answering, told: str) -> None:
    with served(answer) as (one, _):
        assert told in refused(one)


def test_a_token_that_no_anchor_carries_is_not_used() -> None:
    other = TrustSet(stampers=anchors_of((get_pki("Other").tsa_root_certificate,), "qualified"))
    with served(unit().respond, trust=other) as (one, _):
        assert "not trusted" in refused(one)


def test_roots_for_mail_do_not_make_a_stamper_believable() -> None:
    root = get_pki().tsa_root_certificate
    wrong = TrustSet(signers=anchors_of((root,)), stampers=anchors_of((get_pki("Other").tsa_root_certificate,)))
    with served(unit().respond, trust=wrong) as (one, _):
        assert "not trusted" in refused(one)


@pytest.mark.parametrize("failure", list(Failure))
def test_a_rejection_is_told_by_its_name(failure: Failure) -> None:
    words = "no more\x1b[31m for today"
    with structlog.testing.capture_logs() as logs, served(
            lambda _: timestamp.build_rejection(failure, words)) as (one, _):
        detail = refused(one)
    assert failure.name.lower() in detail
    assert "no more [31m for today" in detail
    assert [line["detail"] for line in logs if line["event"] == "stamper.failed"] == [detail]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503])
def test_other_answers_of_http(status: int) -> None:
    with served(lambda _: b"") as (one, server):
        server.status = status
        assert str(status) in refused(one)


def test_a_service_that_is_not_there() -> None:
    with tsa_server(unit().respond) as gone:
        pass
    with stamper(gone.url, deadline_s=2.0) as one:
        assert "fetch.unavailable" in refused(one)


def test_the_deadline_covers_the_whole_round_trip() -> None:
    hanging = Served()
    with tsa_server(hanging.hang, hanging), stamper(hanging.url, deadline_s=0.4) as one:
        began = time.monotonic()
        assert "in time" in refused(one)
        assert 0.3 < time.monotonic() - began < 5
        hanging.release.set()


def test_a_dead_service_costs_nothing_after_three_failures_and_is_tried_again_by_one() -> None:
    moment = [1000.0]
    state = {"alive": False}
    good = unit()

    def answer(request: bytes) -> bytes:
        return good.respond(request) if state["alive"] else b""

    with served(answer, now=lambda: moment[0]) as (one, server):
        for _ in range(FAILURES_MAX):
            refused(one)
        for _ in range(5):
            assert "not asked" in refused(one)
        assert len(server.asked) == FAILURES_MAX
        moment[0] += PAUSE_S - 0.1
        assert "not asked" in refused(one)
        moment[0] += 0.2
        assert "malformed" in refused(one), "the one that tries"
        assert "not asked" in refused(one), "the next pause has begun"
        assert len(server.asked) == FAILURES_MAX + 1
        moment[0] += PAUSE_S + 0.1
        state["alive"] = True
        for _ in range(3):
            assert one.stamp(DIGEST, "sha256")
        state["alive"] = False
        refused(one)
        assert "malformed" in refused(one), "failures count in a row only"


def test_after_a_pause_only_one_waits_for_it() -> None:
    moment = [1000.0]
    hanging = Served()
    with tsa_server(hanging.hang, hanging), stamper(hanging.url, deadline_s=0.2, now=lambda: moment[0]) as one:
        for _ in range(FAILURES_MAX):
            refused(one)
        moment[0] += PAUSE_S + 1
        told: list[str] = []
        threads = [threading.Thread(target=lambda: told.append(refused(one))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted("in time" in text for text in told) == [False, False, False, True]
        hanging.release.set()


def test_a_full_service_is_told_at_once() -> None:
    hanging = Served()
    with tsa_server(hanging.hang, hanging), stamper(hanging.url, deadline_s=20.0, in_flight_max=2) as one:
        told: list[str] = []
        threads = [threading.Thread(target=lambda: told.append(refused(one))) for _ in range(2)]
        for thread in threads:
            thread.start()
        while len(hanging.asked) < 2:
            time.sleep(0.01)
        began = time.monotonic()
        for _ in range(20):
            assert "under way" in refused(one)
        assert time.monotonic() - began < 2
        hanging.release.set()
        for thread in threads:
            thread.join()
        assert len(hanging.asked) == 2
        assert len(told) == 2


def settings(url: str, **more: Any) -> HttpStamperSettings:
    return HttpStamperSettings.model_validate(
        {"name": "theirs", "kind": "http", "url": url, "networks": ["127.0.0.0/8"], **more})


def test_composed_from_the_settings_with_basic_credentials(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3cret\nsecond line\n")
    secret.chmod(0o600)
    with ExitStack() as stack:
        server = stack.enter_context(tsa_server(unit().respond))
        one = external(settings(server.url, username="bank", password_file=secret), SystemClock(), believing(),
                       Revocation())
        stack.callback(one.close)
        assert one.trust == "qualified"
        assert one.stamp(DIGEST, "sha256")
    assert server.authorizations == ["Basic YmFuazpzM2NyZXQ="]


def test_a_private_network_must_be_named() -> None:
    with tsa_server(unit().respond) as server:
        one = external(settings(server.url, networks=[]), SystemClock(), believing(), Revocation())
        assert "fetch.refused" in refused(one)
        one.close()
    assert server.asked == []


def test_without_anchors_nothing_could_be_believed() -> None:
    with pytest.raises(GatewayError) as caught:
        external(settings("https://tsa.example/"), SystemClock(), TrustSet(), Revocation())
    assert caught.value.reason is Reason.CONFIG_INVALID


def test_a_password_that_others_may_read_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3cret")
    secret.chmod(0o644)
    with pytest.raises(GatewayError) as caught:
        external(settings("https://tsa.example/", username="bank", password_file=secret), SystemClock(), believing(),
                 Revocation())
    assert caught.value.reason is Reason.KEY_UNAVAILABLE


@pytest.mark.parametrize("in_flight, told", [(15, False), (16, True), (17, True)])
def test_slow_services_may_never_hold_every_worker(in_flight: int, told: bool) -> None:
    ours = load(Path(__file__).parents[3] / "conf" / "sealgate.yaml")
    slow = settings("https://tsa.example/", in_flight_max=in_flight)
    changed = ours.model_copy(update={"stampers": (*ours.stampers, slow)})
    assert changed.limits.workers_max == 16
    assert [where for where, *_ in findings(changed)] == ([("stampers",)] if told else [])
