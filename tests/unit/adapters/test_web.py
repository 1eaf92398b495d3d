"""The HTTP client against real servers on loopback: good, slow, endless, lying, and those behind forbidden addresses.

Truth: RFC 9110 and 9112 for what is sent and answered, RFC 6890 for which addresses are whose; the server's own record
of what came. Times are bounds: a hostile server must not gain more than the deadline.
"""

import gzip
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.adapters.web.address import URL_LENGTH_MAX, AddressBook, Target, read_url, redirected
from gateway.adapters.web.client import REDIRECTS_MAX, NotFound, Web
from gateway.app.fetch import web as fetching_web
from gateway.errors import GatewayError, Reason
from gateway.settings import Fetch
from tests.support.tls import TlsFiles, make_tls
from tests.support.web import Line, Request, WebServer, reply

LOOPBACK = ("127.0.0.0/8",)
HTTP = frozenset({"http"})
BOTH = frozenset({"http", "https"})
_WEBS: list[Web] = []


@pytest.fixture(autouse=True)
def _close_webs() -> Iterator[None]:
    yield
    while _WEBS:
        _WEBS.pop().close()


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as running:
        yield running


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"), ("ca.test", "127.0.0.1"))


def web(**changes: Any) -> Web:
    made = Web(**({"schemes": HTTP, "networks": LOOPBACK} | changes))
    _WEBS.append(made)
    return made


def refused(client: Web, url: str, *, deadline_s: float = 5.0, octets_max: int = 1000) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        client.get(url, deadline_s=deadline_s, octets_max=octets_max)
    return caught.value


def get(client: Web, url: str) -> bytes:
    return client.get(url, deadline_s=5.0, octets_max=1_000_000)


# --- the good way


def test_gets_a_body_and_says_nothing_of_itself_but_its_name(server: WebServer) -> None:
    server.answers["/a.crl"] = reply(b"list")
    assert web().get(server.url("/a.crl?x=1"), deadline_s=5, octets_max=4, accept="application/pkix-crl") == b"list"
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/a.crl?x=1")
    assert request.headers == {"host": f"127.0.0.1:{server.port}", "accept": "application/pkix-crl",
                               "accept-encoding": "identity", "user-agent": "Sealgate"}


def test_posts_a_body_with_its_type(server: WebServer) -> None:
    server.answers["/ocsp"] = lambda request, line: line.send(reply(request.body[::-1]))
    answer = web().post(server.url("/ocsp"), b"abc", "application/ocsp-request", deadline_s=5, octets_max=10)
    assert answer == b"cba"
    (request,) = server.requests
    assert request.headers["content-type"] == "application/ocsp-request"


@pytest.mark.parametrize("answer", [
    reply(b"x" * 100_000), b"HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\nonly this",
    b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\nno chunk",
    reply(b"no gzip", content_encoding="gzip")])
def test_a_notice_is_taken_with_the_status_whatever_follows(server: WebServer, answer: bytes) -> None:
    """RFC 9110 15.3: a 2xx says that the request was accepted; the body changes nothing of it."""
    server.answers["/"] = answer
    client = web()
    for _ in range(2):
        client.notify(server.url("/"), b"{}", "application/json", deadline_s=5.0, fields={"Event": "1"})
    assert [(one.method, one.body) for one in server.requests] == [("POST", b"{}")] * 2


def test_a_notice_that_is_not_taken(server: WebServer) -> None:
    for page, answer in (("/500", reply(b"", "500 No")), ("/302", reply(b"", "302 Found", location="/")),
                         ("/404", reply(b"", "404 Gone"))):
        server.answers[page] = answer
        with pytest.raises(GatewayError):
            web().notify(server.url(page), b"{}", "application/json", deadline_s=5.0, fields={})


def test_a_connection_serves_again(server: WebServer) -> None:
    server.answers["/a"] = reply(b"x")
    client = web()
    for _ in range(5):
        assert get(client, server.url("/a")) == b"x"
    assert (len(server.requests), server.connections) == (5, 1)


def test_a_kept_connection_that_the_server_closed_is_not_used(server: WebServer) -> None:
    server.answers["/a"] = reply(b"x")
    client = web()
    get(client, server.url("/a"))
    server.hang_up_idle()
    assert get(client, server.url("/a")) == b"x"
    assert server.connections == 2


