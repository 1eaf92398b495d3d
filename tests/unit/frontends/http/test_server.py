"""The listener against clients that are slow, many or broken, and its end. Real sockets.

Truth: what a client sees of its connection. Times are upper bounds with much room.
"""

import contextlib
import json
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from gateway.errors import GatewayError, Reason
from gateway.frontends.http import server as module
from gateway.frontends.http.connection import HEAD_OCTETS_MAX, Doorway
from gateway.frontends.http.server import HttpServer, tls_context
from gateway.frontends.http.service import Current, Service
from gateway.frontends.limits import Admission, Connections
from gateway.settings import Http
from tests.support.http_service import asking, serving
from tests.support.tls import make_tls

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /tsa HTTP/1.1\r\nHost: x\r\nContent-Type: application/timestamp-query\r\nContent-Length: 100\r\n\r\n"


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def rest(sock: socket.socket) -> bytes:
    """All until the end of the connection, however it ends."""
    octets = b""
    with contextlib.suppress(ConnectionError):
        while more := sock.recv(65536):
            octets += more
    return octets


def listens(port: int) -> bool:
    try:
        connect(port).close()
    except OSError:
        return False
    return True


def whole(sock: socket.socket) -> bytes:
    """One answer to GET."""
    octets = b""
    while not octets.endswith(b'{"status":"alive"}'):
        more = sock.recv(65536)
        assert more, octets
        octets += more
    return octets


def drip(sock: socket.socket, octets: bytes, every_s: float = 0.1) -> bool:
    """An octet at a time; whether all could be sent."""
    try:
        for octet in octets:
            sock.sendall(bytes((octet,)))
            time.sleep(every_s)
    except ConnectionError:
        return False
    return True


@pytest.mark.parametrize("beginning", [b"", b"G", GET[:20], POST, POST + b"\x30"],
                         ids=["nothing", "an octet", "half a head", "no body", "half a body"])
def test_a_request_that_does_not_come_ends(beginning: bytes) -> None:
    with serving(Service(respond=lambda _: b""), deadline_s=0.4) as (asker, _), connect(asker.port) as sock:
        sock.sendall(beginning)
        began = time.monotonic()
        assert rest(sock) == b""
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("octets", [GET[:-2] + b"X-A: " + b"a" * 200, POST + bytes(99)], ids=["head", "body"])
def test_an_octet_now_and_then_does_not_prolong_it(octets: bytes) -> None:
    with serving(Service(respond=lambda _: b""), deadline_s=0.5) as (asker, _), connect(asker.port) as sock:
        began = time.monotonic()
        assert not drip(sock, octets)
        assert time.monotonic() - began < 10


def test_after_an_answer_the_next_request_has_its_own_deadline() -> None:
    with serving(Service(), deadline_s=0.5) as (asker, _), connect(asker.port) as sock:
        for _ in range(4):
            sock.sendall(GET)
            assert whole(sock).startswith(b"HTTP/1.1 200")
            time.sleep(0.3)
        sock.sendall(GET[:10])
        assert rest(sock) == b""


def test_an_endless_body_behind_an_answer_ends_too() -> None:
    """The answer is given before the body has come: what still comes does not keep the connection."""
    head = b"POST /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving(Service(), deadline_s=0.6) as (asker, _), connect(asker.port) as sock:
        sock.sendall(head)
        assert sock.recv(65536).startswith(b"HTTP/1.1 404")
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 20:
                sock.sendall(b"1\r\nx\r\n")
                time.sleep(0.05)
        assert time.monotonic() - began < 10


