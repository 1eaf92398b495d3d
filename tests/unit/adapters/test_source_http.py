"""An HTTP look-up service on loopback, by real sockets: what it answers, what it is asked, what it may not do to us.

The contract that it shares with the other sources stands in tests/ports/test_sources.py. Bundles are made by openssl.
"""

import base64
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from gateway.adapters.directories.http_lookup import HttpSource
from gateway.adapters.directories.rows import OCTETS_MAX
from gateway.demo import openssl
from gateway.errors import GatewayError, Reason
from gateway.settings import HttpSourceSettings
from tests.support.pki import get_pki, pem
from tests.support.tls import make_tls
from tests.support.web import WebServer, reply

PKI = get_pki()
ANNA = PKI.recipient("p-256", email="anna@partner.example")
BEN = PKI.recipient("p-256", email="anna@partner.example", which=1)
ISSUER = PKI.intermediate.der


@pytest.fixture
def server() -> Iterator[WebServer]:
    with WebServer() as running:
        yield running


@pytest.fixture
def asked(server: WebServer) -> Iterator[Callable[..., tuple[bytes, ...]]]:
    """Asks a source over the server; gives the DER of its rows."""
    sources: list[HttpSource] = []

    def ask(address: str = "anna@partner.example", template: str = "/?mail={address}", **settings: object
            ) -> tuple[bytes, ...]:
        given = {"networks": ("127.0.0.0/8",), "deadline_s": 5.0, **settings}
        source = HttpSource(HttpSourceSettings(name="partner", kind="http", url=server.url(template), **given))  # type: ignore[arg-type]
        sources.append(source)
        rows = source.rows(address)
        assert all((row.source, row.customer) == ("partner", None) for row in rows)
        return tuple(row.der for row in rows)

    yield ask
    for source in sources:
        source.close()


def unavailable(call: Callable[[], object]) -> str:
    with pytest.raises(GatewayError) as caught:
        call()
    assert (caught.value.reason, caught.value.retry) == (Reason.CERTIFICATE_UNAVAILABLE, True)
    assert caught.value.detail.startswith("partner: ")
    return caught.value.detail


def bundle(*people: bytes, form: str = "DER") -> bytes:
    """A certs-only PKCS#7, by openssl."""
    done = subprocess.run(
        ["openssl", "crl2pkcs7", "-nocrl", "-certfile", "/dev/stdin", "-outform", form],
        input=b"".join(map(pem, people)), capture_output=True, check=True)
    return done.stdout


needs_openssl = pytest.mark.skipif(not openssl.available(), reason="no openssl")

