"""Parts that the gateway rewrites decode to the octets that they decoded to before (RFC 2045 6.7, 6.8).

Truth: the bodies are decoded by hand in `BODIES`; the library's own decoders drop the text behind the fault.
"""

import pytest

from gateway.errors import GatewayError, Reason
from gateway.mime import canonical
from gateway.mime.canonical import seven_bit
from gateway.mime.entity import decode, parse_entity
from gateway.smime import legacy_display
from gateway.smime.open import open_mail
from gateway.smime.protect import protect
from tests.properties.test_seal_open import How, open_it, seal_it
from tests.support import mails, sealed
from tests.support.pki import NOW

BODIES = {
    "padding in the middle": (b"base64", b"SGVsbG8gd29ybGQ=\r\nIGFuZCBtb3Jl\r\n", b"Hello world and more"),
    "soft break by CR": (b"quoted-printable", b"Hello =\rworld and\r\nmore\r\n", b"Hello world and\r\nmore\r\n"),
    "two equals signs": (b"quoted-printable", b"x?a==b\r\n", b"x?a==b\r\n"),
}
ENCRYPTED = How(detached=True, stamped=False, protected=True, to="p-256")
HEADER = b"From: jane@bank.example\r\nTo: bob@customer.example\r\nMessage-ID: <1@bank.example>\r\n"


def part(name: str) -> bytes:
    encoding, body, _ = BODIES[name]
    return b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body


def only_text(octets: bytes) -> bytes:
    (text,) = [decode(one) for one in parse_entity(octets).walk() if one.type == "text/plain"]
    return text


@pytest.mark.parametrize("name", BODIES)
def test_sealed_with_header_protection(name: str) -> None:
    mail = HEADER + b"Subject: S\r\nMIME-Version: 1.0\r\n" + part(name)
    opened = open_it(seal_it(mail, ENCRYPTED), ENCRYPTED)
    assert only_text(opened.octets) == BODIES[name][2]
    assert opened.verdicts.headers.subject == "S"


@pytest.mark.parametrize("name", BODIES)
def test_content_that_is_re_encoded_when_it_is_opened(name: str) -> None:
    """A long line in another part makes the gateway write all of the content again."""
    content = (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + part(name)
               + b"\r\n--b\r\nContent-Type: text/html\r\n\r\n" + b"x" * 1200 + b"\n\r\n--b--\r\n")
    opened = open_mail(sealed.message(sealed.signed(content, sealed.anna(), opaque=True)), [], sealed.judge(), NOW)
    assert only_text(opened.octets).rstrip() == BODIES[name][2].rstrip()


def test_content_whose_lines_cr_alone_ends() -> None:
    """Truth: classic Mac OS; the signature is over these octets, and the text is not part of the header."""
    content = b"Content-Type: text/plain\r\rHello\rworld\r"
    opened = open_mail(sealed.message(sealed.signed(content, sealed.anna(), opaque=True)), [], sealed.judge(), NOW)
    assert only_text(opened.octets) == b"Hello\r\nworld\r\n"


def test_a_fault_of_the_writer_defers_the_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paired check compares what was written with the input, and does not trust the writer."""
    monkeypatch.setattr(canonical, "quoted_printable", lambda _: b"lost\r\n")
    monkeypatch.setattr(legacy_display, "quoted_printable", lambda _: b"lost\r\n")
    with pytest.raises(GatewayError) as caught:
        seven_bit(mails.HEADER + b"Content-Type: text/plain; charset=utf-8\r\n\r\n\xc3\xa4 and some ASCII text\r\n")
    assert (caught.value.reason, caught.value.retry) == (Reason.INTERNAL, True)
    quoted = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nHello=21\r\n"
    with pytest.raises(GatewayError) as caught:
        protect(mails.HEADER + quoted, encrypt=True)
    assert (caught.value.reason, caught.value.retry) == (Reason.INTERNAL, True)