def test_requests_in_one_packet_are_answered_in_order() -> None:
    with serving(Service(), deadline_s=5.0) as (asker, _), connect(asker.port) as sock:
        sock.sendall(GET * 3 + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert rest(sock).count(b'{"status":"alive"}') == 4


def test_slow_ones_do_not_stop_others() -> None:
    with serving(Service(), deadline_s=20.0, requests_per_minute_max=0) as (asker, _), contextlib.ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(connect(asker.port)).sendall(GET[:-1])
        assert [asker.ask("/healthz").status for _ in range(10)] == [200] * 10


def test_one_peer_has_only_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTIONS_PER_PEER_MAX", 3)
    with serving(Service()) as (asker, _), contextlib.ExitStack() as stack:
        kept = [stack.enter_context(connect(asker.port)) for _ in range(3)]
        for one in kept:
            one.sendall(GET)
            assert whole(one).startswith(b"HTTP/1.1 200")
        with connect(asker.port) as fourth:
            fourth.sendall(GET)
            answer = rest(fourth)
            assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert b"\r\nretry-after: 5\r\n" in answer
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["reason"] == "client.busy"
        kept[0].close()
        end = time.monotonic() + 10
        while True:
            with connect(asker.port) as again, contextlib.suppress(ConnectionError):
                again.sendall(GET)
                if again.recv(65536).startswith(b"HTTP/1.1 200"):
                    break
            assert time.monotonic() < end


def test_strangers_have_a_share_and_who_is_known_the_rest() -> None:
    """Attack of a trial: four addresses without a token, with 64 silent connections each, stopped the whole API."""
    alive = Admission(Connections(8, 8), Connections(4, 2))
    doorway = Doorway(alive, lambda peer: peer == "10.0.0.1")
    places = [doorway.enter(peer) for peer in ("a", "a", "a", "b", "b", "c")]
    assert [place is not None for place in places] == [True, True, False, True, True, False]
    assert doorway.enter("10.0.0.1") is not None
    doorway.identified("c")  # it has shown a right token on another connection
    assert doorway.enter("c") is not None
    first = places[0]
    assert first is not None
    first.identified()
    first.identified()
    assert doorway.enter("d") is not None
    for place in places[1:]:
        if place is not None:
            place.leave()
    first.leave()
    assert (alive.strangers.now, alive.everyone.now) == (1, 3)


def test_an_address_that_showed_a_token_is_known_for_an_hour() -> None:
    at = [0.0]
    doorway = Doorway(Admission(Connections(8, 8), Connections(1, 1)), now=lambda: at[0])
    doorway.identified("a")
    assert doorway.enter("stranger") is not None
    at[0] = 3599.0
    assert doorway.enter("a") is not None
    at[0] = 3601.0
    assert doorway.enter("a") is None


@pytest.mark.parametrize("beginning", [b"", GET[:20], POST, POST + b"0"],
                         ids=["nothing", "half a head", "no body", "half a body"])
def test_a_request_arrives_in_seconds_whatever_its_answer_may_take(monkeypatch: pytest.MonkeyPatch,
                                                                   beginning: bytes) -> None:
    """256 silent connections held the API for the 90 s that a code may take. An answer still has its whole time."""
    monkeypatch.setattr("gateway.frontends.http.connection.HEAD_S", 0.3)
    monkeypatch.setattr("gateway.frontends.http.connection.BODY_S", 0.3)

    def slow(_: bytes) -> bytes:
        time.sleep(1)
        return b"late"

    with serving(Service(respond=slow), deadline_s=300) as (asker, _), connect(asker.port) as sock:
        sock.sendall(beginning)
        assert rest(sock) == b""
        assert asker.stamp(b"x").status == 200


@pytest.mark.parametrize("octets", [
    b"\x16\x03\x01\x00\xff\x01\x00", b"GET\r\n\r\n", b"\0\0\0\0\r\n\r\n", b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/x\r\nHost: x\r\n\r\n",
    b"POST /tsa HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"POST /tsa HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /tsa HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (HEAD_OCTETS_MAX + 65536)])
def test_what_is_no_http_is_answered_with_a_problem_and_the_end(octets: bytes) -> None:
    with serving(Service()) as (asker, _), connect(asker.port) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(octets)
        answer = rest(sock)
    assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 501", b""), answer
    if answer:
        assert b"application/problem+json" in answer
        assert b"h11" not in answer


def test_both_lengths_are_no_smuggling() -> None:
    """RFC 9112 6.3: Transfer-Encoding and Content-Length together; what follows is no second request."""
    octets = (b"POST /tsa HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
              b"Content-Type: application/timestamp-query\r\nConnection: close\r\n\r\n0\r\n\r\n" + GET)
    with serving(Service(respond=lambda _: b"")) as (asker, _), connect(asker.port) as sock:
        sock.sendall(octets)
        assert rest(sock).count(b"HTTP/1.1") == 1


def test_a_request_under_way_is_finished_at_the_end() -> None:
    entered, go = threading.Event(), threading.Event()

    def slow(query: bytes) -> bytes:
        entered.set()
        assert go.wait(20)
        return b"done"

    with serving(Service(respond=slow)) as (asker, server), connect(asker.port) as sock, connect(asker.port) as idle:
        idle.sendall(GET)
        assert whole(idle).startswith(b"HTTP/1.1 200")
        sock.sendall(POST + bytes(100))
        assert entered.wait(20)
        server.end()
        assert rest(idle) == b"", "who idles is sent home at once"
        end = time.monotonic() + 20
        while listens(asker.port):
            assert time.monotonic() < end
            time.sleep(0.02)
        go.set()
        assert rest(sock).endswith(b"\r\n\r\ndone")


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = HttpServer(Http(port=taken.getsockname()[1]), Current(Service()))
        with pytest.raises(GatewayError) as caught:
            server.run_until_ended()
    assert caught.value.reason is Reason.CONFIG_INVALID


def test_tls_1_2_at_least_and_a_handshake_that_does_not_come_ends(tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANDSHAKE_TIMEOUT_S", 0.5)
    tls = make_tls(tmp_path)
    with serving(Service(), certificate=tls.server, key=tls.server_key) as (plain, server):
        assert server.tls is not None
        assert server.tls.minimum_version is ssl.TLSVersion.TLSv1_2
        assert server.tls.verify_mode is ssl.CERT_NONE
        with connect(plain.port) as sock:
            sock.sendall(b"\x16\x03\x01")
            began = time.monotonic()
            assert rest(sock) == b""
            assert time.monotonic() - began < 10
        with asking(plain.port, "https", ssl_context=tls.trusting()) as asker:
            assert asker.ask("/healthz").headers["strict-transport-security"] == "max-age=31536000"


def test_a_renewed_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    old, new = make_tls(tmp_path), make_tls(tmp_path / "new")
    http = Http(port=0, certificate=old.server, key=old.server_key)
    with serving(Service(), certificate=old.server, key=old.server_key) as (plain, server):
        old.server.write_bytes(new.server.read_bytes())
        with pytest.raises(GatewayError):
            server.renew_tls(http)  # the key is still the old one
        with asking(plain.port, "https", ssl_context=old.trusting()) as asker:
            assert asker.ask("/healthz").status == 200
        old.server_key.write_bytes(new.server_key.read_bytes())
        server.renew_tls(http)
        with asking(plain.port, "https", ssl_context=new.trusting()) as asker:
            assert asker.ask("/healthz").status == 200


def test_files_of_tls_that_do_not_load(tmp_path: Path) -> None:
    tls = make_tls(tmp_path)
    for change in ({"certificate": tmp_path / "none.pem"}, {"key": tls.client_key}, {"client_ca": tls.server_key}):
        http = Http.model_validate({"certificate": tls.server, "key": tls.server_key, "client_ca": tls.ca, **change})
        with pytest.raises(GatewayError) as caught:
            tls_context(http)
        assert caught.value.reason is Reason.CONFIG_UNREADABLE
    assert tls_context(Http()) is None