def test_a_kept_connection_that_dies_under_the_request_is_tried_once_more(server: WebServer) -> None:
    def once(request: Request, line: Line) -> None:
        if len(server.requests) == 2:
            line.hang_up()  # without a word
        else:
            line.send(reply(b"x"))

    server.answers["/a"] = once
    client = web()
    assert [get(client, server.url("/a")), get(client, server.url("/a"))] == [b"x", b"x"]
    assert len(server.requests) == 3


def test_chunks_are_put_together(server: WebServer) -> None:
    server.answers["/a"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    client = web()
    assert get(client, server.url("/a")) == b"abcde"
    assert get(client, server.url("/a")) == b"abcde"
    assert server.connections == 1


def test_gzip_is_opened_though_nobody_asked_for_it(server: WebServer) -> None:
    server.answers["/a"] = reply(gzip.compress(b"list" * 100), content_encoding="gzip")
    assert get(web(), server.url("/a")) == b"list" * 100


def test_many_threads_share_one(server: WebServer) -> None:
    server.answers["/a"] = reply(b"x")
    client = web(connections_max=2)
    got: list[bytes] = []
    threads = [threading.Thread(target=lambda: got.append(get(client, server.url("/a")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [b"x"] * 8
    assert server.connections <= 2


# --- hostile servers


@pytest.mark.parametrize("slow", ["silent", "header", "body", "chunk", "connection"])
def test_a_slow_server_gains_the_deadline_and_no_more(server: WebServer, slow: str) -> None:
    def answer(request: Request, line: Line) -> None:
        if slow == "silent":
            line.trickle(b"", 1)
            time.sleep(2)
        elif slow == "header":
            line.send(b"HTTP/1.1 200 OK\r\n")
            line.trickle(b"X-Field: " + b"x" * 1000, 0.05)
        elif slow == "body":
            line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            line.trickle(b"x" * 1000, 0.05)
        else:
            line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            line.trickle(b"0" * 1000, 0.05)

    server.answers["/a"] = answer
    server.accept = slow != "connection"
    began = time.monotonic()
    trouble = refused(web(), server.url("/a"), deadline_s=0.4)
    assert (trouble.reason, trouble.retry) == (Reason.FETCH_UNAVAILABLE, True)
    assert 0.3 < time.monotonic() - began < 1.2
    assert "in time" in trouble.detail


def test_a_body_without_end_is_cut_off(server: WebServer) -> None:
    def answer(request: Request, line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\n\r\n")
        line.endless(b"x" * 65536)

    server.answers["/a"] = answer
    assert refused(web(), server.url("/a"), octets_max=1_000_000).reason is Reason.FETCH_TOO_LARGE


@pytest.mark.parametrize(("size", "fits"), [(999, True), (1000, True), (1001, False)])
@pytest.mark.parametrize("told", [True, False])
def test_the_limit_is_a_limit(server: WebServer, size: int, fits: bool, told: bool) -> None:
    head = f"Content-Length: {size}\r\n" if told else "Connection: close\r\n"

    def answer(request: Request, line: Line) -> None:
        line.send(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + b"x" * size)
        line.hang_up()

    server.answers["/a"] = answer
    if fits:
        assert len(web().get(server.url("/a"), deadline_s=5, octets_max=1000)) == size
    else:
        assert refused(web(), server.url("/a")).reason is Reason.FETCH_TOO_LARGE


def test_a_gzip_bomb_is_opened_no_further_than_the_limit(server: WebServer) -> None:
    server.answers["/a"] = reply(gzip.compress(bytes(50_000_000)), content_encoding="gzip")
    assert refused(web(), server.url("/a"), octets_max=100_000).reason is Reason.FETCH_TOO_LARGE


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "deflate", "zstd"])
def test_other_codings_are_refused(server: WebServer, coding: str) -> None:
    server.answers["/a"] = reply(b"x", content_encoding=coding)
    assert refused(web(), server.url("/a")).reason is Reason.FETCH_REFUSED


def test_gzip_that_ends_too_early_is_no_list(server: WebServer) -> None:
    server.answers["/a"] = reply(gzip.compress(b"list" * 100)[:-9], content_encoding="gzip")
    assert refused(web(), server.url("/a")).reason is Reason.FETCH_UNAVAILABLE


def test_a_body_shorter_than_told_is_no_answer(server: WebServer) -> None:
    def answer(request: Request, line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        line.hang_up()

    server.answers["/a"] = answer
    assert refused(web(), server.url("/a")).reason is Reason.FETCH_UNAVAILABLE


@pytest.mark.parametrize("answer", [b"\r\n", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n",
                                    b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
                                    b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
                                    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
                                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"])
def test_what_is_no_answer_is_one_error_of_ours(server: WebServer, answer: bytes) -> None:
    server.answers["/a"] = lambda request, line: (line.send(answer), line.hang_up())[1]
    trouble = refused(web(), server.url("/a"))
    assert (trouble.reason, trouble.retry) == (Reason.FETCH_UNAVAILABLE, True)


@pytest.mark.parametrize(("status", "reason", "retry", "gone"), [
    ("400 Bad Request", Reason.FETCH_REFUSED, False, False), ("401 No", Reason.FETCH_REFUSED, False, False),
    ("403 Forbidden", Reason.FETCH_REFUSED, False, False), ("404 Not Found", Reason.FETCH_REFUSED, False, True),
    ("410 Gone", Reason.FETCH_REFUSED, False, True), ("429 Later", Reason.FETCH_UNAVAILABLE, True, False),
    ("500 Oh", Reason.FETCH_UNAVAILABLE, True, False), ("503 Busy", Reason.FETCH_UNAVAILABLE, True, False),
    ("304 Same", Reason.FETCH_REFUSED, False, False), ("302 Found", Reason.FETCH_REFUSED, False, False)])
def test_statuses(server: WebServer, status: str, reason: Reason, retry: bool, gone: bool) -> None:
    server.answers["/a"] = reply(b"", status)
    trouble = refused(web(), server.url("/a"))
    assert (trouble.reason, trouble.retry, isinstance(trouble, NotFound)) == (reason, retry, gone)
    assert status.partition(" ")[0] in trouble.detail


def test_nobody_listens() -> None:
    with WebServer() as server:
        url = server.url()
    trouble = refused(web(), url)
    assert (trouble.reason, trouble.retry) == (Reason.FETCH_UNAVAILABLE, True)


# --- redirects


def test_redirects_are_followed_a_few_times(server: WebServer) -> None:
    for number in range(REDIRECTS_MAX + 1):
        server.answers[f"/d/{number}"] = reply(b"moved", "302 Found", location=f"{number + 1}")
    server.answers[f"/d/{REDIRECTS_MAX + 1}"] = reply(b"here")
    client = web()
    assert get(client, server.url("/d/1")) == b"here"
    assert refused(client, server.url("/d/0")).reason is Reason.FETCH_REFUSED


@pytest.mark.parametrize("location", ["http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd",
                                      "http://[::1]/", "//10.0.0.1/x", "ldap://ldap.example/", "http://user:pw@127.0.0.1/"])
def test_redirects_lead_nowhere_that_is_forbidden(server: WebServer, location: str) -> None:
    server.answers["/a"] = reply(b"", "301 Moved", location=location)
    assert refused(web(), server.url("/a")).reason is Reason.FETCH_REFUSED
    assert len(server.requests) == 1


def test_a_post_is_not_redirected(server: WebServer) -> None:
    server.answers["/a"] = reply(b"", "307 Moved", location="/b")
    with pytest.raises(GatewayError) as caught:
        web().post(server.url("/a"), b"x", "text/plain", deadline_s=5, octets_max=10)
    assert caught.value.reason is Reason.FETCH_REFUSED


def test_credentials_go_to_their_own_host_only(server: WebServer) -> None:
    with WebServer() as other:
        server.answers["/a"] = reply(b"", "302 Found", location=other.url("/b"))
        server.answers["/c"] = reply(b"x")
        other.answers["/b"] = reply(b"stolen")
        client = web(basic=("bank", b"secret"))
        assert get(client, server.url("/c")) == b"x"
        assert server.requests[0].headers["authorization"] == "Basic YmFuazpzZWNyZXQ="
        assert refused(client, server.url("/a")).reason is Reason.FETCH_REFUSED
        assert other.requests == []


def test_tls_is_never_left_by_a_redirect(server: WebServer, tls: TlsFiles) -> None:
    with WebServer(tls=tls.serving()) as secure:
        secure.answers["/a"] = reply(b"", "302 Found", location=server.url("/b"))
        server.answers["/b"] = reply(b"x")
        assert refused(web(schemes=BOTH, ca=tls.ca), secure.url("/a")).reason is Reason.FETCH_REFUSED
        assert server.requests == []


@pytest.mark.parametrize(("location", "url"), [
    ("/x?y", "http://h.test:81/x?y"), ("x", "http://h.test:81/a/x"), ("//o.test/x", "http://o.test/x"),
    ("https://o.test/", "https://o.test/"), ("?u=http://x", "http://h.test:81/a/?u=http://x")])
def test_what_a_location_means(location: str, url: str) -> None:
    assert redirected(Target("http", "h.test", 81, "/a/b?c=/d"), location) == url


# --- addresses and names


@pytest.mark.parametrize("address", [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "255.255.255.255",
    "224.0.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "2001:db8::1", "no address", ""])
def test_addresses_that_are_not_public(address: str) -> None:
    assert not AddressBook((), public=True, waiting_max=1).permitted(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_that_are(address: str) -> None:
    assert AddressBook((), public=True, waiting_max=1).permitted(address)
    assert not AddressBook(("10.0.0.0/8",), public=False, waiting_max=1).permitted(address)


@pytest.mark.parametrize(("port", "asked"), [(25, False), (22, False), (80, True), (443, True), (8080, True)])
def test_a_strangers_url_leads_to_no_port_of_another_service(port: int, asked: bool) -> None:
    book = AddressBook(["10.0.0.0/8"], public=True, waiting_max=1, any_port=False)
    assert book.permitted("8.8.8.8", port) is asked
    assert book.permitted("10.1.2.3", port), "the bank has named that network itself"
    assert AddressBook([], public=True, waiting_max=1).permitted("8.8.8.8", port), "the bank has named that URL itself"


def test_fetching_follows_strangers_urls() -> None:
    """The one client that asks whatever a certificate names has that restriction, at redirects too."""
    settings: Any = SimpleNamespace(fetch=Fetch())
    with pytest.raises(GatewayError) as caught:
        fetching_web(settings).get(
            "http://8.8.8.8:25/list.crl", deadline_s=1.0, octets_max=10)
    assert caught.value.reason is Reason.FETCH_REFUSED


def test_private_networks_are_permitted_one_by_one() -> None:
    book = AddressBook(("10.1.0.0/16", "fd00::/8"), public=True, waiting_max=1)
    assert [book.permitted(a) for a in ("10.1.2.3", "10.2.0.1", "fd00::1", "127.0.0.1")] == [True, False, True, False]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]",
                                  "[::ffff:127.0.0.1]"])
def test_without_networks_nothing_of_ours_is_asked(server: WebServer, host: str) -> None:
    trouble = refused(web(networks=()), server.url("/", host=host))
    assert trouble.reason in {Reason.FETCH_REFUSED, Reason.FETCH_UNAVAILABLE}
    assert (server.requests, server.connections) == ([], 0)


def test_a_name_with_one_forbidden_address_is_refused_whole(server: WebServer) -> None:
    client = web(resolver=lambda host, port: ("127.0.0.1", "10.0.0.1"))
    assert refused(client, server.url("/", host="mixed.test")).reason is Reason.FETCH_REFUSED
    assert server.connections == 0


def test_a_name_that_changes_its_address_gains_nothing(server: WebServer) -> None:
    """DNS rebinding: the second answer would be forbidden, but there is no second question."""
    asked: list[str] = []

    def resolver(host: str, port: int) -> tuple[str, ...]:
        asked.append(host)
        return ("127.0.0.1",) if len(asked) == 1 else ("10.0.0.1",)

    server.answers["/a"] = reply(b"x")
    client = web(resolver=resolver)
    assert get(client, server.url("/a", host="rebind.test")) == b"x"
    assert asked == ["rebind.test"]
    assert server.requests[0].headers["host"] == f"rebind.test:{server.port}"
    server.hang_up_idle()
    assert refused(client, server.url("/a", host="rebind.test")).reason is Reason.FETCH_REFUSED


def test_the_next_address_is_tried_if_one_is_dead(server: WebServer) -> None:
    server.answers["/a"] = reply(b"x")
    client = web(resolver=lambda host, port: ("127.0.0.2", "127.0.0.1"))  # nobody listens at the first
    assert get(client, server.url("/a", host="two.test")) == b"x"


def test_a_silent_name_server_gains_the_deadline_and_no_more() -> None:
    release = threading.Event()

    def resolver(host: str, port: int) -> tuple[str, ...]:
        release.wait(20)
        return ()

    client = web(resolver=resolver, connections_max=1)
    began = time.monotonic()
    assert refused(client, "http://slow.test/", deadline_s=0.3).reason is Reason.FETCH_UNAVAILABLE
    assert refused(client, "http://slow.test/", deadline_s=0.3).reason is Reason.FETCH_UNAVAILABLE
    assert time.monotonic() - began < 1.5
    release.set()


def test_a_name_without_address() -> None:
    trouble = refused(web(resolver=lambda host, port: ()), "http://nobody.test/")
    assert (trouble.reason, trouble.retry) == (Reason.FETCH_UNAVAILABLE, True)


@pytest.mark.parametrize("url", [
    "https://ca.example/", "ldap://ca.example/cn=CA?certificateRevocationList", "file:///etc/passwd", "gopher://x/",
    "http://user@ca.example/", "http://user:pw@ca.example/", "http://ca.example/a b", "http://ca.example/\r\nX: y",
    "http://ca.exämple/", "http:///x", "", "x", "http://[::1", "http://h:99999/", "http://h:0/",
    "http://h/" + "x" * URL_LENGTH_MAX])
def test_urls_that_are_not_asked(url: str) -> None:
    trouble = refused(web(), url)
    assert (trouble.reason, trouble.retry) == (Reason.FETCH_REFUSED, False)


def test_the_longest_url() -> None:
    start = "http://h.test/"
    assert read_url(start + "x" * (URL_LENGTH_MAX - len(start)), HTTP).host == "h.test"
    assert read_url("HTTP://CA.Test:8080", HTTP) == Target("http", "ca.test", 8080, "/")


def test_the_environment_has_no_say(server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers["/a"] = reply(b"x", set_cookie="a=b")
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    client = web()
    assert get(client, server.url("/a")) == get(client, server.url("/a")) == b"x"
    assert "cookie" not in server.requests[1].headers


# --- TLS


def test_tls_by_name_at_a_pinned_address(tls: TlsFiles) -> None:
    with WebServer({"/a": reply(b"x")}, tls=tls.serving()) as server:
        client = web(schemes=BOTH, ca=tls.ca, resolver=lambda host, port: ("127.0.0.1",))
        assert get(client, server.url("/a", host="ca.test")) == b"x"
        assert get(client, server.url("/a", host="ca.test")) == b"x"
        assert get(client, server.url("/a")) == b"x"  # by its address, which stands in the certificate
        assert server.connections == 2


@pytest.mark.parametrize("wrong", ["name", "root"])
def test_a_wrong_certificate_is_no_server(tls: TlsFiles, tmp_path: Path, wrong: str) -> None:
    with WebServer({"/a": reply(b"x")}, tls=tls.serving()) as server:
        ca = tls.ca if wrong == "name" else make_tls(tmp_path).ca
        client = web(schemes=BOTH, ca=ca, resolver=lambda host, port: ("127.0.0.1",))
        trouble = refused(client, server.url("/a", host="other.test" if wrong == "name" else "ca.test"))
        assert trouble.reason is Reason.FETCH_UNAVAILABLE
        assert "certificate" in trouble.detail
        assert server.requests == []


def test_a_client_certificate_is_shown(tls: TlsFiles) -> None:
    context = tls.serving()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(tls.ca)
    with WebServer({"/a": reply(b"x")}, tls=context) as server:
        assert get(web(schemes=BOTH, ca=tls.ca, client_certificate=tls.client, client_key=tls.client_key),
                   server.url("/a")) == b"x"
        assert server.requests[0].peer
        assert refused(web(schemes=BOTH, ca=tls.ca), server.url("/a")).reason is Reason.FETCH_UNAVAILABLE


def test_a_handshake_that_never_ends(server: WebServer, tls: TlsFiles) -> None:
    server.accept = False
    began = time.monotonic()
    assert refused(web(schemes=BOTH, ca=tls.ca), f"https://127.0.0.1:{server.port}/", deadline_s=0.3
                   ).reason is Reason.FETCH_UNAVAILABLE
    assert time.monotonic() - began < 1.2


def test_tls_files_that_are_none_are_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no PEM")
    for ca in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        with pytest.raises(GatewayError) as caught:
            Web(ca=ca)
        assert caught.value.reason is Reason.CONFIG_UNREADABLE