FORMS = {
    "DER": (ANNA.der, (ANNA.der,)),
    "PEM": (ANNA.pem, (ANNA.der,)),
    "PEM of two": (ANNA.pem + b"\r\n" + BEN.pem, (ANNA.der, BEN.der)),
    "PEM with text around": (b"Anna's certificate:\n\n" + ANNA.pem + b"bye\n", (ANNA.der,)),
    "PEM with another label": (ANNA.pem.replace(b"CERTIFICATE", b"X509 CERTIFICATE"), (ANNA.der,)),
    "PEM in one line": (
        b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(ANNA.der) + b"\n-----END CERTIFICATE-----", (ANNA.der,)),
    "PEM, one damaged": (
        b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n" + ANNA.pem, (b"\n!!!!\n", ANNA.der)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("label", ["application/pkix-cert", "text/html", "application/json"])
def test_it_is_read_by_what_it_is_never_by_its_label(server, asked, form, label) -> None:
    octets, expected = FORMS[form]
    server.answers["/"] = reply(octets, content_type=label)
    assert asked() == expected


@needs_openssl
@pytest.mark.parametrize("form", ["DER", "PEM"])
def test_a_bundle_gives_the_person_and_not_the_issuer(server, asked, form) -> None:
    server.answers["/"] = reply(bundle(ANNA.der, ISSUER, BEN.der, form=form))
    assert set(asked()) == {ANNA.der, BEN.der}


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone"])
def test_absence_is_said_by_404_and_410_alone(server, asked, status) -> None:
    server.answers["/"] = reply(ANNA.der, status)
    assert asked() == ()


@pytest.mark.parametrize(
    "answer",
    [
        reply(b""), reply(b"", "204 No Content"), reply(b"<html>nobody here</html>"), reply(b"{}"), reply(b"[]"),
        reply(b"null"), reply(b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"),
        reply(ANNA.der[:-1]), reply(ANNA.key_pem), reply(b"no", "401 Unauthorized"), reply(b"no", "403 Forbidden"),
        reply(b"no", "400 Bad Request"), reply(b"later", "429 Too Many Requests"), reply(b"no", "500 Oops"),
        reply(b"no", "503 Busy"), reply(b"", "302 Found", location="/elsewhere"), b"HTTP/1.1 200 OK\r\n\r\n",
        b"nonsense\r\n\r\n", b"",
    ],
    ids=map(str, range(19)),  # DER has other lengths in every process
)
def test_everything_else_that_is_no_certificate_is_no_absence(server, asked, answer) -> None:
    server.answers["/elsewhere"] = reply(b"moved to a page")

    def once(request, line) -> None:
        del request
        line.send(answer)
        line.hang_up()

    server.answers["/"] = once
    unavailable(asked)


def test_a_redirect_to_the_certificate_is_followed(server, asked) -> None:
    server.answers["/"] = reply(b"", "302 Found", location="/anna.cer")
    server.answers["/anna.cer"] = reply(ANNA.der)
    assert asked() == (ANNA.der,)


@pytest.mark.parametrize(
    ("address", "template", "path"),
    [
        ("anna@partner.example", "/?mail={address}", "/?mail=anna%40partner.example"),
        ("anna@Partner.Example", "/{domain}/{local}.cer", "/partner.example/anna.cer"),
        ("a+b@p.example", "/?mail={address}", "/?mail=a%2Bb%40p.example"),
        ("a&x=1#f?/../b@p.example", "/s?mail={address}&k=1", "/s?mail=a%26x%3D1%23f%3F%2F..%2Fb%40p.example&k=1"),
        ("d\u00f6rte@p.example", "/{local}", "/d%C3%B6rte"),
        ('"a b"@p.example', "/?m={address}", "/?m=%22a%20b%22%40p.example"),
        ("{domain}@p.example", "/?m={local}", "/?m=%7Bdomain%7D"),
        ("a%00b@p.example", "/?m={local}", "/?m=a%2500b"),
        ("a~-._b@p.example", "/?m={local}", "/?m=a~-._b"),
        ("a\r\nHost: evil@p.example", "/?m={local}", "/?m=a%0D%0AHost%3A%20evil"),
    ],
)
def test_addresses_are_encoded_into_the_url(server, asked, address, template, path) -> None:
    """RFC 3986 2.3: unreserved octets stand for themselves, all others are encoded, as their UTF-8."""
    asked(address, template)
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", path)
    assert request.headers["host"] == f"127.0.0.1:{server.port}"


def test_private_networks_are_asked_only_where_the_settings_name_them(server, asked) -> None:
    server.answers["/"] = reply(ANNA.der)
    unavailable(lambda: asked(networks=()))
    unavailable(lambda: asked(networks=("10.0.0.0/8",)))
    assert server.connections == 0


def test_an_answer_without_end_ends(server, asked) -> None:
    server.answers["/"] = lambda _, line: (line.send(b"HTTP/1.1 200 OK\r\n\r\n"), line.endless(b"x" * 65_536))
    assert str(OCTETS_MAX) in unavailable(asked)


def test_an_answer_of_an_octet_a_second_ends_at_the_deadline(server, asked) -> None:
    server.answers["/"] = lambda _, line: line.trickle(reply(ANNA.der), 0.1)
    begun = time.monotonic()
    unavailable(lambda: asked(deadline_s=0.5))
    assert time.monotonic() - begun < 2


def test_a_hundred_certificates_and_one_are_no_answer(server, asked) -> None:
    server.answers["/"] = reply(b"".join(pem(b"\x30\x03%03d" % number) for number in range(101)))
    unavailable(asked)


def test_the_password_is_sent_as_basic_and_comes_from_a_file_that_nobody_else_reads(server, asked, tmp_path) -> None:
    server.answers["/"] = reply(ANNA.der)
    secret = tmp_path / "password"
    secret.write_text("pa:ss wörd\nsecond line\n", "utf-8")
    secret.chmod(0o600)
    assert asked(username="bank", password_file=secret) == (ANNA.der,)
    sent = server.requests[0].headers["authorization"].removeprefix("Basic ")
    assert base64.b64decode(sent).decode() == "bank:pa:ss wörd"
    secret.chmod(0o644)
    with pytest.raises(GatewayError) as caught:
        asked(username="bank", password_file=secret)
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert "pa:ss" not in caught.value.detail


def test_tls_is_checked_against_the_roots_of_the_settings(tmp_path) -> None:
    files = make_tls(tmp_path, ("127.0.0.1",))
    with WebServer({"/": reply(ANNA.der)}, tls=files.serving()) as server:
        for tls_ca in (files.ca, None):
            source = HttpSource(HttpSourceSettings(
                name="partner", kind="http", url=server.url("/?m={address}"), tls_ca=tls_ca,
                networks=("127.0.0.0/8",), deadline_s=5.0))
            try:
                if tls_ca is None:
                    unavailable(lambda: source.rows("anna@partner.example"))  # noqa: B023
                else:
                    assert [row.der for row in source.rows("anna@partner.example")] == [ANNA.der]
            finally:
                source.close()
